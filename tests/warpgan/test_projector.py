import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.warpgan.evaluation_world import build_generator
from warpgan.cameras import frontal_label, look_at
from warpgan.denormals import DENORMAL, denormals_are_zero, flushed_denormals
from warpgan.methods.base import Method
from warpgan.methods.noise_maps import (
    drawn_like,
    noise_maps,
    noise_regularisation,
    paint,
    standardise,
)
from warpgan.methods.optimised import SG2, photo_seed
from warpgan.methods.projector import (
    ProjectorSettings,
    exploration,
    latent_statistics,
    learning_rate,
    project,
)
from warpgan.metrics.pixel import psnr
from warpgan.perception import build_perceptual

QUICK = ProjectorSettings(steps=3, samples=50, loss_size=32, pixel_weight=1.0)


@pytest.fixture(scope="module")
def generator():
    generator = build_generator()
    for layer in generator.backbone.synthesis.modules():
        if hasattr(layer, "noise_strength"):
            layer.noise_strength.data.fill_(0.1)
    return generator


@pytest.fixture(scope="module")
def net():
    return build_perceptual("perc_efficientnet")


@torch.no_grad()
def sample(generator, seed: int, *, count: int = 1, spread: float = 1.0) -> torch.Tensor:
    """Faces that the generator can give, each layer with a latent of its own.

    With ``spread`` they lie so many times further from the mean latent.
    """
    z = torch.randn(
        count * generator.num_ws,
        generator.z_dim,
        generator=torch.Generator().manual_seed(seed),
    )
    ws = generator.mapping(z, frontal_label().expand(len(z), -1))[:, 0]
    ws = generator.mean_latent().lerp(ws, spread).unflatten(0, (count, generator.num_ws))
    return generator.render(generator.planes(ws), ws, frontal_label().expand(count, -1)).image


def weights_of(generator) -> list[torch.Tensor]:
    return [value.clone() for value in generator.state_dict().values()]


def test_learning_rate_is_the_closed_form():
    s = ProjectorSettings()
    assert learning_rate(0.0, s) == 0.0
    assert learning_rate(0.025, s) == pytest.approx(0.005)
    for t in (0.05, 0.4, 0.75):
        assert learning_rate(t, s) == pytest.approx(0.01)
    assert learning_rate(0.875, s) == pytest.approx(0.005)
    assert learning_rate(1.0, s) == pytest.approx(0.0)


def test_exploration_ends_at_its_ramp():
    s = ProjectorSettings()
    assert exploration(0.0, s) == 0.05
    assert exploration(0.375, s) == pytest.approx(0.05 / 4)
    assert exploration(0.75, s) == exploration(1.0, s) == 0.0


def test_noise_regularisation_sees_neighbours_that_resemble_each_other():
    white = {"a": torch.randn(64, 64, generator=torch.Generator().manual_seed(0))}
    constant = {"a": torch.ones(64, 64)}
    # Levels of 64, 32, 16 and 8 pixels, two axes, mean product 1.
    assert noise_regularisation(constant).item() == 8.0
    assert noise_regularisation(white).item() < 1e-2
    stripes = {"a": torch.tensor([1.0, -1.0]).repeat(8, 4)}
    assert noise_regularisation(stripes).item() == 2.0
    assert noise_regularisation(constant | {"b": torch.ones(4, 4)}).item() == 10.0


def test_standardised_maps_have_mean_0_and_mean_square_1():
    maps = {"a": 3 + 5 * torch.randn(16, 16, generator=torch.Generator().manual_seed(0))}
    standardise(maps)
    assert abs(maps["a"].mean()) < 1e-6
    assert maps["a"].square().mean().item() == pytest.approx(1.0, abs=1e-5)


def test_other_noise_maps_paint_other_planes_and_leave_the_generator(generator):
    before = weights_of(generator)
    ws = generator.mean_latent().expand(1, generator.num_ws, -1)
    own = noise_maps(generator)
    assert len(own) == generator.num_ws - 1
    assert torch.equal(paint(generator, ws, own), generator.planes(ws))
    other = drawn_like(own, torch.Generator().manual_seed(0))
    assert not torch.allclose(paint(generator, ws, other), generator.planes(ws))
    assert all(map(torch.equal, before, weights_of(generator)))


def test_statistics_of_w(generator):
    camera = look_at(40.0, 0.0)
    found = latent_statistics(generator, camera, QUICK)
    z = np.random.RandomState(123).randn(50, generator.z_dim).astype(np.float32)
    w = generator.mapping(torch.from_numpy(z), frontal_label().expand(50, -1))[:, 0]
    assert torch.allclose(found.mean, w.mean(0), atol=1e-5)
    far = math.sqrt(((w - w.mean(0)) ** 2).sum() / 50)
    assert found.deviation == pytest.approx(far, rel=1e-5)
    own = latent_statistics(generator, camera, replace(QUICK, conditioning="own"))
    assert not torch.allclose(own.mean, found.mean, atol=1e-5)


