"""The network inside SVINet: images and holes of one or two branches in, one view out.

```
7 channels a branch -> down path, 8-fold -> features (local, global)
  both branches' features -> symmetry refinement          (with symmetry)
  -> residual fast Fourier blocks -> up path -> 7x7 convolution -> sigmoid
```
Both branches go through the same down path. In training they go one after the other, as released:
batch norm sees each branch by itself, and its running statistics move twice a step. Parameters have
their released names, without those of the released code's unused RGB layers.
"""

from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from warpgan.ffc import Features, FFCResidual, modulated_layer, plain_layer
from warpgan.modulation import UpsamplingBlock
from warpgan.svinet_inference import run_folded, takes_folded
from warpgan.symmetry import SymmetryRefinement

BRANCH_CHANNELS = 7
DOWNSAMPLINGS = 3
GLOBAL_RATIO = 0.75
SMALLEST_SIDE = 16


class InpaintingNetwork(nn.Module):
    """SVINet between tensors in [0, 1]."""

    def __init__(
        self,
        *,
        width: int,
        blocks: int,
        w_dim: int,
        symmetry: SymmetryRefinement | None,
        codes: nn.Module | None,
        residual: bool = False,
        checkpointing: bool = False,
    ) -> None:
        """Build the network.

        Args:
            width: channels at full resolution; 8 times as many at an eighth.
            blocks: residual blocks.
            w_dim: length of a style code.
            symmetry: refinement by the mirrored branch, or None to see the photo's own branch only.
            codes: source of a code for every slot of `slot_count`; None for plain
                convolutions instead of modulated ones.
            residual: the network paints what is added to the initial fill, and starts with
                nothing; otherwise, as released, it paints the whole view anew.
            checkpointing: recompute activations in the backward pass, to save memory.
        """
        super().__init__()
        self.blocks = blocks
        self.residual = residual
        self.checkpointing = checkpointing
        self.channels = BRANCH_CHANNELS * (1 if symmetry is None else 2)
        split = split_channels(width)
        self.model_down = _down_path(width, split)
        self.cond = symmetry
        self.codes = codes
        if codes is None:
            layers = [
                FFCResidual(plain_layer(split, split), plain_layer(split, split))
                for _ in range(blocks)
            ]
            ups: list[nn.Module] = _plain_up_path(width)
        else:
            layers = [
                FFCResidual(
                    modulated_layer(split, w_dim=w_dim), modulated_layer(split, w_dim=w_dim)
                )
                for _ in range(blocks)
            ]
            ups = [
                UpsamplingBlock(width << level, width << (level - 1), w_dim=w_dim)
                for level in range(DOWNSAMPLINGS, 0, -1)
            ]
        self.model_res = nn.ModuleList(layers)
        self.model_up = nn.ModuleList(ups)
        self.model_out = nn.Sequential(nn.ReflectionPad2d(3), nn.Conv2d(width, 3, 7), nn.Sigmoid())
        if residual:
            nn.init.zeros_(self.model_out[1].weight)
            nn.init.zeros_(self.model_out[1].bias)

    def forward(self, channels: Tensor, ws: Tensor | None) -> Tensor:
        """Inpaint.

        Args:
            channels: `[B, 7, H, W]` or, with symmetry, `[B, 14, H, W]` in [0, 1]: initial fill,
                render and hole of the photo's branch, then of the mirrored one. H and W are
                multiples of 8, at least 16.
            ws: `[B, num_ws, w_dim]`; not read, and so may be None, without modulation or with
                constant codes.

        Returns:
            `[B, 3, H, W]` in [0, 1]; a residual network in training mode may leave the range, so
            that a pixel at its end still has a gradient.

        Raises:
            ValueError: another number of channels, or sides that are no multiples of 8.
        """
        self._check(channels)
        painted = run_folded(self, channels, ws) if takes_folded(self, channels, ws) else None
        if painted is None:
            painted = self._paint(channels, ws)
        if not self.residual:
            return painted
        view = channels[:, :3] + (2 * painted.to(channels.dtype) - 1)
        return view if self.training else view.clamp(0, 1)

    def _paint(self, channels: Tensor, ws: Tensor | None) -> Tensor:
        """What the last layer gives, module by module."""
        main, mirrored = self.encode(channels)
        features = main if mirrored is None else self._run(self.cond, main, mirrored)
        codes = None if self.codes is None else self.codes(ws, len(channels))
        for index, block in enumerate(self.model_res):
            features = self._run(block, features, None if codes is None else codes[:, index])
        x = features.joined()
        if codes is None:
            for layer in self.model_up:
                x = layer(x)
        else:
            for level, block in enumerate(self.model_up):
                first = self.blocks + 2 * level
                x = self._run(block, x, codes[:, first : first + 2])
        return self._run(self.model_out, x)

    def encode(self, channels: Tensor) -> tuple[Features, Features | None]:
        """Features of the branches at an eighth of the size; None for a branch it does not see."""
        if self.cond is None:
            return self._down(channels), None
        branches = channels.split(BRANCH_CHANNELS, dim=1)
        if self.training:
            main, mirrored = (self._down(branch) for branch in branches)
            return main, mirrored
        both = self._down(torch.cat(branches))
        (main_l, mirrored_l), (main_g, mirrored_g) = both.local.chunk(2), both.spread.chunk(2)
        return Features(main_l, main_g), Features(mirrored_l, mirrored_g)

    def _down(self, branch: Tensor) -> Features:
        features = Features(branch, None)
        for layer in self.model_down:
            features = self._run(layer, features)
        return features

    def _run(self, module: nn.Module, *inputs: Any) -> Any:
        if not (self.checkpointing and self.training and torch.is_grad_enabled()):
            return module(*inputs)
        # `Features` is no pytree; checkpoint hooks saved tensors and needs none.
        return checkpoint(
            module,
            *inputs,
            use_reentrant=False,
            context_fn=lambda: (nullcontext(), _still_statistics(module)),
        )

    def _check(self, channels: Tensor) -> None:
        if channels.ndim != 4 or channels.shape[1] != self.channels:
            raise ValueError(
                f"input of shape {tuple(channels.shape)}: expected [B, {self.channels}, H, W], "
                "fill, render and hole of "
                + ("the photo's branch only" if self.cond is None else "both branches")
            )
        height, width = channels.shape[-2:]
        if height % 8 or width % 8 or min(height, width) < SMALLEST_SIDE:
            raise ValueError(
                f"input of {height} x {width} pixels (height x width): both must be multiples of "
                f"8, at least {SMALLEST_SIDE}"
            )


