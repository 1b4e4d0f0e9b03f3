"""The paper's inversion encoder: GOAE's SwinV2 pyramid with cross-attention heads (W+ only)."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from warpgan.encoders.latent_heads import LEVELS, LatentHeads, default_level_counts
from warpgan.encoders.swin_trunk import PATCH, STAGES, SwinTrunk


class SwinPyramidEncoder(nn.Module):
    """Photo to style offsets `dw`; the caller adds the generator's mean latent.

    The defaults are the full size of the paper. Every size is an argument, so a small encoder for a
    small generator is the same code.

    Attributes:
        stage: levels unlocked (GOAE's progressive training): 0 base vector only, 1 with coarse, 2
            with mid, 3 all. All levels are on by default, as in the released training.
    """

    kind = "swin"

    def __init__(
        self,
        image_size: int = 256,
        num_ws: int = 14,
        *,
        w_dim: int = 512,
        embed_dim: int = 128,
        depths: Sequence[int] = (2, 2, 18, 2),
        num_heads: Sequence[int] = (4, 8, 16, 32),
        window: int = 16,
        pretrained_windows: Sequence[int] = (12, 12, 12, 6),
        level_counts: Sequence[int] | None = None,
        drop_path: float = 0.2,
        dropout: float = 0.1,
        activation_checkpointing: bool = False,
    ) -> None:
        """Build the module.

        Args:
            image_size: input side in pixels, a multiple of 32.
            num_ws: style codes of the generator.
            w_dim: width of a style code, divisible by 4.
            embed_dim: channels of the first Swin stage.
            depths: Swin blocks of the four stages.
            num_heads: attention heads of the four stages.
            window: attention window in tokens.
            pretrained_windows: windows that normalise the relative coordinates, one a stage.
            level_counts: style indices taking a coarse, mid and fine offset; sum num_ws - 1. None
                shares them in the proportion 3 : 3 : 7 of the full size.
            drop_path: largest stochastic-depth rate of the trunk.
            dropout: rate in the cross-attention blocks.
            activation_checkpointing: trade time for memory in training.
        """
        super().__init__()
        counts = tuple(level_counts) if level_counts else default_level_counts(num_ws)
        self._check_sizes(image_size, embed_dim, depths, num_heads, pretrained_windows)
        if len(counts) != len(LEVELS) or min(counts) < 1 or sum(counts) != num_ws - 1:
            raise ValueError(
                f"level_counts={counts}: expected {len(LEVELS)} positive numbers that sum to "
                f"num_ws - 1 = {num_ws - 1}"
            )
        if w_dim % 4:
            raise ValueError(f"w_dim={w_dim}: expected a multiple of 4 (attention heads)")
        self.image_size = image_size
        self.num_ws = num_ws
        self.w_dim = w_dim
        self.stage = len(LEVELS)
        self.arguments: dict[str, Any] = {
            "image_size": image_size,
            "num_ws": num_ws,
            "w_dim": w_dim,
            "embed_dim": embed_dim,
            "depths": list(depths),
            "num_heads": list(num_heads),
            "window": window,
            "pretrained_windows": list(pretrained_windows),
            "level_counts": list(counts),
            "drop_path": drop_path,
            "dropout": dropout,
            "activation_checkpointing": activation_checkpointing,
        }
        self.trunk = SwinTrunk(
            image_size,
            embed_dim,
            depths=depths,
            num_heads=num_heads,
            window=window,
            pretrained_windows=pretrained_windows,
            drop_path=drop_path,
            activation_checkpointing=activation_checkpointing,
        )
        self.heads = LatentHeads(
            embed_dim,
            w_dim,
            num_ws=num_ws,
            base_tokens=(image_size // (PATCH * 8)) ** 2,
            level_counts=counts,
            dropout=dropout,
        )

    @staticmethod
    def _check_sizes(
        image_size: int,
        embed_dim: int,
        depths: Sequence[int],
        num_heads: Sequence[int],
        pretrained_windows: Sequence[int],
    ) -> None:
        if image_size <= 0 or image_size % (PATCH * 8):
            raise ValueError(
                f"image_size={image_size}: expected a positive multiple of {PATCH * 8}"
            )
        lists = {
            "depths": depths,
            "num_heads": num_heads,
            "pretrained_windows": pretrained_windows,
        }
        for name, values in lists.items():
            if len(values) != STAGES:
                raise ValueError(f"{name}={list(values)}: expected {STAGES} numbers, one a stage")
        for index, heads in enumerate(num_heads):
            if heads <= 0 or (embed_dim << index) % heads:
                raise ValueError(
                    f"num_heads={list(num_heads)}: {heads} heads do not divide the "
                    f"{embed_dim << index} channels of stage {index} (embed_dim={embed_dim})"
                )

    def forward(self, images: Tensor) -> Tensor:
        """Encode `images` [B, 3, S, S] in [-1, 1] to `dw` [B, num_ws, w_dim]."""
        return self.heads(self.trunk(images), stage=self.stage)
