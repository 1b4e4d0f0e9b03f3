"""Crops of turned photos: the affine map is exact, pixels follow it, no turn is EG3D's crop."""

import numpy as np
import pytest
from PIL import Image

from warpgan.cameras import CANONICAL_POINTS, look_at, project
from warpgan.crop import STANDARD_POINTS, fit_crop
from warpgan.preparation.alignment import (
    align,
    cut,
    eye_roll_deg,
    outside_share,
)


def face(centre, unit: float, *, roll: float = 0.0) -> np.ndarray:
    """A standard face as a camera of that roll sees it."""
    points = np.array(STANDARD_POINTS)[:, :2] * unit * (1, -1)
    angle = np.deg2rad(roll)
    cos, sin = np.cos(angle), np.sin(angle)
    return points @ np.array([[cos, sin], [-sin, cos]]).T + np.array(centre)


def noise_photo(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(1, 256, (height, width, 3), dtype=np.uint8)


def spot_photo(height: int, width: int, spot, sigma: float) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    blob = np.exp(-((x - spot[0]) ** 2 + (y - spot[1]) ** 2) / (2 * sigma**2))
    return np.repeat((blob * 255).astype(np.uint8)[..., None], 3, axis=2)


def centroid(image: np.ndarray) -> np.ndarray:
    bright = image[..., 0].astype(float)
    y, x = np.mgrid[: image.shape[0], : image.shape[1]] + 0.5
    return np.array([(x * bright).sum(), (y * bright).sum()]) / bright.sum()


@pytest.mark.parametrize("size", [512, 128])
@pytest.mark.parametrize("centre", [(200, 150), (20, 30), (380, 290)])
def test_without_a_turn_and_with_black_it_is_eg3ds_crop_to_the_byte(centre, size):
    photo, points = noise_photo(300, 400), face(centre, 70)
    ours = cut(photo, align(points, width=400, height=300, size=size), border="black")
    theirs = fit_crop(points, width=400, height=300).apply(Image.fromarray(photo), size=size)
    np.testing.assert_array_equal(ours, theirs)


def test_inside_of_the_photo_no_border_changes_the_crop():
    photo, points = noise_photo(900, 900), face((450, 450), 90)
    alignment = align(points, width=900, height=900, size=256)
    crops = [cut(photo, alignment, border=border) for border in ("reflect", "black", "white")]
    assert outside_share(alignment, width=900, height=900) == 0
    assert (crops[0] == crops[1]).all() and (crops[0] == crops[2]).all()


def test_the_map_without_a_turn_is_that_of_the_window():
    points = face((200, 150), 70)
    alignment = align(points, width=400, height=300)
    window = fit_crop(points, width=400, height=300)
    some = np.random.default_rng(2).uniform(0, 300, (20, 2))
    np.testing.assert_allclose(alignment.map(some), window.to_crop(some), atol=1e-9)
    np.testing.assert_allclose(alignment.map_back(alignment.map(some)), some, atol=1e-9)


@pytest.mark.parametrize("roll", [-30.0, -7.0, 12.0, 45.0])
def test_a_turn_levels_the_eyes_and_keeps_the_scale(roll):
    points = face((320, 240), 80, roll=roll)
    assert eye_roll_deg(points) == pytest.approx(roll, abs=0.1)
    alignment = align(points, width=640, height=480, turned_deg=roll)
    landed = alignment.map(points)
    upright = face((320, 240), 80)
    expected = align(upright, width=640, height=480).map(upright)
    np.testing.assert_allclose(landed, expected, atol=1.5)
    assert alignment.turned_deg == roll


def test_the_sign_of_a_turn_is_that_of_a_cameras_roll():
    points = project(CANONICAL_POINTS, look_at(0.0, 0.0, roll_deg=20.0)[0], size=512).numpy()
    assert eye_roll_deg(points) == pytest.approx(20.0, abs=0.1)


@pytest.mark.parametrize(("unit", "sigma"), [(60, 2.0), (250, 6.0), (450, 12.0)])
def test_pixels_of_a_turned_photo_land_where_the_map_says(unit, sigma):
    side = int(unit * 6)
    spot = np.array([side / 2 + 0.3 * unit, side / 2 - 0.2 * unit])
    photo = spot_photo(side, side, spot, sigma)
    alignment = align(face((side / 2,) * 2, unit), width=side, height=side, turned_deg=25.0)
    crop = cut(photo, alignment, border="black")
    np.testing.assert_allclose(centroid(crop), alignment.map(spot[None])[0], atol=0.1)


def test_a_turned_crop_does_not_alias():
    """Stripes far too fine for the crop end as grey."""
    photo = np.zeros((1600, 1600, 3), np.uint8)
    photo[::2] = 255
    alignment = align(face((800, 800), 530), width=1600, height=1600, turned_deg=20.0, size=128)
    inner = cut(photo, alignment)[40:90, 40:90].astype(float)
    assert abs(inner.mean() - 127.5) < 2 and inner.std() < 4


def test_a_turn_and_a_small_turn_agree():
    smooth = np.asarray(Image.fromarray(noise_photo(20, 20)).resize((640, 640), Image.BICUBIC))
    points = face((320, 320), 90)
    still = cut(smooth, align(points, width=640, height=640, size=128))
    turned = cut(smooth, align(points, width=640, height=640, size=128, turned_deg=1e-4))
    assert np.abs(still.astype(int) - turned.astype(int)).max() <= 3


@pytest.mark.parametrize("turned_deg", [0.0, 15.0])
def test_borders(turned_deg):
    photo = np.full((200, 200, 3), 90, np.uint8)
    points = face((15, 15), 60)
    alignment = align(points, width=200, height=200, size=128, turned_deg=turned_deg)
    share = outside_share(alignment, width=200, height=200)
    assert 0.4 < share < 0.8
    black, white, mirrored = (
        cut(photo, alignment, border=border) for border in ("black", "white", "reflect")
    )
    assert abs((black == 0).all(axis=-1).mean() - share) < 0.03
    assert abs((white == 255).all(axis=-1).mean() - share) < 0.03
    assert (mirrored == 90).all()


def test_beyond_the_edge_the_photo_is_mirrored_then_blurred():
    photo = noise_photo(300, 300)
    alignment = align(face((30, 150), 110), width=300, height=300, size=512)
    crop = cut(photo, alignment).astype(float)
    edge = alignment.map([[-0.5, 150]])[0, 0]
    columns = [int(edge) + 60, int(edge) - 8, 2]
    contrast = [crop[:, column - 2 : column + 3].std(axis=0).mean() for column in columns]
    assert contrast[0] > contrast[2] * 3 and contrast[1] > contrast[2]


def test_a_small_face_in_a_huge_photo_is_cut_roughly_first():
    photo = noise_photo(1300, 1700)
    points = face((1100, 900), 24)
    alignment = align(points, width=1700, height=1300, size=128)
    assert alignment.origin != (0, 0)
    whole = fit_crop(points, width=1700, height=1300)
    np.testing.assert_allclose(alignment.map(points), whole.to_crop(points, size=128), atol=1.0)
    assert cut(photo, alignment).shape == (128, 128, 3)


def test_reframing_zooms_about_the_middle_and_shifts():
    points = face((320, 240), 80)
    alignment = align(points, width=640, height=480, size=256)
    zoomed = alignment.reframed(scale=1.5, shift=(3, -2))
    np.testing.assert_allclose(
        zoomed.map(points), (alignment.map(points) - 128) * 1.5 + 128 + (3, -2), atol=1e-9
    )


def test_mistakes():
    points = face((200, 150), 70)
    alignment = align(points, width=400, height=300)
    with pytest.raises(ValueError, match="border 'grey' is unknown; choose one of reflect"):
        cut(noise_photo(300, 400), alignment, border="grey")
    with pytest.raises(ValueError, match="expected uint8"):
        cut(np.zeros((300, 400, 3)), alignment)
    with pytest.raises(ValueError, match="size 0"):
        align(points, width=400, height=300, size=0)
    with pytest.raises(ValueError, match="five finite points"):
        align(points[:4], width=400, height=300)
