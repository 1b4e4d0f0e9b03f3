import pytest
import torch

from tests.warpgan.evaluation_world import build_generator
from tests.warpgan.test_projector import QUICK, sample, weights_of
from warpgan.cameras import frontal_label, look_at
from warpgan.methods.noise_maps import drawn_like, noise_maps, paint
from warpgan.methods.optimised import PTI, SG2
from warpgan.methods.tuning import Locality, Teachers, TuningSettings, tune
from warpgan.metrics.pixel import psnr
from warpgan.perception import build_perceptual

SETTINGS = TuningSettings(
    steps=4, perceptual="perc_efficientnet", stop_below=None, loss_size=32, learning_rate=3e-3
)


@pytest.fixture(scope="module")
def generator():
    return build_generator()


@pytest.fixture(scope="module")
def net():
    return build_perceptual("perc_efficientnet")


@pytest.fixture(scope="module")
def pivot(generator):
    return generator.mean_latent().expand(1, generator.num_ws, -1)


def tuned(generator, pivot, net, settings=SETTINGS, *, seed=0, **rest):
    return tune(
        generator,
        pivot,
        sample(generator, 1),
        camera=frontal_label(),
        settings=settings,
        perceptual=net,
        seed=seed,
        progress=False,
        **rest,
    )


def changed(settings: TuningSettings, **values) -> TuningSettings:
    return TuningSettings(**{**vars(settings), **values})


def test_a_copy_is_tuned_and_the_generator_left(generator, pivot, net):
    before = weights_of(generator)
    result = tuned(generator, pivot, net)
    assert all(map(torch.equal, before, weights_of(generator)))
    assert result.steps == 4 and result.distances.shape == (4,)
    assert result.distances[-1] < result.distances[0]
    moved = {
        name.split(".")[0] if "mapping" not in name else "mapping"
        for (name, one), other in zip(
            result.generator.named_parameters(), generator.parameters(), strict=True
        )
        if not torch.equal(one, other)
    }
    assert moved == {"backbone", "decoder", "superresolution"}
    assert not any(
        parameter.requires_grad or parameter.grad is not None
        for parameter in [*result.generator.parameters(), *generator.parameters()]
    )


def test_tuning_is_repeatable(generator, pivot, net):
    one, again = (tuned(generator, pivot, net).generator for _ in range(2))
    assert all(map(torch.equal, weights_of(one), weights_of(again)))


def test_tuning_stops_before_the_step_that_the_threshold_makes_needless(generator, pivot, net):
    course = tuned(generator, pivot, net).distances
    threshold = float(course[2])
    assert threshold < float(course[:2].min())
    short = tuned(generator, pivot, net, changed(SETTINGS, stop_below=threshold))
    assert short.steps == 2
    assert torch.equal(short.distances, course[:3])
    exactly = tuned(generator, pivot, net, changed(SETTINGS, steps=2)).generator
    assert all(map(torch.equal, weights_of(short.generator), weights_of(exactly)))
    at_once = tuned(generator, pivot, net, changed(SETTINGS, stop_below=4.0))
    assert at_once.steps == 0
    assert all(map(torch.equal, weights_of(at_once.generator), weights_of(generator)))


def test_the_copy_has_the_noise_it_was_given(generator, pivot, net):
    maps = drawn_like(noise_maps(generator), torch.Generator().manual_seed(0))
    result = tuned(generator, pivot, net, changed(SETTINGS, steps=1), noise=maps)
    kept = noise_maps(result.generator)
    assert kept and all(torch.equal(kept[name], maps[name]) for name in kept)
    with torch.no_grad():
        same = paint(result.generator, pivot, maps)
        assert torch.equal(result.generator.planes(pivot), same)


def test_teachers_are_drawn_by_the_seed_and_learnt(generator, pivot, net):
    camera = look_at([-30.0, 30.0, 10.0], 0.0)
    teachers = Teachers(sample(generator, 2).expand(3, -1, -1, -1), camera)
    settings = changed(SETTINGS, steps=12)

    def error(other) -> float:
        with torch.no_grad():
            planes = other.planes(pivot)
            image = other.render(planes, pivot, camera[None]).image[0]
        return (image - teachers.image).square().mean().item()

    alone = tuned(generator, pivot, net, settings)
    taught, again, others = (
        tuned(generator, pivot, net, settings, teachers=teachers, seed=seed) for seed in (0, 0, 1)
    )
    assert error(taught.generator) < error(alone.generator)
    weights = [weights_of(result.generator) for result in (taught, again, others)]
    assert all(map(torch.equal, weights[0], weights[1]))
    assert not all(map(torch.equal, weights[0], weights[2]))


def test_locality_keeps_neighbours_as_they_were(generator, pivot, net):
    near = Locality(distance=0.5, mse_weight=100.0, perceptual_weight=0.0)
    settings = changed(SETTINGS, steps=12)
    with torch.no_grad():
        w = generator.mapping(torch.ones(1, generator.z_dim), frontal_label())
        ws = pivot + 0.5 * (w - pivot) / (w - pivot).norm()

        def moved(other) -> float:
            pictures = [
                each.render(each.planes(ws), ws, frontal_label()).image
                for each in (generator, other)
            ]
            return (pictures[0] - pictures[1]).square().mean().item()

    free = tuned(generator, pivot, net, settings).generator
    held = tuned(generator, pivot, net, changed(settings, locality=near)).generator
    assert moved(held) < 0.5 * moved(free)


def test_pti_resembles_the_photo_more_than_its_pivot(generator, net):
    photo, camera = sample(generator, 3, count=2), look_at([0.0, 20.0], 0.0)
    common = dict(projector=QUICK, projector_net=net, progress=False)
    pti = PTI(generator, tuning=changed(SETTINGS, steps=10), tuning_net=net, name="pti", **common)
    sg2 = SG2(generator, name="sg2", **common)
    before = weights_of(generator)
    images = {}
    for method in (sg2, pti):
        inversion = method.invert(photo, camera)
        images[method.name] = inversion.render(camera[:, None]).image[:, 0]
    assert inversion.steps == [13, 13]
    assert (psnr(images["pti"], photo) > psnr(images["sg2"], photo)).all()
    assert all(map(torch.equal, before, weights_of(generator)))
    alone = pti.invert(photo[1:], camera[1:]).render(camera[1:, None]).image[:, 0]
    assert torch.equal(alone, images["pti"][1:])


@pytest.mark.parametrize("key", ["steps", "loss_size", "learning_rate"])
def test_wrong_settings_are_refused(key):
    with pytest.raises(ValueError, match=f"tuning.{key}="):
        TuningSettings(**{key: -1})
