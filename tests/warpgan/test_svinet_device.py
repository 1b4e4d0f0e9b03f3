"""SVINet's half of the device proof: no turn leaves the device of its inputs.

Full size (``preset=paper`` and ``official``): passes, losses, optimiser steps and views on fake
CUDA, backward on ``meta``. Tiny: real numbers in float32 and under bfloat16 autocast. See
`test_fake_device` for what this cannot show.
"""

from dataclasses import dataclass

import pytest
import torch
from torch import nn

from tests.warpgan.device_proof import OneDevice, fake_cuda, move_to_fake_cuda
from warpgan.cameras import look_at
from warpgan.cli import build_node, compose_config
from warpgan.data.view_pairs import RealViews, SyntheticViews
from warpgan.encoders.inversion import InversionEncoder
from warpgan.pipeline import WarpGAN
from warpgan.svinet import SVINet
from warpgan.training.svinet_step import (
    DiscriminatorObjective,
    InpaintingPasses,
    SVINetModules,
    svinet_turn,
)

# R1 runs a backward pass, which torch's engine cannot on fake CUDA: it is proven on meta below.
NO_R1 = "svinet_losses.weights.r1=0"
DRY = ("svinet_losses.pretrained=false", "data.path=none")
PAPER = ("preset=paper", "generator=random_full", *DRY)
OFFICIAL = ("preset=official", "generator=random_full", *DRY)
TINY = ("generator=random_tiny", "scale=tiny", *DRY)


@dataclass(frozen=True)
class Parts:
    modules: SVINetModules
    svinet: SVINet
    generator: nn.Module
    size: int
    rays: int

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        modules = self.modules
        own = (self.svinet, modules.discriminator, modules.losses, modules.encoder)
        return (*own, self.generator)


def build_parts(words) -> Parts:
    config = compose_config("train_svinet", list(words))
    encoders = compose_config("train", [w for w in words if "svinet" not in w])
    generator = build_node(config, "generator").eval().requires_grad_(False)
    codes = {"num_ws": generator.num_ws, "w_dim": generator.w_dim}
    torch.manual_seed(0)
    encoder = InversionEncoder(build_node(encoders, "encoder", **codes), generator.mean_latent())
    svinet = build_node(config, "svinet", **codes).train()
    discriminator = build_node(config, "discriminator").train()
    losses = build_node(config, "svinet_losses").eval()
    passes = InpaintingPasses(
        svinet.network, build_node(config, "geometry"), symmetry=svinet.symmetry,
        rewarped=config.train.rewarped,
    )  # fmt: skip
    modules = SVINetModules(
        passes, DiscriminatorObjective(discriminator, losses), discriminator, losses,
        encoder.eval().requires_grad_(False),
    )  # fmt: skip
    rays = generator.neural_rendering_resolution
    return Parts(modules, svinet, generator, config.scale.image_size, rays)


def views(parts: Parts, kind: str, *, device: str, filled: bool = False, count: int = 1):
    """A batch without content, or one of random pictures and a plane of depth."""
    draws = torch.Generator().manual_seed(1)

    def image():
        shape = (count, 3, parts.size, parts.size)
        return torch.rand(shape, generator=draws) if filled else torch.empty(shape, device=device)

    def length():
        shape = (count, 1, parts.rays, parts.rays)
        return torch.full(shape, 2.7) if filled else torch.empty(shape, device=device)

    def camera(yaw):
        if filled:
            return look_at(yaw, 0.0).expand(count, -1)
        return torch.empty(count, 25, device=device)

    shape = (count, parts.generator.num_ws, parts.generator.w_dim)
    ws = torch.randn(shape, generator=draws) if filled else torch.empty(shape, device=device)
    names = ("nobody.png",) * count
    if kind == "real":
        return RealViews(
            photo=image(), camera=camera(5.0), novel_camera=camera(-20.0), ws=ws,
            ray_length=length(), novel_ray_length=length(), render=image(), novel_render=image(),
            names=names,
        )  # fmt: skip
    return SyntheticViews(
        source=image(), target=image(), camera=camera(5.0), target_camera=camera(25.0), ws=ws,
        ray_length=length(), target_ray_length=length(), target_render=image(), names=names,
    )  # fmt: skip


