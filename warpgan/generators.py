"""Generators for the entry points: by name of the weights table, from a file, or random."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import eg3d
from warpgan import weights as weight_files
from warpgan.cameras import frontal_label

MEAN_SAMPLES = 10_000
MEAN_SEED = 123
_BATCH = 1000


def named_generator(
    weights: str,
    *,
    plane_axes: str | None = None,
    neural_rendering_resolution: int | None = None,
) -> eg3d.TriPlaneGenerator:
    """Load a frozen generator.

    Args:
        weights: A name of the weights table, e.g. ``eg3d_mini``, or the path of a file.
        plane_axes: ``released`` or ``fixed`` instead of what the file says.
        neural_rendering_resolution: Rays a side instead of what the file says.

    Returns:
        The generator on the CPU, in eval mode, without gradients on its weights.

    Raises:
        FileNotFoundError: If the file is absent; the message says where it goes.
        ValueError: If it is not a usable generator.
    """
    path = Path(weights) if _is_path(weights) else weight_files.resolve(weights)
    return eg3d.load_generator(
        path, plane_axes=plane_axes, neural_rendering_resolution=neural_rendering_resolution
    )


def _is_path(weights: str) -> bool:
    return "/" in weights or Path(weights).suffix != ""


def random_generator(
    init_kwargs: Mapping[str, Any],
    *,
    seed: int = 0,
    neural_rendering_resolution: int | None = None,
    plane_axes: str = "released",
) -> eg3d.TriPlaneGenerator:
    """Build a frozen generator with random weights, for dry runs without files.

    Args:
        init_kwargs: The official init kwargs, see `eg3d.build_generator`.
        seed: Seed of the weights; the global generator is left as it was.
        neural_rendering_resolution: Rays a side.
        plane_axes: ``released`` or ``fixed``.

    Returns:
        The generator on the CPU, in eval mode, without gradients on its weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        generator = eg3d.build_generator(
            init_kwargs,
            neural_rendering_resolution=neural_rendering_resolution,
            plane_axes=plane_axes,
        )
    return generator.eval().requires_grad_(False)


@torch.no_grad()
def sampled_mean_latent(
    generator: eg3d.TriPlaneGenerator, *, count: int = MEAN_SAMPLES, seed: int = MEAN_SEED
) -> Tensor:
    """Mean of w over sampled z at the frontal camera, as the released encoder's average was made.

    Args:
        generator: The generator, on any device.
        count: Number of samples.
        seed: Seed of numpy's ``RandomState``, which the released script draws from.

    Returns:
        [w_dim] float32 on the generator's device.
    """
    reference = generator.mean_latent()
    draws = np.random.RandomState(seed).randn(count, generator.z_dim).astype(np.float32)
    camera = frontal_label().to(reference).reshape(1, -1)
    total = torch.zeros(generator.w_dim, dtype=torch.float64, device=reference.device)
    for z in torch.from_numpy(draws).to(reference).split(_BATCH):
        ws = generator.mapping(z, camera.expand(len(z), -1))
        total += ws[:, 0].double().sum(0)
    return (total / count).float()
