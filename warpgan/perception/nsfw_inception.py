"""`kid_nsfw`: an Inception v3, any RGB picture in, 2048 numbers out.

The trunk of a picture classifier (five kinds of content), as Keras lays Inception v3 out (Szegedy
et al. 2015): batch normalisation without a gain, folded into the convolutions, ReLU, and average
pools that leave padding out of the average. The classifier's three dense layers are left out; the
features are the mean of the last map. Convolutions stand in the order of the source's numbers.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

INPUT_SIZE = 299


@dataclass(frozen=True)
class ConvShape:
    """One convolution: width, kernel and stride; `padded` keeps the side, else it shrinks."""

    channels: int
    height: int
    width: int
    stride: int = 1
    padded: bool = True


@dataclass(frozen=True)
class BranchShape:
    """Convolutions one after the other, then `forks` side by side on the last one's output."""

    chain: tuple[ConvShape, ...]
    forks: tuple[ConvShape, ...] = ()


@dataclass(frozen=True)
class BlockShape:
    """Branches side by side, and a pooled one.

    Attributes:
        branches: What is computed from the block's input.
        pooled: Width of the convolution after a 3 x 3 average pool; None for a 3 x 3 maximum pool
            of stride 2 without one.
    """

    branches: tuple[BranchShape, ...]
    pooled: int | None


def _chain(*convs: tuple[int, int, int]) -> BranchShape:
    """A branch that keeps the side, from (width, kernel height, kernel width)."""
    return BranchShape(tuple(ConvShape(*conv) for conv in convs))


def _shrinking(*convs: tuple[int, int, int], last: int) -> BranchShape:
    """The same, ending in an unpadded 3 x 3 convolution of stride 2 and width `last`."""
    return BranchShape((*_chain(*convs).chain, ConvShape(last, 3, 3, stride=2, padded=False)))


def _forked(*convs: tuple[int, int, int]) -> BranchShape:
    """The same, ending in a flat and a tall kernel side by side."""
    return BranchShape(_chain(*convs).chain, (ConvShape(384, 1, 3), ConvShape(384, 3, 1)))


def _squares(pooled: int) -> BlockShape:
    """A block of the 35 x 35 stage."""
    branches = (
        _chain((64, 1, 1)),
        _chain((48, 1, 1), (64, 5, 5)),
        _chain((64, 1, 1), (96, 3, 3), (96, 3, 3)),
    )
    return BlockShape(branches, pooled)


def _bars(width: int) -> BlockShape:
    """A block of the 17 x 17 stage, whose 7 x 7 kernels are split into bars."""
    branches = (
        _chain((192, 1, 1)),
        _chain((width, 1, 1), (width, 1, 7), (192, 7, 1)),
        _chain((width, 1, 1), (width, 7, 1), (width, 1, 7), (width, 7, 1), (192, 1, 7)),
    )
    return BlockShape(branches, 192)


_WIDE = BlockShape(
    (_chain((320, 1, 1)), _forked((384, 1, 1)), _forked((448, 1, 1), (384, 3, 3))), 192
)

# The stem halves with a maximum pool after its third and its fifth convolution.
STEM = (
    ConvShape(32, 3, 3, stride=2, padded=False),
    ConvShape(32, 3, 3, padded=False),
    ConvShape(64, 3, 3),
    ConvShape(80, 1, 1),
    ConvShape(192, 3, 3, padded=False),
)
POOL_AFTER = (2, 4)
BLOCKS = (
    _squares(32),
    _squares(64),
    _squares(64),
    BlockShape((_shrinking(last=384), _shrinking((64, 1, 1), (96, 3, 3), last=96)), None),
    _bars(128),
    _bars(160),
    _bars(160),
    _bars(192),
    BlockShape(
        (
            _shrinking((192, 1, 1), last=320),
            _shrinking((192, 1, 1), (192, 1, 7), (192, 7, 1), last=192),
        ),
        None,
    ),
    _WIDE,
    _WIDE,
)


def _convolution(in_channels: int, shape: ConvShape) -> nn.Conv2d:
    kernel = (shape.height, shape.width)
    padding = (shape.height // 2, shape.width // 2) if shape.padded else 0
    return nn.Conv2d(in_channels, shape.channels, kernel, shape.stride, padding)


class Branch(nn.Module):
    """One branch of a block; a ReLU follows every convolution."""

    def __init__(self, in_channels: int, shape: BranchShape) -> None:
        """Builds the branch.

        Args:
            in_channels: Width of the block's input.
            shape: Its convolutions.
        """
        super().__init__()
        self.chain, self.forks = nn.ModuleList(), nn.ModuleList()
        width = in_channels
        for conv in shape.chain:
            self.chain.append(_convolution(width, conv))
            width = conv.channels
        for conv in shape.forks:
            self.forks.append(_convolution(width, conv))
        self.channels = sum(conv.channels for conv in shape.forks) or width

    def forward(self, x: Tensor) -> Tensor:
        """`[B, in_channels, H, W]` to `[B, channels, H', W']`."""
        for conv in self.chain:
            x = F.relu(conv(x))
        if not self.forks:
            return x
        return torch.cat([F.relu(conv(x)) for conv in self.forks], dim=1)


class InceptionBlock(nn.Module):
    """Branches and a pooled branch, joined along the channels."""

    def __init__(self, in_channels: int, shape: BlockShape) -> None:
        """Builds the block.

        Args:
            in_channels: Width of its input.
            shape: Its branches.
        """
        super().__init__()
        self.branches = nn.ModuleList(Branch(in_channels, branch) for branch in shape.branches)
        self.pooled = None if shape.pooled is None else nn.Conv2d(in_channels, shape.pooled, 1)
        self.channels = sum(branch.channels for branch in self.branches)
        self.channels += in_channels if shape.pooled is None else shape.pooled

    def forward(self, x: Tensor) -> Tensor:
        """`[B, in_channels, H, W]` to `[B, channels, H', W']`."""
        if self.pooled is None:
            pooled = F.max_pool2d(x, 3, 2)
        else:
            average = F.avg_pool2d(x, 3, 1, padding=1, count_include_pad=False)
            pooled = F.relu(self.pooled(average))
        return torch.cat([*(branch(x) for branch in self.branches), pooled], dim=1)


class NsfwInception(nn.Module):
    """The trunk."""

    def __init__(self) -> None:
        """Builds the net with unset weights."""
        super().__init__()
        self.stem, self.blocks = nn.ModuleList(), nn.ModuleList()
        width = 3
        for shape in STEM:
            self.stem.append(_convolution(width, shape))
            width = shape.channels
        for shape in BLOCKS:
            self.blocks.append(InceptionBlock(width, shape))
            width = self.blocks[-1].channels

    def forward(self, x: Tensor) -> Tensor:
        """Computes features.

        Args:
            x: `[B, 3, H, W]` RGB in [0, 1]. Another side than 299 is resized as the source's own
                code does it: bilinear, corner pixels aligned, no antialiasing.

        Returns:
            `[B, 2048]`, not negative.
        """
        if x.shape[2:] != (INPUT_SIZE, INPUT_SIZE):
            size = (INPUT_SIZE, INPUT_SIZE)
            x = F.interpolate(x, size, mode="bilinear", align_corners=True)
        for index, conv in enumerate(self.stem):
            x = F.relu(conv(x))
            if index in POOL_AFTER:
                x = F.max_pool2d(x, 3, 2)
        for block in self.blocks:
            x = block(x)
        return x.mean((2, 3))
