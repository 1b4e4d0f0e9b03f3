"""From the package's image range to the range a foreign net was trained on.

Every net's numbers stand here once, for RGB pixels in 0..255: the net sees
`(pixel - mean) / divisor`.
"""

import torch
from torch import Tensor, nn

# dlib: (pixel - mean) / 256. HSE's face net and VGG16 (Caffe heritage): pixel - mean.
# EfficientNet-lite: (pixel / 255 - .498) / .502. ArcFace and LPIPS take [-1, 1] as it is.
PIXEL_RANGES: dict[str, tuple[tuple[float, float, float], float]] = {
    "id_dlib": ((122.782, 117.001, 104.298), 256.0),
    "id_faceres": ((123.7, 116.8, 103.9), 1.0),
    "perc_vgg16hed": ((122.67892, 116.66877, 104.00699), 1.0),
    "perc_efficientnet": ((127.0, 127.0, 127.0), 128.0),
}


class PixelRange(nn.Module):
    """An affine map from RGB in [-1, 1] to what a net expects."""

    def __init__(self, mean: tuple[float, float, float], divisor: float) -> None:
        """Builds the map.

        Args:
            mean: RGB mean in 0..255, subtracted first.
            divisor: What the difference is divided by.
        """
        super().__init__()
        shift = (127.5 - torch.tensor(mean, dtype=torch.float64)) / divisor
        self.scale = 127.5 / divisor
        self.register_buffer("shift", shift.float().view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Maps the images.

        Args:
            images: `[B, 3, H, W]` RGB in [-1, 1].

        Returns:
            `[B, 3, H, W]` in the net's own range.
        """
        return images * self.scale + self.shift


def pixel_range(name: str) -> PixelRange:
    """The range of one of the nets in `PIXEL_RANGES`.

    Args:
        name: The net's name.

    Returns:
        The map as a module.
    """
    mean, divisor = PIXEL_RANGES[name]
    return PixelRange(mean, divisor)
