"""The data sets written by `python -m warpgan.data.portraits`."""

import hashlib
import json

import numpy as np
import pytest
import torch

from warpgan.cameras import yaw_pitch
from warpgan.data.folder import ImageFolder
from warpgan.data.portraits import Portrait
from warpgan.data.portraits.__main__ import main
from warpgan.data.portraits.portrait import FAR, NEAR
from warpgan.data.portraits.splits import (
    MEAD_YAWS,
    SPLITS,
    SplitSettings,
    ffhq_like_pose,
    person_seed,
    read_truth,
    truth_path,
    views_of,
    write_split,
)

SIZE = 32


def digests(root):
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files
    }


@pytest.mark.parametrize(
    ("split", "views"), [("train", 1), ("celebahq", 1), ("mead", 5), ("pairs", 2)]
)
def test_each_split_is_an_ordinary_image_folder(tmp_path, split, views):
    settings = SplitSettings(split, 2, 7, SIZE)
    write_split(tmp_path, settings)
    folder = ImageFolder(tmp_path, size=SIZE)
    assert len(folder) == 2 * views
    yaw, pitch = yaw_pitch(torch.as_tensor(folder.labels))
    people = json.loads((tmp_path / "portraits.json").read_text())["people"]
    expected = {
        name: angle
        for person in people
        for name, angle in zip(person["images"], person["yaw_deg"], strict=True)
    }
    for i in range(len(folder)):
        sample = folder[i]
        assert abs(float(yaw[i]) - expected[sample.name]) < 1e-3
        assert sample.image.shape == (3, SIZE, SIZE) and sample.image.std() > 0.05
    assert float(pitch.abs().max()) < 26
    with np.load(tmp_path / "truth" / "latents.npz") as data:
        assert data["z"].shape[0] == 2
        for row, person in zip(data["z"], people, strict=True):
            assert np.array_equal(row, Portrait.sample(person["seed"]).z)


def test_truth_is_what_the_renderer_saw(tmp_path):
    settings = SplitSettings("pairs", 1, 0, SIZE)
    write_split(tmp_path, settings)
    views = views_of(settings, 0)
    portrait = Portrait.sample(views.person_seed)
    folder = ImageFolder(tmp_path, size=SIZE)
    for i in range(2):
        sample = folder[i]
        depth_z, mask = read_truth(truth_path(tmp_path, sample.name))
        view = portrait.render(sample.camera, size=SIZE)
        assert np.abs(depth_z - view.depth_z).max() < (FAR - NEAR) / 65535
        assert np.abs(mask - view.mask).max() < 1 / 255
        image = ((sample.image.permute(1, 2, 0) + 1) * 127.5).round().numpy()
        assert np.array_equal(image, view.image)


def test_mead_is_one_person_and_one_light_from_five_sides(tmp_path):
    settings = SplitSettings("mead", 3, 1, SIZE)
    views = views_of(settings, 2)
    assert views.yaw_deg == MEAD_YAWS and set(views.pitch_deg) == {0.0}
    assert len(set(views.names)) == 5 and len({name.split("/")[0] for name in views.names}) == 1


def test_splits_share_no_people():
    seeds = [
        person_seed(split, seed, index)
        for split in SPLITS
        for seed in (0, 1, 2**20 - 1)
        for index in (0, 1, 2**24 - 1)
    ]
    assert len(set(seeds)) == len(seeds) and max(seeds) < 2**63


def test_poses_are_spread_as_in_ffhq():
    rng = np.random.default_rng(0)
    poses = np.array([ffhq_like_pose(rng) for _ in range(4000)])
    assert 17 < poses[:, 0].std() < 21 and 7 < poses[:, 1].std() < 9
    assert np.abs(poses.mean(0)).max() < 1
    assert 0.002 < (np.abs(poses[:, 0]) > 50).mean() < 0.03
    assert np.abs(poses[:, 0]).max() <= 65 and np.abs(poses[:, 1]).max() <= 25


def test_bytes_depend_on_neither_workers_nor_interruptions(tmp_path):
    settings = SplitSettings("pairs", 4, 2, 16)
    write_split(tmp_path / "one", settings)
    write_split(tmp_path / "two", settings, workers=2)
    wanted = digests(tmp_path / "one")
    assert digests(tmp_path / "two") == wanted
    for name in ("dataset.json", views_of(settings, 1).names[0], "truth/latents.npz"):
        (tmp_path / "two" / name).unlink()
    truth_path(tmp_path / "two", views_of(settings, 3).names[1]).unlink()
    (tmp_path / "two" / "truth" / ".latents.npz.99999999").write_bytes(b"half")
    write_split(tmp_path / "two", settings)
    assert digests(tmp_path / "two") == wanted
    write_split(tmp_path / "other", SplitSettings("pairs", 4, 3, 16))
    assert not set(digests(tmp_path / "other").values()) & set(wanted.values())


def test_other_settings_and_foreign_folders_are_refused(tmp_path):
    write_split(tmp_path / "a", SplitSettings("train", 1, 0, 16, depth=False))
    before = digests(tmp_path / "a")
    with pytest.raises(ValueError, match="another data set"):
        write_split(tmp_path / "a", SplitSettings("train", 2, 0, 16, depth=False))
    assert digests(tmp_path / "a") == before
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "holiday.png").write_bytes(b"x")
    with pytest.raises(ValueError, match="not empty"):
        write_split(tmp_path / "b", SplitSettings("train", 1, 0, 16))
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "portraits.json").write_text("{")
    with pytest.raises(ValueError, match="not readable"):
        write_split(tmp_path / "c", SplitSettings("train", 1, 0, 16))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("split", "ffhq"),
        ("count", 0),
        ("seed", -1),
        ("seed", 2**20),
        ("size", 4),
        ("supersample", 0),
    ],
)
def test_impossible_settings_name_the_field(field, value):
    given = {"split": "train", "count": 1, "seed": 0, "size": 16, "supersample": 2} | {field: value}
    with pytest.raises(ValueError, match=field):
        SplitSettings(**given)


def test_command_line(tmp_path, capsys):
    arguments = [str(tmp_path / "x"), "--split", "train", "--count", "1", "--size", "16"]
    main(arguments)
    assert "1 images of 1 people" in capsys.readouterr().out
    assert not list((tmp_path / "x").rglob("truth/0*/*.npz"))
    main([*arguments[:-1], "16"])
    with pytest.raises(SystemExit) as stopped:
        main([*arguments[:-1], "32"])
    assert stopped.value.code == 2
    assert "another data set" in capsys.readouterr().err
