"""What is measured of a method beside its rows: times, and how well its views agree."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from warpgan.evaluation import consistency
from warpgan.evaluation.items import Item
from warpgan.evaluation.measures import MetricSuite
from warpgan.evaluation.photos import Photos
from warpgan.evaluation.records import PhotoCost, write_text
from warpgan.evaluation.timing import Timing, time_method
from warpgan.methods.base import Method


@dataclass(frozen=True)
class Extras:
    """Beside the rows, ready for JSON.

    Attributes:
        timing: by the timing protocol; ``None`` if it was not asked for.
        consistency: across views and along an orbit, see `consistency.summary`; ``None`` if it was
            not asked for, the true surfaces are not known, the method is a floor, or it would have
            to optimise every photo once more.
    """

    timing: Mapping[str, Any] | None = None
    consistency: Mapping[str, Any] | None = None


def measure_extras(
    method: Method,
    photos: Photos,
    items: Sequence[Item],
    *,
    folder: Path,
    suite: MetricSuite,
    timing: int,
    orbit_frames: int,
    recorded: Sequence[PhotoCost],
    seed: int,
    optimised: bool = False,
) -> Extras:
    """Measure what is asked for and not in ``folder`` yet.

    Args:
        method: whose rows are complete.
        photos: of the evaluation.
        items: of the evaluation.
        folder: of the method: ``timing.json``, ``consistency.csv``.
        suite: its first perceptual net judges consistency.
        timing: repetitions; 0 for no timing.
        orbit_frames: of the orbit; 0 for no consistency.
        recorded: what each photo took, reported for methods that take too long to repeat.
        seed: of the bootstrap.
        optimised: measure consistency of methods that optimise, too.
    """
    times = None
    if timing and not method.floor:
        times = _timing(method, photos, items, folder, timing, recorded)
    agreement = None
    left_out = method.floor or (method.one_at_a_time and not optimised)
    if can_agree(suite, photos, orbit_frames) and not left_out:
        rows = consistency.measure_consistency(
            method,
            photos,
            items,
            perceptual=suite.perceptual[0],
            orbit_frames=orbit_frames,
            folder=folder,
        )
        agreement = consistency.summary(rows, seed=seed)
    return Extras(times, agreement)


def measure_floor(
    photos: Photos,
    items: Sequence[Item],
    *,
    folder: Path,
    suite: MetricSuite,
    orbit_frames: int,
    seed: int,
) -> Mapping[str, Any] | None:
    """Consistency of the true views, the floor of every method; arguments as above."""
    if not can_agree(suite, photos, orbit_frames):
        return None
    rows = consistency.measure_truth(
        photos, items, perceptual=suite.perceptual[0], orbit_frames=orbit_frames, folder=folder
    )
    return consistency.summary(rows, seed=seed)


def can_agree(suite: MetricSuite, photos: Photos, orbit_frames: int) -> bool:
    """Whether consistency is asked for and can be measured: with true surfaces and a judge."""
    return orbit_frames > 0 and photos.truth is not None and len(suite.perceptual) > 0


def _timing(
    method: Method,
    photos: Photos,
    items: Sequence[Item],
    folder: Path,
    repeats: int,
    recorded: Sequence[PhotoCost],
) -> dict[str, Any]:
    """Time a method once: times differ from run to run, and a table keeps the first ones."""
    path = folder / "timing.json"
    if path.is_file():
        kept = json.loads(path.read_text())
        if kept.get("asked") == repeats:
            return kept["timing"]
    found: Timing = time_method(method, photos, items, repeats=repeats, recorded=recorded)
    write_text(path, json.dumps({"asked": repeats, "timing": asdict(found)}, indent=2) + "\n")
    return asdict(found)
