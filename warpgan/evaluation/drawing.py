"""One batch of photos through a method, and what becomes of a photo that it cannot do."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from warpgan.cameras import RADIUS
from warpgan.evaluation.items import Item
from warpgan.methods.base import Method

# What a method may do wrong with a photo: counted and named in the tables. Linear algebra that does
# not converge, and torch out of memory, are RuntimeErrors.
FAULTS = (
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True)
class Loaded:
    """A batch's pictures, read ahead by another thread.

    Attributes:
        sources: ``[B, 3, S, S]``.
        source_cameras: ``[B, 25]``.
        targets: ``[N, 3, S, S]``; ``None`` without true views.
        depth: true ``depth_z`` and mask of the targets.
        visible: ``[N, 1, S, S]`` bool.
    """

    sources: Tensor
    source_cameras: Tensor
    targets: Tensor | None = None
    depth: tuple[Tensor, Tensor] | None = None
    visible: Tensor | None = None


@dataclass(frozen=True)
class Drawn:
    """A method's views of a batch, ``N`` in all, of ``B`` photos.

    Attributes:
        image: ``[N, 3, S, S]``; mid-grey where the method failed.
        depth_z: ``[N, 1, S, S]``; a plane at the cameras' radius where the method failed.
        failed: ``[N]`` bool.
        invert: ``[B]`` seconds; a batch's time is shared by its photos.
        render: ``[B]`` seconds.
        steps: ``[B]``.
        errors: ``[B]``, empty for none.
    """

    image: Tensor
    depth_z: Tensor
    failed: Tensor
    invert: np.ndarray
    render: np.ndarray
    steps: np.ndarray
    errors: list[str]


def draw(method: Method, batch: Sequence[Item], loaded: Loaded) -> Drawn:
    """Invert the sources of a batch and render their views.

    What a method does wrong with one photo must not cost the others: if a batch fails, each of its
    photos is tried alone, and one that fails again becomes grey views and an error.

    Raises:
        ValueError: if the method gives images of another size: no photo's fault.
    """
    try:
        return _draw_together(method, batch, loaded)
    except _WrongSize as error:
        raise ValueError(str(error)) from error
    except FAULTS as error:
        if len(batch) == 1:
            return _grey(method, batch[0], f"{type(error).__name__}: {error}")
    parts = [
        draw(method, [item], Loaded(loaded.sources[[place]], loaded.source_cameras[[place]]))
        for place, item in enumerate(batch)
    ]
    return Drawn(
        image=torch.cat([part.image for part in parts]),
        depth_z=torch.cat([part.depth_z for part in parts]),
        failed=torch.cat([part.failed for part in parts]),
        invert=np.concatenate([part.invert for part in parts]),
        render=np.concatenate([part.render for part in parts]),
        steps=np.concatenate([part.steps for part in parts]),
        errors=[error for part in parts for error in part.errors],
    )


class _WrongSize(Exception):
    """A method that cannot be compared at all."""


def _draw_together(method: Method, batch: Sequence[Item], loaded: Loaded) -> Drawn:
    """One call for the batch; items with fewer views repeat their last camera, then dropped."""
    most = max(len(item.views) for item in batch)
    cameras = torch.stack(
        [
            torch.cat([item.cameras, item.cameras[-1:].expand(most - len(item.views), -1)])
            for item in batch
        ]
    )
    inversion = method.invert(
        loaded.sources.to(method.device), loaded.source_cameras.to(method.device)
    )
    views = inversion.render(cameras.to(method.device))
    kept = [(row, view) for row, item in enumerate(batch) for view in range(len(item.views))]
    rows, places = torch.tensor(kept).T
    image, depth_z = views.image[rows, places], views.depth_z[rows, places]
    expected = (3, method.image_size, method.image_size)
    if tuple(image.shape[1:]) != expected:
        raise _WrongSize(f"{method.name} gave images {tuple(image.shape[1:])}, expected {expected}")
    for what, values in (("values", image), ("depth values", depth_z)):
        if not values.isfinite().all():
            raise ValueError(f"{what} that are not finite")
    photos = len(batch)
    steps = inversion.steps or [0] * photos
    return Drawn(
        image=image,
        depth_z=depth_z,
        failed=torch.zeros(len(kept), dtype=torch.bool, device=image.device),
        invert=np.full(photos, inversion.seconds / photos),
        render=np.array([views.seconds * len(item.views) / (photos * most) for item in batch]),
        steps=np.array(steps),
        errors=[""] * photos,
    )


def _grey(method: Method, item: Item, error: str) -> Drawn:
    shape = (len(item.views), 3, method.image_size, method.image_size)
    image = torch.zeros(shape, device=method.device)
    nothing = np.zeros(1)
    failed = torch.ones(len(image), dtype=torch.bool, device=method.device)
    flat = torch.full_like(image[:, :1], RADIUS)
    return Drawn(image, flat, failed, nothing, nothing, nothing, [error or "no message"])
