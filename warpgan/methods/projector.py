"""Inversion by optimising a latent, StyleGAN2's projector (Karras et al. 2020, appendix D).

```
ws = w + noise_strength w_std max(0, 1 - t / noise_ramp)^2 N(0, 1)          t = step / steps
loss = perceptual(render, photo) + 1e5 noise_regularisation [+ pixel_weight MSE]
```
One w for all layers (space ``w``) or one a layer (``w_plus``), from the mean latent, and the noise
maps of the backbone. The generator is frozen and left bit for bit as it was. The perceptual
distance is StyleGAN2's squared distance of VGG16 features with LPIPS's heads, which is LPIPS; the
published code reads it from NVIDIA's TorchScript file, ours from torchvision's VGG16.
"""

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor
from tqdm import trange

from eg3d import TriPlaneGenerator
from warpgan.cameras import frontal_label
from warpgan.denormals import flushed_denormals
from warpgan.losses import terms
from warpgan.losses.encoder import pooled
from warpgan.methods.noise_maps import (
    drawn_like,
    noise_maps,
    noise_regularisation,
    normal_numbers,
    paint,
    standardise,
)
from warpgan.perception import PerceptualNet

Space = Literal["w", "w_plus"]
Conditioning = Literal["frontal", "own"]


@dataclass(frozen=True)
class ProjectorSettings:
    """How a latent is optimised; the defaults are the published ones at 512 px.

    Attributes:
        space: ``"w"``, one code for all layers, or ``"w_plus"``.
        steps: of Adam.
        learning_rate: at its highest.
        ramp_up: share of the steps in which it rises linearly.
        ramp_down: share of the steps, at the end, in which it falls as a cosine.
        noise_strength: of the exploration noise, in standard deviations of w.
        noise_ramp: share of the steps after which that noise is 0.
        noise_regularisation: weight of `noise_regularisation`.
        samples: random latents for the mean and the standard deviation of w.
        samples_seed: of numpy's ``RandomState`` that draws them.
        conditioning: camera that the mapping is given with them: ``"frontal"``, or the photo's
            ``"own"``.
        truncation: of the mapping; 1 for none.
        perceptual: name of the perceptual net.
        perceptual_weight: of its distance; not computed at 0.
        loss_size: side in pixels to which larger pictures are averaged for the comparison.
        pixel_weight: of the mean squared error; published: 0.
    """

    space: Space = "w_plus"
    steps: int = 500
    learning_rate: float = 0.01
    ramp_up: float = 0.05
    ramp_down: float = 0.25
    noise_strength: float = 0.05
    noise_ramp: float = 0.75
    noise_regularisation: float = 1e5
    samples: int = 600
    samples_seed: int = 123
    conditioning: Conditioning = "frontal"
    truncation: float = 1.0
    perceptual: str = "lpips_vgg"
    perceptual_weight: float = 1.0
    loss_size: int = 256
    pixel_weight: float = 0.0

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ValueError: a choice that does not exist, or a number out of range.
        """
        for name, choice in (("space", Space), ("conditioning", Conditioning)):
            if getattr(self, name) not in get_args(choice):
                raise ValueError(
                    f"projector.{name}={getattr(self, name)!r} is not known; choose one of "
                    f"{', '.join(get_args(choice))}"
                )
        for name in ("steps", "samples", "loss_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"projector.{name}={getattr(self, name)} must be at least 1")
        for name in ("ramp_up", "ramp_down", "noise_ramp"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"projector.{name}={getattr(self, name)} must be in (0, 1]")
        for name in ("perceptual_weight", "pixel_weight", "noise_regularisation", "learning_rate"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"projector.{name}={getattr(self, name)} must be 0 or more")


@dataclass(frozen=True)
class LatentStatistics:
    """Mean of w ``[w_dim]``, and the root of its mean squared distance from it."""

    mean: Tensor
    deviation: float


@dataclass(frozen=True)
class Projection:
    """What `project` found.

    Attributes:
        ws: ``[1, num_ws, w_dim]``.
        noise: the optimised maps by name, see `noise_maps`.
        losses: ``[steps]`` float32 on the CPU, the whole loss of each step.
    """

    ws: Tensor
    noise: dict[str, Tensor]
    losses: Tensor


@torch.no_grad()
def latent_statistics(
    generator: TriPlaneGenerator, camera: Tensor, settings: ProjectorSettings
) -> LatentStatistics:
    """Sample w.

    Args:
        generator: in eval mode.
        camera: ``[1, 25]`` of the photo, used with conditioning ``"own"`` only.
        settings: how many samples, and which.
    """
    like = generator.mean_latent()
    shape = (settings.samples, generator.z_dim)
    draws = np.random.RandomState(settings.samples_seed).randn(*shape).astype(np.float32)
    label = frontal_label() if settings.conditioning == "frontal" else camera
    ws = generator.mapping(
        torch.from_numpy(draws).to(like),
        label.to(like).expand(settings.samples, -1),
        truncation_psi=settings.truncation,
    )[:, 0].double()
    mean = ws.mean(0)
    deviation = (ws - mean).square().sum(1).mean().sqrt()
    return LatentStatistics(mean.to(like.dtype), float(deviation))


def learning_rate(t: float, settings: ProjectorSettings) -> float:
    """Learning rate at the share ``t`` of the steps."""
    ramp = min(1.0, (1 - t) / settings.ramp_down)
    ramp = 0.5 - 0.5 * math.cos(math.pi * ramp)
    return settings.learning_rate * ramp * min(1.0, t / settings.ramp_up)


def exploration(t: float, settings: ProjectorSettings) -> float:
    """Exploration noise at the share ``t`` of the steps, in standard deviations of w."""
    return settings.noise_strength * max(0.0, 1 - t / settings.noise_ramp) ** 2


@torch.enable_grad()
def project(
    generator: TriPlaneGenerator,
    photo: Tensor,
    camera: Tensor,
    *,
    settings: ProjectorSettings,
    perceptual: PerceptualNet,
    seed: int,
    statistics: LatentStatistics | None = None,
    progress: bool = True,
) -> Projection:
    """Find the latent and the noise maps whose render resembles a photo.

    Args:
        generator: frozen, in eval mode.
        photo: ``[1, 3, S, S]`` in [-1, 1].
        camera: its label ``[1, 25]``.
        settings: of the optimisation.
        perceptual: the judge, on the generator's device.
        seed: of noise maps and exploration, drawn on the CPU.
        statistics: of w, where they are known.
        progress: show a bar with the time left.

    Returns:
        Latent, maps and losses.
    """
    found = statistics or latent_statistics(generator, camera, settings)
    random = torch.Generator().manual_seed(seed)
    count = 1 if settings.space == "w" else generator.num_ws
    latent = found.mean.expand(1, count, -1).clone().requires_grad_(True)
    noise = drawn_like(noise_maps(generator), random)
    variables = [latent, *(level.requires_grad_(True) for level in noise.values())]
    optimiser = torch.optim.Adam(variables, lr=settings.learning_rate)
    target = pooled(photo, settings.loss_size)
    losses = []
    bar = trange(
        settings.steps, desc=settings.space, leave=False, disable=None if progress else True
    )
    with flushed_denormals():
        for step in bar:
            t = step / settings.steps
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(t, settings)
            draw = normal_numbers(latent.shape, random, like=latent)
            scale = found.deviation * exploration(t, settings)
            ws = (latent + scale * draw).expand(-1, generator.num_ws, -1)
            image = generator.render(paint(generator, ws, noise), ws, camera).image
            image = pooled(image, settings.loss_size)
            loss = settings.noise_regularisation * noise_regularisation(noise)
            if settings.perceptual_weight:
                distance = terms.perceptual(image, target, net=perceptual)
                loss = loss + settings.perceptual_weight * distance
            if settings.pixel_weight:
                loss = loss + settings.pixel_weight * terms.mse(image, target)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            standardise(noise)
            losses.append(loss.detach())
    return Projection(
        ws=latent.detach().repeat(1, generator.num_ws // count, 1),
        noise={name: level.detach() for name, level in noise.items()},
        losses=torch.stack(losses).float().cpu(),
    )
