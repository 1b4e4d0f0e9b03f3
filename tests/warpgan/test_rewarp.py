import pytest
import torch

from warpgan import cameras
from warpgan.initial_fill import both_branches
from warpgan.losses.rewarp import REWARPED, rewarp_branches, rewarped_image
from warpgan.symmetry import mirror_view
from warpgan.warp import WarpOptions, ray_length_from_depth_z

SIZE, RAYS = 48, 24


def camera(yaw: float) -> torch.Tensor:
    return cameras.look_at([yaw], [0.0]).float()


def wall(label: torch.Tensor) -> torch.Tensor:
    """Ray lengths of a plane at depth 2.7 before the camera."""
    return ray_length_from_depth_z(torch.full((1, 1, RAYS, RAYS), 2.7), label)


def rewarp(image, *, novel, photo, render=None, symmetry=False):
    return rewarp_branches(
        image,
        novel_ray_length=wall(novel),
        novel_camera=novel,
        camera=photo,
        render=torch.full_like(image, 0.25) if render is None else render,
        ray_length=wall(photo),
        options=WarpOptions(scale_blur=True),
        symmetry=symmetry,
    )


def picture(seed: int = 0) -> torch.Tensor:
    """Smooth and nowhere black."""
    coarse = torch.rand(1, 3, 6, 6, generator=torch.Generator().manual_seed(seed)) * 0.8 + 0.2
    return torch.nn.functional.interpolate(coarse, size=(SIZE, SIZE), mode="bicubic").clamp(0.1, 1)


def test_from_a_view_to_itself_nothing_moves():
    image, label = picture(), camera(15.0)
    branch, mirrored = rewarp(image, novel=label, photo=label)
    assert mirrored is None
    inner = (slice(None), slice(None), slice(4, -4), slice(4, -4))
    torch.testing.assert_close(branch.warped[inner], image[inner], atol=2e-3, rtol=0)
    assert branch.hole[inner].max() < 1e-5


def test_holes_are_filled_with_the_photo_s_render():
    image = picture()
    branch, _ = rewarp(image, novel=camera(40.0), photo=camera(0.0))
    missing = (branch.hole > 0.999).expand_as(image)
    assert 50 < missing.sum() < missing.numel() / 2
    torch.testing.assert_close(
        branch.filled[missing], torch.full_like(branch.filled[missing], 0.25)
    )
    uncovered = (branch.visible == 0).expand_as(image) & (branch.warped == 0)
    assert uncovered.any(), "black is 0 in [0, 1]"


def test_it_goes_from_the_novel_camera_to_the_photo_s():
    image, novel, photo = picture(), camera(25.0), camera(-5.0)
    branch, mirrored = rewarp(image, novel=novel, photo=photo, symmetry=True)
    twin = mirror_view(image, wall(novel), novel)
    shared = {
        "target": photo,
        "render": torch.full_like(image, 0.25),
        "options": WarpOptions(scale_blur=True),
        "target_ray_length": wall(photo),
        "empty": 0.0,
        "symmetry": False,
    }
    expected, _ = both_branches(image, wall(novel), novel, **shared)
    expected_twin, _ = both_branches(twin.image, twin.ray_length, twin.camera, **shared)
    assert torch.equal(branch.channels(), expected.channels())
    assert torch.equal(mirrored.channels(), expected_twin.channels())
    assert not torch.equal(branch.filled, mirrored.filled)


def test_the_gradient_reaches_what_was_painted_and_the_fill_gives_none():
    prediction = picture().requires_grad_()
    fill = picture(1)
    for which in REWARPED:
        chosen = rewarped_image(which, prediction=prediction, fill=fill)
        branch, _ = rewarp(chosen, novel=camera(20.0), photo=camera(0.0))
        assert branch.filled.requires_grad == (which == "prediction")
    assert REWARPED == ("prediction", "fill")
    chosen = rewarped_image("prediction", prediction=prediction, fill=fill)
    branch, _ = rewarp(chosen, novel=camera(20.0), photo=camera(0.0))
    branch.filled.sum().backward()
    assert prediction.grad[:, :, 16:32, 16:32].abs().min() > 0
    with pytest.raises(ValueError, match="rewarp: no 'hybrid'; there are prediction, fill"):
        rewarped_image("hybrid", prediction=prediction, fill=fill)
