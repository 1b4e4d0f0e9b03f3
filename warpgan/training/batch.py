"""Samples of a folder, stacked."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from warpgan.data.folder import Sample


@dataclass(frozen=True)
class Batch:
    """Photos with their cameras.

    Attributes:
        photo: [B, 3, S, S] float32 in [-1, 1].
        camera: [B, 25] camera labels.
        names: B file names, for messages.
    """

    photo: Tensor
    camera: Tensor
    names: tuple[str, ...]

    def to(self, device: torch.device) -> "Batch":
        """Move the tensors."""
        return replace(
            self,
            photo=self.photo.to(device, non_blocking=True),
            camera=self.camera.to(device, non_blocking=True),
        )


def stack_samples(samples: Sequence[Sample]) -> Batch:
    """Stack samples of equal size."""
    return Batch(
        photo=torch.stack([sample.image for sample in samples]),
        camera=torch.stack([sample.camera for sample in samples]),
        names=tuple(sample.name for sample in samples),
    )
