"""Image folders that are right. Those that are wrong: ``tests/bad_input_cases/data_cases.py``."""

import logging
import multiprocessing
import pickle
import zipfile

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from tests.warpgan.image_files import encoded, label, pack, picture, write_folder, write_labels
from warpgan.cameras import look_at, mirror_label
from warpgan.data import folder as folder_module
from warpgan.data.folder import ImageFolder


@pytest.fixture
def root(tmp_path):
    write_folder(tmp_path / "faces")
    return tmp_path / "faces"


def assert_same(ours: ImageFolder, other: ImageFolder) -> None:
    assert ours.names == other.names and torch.equal(ours.labels, other.labels)
    for mine, theirs in zip(ours, other, strict=True):
        assert torch.equal(mine.image, theirs.image) and torch.equal(mine.camera, theirs.camera)


def test_items(root):
    faces = ImageFolder(root, size=32)
    assert len(faces) == 3 and faces.names == ("b/0.png", "b/1.png", "b/2.png")
    sample = faces[1]
    assert (sample.index, sample.name) == (1, "b/1.png")
    torch.testing.assert_close(sample.camera[None], look_at(10.0, 0.0))
    expected = torch.from_numpy(picture(seed=1)).permute(2, 0, 1) / 127.5 - 1
    torch.testing.assert_close(sample.image, expected)
    assert torch.equal(faces[-1].image, faces[2].image)
    with pytest.raises(IndexError):
        faces[3]


def test_order_is_by_name_whatever_the_label_file_says(root):
    entries = [["b/2.png", label(20.0)], ["./b/0.png", label(0.0)], ["b\\1.png", label(10.0)]]
    write_labels(root / "dataset.json", entries)
    faces = ImageFolder(root, size=32)
    assert faces.names == ("b/0.png", "b/1.png", "b/2.png")
    torch.testing.assert_close(faces.labels, look_at([0.0, 10.0, 20.0], 0.0))


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_zip_equals_folder(root, tmp_path, compression):
    archive = pack(root, tmp_path / "faces.zip", compression=compression)
    before = sorted(tmp_path.rglob("*"))
    assert_same(ImageFolder(archive, size=16), ImageFolder(root, size=16))
    assert sorted(tmp_path.rglob("*")) == before


def test_zip_in_workers_and_after_pickling(root, tmp_path):
    faces = ImageFolder(pack(root, tmp_path / "faces.zip"), size=32)
    here = torch.stack([sample.image for sample in faces])
    batch = next(iter(DataLoader(faces, batch_size=3)))
    assert torch.equal(batch.image, here) and batch.index.tolist() == [0, 1, 2]
    assert torch.equal(batch.camera, faces.labels) and list(batch.name) == list(faces.names)
    assert torch.equal(pickle.loads(pickle.dumps(faces))[2].image, here[2])
    fork = multiprocessing.get_context("fork")
    loader = DataLoader(faces, batch_size=1, num_workers=2, multiprocessing_context=fork)
    assert torch.equal(torch.cat([batch.image for batch in loader]), here)


def test_label_list_may_repeat_and_leave_out(root, tmp_path):
    other = tmp_path / "rebalanced.json"
    write_labels(other, [["b/2.png", label(20.0)], ["b/0.png", label(0)], ["b/2.png", label(20.0)]])
    faces = ImageFolder(root, labels=other, size=32)
    assert faces.names == ("b/0.png", "b/2.png", "b/2.png")
    assert torch.equal(faces[1].image, faces[2].image)


def test_label_list_inside_the_folder_or_zip(root, tmp_path):
    write_labels(root / "part.json", [["b/1.png", label(3.0)]])
    archive = pack(root, tmp_path / "faces.zip")
    for path in (root, archive):
        faces = ImageFolder(path, labels="part.json", size=32)
        assert faces.names == ("b/1.png",)
        torch.testing.assert_close(faces.labels, look_at(3.0, 0.0))


