"""What a method is to the harness: ``invert`` one photo, then ``render`` any number of views."""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor


@dataclass(frozen=True)
class Views:
    """Rendered views of a batch, ``V`` cameras an item.

    Attributes:
        image: ``[B, V, 3, S, S]``, nominally in [-1, 1].
        depth_z: ``[B, V, 1, S, S]``, along each camera's z axis, in scene units.
        seconds: wall time of the call, the whole batch.
    """

    image: Tensor
    depth_z: Tensor
    seconds: float


class Inversion(ABC):
    """What a method made of a batch of photos.

    Attributes:
        seconds: wall time of the inversion, the whole batch.
        steps: optimisation steps of each photo; ``None`` for methods without.
    """

    seconds: float
    steps: Sequence[int] | None = None

    @abstractmethod
    def render(self, cameras: Tensor) -> Views:
        """Render the faces from cameras ``[B, V, 25]``, ``V`` of each item."""


class Method(ABC):
    """A method under test.

    Attributes:
        name: how tables call it.
        image_size: side ``S`` of the photos it takes and the views it gives.
        files: weight files that it was built from; their hashes stand beside its numbers.
        device: where its photos and cameras must be.
        one_at_a_time: whether the harness gives it photos one by one, as each takes long.
        floor: whether it only makes other numbers readable: not timed, not judged for consistency.
        note: what a table must declare of it, such as a share of the published steps.
    """

    name: str
    image_size: int
    files: tuple[Path, ...] = ()
    device: torch.device = torch.device("cpu")
    one_at_a_time: bool = False
    floor: bool = False
    note: str = ""

    @abstractmethod
    def invert(self, photo: Tensor, camera: Tensor) -> Inversion:
        """Invert photos.

        Args:
            photo: ``[B, 3, S, S]`` in [-1, 1].
            camera: labels ``[B, 25]`` of the photos.
        """


class Stopwatch:
    """Seconds of a stretch of work, waiting for the device at both ends."""

    seconds: float = 0.0

    @contextmanager
    def running(self, device: torch.device) -> Iterator["Stopwatch"]:
        """Time the body of a ``with`` statement whose work is done on ``device``."""
        _wait_for(device)
        start = time.perf_counter()
        yield self
        _wait_for(device)
        self.seconds = time.perf_counter() - start


def _wait_for(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
