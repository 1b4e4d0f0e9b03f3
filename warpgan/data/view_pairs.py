"""What SVINet is trained on: photos with the generator's views of them, and synthetic pairs.

All images are in [0, 1], the range of SVINet's losses. `RealViews` has no truth at the novel
camera; `SyntheticViews` has, since both of its views come from one known latent.
"""

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class RealViews:
    """Photos and what the generator makes of their inversions.

    Attributes:
        photo: [B, 3, S, S] in [0, 1].
        camera: [B, 25] of the photo.
        novel_camera: [B, 25].
        ws: [B, L, C] the encoder's codes.
        ray_length: [B, 1, R, R] at the photo's camera.
        novel_ray_length: [B, 1, R, R] at the novel camera.
        render: [B, 3, S, S] in [0, 1], at the photo's camera.
        novel_render: [B, 3, S, S] in [0, 1], at the novel camera.
        names: B file names, for messages.
    """

    photo: Tensor
    camera: Tensor
    novel_camera: Tensor
    ws: Tensor
    ray_length: Tensor
    novel_ray_length: Tensor
    render: Tensor
    novel_render: Tensor
    names: tuple[str, ...]

    def to(self, device: torch.device) -> "RealViews":
        """Move the tensors."""
        return _moved(self, device)


@dataclass(frozen=True)
class SyntheticViews:
    """Pairs of the generator's own views: a source and its truth at another camera.

    Attributes:
        source: [B, 3, S, S] in [0, 1], rendered from the true latent; stands in for a photo.
        target: [B, 3, S, S] in [0, 1], rendered from the true latent at the target camera.
        camera: [B, 25] of the source.
        target_camera: [B, 25].
        ws: [B, L, C] the encoder's codes of the source (or the true ones where so configured).
        ray_length: [B, 1, R, R] of the inversion at the source's camera.
        target_ray_length: [B, 1, R, R] of the inversion at the target camera.
        target_render: [B, 3, S, S] in [0, 1], the inversion at the target camera.
        names: B names, for messages.
    """

    source: Tensor
    target: Tensor
    camera: Tensor
    target_camera: Tensor
    ws: Tensor
    ray_length: Tensor
    target_ray_length: Tensor
    target_render: Tensor
    names: tuple[str, ...]

    def to(self, device: torch.device) -> "SyntheticViews":
        """Move the tensors."""
        return _moved(self, device)


def _moved(views, device: torch.device):
    tensors = {
        field.name: getattr(views, field.name).to(device, non_blocking=True)
        for field in fields(views)
        if field.name != "names"
    }
    return replace(views, **tensors)


def join_views(parts: list) -> "RealViews | SyntheticViews":
    """Stack batches of one kind along the batch axis.

    Args:
        parts: At least one batch, all `RealViews` or all `SyntheticViews`.

    Returns:
        One batch of the same kind.
    """
    first = parts[0]
    if len(parts) == 1:
        return first
    joined = {
        field.name: torch.cat([getattr(part, field.name) for part in parts])
        for field in fields(first)
        if field.name != "names"
    }
    return type(first)(**joined, names=tuple(name for part in parts for name in part.names))
