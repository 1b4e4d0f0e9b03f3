import numpy as np
import pytest
import torch
import torch.nn.functional as F
from skimage.transform import SimilarityTransform

from warpgan import cameras
from warpgan.perception import build_identity
from warpgan.perception.build import CROPS
from warpgan.perception.crops import (
    ARCFACE_TEMPLATE,
    AlignedCrop,
    LegacyCrop,
    fit_similarity,
    resized,
)

POSES = [(0, 0, 0), (30, 10, 0), (-60, -5, 0), (20, 0, 25)]


def painted(label: torch.Tensor, size: int) -> torch.Tensor:
    """A dark picture with a soft bright dot, in its own channel value, at each projected point."""
    points = cameras.project(cameras.CANONICAL_POINTS, label, size=float(size))[0]
    centres = torch.arange(size) + 0.5
    rows, columns = torch.meshgrid(centres, centres, indexing="ij")
    radius = size / 60
    picture = torch.zeros(5, size, size)
    for index, (x, y) in enumerate(points):
        picture[index] = torch.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * radius**2))
    return picture[None]


def centre_of_mass(maps: torch.Tensor) -> torch.Tensor:
    """[5, 2] positions of the dots, x before y, pixel centres at (i + .5)."""
    centres = torch.arange(maps.shape[-1]) + 0.5
    mass = maps.sum((1, 2))
    x = (maps.sum(1) * centres).sum(1) / mass
    y = (maps.sum(2) * centres).sum(1) / mass
    return torch.stack([x, y], dim=1)


def test_similarity_equals_a_library_fit():
    generator = torch.Generator().manual_seed(3)
    source = torch.randn(4, 5, 2, generator=generator, dtype=torch.float64) * 30 + 50
    target = torch.randn(4, 5, 2, generator=generator, dtype=torch.float64) * 9 + 80
    # all but the last fit nearly: turned, scaled, moved, disturbed
    turn = torch.tensor([[0.6, -0.8], [0.8, 0.6]], dtype=torch.float64)
    target[:3] = 0.4 * source[:3] @ turn.T + 7 + 0.1 * target[:3]
    matrix, offset = fit_similarity(source, target)
    for index in range(3):
        fit = SimilarityTransform.from_estimate(source[index].numpy(), target[index].numpy())
        np.testing.assert_allclose(matrix[index], fit.params[:2, :2], atol=1e-9)
        np.testing.assert_allclose(offset[index], fit.params[:2, 2], atol=1e-7)
    residual = source @ matrix.mT + offset[:, None] - target
    for parameter in (matrix, offset):
        for delta in (1e-3, -1e-3):
            worse = [matrix.clone(), offset.clone()]
            if parameter is matrix:
                worse[0] = matrix * (1 + delta)
            else:
                worse[1] = offset + delta
            moved = source @ worse[0].mT + worse[1][:, None] - target
            assert (moved.square().sum((1, 2)) >= residual.square().sum((1, 2))).all()


@pytest.mark.parametrize("size", [128, 256, 512])
@pytest.mark.parametrize("pose", POSES)
def test_dots_at_the_points_land_where_the_fit_says(pose, size):
    yaw, pitch, roll = pose
    label = cameras.look_at(float(yaw), float(pitch), roll_deg=float(roll))
    crop = AlignedCrop(112, ARCFACE_TEMPLATE)
    found = centre_of_mass(crop(painted(label, size), label)[0])
    points = cameras.project(cameras.CANONICAL_POINTS, label, size=float(size))
    matrix, offset = fit_similarity(points, torch.tensor(ARCFACE_TEMPLATE))
    expected = (points @ matrix.mT + offset[:, None])[0]
    assert (found - expected).norm(dim=1).max() < 0.15


@pytest.mark.parametrize("name", sorted(CROPS))
def test_frontal_head_lies_on_every_template(name):
    """Two of 112 pixels at most, whatever the net's own size."""
    size, template = CROPS[name]
    label = cameras.frontal_label()
    label = label.reshape(1, 25)
    points = cameras.project(cameras.CANONICAL_POINTS, label, size=256.0)
    matrix, offset = fit_similarity(points, torch.tensor(template))
    landed = (points @ matrix.mT + offset[:, None])[0]
    assert (landed - torch.tensor(template)).norm(dim=1).max() * 112 / size < 2.0


