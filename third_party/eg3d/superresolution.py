"""Super-resolution of the rendered feature image, driven by the last latent alone.

The official variants differ in sizes only. Features and raw image are first resized (bilinear,
antialiased) to the input resolution of the first block.

| name | input | block 0 | block 1 |
|---|---|---|---|
| SuperresolutionHybrid2X | 64 | 128 channels at 64 | 64 at 128 |
| SuperresolutionHybrid4X | 128 (only smaller inputs are resized) | 128 at 128 | 64 at 256 |
| SuperresolutionHybrid8X | 128 | 128 at 256 | 64 at 512 |
| SuperresolutionHybrid8XDC | 128 | 256 at 256 | 128 at 512 |
| SuperresolutionGeneral (ours) | any | any number of blocks | |
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from .backbone import SynthesisBlock
from .precision import at_least_float32
from .resampling import FIR_TAPS, fir_matrix, resize

HALF_PRECISION_CLAMP = 256.0


@dataclass(frozen=True)
class Variant:
    """Sizes of a super-resolution network.

    Attributes:
        input_resolution: Side of the features that enter the first block.
        channels: Width of each block.
        first_up: Upsampling of the first block (2, or 1); the others have 2.
        top_filter: Whether the checkpoint has a filter buffer beside the blocks.
        shrinks: Whether larger inputs are resized too.
    """

    input_resolution: int
    channels: tuple[int, ...]
    first_up: int
    top_filter: bool = True
    shrinks: bool = True

    @property
    def output_resolution(self) -> int:
        """Side of the result."""
        return self.input_resolution * self.first_up * 2 ** (len(self.channels) - 1)


OFFICIAL_VARIANTS = {
    "SuperresolutionHybrid2X": Variant(64, (128, 64), first_up=1),
    "SuperresolutionHybrid4X": Variant(128, (128, 64), first_up=1, shrinks=False),
    "SuperresolutionHybrid8X": Variant(128, (128, 64), first_up=2),
    "SuperresolutionHybrid8XDC": Variant(128, (256, 128), first_up=2, top_filter=False),
}
GENERAL = "SuperresolutionGeneral"


def select_variant(
    dotted_name: str,
    img_resolution: int,
    *,
    general_channels: Sequence[int] | None,
    general_input: int | None,
) -> Variant:
    """Find the sizes for a class name as checkpoints store it; nothing is imported by name.

    Args:
        dotted_name: For example ``"training.superresolution.SuperresolutionHybrid8XDC"``.
        img_resolution: Side of the output image.
        general_channels: Widths for `SuperresolutionGeneral`.
        general_input: Side of its input; None: half of the output.

    Raises:
        ValueError: For an unknown name or sizes that do not fit together.
    """
    name = dotted_name.rsplit(".", 1)[-1]
    if name == GENERAL:
        side = img_resolution // 2 if general_input is None else general_input
        channels = tuple(general_channels or (128, 64))
        variant = Variant(side, channels, first_up=1, top_filter=False)
    elif name in OFFICIAL_VARIANTS:
        variant = OFFICIAL_VARIANTS[name]
    else:
        raise ValueError(
            f"superresolution_module is {dotted_name!r}; "
            f"expected one of {[*OFFICIAL_VARIANTS, GENERAL]}"
        )
    if variant.output_resolution != img_resolution:
        raise ValueError(
            f"{name} from {variant.input_resolution} px in {len(variant.channels)} blocks makes "
            f"{variant.output_resolution} px; img_resolution is {img_resolution}"
        )
    return variant


class SuperResolution(nn.Module):
    """Modulated blocks on the feature image plus the enlarged raw image."""

    def __init__(
        self,
        in_channels: int,
        variant: Variant,
        *,
        w_dim: int,
        conv_clamp: float | None,
        antialias: bool,
    ) -> None:
        """Build the layers.

        Args:
            in_channels: Channels of the feature image.
            variant: Sizes.
            w_dim: Size of the latent.
            conv_clamp: Limit of the absolute activations, or None.
            antialias: Of the resize in front of the first block.
        """
        super().__init__()
        self.variant = variant
        self.antialias = antialias
        if variant.top_filter:
            self.register_buffer("resample_filter", fir_matrix(FIR_TAPS))
        resolution, previous = variant.input_resolution, in_channels
        for index, width in enumerate(variant.channels):
            up = variant.first_up if index == 0 else 2
            resolution *= up
            block = SynthesisBlock(
                previous,
                width,
                w_dim=w_dim,
                resolution=resolution,
                img_channels=3,
                up=up,
                conv_clamp=conv_clamp,
            )
            self.add_module(f"block{index}", block)
            previous = width

    def forward(
        self,
        image_raw: Tensor,
        features: Tensor,
        ws: Tensor,
        *,
        noise_mode: str = "none",
        patch: bool = False,
    ) -> Tensor:
        """Enlarge.

        Args:
            image_raw: `[B, 3, R, R]` in [-1, 1].
            features: `[B, in_channels, R, R]` in [-1, 1].
            ws: `[B, num_ws, w_dim]`; only the last is used.
            noise_mode: ``"none"``, ``"const"`` or ``"random"``.
            patch: The input is a cut-out at the input resolution: nothing is resized, the
                result is as many times larger as for a whole image. Needs noise mode ``"none"``.

        Returns:
            `[B, 3, S, S]`, nominally in [-1, 1].
        """
        wanted, side = self.variant.input_resolution, features.shape[-1]
        if patch:
            if noise_mode != "none":
                raise ValueError(f"noise_mode is {noise_mode!r}; a patch needs 'none'")
        elif side < wanted or (side > wanted and self.variant.shrinks):
            features = resize(features, wanted, antialias=self.antialias)
            image_raw = resize(image_raw, wanted, antialias=self.antialias)
        x, image = features, at_least_float32(image_raw).clone()
        last = ws[:, -1:].expand(-1, 3, -1)
        for index in range(len(self.variant.channels)):
            block = getattr(self, f"block{index}")
            keep = index < len(self.variant.channels) - 1
            x, image = block(x, image, last, noise_mode=noise_mode, keep_features=keep)
        return image
