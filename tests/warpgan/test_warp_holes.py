import pytest
import torch
import torch.nn.functional as F

from eg3d import ray_directions
from warpgan.cameras import look_at
from warpgan.holes import erode, gaussian_blur, seen_by_source, stretched_surface
from warpgan.warp import (
    WarpOptions,
    forward_warp,
    ray_length_from_depth_z,
    soft_holes,
    visible_pixels,
)

SOURCE, TARGET = look_at(0.0, 0.0), look_at(30.0, 0.0)
SEEING = WarpOptions(visibility=True)


def boxes(camera: torch.Tensor, *, size: int = 64) -> tuple[torch.Tensor, torch.Tensor]:
    """depth_z and colour of a square at z .2 before a backdrop at z -.4, exact from any camera."""
    origins, directions = ray_directions(camera, size)
    hits = {}
    for z in (0.2, -0.4):
        length = (z - origins[..., 2:]) / directions[..., 2:]
        hits[z] = length, origins + directions * length
    inside = (hits[0.2][1][..., :2].abs() < 0.12).all(-1, keepdim=True)
    length = torch.where(inside, hits[0.2][0], hits[-0.4][0])
    colour = torch.where(inside, 1.0, 0.25).expand(-1, -1, 3)
    return tuple(x.mT.unflatten(2, (size, size)) for x in (length, colour))


def test_true_black_stays_visible():
    image = torch.rand(1, 3, 32, 32) * 0.9 + 0.1
    image[..., 10:20, 10:20] = 0
    length = torch.full((1, 1, 32, 32), 2.7)
    warped = forward_warp(image, length, SOURCE, SOURCE, options=WarpOptions())
    assert visible_pixels(warped, SOURCE, options=WarpOptions()).all()
    black = visible_pixels(warped, SOURCE, options=WarpOptions(hole_test="black"))
    assert (black[..., 11:19, 11:19] == 0).all()


def test_what_nothing_reaches_is_a_hole():
    image = torch.rand(1, 3, 32, 32) + 0.1
    length, _ = boxes(SOURCE, size=32)
    for hole_test in ("coverage", "black"):
        options = WarpOptions(hole_test=hole_test)
        warped = forward_warp(image, length, SOURCE, TARGET, options=options)
        visible = visible_pixels(warped, TARGET, options=options)
        assert torch.equal(visible.bool(), warped.coverage > 1e-8)
        assert 0 < visible.mean() < 1


def test_the_near_rim_of_a_step_is_stretched():
    depth = torch.full((1, 1, 12, 12), 2.8)
    depth[..., 4:8, 4:8] = 2.5
    rim = depth < 2.6
    rim[..., 5:7, 5:7] = False
    assert torch.equal(stretched_surface(depth, SOURCE, max_slope=4.0), rim)


def test_slopes_are_measured_in_pixel_widths():
    slope = 6.0
    for size in (32, 128):
        pixel = 2.7 / (4.2647 * size)
        depth = 2.7 + (torch.arange(4) * slope * pixel).expand(1, 1, 4, 4)
        wide = F.pad(depth, (0, size - 4, 0, size - 4), mode="replicate")
        for limit, found in ((5.5, True), (6.5, False)):
            stretched = stretched_surface(wide, SOURCE, max_slope=limit)
            assert stretched[..., :3].all() == found
            assert not stretched[..., 4:].any()


def test_without_finite_depth_there_is_no_surface():
    depth = torch.full((1, 1, 8, 8), 2.7)
    depth[..., 3, 3] = torch.nan
    stretched = stretched_surface(depth, SOURCE, max_slope=8.0)
    assert stretched.sum() == 5


def test_the_backdrop_does_not_shine_through_the_square():
    source_length, colour = boxes(SOURCE)
    target_length, truth = boxes(TARGET)
    wrong = {}
    # the target's square is nearer than what the source's backdrop shows there: without the tests
    # the backdrop fills the pin-holes and the side the source does not see
    for name, options in (("plain", WarpOptions()), ("tests", SEEING)):
        warped = forward_warp(colour, source_length, SOURCE, TARGET, options=options)
        visible = visible_pixels(
            warped,
            TARGET,
            options=options,
            ray_length=source_length,
            source=SOURCE,
            target_ray_length=target_length,
        )
        off = (warped.colour - truth).abs().amax(1, keepdim=True) > 0.3
        wrong[name] = (off & (visible > 0)).sum().item()
        assert visible.mean() > 0.3
    assert wrong["plain"] > 20
    assert wrong["tests"] <= wrong["plain"] / 10


