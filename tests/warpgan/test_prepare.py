"""Photos to a folder of crops: everything but the reading of faces, which a fake does."""

import csv
import json
import zipfile

import numpy as np
import pytest
from PIL import Image

from tests.warpgan.preparation_world import (
    SQUARE,
    RedSquareReader,
    bomb,
    crops,
    go,
    red_photo,
    refused,
    save,
    write_photos,
)
from warpgan.cameras import yaw_pitch
from warpgan.data.folder import ImageFolder
from warpgan.labels import read_label_file
from warpgan.preparation import run as run_module
from warpgan.preparation.settings import PrepareSettings


@pytest.fixture
def photos(tmp_path):
    return write_photos(tmp_path / "photos")


def test_a_folder_becomes_an_image_folder(photos, tmp_path):
    out = tmp_path / "out"
    summary, read = go(photos, out)
    assert crops(out) == ["ann/1.png", "ann/2.png", "bob.png"] and read == 3
    assert summary.line() == "3 photos, 3 crops, 0 refused; 0 done before"
    data = ImageFolder(out, size=32)
    assert data.names == ("ann/1.png", "ann/2.png", "bob.png")
    # the larger of two squares, in the middle of the right half
    assert yaw_pitch(data.labels[2])[0].item() == pytest.approx(60 * (70 / 96 - 0.5), abs=1e-3)
    marks = json.loads((out / "landmarks.json").read_text())["crops"]["bob.png"]
    assert np.array(marks["mesh"]).shape == (468, 2) and marks["photo"] == "bob.webp"
    with (out / "landmarks.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert float(rows[0]["nose_x"]) == pytest.approx(128.4 / 8, abs=0.01)
    assert json.loads((out / "prepare.json").read_text())["counts"]["crops"] == 3


def test_faces_all_largest_and_by_number(photos, tmp_path):
    out = tmp_path / "out"
    go(photos, out, faces="all", mirror=True)
    assert {"bob.png", "bob_face2.png", "bob_mirror.png", "bob_face2_mirror.png"} <= set(crops(out))
    file = read_label_file(out)
    labels = dict(zip(file.names, file.labels, strict=True))
    assert labels["bob_mirror.png"][3] == pytest.approx(-labels["bob.png"][3])
    first = np.asarray(Image.open(out / "bob.png"))
    assert (np.asarray(Image.open(out / "bob_mirror.png")) == first[:, ::-1]).all()
    other = tmp_path / "second"
    go(photos, other, faces="2")
    assert crops(other) == ["bob_face2.png"]
    assert refused(other) == {"ann/1.png": "no such face", "ann/2.jpg": "no such face"}


def test_every_common_format_is_read_upright(tmp_path):
    folder = tmp_path / "photos"
    for suffix in ("png", "jpg", "webp", "bmp", "tiff", "gif"):
        save(folder / f"as_{suffix}.{suffix}", red_photo(SQUARE))
    save(folder / "palette.png", red_photo(SQUARE).quantize(8))
    save(folder / "cmyk.jpg", red_photo(SQUARE).convert("CMYK"), quality=95)
    turned = Image.Exif()
    turned[0x0112] = 6
    upright = red_photo(SQUARE, size=(64, 96))
    save(folder / "exif.png", upright.transpose(Image.Transpose.ROTATE_90), exif=turned)
    save(folder / "frames.gif", red_photo(SQUARE), save_all=True, append_images=[red_photo()])
    out = tmp_path / "out"
    summary, _ = go(folder, out)
    assert summary.kinds == {}
    record = {record.photo: record for record in summary.records}["exif.png"]
    assert (record.width, record.height) == (64, 96)
    assert record.faces[0].box == [20, 16, 52, 48]


def write_unusable(folder):
    save(folder / "blank.png", Image.new("RGB", (64, 64), "white"))
    save(folder / "tiny.png", red_photo((4, 4, 8)))
    (folder / "text.jpg").write_text("no picture")
    (folder / "empty.png").write_bytes(b"")
    (folder / "bomb.png").write_bytes(bomb())
    (folder / "vector.svg").write_text("<svg><script>alert(1)</script></svg>")
    whole = (folder / "ok.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "notes.txt").write_text("not a photo")
    (folder / "data.bin").write_bytes(whole)


KINDS = {
    "blank.png": "no face",
    "tiny.png": "too small",
    "text.jpg": "no picture",
    "empty.png": "empty file",
    "bomb.png": "too large",
    "vector.svg": "format not read",
    "cut.png": "damaged",
}


def test_what_is_unusable_is_listed_by_kind(tmp_path):
    folder, out = tmp_path / "photos", tmp_path / "out"
    save(folder / "ok.png", red_photo(SQUARE))
    write_unusable(folder)
    summary, _ = go(folder, out)
    # a picture of another name counts, a text is passed over
    assert crops(out) == ["data.png", "ok.png"]
    assert refused(out) == KINDS
    assert summary.others == ("notes.txt",)
    page = (out / "report.html").read_text()
    assert "<script>" not in page and "Refused (7)" in page


def test_a_second_run_does_only_what_is_missing(photos, tmp_path):
    out = tmp_path / "out"
    write_unusable_free = tmp_path / "photos" / "blank.png"
    save(write_unusable_free, Image.new("RGB", (64, 64), "white"))
    go(photos, out)
    before = {name: (out / name).stat().st_mtime_ns for name in crops(out)}
    labels = (out / "dataset.json").read_bytes()
    summary, read = go(photos, out)
    assert (read, summary.done_before) == (0, 4)
    assert {name: (out / name).stat().st_mtime_ns for name in crops(out)} == before
    (out / "ann" / "2.png").unlink()
    (out / "bob.png").write_bytes(b"spoilt")
    assert go(photos, out)[1] == 2
    assert (out / "ann" / "1.png").stat().st_mtime_ns == before["ann/1.png"]
    assert (out / "dataset.json").read_bytes() == labels
    assert len(ImageFolder(out, size=32)) == 3


def test_other_settings_and_other_bytes_redo(photos, tmp_path):
    out = tmp_path / "out"
    go(photos, out, mirror=True)
    assert go(photos, out)[1] == 3
    assert not [name for name in crops(out) if "mirror" in name]
    save(photos / "ann" / "1.png", red_photo((30, 10, 40)))
    assert go(photos, out)[1] == 1
    save(photos / "ann" / "1.png", red_photo())
    summary, _ = go(photos, out)
    assert summary.kinds == {"no face": 1} and "ann/1.png" not in crops(out)
    assert len(ImageFolder(out, size=32)) == 2


def test_a_kill_loses_one_photo_at_most(photos, tmp_path, monkeypatch):
    out = tmp_path / "out"
    done = []

    def stops(job, content, reader):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(job.stem)
        return real(job, content, reader)

    real = run_module.prepare_photo
    monkeypatch.setattr(run_module, "prepare_photo", stops)
    with pytest.raises(KeyboardInterrupt):
        go(photos, out)
    monkeypatch.undo()
    (out / "ann" / ".1.png.999999").write_bytes(b"half")
    summary, read = go(photos, out)
    assert (read, summary.done_before) == (1, 2)
    assert not (out / "ann" / ".1.png.999999").exists()
    assert len(ImageFolder(out, size=32)) == 3


def test_photos_that_are_gone_leave_the_data_set(photos, tmp_path):
    out = tmp_path / "out"
    go(photos, out)
    (photos / "bob.webp").unlink()
    summary, read = go(photos, out)
    assert read == 0 and summary.gone == ("bob.webp",)
    assert (out / ".prepare" / "removed" / "bob.png").is_file()
    assert ImageFolder(out, size=32).names == ("ann/1.png", "ann/2.png")
    # named alone, a photo is added; the others stay
    extra = save(tmp_path / "carl.png", red_photo(SQUARE))
    summary, _ = go(extra, out)
    assert summary.earlier == 2 and "carl.png" in crops(out)
    # moved, a photo keeps its crop
    photos.rename(tmp_path / "moved")
    summary, read = go(tmp_path / "moved", out)
    assert read == 0 and summary.gone == ()
    marks = json.loads((out / "landmarks.json").read_text())["crops"]
    assert all(len(entry["mesh"]) == 468 for entry in marks.values()) and len(marks) == 3


def test_doubtful_cameras_come_first_or_are_refused(tmp_path):
    folder, out = tmp_path / "photos", tmp_path / "out"
    save(folder / "a.png", red_photo(SQUARE))
    save(folder / "z.png", red_photo(SQUARE, level=125))
    summary, _ = go(folder, out)
    assert summary.low == 1
    page = (out / "report.html").read_text()
    assert page.index("Look at these first (1)") < page.index("<h3>z.png") < page.index("<h3>a.png")
    summary, _ = go(folder, out, min_confidence=0.6)
    assert summary.kinds == {"confidence too low": 1} and crops(out) == ["a.png"]


def test_zips_and_several_folders(photos, tmp_path):
    packed = tmp_path / "pack.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.write(photos / "bob.webp", "in/bob.webp")
        archive.writestr("../outside.png", b"x")
    out = tmp_path / "out"
    go([photos, packed], out)
    assert crops(out) == [
        "pack/in/bob.png",
        "photos/ann/1.png",
        "photos/ann/2.png",
        "photos/bob.png",
    ]
    assert not list(tmp_path.rglob("outside.png"))
    assert go([photos, packed], out)[1] == 0


def test_odd_names_are_escaped_and_fit_every_disk(tmp_path):
    folder, out = tmp_path / "photos", tmp_path / "out"
    names = ["<script>.png", 'a "quote" & more.png', "back\\slash.png", "two\nlines.png", "ü.png"]
    for name in names:
        save(folder / name, red_photo(SQUARE))
    save(folder / "<img src=x>.png", Image.new("RGB", (8, 8)))
    go(folder, out)
    assert len(ImageFolder(out, size=32)) == len(names)
    assert "_script_.png" in crops(out) and "back_slash.png" in crops(out)
    page = (out / "report.html").read_text()
    assert "<script>" not in page and "<img src=x>" not in page
    assert "&lt;script&gt;.png" in page
    for picture in page.split("<img ")[1:]:
        assert 'alt="' in picture.split(">")[0]


def test_an_error_of_the_reader_costs_one_photo(photos, tmp_path, monkeypatch):
    def fails(self, photo, face, **settings):
        if face.box[2] - face.box[0] == 40:
            raise RuntimeError("singular")
        return real(self, photo, face, **settings)

    real = RedSquareReader.read
    monkeypatch.setattr(RedSquareReader, "read", fails)
    summary, _ = go(photos, tmp_path / "out")
    assert summary.kinds == {"failed": 1} and len(summary.faces) == 2
    assert "RuntimeError: singular" in (tmp_path / "out" / "refused.csv").read_text()


def test_foreign_folders_and_senseless_settings_are_refused(photos, tmp_path):
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "thesis.doc").write_text("x")
    with pytest.raises(ValueError, match="not begun by this command"):
        go(photos, taken)
    with pytest.raises(FileNotFoundError, match="absent does not exist"):
        go(tmp_path / "absent", tmp_path / "out")
    with pytest.raises(ValueError, match="where crops are written"):
        go(photos, tmp_path)
    with pytest.raises(ValueError, match="no photo among 1 files"):
        go(taken, tmp_path / "out")
    for wrong in ({"faces": "0"}, {"faces": "most"}, {"border": "red"}, {"pad": -1}):
        with pytest.raises(ValueError, match="expected"):
            PrepareSettings(**wrong)


def test_out_inside_the_photos_is_no_photo(photos):
    out = photos / "crops"
    go(photos, out)
    assert go(photos, out)[1] == 0 and len(crops(out)) == 3


def test_the_same_photos_give_the_same_bytes(photos, tmp_path):
    for name in ("one", "two"):
        go(photos, tmp_path / name, faces="all")
    for name in (*crops(tmp_path / "one"), "dataset.json", "landmarks.json", "report.html"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_nothing_is_written_through_a_link(photos, tmp_path):
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    elsewhere.mkdir()
    (out / ".prepare").mkdir(parents=True)
    (out / "ann").symlink_to(elsewhere)
    with pytest.raises(ValueError, match="leads outside"):
        go(photos, out)
    assert list(elsewhere.iterdir()) == []
