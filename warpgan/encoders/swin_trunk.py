"""Five-level feature pyramid on timm's SwinV2.

timm's class has the very parameters of the GOAE backbone; only the names of the merge layers and
the place of the merge (start of a stage instead of its end) differ, see ``official_names.py``.
timm's own ``features_only`` is of no use here: it returns stage outputs, one stage later than the
taps below and of the same shapes. Tokens are row-major over the feature grid.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from timm.models.swin_transformer_v2 import SwinTransformerV2, checkpoint_filter_fn
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

PATCH = 4
STAGES = 4


@dataclass(frozen=True)
class Pyramid:
    """Token maps of one batch, E = embed_dim, S = image side.

    Attributes:
        fine: patch embedding [B, (S/4)^2, E].
        mid: after the first merge [B, (S/8)^2, 2E].
        coarse: after the second merge [B, (S/16)^2, 4E].
        query: after the third merge, before the last stage [B, (S/32)^2, 8E].
        base: normalised output of the last stage [B, (S/32)^2, 8E].
    """

    fine: Tensor
    mid: Tensor
    coarse: Tensor
    query: Tensor
    base: Tensor


class SwinTrunk(nn.Module):
    """timm SwinV2 whose stage inputs are read out."""

    def __init__(
        self,
        image_size: int,
        embed_dim: int,
        *,
        depths: Sequence[int],
        num_heads: Sequence[int],
        window: int,
        pretrained_windows: Sequence[int],
        drop_path: float,
        activation_checkpointing: bool = False,
    ) -> None:
        """Build the module.

        Args:
            image_size: input side in pixels, a multiple of 32.
            embed_dim: channels of the first stage, doubled at every merge.
            depths: blocks of the four stages.
            num_heads: attention heads of the four stages.
            window: attention window in tokens (shrunk to the grid where larger).
            pretrained_windows: windows by which the relative coordinates are normalised, one a
                stage; they leave no trace in parameter shapes, so a wrong choice loads and is
                wrong.
            drop_path: largest stochastic-depth rate, rising linearly over the blocks.
            activation_checkpointing: recompute each block in the backward pass to save memory.
        """
        super().__init__()
        self.activation_checkpointing = activation_checkpointing
        self.swin = SwinTransformerV2(
            img_size=image_size,
            patch_size=PATCH,
            num_classes=0,
            global_pool="",
            embed_dim=embed_dim,
            depths=tuple(depths),
            num_heads=tuple(num_heads),
            window_size=window,
            pretrained_window_sizes=tuple(pretrained_windows),
            drop_path_rate=drop_path,
        )

    def forward(self, images: Tensor) -> Pyramid:
        """Compute the pyramid of `images` [B, 3, S, S] in [-1, 1] (no ImageNet normalisation)."""
        tokens = self.swin.patch_embed(images)
        taps = [tokens]
        recompute = self.activation_checkpointing and self.training and torch.is_grad_enabled()
        for index, stage in enumerate(self.swin.layers):
            tokens = stage.downsample(tokens)
            if index > 0:
                taps.append(tokens)
            for block in stage.blocks:
                if recompute:
                    tokens = checkpoint(block, tokens, use_reentrant=False)
                else:
                    tokens = block(tokens)
        taps.append(self.swin.norm(tokens))
        return Pyramid(*(tap.flatten(1, 2) for tap in taps))

    def load_classifier_state(self, state: Mapping[str, Tensor]) -> None:
        """Initialise from an ImageNet SwinV2 state dict (timm's or Microsoft's names).

        The classification head is dropped; everything else must match exactly.

        Raises:
            ValueError: keys or shapes do not belong to a SwinV2 of this size.
        """
        state = checkpoint_filter_fn(dict(state), self.swin)
        state = {name: value for name, value in state.items() if not name.startswith("head.")}
        own = self.swin.state_dict()
        missing = sorted(own.keys() - state.keys())
        extra = sorted(state.keys() - own.keys())
        shapes = sorted(k for k in own.keys() & state.keys() if own[k].shape != state[k].shape)
        if missing or extra or shapes:
            raise ValueError(
                "the ImageNet checkpoint is not a SwinV2 of this size: "
                f"missing {missing[:3]}, unknown {extra[:3]}, other shape {shapes[:3]} "
                f"({len(missing)}/{len(extra)}/{len(shapes)} in all); the full-size encoder takes "
                "swinv2_base_window12to16_192to256"
            )
        self.swin.load_state_dict(state)
