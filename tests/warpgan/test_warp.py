import math

import pytest
import torch
from torch.autograd import gradcheck

from eg3d import ray_directions
from warpgan.cameras import look_at, make_label, project, split_label, to_camera
from warpgan.reprojection import enlarge_ray_length, reproject, unproject
from warpgan.warp import (
    WarpOptions,
    depth_z_from_ray_length,
    forward_warp,
    ray_length_from_depth_z,
    ray_stretch,
)


def odd_cameras() -> torch.Tensor:
    labels = look_at([0.0, 40.0, -70.0], [0.0, 12.0, -20.0]).double()
    cam2world, intrinsics = split_label(labels)
    intrinsics = intrinsics.clone()
    intrinsics[1, 0, 1], intrinsics[1, 0, 2], intrinsics[1, 1, 1] = 0.11, 0.43, 3.1
    return make_label(cam2world, intrinsics)


def exact_camera(yaw: float, pitch: float, **options) -> torch.Tensor:
    """A float64 label whose rotation is one to float64's precision."""
    cam2world, intrinsics = split_label(look_at(yaw, pitch, **options).double())
    left, _, right = torch.linalg.svd(cam2world[:, :3, :3])
    cam2world = cam2world.clone()
    cam2world[:, :3, :3] = left @ right
    return make_label(cam2world, intrinsics)


def smooth_depth(height: int, width: int) -> torch.Tensor:
    v, u = torch.meshgrid(
        torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij"
    )
    return (2.7 - 0.2 * torch.exp(-3 * (u**2 + v**2)) + 0.02 * u).double()[None, None]


