"""Randomness as a pure function of (seed, step, global sample index), never of a rank.

A draw depends on what it is for and on which sample it is for. Two processes therefore draw what
one would, and a resumed run draws what an uninterrupted one would, without any stored stream
position.
"""

import hashlib

import torch


def fold_seed(*parts: int | str) -> int:
    """Mix any number of integers and words into one seed.

    Args:
        *parts: The coordinates of the draw, e.g. ``(seed, "mirror", step, index)``.

    Returns:
        An integer in [0, 2**63), equal for equal parts on every machine and Python version.
    """
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def sample_generator(
    seed: int, step: int, *, index: int, purpose: str, device: torch.device | str = "cpu"
) -> torch.Generator:
    """Open the stream of one sample at one step.

    Args:
        seed: The run's seed.
        step: Optimiser step, from 0.
        index: Global index of the sample within the step's global batch, from 0.
        purpose: What is drawn; different purposes give independent streams.
        device: Device of the tensors that will be drawn.

    Returns:
        A seeded generator on ``device``.
    """
    generator = torch.Generator(device=device)
    generator.manual_seed(fold_seed(seed, purpose, step, index))
    return generator


def seed_dropout(seed: int, step: int, *, index: int) -> None:
    """Seed the global generators, which library dropout and drop-path draw from.

    Args:
        seed: The run's seed.
        step: Optimiser step, from 0.
        index: Global index of the first sample of the micro-batch that follows. It, and not the
            rank, tells processes and accumulated micro-batches apart.
    """
    torch.manual_seed(fold_seed(seed, "dropout", step, index))