def test_mirror_appends_mirrored_items(root):
    plain, both = ImageFolder(root, size=32), ImageFolder(root, size=32, mirror=True)
    assert len(both) == 6 and both.labels.shape == (6, 25)
    assert both[4].name == "b/1.png (mirrored)" and both[4].index == 4
    assert torch.equal(both[1].image, plain[1].image)
    assert torch.equal(both[4].image, plain[1].image.flip(-1))
    assert torch.equal(both[4].camera, mirror_label(plain[1].camera))


def test_formats_and_mixed_sizes_in_one_folder(tmp_path):
    sides = {"a.PNG": 64, "b.jpg": 48, "c.jpeg": 32, "d.webp": 40}
    for name, side in sides.items():
        extension = "." + name.split(".")[1].lower()
        (tmp_path / name).write_bytes(encoded(picture(side), extension))
    write_labels(tmp_path / "dataset.json", [[name, label()] for name in sides])
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / "._a.PNG").write_text("left by another system")
    faces = ImageFolder(tmp_path, size=32)
    assert [sample.image.shape for sample in faces] == [(3, 32, 32)] * 4
    images = torch.stack([sample.image for sample in faces])
    assert (images - images[0]).abs().mean() < 0.1


def test_upscaling_must_be_asked_for(root):
    assert ImageFolder(root, size=48, upscale=True)[0].image.shape == (3, 48, 48)


def test_skip_invalid_goes_on_and_reports(root, caplog):
    entries = write_folder(root / "more", count=2)
    (root / "more" / "dataset.json").unlink()
    entries = [[f"more/{name}", numbers] for name, numbers in entries]
    entries += [[f"b/{i}.png", label(10.0 * i)] for i in range(3)]
    entries += [["absent.png", label()], ["b/extra.png", [1.0] * 24]]
    content = (root / "b" / "1.png").read_bytes()
    (root / "b" / "1.png").write_bytes(content[: len(content) // 2])
    (root / "unlisted.png").write_bytes(content)
    write_labels(root / "dataset.json", entries)
    with caplog.at_level(logging.WARNING):
        faces = ImageFolder(root, size=32, skip_invalid=True)
    assert faces.names == ("b/0.png", "b/2.png", "more/b/0.png", "more/b/1.png")
    assert {fault.name for fault in faces.skipped} == {
        "absent.png",
        "b/1.png",
        "b/extra.png",
        "unlisted.png",
    }
    assert "without invalid entries: 4" in caplog.text
    assert np.isfinite([sample.image.mean().item() for sample in faces]).all()


def test_skip_invalid_finds_damage_in_a_deflated_zip(root, tmp_path):
    content = (root / "b" / "1.png").read_bytes()
    (root / "b" / "1.png").write_bytes(content[: len(content) // 2])
    archive = pack(root, tmp_path / "f.zip", compression=zipfile.ZIP_DEFLATED)
    assert ImageFolder(archive, size=32, skip_invalid=True).names == ("b/0.png", "b/2.png")


def test_bytes_after_the_end_of_an_image_are_no_fault(root):
    path = root / "b" / "1.png"
    path.write_bytes(path.read_bytes() + b"\0" * 500)
    assert len(ImageFolder(root, size=32)) == 3


def test_radius_warns_once(root):
    entries = [[f"b/{i}.png", look_at(0, 0, radius=3.0)[0].tolist()] for i in range(3)]
    write_labels(root / "dataset.json", entries)
    with pytest.warns(UserWarning, match="3 of 3 cameras are not 2.7") as caught:
        ImageFolder(root, size=32)
    assert len(caught) == 1


def test_progress_bar_for_many_images_only(root, monkeypatch, capsys):
    ImageFolder(root, size=32)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(folder_module, "PROGRESS_FROM", 2)
    ImageFolder(root, size=32)
    assert "checking faces" in capsys.readouterr().err


def test_linked_folders_are_followed_without_running_in_circles(root):
    (root / "b" / "self").symlink_to(root)
    (root / "a").symlink_to(root / "b")
    (root / "c").symlink_to(root / "b")
    assert ImageFolder(root, size=32).names == ("b/0.png", "b/1.png", "b/2.png")
