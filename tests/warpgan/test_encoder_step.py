"""The encoder's training step: values, gradients, strided rays, activation checkpointing."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from tests.warpgan.training_world import TINY
from warpgan.cameras import look_at
from warpgan.cli import compose_config
from warpgan.training.batch import Batch
from warpgan.training.encoder_step import (
    EncoderModules,
    render_raw_view,
    render_view,
    squared_error,
    train_step,
)
from warpgan.training.start import build_generator, build_inversion_encoder, build_node, read_config


def tiny_modules(*words: str) -> EncoderModules:
    config = compose_config("train", [*TINY, *words])
    settings = read_config(config)
    generator = build_generator(config, settings)
    encoder = build_inversion_encoder(config, settings, generator)
    return EncoderModules(
        encoder=encoder,
        generator=generator,
        losses=build_node(config, "losses"),
        latent_avg=encoder.latent_avg,
        render_rays=8,
    )


@pytest.fixture(scope="module")
def world():
    torch.set_num_threads(1)
    modules = tiny_modules()
    draws = torch.Generator().manual_seed(0)
    photo = torch.rand(3, 3, 32, 32, generator=draws) * 2 - 1
    return modules, Batch(photo, look_at([-20.0, 0.0, 30.0], [0.0, 5.0, -5.0]), ("a", "b", "c"))


def gradients(modules, batch, step=0):
    modules.encoder.zero_grad()
    result = train_step(modules, batch, step)
    result.total.backward()
    return [p.grad.clone() for p in modules.encoder.parameters() if p.grad is not None]


def test_the_step_renders_at_the_photos_camera_and_weighs_its_terms(world):
    modules, batch = world
    result = train_step(modules, batch, 0)
    ws = modules.encoder(batch.photo)
    expected = render_view(modules.generator, ws, batch.camera, 8)
    torch.testing.assert_close(result.image, expected)
    torch.testing.assert_close(result.terms["mse"], nn.functional.mse_loss(expected, batch.photo))
    torch.testing.assert_close(result.total.detach(), result.terms["mse"])


@pytest.mark.parametrize("encoder", ["swin", "psp"])
def test_gradients_reach_every_weight_of_the_encoder_and_none_of_the_generator(world, encoder):
    modules, batch = tiny_modules(f"encoder={encoder}"), world[1]
    assert len(gradients(modules, batch)) == len(list(modules.encoder.parameters()))
    assert all(p.grad is None for p in modules.generator.parameters())


def test_activation_checkpointing_changes_no_gradient(world):
    modules, batch = world
    plain = gradients(modules, batch)
    saved = gradients(replace(modules, activation_checkpointing=True), batch)
    for a, b in zip(plain, saved, strict=True):
        torch.testing.assert_close(a, b)


def test_the_raw_view_is_the_renders_raw_image(world):
    modules, batch = world
    ws = modules.encoder(batch.photo).detach()
    planes = modules.generator.planes(ws)
    expected = modules.generator.render(planes, ws, batch.camera, resolution=8).image_raw
    torch.testing.assert_close(
        render_raw_view(modules.generator, ws, batch.camera, 8), expected, atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize("stride", [2, 4])
def test_strided_rays_keep_the_values_and_add_up_to_the_full_gradient(world, stride):
    modules, batch = world
    generator = modules.generator
    weight = torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(1))

    def run(**options):
        ws = modules.encoder(batch.photo).detach().requires_grad_()
        image = render_raw_view(generator, ws, batch.camera, 8, **options)
        (image * weight).sum().backward()
        return image.detach(), ws.grad

    full_image, full = run()
    total = torch.zeros_like(full)
    for step in range(stride**2):
        image, part = run(stride=stride, step=step)
        torch.testing.assert_close(image, full_image, atol=1e-5, rtol=1e-5)
        assert not torch.allclose(part, full, rtol=1e-2)
        total += part / stride**2
    torch.testing.assert_close(total, full, atol=1e-4 * float(full.abs().max()), rtol=1e-3)


def test_bf16_on_the_cpu_gives_finite_gradients_near_those_of_float32(world):
    modules, batch = world
    exact = torch.cat([g.flatten() for g in gradients(modules, batch)])
    with torch.autocast("cpu", torch.bfloat16):
        rough = torch.cat([g.flatten() for g in gradients(modules, batch)])
    assert torch.isfinite(rough).all()
    assert nn.functional.cosine_similarity(exact, rough, dim=0) > 0.9


def test_the_squared_error_is_taken_at_the_photos_size():
    photo = torch.zeros(2, 3, 8, 8)
    image = torch.full((2, 3, 16, 16), 0.5)
    image[1] = 7.0
    assert squared_error(image, photo).tolist() == [0.25, 1.0]
