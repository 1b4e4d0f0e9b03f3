"""Exponential moving average of a network's weights."""

import copy

import torch
from torch import nn


class WeightAverage:
    """Keeps ``average <- decay * average + (1 - decay) * weights`` beside a network.

    Args:
        network: The network that is trained. It is copied.
        decay: Weight of the past, in [0, 1).

    Raises:
        ValueError: If ``decay`` is outside [0, 1).
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        """Copy the network; see the class."""
        if not 0 <= decay < 1:
            raise ValueError(
                f"train.ema_decay={decay} must be in [0, 1), e.g. 0.999; null turns it off"
            )
        self.decay = decay
        self.network = copy.deepcopy(network).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Take in the weights after one optimiser step; buffers are copied."""
        for average, current in zip(self.network.parameters(), network.parameters(), strict=True):
            average.lerp_(current.detach().to(average.dtype), 1 - self.decay)
        for average, current in zip(self.network.buffers(), network.buffers(), strict=True):
            average.copy_(current)
