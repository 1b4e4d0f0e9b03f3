"""One person at the page: a photo, its inversion, the views seen of it, and a folder for its files.

Nothing here knows of a browser or of other sessions. Everything that runs a network takes the lock
of the studio (`warpgan.demonstration.studio`); a session belongs to one browser tab.
"""

import shutil
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from warpgan.cameras import yaw_pitch
from warpgan.data.images import to_unit_range
from warpgan.demonstration.sources import Adjustment, Source, adjusted
from warpgan.pictures import to_uint8
from warpgan.pipeline import METHODS, Face, NovelViews, WarpGAN
from warpgan.synthesis.plan import turned

LIFTED = "lifted"
SHOWN = (*METHODS, LIFTED)
LARGEST_YAW, LARGEST_PITCH = 75.0, 30.0
CACHE_BYTES = 24_000_000
"""Of views kept per session, so that going back to an angle or another method costs nothing."""
START_TURN = 20.0
NO_PHOTO = "there is no photo yet: choose an example or upload a photo first"
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class _Place:
    """An angle in tenths of a degree."""

    yaw: int
    pitch: int


class ViewCache:
    """Pictures by place and method; the least recently used leave when it is full."""

    def __init__(self, most_bytes: int = CACHE_BYTES) -> None:
        """Start empty."""
        self._most_bytes = most_bytes
        self._pictures: OrderedDict[tuple[_Place, str], np.ndarray] = OrderedDict()
        self._bytes = 0

    @property
    def bytes(self) -> int:
        """Of all pictures kept."""
        return self._bytes

    def get(self, place: _Place, method: str) -> np.ndarray | None:
        """A picture, if it is kept."""
        picture = self._pictures.get((place, method))
        if picture is not None:
            self._pictures.move_to_end((place, method))
        return picture

    def put(self, place: _Place, method: str, picture: np.ndarray) -> None:
        """Keep a picture."""
        old = self._pictures.pop((place, method), None)
        self._bytes += picture.nbytes - (0 if old is None else old.nbytes)
        self._pictures[place, method] = picture
        while self._bytes > self._most_bytes and len(self._pictures) > 1:
            _, gone = self._pictures.popitem(last=False)
            self._bytes -= gone.nbytes

    def clear(self) -> None:
        """Forget all."""
        self._pictures.clear()
        self._bytes = 0


