"""``python -m warpgan.synthesize`` with several photos of a person, in the tiny random world."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.warpgan.evaluation_world import SIZE
from tests.warpgan.synthesis_world import build_pipeline, write_networks
from tests.warpgan.test_synthesize import VIEWS, contents, pixels
from tests.warpgan.training_world import write_images
from warpgan.data.folder import Sample
from warpgan.synthesis.outputs import tiled
from warpgan.synthesis.people import find_subjects
from warpgan.synthesis.plan import STAGES
from warpgan.synthesize import main


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("people")
    write_images(folder / "ann", count=3, size=SIZE)
    write_networks(folder)
    labels = json.loads((folder / "ann" / "dataset.json").read_text())["labels"]
    for person, places in (("ann", (0, 1)), ("bob", (2,))):
        for place in places:
            path = folder / "team" / person / labels[place][0]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes((folder / "ann" / labels[place][0]).read_bytes())
    rows = [
        [f"{'ann' if i < 2 else 'bob'}/{name}", label] for i, (name, label) in enumerate(labels)
    ]
    (folder / "team" / "dataset.json").write_text(json.dumps({"labels": rows}))
    return folder


def run(world: Path, photos: str, out: Path, *more: str) -> Path:
    words = [str(world / photos), str(out), "--svinet", str(world / "svinet_run")]
    words += ["--yaw", "-20", "20", "--orbit", "4", "--device", "cpu"]
    assert main([*words, *more]) == 0
    return out


def refused(capsys, world: Path, photos: str, *more: str) -> str:
    with pytest.raises(SystemExit) as ended:
        run(world, photos, world / "refused", *more)
    assert ended.value.code == 2
    return capsys.readouterr().err


@pytest.fixture(scope="module")
def finished(world) -> Path:
    return run(world, "team", world / "out", "--people", "folders")


def test_every_person_has_a_folder(finished):
    assert {path.name for path in finished.iterdir()} == {"ann", "bob", "sheet.png"}
    for person, count in (("ann", 2), ("bob", 1)):
        inputs = [f"photo_{i + 1}" for i in range(count)]
        stages = [f"{stage}/{view}.png" for stage in STAGES["warpgan"] for view in VIEWS]
        depths = [f"depth/{name}.png" for name in (*VIEWS, *inputs)]
        singles = ["grid.png", "orbit.mp4", "orbit.gif", "points.ply", "views.json"]
        photos = [f"{name}.png" for name in inputs]
        assert set(contents(finished / person)) == {*stages, *depths, *singles, *photos}
    assert pixels(finished / "sheet.png").shape[1] > (2 + 2 * 5) * SIZE, "both photos, then views"


def test_the_record_holds_all_photos(finished):
    record = json.loads((finished / "ann" / "views.json").read_text())
    assert record["person"] == "ann" and record["match_colours"] is True
    assert [each["photo"] for each in record["photos"]] == ["ann/p00.png", "ann/p01.png"]
    assert len({each["pixels_sha256"] for each in record["photos"]}) == 2
    assert all(len(each["camera"]) == 25 for each in record["photos"])


def test_files_are_those_of_the_pipeline(finished):
    record = json.loads((finished / "ann" / "views.json").read_text())
    photos = [pixels(finished / "ann" / f"photo_{i}.png").copy() for i in (1, 2)]
    photos = torch.from_numpy(np.stack(photos)).permute(0, 3, 1, 2) / 127.5 - 1
    cameras = torch.tensor([each["camera"] for each in record["photos"]])
    several = build_pipeline().invert_several(photos, cameras)
    views = several.views(torch.tensor(list(record["views"].values()))[None])
    for view, name in enumerate(VIEWS):
        written = pixels(finished / "ann" / "warpgan" / f"{name}.png").astype(float)
        expected = ((views.image[0, view] + 1) * 127.5).permute(1, 2, 0).numpy()
        assert np.abs(written - expected).max() <= 0.51


def test_one_photo_of_a_person_gives_the_views_of_that_photo(finished, world):
    alone = run(world, "team/bob/p02.png", world / "alone", "--label", str(_label(world)))
    for stage in STAGES["warpgan"]:
        for view in VIEWS:
            ours, theirs = (f / stage / f"{view}.png" for f in (finished / "bob", alone / "p02"))
            assert ours.read_bytes() == theirs.read_bytes()
    for name in ("orbit.gif", "points.ply"):
        assert (finished / "bob" / name).read_bytes() == (alone / "p02" / name).read_bytes()


def test_finished_people_are_left_alone(finished, world, capsys):
    before = contents(finished)
    (finished / "bob" / "views.json").unlink()
    run(world, "team", finished, "--people", "folders")
    said = capsys.readouterr().out
    assert "ann: done before" in said and "bob: 1 photos inverted" in said
    assert contents(finished) == before


def test_another_photo_more_is_another_result(world, capsys):
    out = run(world, "ann", world / "grown", "--same-person")
    record = json.loads((out / "ann" / "views.json").read_text())
    assert len(record["photos"]) == 3
    capsys.readouterr()
    words = ("--same-person", "--labels", str(_fewer(world)))
    with pytest.raises(SystemExit):
        run(world, "ann", out, *words)
    assert "another photos" in capsys.readouterr().err
    run(world, "ann", out, *words, "--overwrite")
    assert (out / "ann" / "photo_2.png").is_file()
    assert not (out / "ann" / "photo_3.png").exists(), "the third of the earlier run"
    assert not (out / "ann" / "depth" / "photo_3.png").exists()


def test_colours_are_kept_when_asked(world):
    out = run(world, "ann", world / "kept", "--same-person", "--keep-colours", "--orbit", "0")
    assert json.loads((out / "ann" / "views.json").read_text())["match_colours"] is False


def test_count_counts_people(world):
    out = run(world, "team", world / "counted", "--people", "folders", "--count", "1")
    assert {path.name for path in out.iterdir()} == {"ann", "sheet.png"}


def test_mistakes_are_told(world, capsys):
    assert "lies in no sub-folder" in refused(capsys, world, "ann", "--people", "folders")
    assert "not allowed with" in refused(
        capsys, world, "team", "--people", "folders", "--same-person"
    )
    with pytest.raises(ValueError, match="photos of different people"):
        find_subjects([], "portraits", same_person=True)
    crowd = [Sample(torch.zeros(3, 8, 8), torch.zeros(25), i, f"ann/{i}.png") for i in range(17)]
    with pytest.raises(ValueError, match="17 photos of one person; at most 16"):
        find_subjects(crowd, "team", people="folders")


def test_names_reach_to_the_last_slash():
    names = ("a/b/1.png", "a/c/1.png", "a/b/2.png")
    photos = [Sample(torch.zeros(3, 8, 8), torch.zeros(25), i, n) for i, n in enumerate(names)]
    found = {each.name: each.places for each in find_subjects(photos, "x", people="folders")}
    assert found == {"a/b": (0, 2), "a/c": (1,)}


def test_tiles_share_the_place_of_one():
    images = [np.full((9, 9, 3), level, np.uint8) for level in (10, 60, 110)]
    assert tiled(images[:1]) is images[0]
    place = tiled(images)
    assert place.shape == (9, 9, 3)
    corners = [place[0, 0, 0], place[0, -1, 0], place[-1, 0, 0], place[-1, -1, 0]]
    assert corners == [10, 60, 110, 255]


def _label(world: Path) -> Path:
    labels = json.loads((world / "ann" / "dataset.json").read_text())["labels"]
    path = world / "camera.json"
    path.write_text(json.dumps(dict(labels)["p02.png"]))
    return path


def _fewer(world: Path) -> Path:
    labels = json.loads((world / "ann" / "dataset.json").read_text())["labels"]
    path = world / "fewer.json"
    path.write_text(json.dumps({"labels": labels[:2]}))
    return path
