"""Identity nets: who is in the picture, as a unit vector."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from warpgan.perception.crops import usable
from warpgan.perception.precision import full_precision


class IdentityNet(nn.Module):
    """A frozen recognition net with its own crop and its own range.

    Always in evaluation mode and always in float32, whatever surrounds it.

    Attributes:
        name: The net's name, printed beside every number it gives.
        differentiable: Whether gradients reach the images; a training loss needs that.
    """

    def __init__(
        self,
        name: str,
        trunk: nn.Module,
        *,
        crop: nn.Module,
        pixels: Callable[[Tensor], Tensor],
        differentiable: bool = True,
    ) -> None:
        """Assembles the net.

        Args:
            name: The net's name.
            trunk: Crops in the net's range to embeddings of any length.
            crop: `(images, camera, landmarks)` to crops, one of `warpgan.perception.crops`.
            pixels: Crops in [-1, 1] to the trunk's range.
            differentiable: False for nets run outside torch.
        """
        super().__init__()
        self.name = name
        self.trunk = trunk
        self.crop = crop
        self.pixels = pixels
        self.differentiable = differentiable
        self.requires_grad_(False)
        self.train(False)

    def train(self, mode: bool = True) -> "IdentityNet":
        """Stays in evaluation mode: batch norm and dropout of a frozen judge never train."""
        return super().train(False)

    def forward(
        self,
        images: Tensor,
        cameras: Tensor | None = None,
        *,
        landmarks: Tensor | None = None,
    ) -> Tensor:
        """Embeds faces.

        Args:
            images: `[B, 3, S, S]` RGB in [-1, 1], framed as EG3D crops.
            cameras: Labels `[B, 25]`; needed by the aligned crop only.
            landmarks: `[B, 5, 2]` pixels, for the aligned crop instead of cameras; a face that
                was not found has NaN there.

        Returns:
            `[B, D]` float32 unit vectors; zero, whose cosine with anybody is 0, for a face whose
            landmarks the crop needs and which are not `warpgan.perception.crops.usable`.

        Raises:
            ValueError: The images are not square RGB, or the crop lacks cameras or landmarks.
        """
        if images.dim() != 4 or images.shape[1] != 3 or images.shape[2] != images.shape[3]:
            raise ValueError(f"{self.name}: images must be [B, 3, S, S], not {list(images.shape)}")
        with full_precision(images.device):
            faces = self.crop(images.float(), cameras, landmarks)
            embeddings = F.normalize(self.trunk(self.pixels(faces)), dim=1)
        if landmarks is None or not self.crop.aligns:
            return embeddings
        return torch.where(usable(landmarks)[:, None], embeddings, 0.0)

    def distance(
        self,
        a: Tensor,
        b: Tensor,
        *,
        cameras_a: Tensor | None = None,
        cameras_b: Tensor | None = None,
        landmarks_a: Tensor | None = None,
        landmarks_b: Tensor | None = None,
    ) -> Tensor:
        """One minus the cosine of the two faces' embeddings.

        Args:
            a: `[B, 3, S, S]` in [-1, 1].
            b: The same; gradients reach both.
            cameras_a: Labels `[B, 25]` of `a`, for the aligned crop.
            cameras_b: Labels of `b`; those of `a` if not given.
            landmarks_a: `[B, 5, 2]` pixels of `a`, for the aligned crop instead of cameras.
            landmarks_b: The same of `b`; those of `a` if not given.

        Returns:
            `[B]` float32 in [0, 2]; 1 where a face of the two was not found.
        """
        cameras_b = cameras_a if cameras_b is None else cameras_b
        landmarks_b = landmarks_a if landmarks_b is None else landmarks_b
        embeddings_a = self(a, cameras_a, landmarks=landmarks_a)
        return 1.0 - (embeddings_a * self(b, cameras_b, landmarks=landmarks_b)).sum(1)
