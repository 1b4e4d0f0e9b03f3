"""What an evaluation leaves behind when it is finished: summary and tables."""

import json
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from warpgan.evaluation.config import EvaluateConfig
from warpgan.evaluation.extras import Extras
from warpgan.evaluation.measures import MetricSuite, set_metric_names
from warpgan.evaluation.photos import Photos
from warpgan.evaluation.records import file_hashes, write_text
from warpgan.evaluation.set_summary import halves_distances
from warpgan.evaluation.summary import (
    MethodResult,
    compare_methods,
    method_summary,
    plain_intervals,
    yaw_groups,
)
from warpgan.evaluation.tables import (
    PIXEL_KINDS_NOTE,
    consistency_table,
    differences_table,
    sets_table,
    table,
)
from warpgan.methods.base import Method
from warpgan.metrics.bootstrap import Interval
from warpgan.training.runs import git_revision, package_versions

HALVES = "originals, half against half"
TRUE_VIEWS = "true views, consistency"


@dataclass(frozen=True)
class Evaluated:
    """A method with its numbers."""

    method: Method
    result: MethodResult
    extras: Extras


def write_results(
    folder: Path,
    evaluated: Sequence[Evaluated],
    *,
    features: Mapping[str, Path],
    true_consistency: Mapping[str, Any] | None,
    suite: MetricSuite,
    photos: Photos,
    settings: EvaluateConfig,
    overrides: Sequence[str],
) -> str:
    """Write ``summary.json`` and ``table.md``.

    Args:
        folder: of the evaluation.
        evaluated: the methods; the others are compared with ``evaluate.reference``, or the first.
        features: set net to a file of its features, for the floor of the originals.
        true_consistency: of the true views, where it was measured.
        suite: the metrics.
        photos: what was evaluated.
        settings: the resolved config.
        overrides: what was typed.

    Returns:
        The tables, Markdown.
    """
    results = [one.result for one in evaluated]
    named = settings.evaluate.reference or results[0].name
    first = next(result for result in results if result.name == named)
    others = [result for result in results if result is not first]
    boot = {"resamples": settings.evaluate.resamples, "seed": settings.run.seed}

    def compare(places: Sequence[int] | None = None) -> dict[str, dict[str, Interval | None]]:
        return {
            other.name: compare_methods(first, other, partial=suite.partial, places=places, **boot)
            for other in others
        }

    differences = compare()
    by_yaw = {group: compare(places) for group, places in yaw_groups(first.rows).items()}
    arrays = {net: np.load(path, mmap_mode="r") for net, path in features.items()}
    floor = halves_distances(arrays, first.rows, seed=settings.run.seed) if arrays else None
    distances = [name for net in suite.sets for name in set_metric_names(net)]
    summary = {
        "data": photos.note,
        "protocol": settings.evaluate.protocol,
        "reference": first.name,
        "bootstrap": {**boot, "level": 0.95, "resampled": "people"},
        "metric_files": file_hashes(suite.files),
        "training_nets": list(suite.training_nets),
        "better": {
            name: "lower" if suite.lower_is_better(name) else "higher"
            for name in (*suite.columns, *distances)
        },
        "partial": list(suite.partial),
        "methods": {one.result.name: _method(one) for one in evaluated},
        "floors": _floors(floor, true_consistency),
        "paired_differences": _plain(first.name, differences),
        "paired_differences_by_yaw": {
            group: _plain(first.name, found) for group, found in by_yaw.items()
        },
        "batch_size": settings.evaluate.batch_size,
        "device": str(evaluated[0].method.device),
        "threads": torch.get_num_threads(),
        "processors": os.cpu_count(),
        "git": git_revision(),
        "packages": package_versions(),
        "overrides": list(overrides),
        "command": shlex.join(["python", "-m", "warpgan.evaluate", *overrides]),
    }
    write_text(folder / "summary.json", json.dumps(summary, indent=2) + "\n")
    parts = [table(results, suite, data=photos.name)]
    parts += [table(results, suite, data=photos.name, group=group) for group in by_yaw]
    if arrays:
        parts.append(sets_table(results, distances, floor=floor, floor_name=HALVES))
    if others:
        parts.append(differences_table(first.name, differences, suite))
        parts += [
            differences_table(first.name, found, suite, group=group)
            for group, found in by_yaw.items()
        ]
    agreement = {one.result.name: one.extras.consistency for one in evaluated}
    if true_consistency is not None:
        parts.append(consistency_table({**agreement, TRUE_VIEWS: true_consistency}))
    if suite.partial:
        parts.append(PIXEL_KINDS_NOTE)
    text = "\n".join(parts)
    write_text(folder / "table.md", text)
    return text


def _method(one: Evaluated) -> dict[str, Any]:
    return {
        "files": file_hashes(one.method.files),
        "note": one.method.note,
        **method_summary(one.result),
        **asdict(one.extras),
    }


def _floors(
    halves: Mapping[str, Any] | None, true_consistency: Mapping[str, Any] | None
) -> dict[str, Any]:
    found = {} if halves is None else {HALVES: halves}
    return found if true_consistency is None else {**found, TRUE_VIEWS: true_consistency}


def _plain(first: str, differences: Mapping[str, Mapping[str, Interval | None]]) -> dict[str, Any]:
    return {f"{first} - {other}": plain_intervals(found) for other, found in differences.items()}
