"""The shipped dense head: symmetric, where EG3D's face is, and bent onto EG3D's five points."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from warpgan.cameras import CANONICAL_POINTS, look_at, project
from warpgan.perception.face_mesh import five_of
from warpgan.preparation.dense_head import CORRELATED, HEADS, bend_to_canonical, dense_head
from warpgan.weights import ASSETS

SCRIPT = Path(__file__).parents[2] / "scripts" / "make_dense_head.py"


@pytest.fixture(scope="module")
def maker():
    spec = importlib.util.spec_from_file_location("make_dense_head", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["make_dense_head"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["make_dense_head"]


@pytest.mark.parametrize("heads", HEADS)
def test_the_head_is_symmetric_and_faces_the_frontal_camera(heads, maker):
    head = dense_head(heads)
    assert head.mean.shape == (468, 3) and head.modes.shape[1:] == (468, 3)
    partner = maker.mirror_partners(head.mean)
    mirrored = head.mean[partner] * (-1, 1, 1)
    assert np.abs(mirrored - head.mean).max() < 2e-3
    assert 0.2 < head.mean[1, 2] < 0.35  # the tip of the nose
    assert ((head.sigma > 0.001 * CORRELATED) & (head.sigma < 0.03 * CORRELATED)).all()


def test_the_bent_head_has_eg3ds_five_points():
    five = five_of(dense_head("eg3d").mean)
    assert np.abs(five - CANONICAL_POINTS.numpy()).max() < 1e-2
    # the plain one is off by more: its people have wider mouths in shorter faces
    plain = five_of(dense_head("portraits").mean)
    assert np.abs(plain - CANONICAL_POINTS.numpy()).max() > 2e-2


def test_bending_is_the_identity_on_eg3ds_own_points():
    cloud = np.random.default_rng(0).normal(0, 0.1, (30, 3)) + (0, 0, 0.2)
    bent = bend_to_canonical(cloud, CANONICAL_POINTS.double().numpy())
    np.testing.assert_allclose(bent, cloud, atol=5e-3)


def test_fewer_modes_and_an_unknown_build():
    assert dense_head("portraits", modes=2).modes.shape == (2, 468, 3)
    with pytest.raises(ValueError, match="heads 'mine' is unknown; choose one of portraits, eg3d"):
        dense_head("mine")


def test_the_asset_is_small_and_says_how_it_was_made():
    notes = json.loads((ASSETS / "dense_head.json").read_text())
    assert notes["command"].startswith("python scripts/make_dense_head.py --people ")
    assert (ASSETS / "dense_head.safetensors").stat().st_size < 100_000
    np.testing.assert_allclose(five_of(dense_head().mean), notes["five_points"], atol=1e-4)


def test_triangulation_finds_the_points_again(maker):
    labels = look_at(*zip(*maker.VIEWS, strict=True))
    world = np.random.default_rng(0).normal(0, 0.07, (20, 3)) + (0, 0, 0.2)
    seen = project(torch.from_numpy(world), labels.double()).numpy()
    seen[2, :3] += 0.05  # one view is far off for three points
    found, error, visible = maker.triangulate(seen, labels, world)
    np.testing.assert_allclose(found, world, atol=1e-3)
    assert error.shape == seen.shape and visible.min() > 0


def test_mirror_partners_pair_every_point_once(maker):
    half = np.abs(np.random.default_rng(0).normal(0, 0.1, (10, 3))) + 0.02
    middle = np.array([[0, 0.1, 0.2], [1e-4, -0.1, 0.2]])
    points = np.concatenate([half, middle, half * (-1, 1, 1)])
    partner = maker.mirror_partners(points)
    assert partner.tolist() == [*range(12, 22), 10, 11, *range(10)]
