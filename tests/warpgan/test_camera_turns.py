"""Turns of cameras against slow projections of single points."""

import math

import pytest
import torch

from warpgan.camera_turns import TURNS, angles_between, motion_by_turn, turn_cameras
from warpgan.cameras import look_at, project, split_label, yaw_pitch


def cameras() -> torch.Tensor:
    return look_at(torch.tensor([0.0, 30.0, -55.0]), torch.tensor([0.0, -12.0, 8.0]), roll_deg=5.0)


def test_no_turn_is_the_same_camera():
    torch.testing.assert_close(turn_cameras(cameras(), torch.zeros(3, TURNS)), cameras())


def test_turned_cameras_stay_on_their_sphere_and_upright_matrices():
    turn = torch.randn(3, TURNS, generator=torch.Generator().manual_seed(0)) * 0.2
    cam2world, lens = split_label(turn_cameras(cameras(), turn).double())
    rotation = cam2world[:, :3, :3]
    torch.testing.assert_close(
        rotation.mT @ rotation, torch.eye(3).double().expand(3, 3, 3), atol=1e-6, rtol=0
    )
    torch.testing.assert_close(
        cam2world[:, :3, 3].norm(dim=1), torch.full((3,), 2.7).double(), atol=1e-5, rtol=0
    )
    torch.testing.assert_close(lens.float(), split_label(cameras())[1])


def test_rounding_does_not_grow_with_the_number_of_turns():
    seen = cameras()
    for _ in range(60):
        seen = turn_cameras(seen, torch.tensor([[1e-3, 2e-3, 1e-3, -1e-3, 1e-3]]).expand(3, -1))
    rotation = split_label(seen.double())[0][:, :3, :3]
    assert (rotation.mT @ rotation - torch.eye(3)).abs().max() < 1e-5
    torch.testing.assert_close(
        seen[:, [3, 7, 11]].norm(dim=1), torch.full((3,), 2.7), atol=1e-4, rtol=0
    )


def test_a_turn_about_y_of_the_frontal_camera_is_yaw():
    turn = torch.tensor([[0, math.radians(7.0), 0, 0, 0], [math.radians(7.0), 0, 0, 0, 0]])
    yaw, pitch = yaw_pitch(turn_cameras(look_at([0.0, 0.0], [0.0, 0.0]), turn))
    # the camera's y points down and its x to the viewer's right
    torch.testing.assert_close(yaw, torch.tensor([-7.0, 0.0]), atol=1e-4, rtol=0)
    torch.testing.assert_close(pitch, torch.tensor([0.0, -7.0]), atol=1e-4, rtol=0)


@pytest.mark.parametrize("degrees", [1e-4, 3.0, 80.0])
def test_angles_between_cameras(degrees):
    turn = torch.zeros(1, TURNS)
    turn[0, 1] = math.radians(degrees)
    base = look_at(20.0, 0.0).double()
    position, orientation = angles_between(base, turn_cameras(base, turn))
    assert float(position) == pytest.approx(degrees, rel=1e-4)
    assert float(orientation) == pytest.approx(degrees, rel=1e-4)
    turn = turn.roll(2, dims=1)
    position, orientation = angles_between(base, turn_cameras(base, turn))
    assert float(position) == pytest.approx(0, abs=1e-9)
    assert float(orientation) == pytest.approx(degrees, rel=1e-4)


def test_motion_equals_projections_of_the_turned_surface():
    seen = cameras().double()
    height, width = 6, 9
    depth_z = (
        2.2 + torch.rand(3, 1, height, width, generator=torch.Generator().manual_seed(1)).double()
    )
    right, down = motion_by_turn(depth_z, seen)
    cam2world, lens = split_label(seen)
    for row in range(height):
        for column in range(width):
            pixel = torch.tensor([(column + 0.5) / width, (row + 0.5) / height, 1.0]).double()
            ray = (lens.inverse() @ pixel)[..., None] * depth_z[:, :, row, column, None]
            point = (cam2world[:, :3, :3] @ ray)[..., 0] + cam2world[:, :3, 3]
            for number in range(TURNS):
                turn = torch.zeros(3, TURNS).double()
                turn[:, number] = 1e-6
                ahead = project(point[:, None], turn_cameras(seen, turn), size=(width, height))
                back = project(point[:, None], turn_cameras(seen, -turn), size=(width, height))
                slow = ((ahead - back) / 2e-6)[:, 0]
                found = torch.stack([right, down], -1)[:, number, row, column]
                torch.testing.assert_close(found, slow, atol=1e-4, rtol=1e-5)
