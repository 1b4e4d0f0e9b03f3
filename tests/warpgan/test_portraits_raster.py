"""The rasteriser against closed forms and a slow reference."""

import numpy as np
import pytest
import torch

from warpgan.cameras import look_at, make_label, project, split_label
from warpgan.data.portraits.portrait import View, camera_arrays
from warpgan.data.portraits.raster import BODY, EYE, Mesh, project_to_screen, rasterise

OFF_CENTRE = torch.tensor([[3.1, 0.05, 0.43], [0.0, 3.4, 0.56], [0.0, 0.0, 1.0]])
CAMERAS = {
    "frontal": look_at(0.0, 0.0)[0],
    "side": look_at(-55.0, 14.0)[0],
    "rolled": look_at(25.0, -9.0, roll_deg=31.0)[0],
    "off-centre": make_label(split_label(look_at(12.0, 5.0))[0][0], OFF_CENTRE),
}


def sphere_mesh(radius, centre, *, rings=160, segments=320):
    polar, around = np.meshgrid(
        np.linspace(0, np.pi, rings + 1), np.linspace(0, 2 * np.pi, segments, endpoint=False),
        indexing="ij",
    )  # fmt: skip
    points = np.stack(
        [np.sin(polar) * np.cos(around), np.cos(polar), np.sin(polar) * np.sin(around)], -1
    )
    i, j = np.meshgrid(np.arange(rings), np.arange(segments), indexing="ij")
    k = (j + 1) % segments
    a, b, c, d = i * segments + j, (i + 1) * segments + j, i * segments + k, (i + 1) * segments + k
    faces = np.concatenate([np.stack([a, b, c], -1), np.stack([c, b, d], -1)]).reshape(-1, 3)
    return Mesh.plain(points.reshape(-1, 3) * radius + centre, faces)


def plane_mesh(point, normal, half):
    normal = np.asarray(normal, float) / np.linalg.norm(normal)
    first = np.cross(normal, [0.3, 1.0, 0.2])
    first /= np.linalg.norm(first)
    second = np.cross(normal, first)
    corners = [
        point + half * (s * first + t * second) for s, t in ((-1, -1), (1, -1), (1, 1), (-1, 1))
    ]
    return Mesh.plain(np.array(corners), np.array([[0, 1, 2], [0, 2, 3]]))


def pixel_rays(camera, size):
    """Origin [3] and directions [S, S, 3] whose camera z is 1."""
    _, pose, lens = camera_arrays(camera)
    centre = (np.arange(size) + 0.5) / size
    column, row = np.meshgrid(centre, centre)
    pixels = np.stack([column, row, np.ones_like(row)], -1)
    return pose[:3, 3], pixels @ np.linalg.inv(lens).T @ pose[:3, :3].T


@pytest.mark.parametrize("camera", CAMERAS.values(), ids=CAMERAS)
def test_depth_of_a_sphere_is_exact(camera):
    radius, centre = 0.27, np.array([0.02, 0.05, 0.06])
    _, pose, lens = camera_arrays(camera)
    seen = rasterise(sphere_mesh(radius, centre), pose, lens, size=96)
    origin, rays = pixel_rays(camera, 96)
    a = (rays**2).sum(-1)
    b = rays @ (origin - centre)
    c = ((origin - centre) ** 2).sum() - radius**2
    root = b * b - a * c
    # Silhouette pixels see the rim of polygons instead of the rim of the sphere.
    nearest = np.sqrt(np.maximum((((origin - centre) ** 2).sum() - b * b / a), 0))
    inside = nearest < 0.98 * radius
    assert inside.sum() > 500
    expected = (-b - np.sqrt(np.where(inside, root, 0))) / a
    assert np.abs(seen.depth_z - expected)[inside].max() < 1e-3
    assert (seen.face[nearest > 1.01 * radius] == -1).all()