def random_image(height: int, width: int, *, channels: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    shape = (1, channels, height, width)
    return torch.rand(shape, generator=generator, dtype=torch.float64) * 0.9 + 0.1


def slow_warp(image, depth, source, target, *, options, valid=None):
    """One pixel after the other, from world points and `cameras.project`."""
    _, channels, height, width = image.shape
    points = unproject(depth, source)[0].flatten(1).T
    position = (project(points, target[0], size=(width, height)) - 0.5).tolist()
    depths = to_camera(points, target[0])[:, 2].tolist()
    valid = [True] * len(depths) if valid is None else valid.flatten().tolist()
    nearness = [1 / z for z, good in zip(depths, valid, strict=True) if good]
    low, high = min(nearness), max(nearness)
    touched: dict[tuple[int, int], list[tuple[float, float, int]]] = {}
    for number, ((u, v), z, good) in enumerate(zip(position, depths, valid, strict=True)):
        for column in (int(u // 1), int(u // 1) + 1):
            for row in (int(v // 1), int(v // 1) + 1):
                share = (1 - abs(u - column)) * (1 - abs(v - row))
                if good and 0 <= column < width and 0 <= row < height:
                    touched.setdefault((row, column), []).append((share, z, number))
    colours = image[0].flatten(1).T
    result = torch.zeros_like(image)
    coverage, depth_z = torch.zeros_like(depth), torch.full_like(depth, torch.inf)
    for (row, column), arrived in touched.items():
        hiding = [z for share, z, _ in arrived if share >= 0.05]
        limit = min(hiding, default=torch.inf) + options.zbuffer_band
        total, colour, far = 0.0, torch.zeros(channels, dtype=image.dtype), 0.0
        for share, z, number in arrived:
            if options.occlusion == "soft":
                weight = math.exp(10 * ((1 / z - low) / (high - low + 1e-6) - 1))
            else:
                weight = float(z <= limit)
            total += share * weight
            colour = colour + share * weight * colours[number]
            far += share * weight * z
        if total > 1e-8:
            result[0, :, row, column] = colour / total
            depth_z[0, 0, row, column] = far / total
        coverage[0, 0, row, column] = total
    return result, coverage, depth_z


def test_depth_is_the_part_of_the_ray_along_the_view():
    labels = odd_cameras()
    _, directions = ray_directions(labels, 8)
    cam2world, _ = split_label(labels)
    along = (directions * cam2world[:, None, :3, 2]).sum(-1).reshape(-1, 1, 8, 8)
    ray_length = torch.rand(3, 1, 8, 8, dtype=torch.float64) + 2
    assert torch.allclose(depth_z_from_ray_length(ray_length, labels), ray_length * along)


def test_round_trip_and_leading_axes():
    labels = odd_cameras()[None].expand(2, -1, -1)
    ray_length = torch.rand(2, 3, 1, 6, 8, dtype=torch.float64) + 2
    depth_z = depth_z_from_ray_length(ray_length, labels)
    assert torch.allclose(ray_length_from_depth_z(depth_z, labels), ray_length)


def test_the_error_of_taking_length_for_depth():
    # facts: centre 1, middle of an edge 1.0069, corner 1.0137
    stretch = ray_stretch(look_at(0.0, 0.0), 1025, 1025)[0, 0]
    assert stretch[512, 512].item() == 1
    assert abs(stretch[512, 0].item() - 1.0069) < 1e-4
    assert abs(stretch[0, 0].item() - 1.0137) < 2e-4


def test_unprojected_points_lie_on_the_rays_at_their_length():
    labels = odd_cameras()
    ray_length = torch.rand(3, 1, 8, 8, dtype=torch.float64) + 2
    points = unproject(depth_z_from_ray_length(ray_length, labels), labels)
    origins, directions = ray_directions(labels, 8)
    expected = origins + directions * ray_length.flatten(2).mT
    assert torch.allclose(points.flatten(2).mT, expected, atol=1e-6)


def test_reprojection_goes_through_the_world_with_the_labels_own_intrinsics():
    labels = odd_cameras()
    source, target = labels[[1, 0, 2]], labels[[0, 1, 1]]
    depth = smooth_depth(6, 10).expand(3, -1, -1, -1)
    moved = reproject(depth, source, target, size=(12, 7))
    points = unproject(depth, source).flatten(2).mT
    assert torch.allclose(moved.position.flatten(2).mT, project(points, target, size=(7, 12)) - 0.5)
    assert torch.allclose(moved.depth_z.flatten(1), to_camera(points, target)[..., 2])


def test_reprojection_is_exact_under_autocast():
    labels = odd_cameras().float()
    depth = smooth_depth(8, 8).float().expand(3, -1, -1, -1)
    plain = reproject(depth, labels, labels[[1, 2, 0]])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = reproject(depth, labels, labels[[1, 2, 0]])
    assert torch.equal(half.position, plain.position)


def test_enlarging_aligns_half_pixels_and_leaves_a_map_of_the_right_size():
    line = torch.arange(16, dtype=torch.float64).expand(1, 1, 16, 16) + 0.5
    enlarged = enlarge_ray_length(line, 32, 64)
    assert tuple(enlarged.shape) == (1, 1, 32, 64)
    error = (enlarged[0, 0, 0] - (torch.arange(64, dtype=torch.float64) + 0.5) / 4)[12:-12]
    # the bicubic kernel (a = -.75) ripples on a slope, about the right value
    assert error.abs().max() < 0.05
    assert abs(error.mean().item()) < 1e-12
    assert enlarge_ray_length(line, 16, 16) is line


@pytest.mark.parametrize("occlusion", ["soft", "zbuffer"])
@pytest.mark.parametrize("grid", ["centre", "integer"])
@pytest.mark.parametrize("size", [(16, 16), (8, 24), (24, 16)])
def test_the_same_camera_changes_nothing(occlusion, grid, size):
    source = odd_cameras()[1:2]
    image, depth = random_image(*size), smooth_depth(*size)
    options = WarpOptions(occlusion=occlusion, pixel_grid=grid)
    length = depth * ray_stretch(source, *size, pixel_grid=grid)
    warped = forward_warp(image, length, source, source, options=options)
    assert torch.allclose(warped.colour, image, atol=1e-6)
    assert torch.allclose(warped.depth_z, depth, atol=1e-6)
    assert (warped.coverage > 0).all()


@pytest.mark.parametrize("occlusion", ["soft", "zbuffer"])
@pytest.mark.parametrize("angles", [(25.0, 5.0), (-50.0, -10.0)])
def test_against_one_pixel_after_the_other(occlusion, angles):
    source = exact_camera(5.0, 3.0)
    target = exact_camera(*angles)
    image, depth = random_image(18, 26), smooth_depth(18, 26)
    depth[..., 5:12, 9:16] -= 0.3  # a block that hides what is behind it
    options = WarpOptions(occlusion=occlusion)
    length = ray_length_from_depth_z(depth, source)
    warped = forward_warp(image, length, source, target, options=options)
    colour, coverage, depth_z = slow_warp(image, depth, source, target, options=options)
    found = coverage > 1e-8
    assert 0.2 < found.double().mean() < 1
    assert torch.allclose(warped.coverage, coverage, atol=1e-12)
    assert torch.allclose(warped.colour[found.expand_as(image)], colour[found.expand_as(image)])
    assert torch.allclose(warped.depth_z[found], depth_z[found])
    assert torch.isinf(warped.depth_z[~found]).all()
    assert (warped.colour[(coverage == 0).expand_as(image)] == 0).all()


def test_a_z_buffer_hides_what_soft_weights_let_shine_through():
    source, target = exact_camera(0.0, 0.0), exact_camera(20.0, 0.0)
    depth = torch.full((1, 1, 32, 32), 2.8, dtype=torch.float64)
    depth[..., 8:24, 8:20] = 2.6
    image = (depth < 2.7).double()
    length = ray_length_from_depth_z(depth, source)
    seen = {}
    for occlusion in ("soft", "zbuffer"):
        options = WarpOptions(occlusion=occlusion)
        warped = forward_warp(image, length, source, target, options=options)
        near = warped.coverage > 1e-8
        seen[occlusion] = ((warped.colour > 0.01) & (warped.colour < 0.99) & near).sum().item()
    assert seen["zbuffer"] < seen["soft"]


@pytest.mark.parametrize("occlusion", ["soft", "zbuffer"])
@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf, -2.7, 0.0])
def test_pixels_without_usable_depth_are_dropped(occlusion, bad):
    source, target = exact_camera(0.0, 0.0), exact_camera(15.0, 4.0)
    image, depth = random_image(16, 16), smooth_depth(16, 16)
    holes = torch.zeros_like(depth, dtype=torch.bool)
    holes[..., 4:7, 3:9] = True
    options = WarpOptions(occlusion=occlusion)
    length = ray_length_from_depth_z(depth, source)
    length = length.masked_fill(holes, bad).requires_grad_()
    warped = forward_warp(image, length, source, target, options=options)
    expected = slow_warp(image, depth, source, target, options=options, valid=~holes)
    firm = (expected[1] > 1e-8).expand_as(image)
    assert torch.allclose(warped.colour[firm], expected[0][firm])
    assert torch.allclose(warped.coverage, expected[1], atol=1e-12)
    (warped.colour.sum() + warped.depth_z[warped.coverage > 1e-8].sum()).backward()
    assert length.grad.isfinite().all()
    assert (length.grad[holes] == 0).all()


@pytest.mark.parametrize("occlusion", ["soft", "zbuffer"])
def test_points_behind_the_camera_are_dropped(occlusion):
    source = exact_camera(0.0, 0.0)
    target = exact_camera(180.0, 0.0, radius=0.5)
    image, depth = random_image(16, 16), smooth_depth(16, 16)
    depth[..., 8:, :] = 4.0  # lies behind the target camera, which looks back at the source
    length = ray_length_from_depth_z(depth, source).requires_grad_()
    options = WarpOptions(occlusion=occlusion)
    warped = forward_warp(image, length, source, target, options=options)
    changed = image.clone()
    changed[..., 8:, :] = 7.0
    again = forward_warp(changed, length, source, target, options=options)
    assert torch.equal(warped.colour, again.colour)
    assert warped.coverage.any()
    warped.colour.sum().backward()
    assert length.grad.isfinite().all()


@pytest.mark.parametrize("occlusion", ["soft", "zbuffer"])
def test_nothing_in_front_of_the_camera_gives_an_empty_view(occlusion):
    source = exact_camera(0.0, 0.0)
    image = random_image(8, 8)
    length = torch.full((1, 1, 8, 8), torch.nan, dtype=torch.float64, requires_grad=True)
    options = WarpOptions(occlusion=occlusion)
    warped = forward_warp(image, length, source, source, options=options)
    assert (warped.colour == 0).all() and (warped.coverage == 0).all()
    assert torch.isinf(warped.depth_z).all()
    warped.colour.sum().backward()
    assert (length.grad == 0).all()


@pytest.mark.parametrize("occlusion", ["soft", "zbuffer"])
def test_gradients(occlusion):
    source, target = exact_camera(0.0, 0.0), exact_camera(12.0, -5.0)
    image, depth = random_image(6, 5, channels=2), smooth_depth(6, 5)
    length = ray_length_from_depth_z(depth, source)
    options = WarpOptions(occlusion=occlusion)

    def warp(image, length):
        warped = forward_warp(image, length, source, target, options=options)
        # elsewhere the average is steep: next to nothing by next to nothing
        firm = warped.coverage.detach() > 0.05 * warped.coverage.detach().max()
        kept = torch.where(firm, warped.depth_z, 0)
        return warped.colour * firm, warped.coverage, kept

    inputs = (image.requires_grad_(), length.requires_grad_())
    assert gradcheck(warp, inputs, eps=1e-7, atol=1e-4, rtol=1e-3)


def test_items_of_a_batch_do_not_touch():
    labels = odd_cameras()
    image = torch.cat([random_image(12, 16), random_image(12, 16).flip(-1), random_image(12, 16)])
    length = torch.rand(3, 1, 6, 8, dtype=torch.float64) * 0.1 + 2.6
    target = labels[[1, 2, 0]]
    together = forward_warp(image, length, labels, target, options=WarpOptions())
    for item in range(3):
        one = slice(item, item + 1)
        alone = forward_warp(
            image[one], length[one], labels[one], target[one], options=WarpOptions()
        )
        assert torch.allclose(together.colour[one], alone.colour)
        assert torch.allclose(together.coverage[one], alone.coverage)


def test_oversampling_closes_pin_holes():
    source, target = exact_camera(68.0, 0.0), exact_camera(0.0, 0.0)
    origins, directions = ray_directions(source, 48)
    # the plane z = 0.1, seen from the side, fills more than twice as many columns from the front
    length = ((0.1 - origins[..., 2:]) / directions[..., 2:]).mT.unflatten(2, (48, 48))
    open_pixels = []
    for oversample in (1, 2):
        options = WarpOptions(oversample=oversample)
        warped = forward_warp(random_image(48, 48), length, source, target, options=options)
        open_pixels.append((warped.coverage[..., 8:40, 20:28] <= 1e-8).sum().item())
    assert open_pixels[0] > 0
    assert open_pixels[1] == 0


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("depth", "w"),
        ("pixel_grid", "corner"),
        ("occlusion", "none"),
        ("hole_test", "grey"),
        ("erosion", 2),
        ("blur_size", 0),
        ("blur_sigma", 0.0),
        ("zbuffer_band", float("nan")),
        ("oversample", 0),
        ("max_slope", -1.0),
    ],
)
def test_impossible_options_are_refused(key, value):
    with pytest.raises(ValueError, match=key):
        WarpOptions(**{key: value})


@pytest.mark.parametrize("name", ["image", "ray_length", "source", "target"])
def test_shapes_that_do_not_fit_are_named(name):
    inputs = {
        "image": random_image(8, 8),
        "ray_length": smooth_depth(8, 8),
        "source": exact_camera(0.0, 0.0),
        "target": exact_camera(9.0, 0.0),
    }
    inputs[name] = inputs[name][0]
    with pytest.raises(ValueError, match=name):
        forward_warp(*inputs.values(), options=WarpOptions())