def discriminator_turn(parts: Parts, result) -> torch.Tensor:
    return parts.modules.objective(result.real, result.fakes, result.holes)[0]


@pytest.mark.parametrize("kind", ["real", "synthetic"])
@pytest.mark.parametrize("words", [PAPER, OFFICIAL], ids=["paper", "official"])
def test_a_turn_on_fake_cuda(words, kind):
    parts = build_parts([*words, NO_R1])
    with fake_cuda() as watch:
        move_to_fake_cuda(*parts.networks)
        result = svinet_turn(parts.modules, views(parts, kind, device="cuda"))
        total = discriminator_turn(parts, result)
        for value in (result.total, total, *result.terms.values(), *result.fakes):
            assert value.device.type == "cuda"
        assert {"mae", "perceptual", "identity", "latent", "adversarial"} <= result.terms.keys()
        assert watch.operators > 500
        for network in (parts.svinet, parts.modules.discriminator):
            optimizer = torch.optim.Adam(network.parameters())
            for parameter in network.parameters():
                parameter.grad = torch.empty_like(parameter)
            optimizer.step()


def test_novel_views_on_fake_cuda():
    parts = build_parts(PAPER)
    config = compose_config("train_svinet", list(PAPER))
    model = WarpGAN(
        parts.generator, parts.modules.encoder, parts.svinet.eval(), build_node(config, "geometry")
    )
    with torch.no_grad(), fake_cuda():
        move_to_fake_cuda(*parts.networks)
        photo = torch.empty(1, 3, 512, 512, device="cuda")
        face = model.invert(photo, torch.empty(1, 25, device="cuda"))
        seen = face.views(torch.empty(1, 2, 25, device="cuda"))
        assert seen.image.shape == (1, 2, 3, 512, 512)
        for value in vars(seen).values():
            assert value.device.type == "cuda"


@pytest.mark.parametrize("kind", ["real", "synthetic"])
@pytest.mark.parametrize("words", [PAPER, TINY], ids=["paper", "tiny"])
def test_backward_on_meta(words, kind):
    parts = build_parts(words)
    for network in parts.networks:
        network.to("meta")
    with OneDevice("meta"):
        parts.modules.discriminator.requires_grad_(False)
        result = svinet_turn(parts.modules, views(parts, kind, device="meta"))
        result.total.backward()
        parts.modules.discriminator.requires_grad_(True)
        discriminator_turn(parts, result).backward()
    for network in (parts.svinet, parts.modules.discriminator):
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None and parameter.grad.device.type == "meta", name
    assert all(p.grad is None for p in parts.modules.encoder.parameters())


def planted_modules(parts: Parts, part: str) -> nn.Module:
    return {"svinet": parts.svinet, "discriminator": parts.modules.discriminator}[part]


@pytest.mark.parametrize("part", ["svinet", "discriminator"])
def test_a_planted_cpu_parameter_is_noticed(part):
    parts = build_parts([*TINY, NO_R1])
    network = planted_modules(parts, part)
    name = next(name for name, p in network.named_parameters() if p.ndim == 4)
    owner, _, leaf = name.rpartition(".")
    owner = network.get_submodule(owner)
    tensor = getattr(owner, leaf).detach()
    delattr(owner, leaf)
    setattr(owner, leaf, tensor)
    with pytest.raises((RuntimeError, AssertionError)), fake_cuda():
        move_to_fake_cuda(*parts.networks)
        discriminator_turn(parts, svinet_turn(parts.modules, views(parts, "real", device="cuda")))


@pytest.mark.parametrize("kind", ["real", "synthetic"])
def test_real_numbers_in_both_precisions(kind):
    totals, gradients = [], []
    for half in (False, True):
        parts = build_parts(TINY)
        batch = views(parts, kind, device="cpu", filled=True, count=2)
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            result = svinet_turn(parts.modules, batch)
        result.total.backward()
        gradients.append(torch.cat([p.grad.flatten() for p in parts.svinet.parameters()]))
        totals.append(result.total.item())
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert totals[1] == pytest.approx(totals[0], rel=0.05) and totals[1] != totals[0]
    assert nn.functional.cosine_similarity(*gradients, dim=0) > 0.9
