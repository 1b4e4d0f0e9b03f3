"""How long a method takes for one photo and one view, measured apart from everything else.

Batch 1, the photos in turn, the views of each in turn, one camera a call. Every repetition inverts
anew and renders one view; after some unrecorded ones the median of each is taken. On CUDA both are
timed by events and the device is waited for; elsewhere by the wall clock.

A method that takes minutes a photo is not repeated: what the evaluation recorded is reported
instead, and the note says so.
"""

import ctypes
import gc
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch

from warpgan.evaluation.items import Item
from warpgan.evaluation.photos import Photos
from warpgan.evaluation.records import PhotoCost
from warpgan.methods.base import Method

REPEATS = 20
WARM_UP = 2
LIMIT_SECONDS = 60.0
T = TypeVar("T")

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_RESET_PEAK = "5"  # what proc(5) names to reset VmHWM


@dataclass(frozen=True)
class Timing:
    """Seconds of a method, and what they were measured with.

    Attributes:
        invert: median seconds to invert one photo.
        render_per_view: median seconds to render one view of it.
        repeats: measurements that the medians are of.
        warm_up: runs before them that do not count.
        threads: of torch on the CPU.
        device: such as ``cpu`` or ``cuda``.
        peak_memory_bytes: highest memory while measuring; ``None`` if it was not measured.
        note: how time and memory were measured.
    """

    invert: float
    render_per_view: float
    repeats: int
    warm_up: int
    threads: int
    device: str
    peak_memory_bytes: int | None
    note: str


@torch.no_grad()
def time_method(
    method: Method,
    photos: Photos,
    items: Sequence[Item],
    *,
    repeats: int = REPEATS,
    warm_up: int = WARM_UP,
    limit_seconds: float = LIMIT_SECONDS,
    recorded: Sequence[PhotoCost] = (),
) -> Timing:
    """Time a method.

    Args:
        method: under test.
        photos: of the evaluation.
        items: its photos and their cameras; taken in turn, again from the first if too few.
        repeats: measurements; 20 or more for a number that is published.
        warm_up: runs before them; at least 1, which decides whether repeating takes too long.
        limit_seconds: a method whose first inversion takes more than ``limit_seconds / repeats`` is
            not repeated.
        recorded: what each photo took while evaluating (``Records.read_costs``): reported for
            such a method. Without it the one inversion that was made is.

    Raises:
        ValueError: if there is nothing to time.
    """
    if not items:
        raise ValueError("no photos to time; give one item or more")
    for name, value in (("repeats", repeats), ("warm_up", warm_up)):
        if value < 1:
            raise ValueError(f"{name}={value} must be at least 1")
    memory = _PeakMemory(method.device)
    invert, render = [], []
    for number in range(warm_up + repeats):
        item = items[number % len(items)]
        found = _once(method, photos, item, view=number % len(item.cameras))
        if number >= warm_up:
            invert.append(found[0])
            render.append(found[1])
        elif number == 0 and found[0] > limit_seconds / repeats:
            return _not_repeated(method, found, recorded, memory)
    clock = "CUDA events" if method.device.type == "cuda" else "wall clock"
    return Timing(
        invert=statistics.median(invert),
        render_per_view=statistics.median(render),
        repeats=repeats,
        warm_up=warm_up,
        threads=torch.get_num_threads(),
        device=str(method.device),
        peak_memory_bytes=memory.read(),
        note=f"batch 1, one view a call, {clock}; memory: {memory.words}",
    )


def elapsed(work: Callable[[], T], device: torch.device) -> tuple[T, float]:
    """What a call returns and the seconds it takes, the device's work included."""
    if device.type == "cuda":
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize(device)
        start.record()
        result = work()
        end.record()
        torch.cuda.synchronize(device)
        return result, start.elapsed_time(end) / 1000
    wait = device.type != "cpu"
    if wait:
        torch.accelerator.synchronize(device)
    began = time.perf_counter()
    result = work()
    if wait:
        torch.accelerator.synchronize(device)
    return result, time.perf_counter() - began


def _once(method: Method, photos: Photos, item: Item, *, view: int) -> tuple[float, float]:
    """Seconds of one inversion and of one view; reading the photo is not in them."""
    sample = photos.dataset[item.source]
    photo, camera = sample.image[None].to(method.device), sample.camera[None].to(method.device)
    target = item.cameras[view].to(method.device)[None, None]
    inversion, invert = elapsed(lambda: method.invert(photo, camera), method.device)
    _, render = elapsed(lambda: inversion.render(target), method.device)
    return invert, render


def _not_repeated(
    method: Method,
    first: tuple[float, float],
    recorded: Sequence[PhotoCost],
    memory: "_PeakMemory",
) -> Timing:
    kept = [photo for photo in recorded if not photo.failed]
    if kept:
        invert = statistics.median(photo.invert for photo in kept)
        render = statistics.median(photo.render / photo.views for photo in kept)
        source = f"medians of {len(kept)} photos as recorded while evaluating"
    else:
        invert, render = first
        source = "of one run without warm-up"
    return Timing(
        invert=invert,
        render_per_view=render,
        repeats=max(len(kept), 1),
        warm_up=0,
        threads=torch.get_num_threads(),
        device=str(method.device),
        peak_memory_bytes=memory.read(),
        note=(
            f"not repeated, as the first inversion took {first[0]:.3g} s: {source}; memory (one "
            f"photo): {memory.words}"
        ),
    )


class _PeakMemory:
    """The highest memory since it was made."""

    words: str

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._resident = None
        if device.type == "cuda":
            torch.cuda.synchronize(device)
            torch.cuda.reset_peak_memory_stats(device)
            self.words = "most that torch had allocated on the device, weights included"
        elif device.type != "cpu":
            self.words = "not measured on this device"
        elif _reset_peak():
            self._resident = _status_bytes("VmRSS")
            self.words = "growth of the process's resident memory (peak reset before), no weights"
        else:
            self._before = _highest_ever()
            self.words = (
                "growth of the process's highest resident memory, which what it did before may "
                "hide (the peak could not be reset)"
            )

    def read(self) -> int | None:
        """Bytes."""
        if self._device.type == "cuda":
            return torch.cuda.max_memory_allocated(self._device)
        if self._device.type != "cpu":
            return None
        if self._resident is not None:
            return max(_status_bytes("VmHWM") - self._resident, 0)
        return _highest_ever() - self._before


def _reset_peak() -> bool:
    """Let the kernel forget this process's peak; False where it cannot."""
    if not (_STATUS.is_file() and os.access(_CLEAR, os.W_OK)):
        return False
    # Else what was freed earlier, but kept by the allocator, is used again and nothing grows.
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    try:
        _CLEAR.write_text(_RESET_PEAK)
    except OSError:
        return False
    return True


def _status_bytes(key: str) -> int:
    """A size in Linux's account of this process."""
    line = next(x for x in _STATUS.read_text().splitlines() if x.startswith(f"{key}:"))
    return int(line.split()[1]) * 1024


def _highest_ever() -> int:
    """Highest resident memory of this process since it started, bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
