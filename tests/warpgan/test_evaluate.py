import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.warpgan.evaluation_world import SIZE, write_photos, write_run
from warpgan import evaluate as entry
from warpgan.cameras import look_at
from warpgan.cli import compose_config
from warpgan.evaluation.items import build_items

PEOPLE = 3


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    write_photos(folder / "photos", people=PEOPLE)
    write_run(folder / "runs" / "trained")
    return folder


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


def test_command_end_to_end(world, capsys):
    results, out = run(world, "evaluate.pictures=1", "metrics=mini", name="end")
    names = ["encoder", "mean_latent", "untrained_encoder"]
    assert [result.name for result in results] == names
    summary = json.loads((out / "summary.json").read_text())
    assert list(summary["methods"]) == names and summary["data"]["images"] == 4 * PEOPLE
    encoder = summary["methods"]["encoder"]
    assert encoder["images"] == 12 and len(encoder["files"]["encoder.safetensors"]) == 64
    nets = ("id_faceres", "kid_nsfw", "perc_vgg16hed", "pose_mini")
    assert set(summary["metric_files"]) == {f"{net}.safetensors" for net in nets}
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


def test_a_refusal_comes_before_any_work_and_leaves_the_config(world, capsys):
    _, out = run(world, "method=[mean_latent]", name="refused")
    before = (out / "config.yaml").read_bytes()
    words = ["method=[encoder,mean_latent]", "evaluate.count=2"]
    for more, message in ((words, "items: 12 -> 2"), (["data.labels=short.json"], "other data")):
        labels = json.loads((world / "photos" / "dataset.json").read_text())["labels"][:4]
        (world / "photos" / "short.json").write_text(json.dumps({"labels": labels}))
        with pytest.raises(SystemExit) as stop:
            run(world, *more, "data.skip_invalid=true", name="refused")
        assert stop.value.code == 2 and message in capsys.readouterr().err
    assert (out / "config.yaml").read_bytes() == before
    assert not (out / "encoder" / "rows.csv").exists()


def test_methods_that_were_not_named_again_are_told_of(world, capsys):
    run(world, "method=[mean_latent]", name="fewer")
    assert "not in the summary" not in capsys.readouterr().out
    run(world, "method=[encoder]", name="fewer")
    assert "not in the summary: mean_latent" in capsys.readouterr().out


def test_several_processes_do_not_start_anew_under_each_other(world, capsys, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(SystemExit) as stop:
        run(world, "run.overwrite=true", name="anew")
    assert stop.value.code == 2 and "2 processes" in capsys.readouterr().err


def test_multi_view_command(world):
    results, out = run(world, "evaluate.protocol=multi_view", "evaluate.count=2", name="multi")
    assert len(results[0].rows) == 6 and set(results[0].by_view) == {
        "yaw -60",
        "yaw -30",
        "yaw +30",
    }
    assert json.loads((out / "summary.json").read_text())["protocol"] == "multi_view"


def test_novel_views_of_single_photos(world):
    words = [
        "evaluate.protocol=novel_view",
        "metrics=mini",
        "evaluate.count=4",
        "metrics.cache=null",
    ]
    methods = "method=[encoder,photo_itself,generator_samples]"
    results, out = run(world, *words, methods, "evaluate.pictures=1", name="single")
    rows = results[0].rows
    names = [f"person_0/{place}.png" for place in range(4)]
    assert [row.name for row in rows] == [f"{name}@{k}" for name in names for k in range(3)]
    assert [row.view for row in rows[:3]] == ["novel 0", "novel 1", "novel 2"]
    listed = json.loads((Path(entry.__file__).parent / "assets/novel_cameras.json").read_text())
    angles = np.array([[row.yaw, row.pitch] for row in rows])
    assert np.allclose(angles, listed["cameras"][:12], atol=1e-3)
    summary = json.loads((out / "summary.json").read_text())
    assert list(summary["methods"]["encoder"]["metrics"])[0] == "id_faceres"
    assert summary["methods"]["encoder"]["by_yaw"] == {}
    same = summary["methods"]["photo_itself"]
    counts = {"images": 12, "references": 4}
    assert same["sets"]["all"]["fd_nsfw"].items() >= counts.items()
    # The photo itself is the photo: only that it stands there three times tells the sets apart.
    samples = summary["methods"]["generator_samples"]["sets"]["all"]
    for name in ("fd_nsfw", "fd_nsfw_face"):
        assert same["sets"]["all"][name]["value"] < samples[name]["value"] / 3
    assert summary["better"]["kid_nsfw_face"] == "lower"
    floor = summary["floors"]["originals, half against half"]
    assert floor["images"] == 4 and floor["sets"]["kid_nsfw"]["references"] == 2
    features = np.load(out / "encoder" / "features_kid_nsfw.npy")
    assert features.shape == (12, 2, 2048)
    assert (features[:3, 1] == features[0, 1]).all() and (features[3, 1] != features[0, 1]).any()
    assert (out / "photos" / "person_0" / "0.png.webp").is_file()
    assert len(list((out / "encoder" / "views").iterdir())) == 12
    assert (out / "sheet.png").is_file()


def test_novel_views_need_more_than_pixels(world, capsys):
    with pytest.raises(SystemExit) as stop:
        run(world, "evaluate.protocol=novel_view", name="nothing")
    assert stop.value.code == 2 and "need an identity net" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["evaluate.protocol=sideways"], "choose one of same_view, multi_view, novel_view"),
        (["evaluate.batch_size=0"], "evaluate.batch_size=0 must be at least 1"),
        (["evaluate.count=0"], "evaluate.count=0 must be at least 1"),
        (["data.path=/nowhere/at/all"], "data.path=/nowhere/at/all does not exist"),
        (["evaluate.encoder=/no/run"], "no file /no/run"),
        (["evaluate.encoder=null"], "which generator belongs"),
        (["method=[true_latent]"], "latents are known"),
        (["metrics.training_nets=[lpips_alex]"], "training_nets names lpips_alex"),
        (["run.name=a/b"], "must be one plain folder name"),
        (["+method.photos={_target_: x}"], "a method cannot be called 'photos'"),
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
        assert config.metrics._target_ == "warpgan.evaluation.suite.build_suite"
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
