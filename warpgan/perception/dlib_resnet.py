"""`id_dlib`: dlib's face recognition ResNet, 150 x 150 RGB in, 128 numbers out.

29 layers in four widths (32, 64, 128, 256). Every convolution is followed by a learned scale and
shift, folded into it. Differences from the ResNets of image classification: a stage's shrinking
block convolves without padding and takes its shortcut by 2 x 2 averaging; new channels of a
shortcut are zeros; where the convolution comes out one pixel short of the shortcut, it is the
convolution that is padded.
"""

import torch.nn.functional as F
from torch import Tensor, nn

# (width, first block shrinks, number of blocks), input to output
STAGES = ((32, False, 3), (64, True, 4), (128, True, 3), (256, True, 3), (256, True, 1))


class ShrinkingBlock(nn.Module):
    """Halves the resolution; the shortcut is an average."""

    def __init__(self, in_channels: int, channels: int) -> None:
        """Builds the block.

        Args:
            in_channels: Channels coming in.
            channels: Channels going out, at least `in_channels`.
        """
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride=2)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """`[B, in_channels, H, W]` to `[B, channels, H // 2, W // 2]`."""
        out = self.conv2(F.relu(self.conv1(x)))
        shortcut = F.avg_pool2d(x, 2)
        rows, columns = (shortcut.shape[i] - out.shape[i] for i in (2, 3))
        out = F.pad(out, (0, columns, 0, rows))
        shortcut = F.pad(shortcut, (0, 0, 0, 0, 0, out.shape[1] - shortcut.shape[1]))
        return F.relu(out + shortcut)


class PlainBlock(nn.Module):
    """Keeps resolution and width."""

    def __init__(self, channels: int) -> None:
        """Builds the block.

        Args:
            channels: Channels in and out.
        """
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """`[B, channels, H, W]` to the same."""
        return F.relu(self.conv2(F.relu(self.conv1(x))) + x)


class DlibResNet(nn.Module):
    """The trunk and its linear head."""

    def __init__(self) -> None:
        """Builds the net with unset weights."""
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 7, stride=2)
        blocks: list[nn.Module] = []
        width = 32
        for channels, shrinks, count in STAGES:
            for index in range(count):
                if shrinks and index == 0:
                    blocks.append(ShrinkingBlock(width, channels))
                else:
                    blocks.append(PlainBlock(channels))
            width = channels
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(width, 128, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Embeds faces.

        Args:
            x: `[B, 3, 150, 150]` in the range of `PIXEL_RANGES["id_dlib"]`.

        Returns:
            `[B, 128]`, not normalised.
        """
        x = F.max_pool2d(F.relu(self.stem(x)), 3, stride=2)
        return self.head(self.blocks(x).mean((2, 3)))
