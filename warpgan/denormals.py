"""Gradients too small for a normal float, which a CPU computes many times slower than others.

Behind an opaque surface a ray's samples count next to nothing, and so do their gradients: most of a
backward pass through the volume was spent on numbers below 1e-38, which change no result.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

DENORMAL = 1e-39


def denormals_are_zero() -> bool:
    """Whether this thread's float32 arithmetic takes denormal numbers for zero."""
    return not bool(torch.full((), DENORMAL, dtype=torch.float32) * 1.0 != 0)


@contextmanager
def flushed_denormals() -> Iterator[None]:
    """Take denormal numbers for zero inside a ``with`` statement, where the CPU can."""
    before = denormals_are_zero()
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)
