"""The embedded world: framing, geometry, truth, repeatability."""

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

import warpgan
from warpgan.cameras import CANONICAL_PIXELS, frontal_label, look_at, project, to_camera
from warpgan.data import portraits as world
from warpgan.data.portraits import Portrait, sample_latents, true_visibility
from warpgan.data.portraits.appearance import APPEARANCE, appearance_of
from warpgan.data.portraits.head import (
    COMPONENTS,
    EXPRESSIONS,
    EYE_Z,
    PUPIL_BULGE,
    head_asset,
    shape_vertices,
)
from warpgan.data.portraits.portrait import View, camera_arrays
from warpgan.data.portraits.raster import FRAME, HAIR, rasterise
from warpgan.data.portraits.sheet import contact_sheet
from warpgan.data.portraits.visibility import unproject

from .test_portraits_raster import CAMERAS, plane_mesh

ASSET = Path(warpgan.__file__).parent / "assets" / "portraits_head.npz"
PERSON = Portrait.sample(11)


def latent(**values):
    """A latent of zeros but for the named coordinates."""
    z = np.zeros(world.LATENT_DIM, np.float32)
    for name, value in values.items():
        names = (*EXPRESSIONS, *APPEARANCE)
        z[COMPONENTS + names.index(name)] = value
    return z


def pixels_of(points):
    return project(torch.from_numpy(points).double()[None], frontal_label().double(), size=256)[
        0
    ].numpy()


def test_mean_head_is_framed_as_eg3d_crops():
    points = shape_vertices(np.zeros(COMPONENTS), np.zeros(4))[head_asset().five_points]
    assert np.abs(pixels_of(points) - CANONICAL_PIXELS).max() < 1.0
    points[:2, 2] -= PUPIL_BULGE
    assert abs(points[:2, 2].mean() - EYE_Z) < 0.02
    assert np.abs(pixels_of(points) - CANONICAL_PIXELS).max() < 1.0


def test_every_head_is_framed_like_the_mean():
    points = np.stack([pixels_of(Portrait(z).five_points()) for z in sample_latents(40, 5)])
    assert np.abs(points[:, :2].mean((0, 1)) - np.mean(CANONICAL_PIXELS[:2], 0)).max() < 1.0
    assert points[:, :3].std(0).max() < 4.0
    depths = [Portrait(z).five_points()[:2, 2].mean() for z in sample_latents(10, 6)]
    assert np.abs(np.array(depths) - EYE_Z).max() < 0.02


def test_asset_is_small_and_meets_its_residual():
    with np.load(ASSET, allow_pickle=False) as data:
        assert float(data["held_out_rms_mm"]) <= 0.5
        assert data["basis"].dtype == np.float16 and len(data["basis"]) == COMPONENTS
    assert ASSET.stat().st_size < 2.5e6


def test_latents_lie_on_the_sphere_and_follow_the_seed():
    z = sample_latents(64, 3)
    assert z.shape == (64, world.LATENT_DIM) and z.dtype == np.float32
    assert np.allclose(np.linalg.norm(z, axis=1), np.sqrt(world.LATENT_DIM), rtol=1e-5)
    assert np.array_equal(z, sample_latents(64, 3))
    assert not np.array_equal(z, sample_latents(64, 4))


@pytest.mark.parametrize("shape", [(world.LATENT_DIM - 1,), (1, world.LATENT_DIM)])
def test_wrong_latent_is_refused(shape):
    with pytest.raises(ValueError, match="latent has shape"):
        Portrait(np.zeros(shape))


def test_non_finite_latent_and_bad_sizes_are_refused():
    with pytest.raises(ValueError, match="non-finite"):
        Portrait(np.full(world.LATENT_DIM, np.nan))
    with pytest.raises(ValueError, match="size 0"):
        PERSON.render(frontal_label(), size=0)
    with pytest.raises(ValueError, match="25"):
        PERSON.render(torch.zeros(16))


@pytest.mark.parametrize("camera", CAMERAS.values(), ids=CAMERAS)
def test_same_seed_same_bytes(camera):
    first = Portrait.sample(21).render(camera, size=48)
    second = Portrait.sample(21).render(camera, size=48)
    for name in ("image", "depth_z", "mask"):
        assert getattr(first, name).tobytes() == getattr(second, name).tobytes()
    assert first.image.shape == (48, 48, 3) and first.image.dtype == np.uint8
    assert first.depth_z.dtype == first.mask.dtype == first.ray_length.dtype == np.float32


