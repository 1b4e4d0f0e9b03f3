"""Conventions of cameras: proven by properties, and by the golden vectors."""

import math
from pathlib import Path

import pytest
import torch
from torch._subclasses import FakeTensorMode

import eg3d
from tests.parity_checks.cameras import check_cameras
from warpgan import cameras

GOLDEN = Path(__file__).parents[1] / "golden"
YAWS = torch.tensor([-75.0, -30.0, 0.0, 12.0, 88.0], dtype=torch.float64)
PITCHES = torch.tensor([-20.0, 35.0, 0.0, 5.0, -60.0], dtype=torch.float64)


def rolled_labels() -> torch.Tensor:
    return cameras.look_at(YAWS, PITCHES, roll_deg=[10.0, -40.0, 0.0, 90.0, 3.0])


@pytest.mark.parametrize("comparison", check_cameras(GOLDEN), ids=lambda c: c.key)
def test_golden(comparison):
    assert comparison.ok, comparison


def test_golden_file_is_whole(tmp_path):
    with pytest.raises(FileNotFoundError):
        check_cameras(tmp_path)


def test_frontal_pose_is_the_documented_one():
    cam2world, intrinsics = cameras.split_label(cameras.frontal_label()[0])
    expected = torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0]))
    expected[2, 3] = 2.7
    torch.testing.assert_close(cam2world, expected)
    torch.testing.assert_close(
        intrinsics, torch.tensor([[4.2647, 0, 0.5], [0, 4.2647, 0.5], [0, 0, 1]])
    )


def test_yaw_is_towards_plus_x_and_pitch_is_true_elevation():
    x, y, z = cameras.look_at(30.0, 20.0)[0, [3, 7, 11]].tolist()
    assert math.atan2(x, z) == pytest.approx(math.radians(30), abs=1e-6)
    assert y / 2.7 == pytest.approx(math.sin(math.radians(20)), abs=1e-6)
    assert math.hypot(x, y, z) == pytest.approx(2.7, abs=1e-6)


def test_yaw_pitch_inverts_look_at():
    yaw, pitch = cameras.yaw_pitch(rolled_labels())
    torch.testing.assert_close(yaw.double(), YAWS, atol=1e-4, rtol=0)
    torch.testing.assert_close(pitch.double(), PITCHES, atol=1e-4, rtol=0)


def test_poses_are_rigid_right_handed_and_look_at_the_pivot():
    pivot = torch.tensor([0.1, -0.2, 0.3])
    labels = cameras.look_at(YAWS, PITCHES, pivot=pivot.tolist(), roll_deg=25.0, radius=3.1)
    cameras.validate_label(cameras.look_at(YAWS, PITCHES, pivot=pivot.tolist(), roll_deg=25.0))
    pixels = cameras.project(pivot[None], labels, size=100)
    torch.testing.assert_close(pixels, torch.full((5, 1, 2), 50.0), atol=1e-4, rtol=0)
    torch.testing.assert_close(labels[:, [3, 7, 11]].norm(dim=1), torch.full((5,), 3.1))


def test_positive_roll_turns_the_content_counter_clockwise():
    above = torch.tensor([[0.0, 0.1, 0.2]])
    x, y = cameras.project(above, cameras.look_at(0.0, 0.0, roll_deg=20.0), size=1.0)[0, 0] - 0.5
    assert x < 0 and y < 0
    assert math.degrees(math.atan2(-x, -y)) == pytest.approx(20.0, abs=1e-3)


def test_eg3d_offsets_are_equal_area_with_plus_below():
    yaw, pitch = cameras.from_eg3d_offsets(0.3, -0.2)
    assert yaw.item() == pytest.approx(math.degrees(0.3))
    assert pitch.item() == pytest.approx(7.3, abs=0.02)
    offsets = cameras.eg3d_offsets(*cameras.from_eg3d_offsets(YAWS / 90, PITCHES / 90))
    torch.testing.assert_close(torch.stack(offsets), torch.stack([YAWS / 90, PITCHES / 90]))


def test_split_and_make_are_inverse_and_broadcast():
    labels = rolled_labels().reshape(1, 5, 25)
    torch.testing.assert_close(cameras.make_label(*cameras.split_label(labels)), labels)
    cam2world, intrinsics = cameras.split_label(labels)
    assert cameras.make_label(cam2world, intrinsics[0, 0]).shape == (1, 5, 25)