def test_roll_is_undone():
    """Eyes stay level in the crop however the camera is turned about its axis."""
    crop = AlignedCrop(112, ARCFACE_TEMPLATE)
    dots = []
    for roll in (-40.0, 0.0, 40.0):
        label = cameras.look_at(0.0, 0.0, roll_deg=roll)
        dots.append(centre_of_mass(crop(painted(label, 256), label)[0]))
    for turned in (dots[0], dots[2]):
        assert (turned - dots[1]).norm(dim=1).max() < 0.15


def test_size_of_the_picture_does_not_move_the_crop():
    generator = torch.Generator().manual_seed(4)
    small = torch.rand(1, 3, 64, 64, generator=generator)
    large = small.repeat_interleave(4, 2).repeat_interleave(4, 3)
    label = cameras.look_at(15.0, 5.0)
    crop = AlignedCrop(40, [(0.36 * x, 0.36 * y) for x, y in ARCFACE_TEMPLATE])
    difference = (crop(small, label) - crop(large, label)).abs().mean()
    assert difference < 0.06 < (crop(small, label) - small.mean()).abs().mean()


def test_crop_has_gradients_in_picture_and_camera():
    generator = torch.Generator().manual_seed(5)
    picture = torch.rand(1, 1, 24, 24, generator=generator, dtype=torch.float64)
    label = cameras.look_at(12.0, 3.0).double()
    crop = AlignedCrop(20, [(0.18 * x, 0.18 * y) for x, y in ARCFACE_TEMPLATE]).double()
    picture.requires_grad_()
    assert torch.autograd.gradcheck(lambda p: crop(p, label), (picture,))
    label.requires_grad_()
    crop(picture, label).square().sum().backward()
    assert label.grad.isfinite().all() and label.grad.abs().sum() > 0


@pytest.mark.parametrize("size", [256, 300, 512])
def test_legacy_window_is_the_published_one(size):
    picture = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(6))
    found = LegacyCrop(112)(picture)
    window = F.adaptive_avg_pool2d(picture, 256)[:, :, 35:223, 32:220]
    torch.testing.assert_close(found, F.adaptive_avg_pool2d(window, 112))
    if size == 256:
        first = picture[:, :, 35 : 35 + 2, 32 : 32 + 2].mean((2, 3))
        assert (found[:, :, 0, 0] - first).abs().max() < 1e-6


def test_legacy_window_of_other_nets_is_the_same_part_of_the_picture():
    ramp = torch.linspace(0, 1, 256).view(1, 1, 1, -1).expand(1, 3, 256, 256)
    for size in (112, 150, 224):
        row = LegacyCrop(size)(ramp)[0, 0, 0]
        assert row[0] == pytest.approx(32 / 255, abs=0.005)
        assert row[-1] == pytest.approx(219 / 255, abs=0.005)


def test_resizing_down_keeps_the_mean():
    picture = torch.rand(1, 1, 96, 96, generator=torch.Generator().manual_seed(7))
    torch.testing.assert_close(resized(picture, 32).mean(), picture.mean())
    assert resized(picture, 96) is picture


def test_wrong_use_is_explained():
    net = build_identity("id_dlib", pretrained=False)
    pictures = torch.zeros(2, 3, 64, 64)
    with pytest.raises(ValueError, match="crop='legacy'"):
        net(pictures)
    with pytest.raises(ValueError, match=r"\[2, 25\]"):
        net(pictures, torch.zeros(1, 25))
    with pytest.raises(ValueError, match="id_dlib: images"):
        net(torch.zeros(2, 1, 64, 64), torch.zeros(2, 25))
    with pytest.raises(ValueError, match="no crop 'tight'"):
        build_identity("id_dlib", crop="tight")
    with pytest.raises(ValueError, match="no identity net 'facenet'; there are id_dlib"):
        build_identity("facenet")