@dataclass
class Session:
    """What is kept of a person at the page.

    Attributes:
        key: a secret; addresses of its files begin with it.
        folder: for its files; made when first written, removed by `close`.
        found: the photo as it was found; None before there is one.
        source: the same, adjusted.
        adjustment: how.
        face: inverted; None before the first view.
        lifted: its lasting state; None before it was asked for.
        files: those that may be downloaded, by name.
        last_used: of `time.monotonic`.
        generation: counts photos and adjustments: files made of an older one are gone.
    """

    key: str
    folder: Path
    found: Source | None = None
    source: Source | None = None
    adjustment: Adjustment = Adjustment()
    face: Face | None = None
    lifted: Any = None
    files: dict[str, Path] = field(default_factory=dict)
    cache: ViewCache = field(default_factory=ViewCache)
    last_used: float = field(default_factory=time.monotonic)
    generation: int = 0

    def open(self, source: Source) -> None:
        """Take another photo; everything made of the last one is dropped."""
        self.found = source
        self._take(source, Adjustment())

    def adjust(self, adjustment: Adjustment) -> None:
        """Move crop and camera, counted from how they were found.

        Raises:
            ValueError: without a photo.
        """
        if self.found is None:
            raise ValueError(NO_PHOTO)
        if adjustment != self.adjustment:
            self._take(adjusted(self.found, adjustment), adjustment)

    def _take(self, source: Source, adjustment: Adjustment) -> None:
        self.source, self.adjustment = source, adjustment
        self.face = self.lifted = None
        self.cache.clear()
        self.files.clear()
        shutil.rmtree(self.folder, ignore_errors=True)
        self.generation += 1

    def inverted(self, pipeline: WarpGAN) -> Face:
        """The photo's inversion, computed once.

        Raises:
            ValueError: without a photo.
        """
        if self.source is None:
            raise ValueError(NO_PHOTO)
        if self.face is None:
            generator = pipeline.generator
            device = generator.mean_latent().device
            photo = to_unit_range(self.source.crop, generator.img_resolution)[None].to(device)
            self.face = pipeline.invert(photo, self.source.camera[None].to(device))
        return self.face

    def view(self, pipeline: WarpGAN, yaw: float, pitch: float, *, method: str) -> np.ndarray:
        """A view, from the cache where it was seen before.

        Args:
            pipeline: the networks.
            yaw: degrees.
            pitch: degrees.
            method: one of `SHOWN`.

        Returns:
            ``[S, S, 3]`` uint8.

        Raises:
            ValueError: without a photo, for angles out of range, an unknown method, or ``lifted``
                before the photo was lifted.
        """
        self.check(method)
        place = checked_place(yaw, pitch)
        picture = self.cache.get(place, method)
        if picture is not None:
            return picture
        face = self.inverted(pipeline)
        camera = turned(face.camera[0], [place.yaw / 10], [place.pitch / 10])
        if method == LIFTED:
            self.cache.put(place, LIFTED, to_uint8(self.lifted.render(camera).image[0, 0]))
        else:
            for stage, image in pictures_of(face.views(camera[None], method), method).items():
                self.cache.put(place, stage, image)
        return self.cache.get(place, method)

    def check(self, method: str) -> None:
        """Refuse what cannot be shown, before anything is computed.

        Raises:
            ValueError: see `view`.
        """
        if method not in SHOWN:
            raise ValueError(f"method {method!r:.30} is not known; choose one of {SHOWN}")
        if self.source is None:
            raise ValueError(NO_PHOTO)
        if method == LIFTED and self.lifted is None:
            raise ValueError("this photo has no lifted state yet: press the button Lift first")

    def stream(self, pipeline: WarpGAN, cameras: Tensor, method: str) -> Iterator[np.ndarray]:
        """Views ``[S, S, 3]`` uint8 from many cameras ``[V, 25]``, one after another."""
        self.check(method)
        face = self.inverted(pipeline)
        for camera in cameras:
            if method == LIFTED:
                yield to_uint8(self.lifted.render(camera[None]).image[0, 0])
            else:
                yield to_uint8(face.views(camera[None, None], method).image[0, 0])

    def lift(self, pipeline: WarpGAN, progress: Progress | None = None) -> None:
        """Tune a lasting state to the photo: about a minute with the mini weights.

        Raises:
            ValueError: without a photo.
        """
        # Loaded on demand: most people at the page never ask for it.
        from warpgan.lifting.optimise import lift

        face = self.inverted(pipeline)
        if self.lifted is None:
            self.lifted = lift(face, progress=progress)

    def start_view(self) -> tuple[float, float]:
        """Yaw and pitch to show first, degrees: a small turn from the photo's camera."""
        if self.source is None:
            return 0.0, 0.0
        yaw = float(yaw_pitch(self.source.camera)[0])
        turned_yaw = yaw - START_TURN if yaw > 0 else yaw + START_TURN
        return float(round(min(max(turned_yaw, -LARGEST_YAW), LARGEST_YAW))), 0.0

    def close(self) -> None:
        """Forget everything and remove the files."""
        self.found = self.source = self.face = self.lifted = None
        self.cache.clear()
        self.files.clear()
        shutil.rmtree(self.folder, ignore_errors=True)


def checked_place(yaw: float, pitch: float) -> _Place:
    """Angles in degrees that a browser sent.

    Raises:
        ValueError: no numbers, or out of range.
    """
    for name, value, limit in (("yaw", yaw, LARGEST_YAW), ("pitch", pitch, LARGEST_PITCH)):
        if not isinstance(value, int | float) or not abs(value) <= limit:
            raise ValueError(f"{name} {value!r:.20} must be from -{limit:g} to {limit:g} degrees")
    return _Place(round(yaw * 10), round(pitch * 10))


@torch.inference_mode()
def pictures_of(views: NovelViews, method: str) -> dict[str, np.ndarray]:
    """Every method's picture that one view holds: WarpGAN's also holds those on the way to it."""
    found = {"inversion": views.render}
    if method != "inversion":
        found |= {"warp": views.warped, "fill": views.filled}
    found[method] = views.image
    return {name: to_uint8(image[0, 0]) for name, image in found.items()}