@pytest.mark.parametrize("camera", CAMERAS.values(), ids=CAMERAS)
def test_backdrop_is_the_sphere_and_all_lies_in_range(camera):
    view = PERSON.render(camera, size=64, supersample=1)
    points = unproject(view.depth_z, camera)
    distance = np.linalg.norm(points - world.BACKDROP_CENTRE, axis=-1)
    wall = view.mask == 0
    assert wall.any() and (~wall).mean() > 0.3
    assert np.abs(distance[wall] - world.BACKDROP_RADIUS).max() < 1e-3
    assert distance.max() < world.BACKDROP_RADIUS + 1e-3
    assert view.ray_length.min() > world.NEAR and view.ray_length.max() < world.FAR


def test_visible_people_lie_inside_the_box():
    inside, total = 0, 0
    for seed in range(8):
        portrait = Portrait.sample(300 + seed)
        for yaw, pitch in ((-65, 10), (0, -10), (65, 0)):
            camera = look_at(float(yaw), float(pitch))[0]
            view = portrait.render(camera, size=48, supersample=1)
            offset = unproject(view.depth_z, camera)[view.mask > 0] - world.BOX_CENTRE
            inside += (np.abs(offset).max(-1) < world.BOX_WARP / 2).sum()
            total += len(offset)
    assert inside / total > 0.995


def test_views_agree_in_depth_and_colour_where_both_see():
    clean = Portrait.sample(7, detail=False)
    source, target = look_at(-12.0, 3.0)[0], look_at(18.0, -4.0)[0]
    size = 160
    a = clean.render(source, size=size, supersample=1)
    b = clean.render(target, size=size, supersample=1)
    visible = true_visibility(clean, source, target, size)
    points = torch.from_numpy(unproject(b.depth_z, target)[visible])
    depth = to_camera(points, source.double())[:, 2].numpy()
    column, row = np.floor(project(points, source.double(), size=size).numpy()).astype(int).T
    assert 0.5 < visible.mean() < 0.98
    assert np.median(np.abs(a.depth_z[row, column] - depth)) < 1e-3
    difference = np.abs(a.image[row, column].astype(float) - b.image[visible].astype(float))
    hidden = true_visibility(clean, source, look_at(60.0, 0.0)[0], size)
    assert np.median(difference) < 6 and hidden.mean() < visible.mean()


def test_a_view_sees_itself():
    camera = look_at(33.0, 6.0)[0]
    assert true_visibility(PERSON, camera, camera, 96).mean() > 0.985


class Screens:
    """A small screen before a wall, with the interface of a portrait."""

    def __init__(self):
        self.near = plane_mesh(np.array([0.0, 0.0, 0.4]), [0, 0, 1], 0.06)
        self.wall = plane_mesh(np.array([0.0, 0.0, -0.3]), [0, 0, 1], 3.0)

    def render(self, camera, *, size, supersample):
        label, pose, lens = camera_arrays(camera)
        depth = np.minimum(
            rasterise(self.near, pose, lens, size=size).depth_z,
            rasterise(self.wall, pose, lens, size=size).depth_z,
        )
        return View(np.zeros((size, size, 3), np.uint8), depth, np.ones((size, size)), label)


def test_visibility_equals_ray_casting_past_a_screen():
    scene, size = Screens(), 128
    source, target = look_at(25.0, 0.0)[0], look_at(0.0, 0.0)[0]
    view = scene.render(target, size=size, supersample=1)
    points = unproject(view.depth_z, target)
    origin = camera_arrays(source)[1][:3, 3]
    t = (0.4 - origin[2]) / (points[..., 2] - origin[2])
    crossing = origin + t[..., None] * (points - origin)
    # The screen is turned in its plane, so test in its own axes.
    corner = scene.near.vertices
    first, second = corner[1] - corner[0], corner[3] - corner[0]
    s = ((crossing - corner[0]) @ first) / (first @ first)
    u = ((crossing - corner[0]) @ second) / (second @ second)
    blocked = (points[..., 2] < 0.3) & (s > 0) & (s < 1) & (u > 0) & (u < 1)
    pixel = project(torch.from_numpy(points.reshape(-1, 3)), source.double()).numpy()
    inside = ((pixel > 0) & (pixel < 1)).all(-1).reshape(size, size)
    visible = true_visibility(scene, source, target, size)
    assert blocked.sum() > 100
    assert (visible == (inside & ~blocked)).mean() > 0.995