@pytest.mark.parametrize("camera", CAMERAS.values(), ids=CAMERAS)
def test_depth_of_a_slanted_plane_is_exact(camera):
    point, normal = np.array([0.03, -0.02, 0.1]), np.array([0.4, -0.3, 1.0])
    _, pose, lens = camera_arrays(camera)
    seen = rasterise(plane_mesh(point, normal, 1.3), pose, lens, size=80)
    origin, rays = pixel_rays(camera, 80)
    expected = ((point - origin) @ normal) / (rays @ normal)
    covered = seen.face >= 0
    assert covered.mean() > 0.5
    assert np.abs(seen.depth_z - expected)[covered].max() < 1e-3
    assert np.allclose(seen.weights[covered].sum(-1), 1, atol=1e-5)


def slow_reference(mesh, camera, size):
    """Nearest face and depth by intersecting every pixel's ray with every triangle."""
    origin, rays = pixel_rays(camera, size)
    face = np.full((size, size), -1)
    depth = np.full((size, size), np.inf)
    for f, (a, b, c) in enumerate(mesh.vertices[mesh.faces]):
        columns = np.stack(
            [np.broadcast_to(b - a, rays.shape), np.broadcast_to(c - a, rays.shape), -rays], -1
        )
        solution = np.linalg.solve(columns, np.broadcast_to(origin - a, rays.shape)[..., None])[
            ..., 0
        ]
        u, v, t = np.moveaxis(solution, -1, 0)
        hit = (u >= 0) & (v >= 0) & (u + v <= 1) & (t < depth)
        face[hit], depth[hit] = f, t[hit]
    return face, depth


@pytest.mark.parametrize("camera", CAMERAS.values(), ids=CAMERAS)
def test_random_triangles_match_a_slow_reference(camera):
    rng = np.random.default_rng(4)
    vertices = rng.uniform(-0.35, 0.35, (60, 3))
    mesh = Mesh.plain(vertices, np.arange(60).reshape(20, 3))
    _, pose, lens = camera_arrays(camera)
    seen = rasterise(mesh, pose, lens, size=48)
    face, depth = slow_reference(mesh, camera, 48)
    assert (seen.face == face).mean() > 0.999  # rays through a shared edge may differ
    same = (seen.face == face) & (face >= 0)
    assert same.sum() > 300
    assert np.abs(seen.depth_z - depth)[same].max() < 1e-5


def test_screen_positions_are_those_of_cameras_project():
    points = torch.from_numpy(np.random.default_rng(1).uniform(-0.4, 0.4, (50, 3)))
    for camera in CAMERAS.values():
        _, pose, lens = camera_arrays(camera)
        screen = project_to_screen(points.numpy(), pose, lens, size=70)
        expected = project(points, camera.double(), size=70)
        assert np.abs(screen[:, :2] - expected.numpy()).max() < 1e-4


def test_only_the_body_is_culled_from_behind():
    triangle = np.array([[-0.2, -0.2, 0.0], [0.2, -0.2, 0.0], [0.0, 0.2, 0.0]])
    _, pose, lens = camera_arrays(CAMERAS["frontal"])
    covered = {}
    for kind in (BODY, EYE):
        for turn in (1, -1):
            mesh = Mesh.plain(triangle, np.array([[0, 1, 2][::turn]]), kind=kind)
            covered[kind, turn] = (rasterise(mesh, pose, lens, size=32).face >= 0).sum()
    assert covered[BODY, 1] == covered[EYE, 1] == covered[EYE, -1] > 50
    assert covered[BODY, -1] == 0


@pytest.mark.parametrize("camera", CAMERAS.values(), ids=CAMERAS)
def test_ray_length_is_the_distance_to_the_surface(camera):
    origin, rays = pixel_rays(camera, 24)
    depth = np.random.default_rng(2).uniform(2.3, 3.4, (24, 24)).astype(np.float32)
    view = View(np.zeros((24, 24, 3), np.uint8), depth, np.zeros((24, 24)), camera.numpy())
    expected = np.linalg.norm(rays * depth[..., None], axis=-1)
    assert np.abs(view.ray_length - expected).max() < 1e-5
    assert np.isfinite(origin).all()


def test_faces_behind_the_camera_are_left_out():
    _, pose, lens = camera_arrays(CAMERAS["frontal"])
    seen = rasterise(plane_mesh(np.array([0, 0, 4.0]), [0, 0, 1], 1.0), pose, lens, size=16)
    assert (seen.face == -1).all()
