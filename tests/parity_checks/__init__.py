"""Checks of golden vectors, one module a topic.

Each module has ``FILES``: golden file name -> ``check(folder) -> list[Comparison]``. The unit tests
run them on ``tests/golden``; ``python -m tests.parity DIR`` runs them all on a whole golden folder.
"""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Comparison:
    """One golden tensor against ours. Errors are absolute; infinite where shapes differ."""

    file: str
    key: str
    max_error: float
    mean_error: float
    max_tolerance: float
    mean_tolerance: float = float("inf")

    @property
    def ok(self) -> bool:
        return self.max_error <= self.max_tolerance and self.mean_error <= self.mean_tolerance


def compare(
    file: str,
    key: str,
    ours: torch.Tensor,
    golden: torch.Tensor,
    *,
    max_tolerance: float,
    mean_tolerance: float = float("inf"),
) -> Comparison:
    """Compare in float64; a NaN or a shape mismatch counts as an infinite error."""
    if tuple(ours.shape) != tuple(golden.shape):
        return Comparison(file, key, float("inf"), float("inf"), max_tolerance, mean_tolerance)
    error = (ours.detach().double() - golden.detach().double()).abs()
    error = torch.nan_to_num(error, nan=float("inf"), posinf=float("inf"))
    if error.numel() == 0:
        return Comparison(file, key, 0.0, 0.0, max_tolerance, mean_tolerance)
    return Comparison(
        file, key, error.max().item(), error.mean().item(), max_tolerance, mean_tolerance
    )
