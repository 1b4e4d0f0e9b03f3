"""Public data sets: pairing by name, what is missing, and going on where a run was interrupted."""

import json
import zipfile
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.warpgan.image_files import encoded, picture
from tests.warpgan.preparation_world import RedSquareReader, red_photo, save
from warpgan.cameras import look_at, mirror_label, yaw_pitch
from warpgan.data.folder import ImageFolder
from warpgan.preparation.datasets import ffhq
from warpgan.preparation.datasets.celebahq import PAD, find_celebahq
from warpgan.preparation.datasets.celebahq import test_ids as subset_ids
from warpgan.preparation.datasets.command import run_dataset
from warpgan.preparation.datasets.ffhq import write_wild
from warpgan.preparation.datasets.ffhq_align import align_face, face_square
from warpgan.preparation.datasets.labelled import twin_of, write_labelled


def command(name, *words):
    return run_dataset(name, [str(word) for word in words], lambda device: RedSquareReader())


def label_of(yaw: float) -> list[float]:
    return look_at(yaw, 0.0)[0].double().tolist()


def write_packed(folder: Path, *, size=512) -> Path:
    """Two images with their twins, as EG3D packs them."""
    folder.mkdir(parents=True)
    labels = []
    for name, yaw in (("00000", 10.0), ("00001", -20.0)):
        (folder / f"{name}.png").write_bytes(encoded(picture(size)))
        (folder / f"{name}_mirror.png").write_bytes(encoded(picture(size)[:, ::-1].copy()))
        label = torch.tensor(label_of(yaw))
        labels += [[f"{name}.png", label.tolist()]]
        labels += [[f"{name}_mirror.png", mirror_label(label).tolist()]]
    (folder / "dataset.json").write_text(json.dumps({"labels": labels}))
    return folder


def edit_labels(folder: Path, edit) -> None:
    path = folder / "dataset.json"
    labels = json.loads(path.read_text())["labels"]
    edit(labels)
    path.write_text(json.dumps({"labels": labels}))


def test_a_packed_folder_is_checked_and_linked(tmp_path):
    source, out = write_packed(tmp_path / "ffhq"), tmp_path / "out"
    found = write_labelled(source, out, size=512)
    assert (found.images, found.labels, found.kept, found.written, found.pairs) == (4, 4, 4, 4, 2)
    assert found.faults == []
    assert (out / "00000.png").stat().st_ino == (source / "00000.png").stat().st_ino
    assert len(ImageFolder(out, size=512)) == 4
    assert write_labelled(source, out, size=512).written == 0
    (out / "00001.png").unlink()
    assert write_labelled(source, out, size=512).written == 1


def test_a_zip_is_unpacked_inside_the_folder_only(tmp_path):
    source = write_packed(tmp_path / "ffhq", size=64)
    packed = tmp_path / "ffhq.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for path in source.iterdir():
            archive.write(path, path.name)
        archive.writestr("../evil.png", b"x")
    found = write_labelled(packed, tmp_path / "out", size=64)
    assert (found.kept, found.pairs) == (4, 2)
    assert [fault.kind for fault in found.faults] == ["zip member leads outside the folder"]
    assert not (tmp_path / "evil.png").exists()
    assert write_labelled(packed, tmp_path / "out", size=64).written == 0


def test_what_is_missing_or_wrong_is_listed(tmp_path, capsys):
    source, out = write_packed(tmp_path / "ffhq", size=512), tmp_path / "out"
    (source / "00000_mirror.png").unlink()
    (source / "00002.png").write_bytes(encoded(picture(512)))
    (source / "00003.png").write_bytes(encoded(picture(64)))
    edit_labels(source, lambda labels: labels.append(["00003.png", label_of(0.0)]))
    edit_labels(source, lambda labels: labels[3].__setitem__(1, label_of(5.0)))
    assert command("ffhq", source, out) == 0
    listed = (out / "missing.csv").read_text()
    for line in (
        "label without image,00000_mirror.png,",
        "image without label,00002.png,",
        "image has not 512 px,00003.png,64 px",
        "mirrored twin has another camera,00001_mirror.png",
    ):
        assert line in listed
    assert "3 usable" in capsys.readouterr().out
    assert len(ImageFolder(out, size=512)) == 3


