"""Proof without a GPU that no step leaves the device of its inputs.

Full size (``preset=paper``): forward, losses and optimiser step on fake CUDA, backward on ``meta``.
Tiny: forward, losses, backward and step with real numbers on the CPU, in float32 and under bfloat16
autocast. What this cannot show (kernels, memory, speed, numerics of a real GPU) the README says.
"""

from collections.abc import Callable

import pytest
import torch
from hydra.utils import instantiate
from torch import nn

from tests.warpgan.device_proof import (
    OneDevice,
    empty_batch,
    fake_cuda,
    move_to_fake_cuda,
    trainable,
)
from warpgan.cameras import look_at
from warpgan.cli import compose_config
from warpgan.encoders.inversion import InversionEncoder
from warpgan.training.batch import Batch
from warpgan.training.encoder_step import EncoderModules, train_step

PAPER = ["preset=paper", "generator=random_full", "data.path=none"]
TINY = ["generator=random_tiny", "scale=tiny"]


def build_modules(words: list[str], *, checkpointing: bool = False) -> EncoderModules:
    """The networks of a run with random weights, on the CPU, the encoder in training mode."""
    config = compose_config("train", words)
    generator = instantiate(config.generator, _convert_="all").eval().requires_grad_(False)
    torch.manual_seed(0)
    encoder = instantiate(
        config.encoder, num_ws=generator.num_ws, w_dim=generator.w_dim, _convert_="all"
    )
    inversion = InversionEncoder(encoder, generator.mean_latent()).train()
    losses = instantiate(config.losses, pretrained=False, _convert_="all").eval()
    return EncoderModules(
        encoder=inversion,
        generator=generator,
        losses=losses,
        latent_avg=inversion.latent_avg,
        activation_checkpointing=checkpointing,
    )


def on_fake_cuda(modules: EncoderModules) -> EncoderModules:
    move_to_fake_cuda(modules.encoder, modules.generator, modules.losses)
    return EncoderModules(
        encoder=modules.encoder,
        generator=modules.generator,
        losses=modules.losses,
        latent_avg=modules.encoder.latent_avg,
    )


def size_of(words: list[str]) -> int:
    return compose_config("train", words).scale.image_size


@pytest.mark.parametrize(
    "words", [PAPER, [*TINY, "encoder=psp", "losses=paper"]], ids=["paper", "psp"]
)
def test_step_on_fake_cuda(words):
    size = size_of(words)
    modules = build_modules(words)
    optimizer_of = instantiate(compose_config("train", words).optimizer, _convert_="all")
    with fake_cuda() as watch:
        modules = on_fake_cuda(modules)
        result = train_step(modules, empty_batch(size, device="cuda", count=2), 0)
        assert result.image.shape == (2, 3, size, size)
        assert set(result.terms) >= {"mse", "perceptual", "identity"}
        for value in (result.total, result.image, *result.terms.values()):
            assert value.device.type == "cuda"
        assert watch.operators > 300
        assert result.total.requires_grad
        optimizer = optimizer_of(trainable(modules))
        for _ in range(7):  # past the look-ahead, which moves every sixth step
            for parameter in trainable(modules):
                parameter.grad = torch.empty_like(parameter)
            optimizer.step()
        state = [t for entry in optimizer.state.values() for t in entry.values()]
        assert {t.device.type for t in state if isinstance(t, torch.Tensor)} == {"cuda"}


def test_paper_generator_on_fake_cuda():
    generator = build_modules(PAPER).generator
    with torch.no_grad(), fake_cuda():
        move_to_fake_cuda(generator)
        cameras = torch.empty(1, 2, 25, device="cuda")
        z = torch.empty(1, generator.z_dim, device="cuda")
        ws = generator.mapping(z, cameras[:, 0], truncation_psi=0.7)
        planes = generator.planes(ws)
        drawn = generator.render(planes, ws, cameras)
        found = generator.query(planes, torch.empty(1, 5, 3, device="cuda"))
        assert drawn.image.shape == (1, 2, 3, 512, 512)
        for value in (*vars(drawn).values(), *vars(found).values()):
            assert value.device.type == "cuda"


def plant(module: nn.Module, name: str) -> None:
    """Turn a registered tensor into a plain attribute, which no ``.to`` moves."""
    owner, _, leaf = name.rpartition(".")
    owner = module.get_submodule(owner)
    value = dict(owner.named_buffers(recurse=False)) | dict(owner.named_parameters(recurse=False))
    tensor = value[leaf].detach()
    delattr(owner, leaf)
    setattr(owner, leaf, tensor)


