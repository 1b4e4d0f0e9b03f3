"""`perc_vgg16hed`: the VGG16 trunk of a holistically-nested edge detector, as a feature pyramid.

An ImageNet VGG16 fine-tuned for edges (BSDS500). Ten convolutions, the last one that of LPIPS's
fourth level; the fifth group is left out. LPIPS's linear heads were fitted to other weights and do
not belong on it.
"""

import torch.nn.functional as F
from torch import Tensor, nn

# Convolution widths; a group's last activation is a level, a 2 x 2 maximum leads to the next group.
GROUPS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512))


class Vgg16Pyramid(nn.Module):
    """The trunk; returns the last activation of every group."""

    def __init__(self) -> None:
        """Builds the net with unset weights."""
        super().__init__()
        width = 3
        groups = []
        for widths in GROUPS:
            convolutions = nn.ModuleList()
            for channels in widths:
                convolutions.append(nn.Conv2d(width, channels, 3, padding=1))
                width = channels
            groups.append(convolutions)
        self.groups = nn.ModuleList(groups)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Computes the pyramid.

        Args:
            x: `[B, 3, H, W]` in the range of `PIXEL_RANGES["perc_vgg16hed"]`.

        Returns:
            Four maps of 64, 128, 256 and 512 channels at strides 1, 2, 4 and 8.
        """
        levels = []
        for index, convolutions in enumerate(self.groups):
            if index:
                x = F.max_pool2d(x, 2, ceil_mode=True)
            for convolution in convolutions:
                x = F.relu(convolution(x))
            levels.append(x)
        return levels
