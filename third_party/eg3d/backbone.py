"""StyleGAN2 synthesis network that paints the three feature planes as one image.

Layers take their latent in this order: the first block (conv1, torgb) = (0, 1), then each block
(conv0, conv1, torgb) = (1, 2, 3), (3, 4, 5), ...: a torgb shares its latent with the next conv0.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .fused_synthesis import run_block
from .inference import use_kernel
from .layers import SynthesisLayer, ToRGB
from .mapping import MappingNetwork
from .precision import at_least_float32, autocast_type
from .resampling import FIR_TAPS, fir_matrix, upsample


class SynthesisBlock(nn.Module):
    """Two convolutions at one resolution, and the skip image."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        w_dim: int,
        resolution: int,
        img_channels: int,
        up: int = 2,
        conv_clamp: float | None = None,
        learned_maps: bool = False,
    ) -> None:
        """Build the layers.

        Args:
            in_channels: Channels of the input; 0 makes the block start from a learned constant.
            out_channels: Channels of the features.
            w_dim: Size of the latent.
            resolution: Side of the output, in pixels.
            img_channels: Channels of the skip image.
            up: 2, or 1 for a block that keeps the size.
            conv_clamp: Limit of the absolute activations, or None.
            learned_maps: Extension: additive maps in the layers.
        """
        super().__init__()
        self.up = up
        self.register_buffer("resample_filter", fir_matrix(FIR_TAPS))
        shared = dict(
            w_dim=w_dim, resolution=resolution, conv_clamp=conv_clamp, learned_map=learned_maps
        )
        if in_channels == 0:
            self.const = nn.Parameter(torch.randn(out_channels, resolution, resolution))
        else:
            self.conv0 = SynthesisLayer(in_channels, out_channels, up=up, **shared)
        self.conv1 = SynthesisLayer(out_channels, out_channels, **shared)
        self.torgb = ToRGB(out_channels, img_channels, w_dim=w_dim, conv_clamp=conv_clamp)
        self.starts = in_channels == 0
        self.num_convs = 1 if self.starts else 2

    def forward(
        self,
        x: Tensor | None,
        image: Tensor | None,
        ws: Tensor,
        *,
        noise_mode: str = "const",
        generator: torch.Generator | None = None,
        keep_features: bool = True,
    ) -> tuple[Tensor | None, Tensor]:
        """Apply the block.

        Args:
            x: `[B, in_channels, H, W]`, None for the starting block.
            image: Skip image `[B, img_channels, H, W]`, or None.
            ws: `[B, num_convs + 1, w_dim]`.
            noise_mode: See `SynthesisLayer`.
            generator: See `SynthesisLayer`.
            keep_features: False allows a block to return None for the features.

        Returns:
            Features `[B, out_channels, up H, up W]` and skip image `[B, img_channels, up H, up W]`.
        """
        if not self.starts and self._fits_kernel(x, image, ws):
            return run_block(
                self,
                x,
                image,
                ws,
                noise_mode=noise_mode,
                generator=generator,
                keep_features=keep_features,
            )
        noise = dict(noise_mode=noise_mode, generator=generator)
        if self.starts:
            x = self.const.expand(ws.shape[0], -1, -1, -1)
            x = x.contiguous(memory_format=torch.channels_last)
        else:
            x = self.conv0(x, ws[:, 0], **noise)
        x = self.conv1(x, ws[:, self.num_convs - 1], **noise)
        painted = at_least_float32(self.torgb(x, ws[:, self.num_convs]))
        if image is not None:
            painted = painted.add_(upsample(image) if self.up == 2 else image)
        return x, painted

    def _fits_kernel(self, x: Tensor, image: Tensor | None, ws: Tensor) -> bool:
        refusal = None
        if autocast_type(x) is not None:
            refusal = "autocast is on"
        elif self.conv1.learned_map is not None:
            refusal = "the block has learned maps"
        elif x.shape[2:] != (self.conv1.resolution // self.up,) * 2:
            refusal = "the input is a patch"
        given = (x, ws) if image is None else (x, image, ws)
        return use_kernel(*given, *self.parameters(), *self.buffers(), refusal=refusal)


class SynthesisNetwork(nn.Module):
    """Blocks from the constant up to `img_resolution`."""

    def __init__(
        self,
        w_dim: int,
        img_resolution: int,
        *,
        img_channels: int,
        channels: Sequence[int],
        const_resolution: int = 4,
        conv_clamp: float | None = None,
        learned_maps: bool = False,
    ) -> None:
        """Build the layers.

        Args:
            w_dim: Size of the latent.
            img_resolution: Side of the painted image, a power of two.
            img_channels: Its channels.
            channels: Width of each block, first (coarsest) to last.
            const_resolution: Side of the learned constant.
            conv_clamp: Limit of the absolute activations, or None.
            learned_maps: Extension: additive maps in the layers.
        """
        super().__init__()
        self.w_dim = w_dim
        self.block_resolutions = [const_resolution * 2**i for i in range(len(channels))]
        if self.block_resolutions[-1] != img_resolution:
            raise ValueError(
                f"{len(channels)} blocks from {const_resolution} px end at "
                f"{self.block_resolutions[-1]} px, not at {img_resolution}: give one width a block"
            )
        self.num_ws = 2 * len(channels)
        previous = 0
        for resolution, width in zip(self.block_resolutions, channels, strict=True):
            block = SynthesisBlock(
                previous,
                width,
                w_dim=w_dim,
                resolution=resolution,
                img_channels=img_channels,
                conv_clamp=conv_clamp,
                learned_maps=learned_maps,
            )
            self.add_module(f"b{resolution}", block)
            previous = width

    def forward(
        self,
        ws: Tensor,
        *,
        noise_mode: str = "const",
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Paint `[B, img_channels, img_resolution, img_resolution]` from `[B, num_ws, w_dim]`."""
        x = image = None
        first = 0
        for resolution in self.block_resolutions:
            block = getattr(self, f"b{resolution}")
            x, image = block(
                x,
                image,
                ws[:, first : first + block.num_convs + 1],
                noise_mode=noise_mode,
                generator=generator,
                keep_features=resolution != self.block_resolutions[-1],
            )
            first += block.num_convs
        return image


class Backbone(nn.Module):
    """Mapping and synthesis network side by side, as the official checkpoints name them."""

    def __init__(self, synthesis: SynthesisNetwork, mapping: MappingNetwork) -> None:
        """Take both parts."""
        super().__init__()
        self.synthesis = synthesis
        self.mapping = mapping
        self.num_ws = synthesis.num_ws
