"""What an evaluation leaves behind when it is finished: summary, tables, picture."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from warpgan.evaluation.config import EvaluateConfig
from warpgan.evaluation.measures import MetricSuite
from warpgan.evaluation.photos import Photos
from warpgan.evaluation.records import write_text
from warpgan.evaluation.summary import (
    MethodResult,
    compare_methods,
    method_summary,
    plain_intervals,
    sha256_of,
    yaw_groups,
)
from warpgan.evaluation.tables import PIXEL_KINDS_NOTE, differences_table, table
from warpgan.methods.base import Method
from warpgan.metrics.bootstrap import Interval
from warpgan.training.runs import git_revision, package_versions


def write_results(
    folder: Path,
    results: Sequence[MethodResult],
    *,
    methods: Sequence[Method],
    suite: MetricSuite,
    photos: Photos,
    settings: EvaluateConfig,
    overrides: Sequence[str],
) -> str:
    """Write ``summary.json`` and ``table.md``.

    Args:
        folder: of the evaluation.
        results: one a method; the others are compared with ``evaluate.reference``, or the first.
        methods: that gave them.
        suite: the metrics.
        photos: what was evaluated.
        settings: the resolved config.
        overrides: what was typed.

    Returns:
        The tables, Markdown.
    """
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
    summary = {
        "data": photos.note,
        "protocol": settings.evaluate.protocol,
        "bootstrap": {**boot, "level": 0.95, "resampled": "people"},
        "metric_files": {path.name: sha256_of(path) for path in suite.files},
        "training_nets": list(suite.training_nets),
        "better": {c: "lower" if suite.lower_is_better(c) else "higher" for c in suite.columns},
        "partial": list(suite.partial),
        "methods": {
            result.name: {
                "files": {path.name: sha256_of(path) for path in method.files},
                **method_summary(result),
            }
            for result, method in zip(results, methods, strict=True)
        },
        "paired_differences": _plain(first.name, differences),
        "paired_differences_by_yaw": {
            group: _plain(first.name, found) for group, found in by_yaw.items()
        },
        "batch_size": settings.evaluate.batch_size,
        "device": str(methods[0].device),
        "threads": torch.get_num_threads(),
        "processors": os.cpu_count(),
        "git": git_revision(),
        "packages": package_versions(),
        "overrides": list(overrides),
    }
    write_text(folder / "summary.json", json.dumps(summary, indent=2) + "\n")
    parts = [table(results, suite, data=photos.name)]
    parts += [table(results, suite, data=photos.name, group=group) for group in by_yaw]
    if others:
        parts.append(differences_table(first.name, differences, suite))
        parts += [
            differences_table(first.name, found, suite, group=group)
            for group, found in by_yaw.items()
        ]
    if suite.visibility:
        parts.append(PIXEL_KINDS_NOTE)
    text = "\n".join(parts)
    write_text(folder / "table.md", text)
    return text


def _plain(first: str, differences: Mapping[str, Mapping[str, Interval | None]]) -> dict[str, Any]:
    return {f"{first} - {other}": plain_intervals(found) for other, found in differences.items()}
