"""Heads that turn the Swin pyramid into style codes by cross-attention (GOAE's W+ stage).

One `base` vector is repeated for all style indices. Learned reductions of the `query` tokens
attend to keys and values built from the coarse, mid and fine levels, each level enriched by the
upsampled one below it; the results are offsets of style indices 1.. in that order. Index 0 has no
offset. Module names are those of the released checkpoint.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from warpgan.encoders.swin_trunk import Pyramid

LEVELS = ("coarse", "mid", "fine")
ATTENTION_HEADS = 4


def default_level_counts(num_ws: int) -> tuple[int, int, int]:
    """Return how many style indices the coarse, mid and fine levels get: (3, 3, 7) at 14."""
    if num_ws < 4:
        raise ValueError(f"num_ws={num_ws}: the encoder needs at least 4 style indices")
    share = max(1, round((num_ws - 1) * 3 / 13))
    return share, share, num_ws - 1 - 2 * share


def leaky_mlp(sizes: Sequence[int], *, activate_last: bool) -> nn.Sequential:
    """Chain linear layers of the given `sizes` with LeakyReLU between (and after, if asked)."""
    layers: list[nn.Module] = []
    for index in range(len(sizes) - 1):
        layers.append(nn.Linear(sizes[index], sizes[index + 1]))
        if activate_last or index < len(sizes) - 2:
            layers.append(nn.LeakyReLU())
    return nn.Sequential(*layers)


class CrossAttention(nn.Module):
    """Attention block with a norm after the attention and none after the feed-forward part."""

    def __init__(self, width: int, heads: int, *, hidden: int, dropout: float) -> None:
        """Build the block; `hidden` is the width of the feed-forward layer."""
        super().__init__()
        self.multihead_attn = nn.MultiheadAttention(width, heads, dropout=dropout, batch_first=True)
        self.linear1 = nn.Linear(width, hidden)
        self.linear2 = nn.Linear(hidden, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, queries: Tensor, memory: Tensor) -> Tensor:
        """Let `queries` [B, Q, W] attend to `memory` [B, T, W]; returns [B, Q, W]."""
        memory = _token_major(memory)
        attended, _ = self.multihead_attn(_token_major(queries), memory, memory, need_weights=False)
        queries = queries + self.dropout(attended)
        queries = F.layer_norm(queries, queries.shape[-1:])
        hidden = self.dropout(F.relu(self.linear1(queries)))
        return queries + self.dropout(self.linear2(hidden))


def _token_major(tokens: Tensor) -> Tensor:
    """The same [B, T, W] with tokens outermost in memory, as torch's attention multiplies them.

    Otherwise its projections copy their weights once a token: a quarter of a training step.
    """
    return tokens.transpose(0, 1).contiguous().transpose(0, 1)


class LatentHeads(nn.Module):
    """Pyramid to `dw` [B, num_ws, w_dim]."""

    def __init__(
        self,
        embed_dim: int,
        w_dim: int,
        *,
        num_ws: int,
        base_tokens: int,
        level_counts: Sequence[int],
        dropout: float,
    ) -> None:
        """Build the module.

        Args:
            embed_dim: E of the pyramid.
            w_dim: width of a style code, divisible by 4.
            num_ws: number of style codes.
            base_tokens: tokens of the coarsest level, (image side / 32)^2.
            level_counts: style indices of the coarse, mid and fine level; sum num_ws - 1.
            dropout: rate inside the cross-attention blocks.
        """
        super().__init__()
        self.num_ws = num_ws
        deep = 8 * embed_dim
        tokens = {"coarse": 4 * base_tokens, "mid": 16 * base_tokens, "fine": 64 * base_tokens}
        counts = dict(zip(LEVELS, level_counts, strict=True))

        def reduce_tokens(count: int) -> nn.Sequential:
            return leaky_mlp((base_tokens, base_tokens, count), activate_last=False)

        def to_latent() -> nn.Sequential:
            return leaky_mlp((deep, deep, w_dim), activate_last=False)

        def widen_tokens(source: str, target: str) -> nn.Sequential:
            sizes = (tokens[source], 2 * tokens[source], tokens[target])
            return leaky_mlp(sizes, activate_last=True)

        def attention() -> CrossAttention:
            return CrossAttention(w_dim, ATTENTION_HEADS, hidden=2 * w_dim, dropout=dropout)

        self.mapper_base_spatial = reduce_tokens(1)
        self.mapper_base_channel = to_latent()
        self.mapper_query_spatial_coarse = reduce_tokens(counts["coarse"])
        self.mapper_query_channel_coarse = to_latent()
        self.mapper_query_spatial_mid = reduce_tokens(counts["mid"])
        self.mapper_query_channel_mid = to_latent()
        self.mapper_query_spatial_fine = reduce_tokens(counts["fine"])
        self.mapper_query_channel_fine = to_latent()

        self.mapper_coarse_channel = leaky_mlp((4 * embed_dim, w_dim), activate_last=True)
        self.mapper_mid_channel = leaky_mlp((2 * embed_dim, w_dim), activate_last=True)
        self.mapper_fine_channel = leaky_mlp((embed_dim, 2 * embed_dim, w_dim), activate_last=True)
        self.mapper_coarse_to_mid_spatial = widen_tokens("coarse", "mid")
        self.mapper_mid_to_fine_spatial = widen_tokens("mid", "fine")

        self.cross_att_coarse = attention()
        self.cross_att_mid = attention()
        self.cross_att_fine = attention()

    def forward(self, pyramid: Pyramid, *, stage: int = len(LEVELS)) -> Tensor:
        """Compute style offsets from the mean latent.

        Args:
            pyramid: token maps.
            stage: how many levels are unlocked: 0 base only, 1 adds coarse, 2 mid, 3 fine.

        Returns:
            [B, num_ws, w_dim].
        """
        base = pyramid.base.transpose(1, 2)
        base = self.mapper_base_spatial(base) + F.adaptive_max_pool1d(base, 1)
        base = self.mapper_base_channel(base.transpose(1, 2))
        offsets = [torch.zeros_like(base)]
        if stage > 0:
            memory = self.mapper_coarse_channel(pyramid.coarse)
            offsets.append(self.cross_att_coarse(self.queries(pyramid, "coarse"), memory))
        if stage > 1:
            below = _over_tokens(self.mapper_coarse_to_mid_spatial, memory)
            memory = self.mapper_mid_channel(pyramid.mid) + below
            offsets.append(self.cross_att_mid(self.queries(pyramid, "mid"), memory))
        if stage > 2:
            below = _over_tokens(self.mapper_mid_to_fine_spatial, memory)
            memory = self.mapper_fine_channel(pyramid.fine) + below
            offsets.append(self.cross_att_fine(self.queries(pyramid, "fine"), memory))
        locked = self.num_ws - sum(offset.shape[1] for offset in offsets)
        return base + F.pad(torch.cat(offsets, dim=1), (0, 0, 0, locked))

    def queries(self, pyramid: Pyramid, level: str) -> Tensor:
        """Reduce the query tokens to one vector per style index of `level`, [B, Q, w_dim]."""
        reduce = getattr(self, f"mapper_query_spatial_{level}")
        to_latent = getattr(self, f"mapper_query_channel_{level}")
        tokens = pyramid.query.transpose(1, 2)
        mixed = reduce(tokens) + F.adaptive_max_pool1d(tokens, 1)
        return to_latent(mixed.transpose(1, 2))


def _over_tokens(mlp: nn.Sequential, maps: Tensor) -> Tensor:
    """Apply `mlp` along the token axis of `maps` [B, T, C]."""
    return mlp(maps.transpose(1, 2)).transpose(1, 2)
