"""The published list of novel cameras: its law, its bytes, and whose cameras a photo gets."""

import json

import pytest
import torch

from warpgan.cameras import intrinsics_from_focal, look_at, make_label, split_label, yaw_pitch
from warpgan.evaluation import camera_list
from warpgan.evaluation.camera_list import (
    PUBLISHED,
    YAW_BANDS,
    cameras_for,
    draw_angles,
    draw_from_labels,
    novel_cameras,
    read_camera_list,
    write_camera_list,
)
from warpgan.labels import write_label_file


@pytest.fixture(scope="module")
def published():
    return read_camera_list()


@pytest.fixture
def label_file(tmp_path):
    path = tmp_path / "dataset.json"
    labels = look_at([-40.0, -10.0, 0.0, 25.0, 50.0], [0.0, 5.0, -5.0, 10.0, 0.0])
    write_label_file(path, [(f"{i}.png", label) for i, label in enumerate(labels)])
    return path


def photo_labels(count: int, focal: float = 4.2647) -> torch.Tensor:
    return look_at(0.0, 0.0, focal=focal).expand(count, 25).clone()


def test_the_shipped_file_is_written_again_byte_for_byte(tmp_path):
    assert camera_list.main([str(tmp_path / "new" / "list.json"), "--seed", "2107"]) == 0
    assert (tmp_path / "new" / "list.json").read_bytes() == PUBLISHED.read_bytes()
    assert PUBLISHED.stat().st_size < 80_000


def test_the_published_angles_follow_the_law(published):
    angles = torch.tensor(published.angles, dtype=torch.float64).reshape(1000, 3, 2)
    yaw, pitch = angles.unbind(-1)
    for view, (low, high) in enumerate(YAW_BANDS):
        size = yaw[:, view].abs()
        assert low <= size.min() and size.max() <= high
        # means and spreads of uniform numbers, at five standard errors of 1000
        assert abs(size.mean() - (low + high) / 2) < 5 * 10 / 12**0.5 / 1000**0.5
        assert abs((yaw[:, view] > 0).double().mean() - 0.5) < 5 * 0.5 / 1000**0.5
    assert pitch.abs().max() <= 10
    assert abs(pitch.std() - 20 / 12**0.5) < 0.3
    signs = yaw.sign()
    assert abs((signs[:, 0] * signs[:, 1]).mean()) < 5 / 1000**0.5
    assert len({tuple(pair) for pair in published.angles}) > 2990
    assert all(round(number, 2) == number for pair in published.angles for number in pair)


def test_cameras_are_those_of_the_angles(published):
    yaw, pitch = yaw_pitch(published.cameras.double())
    angles = torch.tensor(published.angles, dtype=torch.float64)
    assert (yaw - angles[:, 0]).abs().max() < 1e-4
    assert (pitch - angles[:, 1]).abs().max() < 1e-4
    assert torch.equal(published.cameras[7], look_at(*published.angles[7])[0])


def test_a_draw_depends_on_seed_and_photo_alone():
    few, many = draw_angles(seed=3, photos=2), draw_angles(seed=3, photos=5)
    assert many.angles[:6] == few.angles
    assert draw_angles(seed=4, photos=2).angles != few.angles


def test_a_photo_keeps_its_intrinsics_and_its_place(published):
    labels = photo_labels(3)
    labels[1] = make_label(split_label(labels[1])[0], intrinsics_from_focal(3.0)[0])
    found = novel_cameras(labels, published, [5, 0, 1005])
    assert found.shape == (3, 3, 25)
    assert torch.equal(found[0], found[2]), "photos beyond the list start again"
    assert torch.equal(found[0], published.cameras[15:18])
    assert torch.equal(found[1, :, :16], published.cameras[:3, :16])
    assert torch.equal(found[1, :, 16:], labels[1, 16:].expand(3, 9))


def test_cameras_of_a_data_set_do_not_depend_on_its_size(published):
    assert torch.equal(cameras_for(photo_labels(4))[:2], cameras_for(photo_labels(2)))
    assert torch.equal(cameras_for(photo_labels(2)).reshape(6, 25), published.cameras[:6])


def test_cameras_from_a_label_file(label_file, tmp_path):
    drawn = cameras_for(photo_labels(40), labels_file=label_file, seed=1)
    poses = {tuple(row) for row in drawn[..., :16].reshape(-1, 16).tolist()}
    known = json.loads(label_file.read_bytes())["labels"]
    assert poses == {tuple(label[:16]) for _, label in known}
    again = cameras_for(photo_labels(7), labels_file=label_file, seed=1)
    assert torch.equal(drawn[:7], again)
    assert not torch.equal(again, cameras_for(photo_labels(7), labels_file=label_file, seed=2))
    out = tmp_path / "list.json"
    arguments = [str(out), "--seed", "1", "--photos", "7", "--labels", str(label_file)]
    assert camera_list.main(arguments) == 0
    assert torch.equal(cameras_for(photo_labels(7), labels_file=out), again)


def test_a_written_list_reads_back_equal(label_file, tmp_path):
    for number, listed in enumerate((draw_angles(photos=4), draw_from_labels(label_file))):
        path = tmp_path / f"{number}.json"
        write_camera_list(path, listed)
        found = read_camera_list(path)
        assert torch.equal(found.cameras, listed.cameras)
        assert (found.seed, found.law, found.per_photo) == (
            listed.seed,
            listed.law,
            listed.per_photo,
        )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not valid JSON"),
        ("[]", "expected"),
        ('{"seed": 1, "law": "", "per_photo": 3}', "'cameras'"),
        ('{"seed": 1, "law": "", "per_photo": 3, "cameras": [[1, 2]]}', "positive multiple"),
        ('{"seed": 1, "law": "", "per_photo": 0, "cameras": [[1, 2]]}', "positive multiple"),
        ('{"seed": 1, "law": "", "per_photo": 1, "cameras": []}', "holds 0 cameras"),
        ('{"seed": 1, "law": "", "per_photo": 1, "cameras": [[1, NaN]]}', "finite"),
        ('{"seed": 1, "law": "", "per_photo": 1, "cameras": [[1, 2, 3]]}', "too many"),
        ('{"seed": 1, "law": "", "per_photo": 1, "labels": [[1, 2, 3]]}', "25 numbers"),
    ],
)
def test_other_files_are_refused_by_name(tmp_path, text, message):
    path = tmp_path / "wrong.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as refused:
        read_camera_list(path)
    assert str(path) in str(refused.value)


def test_mistakes_of_the_command_end_in_a_sentence(tmp_path, capsys):
    out = str(tmp_path / "list.json")
    assert camera_list.main([out, "--labels", str(tmp_path / "missing.json")]) == 2
    assert camera_list.main([out, "--photos", "0"]) == 2
    errors = capsys.readouterr().err
    assert "missing.json does not exist" in errors and "photos is 0" in errors
    with pytest.raises(FileNotFoundError, match="missing.json"):
        cameras_for(photo_labels(1), labels_file=tmp_path / "missing.json")
    with pytest.raises(ValueError, match="negative"):
        novel_cameras(photo_labels(1), draw_angles(photos=1), [-1])
    with pytest.raises(ValueError, match=r"expected \[N, 25\]"):
        novel_cameras(photo_labels(2), draw_angles(photos=1), [0])