def test_lpff_cameras_pair_by_name_whatever_their_order(tmp_path):
    source, out = tmp_path / "eg3d", tmp_path / "out"
    source.mkdir()
    for name in ("b@N02_01", "a-woman_01"):
        (source / f"{name}.png").write_bytes(encoded(picture(512)))
    cameras = {"b@N02_01.png": label_of(50.0), "a-woman_01.png": label_of(-40.0)}
    (tmp_path / "camera_parameters.json").write_text(json.dumps(cameras))
    assert command("lpff", source, out, "--labels", tmp_path / "camera_parameters.json") == 0
    data = ImageFolder(out, size=512)
    yaws = yaw_pitch(data.labels)[0]
    torch.testing.assert_close(yaws, torch.tensor([-40.0, 50.0]), atol=1e-3, rtol=0)


def test_twins_by_name_and_by_number():
    assert twin_of("a/00001.png") == "a/00001_mirror.png" and twin_of("00001_mirror.png") is None
    assert twin_of("00000/img00000004.png") == "00000/img00000005.png"
    assert twin_of("00000/img00000005.png") is None


def marks_68(centre, *, across=(40.0, 0.0), down=(0.0, 50.0)) -> np.ndarray:
    """Landmarks of which only eyes and mouth corners matter."""
    centre, across, down = (np.array(v, np.float64) for v in (centre, across, down))
    marks = np.tile(centre, (68, 1))
    marks[36:42], marks[42:48] = centre - across / 2, centre + across / 2
    marks[48], marks[54] = centre + down - across / 3, centre + down + across / 3
    return marks


def test_the_square_is_ffhqs():
    square = face_square(marks_68((100, 80)), wider=1.8)
    # max(2 x 40, 1.8 x 50) x 1.8 about a point a tenth of the way from eyes to mouth
    assert square.side == pytest.approx(2 * 90 * 1.8)
    np.testing.assert_allclose(square.centre, (100, 85))
    np.testing.assert_allclose(square.half_x, (162, 0), atol=1e-9)
    angle = np.deg2rad(20)
    turned = face_square(
        marks_68(
            (0, 0),
            across=(40 * np.cos(angle), 40 * np.sin(angle)),
            down=(-50 * np.sin(angle), 50 * np.cos(angle)),
        )
    )
    np.testing.assert_allclose(turned.half_x, 162 * np.array([np.cos(angle), np.sin(angle)]))
    with pytest.raises(ValueError, match="one place"):
        face_square(np.zeros((68, 2)))


def test_an_aligned_photo_shows_the_square():
    rows, columns = np.mgrid[:400, :400]
    photo = np.stack([columns / 2, rows / 2, 0 * rows], axis=-1).astype(np.uint8)
    marks = marks_68((210, 190), across=(18, 6), down=(-7, 20))
    aligned = align_face(photo, marks, size=64, sampled=256).astype(np.float64)
    square = face_square(marks)
    u, v = (np.array([20, 32, 50]) + 0.5) / 32 - 1, (np.array([40, 11, 30]) + 0.5) / 32 - 1
    expected = square.centre + u[:, None] * square.half_x + v[:, None] * square.half_y
    seen = aligned[[40, 11, 30], [20, 32, 50], :2] * 2
    np.testing.assert_allclose(seen, expected, atol=1.5)


def test_beyond_the_edge_the_photo_goes_on():
    photo = np.full((120, 120, 3), 90, np.uint8)
    aligned = align_face(photo, marks_68((12, 10), across=(20, 0), down=(0, 24)), sampled=128)
    assert aligned.shape == (1500, 1500, 3) and (aligned == 90).all()


def write_wild_release(root: Path) -> Path:
    """Photos 0, 1, 2 and a camera file in which 1 is not listed."""
    rng = np.random.default_rng(0)
    crops, known, labels = {}, {}, []
    for number in range(3):
        pixels = rng.integers(0, 255, (12, 12, 3), dtype=np.uint8)
        photo = Image.fromarray(pixels).resize((300, 300))
        save(root / "in-the-wild-images" / "00000" / f"{number:05d}.png", photo)
        marks = marks_68((150, 130), across=(30, 0), down=(0, 36)).tolist()
        known[str(number)] = {"in_the_wild": {"face_landmarks": marks}}
        five = [[650, 690], [850, 690], [750, 800], [680, 900], [820, 900]]
        crops[f"{number:05d}.png"] = {"lm": five, "rescale_factor": 300.0, "output_size": 512}
        if number != 1:
            labels.append([f"{number:05d}.png", label_of(10.0 * number)])
    (root / "ffhq-dataset-v2.json").write_text(json.dumps(known))
    (root / "cropping_params.json").write_text(json.dumps(crops))
    (root / "dataset.json").write_text(json.dumps({"labels": labels}))
    return root


