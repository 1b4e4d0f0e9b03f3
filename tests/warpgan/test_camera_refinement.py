"""Cameras won back from the generator's own views, and what a refinement must never do."""

import math

import pytest
import torch

from warpgan.camera_refinement import RefinementOptions, refine_cameras
from warpgan.camera_turns import angles_between, turn_cameras
from warpgan.cameras import look_at
from warpgan.generators import named_generator

START = torch.tensor([[3.0, -4.0, 0.1, 0.1, 1.5], [-2.0, 3.0, -0.1, 0.0, -1.0]]).deg2rad()


@pytest.fixture(scope="module")
def scene():
    """The shipped generator, two latents, and its views of them as photos."""
    generator = named_generator("eg3d_mini").eval().requires_grad_(False)
    z = torch.randn(2, generator.z_dim, generator=torch.Generator().manual_seed(4))
    cameras = look_at([10.0, -25.0], [3.0, -4.0])
    with torch.no_grad():
        ws = generator.mapping(z, cameras, truncation_psi=0.7)
        planes = generator.planes(ws)
        photos = generator.render(planes, ws, cameras).image
    return generator, photos, cameras, ws, planes


def refined(scene, start, **options):
    generator, photos, _, ws, planes = scene
    return refine_cameras(
        generator, photos, start, ws=ws, planes=planes, options=RefinementOptions(**options)
    )


def test_wins_back_the_cameras_of_its_own_views(scene):
    true = scene[2]
    start = turn_cameras(true, START)
    found = refined(scene, start, steps=14)
    assert (angles_between(start, true)[0] > 3.5).all()
    assert (angles_between(found.cameras, true)[0] < 0.4).all()
    assert (angles_between(found.cameras, true)[1] < 0.4).all()
    assert (found.loss < 0.2 * found.loss_before).all()
    torch.testing.assert_close(found.moved_deg, angles_between(start, found.cameras)[0])
    assert (found.cameras[:, 16:] == true[:, 16:]).all()


def test_stays_where_it_is_right_and_stops(scene):
    true = scene[2]
    found = refined(scene, true, steps=40)
    assert (found.moved_deg < 0.1).all() and (found.loss <= found.loss_before).all()
    assert (found.renders < 15).all()


def test_never_leaves_its_bound(scene):
    start = turn_cameras(scene[2], START)
    found = refined(scene, start, steps=6, largest_deg=1.0)
    assert (found.moved_deg <= 1.0 + 1e-4).all()
    assert (angles_between(start, found.cameras)[1] <= 1.0 + 1e-4).all()
    assert (found.loss <= found.loss_before).all()


def test_no_steps_change_nothing(scene):
    found = refined(scene, scene[2], steps=0)
    assert torch.equal(found.cameras, scene[2])
    assert torch.equal(found.loss, found.loss_before) and (found.renders == 1).all()


def test_a_photo_s_result_depends_on_nothing_else(scene):
    generator, photos, true, ws, planes = scene
    start, told = turn_cameras(true, START), []
    options = RefinementOptions(steps=2)
    both = refine_cameras(
        generator, photos, start, ws=ws, planes=planes, options=options, progress=told.append
    )
    again = refine_cameras(
        generator, photos[1:], start[1:], ws=ws[1:], planes=planes[1:], options=options
    )
    assert torch.equal(both.cameras[1:], again.cameras)
    assert sum(told) == 2 * 3


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"steps": -1}, "refinement of -1 steps"),
        ({"steps": 5000}, "0 .off. to 1000"),
        ({"largest_deg": 90.0}, "largest_deg=90"),
        ({"scale": math.nan}, "scale=nan"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, word):
    with pytest.raises(ValueError, match=word):
        RefinementOptions(**options)


def test_photos_of_another_size_are_refused(scene):
    generator, photos, true, ws, planes = scene
    with pytest.raises(ValueError, match=r"expected \[B, 3, 128, 128\]"):
        refine_cameras(
            generator, photos[..., :64], true, ws=ws, planes=planes, options=RefinementOptions()
        )
