"""What an evaluation leaves behind when it is finished: summary, tables, picture."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch

from warpgan.evaluation.config import EvaluateConfig
from warpgan.evaluation.measures import MetricSuite
from warpgan.evaluation.photos import Photos
from warpgan.evaluation.records import write_text
from warpgan.evaluation.summary import (
    MethodResult,
    compare_methods,
    differences_table,
    method_summary,
    sha256_of,
    table,
)
from warpgan.methods.base import Method
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
        results: one a method; the others are compared with the first.
        methods: that gave them.
        suite: the metrics.
        photos: what was evaluated.
        settings: the resolved config.
        overrides: what was typed.

    Returns:
        The tables, Markdown.
    """
    first, *others = results
    boot = {"resamples": settings.evaluate.resamples, "seed": settings.run.seed}
    differences = {other.name: compare_methods(first, other, **boot) for other in others}
    summary = {
        "data": photos.note,
        "protocol": settings.evaluate.protocol,
        "bootstrap": {**boot, "level": 0.95, "resampled": "people"},
        "metric_files": {path.name: sha256_of(path) for path in suite.files},
        "training_nets": list(suite.training_nets),
        "methods": {
            result.name: {
                "files": {path.name: sha256_of(path) for path in method.files},
                **method_summary(result),
            }
            for result, method in zip(results, methods, strict=True)
        },
        "paired_differences": {
            f"{first.name} - {other}": {k: asdict(v) for k, v in found.items()}
            for other, found in differences.items()
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
    text = table(results, suite, data=photos.name)
    if differences:
        text += "\n" + differences_table(first.name, differences, suite)
    write_text(folder / "table.md", text)
    return text
