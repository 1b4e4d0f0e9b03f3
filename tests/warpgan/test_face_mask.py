"""The face's silhouette: against rays marched one by one, and where the face's parts fall."""

import pytest
import torch

from warpgan.cameras import CANONICAL_POINTS, look_at, mirror_label, project
from warpgan.metrics.face_mask import CENTRE, RADII, face_mask, masked

POSES = look_at([0.0, -30.0, 30.0, -60.0, 60.0], [0.0, 10.0, 0.0, -10.0, 5.0])
# Places on the mean head's middle line, in the same frame.
CHIN, FOREHEAD, HAIRLINE = (0.0, -0.199, 0.204), (0.0, 0.134, 0.249), (0.0, 0.22, 0.2)


def inside_at(mask: torch.Tensor, pixels: torch.Tensor) -> torch.Tensor:
    column, row = pixels.floor().long().unbind(-1)
    return mask[row, column] == 1


def test_every_pixel_is_what_marching_along_its_ray_says():
    size = 24
    mask = face_mask(POSES[:3], size)
    for label, drawn in zip(POSES[:3].double(), mask[:, 0], strict=True):
        cam2world, focal = label[:16].view(4, 4), label[16]
        for row in range(size):
            for column in range(size):
                x, y = ((i + 0.5) / size - 0.5 for i in (column, row))
                direction = cam2world[:3, :3] @ torch.stack([x / focal, y / focal, focal / focal])
                steps = torch.linspace(2.0, 3.4, 400, dtype=torch.float64)[:, None]
                points = cam2world[:3, 3] + steps * direction
                scaled = (points - torch.tensor(CENTRE)) / torch.tensor(RADII)
                nearest = float(scaled.norm(dim=1).min())
                if abs(nearest - 1) > 1e-3:  # the steps are not fine enough on the outline
                    assert float(drawn[row, column]) == (nearest < 1), (row, column)


@pytest.mark.parametrize("size", [128, 512])
def test_it_holds_the_five_points_from_every_side(size):
    points = torch.cat([CANONICAL_POINTS, torch.tensor([FOREHEAD])])
    for label, mask in zip(POSES, face_mask(POSES, size)[:, 0], strict=True):
        assert inside_at(mask, project(points, label, size=float(size))).all()


def test_from_the_front_it_ends_at_chin_and_hairline_and_between_the_ears():
    size = 512
    label = look_at(0.0, 0.0)
    mask = face_mask(label, size)[0, 0]
    rows, columns = (mask.amax(axis).nonzero().flatten() for axis in (1, 0))
    chin, hairline = project(torch.tensor([CHIN, HAIRLINE]), label[0], size=float(size))[:, 1]
    assert rows[-1] == pytest.approx(float(chin), abs=0.02 * size)
    assert rows[0] == pytest.approx(float(hairline), abs=0.03 * size)
    left, right = project(torch.tensor([[-0.19, 0.0, 0.0], [0.19, 0.0, 0.0]]), label[0])[:, 0]
    assert left < columns[0] / size < columns[-1] / size < right
    assert columns[0] + columns[-1] == size - 1


def test_it_is_a_part_of_the_picture_wherever_the_camera_stands():
    masks = face_mask(POSES, 128)
    assert masks.shape == (5, 1, 128, 128) and masks.dtype == torch.float32
    assert set(masks.unique().tolist()) == {0.0, 1.0}
    share = masks.mean((1, 2, 3))
    assert ((share > 0.3) & (share < 0.45)).all()
    assert masks[..., [0, 0, -1, -1], [0, -1, 0, -1]].sum() == 0


def test_it_is_mirrored_with_the_camera():
    assert torch.equal(face_mask(mirror_label(POSES), 96), face_mask(POSES, 96).flip(3))


def test_a_smaller_mask_is_the_larger_one_seen_coarsely():
    coarse, fine = face_mask(POSES, 64), face_mask(POSES, 512)
    averaged = torch.nn.functional.avg_pool2d(fine, 8)
    assert (coarse - averaged).abs().max() <= 0.6
    assert (coarse - averaged).mean((1, 2, 3)).abs().max() < 2e-3


def test_nothing_is_behind_the_camera():
    away = look_at(0.0, 0.0)
    away[0, :16] = torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0])).flatten()
    away[0, 11] = -2.7  # behind the head, looking further back
    assert face_mask(away, 32).sum() == 0


def test_the_rest_of_a_picture_becomes_grey():
    images = torch.rand(5, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 1.8 + 0.1 - 1
    images[images == 0] = 0.5
    painted, mask = masked(images, POSES), face_mask(POSES, 64).bool().expand(-1, 3, -1, -1)
    assert torch.equal(painted[mask], images[mask])
    assert (painted[~mask] == 0).all()


def test_wrong_shapes_are_explained():
    with pytest.raises(ValueError, match="labels"):
        face_mask(POSES[0], 32)
    with pytest.raises(ValueError, match="a camera label for each"):
        masked(torch.zeros(2, 3, 32, 32), POSES)
