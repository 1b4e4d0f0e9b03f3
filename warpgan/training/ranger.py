"""Ranger: rectified Adam, centralised gradients and lookahead, as pSp and successors train with.

The name covers several optimisers. The one meant here (i) takes plain momentum steps while the
variance estimate is not yet trustworthy, (ii) centralises gradients of matrices and convolutions
only, (iii) pulls the weights half-way back to a slow copy every six steps, the copy starting at
the initial weights. That is `pytorch_optimizer.Ranger` with `degenerated_to_sgd=True`; its default
differs from the first step. Step count, moments and slow copy are all in its state dict.
"""

from collections.abc import Iterable

from pytorch_optimizer import Ranger
from torch import Tensor


def build_ranger(
    params: Iterable[Tensor] | Iterable[dict],
    lr: float = 1e-4,
    *,
    betas: tuple[float, float] = (0.95, 0.999),
    eps: float = 1e-5,
    lookahead_period: int = 6,
    lookahead_weight: float = 0.5,
    weight_decay: float = 0.0,
) -> Ranger:
    """Build the optimiser of the encoder training.

    Args:
        params: tensors or parameter groups.
        lr: learning rate, constant in the paper.
        betas: decay of the first and second moment.
        eps: added to the root of the second moment.
        lookahead_period: steps between pulls towards the slow weights.
        lookahead_weight: how far the slow weights move to the fast ones.
        weight_decay: decoupled decay, 0 in the paper.

    Returns:
        A torch optimiser; `step()` modifies `.grad` in place (centralisation).
    """
    return Ranger(
        params,
        lr=lr,
        betas=tuple(betas),
        eps=eps,
        k=lookahead_period,
        alpha=lookahead_weight,
        weight_decay=weight_decay,
        degenerated_to_sgd=True,
    )