def test_moved_pixels_behind_the_generators_surface_are_hidden():
    length = torch.full((1, 1, 32, 32), 2.9)
    image = torch.rand(1, 3, 32, 32)
    warped = forward_warp(image, length, SOURCE, SOURCE, options=SEEING)
    inputs = {"options": SEEING, "ray_length": length, "source": SOURCE}
    nearer = torch.full_like(length, 2.9)
    nearer[..., :16] = 2.8
    visible = visible_pixels(warped, SOURCE, target_ray_length=nearer, **inputs)
    assert (visible[..., :16] == 0).all()
    assert (visible[..., 16:] == 1).all()


def test_surfaces_that_the_source_does_not_see_are_hidden():
    source_length, _ = boxes(SOURCE)
    target_length, _ = boxes(TARGET)
    to_z = ray_length_from_depth_z
    stretch = [to_z(torch.ones_like(source_length), camera) for camera in (SOURCE, TARGET)]
    seen = seen_by_source(
        target_length / stretch[1],
        TARGET,
        source_length / stretch[0],
        source=SOURCE,
        tolerance=0.03,
    )
    square = target_length < 2.75
    assert seen[square].double().mean() > 0.95  # the square faces the source
    shadowed = ~seen & ~square
    assert shadowed.sum() > 100  # backdrop behind the square, and what the source's image lacks


def test_the_tests_need_their_inputs():
    length = torch.full((1, 1, 16, 16), 2.7)
    warped = forward_warp(torch.rand(1, 3, 16, 16), length, SOURCE, TARGET, options=SEEING)
    with pytest.raises(ValueError, match="target_ray_length"):
        visible_pixels(warped, TARGET, options=SEEING, ray_length=length, source=SOURCE)


def test_erosion_against_windows():
    visible = (torch.rand(2, 1, 9, 13, generator=torch.Generator().manual_seed(0)) > 0.2).float()
    for size in (1, 3, 5):
        reach = size // 2
        expected = torch.ones_like(visible)
        for item, _, row, column in (visible == 0).nonzero().tolist():
            rows = slice(max(row - reach, 0), row + reach + 1)
            columns = slice(max(column - reach, 0), column + reach + 1)
            expected[item, 0, rows, columns] = 0
        assert torch.equal(erode(visible, size), expected)


@pytest.mark.parametrize(("size", "sigma"), [(21, 1.05), (21, 2.0), (5, 3.0), (1, 1.0)])
def test_blur_against_a_whole_window(size, sigma):
    mask = torch.rand(2, 1, 24, 31, dtype=torch.float64)
    offset = torch.arange(size, dtype=torch.float64) - size // 2
    taps = (-0.5 * (offset / sigma) ** 2).exp()
    window = taps[:, None] * taps / taps.sum() ** 2
    padded = F.pad(mask, [size // 2] * 4, mode="reflect")
    expected = F.conv2d(padded, window[None, None])
    assert torch.allclose(gaussian_blur(mask, size=size, sigma=sigma), expected, atol=1e-7)


def test_holes_are_soft_between_nothing_and_all():
    visible = torch.ones(1, 1, 64, 64)
    visible[..., 20:40, 20:40] = 0
    hole = soft_holes(visible, options=WarpOptions())
    assert hole.min() >= 0 and hole.max() <= 1
    assert (hole[..., 22:38, 22:38] > 0.999).all()
    assert (hole[..., :12, :] < 1e-6).all()
    assert torch.equal(hole, soft_holes(visible, options=WarpOptions()))
    assert (soft_holes(torch.ones_like(visible), options=WarpOptions()) < 1e-6).all()


def test_a_scaled_blur_covers_the_same_part_of_the_image():
    options = WarpOptions(scale_blur=True, erosion=1)
    widths = []
    for size in (128, 512):
        visible = torch.ones(1, 1, size, size)
        visible[..., size // 2 :] = 0
        hole = soft_holes(visible, options=options)
        widths.append((hole * (1 - hole)).sum((2, 3)).item() / size**2)
    plain = soft_holes(visible, options=WarpOptions(erosion=1))
    assert torch.equal(hole, plain)  # at 512 both are the same
    assert widths[0] < 2 * widths[1]


def test_too_small_for_the_blur_is_a_clear_error():
    with pytest.raises(ValueError, match="scale_blur"):
        soft_holes(torch.ones(1, 1, 8, 8), options=WarpOptions(blur_sigma=5.0))
