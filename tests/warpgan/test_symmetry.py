"""The mirrored view and the refinement by it."""

import pytest
import torch

from warpgan.cameras import look_at
from warpgan.ffc import Features
from warpgan.symmetry import SymmetryRefinement, mirror_view


def features(seed: int) -> Features:
    random = torch.Generator().manual_seed(seed)
    return Features(
        torch.randn(2, 2, 8, 6, generator=random), torch.randn(2, 6, 8, 6, generator=random)
    )


def test_mirroring_twice_changes_nothing():
    image, ray_length = torch.randn(2, 3, 8, 12), torch.rand(2, 1, 4, 6)
    camera = look_at([20.0, -50.0], [5.0, 10.0])
    camera[:, 18] = 0.4
    once = mirror_view(image, ray_length, camera)
    twice = mirror_view(once.image, once.ray_length, once.camera)
    assert torch.equal(twice.image, image)
    assert torch.equal(twice.ray_length, ray_length)
    torch.testing.assert_close(twice.camera, camera)
    assert not torch.equal(once.image, image)


def test_the_mirrored_camera_stands_on_the_other_side():
    mirrored = mirror_view(torch.zeros(1, 3, 8, 8), None, look_at(35.0, 10.0))
    torch.testing.assert_close(mirrored.camera, look_at(-35.0, 10.0), rtol=0, atol=1e-6)
    assert mirrored.ray_length is None


def test_film_as_the_paper_writes_it_and_as_released():
    torch.manual_seed(0)
    paper = SymmetryRefinement((2, 6), film="scale").eval()
    released = SymmetryRefinement((2, 6), film="one_plus_scale").eval()
    released.load_state_dict(paper.state_dict())
    main, mirrored = features(0), features(1)
    a, b = paper(main, mirrored), released(main, mirrored)
    torch.testing.assert_close(b.local - a.local, main.local)
    torch.testing.assert_close(b.spread - a.spread, main.spread)


def test_film_is_a_scale_and_a_shift():
    refinement = SymmetryRefinement((2, 6), film="scale")
    x, scale, shift = (torch.randn(1, 2, 4, 4) for _ in range(3))
    torch.testing.assert_close(refinement.modulate(x, scale, shift), scale * x + shift)


def test_the_mirrored_branch_has_influence():
    torch.manual_seed(0)
    refinement = SymmetryRefinement((2, 6)).eval()
    a, b = refinement(features(0), features(1)), refinement(features(0), features(2))
    assert not torch.allclose(a.local, b.local)
    assert not torch.allclose(a.spread, b.spread)


def test_the_papers_film_lets_features_through_at_the_start():
    torch.manual_seed(0)
    refinement = SymmetryRefinement((16, 48)).train()
    values = {}
    refinement.condition_scale.register_forward_hook(
        lambda module, inputs, output: values.update(scale=output)
    )
    main = Features(torch.randn(4, 16, 16, 16), torch.randn(4, 48, 16, 16))
    refinement(main, main)
    assert 0.9 < values["scale"].spread.mean() < 1.3
    assert (values["scale"].spread > 0).float().mean() > 0.8


def test_unknown_film_is_named():
    with pytest.raises(ValueError, match="film='shift'.*one_plus_scale"):
        SymmetryRefinement((2, 6), film="shift")
