"""MEAD's tree to an image folder: defects, resumption, hostile names, and the two steps."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.warpgan.mead_world import (
    FULL,
    GOOD,
    MIDDLE,
    YAWS,
    clip_path,
    contents,
    defects_of,
    manifest_of,
    notices_of,
    points_of,
    report_of,
    run,
    times,
    write_asked,
    write_clip,
    write_defects,
    write_good_people,
    write_points,
)
from warpgan.cameras import yaw_pitch
from warpgan.crop import crop_from_five_points
from warpgan.data.folder import ImageFolder
from warpgan.data.mead import prepare as prepare_module
from warpgan.data.mead.__main__ import main
from warpgan.data.mead.frames import pixels_sha256
from warpgan.data.mead.layout import CAMERAS
from warpgan.data.mead.person import prepare_person
from warpgan.evaluation.items import build_items
from warpgan.weights import sha256_of


@pytest.fixture(scope="module")
def broken(tmp_path_factory) -> Path:
    """Two good people among every defect; read only."""
    data = tmp_path_factory.mktemp("mead") / "MEAD"
    write_good_people(data)
    write_defects(data)
    return data


def test_every_defect_is_reported_and_nothing_is_dropped_silently(broken, tmp_path, capsys):
    out = tmp_path / "out"
    run(broken, out)
    report = report_of(out)
    assert report["kept"] == list(GOOD) and report["images"] == 10
    defects = defects_of(out)
    assert set(defects) == {
        ("missing camera", "M011/right_60"),
        ("clip is too short", "M019/left_30"),
        ("unreadable video", "M020/right_30"),
        ("missing emotion", "M021/front"),
        ("clip has another length", "M022/left_60"),
        ("missing level", "M023/front"),
        ("missing clip", "M024/front"),
        *(("missing camera", f"W017/{camera}") for camera in CAMERAS),
    }
    assert defects["missing emotion", "M021/front"] == "no neutral, found angry"
    assert defects["missing clip", "M024/front"] == "no 001.mp4, found 030.mp4"
    assert "found down" in defects["missing camera", "W017/front"]
    assert "4 frames" in defects["clip is too short", "M019/left_30"]
    assert "30 frames" in defects["clip has another length", "M022/left_60"]
    people = ("M011", "M019", "M020", "M021", "M022", "M023", "M024", "W017")
    assert list(report["left_out"]) == list(people)
    unused = report["unused"]
    assert unused["clips"]["M003"] == {"down": 1, "front": 1, "top": 1}
    assert unused["clips"]["W017"] == {"down": 1}
    assert unused["audio"] == 1 and unused["hidden"] == 1
    assert set(unused["entries"]) == {"README.txt", "M003/video/front/notes.csv"}
    text = (out / "report.txt").read_text()
    for kind, name in defects:
        assert kind in text and name in text
    assert "2 of 10 people usable" in capsys.readouterr().out


def test_frames_are_the_middle_of_the_shortest_clip(broken, tmp_path, capsys):
    out = tmp_path / "out"
    run(broken, out)
    rows = manifest_of(out)
    assert [(row["id"], row["camera"]) for row in rows] == [
        (person, camera) for person in GOOD for camera in CAMERAS
    ]
    assert {row["frame"] for row in rows} == {str(MIDDLE)}
    assert [row["frames"] for row in rows[:5]] == ["11", "11", "13", "12", "11"]
    for row in rows:
        frame = np.asarray(Image.open(out / "frames" / row["id"] / f"{row['camera']}.png"))
        assert abs(frame.mean() - 20 * MIDDLE) < 3
        assert row["frame_sha256"] == pixels_sha256(frame)
        clip = clip_path(broken, row["id"], row["camera"])
        assert row["video_sha256"] == sha256_of(clip)
    template = json.loads((out / "landmarks_template.json").read_text())
    assert template == {f"{row['id']}/{row['camera']}": None for row in rows}
    printed = capsys.readouterr().out
    assert '{"M003/front": [[x, y]' in printed and "--landmarks points.json" in printed


def test_landmarks_make_a_data_set_for_the_harness(broken, tmp_path, capsys):
    out = tmp_path / "out"
    run(broken, out)
    frame = np.asarray(Image.open(out / "frames" / "W009" / "left_30.png"))
    run(broken, out, "--landmarks", write_points(tmp_path / "points.json"), "--size", 96)
    dataset = ImageFolder(out, size=96)
    assert list(dataset.names) == FULL
    yaw = yaw_pitch(dataset.labels.double())[0].tolist()
    for name, found in zip(dataset.names, yaw, strict=True):
        assert found == pytest.approx(YAWS[Path(name).stem], abs=0.5)
    items = build_items(dataset.names, dataset.labels, protocol="multi_view")
    assert [item.person for item in items] == list(GOOD)
    for item in items:
        assert dataset.names[item.source] == f"{item.person}/front.png"
        assert item.views == ("yaw -60", "yaw -30", "yaw +30", "yaw +60")
    crop = np.asarray(Image.open(out / "W009" / "left_30.png"))
    expected = crop_from_five_points(frame, points_of("left_30"), size=96)
    np.testing.assert_array_equal(crop, expected)
    rows = {f"{row['id']}/{row['camera']}": row for row in manifest_of(out)}
    assert rows["W009/left_30"]["image_sha256"] == pixels_sha256(crop)
    assert not (out / "frames").exists() and (out / ".frames" / "M003" / "front.png").is_file()
    assert "evaluate.protocol=multi_view" in capsys.readouterr().out


def test_one_step_two_steps_and_two_workers_give_the_same_bytes(clean_mead, tmp_path):
    points = write_points(tmp_path / "points.json")
    run(clean_mead, tmp_path / "two")
    run(clean_mead, tmp_path / "two", "--landmarks", points)
    run(clean_mead, tmp_path / "one", "--landmarks", points, "--workers", 2)
    one, two = contents(tmp_path / "one"), contents(tmp_path / "two")
    assert {"dataset.json", "manifest.csv", "report.json", "report.txt", *FULL} <= set(one)
    left_behind = {name for name in two if name.startswith(".frames/")}
    assert set(two) - set(one) == left_behind | {"landmarks_template.json"}
    assert {name: two[name] for name in one} == one


def test_good_crops_are_kept_and_bad_ones_made_again(clean_mead, tmp_path, capsys):
    out, points = tmp_path / "out", write_points(tmp_path / "points.json")
    run(clean_mead, out, "--landmarks", points)
    before, made = contents(out), times(out)
    run(clean_mead, out, "--landmarks", points)
    assert contents(out) == before and times(out) == made
    assert "0 images written, 10 were good already" in capsys.readouterr().out
    half = (out / "M003" / "front.png").read_bytes()[:200]
    (out / "M003" / "front.png").write_bytes(half)
    (out / "M003" / ".left_30.png.4242").write_bytes(half)
    (out / "W009" / "right_60.png").unlink()
    Image.new("RGB", (512, 512)).save(out / "W009" / "front.png")
    run(clean_mead, out, "--landmarks", points)
    assert contents(out) == before, "half-written, removed and overwritten images are made again"
    kept = [name for name in FULL if times(out)[name] == made[name]]
    assert len(kept) == 7


def test_other_points_make_only_their_crops_again(clean_mead, tmp_path):
    out = tmp_path / "out"
    run(clean_mead, out, "--landmarks", write_points(tmp_path / "a.json"))
    made = times(out)
    moved = (np.array(points_of("left_30")) + 1.5).tolist()
    run(clean_mead, out, "--landmarks", write_points(tmp_path / "b.json", W009__left_30=moved))
    assert [name for name in FULL if times(out)[name] != made[name]] == ["W009/left_30.png"]
    run(clean_mead, out, "--landmarks", tmp_path / "a.json", "--size", 64)
    assert {Image.open(out / name).size for name in FULL} == {(64, 64)}


def test_an_interrupted_run_is_no_data_set_and_goes_on(clean_mead, tmp_path, monkeypatch):
    out, points = tmp_path / "out", write_points(tmp_path / "points.json")
    run(clean_mead, tmp_path / "whole", "--landmarks", points)
    run(clean_mead, out, "--landmarks", points, "--size", 64)

    def killed(job):
        if job.person == GOOD[1]:
            raise KeyboardInterrupt
        return prepare_person(job)

    monkeypatch.setattr(prepare_module, "prepare_person", killed)
    with pytest.raises(KeyboardInterrupt):
        main([str(clean_mead), str(out), "--landmarks", str(points)])
    assert not (out / "dataset.json").exists(), "sizes are mixed: not to be evaluated"
    monkeypatch.undo()
    first = [name for name in FULL if name.startswith(GOOD[0])]
    made = times(out, first)
    run(clean_mead, out, "--landmarks", points)
    assert times(out, first) == made
    assert contents(out) == contents(tmp_path / "whole")


def test_another_video_is_read_again(own_mead, tmp_path):
    out, points = tmp_path / "out", write_points(tmp_path / "points.json")
    run(own_mead, out, "--landmarks", points)
    before = {row["id"] + row["camera"]: row for row in manifest_of(out)}
    for camera in CAMERAS:
        write_clip(clip_path(own_mead, "M003", camera), 15)
    run(own_mead, out, "--landmarks", points)
    for row in manifest_of(out):
        old = before[row["id"] + row["camera"]]
        assert row["frame"] == ("7" if row["id"] == "M003" else "5")
        assert (row["image_sha256"] != old["image_sha256"]) == (row["id"] == "M003")


def test_people_without_points_leave_the_data_set(clean_mead, tmp_path):
    out = tmp_path / "out"
    run(clean_mead, out, "--landmarks", write_points(tmp_path / "all.json"))
    far = [[900.0, 900.0]] * 5
    points = write_points(tmp_path / "few.json", W009__left_60=..., W009__right_60=None)
    run(clean_mead, out, "--landmarks", points)
    assert set(defects_of(out)) == {
        ("no points in the landmark file", "W009/left_60"),
        ("no face was found", "W009/right_60"),
    }
    assert list(ImageFolder(out, size=64).names) == [n for n in FULL if n.startswith("M003")]
    run(clean_mead, out, "--landmarks", points, "--allow-missing")
    names = set(ImageFolder(out, size=64).names)
    assert set(FULL) - names == {"W009/left_60.png", "W009/right_60.png"}
    lost = write_points(tmp_path / "lost.json", W009__front=far, M999__front=far)
    run(clean_mead, out, "--landmarks", lost, "--allow-missing")
    assert list(defects_of(out)) == [("points give no camera", "W009/front")]
    assert report_of(out)["points_without_view"] == ["M999/front"]
    assert len(ImageFolder(out, size=64)) == 5, "without front there is no photo to go in"
    run(clean_mead, out, "--landmarks", tmp_path / "all.json")
    assert list(ImageFolder(out, size=64).names) == FULL
    alone = write_points(tmp_path / "alone.json", GOOD[:1])
    run(
        clean_mead,
        out,
        "--landmarks",
        alone,
        "--manifest",
        write_asked(tmp_path / "asked.csv", GOOD[:1]),
    )
    assert report_of(out)["unused"]["people"] == ["W009"]
    assert len(ImageFolder(out, size=64)) == 5


def test_extracted_frames_are_data_too(clean_mead, tmp_path, capsys):
    run(clean_mead, tmp_path / "first")
    data = tmp_path / "extracted"
    shutil.copytree(tmp_path / "first" / "frames", data)
    (data / "W009" / "left_30.jpg").write_bytes((data / "W009" / "left_30.png").read_bytes())
    (data / "W009" / "top.png").write_bytes(b"")
    (data / "W009" / "front.png").write_bytes(b"half")
    points = write_points(tmp_path / "points.json")
    out = tmp_path / "out"
    run(data, out)
    assert str(data) in capsys.readouterr().out and not (out / "frames").exists()
    run(data, out, "--landmarks", points)
    assert set(defects_of(out)) == {
        ("view given twice", "W009/left_30"),
        ("unreadable picture", "W009/front"),
    }
    assert report_of(out)["unused"]["clips"] == {"W009": {"left_30": 2, "top": 1}}
    run(clean_mead, tmp_path / "direct", "--landmarks", points)
    for camera in CAMERAS:
        name = f"M003/{camera}.png"
        assert sha256_of(out / name) == sha256_of(tmp_path / "direct" / name)
    assert [row["frame"] for row in manifest_of(out)] == [""] * 5


def test_a_prepared_folder_is_left_as_it_is(clean_mead, tmp_path, capsys):
    out = tmp_path / "out"
    run(clean_mead, out, "--landmarks", write_points(tmp_path / "points.json"))
    before = contents(out)
    run(out, tmp_path / "again")
    assert "already prepared" in capsys.readouterr().out
    assert contents(out) == before and not (tmp_path / "again").exists()
    run(clean_mead, out, code=2)
    assert "finished data set" in capsys.readouterr().err
    assert contents(out) == before


def test_folders_that_cannot_be_right(clean_mead, own_mead, tmp_path, capsys):
    run(tmp_path / "none", tmp_path / "out", code=2)
    run(own_mead, own_mead / "out", code=2)
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.tex").write_text("mine")
    run(clean_mead, other, code=2)
    packed = tmp_path / "packed"
    (packed / "M003").mkdir(parents=True)
    (packed / "M003" / "video.tar").write_bytes(b"")
    run(packed, tmp_path / "out", code=2)
    run(clean_mead, tmp_path / "out", "--size", 0, code=2)
    errors = capsys.readouterr().err
    for message in ("is no folder", "lie in each other", "not begun by", "unpack", "size is 0"):
        assert message in errors
    assert [path.name for path in other.iterdir()] == ["thesis.tex"]


def test_nothing_usable_is_an_error_with_a_report(own_mead, tmp_path, capsys):
    shutil.rmtree(own_mead / "W009")
    shutil.rmtree(own_mead / "M003" / "video" / "front")
    out = tmp_path / "out"
    run(own_mead, out, code=2)
    assert "nothing is usable" in capsys.readouterr().err
    assert ("missing camera", "M003/front") in defects_of(out)
    run(own_mead, out, "--allow-missing", code=2)


def test_names_do_not_decide_the_side(clean_mead, tmp_path):
    """Everybody's names say left for the viewer's left; one person's cameras are interchanged."""
    changes = {}
    for person in GOOD:
        for camera in CAMERAS:
            turned = -1.0 if person == GOOD[0] else 1.0
            changes[f"{person}__{camera}"] = points_of(camera, turned * YAWS[camera])
    changes["W009__left_30"] = points_of("left_30", -30.0)
    changes["W009__right_30"] = points_of("right_30", 46.0)
    out = tmp_path / "out"
    run(clean_mead, out, "--landmarks", write_points(tmp_path / "points.json", **changes))
    assert report_of(out)["names_left_are_yaw"] == "below 0"
    side = "yaw is on the other side than the name says"
    assert notices_of(out) == {
        (side, "W009/left_60"),
        (side, "W009/right_60"),
        ("yaw is nearer to another camera's", "W009/right_30"),
    }
    assert report_of(out)["cameras"]["left_30"] == {
        "views": 2,
        "yaw_above_0": 0,
        "median_yaw": pytest.approx(-30, abs=0.5),
        "least_yaw": pytest.approx(-30, abs=0.5),
        "most_yaw": pytest.approx(-30, abs=0.5),
    }
    labels = ImageFolder(out, size=64).labels
    assert torch.isfinite(labels).all()
