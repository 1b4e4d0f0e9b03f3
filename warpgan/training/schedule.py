"""Learning rate as a pure function of the step."""

import math

import torch


def learning_rate_factor(step: int, *, schedule: str, warmup_steps: int, steps: int) -> float:
    """Factor on the base learning rate at one step.

    Args:
        step: Optimiser step, from 0.
        schedule: ``constant``, or ``cosine`` to zero at ``steps``.
        warmup_steps: Steps of linear rise from 0.
        steps: Steps of the whole run.

    Returns:
        A factor in [0, 1].
    """
    if step < warmup_steps:
        return (step + 1) / (warmup_steps + 1)
    if schedule == "constant":
        return 1.0
    done = (step - warmup_steps) / max(1, steps - warmup_steps)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def set_learning_rate(
    optimizer: torch.optim.Optimizer, base_rates: list[float], *, factor: float
) -> None:
    """Set the rate of every parameter group to its base times ``factor``."""
    for group, base in zip(optimizer.param_groups, base_rates, strict=True):
        group["lr"] = base * factor