def first_buffer(module: nn.Module, ending: str) -> str:
    return next(n for n, b in module.named_buffers() if n.endswith(ending) and b.ndim)


PLANTS: dict[str, Callable[[EncoderModules], tuple[nn.Module, str]]] = {
    "encoder": lambda m: (m.encoder, "latent_avg"),
    "generator": lambda m: (m.generator, first_buffer(m.generator, "noise_const")),
    "losses": lambda m: (m.losses, next(n for n, b in m.losses.named_buffers() if b.ndim)),
}


@pytest.mark.parametrize("part", PLANTS)
def test_a_planted_cpu_buffer_is_noticed(part):
    modules = build_modules(TINY)
    plant(*PLANTS[part](modules))
    with pytest.raises((RuntimeError, AssertionError)), fake_cuda():
        move_to_fake_cuda(modules.encoder, modules.generator, modules.losses)
        latent_avg = torch.empty(modules.encoder.w_dim, device="cuda")
        modules = EncoderModules(modules.encoder, modules.generator, modules.losses, latent_avg)
        train_step(modules, empty_batch(32, device="cuda"), 0)


def test_without_a_plant_the_same_step_runs():
    modules = build_modules(TINY)
    with fake_cuda():
        train_step(on_fake_cuda(modules), empty_batch(32, device="cuda"), 0)


def test_a_tensor_made_on_the_cpu_is_noticed():
    with pytest.raises(RuntimeError, match="touches a tensor on cpu"), fake_cuda():
        torch.zeros(3) + 1


@pytest.mark.parametrize(
    ("words", "checkpointing"), [(PAPER, False), (TINY, True)], ids=["paper", "checkpointed"]
)
def test_backward_on_meta(words, checkpointing):
    modules = build_modules(words, checkpointing=checkpointing)
    for module in (modules.encoder, modules.generator, modules.losses):
        module.to("meta")
    modules = EncoderModules(
        encoder=modules.encoder,
        generator=modules.generator,
        losses=modules.losses,
        latent_avg=modules.encoder.latent_avg,
        activation_checkpointing=checkpointing,
    )
    with OneDevice("meta"):
        train_step(modules, empty_batch(size_of(words), device="meta"), 0).total.backward()
    for name, parameter in modules.encoder.named_parameters():
        assert parameter.grad is not None and parameter.grad.device.type == "meta", name
    assert all(p.grad is None for p in modules.generator.parameters())


def real_batch() -> Batch:
    generator = torch.Generator().manual_seed(1)
    photo = torch.rand(2, 3, 32, 32, generator=generator) * 2 - 1
    return Batch(photo, look_at([-20.0, 10.0], 0.0), ("a.png", "b.png"))


def step_on_cpu(dtype: torch.dtype | None) -> tuple[float, torch.Tensor]:
    """Total and encoder gradient of the tiny step; the optimiser step must change the weights."""
    modules = build_modules(TINY)
    torch.manual_seed(1)
    with torch.autocast("cpu", dtype or torch.bfloat16, enabled=dtype is not None):
        result = train_step(modules, real_batch(), 0)
    result.total.backward()
    parameters = trainable(modules)
    missing = [n for n, p in modules.encoder.named_parameters() if p.grad is None]
    assert not missing
    gradient = torch.cat([p.grad.flatten() for p in parameters])
    before = torch.cat([p.detach().flatten() for p in parameters])
    config = compose_config("train", TINY)
    instantiate(config.optimizer, _convert_="all")(parameters).step()
    after = torch.cat([p.detach().flatten() for p in parameters])
    assert after.isfinite().all() and not torch.equal(before, after)
    return result.total.item(), gradient


def test_real_step_on_the_cpu_in_both_precisions():
    total, gradient = step_on_cpu(None)
    half_total, half_gradient = step_on_cpu(torch.bfloat16)
    assert gradient.isfinite().all() and gradient.abs().max() > 0
    assert half_gradient.isfinite().all() and half_gradient.dtype == torch.float32
    assert half_total == pytest.approx(total, rel=0.05)
    assert half_total != total, "bfloat16 was really used"
    cosine = torch.nn.functional.cosine_similarity(gradient, half_gradient, dim=0)
    assert cosine > 0.9
