"""Around one optimiser step: the gradient's norm, and the end of a run whose loss is no number."""

from collections.abc import Mapping, Sequence

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from warpgan.training.checkpoint import list_checkpoints
from warpgan.training.runs import RunFolder
from warpgan.training.stopping import NonFiniteLossError


def gradient_norm(accelerator: Accelerator, network: nn.Module, *, limit: float | None) -> Tensor:
    """Norm of a network's gradients before they are clipped to ``limit``, a scalar."""
    accelerator.unscale_gradients()
    parameters = [p for p in network.parameters() if p.grad is not None]
    if limit is not None:
        return accelerator.clip_grad_norm_(parameters, limit)
    return torch.nn.utils.get_total_norm([p.grad for p in parameters])


def stop_for(
    what: str, run: RunFolder, *, names: Sequence[str], terms: Mapping[str, float], step: int
) -> None:
    """End a run, naming the samples and the last good checkpoint.

    Raises:
        NonFiniteLossError: Always.
    """
    kept = list_checkpoints(run.checkpoints)
    last = f"the last good checkpoint is {kept[-1]}" if kept else "there is no checkpoint yet"
    raise NonFiniteLossError(step, what, terms=terms, names=names, last_good=last)
