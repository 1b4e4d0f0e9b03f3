import json

import numpy as np
import pytest
import torch

from warpgan.cameras import look_at, mirror_label, yaw_pitch
from warpgan.data.rebalance import main, rebalance
from warpgan.labels import read_label_file
from warpgan.pose import PoseDistribution, rebalance_by_yaw, yaw_repeats

YAWS = [0.0, 9.0, -11.0, 29.0, 31.0, -51.0, 69.0, 71.0, -89.0, 120.0]
REPEATS = [1, 1, 2, 2, 4, 8, 8, 16, 16, 16]


@pytest.fixture
def label_path(tmp_path):
    labels = look_at(YAWS, 5.0).tolist()
    path = tmp_path / "dataset.json"
    entries = [[f"{i}.png", label] for i, label in enumerate(labels)]
    path.write_text(json.dumps({"labels": entries}))
    return path


def test_repeats_double_with_every_bin_from_the_middle():
    assert yaw_repeats(look_at(YAWS, 5.0)).tolist() == REPEATS


def test_rebalanced_rows_are_in_order_and_counted():
    rows = rebalance_by_yaw(look_at(YAWS, 5.0))
    assert torch.equal(rows, rows.sort().values)
    assert rows.bincount().tolist() == REPEATS


def test_sampling_is_seeded_and_draws_from_the_list(label_path):
    poses = PoseDistribution.from_dataset_json(label_path)
    first = poses.sample(200, torch.Generator().manual_seed(3))
    again = poses.sample(200, torch.Generator().manual_seed(3))
    other = poses.sample(200, torch.Generator().manual_seed(4))
    assert torch.equal(first, again) and not torch.equal(first, other)
    known = {tuple(label.tolist()) for label in poses.labels}
    assert {tuple(label.tolist()) for label in first} == known


def test_rebalanced_sampling_follows_the_repeats(label_path):
    poses = PoseDistribution.from_dataset_json(label_path, rebalanced=True)
    drawn = poses.sample(20_000, torch.Generator().manual_seed(0))
    yaw, _ = yaw_pitch(drawn)
    share = np.array([(yaw - wanted).abs().lt(0.5).float().mean().item() for wanted in YAWS])
    np.testing.assert_allclose(share, np.array(REPEATS) / sum(REPEATS), atol=0.01)


def test_mirrored_sampling_adds_the_mirror_images(label_path):
    poses = PoseDistribution(look_at(40.0, 5.0))
    drawn = poses.sample(1000, torch.Generator().manual_seed(0), mirror=True)
    yaw, pitch = yaw_pitch(drawn)
    assert 400 < (yaw > 0).sum() < 600
    flipped = drawn[yaw < 0]
    torch.testing.assert_close(flipped, mirror_label(look_at(40.0, 5.0)).expand_as(flipped))


def test_an_empty_list_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        PoseDistribution(torch.zeros(0, 25))


def test_rebalance_writes_a_list_with_repeats(label_path, tmp_path, capsys):
    out = tmp_path / "rebalanced.json"
    assert rebalance(label_path, out) == (10, sum(REPEATS))
    written = read_label_file(out)
    assert [written.names.count(f"{i}.png") for i in range(10)] == REPEATS
    original = read_label_file(label_path)
    np.testing.assert_array_equal(written.labels[0], original.labels[0])
    assert main([str(label_path), str(out)]) == 0
    assert main([str(tmp_path / "absent.json"), str(out)]) == 2
    assert "does not exist" in capsys.readouterr().err
