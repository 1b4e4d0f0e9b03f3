"""Consistency: the true views agree, noise and flat pictures do not, and a stop loses nothing."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tests.warpgan.device_proof import fake_cuda
from warpgan.cameras import look_at, project, to_camera
from warpgan.data.folder import ImageFolder
from warpgan.data.portraits import Portrait
from warpgan.data.portraits.splits import SplitSettings, write_split
from warpgan.data.portraits.visibility import unproject
from warpgan.evaluation import photos as photos_module
from warpgan.evaluation.consistency import (
    COLUMNS,
    ConsistencyRow,
    measure_consistency,
    measure_truth,
    orbit_cameras,
    read_rows,
    summary,
)
from warpgan.evaluation.items import build_items
from warpgan.evaluation.photos import Photos
from warpgan.evaluation.true_surfaces import STEEPEST, TrueSurfaces, seen_again
from warpgan.methods.base import Inversion, Method, Views
from warpgan.methods.true_latent import photo_key
from warpgan.metrics.bootstrap import mean_interval
from warpgan.metrics.pixel import PSNR_CEILING
from warpgan.perception.perceptual import FeatureDistance

SIZE, PEOPLE, FRAMES = 64, 2, 4


class Halves(torch.nn.Module):
    """Two feature levels, whole and half resolution, whose channels are never all zero."""

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        level = torch.cat([images, torch.ones_like(images[:, :1])], 1)
        return [level, F.avg_pool2d(level, 2)]


class Painter(Method):
    """True views, changed view by view; counts photos."""

    name, image_size = "painter", SIZE

    def __init__(self, photos: Photos, change=lambda image, camera: image) -> None:
        self.surfaces, self.change, self.inverted = TrueSurfaces(photos), change, 0
        places = range(len(photos.dataset))
        self.names = {photo_key(photos.dataset[i].image): photos.dataset.names[i] for i in places}

    def invert(self, photo: torch.Tensor, camera: torch.Tensor) -> "Painted":
        self.inverted += 1
        return Painted(self, self.names[photo_key(photo[0])])


class Painted(Inversion):
    seconds = 0.0

    def __init__(self, method: Painter, name: str) -> None:
        self.method, self.photo = method, name

    def render(self, cameras: torch.Tensor) -> Views:
        images = self.method.surfaces.images(self.photo, cameras[0])
        views = [self.method.change(*view) for view in zip(images, cameras[0], strict=True)]
        image = torch.stack(views)[None]
        return Views(image, image[:, :, :1], 0.0)


def noisy(image: torch.Tensor, camera: torch.Tensor) -> torch.Tensor:
    seed = int(abs(camera[3].item()) * 1e6)
    noise = np.random.default_rng(seed).normal(0, 0.2, tuple(image.shape))
    return image + torch.from_numpy(noise).float()


def refuse(image: torch.Tensor, camera: torch.Tensor) -> torch.Tensor:
    raise RuntimeError("no view today")


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Photos:
    root = tmp_path_factory.mktemp("world") / "mead"
    write_split(root, SplitSettings(split="mead", count=PEOPLE, seed=5, size=SIZE))
    return Photos(ImageFolder(root, size=SIZE), "portraits", {}, root)


@pytest.fixture(scope="module")
def items(photos):
    return build_items(photos.dataset.names, photos.dataset.labels, protocol="multi_view")


@pytest.fixture(scope="module")
def options() -> dict:
    net = FeatureDistance("halves", Halves(), pixels=lambda x: x)
    return {"perceptual": net, "orbit_frames": FRAMES, "progress": False}


@pytest.fixture(scope="module")
def truth(photos, items, options) -> list[ConsistencyRow]:
    return measure_truth(photos, items, **options)


def test_true_views_agree_and_a_method_that_draws_them_measures_the_same(
    photos, items, options, truth
):
    for row in truth:
        assert row.cross_psnr > 25 and row.flicker_l1 < 0.02
        assert row.flicker_perceptual < row.cross_perceptual < 0.05
    assert [row.person for row in truth] == [item.person for item in items]
    assert measure_consistency(Painter(photos), photos, items, **options) == truth


@pytest.mark.parametrize(
    "change",
    [noisy, lambda image, camera: image if camera[3] > 0 else image - 0.4],
    ids=["noise", "two lights"],
)
def test_views_that_differ_are_worse_than_the_floor(photos, items, options, truth, change):
    found = measure_consistency(Painter(photos, change), photos, items, **options)
    for row, floor in zip(found, truth, strict=True):
        assert row.cross_psnr < floor.cross_psnr - 2
        assert row.cross_perceptual > floor.cross_perceptual
        assert row.flicker_l1 > 1.5 * floor.flicker_l1
        assert row.flicker_perceptual > floor.flicker_perceptual


def test_the_same_picture_from_everywhere_is_not_one_head(photos, items, options, truth):
    """A flat picture does not flicker on a screen, but it does on a head that turns."""
    face = photos.dataset[items[0].source].image
    method = Painter(photos, lambda image, camera: face)
    found = measure_consistency(method, photos, items, **options)
    for row, floor in zip(found, truth, strict=True):
        assert row.cross_psnr < floor.cross_psnr - 5
        assert row.flicker_l1 > 2 * floor.flicker_l1


def test_one_colour_agrees_wholly(photos, items, options):
    method = Painter(photos, lambda image, camera: torch.full_like(image, 0.25))
    for row in measure_consistency(method, photos, items, **options):
        assert row.cross_psnr == PSNR_CEILING
        assert max(row.cross_perceptual, row.flicker_l1, row.flicker_perceptual) < 1e-6


def test_a_view_is_laid_on_another_where_both_show_one_surface():
    """Against points followed one by one through the cameras."""
    portrait, size = Portrait.sample(31), 48
    cameras = look_at([-20.0, 10.0], [4.0, -2.0])
    views = [portrait.render(camera, size=size, supersample=1) for camera in cameras]
    depth = torch.from_numpy(np.stack([view.depth_z for view in views]))[:, None]
    place = torch.arange(size) / size
    ramp = torch.stack([place.expand(size, size), place.expand(size, size).T, 0 * depth[0, 0]])
    laid, seen = seen_again(
        ramp[None], depth[:1], depth[1:], source=cameras[:1], target=cameras[1:]
    )
    points = torch.from_numpy(unproject(views[1].depth_z, cameras[1])).reshape(-1, 3)
    pixels = project(points, cameras[0].double(), size=size).view(size, size, 2)
    depth_there = to_camera(points, cameras[0].double())[:, 2].view(size, size)
    assert 0.2 < seen.float().mean() < 0.9
    slack = 2 * STEEPEST * 2.7 / (4.2647 * size)
    for row, column in seen[0, 0].nonzero().tolist():
        x, y = pixels[row, column].tolist()
        expected = torch.tensor([x - 0.5, y - 0.5]) / size
        torch.testing.assert_close(laid[0, :2, row, column], expected, atol=1e-4, rtol=0)
        nearest = depth[0, 0, int(y), int(x)]
        assert abs(depth_there[row, column] - nearest) < slack


def test_where_a_source_sees_nothing_nothing_is_compared():
    portrait = Portrait.sample(31)
    cameras = look_at([-90.0, 90.0], 0.0)
    views = [portrait.render(camera, size=32, supersample=1) for camera in cameras]
    depth = torch.from_numpy(np.stack([view.depth_z for view in views]))[:, None]
    image = torch.zeros(1, 3, 32, 32)
    _, seen = seen_again(image, depth[:1], depth[1:], source=cameras[:1], target=cameras[1:])
    assert seen.float().mean() < 0.05
    _, same = seen_again(image, depth[:1], depth[:1], source=cameras[:1], target=cameras[:1])
    assert same.float().mean() > 0.5


def test_it_runs_where_its_inputs_are():
    with fake_cuda():
        image, depth = (torch.empty(2, c, 16, 16, device="cuda") for c in (3, 1))
        camera = torch.empty(2, 25, device="cuda")
        laid, seen = seen_again(image, depth, depth, source=camera, target=camera)
        assert laid.device.type == seen.device.type == "cuda"


def test_a_stop_loses_one_person_and_changes_no_byte(photos, items, options, tmp_path):
    class Killed(BaseException):
        pass

    def killed(image, camera):
        raise Killed

    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    expected = measure_consistency(Painter(photos), photos, items, folder=whole, **options)
    measure_consistency(Painter(photos), photos, items[:1], folder=stopped, **options)
    with pytest.raises(Killed):
        measure_consistency(Painter(photos, killed), photos, items, folder=stopped, **options)
    again = Painter(photos)
    assert measure_consistency(again, photos, items, folder=stopped, **options) == expected
    assert again.inverted == PEOPLE - 1
    file = "consistency.csv"
    assert (stopped / file).read_bytes() == (whole / file).read_bytes()
    assert read_rows(whole / file) == expected
    assert not list(stopped.glob(".*"))
    other = Painter(photos)
    measure_consistency(other, photos, items, folder=whole, **(options | {"orbit_frames": 2}))
    assert other.inverted == PEOPLE


def test_a_failure_is_counted_and_in_no_mean(photos, items, options, truth, tmp_path):
    found = measure_consistency(
        Painter(photos, refuse), photos, items[:1], folder=tmp_path, **options
    )
    assert all(np.isnan(getattr(found[0], name)) for name in COLUMNS)
    assert "nan" in (tmp_path / "consistency.csv").read_text()
    told = summary([*found, *truth[1:]], resamples=200)
    assert (told["people"], told["failed"]) == (PEOPLE, 1)
    assert told["flicker_l1"]["estimate"] == truth[1].flicker_l1
    assert told["flicker_l1"]["count"] == 1
    nothing = summary(found)
    assert nothing["cross_psnr"] is None and nothing["failed"] == 1


def test_the_summary_resamples_people(truth):
    told = summary(truth, resamples=300, seed=4)
    values = [row.cross_psnr for row in truth]
    expected = mean_interval(values, groups=["a", "b"], resamples=300, seed=4)
    assert told["cross_psnr"]["estimate"] == expected.estimate
    assert (told["cross_psnr"]["low"], told["cross_psnr"]["high"]) == (expected.low, expected.high)


def test_one_camera_has_nothing_to_cross(photos, items, options):
    labels = photos.dataset.labels
    single = build_items(photos.dataset.names, labels, protocol="same_view", count=1)
    (row,) = measure_consistency(Painter(photos), photos, single, **options)
    assert np.isnan(row.cross_psnr) and row.flicker_l1 > 0
    assert summary([row])["failed"] == 0


def test_depth_is_drawn_once_and_damage_is_mended(photos, items, monkeypatch):
    surfaces, name = TrueSurfaces(photos), photos.dataset.names[0]
    cameras = look_at([11.0, -7.0], 3.0)
    depth_z = surfaces.depth_z(name, cameras)
    (kept,) = [
        path
        for path in Path(photos.truth / "surfaces").rglob("*.npz")
        if np.array_equal(np.load(path)["cameras"], cameras.numpy())
    ]
    with monkeypatch.context() as patch:
        patch.setattr(photos_module, "Portrait", None)
        assert torch.equal(surfaces.depth_z(name, cameras), depth_z)
    kept.write_bytes(kept.read_bytes()[:40])
    assert torch.equal(surfaces.depth_z(name, cameras), depth_z)


def test_mistakes_are_named(photos, items, options):
    real = Photos(photos.dataset, "real photos", {}, None)
    with pytest.raises(ValueError, match="true surfaces of real photos"):
        measure_truth(real, items, **options)
    with pytest.raises(ValueError, match="orbit_frames=1"):
        orbit_cameras(1)