def test_a_small_step_of_the_latent_is_a_small_step_of_the_picture():
    base = sample_latents(1, 9)[0]
    camera = frontal_label()[0]
    picture = Portrait(base).render(camera, size=64).image.astype(float)
    step = np.random.default_rng(0).normal(size=base.shape)
    near, far = (
        np.abs(Portrait(base + s * step).render(camera, size=64).image - picture).mean()
        for s in (0.01, 0.5)
    )
    assert 0 < near < 2.5 < far


def test_details_change_the_picture_but_not_the_head():
    z = sample_latents(1, 2)[0]
    camera = frontal_label()[0]
    clean, one, two = Portrait(z), Portrait(z, detail_seed=1), Portrait(z, detail_seed=2)
    assert np.array_equal(clean.head_vertices, one.head_vertices)
    pictures = [person.render(camera, size=64).image for person in (clean, one, two)]
    assert not np.array_equal(pictures[0], pictures[1])
    assert not np.array_equal(pictures[1], pictures[2])
    assert np.abs(clean.render(camera).mask - one.render(camera).mask).mean() < 0.02
    assert not clean.attributes.details or clean.attributes.details == ("glasses",)
    assert "moles" in one.attributes.details


def test_marks_lie_on_one_side():
    marks = Portrait.sample(12).detail.marks
    face = marks[:, 0]
    mirrored = np.abs(face[:, None] + face[None]).min(1) < 1e-3
    assert not mirrored[np.abs(face) > 0.01].any()


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_expressions_move_the_face_as_named(name):
    calm, moved = np.zeros(4), np.zeros(4)
    moved[EXPRESSIONS.index(name)] = 1.0
    before, after = (shape_vertices(np.zeros(COMPONENTS), amount) for amount in (calm, moved))
    shift = after - before
    rest = head_asset().mean
    brow = (np.abs(rest[:, 1] - 0.12) < 0.02) & (rest[:, 2] > 0.12)
    chin = (rest[:, 1] < -0.15) & (rest[:, 1] > -0.2) & (rest[:, 2] > 0.15)
    corners = head_asset().five_points[3:]
    if name == "smile":
        assert shift[corners, 1].min() > 0.01 and np.ptp(after[corners, 0]) > np.ptp(
            before[corners, 0]
        )
    elif name == "anger":
        assert shift[brow, 1].mean() < -0.002
    elif name == "brow":
        assert shift[brow, 1].mean() > 0.002
    else:
        assert shift[chin, 1].mean() < -0.02


def test_glasses_beard_length_and_age_come_from_the_latent():
    def kinds(person):
        return set(person.mesh.kinds.tolist())

    assert FRAME in kinds(Portrait(latent(glasses=2.0)))
    assert FRAME not in kinds(Portrait(latent(glasses=-1.0)))
    short, long = (Portrait(latent(length=x)) for x in (-2.5, 2.5))
    lowest = [
        p.mesh.vertices[np.unique(p.mesh.faces[p.mesh.kinds == HAIR]), 1].min()
        for p in (short, long)
    ]
    assert lowest[1] < lowest[0] - 0.1
    traits = [asdict(Portrait(z).attributes) for z in sample_latents(120, 8)]
    ages = [t["age"] for t in traits]
    assert min(ages) < 30 and max(ages) > 55
    assert 0.1 < np.mean([t["glasses"] > 0.5 for t in traits]) < 0.45
    assert 0.08 < np.mean([t["beard"] > 0.3 for t in traits]) < 0.5
    assert max(t["beard"] for t in traits if t["male"] < 0.3) == 0


def test_light_and_expression_change_only_what_they_should():
    look = appearance_of(latent())
    lit = appearance_of(latent(light_yaw=1.5))
    assert lit.light.x > look.light.x + 0.3
    assert replace(lit, light=look.light).skin == look.skin


def test_contact_sheet_shape():
    sheet = contact_sheet([1, 2], size=24, yaws=(-30.0, 0.0, 30.0))
    assert sheet.shape == (48, 72, 3) and sheet.dtype == np.uint8
    assert sheet.std() > 20