def test_project_agrees_with_the_generators_rays():
    labels = rolled_labels()
    labels[:, 17], labels[:, 18], labels[:, 20], labels[:, 21] = 0.1, 0.45, 4.0, 0.6
    origins, directions = eg3d.ray_directions(labels, 4)
    pixels = cameras.project(origins + 2.2 * directions, labels, size=4)
    row, column = torch.meshgrid(torch.arange(4.0), torch.arange(4.0), indexing="ij")
    centres = torch.stack([column.ravel(), row.ravel()], dim=-1) + 0.5
    torch.testing.assert_close(pixels, centres.expand(5, 16, 2), atol=1e-4, rtol=0)


def test_project_equals_a_slow_reference():
    label = rolled_labels()[1].double()
    label[17] = 0.2
    points = torch.tensor([[0.1, -0.05, 0.3], [-0.2, 0.1, 0.0]], dtype=torch.float64)
    cam2world, intrinsics = label[:16].reshape(4, 4), label[16:].reshape(3, 3)
    for point, found in zip(points, cameras.project(points, label, size=(64, 32)), strict=True):
        homogeneous = torch.cat([point, point.new_ones(1)])
        u, v, w = intrinsics @ (torch.linalg.inv(cam2world) @ homogeneous)[:3]
        expected = torch.stack([u / w * 64, v / w * 32])
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_mirroring_the_world_flips_the_image():
    labels = rolled_labels()
    labels[:, 17], labels[:, 18] = 0.1, 0.4
    points = torch.randn(7, 3, generator=torch.Generator().manual_seed(0)) * 0.1
    mirrored_points = points * torch.tensor([-1.0, 1.0, 1.0])
    pixels = cameras.project(points, labels, size=1.0)
    mirrored = cameras.project(mirrored_points, cameras.mirror_label(labels), size=1.0)
    expected = torch.stack([1 - pixels[..., 0], pixels[..., 1]], dim=-1)
    torch.testing.assert_close(mirrored, expected)
    assert torch.equal(cameras.mirror_label(cameras.mirror_label(labels))[:, :17], labels[:, :17])


def test_mirror_is_the_opposite_yaw_and_roll():
    torch.testing.assert_close(
        cameras.mirror_label(cameras.look_at(YAWS, PITCHES, roll_deg=15.0)),
        cameras.look_at(-YAWS, PITCHES, roll_deg=-15.0),
        atol=1e-6,
        rtol=0,
    )


def test_mirror_leaves_its_input_alone():
    labels = rolled_labels()
    before = labels.clone()
    cameras.mirror_label(labels)
    assert torch.equal(labels, before)


def test_canonical_points_project_to_the_canonical_pixels():
    pixels = cameras.project(cameras.CANONICAL_POINTS, cameras.frontal_label()[0], size=256)
    expected = torch.tensor(cameras.CANONICAL_PIXELS)
    torch.testing.assert_close(pixels, expected, atol=1e-4, rtol=0)
    depth = cameras.CANONICAL_POINTS[:, 2]
    torch.testing.assert_close(depth[:2], torch.tensor([0.19, 0.19]))
    assert depth[2] > depth[3] > depth[0]


def test_cameras_are_differentiable():
    yaw = torch.tensor([10.0], requires_grad=True)
    cameras.project(cameras.CANONICAL_POINTS, cameras.look_at(yaw, 0.0)).sum().backward()
    assert yaw.grad.abs().item() > 0


def test_labels_are_made_on_the_device_of_the_angles():
    with FakeTensorMode():
        yaw = torch.zeros(3, device="cuda")
        label = cameras.mirror_label(cameras.look_at(yaw, 5.0))
        points = torch.zeros(5, 3, device="cuda")
        assert label.device.type == "cuda" and label.shape == (3, 25)
        assert cameras.project(points, label, size=128).device.type == "cuda"


def test_radius_off_by_more_than_one_percent_warns():
    with pytest.warns(UserWarning, match="1 of 2 cameras are not 2.7"):
        cameras.validate_label(cameras.look_at(0.0, 0.0, radius=torch.tensor([2.71, 2.8])))
