"""`perc_efficientnet`: the trunk of EfficientNet-lite0, as a feature pyramid.

The ImageNet classifier up to its last stride-16 block (of 112 channels), batch normalisation
folded, ReLU6 activations, no squeeze-and-excitation. Padding is TensorFlow's "same": what stride
and kernel need, the odd pixel at the bottom and right.
"""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class BlockShape:
    """One inverted-residual block: widths, kernel side and stride."""

    in_channels: int
    hidden: int
    channels: int
    kernel: int
    stride: int


BLOCKS = (
    BlockShape(32, 32, 16, 3, 1),
    BlockShape(16, 96, 24, 3, 2),
    BlockShape(24, 144, 24, 3, 1),
    BlockShape(24, 144, 40, 5, 2),
    BlockShape(40, 240, 40, 5, 1),
    BlockShape(40, 240, 80, 3, 2),
    BlockShape(80, 480, 80, 3, 1),
    BlockShape(80, 480, 80, 3, 1),
    BlockShape(80, 480, 112, 5, 1),
    BlockShape(112, 672, 112, 5, 1),
    BlockShape(112, 672, 112, 5, 1),
)
# Blocks whose output is a level of the pyramid: strides 2, 4, 8, 16.
LEVELS = (0, 2, 4, 10)


class SameConv(nn.Conv2d):
    """A convolution with TensorFlow's "same" padding for any input size."""

    def forward(self, x: Tensor) -> Tensor:
        """`[B, C, H, W]` to `[B, C', ceil(H / stride), ceil(W / stride)]`."""
        needed = []
        for side, kernel, stride in zip(x.shape[2:], self.kernel_size, self.stride, strict=True):
            needed.append(max((-(-side // stride) - 1) * stride + kernel - side, 0))
        rows, columns = needed
        if rows or columns:
            x = F.pad(x, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2))
        return super().forward(x)


class InvertedResidual(nn.Module):
    """Widen, filter each channel, narrow; the narrow end is linear."""

    def __init__(self, shape: BlockShape) -> None:
        """Builds the block.

        Args:
            shape: Widths, kernel and stride.
        """
        super().__init__()
        self.residual = shape.stride == 1 and shape.in_channels == shape.channels
        widens = shape.hidden != shape.in_channels
        self.expand = nn.Conv2d(shape.in_channels, shape.hidden, 1) if widens else None
        self.depthwise = SameConv(
            shape.hidden, shape.hidden, shape.kernel, stride=shape.stride, groups=shape.hidden
        )
        self.project = nn.Conv2d(shape.hidden, shape.channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """`[B, in_channels, H, W]` to `[B, channels, H / stride, W / stride]`."""
        y = x if self.expand is None else F.relu6(self.expand(x))
        y = self.project(F.relu6(self.depthwise(y)))
        return x + y if self.residual else y


class EfficientNetPyramid(nn.Module):
    """The trunk; returns its levels from fine to coarse."""

    def __init__(self) -> None:
        """Builds the net with unset weights."""
        super().__init__()
        self.stem = SameConv(3, 32, 3, stride=2)
        self.blocks = nn.ModuleList(InvertedResidual(shape) for shape in BLOCKS)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Computes the pyramid.

        Args:
            x: `[B, 3, H, W]` in the range of `PIXEL_RANGES["perc_efficientnet"]`.

        Returns:
            Four maps of 16, 24, 40 and 112 channels at strides 2, 4, 8 and 16.
        """
        x = F.relu6(self.stem(x))
        levels = []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in LEVELS:
                levels.append(x)
        return levels