def split_channels(width: int) -> tuple[int, int]:
    """Local and global channels at an eighth of the size, of a network of this width."""
    total = width << DOWNSAMPLINGS
    spread = int(total * GLOBAL_RATIO)
    return total - spread, spread


def slot_count(blocks: int) -> int:
    """How many style codes a network takes: one a residual block, two an upsampling block."""
    return blocks + 2 * DOWNSAMPLINGS


def _down_path(width: int, split: tuple[int, int]) -> nn.Sequential:
    # Position 0 is the released code's padding layer, which has no parameters.
    layers: list[nn.Module] = [
        nn.Identity(),
        plain_layer((BRANCH_CHANNELS, 0), (width, 0), kernel=7),
    ]
    for level in range(DOWNSAMPLINGS - 1):
        layers.append(plain_layer((width << level, 0), (width << (level + 1), 0), stride=2))
    layers.append(plain_layer((width << (DOWNSAMPLINGS - 1), 0), split, stride=2))
    return nn.Sequential(*layers)


def _plain_up_path(width: int) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for level in range(DOWNSAMPLINGS, 0, -1):
        outputs = width << (level - 1)
        layers += [
            nn.ConvTranspose2d(width << level, outputs, 3, stride=2, padding=1, output_padding=1),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
        ]
    return layers


@contextmanager
def _still_statistics(module: nn.Module):
    """Keep running statistics as they are: a recomputation must not move them again."""
    norms = [m for m in module.modules() if isinstance(m, nn.BatchNorm2d)]
    before = [(norm.momentum, norm.num_batches_tracked.clone()) for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, before, strict=True):
            norm.momentum = momentum
            norm.num_batches_tracked.copy_(count)
