import numpy as np
import pytest
import torch

from tests.warpgan.demo_world import FakeReader, smooth_picture, square_source
from warpgan.cameras import look_at, project, split_label, yaw_pitch
from warpgan.demonstration.sources import (
    RANGES,
    Adjustment,
    adjusted,
    crop_change,
    read_source,
    turned_about_head,
)


def test_no_adjustment_changes_nothing():
    source = square_source(0)
    assert adjusted(source, Adjustment()) is source


def test_the_crop_moves_as_its_map_says():
    source = read_source(smooth_picture(96, 5), FakeReader(), size=32)
    moved = adjusted(source, Adjustment(roll=20.0, right=0.1, down=-0.05, zoom=1.2))
    # a point of the photo is found at the mapped place of both crops, with the same colour
    for x, y in ((20.0, 24.0), (24.0, 30.0), (28.0, 20.0)):
        at = [s.to_crop @ (x, y, 1.0) for s in (source, moved)]
        colours = []
        for crop, (u, v) in zip((source.crop, moved.crop), at, strict=True):
            colours.append(crop[int(v), int(u)].astype(int))
        assert np.abs(colours[0] - colours[1]).max() < 30
    change = crop_change(moved_adjustment := Adjustment(roll=20.0, right=0.1), 32)
    assert moved_adjustment.moves_crop
    np.testing.assert_allclose(change @ (16, 16, 1), (16 + 3.2, 16))
    np.testing.assert_allclose(np.linalg.det(change[:, :2]), 1)
    turned = change @ (32, 16, 1) - change @ (16, 16, 1)
    assert turned[1] > 0, "clockwise as seen"
    np.testing.assert_allclose(
        moved.points, source.points @ _linear(source, moved).T + _shift(source, moved)
    )


def _linear(source, moved):
    return moved.to_crop[:, :2] @ np.linalg.inv(source.to_crop[:, :2])


def _shift(source, moved):
    return moved.to_crop[:, 2] - _linear(source, moved) @ source.to_crop[:, 2]


def test_a_camera_turns_about_the_origin():
    camera = look_at(10.0, 4.0)[0]
    moved = turned_about_head(camera, 12.0, -7.0)
    yaw, pitch = yaw_pitch(moved)
    assert (float(yaw), float(pitch)) == pytest.approx((22.0, -3.0), abs=1e-4)
    origin = torch.zeros(1, 3)
    torch.testing.assert_close(project(origin, moved), project(origin, camera))
    rotation = split_label(moved)[0][:3, :3].double()
    torch.testing.assert_close(rotation @ rotation.T, torch.eye(3).double(), atol=1e-6, rtol=0)
    torch.testing.assert_close(turned_about_head(moved, -12.0, 7.0), camera, atol=1e-6, rtol=0)


def test_a_moved_camera_is_no_longer_true():
    for adjustment in (Adjustment(yaw=3.0), Adjustment(zoom=1.1)):
        assert not adjusted(square_source(0), adjustment).true_camera


@pytest.mark.parametrize("name", [name for name, *_ in RANGES])
@pytest.mark.parametrize("value", [1e9, float("nan"), "7", None])
def test_numbers_of_a_browser_are_checked(name, value):
    with pytest.raises(ValueError, match=name):
        Adjustment(**{name: value})


def test_a_face_is_chosen():
    photo = smooth_picture(64, 3)
    first, second = (read_source(photo, FakeReader(), size=32, chosen=n) for n in (1, 2))
    assert first.chosen == 1 and second.chosen == 2 and len(first.boxes) == 2
    assert not np.array_equal(first.crop, second.crop)
    with pytest.raises(ValueError, match="face 3 does not exist"):
        read_source(photo, FakeReader(), size=32, chosen=3)
    with pytest.raises(ValueError, match="no face was found"):
        read_source(np.zeros((9, 9, 3), np.uint8), FakeReader(), size=32)