@pytest.mark.parametrize("space", ["w", "w_plus"])
def test_a_projection_is_repeatable_and_leaves_the_generator(generator, net, space):
    before = weights_of(generator)
    settings = replace(QUICK, space=space)
    common = dict(settings=settings, perceptual=net, progress=False)
    photo, camera = sample(generator, 5), frontal_label()
    one, again = (project(generator, photo, camera, seed=3, **common) for _ in range(2))
    other = project(generator, photo, camera, seed=4, **common)
    assert torch.equal(one.ws, again.ws) and torch.equal(one.losses, again.losses)
    assert all(torch.equal(one.noise[name], again.noise[name]) for name in one.noise)
    assert not torch.equal(one.ws, other.ws)
    assert all(map(torch.equal, before, weights_of(generator)))
    assert not any(parameter.requires_grad for parameter in generator.parameters())
    assert one.losses.shape == (3,)
    assert torch.equal(one.ws[:, :1].expand_as(one.ws), one.ws) == (space == "w")


@pytest.mark.parametrize("seed", [5, 7])
def test_a_single_code_explains_less_than_one_a_layer(net, seed):
    generator = build_generator()  # whose noise maps have no strength
    photo, camera = sample(generator, seed, spread=4.0), frontal_label()
    quick = replace(QUICK, steps=80, learning_rate=0.1, noise_strength=0.0, perceptual_weight=0.0)
    reached = {}
    for space in ("w", "w_plus"):
        method = SG2(
            generator,
            projector=replace(quick, space=space),
            projector_net=net,
            name=space,
            progress=False,
        )
        image = method.invert(photo, camera).render(camera[None]).image[:, 0]
        reached[space] = psnr(image, photo).item()
    floor = generator.mean_latent().expand(1, generator.num_ws, -1)
    floor = generator.render(generator.planes(floor), floor, camera).image
    assert reached["w_plus"] > reached["w"] + 1
    assert reached["w"] > psnr(floor, photo).item() + 1


def test_a_batch_is_its_photos_one_by_one(generator, net):
    method = SG2(generator, projector=QUICK, projector_net=net, name="sg2", progress=False)
    photo, camera = sample(generator, 6, count=2), look_at([0.0, 20.0], 0.0)
    cameras = look_at([-30.0, 10.0], 0.0)[None].expand(2, -1, -1)
    both = method.invert(photo, camera)
    views = both.render(cameras)
    order = [method.invert(photo[i : i + 1], camera[i : i + 1]) for i in (1, 0)]
    single = [inversion.render(cameras[:1]) for inversion in order]
    assert torch.equal(views.image, torch.cat([single[1].image, single[0].image]))
    assert torch.equal(views.depth_z, torch.cat([single[1].depth_z, single[0].depth_z]))
    assert both.steps == [3, 3] and both.seconds > 0
    assert method.one_at_a_time and not Method.one_at_a_time


def test_the_optimised_noise_is_rendered(generator, net):
    method = SG2(generator, projector=QUICK, projector_net=net, name="sg2", progress=False)
    photo = sample(generator, 7)
    found = project(
        generator,
        photo,
        frontal_label(),
        settings=QUICK,
        perceptual=net,
        seed=photo_seed(0, photo[0]),
        progress=False,
    )
    planes = paint(generator, found.ws, found.noise)
    expected = generator.render(planes, found.ws, frontal_label()[None]).image
    assert torch.equal(
        method.invert(photo, frontal_label()).render(frontal_label()[None]).image, expected
    )


def test_a_photo_s_seed_depends_on_its_pixels_and_the_run_s_seed(generator):
    photo = sample(generator, 5)[0]
    assert photo_seed(0, photo) == photo_seed(0, photo.clone())
    assert len({photo_seed(0, photo), photo_seed(1, photo), photo_seed(0, -photo)}) == 3


@pytest.mark.parametrize(
    ("key", "value"),
    [("space", "z"), ("conditioning", "side"), ("steps", 0), ("ramp_up", 0.0), ("noise_ramp", 2)],
)
def test_wrong_settings_are_refused(key, value):
    with pytest.raises(ValueError, match=f"projector.{key}="):
        ProjectorSettings(**{key: value})


def test_denormals_are_zero_inside_and_as_before_outside():
    tiny = torch.full((4,), DENORMAL)
    before = denormals_are_zero()
    with pytest.raises(RuntimeError, match="stop"), flushed_denormals():
        inside = (tiny * 1.0).sum().item()
        raise RuntimeError("stop")
    assert denormals_are_zero() == before
    assert inside == 0.0 or not torch.set_flush_denormal(before)
