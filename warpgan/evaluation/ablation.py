"""Rows of an ablation, each trained with a few seeds, from the records of one evaluation.

Methods are named ``row_C_seed1`` and ``row_C_seed2``, or ``row_A`` where nothing was trained. A
number is first averaged over seeds, image by image; intervals are then over people. So they hold
for the networks at hand: how much another training would change them is what the seeds' spread
says, and no interval covers it.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from warpgan.evaluation.items import Row
from warpgan.evaluation.records import Records
from warpgan.evaluation.summary import rows_with_number, yaw_groups
from warpgan.metrics.bootstrap import Interval, mean_interval

ROW_FOLDER = re.compile(r"row_([A-Za-z0-9]+)(?:_seed(\d+))?")
ALL = "all"


@dataclass(frozen=True)
class AblationRow:
    """One row: its trainings, measured on the same images.

    Attributes:
        name: such as ``C``.
        seeds: of the trainings; ``("",)`` where nothing was trained.
        values: metric to ``[seeds, images]``.
    """

    name: str
    seeds: tuple[str, ...]
    values: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Ablation:
    """Everything read.

    Attributes:
        data: name of the photos.
        images: what each column of the values is of.
        better: metric to ``lower`` or ``higher``.
        partial: metrics that an image may have no number of.
        rows: by name, letters first.
        bootstrap: resamples and seed, as of the evaluation.
    """

    data: str
    images: tuple[Row, ...]
    better: Mapping[str, str]
    partial: tuple[str, ...]
    rows: Mapping[str, AblationRow]
    bootstrap: Mapping[str, int]


@dataclass(frozen=True)
class RowMetric:
    """One metric of one row.

    Attributes:
        mean: over images, of the mean over seeds.
        by_seed: mean over images of each seed.
        spread: the largest minus the smallest of ``by_seed``; ``None`` for one training.
        difference: ``row - reference``, paired by image; ``None`` for the reference itself.
    """

    mean: Interval
    by_seed: tuple[float, ...]
    spread: float | None
    difference: Interval | None


# Row name to metric to its numbers; a metric that no image of the group has is None.
Group = dict[str, dict[str, RowMetric | None]]


def read_ablation(folder: Path, *, expected: Sequence[str] = ()) -> Ablation:
    """Read the records of an evaluation's ablation rows.

    Args:
        folder: of the evaluation, finished.
        expected: rows that must be there.

    Raises:
        FileNotFoundError: if the evaluation is not there or not finished.
        ValueError: if a row is absent or incomplete, or rows were not measured alike.
    """
    if not (folder / "summary.json").is_file():
        raise FileNotFoundError(
            f"{folder / 'summary.json'} is absent: give the folder of a finished evaluation "
            "(python -m warpgan.evaluate; the same command continues an interrupted one)"
        )
    summary = json.loads((folder / "summary.json").read_text())
    found = _row_folders(folder)
    missing = [name for name in expected if name not in found]
    if missing or not found:
        there = ", ".join(found) or "none"
        raise ValueError(
            f"{folder} has no row {', '.join(missing) or 'at all'}; there: {there}. Evaluate "
            "methods named row_NAME_seedN, or row_NAME where nothing is trained"
        )
    first = next(iter(next(iter(found.values())).values()))
    settings = _settings(first)
    columns = settings["metrics"]
    better = summary.get("better", {})
    unknown = sorted(set(columns) - set(better))
    if unknown:
        raise ValueError(
            f"{folder / 'summary.json'} does not know {unknown[0]} of {first.name}: it is of an "
            "older evaluation; run the evaluation of all rows again"
        )
    images: list[Row] = []
    rows = {}
    for name, by_seed in found.items():
        read = []
        for path in by_seed.values():
            _refuse_other_settings(path, _settings(path), first, settings)
            here, values = Records(path, columns=columns, features=()).read_rows()
            images = images or here
            _refuse_other_images(path, here, first, images)
            read.append(values)
        stacked = {column: np.stack([values[column] for values in read]) for column in columns}
        rows[name] = AblationRow(name=name, seeds=tuple(by_seed), values=stacked)
    return Ablation(
        data=settings["data"]["name"],
        images=tuple(images),
        better={column: better[column] for column in columns},
        partial=tuple(column for column in columns if column in summary["partial"]),
        rows=rows,
        bootstrap={key: summary["bootstrap"][key] for key in ("resamples", "seed")},
    )


def summarise_ablation(ablation: Ablation, *, reference: str) -> dict[str, Group]:
    """Numbers of all rows, over all images (``ALL``) and over those of each yaw.

    Args:
        ablation: as read.
        reference: the row that the others are compared with.

    Raises:
        ValueError: if there is no such row, or rows differ in where they have numbers.
    """
    if reference not in ablation.rows:
        raise ValueError(
            f"no row {reference} to compare with; there are {', '.join(ablation.rows)}"
        )
    groups = {ALL: list(range(len(ablation.images))), **yaw_groups(ablation.images)}
    return {
        group: {
            name: {
                column: _row_metric(ablation, row, column, places, reference=reference)
                for column in ablation.better
            }
            for name, row in ablation.rows.items()
        }
        for group, places in groups.items()
    }


def _row_metric(
    ablation: Ablation, row: AblationRow, column: str, places: Sequence[int], *, reference: str
) -> RowMetric | None:
    values, compared = row.values[column], ablation.rows[reference].values[column]
    partial = column in ablation.partial
    used = rows_with_number(compared[0], places, partial=partial)
    for one in (*values, *compared):
        if rows_with_number(one, places, partial=partial) != used:
            raise ValueError(
                f"rows {row.name} and {reference} do not have numbers of {column} for the same "
                "images: they were measured with different masks"
            )
    if not used:
        return None
    owners = [ablation.images[place].person for place in used]
    mean = values[:, used].mean(0)
    difference = mean - compared[:, used].mean(0)
    by_seed = values[:, used].mean(1).tolist()
    return RowMetric(
        mean=mean_interval(mean, groups=owners, **ablation.bootstrap),
        by_seed=tuple(by_seed),
        spread=max(by_seed) - min(by_seed) if len(by_seed) > 1 else None,
        difference=None
        if row.name == reference
        else mean_interval(difference, groups=owners, **ablation.bootstrap),
    )


def _row_folders(folder: Path) -> dict[str, dict[str, Path]]:
    """Row name to seed to folder; single letters first."""
    found: dict[str, dict[str, Path]] = {}
    for path in sorted(folder.iterdir()):
        named = ROW_FOLDER.fullmatch(path.name)
        if named and path.is_dir():
            found.setdefault(named[1], {})[named[2] or ""] = path
    mixed = [name for name, seeds in found.items() if "" in seeds and len(seeds) > 1]
    if mixed:
        raise ValueError(
            f"{folder} has both row_{mixed[0]} and row_{mixed[0]}_seedN: remove the one that is "
            "not meant"
        )
    order = sorted(found, key=lambda name: (len(name) > 1, name))
    return {name: dict(sorted(found[name].items(), key=lambda s: int(s[0] or 0))) for name in order}


def _settings(folder: Path) -> dict[str, Any]:
    path = folder / "settings.json"
    if not path.is_file():
        raise FileNotFoundError(f"{path} is absent: {folder} is no record of an evaluation")
    return json.loads(path.read_text())


def _refuse_other_settings(path: Path, found: dict, first: Path, wanted: dict) -> None:
    keys = sorted((found.keys() | wanted.keys()) - {"files", "method"})
    differing = [key for key in keys if found.get(key) != wanted.get(key)]
    if differing:
        key = differing[0]
        raise ValueError(
            f"{path.name} and {first.name} were not measured alike: {key} is {found.get(key)} "
            f"and {wanted.get(key)}"
        )


def _refuse_other_images(
    path: Path, found: Sequence[Row], first: Path, wanted: Sequence[Row]
) -> None:
    if [(row.name, row.source) for row in found] != [(row.name, row.source) for row in wanted]:
        raise ValueError(
            f"{path.name} has {len(found)} rows and {first.name} {len(wanted)}, or of other "
            "images: continue the interrupted evaluation with the same command"
        )