def test_in_the_wild_photos_are_paired_by_name(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(ffhq, "align_face", partial(align_face, sampled=512))
    source, out = write_wild_release(tmp_path / "wild"), tmp_path / "out"
    found = write_wild(source, out)
    assert (found.asked, found.written, found.kept) == (3, 2, 0)
    assert [(fault.kind, fault.name) for fault in found.faults] == [
        ("no camera in the label file", "00001.png")
    ]
    data = ImageFolder(out, size=512)
    assert len(data) == 4 and data.names[2] == "00000/00002.png"
    # photo 2 keeps its own camera although 1 has none
    assert yaw_pitch(data.labels[2])[0].item() == pytest.approx(20, abs=1e-3)
    assert yaw_pitch(data.labels[3])[0].item() == pytest.approx(-20, abs=1e-3)
    (out / "00000" / "00002.png").unlink()
    again = write_wild(source, out)
    assert (again.written, again.kept) == (1, 1)
    (source / "in-the-wild-images" / "00000" / "00000.png").unlink()
    assert command("ffhq", source, out) == 0
    assert "photo is missing: 00000.png" in capsys.readouterr().out


def test_wild_files_of_another_kind_are_refused(tmp_path):
    source, out = write_wild_release(tmp_path / "wild"), tmp_path / "out"
    crops = json.loads((source / "cropping_params.json").read_text())
    crops["00000.png"]["rescale_factor"] = 200
    (source / "cropping_params.json").write_text(json.dumps(crops))
    found = write_wild(source, out, limit=1)
    assert "rescale_factor is 200, expected 300" in found.faults[0].detail
    (source / "dataset.json").write_text(
        json.dumps({"labels": [["00000/img00000000.png", label_of(0)]]})
    )
    with pytest.raises(ValueError, match="never guessed from the order"):
        write_wild(source, out)
    (source / "ffhq-dataset-v2.json").unlink()
    with pytest.raises(FileNotFoundError, match="ffhq-dataset-v2.json does not exist"):
        write_wild(source, out)


def test_the_test_subset_is_fixed_and_nested():
    ids = subset_ids(1000)
    assert ids[:5] == [9, 23, 31, 76, 113] and len(set(ids)) == 1000
    assert set(subset_ids(100)) < set(ids)


def test_celebahq_is_padded_and_read(tmp_path, capsys):
    numbers = subset_ids(3)
    packed, out = tmp_path / "CelebAMask-HQ.zip", tmp_path / "out"
    with zipfile.ZipFile(packed, "w") as archive:
        for number in (*numbers[:2], 4):
            path = save(tmp_path / f"{number}.png", red_photo((10, 10, 40), size=(64, 64)))
            archive.write(path, f"CelebAMask-HQ/CelebA-HQ-img/{number}.png")
        archive.writestr("CelebAMask-HQ/CelebAMask-HQ-mask-anno/0/00000_hair.png", b"x")
    folder, summary = command("celebahq", packed, out, "--subset", "test3", "--size", 32)
    assert folder == out and len(summary.faces) == 2
    record = summary.records[0]
    assert record.width == 64 + 2 * PAD and record.photo == f"{numbers[0]:05d}.png"
    assert ImageFolder(out, size=32).names == tuple(f"{number:05d}.png" for number in numbers[:2])
    assert f"picture is missing: {numbers[2]}.jpg" in capsys.readouterr().out
    _, again = command("celebahq", packed, out, "--subset", "test3", "--size", 32)
    assert again.done_before == 2


def test_celebahq_of_two_sets_or_none_is_refused(tmp_path):
    save(tmp_path / "a" / "1.png", red_photo())
    save(tmp_path / "b" / "00001.jpg", red_photo())
    with pytest.raises(ValueError, match=r"a/1.png and b/00001.jpg|b/00001.jpg and a/1.png"):
        find_celebahq(tmp_path, "all")
    with pytest.raises(ValueError, match="subset 'val'"):
        find_celebahq(tmp_path, "val")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no N.jpg"):
        find_celebahq(tmp_path / "empty", "all")
