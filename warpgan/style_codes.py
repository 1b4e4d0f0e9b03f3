"""From the inverted codes w+ to the style code of each modulated block of SVINet.

Every block has slots: one for a residual block, two for an upsampling block. A source of codes
maps `ws [B, num_ws, w_dim]` to `[B, slots, w_dim]`.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from eg3d.layers import FullyConnected

FAVOUR = 0.9


class IndexedCodes(nn.Module):
    """Slot k takes the code of a fixed index, as released."""

    def __init__(self, indices: Sequence[int]) -> None:
        """Build the source for the slots' `indices` into the codes."""
        super().__init__()
        self.register_buffer("indices", torch.tensor(list(indices)), persistent=False)

    def forward(self, ws: Tensor, batch_size: int) -> Tensor:
        """Map `[B, num_ws, w_dim]` to `[B, slots, w_dim]`."""
        return ws.index_select(1, self.indices)


class MappedCodes(nn.Module):
    """A learned mapping from all codes to the slots' codes (paper, section 3.3).

    Slot k mixes the codes with its own softmax weights; two fully connected layers, shared by all
    slots, refine the mixture. Starts near `IndexedCodes`: 0.9 of the weight on the released index,
    and a refinement of zero.
    """

    def __init__(self, indices: Sequence[int], *, num_ws: int, w_dim: int) -> None:
        """Build the mapping; `indices` are the slots' favoured codes."""
        super().__init__()
        logits = torch.zeros(len(indices), num_ws)
        if num_ws > 1:
            favoured = math.log(FAVOUR / (1 - FAVOUR) * (num_ws - 1))
            for slot, index in enumerate(indices):
                logits[slot, index] = favoured
        self.mixing = nn.Parameter(logits)
        self.hidden = FullyConnected(w_dim, w_dim, activation="lrelu")
        self.out = FullyConnected(w_dim, w_dim)
        nn.init.zeros_(self.out.weight)

    def forward(self, ws: Tensor, batch_size: int) -> Tensor:
        """Map `[B, num_ws, w_dim]` to `[B, slots, w_dim]`."""
        mixed = self.mixing.softmax(dim=1) @ ws
        return mixed + self.out(self.hidden(mixed))


class ConstantCodes(nn.Module):
    """A learned constant for each slot: the network without the latent code (Table 2)."""

    def __init__(self, slots: int, *, w_dim: int) -> None:
        """Build the constants."""
        super().__init__()
        self.codes = nn.Parameter(torch.randn(slots, w_dim))

    def forward(self, ws: Tensor | None, batch_size: int) -> Tensor:
        """Repeat the constants: `[batch_size, slots, w_dim]`."""
        return self.codes.expand(batch_size, -1, -1)
