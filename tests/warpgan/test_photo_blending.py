import pytest
import torch

from warpgan.cameras import look_at, mirror_label
from warpgan.initial_fill import Branch
from warpgan.photo_blending import (
    BlendOptions,
    blended,
    camera_angles,
    colour_gain,
    nearest_photos,
    photo_shares,
    with_gain,
    yaw_distances,
)

SIDE = 16
HARD = BlendOptions(feather=0.0, softness=0.0)


def halves(*, overlap: int = 0) -> torch.Tensor:
    """Photo 1 shows the left half, photo 2 the right one, ``overlap`` columns more each."""
    visible = torch.zeros(1, 2, SIDE, SIDE)
    visible[:, 0, :, : SIDE // 2 + overlap] = 1
    visible[:, 1, :, SIDE // 2 - overlap :] = 1
    return visible


def branch(colour: float, hole: torch.Tensor, render: torch.Tensor) -> Branch:
    warped = torch.full((len(hole), 3, SIDE, SIDE), colour)
    return Branch(
        filled=torch.lerp(warped, render, hole),
        render=render,
        hole=hole,
        warped=warped,
        visible=(hole < 1).float(),
    )


def test_angles_of_cameras():
    cameras, sources = (
        look_at([0.0, 10.0, 175.0], [0.0, 0.0, 0.0]),
        look_at([0.0, -175.0], [20.0, 0]),
    )
    assert torch.allclose(
        yaw_distances(cameras, sources),
        torch.tensor([[0.0, 175], [10, 175], [175, 10]], dtype=torch.float64),
    )
    angles = camera_angles(cameras, sources)
    assert angles[0, 0] == pytest.approx(20, abs=2e-3), "pitch counts"
    assert angles[2, 1] == pytest.approx(10, abs=2e-3), "round the back"
    same = camera_angles(sources, sources)
    assert same.diagonal().tolist() == [0, 0]


def test_nearest_in_yaw_ties_to_the_first():
    sources = look_at([45.0, -45.0, 0.0, 0.0], [0.0, 0, 30, 0])
    cameras = look_at([0.0, 30.0, -30.0, 22.5], [0.0, 0, 0, 0])
    assert nearest_photos(cameras, sources) == [2, 0, 1, 0]
    assert nearest_photos(cameras[3:], sources.flip(0)) == [0], "another order, another first"
    pair = look_at([45.0, -45.0], 0.0)
    assert nearest_photos(look_at(0.0, 0.0), pair) == [0]
    assert nearest_photos(look_at(0.0, 0.0), mirror_label(pair)) == [0]


@pytest.mark.parametrize("options", [HARD, BlendOptions()], ids=["hard", "soft"])
def test_what_one_photo_alone_shows_is_its_own(options):
    shares = photo_shares(halves(), torch.tensor([[0.0, 40.0]]), options=options)
    assert torch.equal(shares, halves())
    shares = photo_shares(halves(), torch.tensor([[40.0, 0.0]]), options=options)
    assert torch.equal(shares, halves())


def test_where_both_show_it_the_nearer_comes_first():
    visible = torch.ones(1, 2, SIDE, SIDE)
    for angles, first in (([5.0, 60.0], 0), ([60.0, 5.0], 1)):
        shares = photo_shares(visible, torch.tensor([angles]), options=BlendOptions())
        assert shares[:, first].min() > 0.99
        hard = photo_shares(visible, torch.tensor([angles]), options=HARD)
        assert torch.equal(hard[:, first], torch.ones(1, SIDE, SIDE))


def test_ties_are_shared_when_soft_and_the_first_s_when_hard():
    visible, tied = torch.ones(1, 3, SIDE, SIDE), torch.full((1, 3), 30.0)
    soft = photo_shares(visible, tied, options=BlendOptions())
    assert torch.allclose(soft, torch.full_like(soft, 1 / 3))
    hard = photo_shares(visible, tied, options=HARD)
    assert torch.equal(hard[0, :, 0, 0], torch.tensor([1.0, 0, 0]))


def test_shares_add_up_and_are_steady_in_the_camera():
    visible = torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    visible[..., 0] = 0
    before = None
    for yaw in torch.linspace(-30, 30, 121).tolist():
        angles = torch.tensor([[abs(yaw), abs(yaw - 45), abs(yaw + 45)]])
        shares = photo_shares(visible, angles, options=BlendOptions())
        assert torch.allclose(shares[..., 1:].sum(1), torch.ones(1, SIDE, SIDE - 1))
        assert not shares[..., 0].any() and 0 <= shares.min()
        assert before is None or (shares - before).abs().max() < 0.15
        before = shares


def test_shares_do_not_depend_on_the_order_of_photos():
    visible = torch.rand(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    angles = torch.tensor([[3.0, 40, 20], [10, 10.0, 50]])
    order = [2, 0, 1]
    shares = photo_shares(visible, angles, options=BlendOptions())
    turned = photo_shares(visible[:, order], angles[:, order], options=BlendOptions())
    assert torch.allclose(turned, shares[:, order], atol=1e-6)


def test_rims_are_feathered():
    """The nearer photo fades towards its rim where the other shows the pixel too."""
    visible = halves(overlap=5)
    options = BlendOptions(feather=0.25)
    shares = photo_shares(visible, torch.tensor([[0.0, 60.0]]), options=options)[0, 0, SIDE // 2]
    assert shares[0] == 1 and shares[-1] == 0
    steps = -shares.diff()
    assert steps.min() >= 0 and steps.max() < 0.6, "no hard edge"
    assert 1e-3 < shares[SIDE // 2 + 4] < 0.5, "already faint at the last column of its own"


def test_the_hole_is_the_product_and_fill_is_render_there():
    render = torch.full((1, 3, SIDE, SIDE), 0.25)
    holes = torch.rand(2, 1, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(2))
    holes[:, ..., :3] = 1
    both = blended(
        [branch(-0.5, holes[0], render), branch(0.75, holes[1], render)],
        torch.tensor([[0.0, 30.0]]),
        nearest=0,
        options=BlendOptions(),
    )
    assert torch.equal(both.hole, holes[0] * holes[1])
    assert torch.equal(both.filled[..., :3], render[..., :3])
    assert torch.allclose(both.warped[..., :3], torch.tensor(-0.5)), "the nearest photo's"
    assert both.warped.min() >= -0.5 and both.warped.max() <= 0.75 + 1e-6


def test_one_branch_is_returned_as_it_is():
    render = torch.zeros(1, 3, SIDE, SIDE)
    alone = branch(0.3, torch.rand(1, 1, SIDE, SIDE), render)
    assert blended([alone], torch.zeros(1, 1), nearest=0, options=BlendOptions()) is alone


def test_gain_is_found_on_the_overlap():
    generator = torch.Generator().manual_seed(3)
    reference = torch.rand(3, SIDE, SIDE, generator=generator) * 0.8 - 0.6
    factor = torch.tensor([0.7, 0.85, 1.2])
    photo = with_gain(reference, factor)
    visible, near = torch.ones(1, SIDE, SIDE), torch.full((1, SIDE, SIDE), 2.4)
    photo[:, : SIDE // 2] = 0.9
    visible[:, : SIDE // 2] = 0
    gain = colour_gain(photo, reference, visible=visible, reference_depth_z=near)
    assert torch.allclose(gain, 1 / factor, rtol=1e-4)
    far = torch.full_like(near, 3.0)
    alone = colour_gain(photo, reference, visible=visible, reference_depth_z=far)
    assert torch.equal(alone, torch.ones(3)), "the backdrop does not count"
    dark = colour_gain(with_gain(photo, torch.full((3,), 0.2)), reference, visible=visible,
                       reference_depth_z=near)  # fmt: skip
    assert dark.max() <= 2


def test_wrong_options_are_refused():
    with pytest.raises(ValueError, match="feather=0.7 must be a part of the image"):
        BlendOptions(feather=0.7)
    with pytest.raises(ValueError, match="softness=-1 must be 0 or more"):
        BlendOptions(softness=-1)
