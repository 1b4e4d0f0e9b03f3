"""One finished run of ``warpgan.evaluate``, read back.

Nothing is trusted: a summary whose means are not those of its rows is refused.
"""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from warpgan.evaluation.items import Row

ROW_TEXTS = ("name", "source", "person", "view")
ROW_ANGLES = ("yaw", "pitch")
SUMMARY_KEYS = ("data", "protocol", "bootstrap", "better", "partial", "training_nets", "methods")
AGREEMENT = 1e-6


@dataclass(frozen=True)
class MethodRun:
    """One method of one run.

    Attributes:
        name: of the method.
        run: name of the run.
        folder: its records and views.
        rows: the compared views, in order.
        failed: ``[rows]`` bool; a failed view was scored as a mid-grey picture.
        values: metric to ``[rows]``; NaN only in partial metrics.
        numbers: its part of ``summary.json``.
        cameras: hash of all cameras that its views are seen from; empty if not recorded.
        competes: whether it may be called the best: not a floor, nor given the truth.
        errors: photo to the error that it failed with.
    """

    name: str
    run: str
    folder: Path
    rows: tuple[Row, ...]
    failed: np.ndarray
    values: Mapping[str, np.ndarray]
    numbers: Mapping[str, Any]
    cameras: str
    competes: bool
    errors: Mapping[str, str]


@dataclass(frozen=True)
class Run:
    """One finished evaluation: its folder's name, its summary and its methods."""

    name: str
    folder: Path
    summary: Mapping[str, Any]
    methods: Mapping[str, MethodRun]

    @property
    def reference(self) -> str:
        """The method that the run compared the others with."""
        return self.summary.get("reference") or next(iter(self.methods))


def read_run(folder: Path) -> Run:
    """Read one finished evaluation.

    Raises:
        FileNotFoundError: if it is absent or not finished.
        ValueError: if its files do not fit together.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"no such run: {folder}; give folders of finished evaluations")
    path = folder / "summary.json"
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is absent: the evaluation is not finished; the same command "
            "(python -m warpgan.evaluate) continues it"
        )
    summary = _read_json(path)
    missing = [key for key in SUMMARY_KEYS if key not in summary]
    if missing or not summary["methods"]:
        raise ValueError(
            f"{path} lacks {missing[0] if missing else 'methods'}: it is of another version; "
            "evaluate again"
        )
    name = folder.resolve().name
    methods = {}
    for method, numbers in summary["methods"].items():
        if Path(method).name != method or method in (".", ".."):
            raise ValueError(f"{path}: a method cannot be called {method!r}")
        methods[method] = _read_method(folder / method, numbers, run=name, summary=summary)
    first = next(iter(methods.values()))
    for method in methods.values():
        same_rows = places_of_rows(method.rows) == places_of_rows(first.rows)
        same_cameras = method.cameras == first.cameras
        if not (same_rows and same_cameras) or list(method.values) != list(first.values):
            raise ValueError(
                f"{folder}: {method.name} and {first.name} were measured on different rows, from "
                "different cameras, or with different metrics; evaluate both again with "
                "run.overwrite=true"
            )
    return Run(name, folder, summary, methods)


def places_of_rows(rows: Sequence[Row]) -> list[tuple[str, str, str]]:
    """What tells the rows of two methods apart: name, source and view of each."""
    return [(row.name, row.source, row.view) for row in rows]


def _read_method(
    folder: Path, numbers: Mapping[str, Any], *, run: str, summary: Mapping[str, Any]
) -> MethodRun:
    path = folder / "rows.csv"
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is absent: the evaluation of {folder.name} is not finished; the same command "
            "continues it"
        )
    with open(path, newline="") as file:
        reader = csv.DictReader(file)
        lines, head = list(reader), list(reader.fieldnames or ())
    missing = [name for name in (*ROW_TEXTS, *ROW_ANGLES) if name not in head]
    if missing or not lines or any(None in (*line, *line.values()) for line in lines):
        what = f"column {missing[0]}" if missing else "rows, or a row lacks cells"
        raise ValueError(f"{path} lacks {what}: it is damaged; evaluate again")
    columns = [name for name in head if name not in (*ROW_TEXTS, *ROW_ANGLES, "failed")]
    try:
        rows = tuple(
            Row(
                **{name: line[name] for name in ROW_TEXTS},
                **{name: float(line[name]) for name in ROW_ANGLES},
            )
            for line in lines
        )
        values = {name: np.array([float(line[name]) for line in lines]) for name in columns}
        # Runs from before failures were counted stopped at the first one.
        failed = np.array([bool(int(line.get("failed", "0"))) for line in lines])
    except ValueError as error:
        raise ValueError(f"{path}: {error}; it is damaged, evaluate again") from error
    _refuse_disagreement(path, values, numbers, partial=summary["partial"], rows=len(rows))
    settings = _read_json(folder / "settings.json")
    return MethodRun(
        name=folder.name,
        run=run,
        folder=folder,
        rows=rows,
        failed=failed,
        values=values,
        numbers=numbers,
        cameras=str(settings.get("cameras", "")),
        competes=_competes(settings.get("method", {})),
        errors=numbers.get("failures", {}),
    )


def _competes(settings: Any) -> bool:
    """Whether a method's settings make it neither a floor nor one that was given the truth."""
    if not isinstance(settings, dict):
        return True
    target = str(settings.get("_target_", ""))
    apart = (
        target.endswith((".true_latent", ".mean_latent", ".untrained_encoder"))
        or ".floors." in target
    )
    return not (apart or settings.get("true_depth"))


def _refuse_disagreement(
    path: Path,
    values: Mapping[str, np.ndarray],
    numbers: Mapping[str, Any],
    *,
    partial: Sequence[str],
    rows: int,
) -> None:
    """Refuse a summary that is not of these rows, and a NaN where there must be a number."""
    again = "summary.json is not of these rows; run the same evaluation again"
    if numbers.get("images") != rows:
        raise ValueError(f"{path} has {rows} rows, its summary {numbers.get('images')}: {again}")
    for name, array in values.items():
        bad = np.flatnonzero(~np.isfinite(array))
        if name not in partial and len(bad):
            raise ValueError(f"{path}: {name} of row {bad[0]} is not a number; evaluate again")
        stated = numbers.get("metrics", {}).get(name)
        if stated is None or len(bad) == len(array):
            continue
        mean = float(array[np.isfinite(array)].mean())
        if abs(mean - stated["estimate"]) > AGREEMENT * max(1.0, abs(mean)):
            raise ValueError(
                f"{path}: the mean of {name} is {mean:.9g}, its summary says "
                f"{stated['estimate']:.9g}: {again}"
            )


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(f"{path} is absent: evaluate again with the same command")
    try:
        found = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}): evaluate again") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path} must hold a JSON object, not {type(found).__name__}")
    return found
