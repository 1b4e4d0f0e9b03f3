from dataclasses import replace

import pytest
import torch

from tests.warpgan.evaluation_world import SIZE, build_encoder, build_generator
from warpgan.cameras import frontal_label, look_at
from warpgan.methods import build
from warpgan.methods.build import Models
from warpgan.methods.inversion import EncoderInversion, untrained_copy
from warpgan.methods.latent import LatentInversion
from warpgan.methods.mean_latent import MeanLatent
from warpgan.methods.true_latent import TrueLatent, photo_key
from warpgan.warp import ray_stretch


@pytest.fixture(scope="module")
def generator():
    return build_generator()


@pytest.fixture(scope="module")
def encoder(generator):
    return build_encoder(generator)


def photos(count: int, seed: int = 0) -> torch.Tensor:
    levels = torch.randint(
        0, 256, (count, 3, SIZE, SIZE), generator=torch.Generator().manual_seed(seed)
    )
    return levels / 127.5 - 1


def cameras(batch: int) -> torch.Tensor:
    return look_at([-40.0, 0.0, 25.0], 5.0)[None].expand(batch, -1, -1)


def test_views_are_the_generator_at_the_encoder_s_latent(generator, encoder):
    method = EncoderInversion(encoder, generator)
    photo = photos(2)
    views = method.invert(photo, frontal_label().expand(2, -1)).render(cameras(2))
    ws = encoder(photo)
    drawn = generator.render(generator.planes(ws), ws, cameras(2))
    assert views.image.shape == (2, 3, 3, SIZE, SIZE)
    assert views.depth_z.shape == (2, 3, 1, SIZE, SIZE)
    assert torch.equal(views.image, drawn.image)
    assert views.seconds > 0


def test_depth_is_z_not_ray_length(generator, monkeypatch):
    """A wall at z = 2.5 in front of every camera is flat in the enlarged depth."""
    ws = generator.mapping(torch.zeros(1, generator.z_dim), frontal_label())
    side = generator.neural_rendering_resolution
    drawn = generator.render(generator.planes(ws), ws, cameras(1))
    wall = replace(drawn, ray_length=2.5 * ray_stretch(cameras(1), side, side))
    monkeypatch.setattr(generator, "render", lambda *_: wall)
    views = LatentInversion(generator, ws, seconds=0.0).render(cameras(1))
    assert views.depth_z.shape[-1] == SIZE > side
    assert (views.depth_z - 2.5).abs().max() < 1e-6


def test_planes_are_painted_once(generator, encoder, monkeypatch):
    calls = []
    paint = generator.planes
    monkeypatch.setattr(generator, "planes", lambda ws: calls.append(1) or paint(ws))
    inversion = EncoderInversion(encoder, generator).invert(photos(1), frontal_label())
    inversion.render(cameras(1))
    inversion.render(cameras(1))
    assert len(calls) == 1


def test_batch_size_changes_nothing(generator, encoder):
    method = EncoderInversion(encoder, generator)
    photo = photos(3)
    label = frontal_label().expand(3, -1)
    whole = method.invert(photo, label).render(cameras(3)).image
    single = [method.invert(photo[i : i + 1], label[:1]).render(cameras(1)).image for i in range(3)]
    assert (whole - torch.cat(single)).abs().max() < 1e-5 * whole.abs().max()


def test_mean_latent_ignores_the_photo(generator, encoder):
    method = MeanLatent(generator)
    views = method.invert(photos(2), frontal_label().expand(2, -1)).render(cameras(2))
    assert torch.equal(views.image[0], views.image[1])
    ws = generator.mean_latent().expand(1, generator.num_ws, -1)
    drawn = generator.render(generator.planes(ws), ws, cameras(1))
    assert torch.allclose(views.image[:1], drawn.image, atol=1e-6)


def test_mean_latent_takes_the_encoder_s(generator, encoder):
    shifted = build_encoder(generator)
    shifted.latent_avg += 1.0
    method = build.mean_latent(Models(generator, shifted))
    assert torch.equal(method.latent, shifted.latent_avg)
    assert torch.equal(
        build.mean_latent(Models(generator, None)).latent[0], generator.mean_latent()
    )


def test_untrained_copy_has_fresh_weights_and_leaves_the_random_state(generator, encoder):
    state = torch.random.get_rng_state()
    first, again, other = (untrained_copy(encoder, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(torch.random.get_rng_state(), state)
    weights = [torch.cat([p.flatten() for p in m.parameters()]) for m in (first, again, other)]
    trained = torch.cat([p.flatten() for p in encoder.parameters()])
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert not torch.equal(weights[0], trained) and weights[0].shape == trained.shape
    assert torch.equal(first.latent_avg, encoder.latent_avg)
    assert not first.training and not any(p.requires_grad for p in first.parameters())


def test_true_latent_finds_its_photo(generator):
    photo = photos(3)
    latents = torch.randn(3, generator.z_dim)
    table = {photo_key(p): z for p, z in zip(photo, latents, strict=True)}
    method = TrueLatent(generator, table)
    inversion = method.invert(photo[[2, 0]], frontal_label().expand(2, -1))
    expected = generator.mapping(latents[[2, 0]], frontal_label().expand(2, -1))
    assert torch.equal(inversion.ws, expected)
    with pytest.raises(KeyError, match="photo 1 of the batch has no known latent"):
        method.invert(torch.stack([photo[0], -photo[0]]), frontal_label().expand(2, -1))


def test_true_latent_needs_latents_of_this_generator(generator):
    with pytest.raises(ValueError, match="was not distilled from this world"):
        TrueLatent(generator, {"a": torch.zeros(generator.z_dim + 1)})
    with pytest.raises(ValueError, match="latents are known"):
        build.true_latent(Models(generator, None))


def test_an_encoder_of_another_generator_is_refused(generator, encoder):
    encoder = build_encoder(generator)
    encoder.num_ws += 1
    with pytest.raises(ValueError, match="not made for each other"):
        EncoderInversion(encoder, generator)
    with pytest.raises(ValueError, match="needs an encoder"):
        build.encoder(Models(generator, None))
