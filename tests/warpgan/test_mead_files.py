"""What a user or a stranger can put into MEAD's tree, a landmark file or a manifest."""

import json
import shutil

import numpy as np
import pytest

from tests.warpgan.mead_world import (
    GOOD,
    clip_path,
    contents,
    copy_clip,
    defects_of,
    manifest_of,
    notices_of,
    points_of,
    report_of,
    run,
    write_points,
)
from warpgan.data.folder import ImageFolder
from warpgan.data.mead import frames
from warpgan.data.mead.layout import CAMERAS
from warpgan.video import write_mp4


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ([[1.0, 2.0]] * 68, "68 points instead of five.*means of 36..41"),
        ([[1.0, 2.0]] * 468, "468 points instead of five"),
        ([[1.0, 2.0, 3.0]] * 5, "no pairs of numbers"),
        ([[1.0, "2"]] * 5, "no pairs of numbers"),
        ([[1.0, 10**400]] * 5, "no pairs of numbers"),
        ([[1.0, float("nan")]] * 5, "not finite"),
        ({"points": []}, "no pairs of numbers"),
    ],
    ids=["68", "468", "triples", "text", "huge", "nan", "dict"],
)
def test_entries_that_are_not_five_points(clean_mead, tmp_path, capsys, entry, message):
    points, out = write_points(tmp_path / "points.json", W009__front=entry), tmp_path / "out"
    run(clean_mead, out, "--landmarks", points, code=2)
    error = capsys.readouterr().err
    assert str(points) in error and "W009/front" in error and "--skip-invalid" in error
    with pytest.raises(ValueError, match=message):
        raise ValueError(error.replace("\n", " "))
    assert not out.exists()
    run(clean_mead, out, "--landmarks", points, "--skip-invalid")
    assert [name for _, name in defects_of(out)] == ["W009/front"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not valid JSON"),
        ("[]", "holds no entries"),
        ('{"M003/front": null, "M003/front.png": null}', "'M003/front' is given twice"),
        (None, "does not exist"),
    ],
)
def test_other_files_are_no_landmarks(clean_mead, tmp_path, capsys, text, message):
    path = tmp_path / "points.json"
    if text is not None:
        path.write_text(text)
    run(clean_mead, tmp_path / "out", "--landmarks", path, code=2)
    error = capsys.readouterr().err
    assert message in error and str(path) in error


def test_a_filled_template_survives_the_first_step(clean_mead, tmp_path):
    out = tmp_path / "out"
    run(clean_mead, out)
    template = out / "landmarks_template.json"
    filled = json.loads(template.read_text()) | {"M003/front": points_of("front")}
    template.write_text(json.dumps(filled))
    run(clean_mead, out)
    assert json.loads(template.read_text()) == filled


def test_a_manifest_chooses_the_frames(own_mead, tmp_path):
    sad = clip_path(own_mead, "M003", "front", emotion="sad", clip="007")
    copy_clip(clip_path(own_mead, "M003", "front"), sad)
    asked = tmp_path / "asked.csv"
    asked.write_text(
        "\ufeffid,camera,emotion,level,clip,frame\n"
        "M003,front,sad,level_1,7,3\n"
        "M003,left_30,neutral,level_1,001,12\n"
        "M003,left_60,neutral,level_1,001,middle\n"
        "M003,right_30,neutral,level_1,001,\n"
        "M404,front,neutral,level_1,001,middle\n"
    )
    out = tmp_path / "out"
    run(own_mead, out, "--manifest", asked, "--allow-missing")
    found = {row["camera"]: (row["emotion"], row["clip"], row["frame"]) for row in manifest_of(out)}
    assert found == {
        "front": ("sad", "007", "3"),
        "left_60": ("neutral", "001", "5"),
        "right_30": ("neutral", "001", "5"),
    }
    defects = defects_of(out)
    assert defects["clip is too short", "M003/left_30"] == "11 frames, expected at least 13"
    assert ("camera is not in the manifest", "M003/right_60") in defects
    assert ("missing id", "M404") in defects
    assert report_of(out)["unused"]["people"] == ["W009"]


def test_a_written_manifest_asks_for_the_same_and_finds_differences(own_mead, tmp_path):
    points = write_points(tmp_path / "points.json")
    run(own_mead, tmp_path / "here", "--landmarks", points)
    given = tmp_path / "given.csv"
    shutil.copy(tmp_path / "here" / "manifest.csv", given)
    run(own_mead, tmp_path / "there", "--landmarks", points, "--manifest", given)
    here, there = contents(tmp_path / "here"), contents(tmp_path / "there")
    assert there["manifest.csv"] == here["manifest.csv"]
    assert there["dataset.json"] == here["dataset.json"]
    assert notices_of(tmp_path / "there") == set()
    frames = [np.full((64, 64, 3), 255 - 9 * k, np.uint8) for k in range(11)]
    clip = clip_path(own_mead, "W009", "front")
    clip.unlink()
    write_mp4(clip, frames, fps=30)
    run(own_mead, tmp_path / "there", "--landmarks", points, "--manifest", given)
    assert notices_of(tmp_path / "there") == {
        ("video is not the manifest's", "W009/front"),
        ("frame is not the manifest's", "W009/front"),
    }


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("../../etc,front,neutral,level_1,001,middle", "id '../../etc'"),
        ("frames,front,neutral,level_1,001,middle", "id 'frames'"),
        (".mead,front,neutral,level_1,001,middle", "id '.mead'"),
        ("M003,top,neutral,level_1,001,middle", "camera 'top'"),
        ("M003,front,../x,level_1,001,middle", "emotion '../x'"),
        ("M003,front,neutral,level_1/..,001,middle", "level 'level_1/..'"),
        ("M003,front,neutral,level_1,../../1,middle", "clip '../../1'"),
        ("M003,front,neutral,level_1,001,-1", "frame '-1'"),
        ("M003,front", "emotion ''"),
        ("M009,front,neutral,level_1,001,1\nM009,front,neutral,level_1,001,2", "listed twice"),
    ],
)
def test_wrong_lines_of_a_manifest(clean_mead, tmp_path, capsys, line, message):
    path = tmp_path / "asked.csv"
    path.write_text(f"id,camera,emotion,level,clip,frame\n{line}\n")
    run(clean_mead, tmp_path / "out", "--manifest", path, code=2)
    error = capsys.readouterr().err
    assert message in error and str(path) in error and "line " in error
    assert not (tmp_path / "out").exists()


