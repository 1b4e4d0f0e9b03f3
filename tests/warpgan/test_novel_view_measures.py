"""Novel views of portraits, split into pixels that the photo saw and did not."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from tests.warpgan.evaluation_world import SIZE, write_photos, write_run
from warpgan import evaluate as entry
from warpgan.cli import compose_config
from warpgan.config import PathSettings
from warpgan.data.portraits import Portrait, true_visibility
from warpgan.data.portraits.splits import SplitSettings, person_seed, write_split
from warpgan.evaluation import photos as photos_module
from warpgan.evaluation.config import EvaluationData
from warpgan.evaluation.items import Row, build_items, yaw_group
from warpgan.evaluation.measures import Compared, Known, MetricSuite
from warpgan.evaluation.photos import open_photos
from warpgan.evaluation.records import Records
from warpgan.evaluation.sheet import OCCLUDED_COLOUR
from warpgan.evaluation.summary import (
    MethodResult,
    compare_methods,
    rows_with_number,
    yaw_groups,
)
from warpgan.evaluation.tables import differences_table, table
from warpgan.methods.true_latent import photo_key
from warpgan.metrics.bootstrap import mean_interval
from warpgan.metrics.pixel import PSNR_CEILING
from warpgan.perception.perceptual import FeatureDistance, LpipsDistance

PEOPLE = 2


class Halves(torch.nn.Module):
    """Two feature levels, whole and half resolution, whose channels are never all zero."""

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        level = torch.cat([images, torch.ones_like(images[:, :1])], 1)
        return [level, F.avg_pool2d(level, 2)]


@pytest.fixture(scope="module")
def net() -> FeatureDistance:
    return FeatureDistance("halves", Halves(), pixels=lambda x: x)


@pytest.fixture(scope="module")
def mead(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("mead") / "mead"
    write_split(folder, SplitSettings(split="mead", count=PEOPLE, seed=3, size=SIZE))
    return folder


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_a_weight_averages_the_positions_of_every_level(net):
    a, b = noise(2, 3, 8, 8), noise(2, 3, 8, 8, seed=1)
    weight = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(2))
    slow = torch.zeros(2)
    for side in (8, 4):
        for item in range(2):
            total = share_sum = 0.0
            for y in range(side):
                for x in range(side):
                    step = 8 // side
                    here = (slice(item, item + 1), slice(None))
                    place = (slice(y * step, (y + 1) * step), slice(x * step, (x + 1) * step))
                    vectors = [
                        torch.cat([image[here + place].mean((2, 3)), torch.ones(1, 1)], 1)
                        for image in (a, b)
                    ]
                    u, v = (w / (w.square().sum() + net.EPSILON).sqrt() for w in vectors)
                    share = weight[(item, 0, *place)].mean()
                    total += share * (u - v).square().sum()
                    share_sum += share
            slow[item] += total / share_sum / 2
    torch.testing.assert_close(net.distance(a, b, weight=weight), slow)


def test_a_weight_of_ones_is_none(net):
    a, b = noise(3, 3, 12, 10), noise(3, 3, 12, 10, seed=1)
    ones = torch.ones(3, 1, 12, 10)
    torch.testing.assert_close(net.distance(a, b, weight=ones), net.distance(a, b))
    torch.testing.assert_close(net.distance(a, b, weight=0.3 * ones), net.distance(a, b))
    together = net.distances(a, b, weights=[None, ones])
    assert torch.equal(together[0], net.distance(a, b))
    assert torch.equal(together[1], net.distance(a, b, weight=ones))


def test_a_weight_sees_only_its_pixels_and_nothing_means_nan(net):
    a = noise(2, 3, 8, 8)
    b = a.clone()
    b[..., :4] = -a[..., :4]
    right = torch.zeros(2, 1, 8, 8)
    right[..., 4:] = 1
    assert (net.distance(a, b, weight=right) == 0).all()
    right[1] = 0
    found = net.distance(a, b, weight=right)
    assert found[0] == 0 and found[1].isnan()
    with pytest.raises(ValueError, match=r"halves: the weight of pictures \[2, 3, 8, 8\]"):
        net.distance(a, b, weight=right[:, :, :4])


@pytest.mark.filterwarnings("ignore::UserWarning:torchvision")
def test_lpips_takes_a_weight():
    net = LpipsDistance("lpips_alex", backbone="alex", weights=None)
    a, b = noise(2, 3, 64, 64), noise(2, 3, 64, 64, seed=1)
    ones = torch.ones(2, 1, 64, 64)
    torch.testing.assert_close(net.distance(a, b, weight=ones), net.distance(a, b))
    left = ones.clone()
    left[..., 32:] = 0
    halves = [net.distance(a, b, weight=side) for side in (left, 1 - left)]
    assert not torch.allclose(*halves)
    whole = net.distance(a, b)
    assert (torch.minimum(*halves) < whole).all() and (whole < torch.maximum(*halves)).all()


def compared(images: torch.Tensor, photos: torch.Tensor, visible: torch.Tensor) -> Compared:
    count = len(images)
    cameras = torch.zeros(count, 25)
    return Compared(
        images=images,
        cameras=cameras,
        references=photos,
        reference_cameras=cameras,
        reference_of=torch.arange(count),
        failed=torch.zeros(count, dtype=torch.bool),
        visible=visible,
    )


def test_suite_measures_each_kind_of_pixel(net):
    suite = MetricSuite(perceptual=[net]).for_data(Known(visibility=True))
    assert suite.columns == (
        "psnr", "ssim", "halves",
        "psnr_visible", "psnr_occluded", "halves_visible", "halves_occluded",
    )  # fmt: skip
    assert suite.partial == suite.columns[3:]
    assert suite.lower_is_better("halves_occluded") and not suite.lower_is_better("psnr_visible")
    photos = torch.zeros(3, 3, 16, 16)
    visible = torch.zeros(3, 1, 16, 16, dtype=torch.bool)
    visible[0, ..., :4], visible[2] = True, True
    images = photos + torch.where(visible, 0.2, 0.02)
    found = suite.measure(compared(images, photos, visible)).values
    assert list(found) == list(suite.columns)
    # .2 of a range of 2 is 20 dB, .02 is 40 dB
    assert np.allclose(found["psnr_visible"], [20, np.nan, 20], equal_nan=True)
    assert np.allclose(found["psnr_occluded"], [40, 40, np.nan], equal_nan=True, atol=1e-5)
    assert np.isclose(found["psnr"][0], -10 * np.log10(0.01 / 4 + 1e-4 * 3 / 4))
    assert found["psnr_visible"][2] == pytest.approx(found["psnr"][2])
    assert found["halves_occluded"][1] == pytest.approx(found["halves"][1])
    exact = suite.measure(compared(photos, photos, visible)).values
    assert exact["psnr_visible"][0] == PSNR_CEILING and np.isnan(exact["psnr_visible"][1])


def test_visibility_is_the_world_s_and_is_kept(mead, monkeypatch):
    photos = open_photos(
        EvaluationData(path=str(mead)), PathSettings(), protocol="multi_view", size=SIZE
    )
    assert photos.has_visibility and "visibility" in photos.note
    items = build_items(photos.dataset.names, photos.dataset.labels, protocol="multi_view")
    pairs = [(item.source, target) for item in items for target in item.targets]
    shutil.rmtree(mead / "visibility", ignore_errors=True)
    visible = photos.true_visibility(pairs)
    assert visible.shape == (8, 1, SIZE, SIZE) and visible.dtype == torch.bool
    source, target = pairs[5]
    expected = true_visibility(
        Portrait.sample(person_seed("mead", 3, 1)),
        photos.dataset.labels[source],
        photos.dataset.labels[target],
        SIZE,
    )
    assert np.array_equal(visible[5, 0].numpy(), expected)
    assert 0.1 < visible.float().mean() < 0.9
    kept = mead / "visibility" / f"{SIZE}px" / "person_00001" / "yaw_-30_from_yaw_+00.npz"
    assert kept.is_file()

    computed = []
    monkeypatch.setattr(photos_module, "true_visibility", lambda *a: computed.append(a) or expected)
    assert torch.equal(photos.true_visibility(pairs), visible) and not computed
    # Another camera of the same photo is not taken for the kept one.
    moved = photos.dataset.labels[target].clone()
    moved[3] += 0.1
    monkeypatch.setattr(photos.dataset, "labels", photos.dataset.labels.clone())
    photos.dataset.labels[target] = moved
    photos.true_visibility([(source, target)])
    assert len(computed) == 1 and np.array_equal(computed[0][2], moved.numpy())
    shutil.rmtree(mead / "visibility")


def test_visibility_is_of_novel_views_of_portraits_only(mead, tmp_path):
    same = open_photos(
        EvaluationData(path=str(mead)), PathSettings(), protocol="same_view", size=SIZE
    )
    write_photos(tmp_path / "photos", people=2)
    real = open_photos(
        EvaluationData(path=str(tmp_path / "photos")),
        PathSettings(),
        protocol="multi_view",
        size=SIZE,
    )
    for photos in (same, real):
        assert not photos.has_visibility and "visibility" not in photos.note


def row(person: int, yaw: float) -> Row:
    nominal = round(yaw / 30) * 30
    view = f"yaw {nominal:+d}" if nominal else "yaw 0"
    return Row(f"{person}/{yaw}.png", f"{person}/s.png", str(person), view, yaw, 0.0)


def result(name: str, rows: list[Row], values: dict[str, np.ndarray]) -> MethodResult:
    whole = list(range(len(rows)))
    groups = {"all": whole, **yaw_groups(rows)}
    found = {}
    for group, places in groups.items():
        found[group] = {}
        for column, numbers in values.items():
            used = rows_with_number(numbers, places, partial="occluded" in column)
            owners = [rows[place].person for place in used]
            found[group][column] = (
                mean_interval(numbers[used], groups=owners, resamples=200) if used else None
            )
    metrics = found.pop("all")
    return MethodResult(name, tuple(rows), values, metrics, {}, found, {}, 0.1, 0.1, None, {})


def test_views_are_grouped_by_their_nominal_yaw():
    rows = [row(0, yaw) for yaw in (-58.0, -31.0, 3.0, 28.0, 61.0)]
    assert [yaw_group(one) for one in rows] == [
        "yaw +-60", "yaw +-30", "yaw +-0", "yaw +-30", "yaw +-60",
    ]  # fmt: skip
    assert yaw_groups(rows) == {"yaw +-0": [2], "yaw +-30": [1, 3], "yaw +-60": [0, 4]}
    assert yaw_groups([replace(rows[0], view="own")]) == {}


def test_rows_without_pixels_of_a_kind_are_left_out_and_counted():
    suite = MetricSuite().for_data(Known(visibility=True))
    rows = [row(person, yaw) for person in range(3) for yaw in (-30.0, 60.0)]
    rng = np.random.default_rng(0)
    gaps = np.array([np.nan, 0, 0, 0, np.nan, 0])
    a, b = (
        {column: rng.normal(20, 1, 6) for column in ("psnr", "ssim")}
        | {"psnr_visible": rng.normal(20, 1, 6), "psnr_occluded": rng.normal(9, 1, 6) + gaps}
        for _ in range(2)
    )
    first, second = result("first", rows, a), result("second", rows, b)
    boot = {"partial": suite.partial, "resamples": 200, "seed": 0}
    found = compare_methods(first, second, **boot)
    used = [1, 2, 3, 5]
    assert found["psnr"].count == 6 and found["psnr_occluded"].count == 4
    assert found["psnr_occluded"].groups == 3
    expected = (a["psnr_occluded"] - b["psnr_occluded"])[used].mean()
    assert found["psnr_occluded"].estimate == pytest.approx(expected)
    text = table([first, second], suite, data="world")
    assert text.count("(4 rows)") == 2 and "6 images of 3 people" in text
    text = differences_table("first", {"second": found}, suite)
    assert text.count("(4 rows)") == 1

    small = compare_methods(first, second, places=yaw_groups(rows)["yaw +-30"], **boot)
    assert small["psnr_occluded"].count == 1 and small["psnr"].count == 3
    none = compare_methods(first, second, places=[0, 4], **boot)
    assert none["psnr_occluded"] is None and none["psnr_visible"].count == 2
    assert "no row" in differences_table("first", {"second": none}, suite, group="some")

    other = dict(b, psnr_occluded=b["psnr_occluded"] + np.array([0, np.nan, 0, 0, 0, 0]))
    with pytest.raises(ValueError, match=r"number of psnr_occluded for 0/60.0.png"):
        compare_methods(first, result("other", rows, other), **boot)
    # A number may be absent in a partial metric only.
    broken = dict(b, ssim=b["ssim"] + gaps)
    with pytest.raises(ValueError, match="not finite"):
        compare_methods(first, replace(second, values=broken), **boot)


@pytest.fixture(scope="module")
def run_folder(mead, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    write_run(folder / "trained")
    return folder


def run(mead: Path, runs: Path, *words: str, name: str) -> Path:
    given = [
        f"paths.runs={runs}",
        f"data.path={mead}",
        f"evaluate.encoder={runs / 'trained'}",
        f"run.name={name}",
        "evaluate.protocol=multi_view",
        "metrics=pixels",
        "metrics.perceptual=[perc_vgg16hed]",
        "method=[mean_latent,encoder]",
        "evaluate.resamples=200",
        "evaluate.batch_size=1",
        "evaluate.pictures=0",
        "evaluate.device=cpu",
        *words,
    ]
    entry.evaluate(compose_config("evaluate", given), given)
    return runs / name


def test_command_splits_novel_views(mead, run_folder):
    out = run(mead, run_folder, "evaluate.reference=encoder", "evaluate.pictures=1", name="novel")
    summary = json.loads((out / "summary.json").read_text())
    encoder = summary["methods"]["encoder"]
    assert list(encoder["by_yaw"]) == ["yaw +-30", "yaw +-60"]
    assert list(encoder["by_view"]) == ["yaw -60", "yaw -30", "yaw +30", "yaw +60"]
    near, far = encoder["by_yaw"].values()
    assert near["perc_vgg16hed_occluded"]["count"] == 2 * PEOPLE
    both = (near["psnr_visible"]["estimate"] + far["psnr_visible"]["estimate"]) / 2
    assert encoder["metrics"]["psnr_visible"]["estimate"] == pytest.approx(both)
    assert summary["partial"][0] == "psnr_visible"
    assert summary["better"]["perc_vgg16hed_visible"] == "lower"
    pair = "encoder - mean_latent"
    assert list(summary["paired_differences"]) == [pair]
    found = summary["paired_differences_by_yaw"]["yaw +-60"][pair]["psnr_occluded"]
    assert found["count"] == 2 * PEOPLE and found["groups"] == PEOPLE
    text = (out / "table.md").read_text()
    for head in ("yaw +-30 |", "yaw +-60 |", "| encoder minus", "| yaw +-60: encoder minus"):
        assert head in text
    assert text.count("| mean_latent |") == 6 and "backdrop included" in text
    sheet = np.asarray(Image.open(out / "sheet.png")).astype(float)
    # photo and four views; truth, occluded, two methods
    assert sheet.shape[1] > 5 * SIZE and sheet.shape[0] > 4 * SIZE
    near_colour = np.abs(sheet - OCCLUDED_COLOUR).max(-1) < 90
    assert near_colour.sum() > SIZE * SIZE / 4


def test_an_interrupted_evaluation_of_novel_views_continues_to_the_same_bytes(
    mead, run_folder, monkeypatch
):
    whole = run(mead, run_folder, name="whole")
    write, written = Records.write, []

    def stop_at_the_third(self, batch, rows, part):
        if len(written) == 3:
            raise KeyboardInterrupt
        written.append(batch)
        write(self, batch, rows, part)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Records, "write", stop_at_the_third)
        run(mead, run_folder, name="part")
    shutil.rmtree(mead / "visibility")
    part = run(mead, run_folder, name="part")
    for name in ("encoder/rows.csv", "mean_latent/rows.csv"):
        assert (part / name).read_bytes() == (whole / name).read_bytes()
    views = sorted(path.name for path in (whole / "encoder" / "views").iterdir())
    assert len(views) == 4 * PEOPLE
    for name in views:
        one, two = (out / "encoder" / "views" / name for out in (whole, part))
        assert one.read_bytes() == two.read_bytes()


def test_depths_are_found_by_photo(mead):
    data = EvaluationData(path=str(mead))
    photos = open_photos(data, PathSettings(), protocol="multi_view", size=SIZE)
    depths = photos.depths()
    assert len(depths) == 5 * PEOPLE
    found = depths[photo_key(photos.dataset[7].image)]
    assert torch.equal(found, photos.true_depth([7])[0][0]) and found.shape == (1, SIZE, SIZE)
    small = open_photos(data, PathSettings(), protocol="multi_view", size=SIZE // 2)
    assert small.depths() == {}


def test_a_method_s_other_options_are_not_mixed_in(mead, run_folder, capsys):
    words = ["method=[untrained_encoder]", "method.untrained_encoder.seed=1"]
    run(mead, run_folder, *words, name="options")
    with pytest.raises(SystemExit):
        run(mead, run_folder, words[0], "method.untrained_encoder.seed=2", name="options")
    assert "'seed': 1" in capsys.readouterr().err


def test_a_reference_that_is_no_method_is_named(mead, run_folder, capsys):
    with pytest.raises(SystemExit) as stop:
        run(mead, run_folder, "evaluate.reference=warp", name="wrong")
    assert stop.value.code == 2
    assert "choose one of mean_latent, encoder" in capsys.readouterr().err
