"""IR-SE50: the ArcFace network of the published identity losses, and the trunk of the pSp encoder.

Module names are those of the public `model_ir_se50.pth` (397 entries). Images are in [-1, 1].
"""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

WIDTHS = (64, 64, 128, 256, 512)
UNITS = (3, 4, 14, 3)
SQUEEZE = 16
FACE_SIDE = 112
EMBEDDING = 512


class SqueezeExcite(nn.Module):
    """Scales each channel by a gate computed from the channel means."""

    def __init__(self, channels: int) -> None:
        """Build the gate with `channels` / 16 hidden channels (at least one)."""
        super().__init__()
        hidden = max(1, channels // SQUEEZE)
        self.fc1 = nn.Conv2d(channels, hidden, 1, bias=False)
        self.fc2 = nn.Conv2d(hidden, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Gate `x` [B, C, H, W]."""
        means = x.mean(dim=(2, 3), keepdim=True)
        return x * self.fc2(F.relu(self.fc1(means))).sigmoid()


class IrSeBlock(nn.Module):
    """Improved residual unit: norm, conv, PReLU, strided conv, norm, squeeze and excite."""

    def __init__(self, in_channels: int, channels: int, *, stride: int) -> None:
        """Build the block; the shortcut is a subsampling where the width does not change."""
        super().__init__()
        if in_channels == channels:
            self.shortcut_layer: nn.Module = nn.MaxPool2d(1, stride)
        else:
            self.shortcut_layer = nn.Sequential(
                nn.Conv2d(in_channels, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(in_channels),
            nn.Conv2d(in_channels, channels, 3, 1, 1, bias=False),
            nn.PReLU(channels),
            nn.Conv2d(channels, channels, 3, stride, 1, bias=False),
            nn.BatchNorm2d(channels),
            SqueezeExcite(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, in, H, W] to [B, channels, H/stride, W/stride]."""
        return self.shortcut_layer(x) + self.res_layer(x)


def build_stem(width: int) -> nn.Sequential:
    """Build the first convolution, at full resolution."""
    return nn.Sequential(
        nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.PReLU(width)
    )


def build_body(widths: Sequence[int] = WIDTHS, units: Sequence[int] = UNITS) -> nn.Sequential:
    """Chain the residual units: `units[i]` of width `widths[i + 1]`, the first of each halving."""
    blocks = []
    for index, count in enumerate(units):
        for unit in range(count):
            in_channels = widths[index] if unit == 0 else widths[index + 1]
            stride = 2 if unit == 0 else 1
            blocks.append(IrSeBlock(in_channels, widths[index + 1], stride=stride))
    return nn.Sequential(*blocks)


class IrSe50(nn.Module):
    """Face recognition network: aligned or cropped faces to unit embeddings."""

    def __init__(self, *, dropout: float = 0.6) -> None:
        """Build the network with random weights; `dropout` acts in training mode only."""
        super().__init__()
        side = FACE_SIDE >> len(UNITS)
        self.input_layer = build_stem(WIDTHS[0])
        self.output_layer = nn.Sequential(
            nn.BatchNorm2d(WIDTHS[-1]),
            nn.Dropout(dropout),
            nn.Flatten(),
            nn.Linear(WIDTHS[-1] * side * side, EMBEDDING),
            nn.BatchNorm1d(EMBEDDING),
        )
        self.body = build_body()

    def forward(self, faces: Tensor) -> Tensor:
        """Embed `faces` [B, 3, 112, 112] in [-1, 1] as unit vectors [B, 512]."""
        return F.normalize(self.output_layer(self.body(self.input_layer(faces))), dim=1)
