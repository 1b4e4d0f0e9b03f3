"""Registration: a known similarity is found, within bounds, image by image."""

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates

from tests.warpgan.device_proof import fake_cuda
from warpgan.cameras import look_at
from warpgan.data.portraits import Portrait
from warpgan.metrics.pixel import psnr
from warpgan.metrics.registration import (
    SCALE_LIMIT,
    SHIFT_LIMIT,
    TURN_LIMIT_DEG,
    Similarity,
    register,
)

SIZE = 64
KNOWN = Similarity(
    shift=torch.tensor([[0.06, -0.05], [-0.02, 0.07], [0.0, 0.0], [-0.065, -0.03]]).double(),
    turn_deg=torch.tensor([8.0, -5.0, 9.0, -1.0]).double(),
    scale=torch.tensor([1.07, 0.94, 1.0, 0.93]).double(),
)


def pixels_apart(a: Similarity, b: Similarity) -> torch.Tensor:
    """Farthest that the two send a corner apart, [B] pixels."""
    corners = torch.tensor([[x, y, 1.0] for x in (-0.5, 0.5) for y in (-0.5, 0.5)]).double()
    return ((a.matrix - b.matrix) @ corners.T).norm(dim=1).amax(1) * SIZE


def moved_portraits(targets: torch.Tensor, known: Similarity) -> torch.Tensor:
    """Views that the similarities lay on the targets: cubic splines, pixel by pixel, by scipy."""
    place = (np.arange(SIZE) + 0.5) / SIZE - 0.5
    x, y = np.meshgrid(place, place)
    moved = []
    for row, target in enumerate(targets.numpy()):
        turn, scale = math.radians(known.turn_deg[row]), float(known.scale[row])
        u, v = x - float(known.shift[row, 0]), y - float(known.shift[row, 1])
        back_x = (math.cos(turn) * u + math.sin(turn) * v) / scale
        back_y = (-math.sin(turn) * u + math.cos(turn) * v) / scale
        where = [(back_y + 0.5) * SIZE - 0.5, (back_x + 0.5) * SIZE - 0.5]
        moved.append([map_coordinates(c, where, order=3, mode="nearest") for c in target])
    return torch.from_numpy(np.array(moved)).float().clamp(-1, 1)


@pytest.fixture(scope="module")
def portraits() -> torch.Tensor:
    yaws = (0.0, 30.0, -60.0, 15.0)
    images = [
        Portrait.sample(900 + row).render(look_at(yaw, 0.0), size=SIZE).image
        for row, yaw in enumerate(yaws)
    ]
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 127.5 - 1


@pytest.fixture(scope="module")
def moved(portraits) -> torch.Tensor:
    return moved_portraits(portraits, KNOWN)


def test_a_known_similarity_is_found_to_a_tenth_of_a_pixel(portraits, moved):
    found = register(moved, portraits)
    assert found.moved.all()
    assert pixels_apart(found.similarity, KNOWN).max() < 0.1
    before, after = psnr(moved, portraits), psnr(found.images, portraits, mask=found.valid)
    assert (after > before + 10).all() and (after > 30).all()
    assert (found.valid.double().mean((1, 2, 3)) > 0.7).all()
    assert found.images.dtype == moved.dtype and found.images.abs().max() <= 1


def test_other_light_does_not_mislead(portraits, moved):
    found = register((0.8 * moved - 0.1).clamp(-1, 1), portraits)
    assert pixels_apart(found.similarity, KNOWN).max() < 0.1


def test_images_do_not_know_of_each_other(portraits, moved):
    together = register(moved, portraits)
    for row in range(len(moved)):
        alone = register(moved[row : row + 1], portraits[row : row + 1])
        assert torch.equal(alone.images[0], together.images[row])
        assert torch.equal(alone.similarity.matrix[0], together.similarity.matrix[row])
    turned = register(moved.flip(0), portraits.flip(0))
    assert torch.equal(turned.images.flip(0), together.images)


def test_an_equal_image_stays_as_it_is(portraits):
    found = register(portraits, portraits)
    assert not found.moved.any() and found.valid.all()
    assert torch.equal(found.images, portraits)
    assert torch.equal(found.similarity.scale, torch.ones(4).double())


def test_strangers_stay_within_bounds_and_never_fit_worse(portraits):
    strangers = portraits.roll(1, 0)
    found = register(strangers, portraits)
    assert found.similarity.shift.abs().max() <= SHIFT_LIMIT + 1e-12
    assert found.similarity.turn_deg.abs().max() <= TURN_LIMIT_DEG + 1e-9
    assert (found.similarity.scale - 1).abs().max() <= SCALE_LIMIT + 1e-12
    assert found.moved.any()
    same_pixels = psnr(strangers, portraits, mask=found.valid)
    assert (psnr(found.images, portraits, mask=found.valid) >= same_pixels - 0.3).all()


def test_a_shift_beyond_the_bound_is_not_followed(portraits):
    far = portraits.roll(SIZE // 4, -1)
    found = register(far, portraits, shift_limit=0.05)
    assert found.similarity.shift.abs().max() <= 0.05 + 1e-12


def test_pictures_without_content_are_left_alone():
    empty = torch.zeros(2, 3, 32, 32)
    found = register(empty, empty + 0.5)
    assert not found.moved.any() and torch.equal(found.images, empty)


def test_it_runs_where_its_inputs_are():
    with fake_cuda() as watch:
        images = torch.empty(2, 3, 32, 32, device="cuda")
        found = register(images, images)
        assert found.images.device.type == found.similarity.scale.device.type == "cuda"
    assert watch.operators > 100


@pytest.mark.parametrize(
    ("views", "targets", "match"),
    [
        ((2, 3, 32, 32), (1, 3, 32, 32), "of the same shape"),
        ((2, 1, 32, 32), (2, 1, 32, 32), r"\[B, 3, S, S\]"),
        ((2, 3, 32, 16), (2, 3, 32, 16), "square"),
        ((2, 3, 8, 8), (2, 3, 8, 8), "16 pixels"),
    ],
)
def test_what_does_not_fit_is_refused(views, targets, match):
    with pytest.raises(ValueError, match=match):
        register(torch.zeros(views), torch.zeros(targets))
