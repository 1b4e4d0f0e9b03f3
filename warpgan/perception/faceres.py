"""`id_faceres`: a MobileNet face net, 224 x 224 RGB in, 1024 numbers out.

The trunk of a network for age, gender and identity trained by HSE on VGGFace2 (MobileNet v1,
width 1, 13 depthwise-separable layers, ReLU6). Age and gender heads are left out; the embedding is
the average of the last map. Padding as in TensorFlow, see `SameConv`.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from warpgan.perception.efficientnet import SameConv

# (channels out, stride) of the separable layers
LAYERS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2))
LAYERS += ((512, 1),) * 5 + ((1024, 2), (1024, 1))


class FaceMobileNet(nn.Module):
    """The trunk."""

    def __init__(self) -> None:
        """Builds the net with unset weights."""
        super().__init__()
        self.stem = SameConv(3, 32, 3, stride=2)
        self.depthwise, self.pointwise = nn.ModuleList(), nn.ModuleList()
        width = 32
        for channels, stride in LAYERS:
            self.depthwise.append(SameConv(width, width, 3, stride=stride, groups=width))
            self.pointwise.append(nn.Conv2d(width, channels, 1))
            width = channels

    def forward(self, x: Tensor) -> Tensor:
        """Embeds faces.

        Args:
            x: `[B, 3, 224, 224]` in the range of `PIXEL_RANGES["id_faceres"]`.

        Returns:
            `[B, 1024]`, not negative, not normalised.
        """
        x = F.relu6(self.stem(x))
        for depthwise, pointwise in zip(self.depthwise, self.pointwise, strict=True):
            x = F.relu6(pointwise(F.relu6(depthwise(x))))
        return x.mean((2, 3))