def test_a_manifest_without_its_columns(clean_mead, tmp_path, capsys):
    path = tmp_path / "asked.csv"
    path.write_text("id,camera\nM003,front\n")
    run(clean_mead, tmp_path / "out", "--manifest", path, code=2)
    run(clean_mead, tmp_path / "out", "--manifest", tmp_path / "none.csv", code=2)
    error = capsys.readouterr().err
    assert "has no emotion, level, clip, frame" in error and "none.csv does not exist" in error


def test_hostile_names_become_no_paths(own_mead, tmp_path, capsys):
    for name in ("a b", "-rf", "x;y", "new\nline", "frames", "dataset.json", "é"):
        shutil.copytree(own_mead / "M003", own_mead / name)
    bad = b"\xff\xfe"
    (own_mead / bad.decode(errors="surrogateescape")).mkdir()
    (own_mead / "M003" / "video" / "two\nlines").write_text("x")
    out = tmp_path / "out"
    run(own_mead, out, "--landmarks", write_points(tmp_path / "points.json"))
    assert len(ImageFolder(out, size=64)) == 10
    names = [fault["name"] for fault in report_of(out)["unusable_names"]]
    assert len(names) == 8 and "new\\nline" in names and "frames" in names
    assert report_of(out)["unused"]["entries"] == ["M003/video/two\\nlines"]
    assert "new\\nline" in (out / "report.txt").read_text()


def test_a_link_in_the_output_does_not_lead_out(clean_mead, tmp_path, capsys):
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    elsewhere.mkdir()
    run(clean_mead, out)
    (out / "M003").symlink_to(elsewhere)
    run(clean_mead, out, "--landmarks", write_points(tmp_path / "points.json"), code=2)
    assert "leads outside" in capsys.readouterr().err
    assert list(elsewhere.iterdir()) == [] and not (out / "dataset.json").exists()


def test_links_in_the_data_are_followed_once(clean_mead, tmp_path):
    data = tmp_path / "linked"
    data.mkdir()
    for person in GOOD:
        (data / person).symlink_to(clean_mead / person)
    real = shutil.copytree(clean_mead / "M003", data / "M005")
    (real / "loop").symlink_to(real)
    run(data, tmp_path / "out")
    assert report_of(tmp_path / "out")["kept"] == ["M003", "M005", "W009"]
    assert report_of(tmp_path / "out")["unused"]["entries"] == []


@pytest.mark.parametrize("text", ["#EXTM3U\n#EXTINF:1,\n{}\n", "ffconcat version 1.0\nfile '{}'\n"])
def test_a_clip_cannot_name_other_files(own_mead, tmp_path, text):
    other = clip_path(own_mead, "W009", "front")
    clip_path(own_mead, "M003", "front").write_text(text.format(other))
    run(own_mead, tmp_path / "out")
    assert list(defects_of(tmp_path / "out")) == [("unreadable video", "M003/front")]


def test_a_clip_of_too_many_pixels_is_not_decoded(own_mead, monkeypatch):
    path = clip_path(own_mead, GOOD[0], "front")
    monkeypatch.setattr(frames, "MAX_PIXELS", 64 * 64 - 1)
    for read in (frames.examine, lambda path, layout: frames.read_frame(path, 0, layout=layout)):
        with pytest.raises(frames.ClipError, match="64 x 64 pixels, more than 4095"):
            read(path, layout="videos")
    # The file's head may lie about the size of what is in it.
    monkeypatch.setattr(frames, "_check_size", lambda width, height: None)
    with pytest.raises(frames.ClipError):
        frames.examine(path, layout="videos")


def test_a_cut_off_download_is_noticed(own_mead, tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (24, 64, 64, 3), dtype=np.uint8)
    for camera in CAMERAS:
        write_mp4(clip_path(own_mead, "M003", camera), list(noise), fps=30)
    clip = clip_path(own_mead, "M003", "right_60")
    content = clip.read_bytes()
    clip.write_bytes(content[: int(0.7 * len(content))])
    clip_path(own_mead, "M003", "left_30").write_bytes(b"")
    run(own_mead, tmp_path / "out")
    assert ("video is damaged", "M003/right_60") in notices_of(tmp_path / "out")
    assert set(defects_of(tmp_path / "out")) == {
        ("unreadable video", "M003/left_30"),
        ("clip has another length", "M003/right_60"),
    }
