"""Ray-traced scenes: warped points must lie where the target camera sees them."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from eg3d import ray_directions
from warpgan.cameras import look_at, project
from warpgan.warp import Warped, WarpOptions, forward_warp

SIZE = 512
OFFICIAL = WarpOptions(depth="ray", pixel_grid="integer", hole_test="black")
RIGHT = {
    "soft": WarpOptions(),
    "zbuffer": WarpOptions(occlusion="zbuffer"),
    "visibility": WarpOptions(visibility=True),
    "oversample": WarpOptions(oversample=2),
}
CENTRE, RADIUS = (0.02, -0.01, -0.1), 0.33
NORMAL, OFFSET = (-0.3, 0.2, 1.0), 0.05


@dataclass(frozen=True)
class Exact:
    """A scene as a camera sees it: exact points, normals and ray length of every pixel."""

    points: Tensor  # [1, 3, S, S], NaN where there is nothing
    normals: Tensor
    ray_length: Tensor


def sphere(camera: Tensor, size: int) -> Exact:
    origins, directions = ray_directions(camera, size)
    centre = torch.tensor(CENTRE, dtype=camera.dtype)
    towards = ((centre - origins) * directions).sum(-1, keepdim=True)
    inside = RADIUS**2 - (origins - centre).square().sum(-1, keepdim=True) + towards.square()
    length = torch.where(inside > 0, towards - inside.clamp(min=0).sqrt(), torch.nan)
    points = origins + directions * length
    return _exact(points, (points - centre) / RADIUS, length, size)


def plane(camera: Tensor, size: int) -> Exact:
    origins, directions = ray_directions(camera, size)
    normal = torch.tensor(NORMAL, dtype=camera.dtype)
    normal = normal / normal.norm()
    length = (OFFSET - (origins * normal).sum(-1, keepdim=True)) / (directions * normal).sum(
        -1, keepdim=True
    )
    points = origins + directions * length
    return _exact(points, normal.expand_as(points), length, size)


def _exact(points: Tensor, normals: Tensor, length: Tensor, size: int) -> Exact:
    return Exact(*(x.mT.unflatten(2, (size, size)) for x in (points, normals, length)))


SCENES = {"sphere": sphere, "plane": plane}


def texture(points: Tensor) -> Tensor:
    """A smooth pattern, a function of the world point, in [0, 1]."""
    x, y, z = points.unbind(1)
    return 0.5 + 0.25 * torch.stack(
        [
            (40 * x).sin() + (31 * y + 9 * z).cos(),
            (25 * (x + y)).sin() + (37 * z - 20 * y).sin(),
            (33 * (x - y) + 11 * z).cos() + (22 * x).cos(),
        ],
        dim=1,
    )


def truly_seen(scene: Exact, source: Tensor) -> Tensor:
    """[1, 1, S, S] what a source sees of a target view, at less than 78 degrees."""
    points, normals = scene.points.flatten(2).mT, scene.normals.flatten(2).mT
    position = source[:, None, :16].unflatten(2, (4, 4))[..., :3, 3]
    towards = position - points
    facing = (towards * normals).sum(-1) / towards.norm(dim=-1) > 0.2
    pixels = project(points, source, size=SIZE)
    inside = ((pixels > 2) & (pixels < SIZE - 2)).all(-1)
    return (facing & inside).unflatten(1, (SIZE, SIZE)).unsqueeze(1)


def warp(scene: str, yaw: float, options: WarpOptions, *, rays: int = SIZE):
    """Warped points and texture from yaw 0, the exact view, and what is seen of it."""
    source, target = look_at(0.0, 0.0).double(), look_at(yaw, 0.0).double()
    trace = SCENES[scene]
    near, truth = trace(source, SIZE), trace(target, SIZE)
    channels = torch.cat([near.points, texture(near.points)], dim=1).nan_to_num(0)
    length = trace(source, rays).ray_length
    warped = forward_warp(channels, length, source, target, options=options)
    return warped, truth, truly_seen(truth, source) & (warped.coverage > 1e-6), target


def displacement(warped: Warped, target: Tensor) -> Tensor:
    """[2, S, S] pixels from where a warped point arrived to where the camera sees it."""
    points = warped.colour[:, :3].flatten(2).mT
    seen_at = project(points, target, size=SIZE)[0].T.unflatten(1, (SIZE, SIZE))
    centre = torch.arange(SIZE, dtype=seen_at.dtype) + 0.5
    rows, columns = torch.meshgrid(centre, centre, indexing="ij")
    return seen_at - torch.stack([columns, rows])


def block_means(error: Tensor, seen: Tensor, *, side: int = 16) -> Tensor:
    """[2, blocks] mean error over the seen pixels of each block that is mostly seen."""
    pool = torch.nn.functional.avg_pool2d
    share = pool(seen[0].double(), side)
    total = pool(torch.where(seen[0], error, 0.0), side)
    return (total / share)[:, share[0] > 0.5]


@pytest.mark.parametrize("options", RIGHT.values(), ids=RIGHT)
@pytest.mark.parametrize("yaw", [10.0, 20.0, 30.0, 60.0])
@pytest.mark.parametrize("scene", SCENES)
def test_pixels_arrive_where_the_target_camera_sees_them(scene, yaw, options):
    warped, truth, seen, target = warp(scene, yaw, options)
    error = displacement(warped, target)
    assert seen.double().mean() > 0.15
    blocks = block_means(error, seen)
    assert blocks.norm(dim=0).max() < 0.3
    distance = error.norm(dim=0)[seen[0, 0]]
    assert distance.median() < 0.3
    assert distance.quantile(0.99) < 1.2
    difference = (warped.colour[:, 3:] - texture(truth.points))[seen.expand(-1, 3, -1, -1)]
    assert -10 * difference.square().mean().log10() > 35


@pytest.mark.parametrize("scene", SCENES)
def test_enlarged_depth_is_as_good(scene):
    warped, _, seen, target = warp(scene, 30.0, RIGHT["soft"], rays=128)
    assert block_means(displacement(warped, target), seen).norm(dim=0).max() < 0.3


def test_the_released_geometry_is_pixels_off_near_the_edge():
    errors = {}
    for name, options in (("right", WarpOptions()), ("official", OFFICIAL)):
        warped, _, seen, target = warp("plane", 20.0, options)
        error = displacement(warped, target).norm(dim=0)
        edge = torch.zeros_like(seen)
        edge[..., 8:40] = edge[..., -40:-8] = True
        errors[name] = error[(seen & edge)[0, 0]].median()
    assert errors["official"] > 2
    assert errors["right"] < 0.3


@pytest.mark.parametrize("part", ["depth", "pixel_grid"])
def test_either_part_of_the_released_geometry_is_an_error(part):
    options = WarpOptions(**{part: getattr(OFFICIAL, part)})
    found = {}
    for name, used in (("right", WarpOptions()), ("part", options)):
        warped, _, seen, target = warp("plane", 30.0, used)
        found[name] = block_means(displacement(warped, target), seen).norm(dim=0).mean()
    assert found["part"] > 2 * found["right"]
