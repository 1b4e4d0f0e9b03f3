"""What the benchmarks share: time measured beside a convolution, memory, FLOP, one line a stage."""

import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from eg3d.inference import release_free_memory


@dataclass(frozen=True)
class Timing:
    """One run of one stage: seconds, and the convolution's FLOP per second around it."""

    seconds: float
    convolution_rate: float


class ConvolutionRate:
    """The yardstick: a plain convolution's FLOP per second, now."""

    FLOP = 2 * 9 * 256 * 256 * 128 * 128

    def __call__(self) -> float:
        """Measure; its tensors live no longer, so that they don't add to a stage's memory."""
        last = torch.channels_last
        x = torch.full((1, 256, 128, 128), 0.5).contiguous(memory_format=last)
        weight = torch.full((256, 256, 3, 3), 0.5).contiguous(memory_format=last)
        start = time.perf_counter()
        F.conv2d(x, weight, padding=1)
        seconds = time.perf_counter() - start
        del x, weight
        release_free_memory()
        return self.FLOP / seconds


def peak_gib() -> float:
    """Largest resident memory of this process so far, in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def measure(work: Callable, convolution: ConvolutionRate) -> tuple[object, Timing]:
    """Run once, between two runs of the convolution."""
    before = convolution()
    start = time.perf_counter()
    result = work()
    seconds = time.perf_counter() - start
    return result, Timing(seconds, 2 / (1 / before + 1 / convolution()))


def sum_of(stages: list[list[Timing]]) -> list[Timing]:
    """Add the stages of each round; the rate is what the convolution would have done meanwhile."""
    totals = []
    for parts in zip(*stages, strict=True):
        seconds = sum(t.seconds for t in parts)
        work = sum(t.seconds * t.convolution_rate for t in parts)
        totals.append(Timing(seconds, work / seconds))
    return totals


def report_head() -> None:
    """Print the names of the columns of `report`."""
    print(f"{'stage':34s} {'GFLOP':>8s} {'median s':>9s} {'least s':>8s} {'efficiency':>10s}")


def report(name: str, flop: int | None, timings: list[Timing]) -> None:
    """Print one stage; without FLOP there is no efficiency."""
    seconds = [t.seconds for t in timings]
    line = f"{name:34s} "
    if flop is None:
        print(line + f"{'':8s} {statistics.median(seconds):9.3f} {min(seconds):8.3f}")
        return
    efficiency = statistics.median(flop / t.seconds / t.convolution_rate for t in timings)
    print(
        line + f"{flop / 1e9:8.2f} {statistics.median(seconds):9.3f} {min(seconds):8.3f} "
        f"{efficiency:10.3f}"
    )
