"""What all processes agree on before a backward pass: is the loss a number, does anyone stop."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from accelerate import Accelerator
from torch import Tensor


@dataclass(frozen=True)
class Agreement:
    """One look over all processes.

    Attributes:
        means: Name -> mean over the processes.
        local: Name -> this process's value.
        finite: Whether every value of every process is a number.
        stop: Name of the signal if any process was told to stop, else None.
    """

    means: dict[str, float]
    local: dict[str, float]
    finite: bool
    stop: str | None


def agree(
    accelerator: Accelerator, values: Mapping[str, Tensor], *, stop: str | None = None
) -> Agreement:
    """Average scalars over the processes and share the wish to stop, in one exchange.

    Args:
        accelerator: The processes.
        values: Name -> scalar tensor; the same names in every process.
        stop: Name of the signal that this process received, or None.

    Returns:
        What all processes know afterwards.
    """
    names = list(values)
    scalars = torch.stack([value.detach().double().reshape(()) for value in values.values()])
    wish = scalars.new_tensor([0.0 if stop is None else 1.0])
    local = scalars.tolist()
    mean = accelerator.reduce(torch.cat([scalars, wish]), reduction="mean").tolist()
    return Agreement(
        means=dict(zip(names, mean, strict=False)),
        local=dict(zip(names, local, strict=True)),
        finite=all(math.isfinite(value) for value in mean),
        stop=(stop or "a signal to another process") if mean[-1] > 0 else None,
    )
