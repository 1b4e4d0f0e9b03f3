import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.warpgan.evaluation_world import SIZE, write_photos, write_run
from warpgan import evaluate as entry
from warpgan.cameras import look_at
from warpgan.cli import compose_config
from warpgan.config import PathSettings
from warpgan.data.folder import ImageFolder
from warpgan.data.portraits import Portrait
from warpgan.data.portraits.splits import SplitSettings, person_seed, write_split
from warpgan.evaluation import run as loop
from warpgan.evaluation.config import EvaluationData
from warpgan.evaluation.items import build_items, rows_of
from warpgan.evaluation.measures import MetricSuite
from warpgan.evaluation.photos import Photos, open_photos
from warpgan.evaluation.records import Records
from warpgan.evaluation.summary import compare_methods, summarise
from warpgan.methods.base import Inversion, Method, Views
from warpgan.methods.true_latent import photo_key
from warpgan.metrics.pixel import psnr
from warpgan.perception import build_identity, build_perceptual

PEOPLE = 3


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    write_photos(folder / "photos", people=PEOPLE)
    write_run(folder / "runs" / "trained")
    return folder


class Pixels(torch.nn.Module):
    """An identity net of one line, so that the records are tested without a real one's time."""

    def forward(self, images: torch.Tensor, cameras: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.normalize(
            torch.nn.functional.avg_pool2d(images, 8).flatten(1), dim=1
        )


@pytest.fixture(scope="module")
def suite() -> MetricSuite:
    return MetricSuite(identity={"who": Pixels()})


def run(world: Path, *words: str, name: str = "table"):
    given = [
        f"paths.runs={world / 'runs'}",
        f"data.path={world / 'photos'}",
        f"evaluate.encoder={world / 'runs' / 'trained'}",
        f"run.name={name}",
        "metrics=pixels",
        "evaluate.resamples=200",
        "evaluate.pictures=0",
        "evaluate.device=cpu",
        *words,
    ]
    results = entry.evaluate(compose_config("evaluate", given), given)
    return results, world / "runs" / name


class Copy(Method):
    """Gives the photo back from every camera, .2 brighter or darker."""

    name = "copy"
    image_size = SIZE

    def __init__(self, shift: float = 0.2) -> None:
        self.shift = shift

    def invert(self, photo: torch.Tensor, camera: torch.Tensor) -> Inversion:
        return CopiedPhoto(photo + torch.where(photo > 0, -self.shift, self.shift))


class CopiedPhoto(Inversion):
    seconds = 0.5

    def __init__(self, image: torch.Tensor) -> None:
        self.image = image

    def render(self, cameras: torch.Tensor) -> Views:
        views = self.image[:, None].expand(-1, cameras.shape[1], -1, -1, -1)
        return Views(image=views, depth_z=views[:, :, :1], seconds=0.25)


def open_world(world: Path, *, protocol: str):
    dataset = ImageFolder(world / "photos", size=SIZE)
    return dataset, build_items(dataset.names, dataset.labels, protocol=protocol)


def measure(method, dataset, items, suite, folder, *, batch_size, stop_after=None):
    records = Records(folder, columns=suite.columns, identity=suite.identity)
    batches = loop.split_batches(items, batch_size)
    sizes = [sum(len(item.targets) for item in batch) for batch in batches]
    done = records.open({"method": method.name}, batches=sizes)
    if stop_after is not None:
        items = items[: stop_after * batch_size]
        total = len(rows_of(items, dataset.names, dataset.labels))
        write = records.append
        records.append = lambda *a, **k: write(*a, **{**k, "total": sum(sizes)})
        assert total < sum(sizes)
    loop.evaluate_method(
        method,
        dataset if isinstance(dataset, Photos) else Photos(dataset, "photos", {}, None),
        items,
        suite=suite,
        records=records,
        batch_size=batch_size,
        done=done,
        progress=False,
    )
    return records


def test_rows_hold_what_was_measured(world, tmp_path):
    suite = MetricSuite(
        perceptual=[build_perceptual("perc_efficientnet")],
        identity={"id_faceres": build_identity("id_faceres")},
    )
    dataset, items = open_world(world, protocol="same_view")
    records = measure(Copy(), dataset, items, suite, tmp_path / "copy", batch_size=5)
    rows, values = records.read_rows()
    assert [row.name for row in rows] == list(dataset.names)
    assert np.allclose(values["psnr"], 20, atol=1e-4)
    assert (values["id_faceres"] > 0.5).all() and (values["perc_efficientnet"] > 0).all()
    yaws = np.array([row.yaw for row in rows]).reshape(PEOPLE, -1)
    assert np.allclose(yaws, [-50, -20, 4, 31], atol=1e-3)
    features = np.load(records.features_path("id_faceres"))
    assert np.allclose((features[:, 0] * features[:, 1]).sum(-1), values["id_faceres"], atol=1e-5)


def test_several_views_are_compared_with_their_own_targets(world, suite, tmp_path):
    dataset, items = open_world(world, protocol="multi_view")
    assert [dataset.names[item.source] for item in items] == [
        f"person_{i}/2.png" for i in range(PEOPLE)
    ]
    assert items[0].views == ("yaw -60", "yaw -30", "yaw +30")
    short = replace(items[1], targets=items[1].targets[:1], views=items[1].views[:1])
    items = [items[0], short, items[2]]
    records = measure(Copy(0.0), dataset, items, suite, tmp_path / "copy", batch_size=2)
    rows, values = records.read_rows()
    assert [row.person for row in rows] == ["person_0"] * 3 + ["person_1"] + ["person_2"] * 3
    for row, value in zip(rows, values["psnr"], strict=True):
        source, target = (dataset[dataset.names.index(n)].image for n in (row.source, row.name))
        assert value == pytest.approx(psnr(source[None], target[None]).item(), rel=1e-6)
    assert "yaw -30" in summarise("copy", records, suite, resamples=100, seed=0).by_view


def test_batch_size_changes_nothing(world, suite, tmp_path):
    dataset, items = open_world(world, protocol="same_view")
    one, five = (
        measure(Copy(), dataset, items, suite, tmp_path / str(n), batch_size=n).read_rows()[1]
        for n in (1, 5)
    )
    for column in suite.columns:
        assert np.allclose(one[column], five[column], rtol=1e-5, atol=0), column


@pytest.mark.parametrize("damage", ["none", "half a line", "no last batch", "no features"])
def test_an_interrupted_evaluation_continues_to_the_same_bytes(world, suite, tmp_path, damage):
    dataset, items = open_world(world, protocol="same_view")
    whole = measure(Copy(), dataset, items, suite, tmp_path / "whole", batch_size=4)
    part = measure(Copy(), dataset, items, suite, tmp_path / "part", batch_size=4, stop_after=2)
    text = part.rows_path.read_text()
    if damage == "half a line":
        part.rows_path.write_text(text[:-7])
    elif damage == "no last batch":
        part.rows_path.write_text("".join(text.splitlines(keepends=True)[:6]))
    elif damage == "no features":
        part.features_path("who").unlink()
    calls = []

    class Counting(Copy):
        def invert(self, photo, camera):
            calls.append(len(photo))
            return super().invert(photo, camera)

    again = measure(Counting(), dataset, items, suite, tmp_path / "part", batch_size=4)
    assert (
        sum(calls) == {"none": 4, "half a line": 8, "no last batch": 8, "no features": 12}[damage]
    )
    assert again.rows_path.read_bytes() == whole.rows_path.read_bytes()
    features = [r.features_path("who").read_bytes() for r in (whole, again)]
    assert features[0] == features[1]
    assert len(again.read_seconds()) == 3


def test_other_settings_are_not_mixed_in(world, suite, tmp_path):
    records = Records(tmp_path / "m", columns=suite.columns, identity=suite.identity)
    records.open({"size": 32, "count": 3}, batches=[3])
    with pytest.raises(ValueError, match=r"size: 32 -> 64"):
        records.open({"size": 64, "count": 3}, batches=[3])
    assert records.open({"size": 64}, batches=[3], overwrite=True) == 0


def test_broken_views_are_named(world, suite, tmp_path):
    dataset, items = open_world(world, protocol="same_view")

    class Broken(Copy):
        def invert(self, photo, camera):
            photo = photo.clone()
            photo[1, 0, 0, 0] = float("nan")
            return CopiedPhoto(photo)

    with pytest.raises(ValueError, match="not finite: own of person_0/1.png"):
        measure(Broken(), dataset, items, suite, tmp_path / "nan", batch_size=4)
    wrong = Copy()
    wrong.image_size = 64
    with pytest.raises(ValueError, match=r"gave images \(3, 32, 32\), expected \(3, 64, 64\)"):
        measure(wrong, dataset, items, suite, tmp_path / "size", batch_size=4)


def test_summary_is_of_the_rows(world, suite, tmp_path):
    dataset, items = open_world(world, protocol="multi_view")
    shifted, exact = (
        summarise(
            "copy",
            measure(Copy(x), dataset, items, suite, tmp_path / str(x), batch_size=2),
            suite,
            resamples=200,
            seed=0,
        )
        for x in (0.2, 0.0)
    )
    assert shifted.metrics["psnr"].estimate == pytest.approx(shifted.values["psnr"].mean())
    assert shifted.metrics["psnr"].groups == PEOPLE and shifted.metrics["psnr"].count == 9
    assert 0 <= shifted.metrics["who_auc"].estimate <= 1
    assert shifted.seconds_invert == 0.5 / 1 and shifted.seconds_render == pytest.approx(0.25 / 3)
    found = compare_methods(exact, shifted, resamples=200, seed=0)
    difference = exact.values["psnr"] - shifted.values["psnr"]
    assert found["psnr"].estimate == pytest.approx(difference.mean())
    fewer = replace(shifted, rows=shifted.rows[:-1])
    with pytest.raises(ValueError, match="different images"):
        compare_methods(exact, fewer, resamples=200, seed=0)


def test_command_end_to_end(world, capsys):
    results, out = run(world, "evaluate.pictures=1", "metrics=mini", name="end")
    names = ["encoder", "mean_latent", "untrained_encoder"]
    assert [result.name for result in results] == names
    summary = json.loads((out / "summary.json").read_text())
    assert list(summary["methods"]) == names and summary["data"]["images"] == 4 * PEOPLE
    encoder = summary["methods"]["encoder"]
    assert encoder["images"] == 12 and len(encoder["files"]["encoder.safetensors"]) == 64
    assert set(summary["metric_files"]) == {"id_faceres.safetensors", "perc_vgg16hed.safetensors"}
    assert list(summary["paired_differences"]) == [f"encoder - {n}" for n in names[1:]]
    with open(out / "encoder" / "rows.csv") as file:
        values = [float(row["psnr"]) for row in csv.DictReader(file)]
    assert encoder["metrics"]["psnr"]["estimate"] == pytest.approx(np.mean(values))
    assert Image.open(out / "sheet.png").size[0] > 6 * SIZE
    text = (out / "table.md").read_text()
    assert "id_faceres_auc" in text and "12 images of 12 people" in text
    assert text in capsys.readouterr().out


def test_same_command_twice_adds_nothing(world):
    _, out = run(world, name="twice")
    rows = out / "encoder" / "rows.csv"
    before, stamp = rows.read_bytes(), json.loads((out / "summary.json").read_text())
    run(world, name="twice")
    assert rows.read_bytes() == before
    again = json.loads((out / "summary.json").read_text())
    assert again["methods"] == stamp["methods"]


@pytest.fixture(scope="module")
def mead(tmp_path_factory) -> EvaluationData:
    folder = tmp_path_factory.mktemp("mead") / "mead"
    write_split(folder, SplitSettings(split="mead", count=2, seed=3, size=SIZE))
    return EvaluationData(path=str(folder))


def test_depth_is_compared_with_the_truth(mead, suite, tmp_path):
    photos = open_photos(mead, PathSettings(), protocol="multi_view", size=SIZE)
    assert photos.has_depth
    items = build_items(photos.dataset.names, photos.dataset.labels, protocol="multi_view")
    suite = suite.with_depth()
    name = photos.dataset.names[items[1].targets[2]]

    class Deep(Copy):
        """The truth of each target, .03 too far."""

        def invert(self, photo, camera):
            inversion = CopiedPhoto(photo)

            def render(cameras):
                targets = [target for item in items for target in item.targets]
                depth_z = photos.true_depth(targets)[0].unflatten(0, (2, 4)) + 0.03
                return replace(CopiedPhoto.render(inversion, cameras), depth_z=depth_z)

            inversion.render = render
            return inversion

    records = Records(tmp_path / "deep", columns=suite.columns, identity=suite.identity)
    records.open({}, batches=[8])
    loop.evaluate_method(
        Deep(), photos, items, suite=suite, records=records, batch_size=2, progress=False
    )
    rows, values = records.read_rows()
    assert rows[6].name == name and suite.lower_is_better("depth_mean")
    assert np.allclose(values["depth_mean"], 0.03, atol=1e-6)
    assert np.allclose(values["depth_median"], 0.03, atol=1e-6)
    view = Portrait.sample(person_seed("mead", 3, 1)).render(
        photos.dataset.labels[items[1].targets[2]], size=SIZE
    )
    depth_z, mask = photos.true_depth([items[1].targets[2]])
    assert np.allclose(depth_z[0, 0], view.depth_z, atol=1e-4)
    assert np.allclose(mask[0, 0], view.mask, atol=0.01)


def test_depth_of_another_size_is_not_used(mead):
    photos = open_photos(mead, PathSettings(), protocol="multi_view", size=SIZE // 2)
    assert photos.truth is not None and not photos.has_depth


def test_true_latents_are_found_by_photo(mead):
    photos = open_photos(mead, PathSettings(), protocol="multi_view", size=SIZE // 2)
    latents = photos.latents()
    assert len(latents) == 10
    for i in (0, 7):
        person = Portrait.sample(person_seed("mead", 3, i // 5))
        found = latents[photo_key(photos.dataset[i].image)]
        assert np.array_equal(found.numpy(), person.z)


def test_multi_view_command(world):
    results, out = run(world, "evaluate.protocol=multi_view", "evaluate.count=2", name="multi")
    assert len(results[0].rows) == 6 and set(results[0].by_view) == {
        "yaw -60",
        "yaw -30",
        "yaw +30",
    }
    assert json.loads((out / "summary.json").read_text())["protocol"] == "multi_view"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["evaluate.protocol=sideways"], "choose one of same_view, multi_view"),
        (["evaluate.batch_size=0"], "evaluate.batch_size=0 must be at least 1"),
        (["evaluate.count=0"], "evaluate.count=0 must be at least 1"),
        (["data.path=/nowhere/at/all"], "data.path=/nowhere/at/all does not exist"),
        (["evaluate.encoder=/no/run"], "no file /no/run"),
        (["evaluate.encoder=null"], "which generator belongs"),
        (["method=[true_latent]"], "latents are known"),
        (["metrics.training_nets=[lpips_alex]"], "training_nets names lpips_alex"),
        (["run.name=a/b"], "must be one plain folder name"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_mistakes_end_with_a_message(world, capsys, words, message):
    with pytest.raises(SystemExit) as stop:
        run(world, *words, name="mistake" if "run.name=a/b" not in words else "table")
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error


def test_every_metric_and_method_composes():
    for metrics in ("mini", "full", "pixels"):
        config = compose_config("evaluate", [f"metrics={metrics}"])
        assert config.metrics._target_ == "warpgan.evaluation.measures.build_suite"
    methods = ("encoder", "mean_latent", "untrained_encoder", "true_latent")
    config = compose_config("evaluate", [f"method=[{','.join(methods)}]"])
    assert tuple(config.method) == methods


def test_repeated_images_are_refused():
    labels = look_at([0.0, 1.0], 0.0)
    with pytest.raises(ValueError, match="counts each image once"):
        build_items(["a.png", "a.png"], labels, protocol="same_view")


def test_multi_view_needs_views():
    labels = look_at([0.0, 1.0], 0.0)
    with pytest.raises(ValueError, match="2 of 2 folders have one"):
        build_items(["a/x.png", "b/x.png"], labels, protocol="multi_view")
