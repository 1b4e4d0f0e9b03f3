"""From rows to a summary: means with intervals, verification, paired differences, tables."""

import hashlib
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from warpgan.evaluation.items import Row
from warpgan.evaluation.measures import MetricSuite
from warpgan.evaluation.records import Records
from warpgan.metrics.bootstrap import Interval, mean_interval, paired_interval
from warpgan.metrics.identity import verify


@dataclass(frozen=True)
class MethodResult:
    """Everything the tables say of one method.

    Attributes:
        name: the method.
        rows: as recorded.
        values: metric to ``[rows]``.
        metrics: metric to its mean with interval. ``NAME_auc`` and ``NAME_rank1`` stand beside
            each identity cosine where there are strangers to compare with.
        by_view: view to the same, where there is more than one view.
        seconds_invert: median over batches, of one photo.
        seconds_render: median over batches, of one view.
    """

    name: str
    rows: tuple[Row, ...]
    values: Mapping[str, np.ndarray]
    metrics: Mapping[str, Interval]
    by_view: Mapping[str, Mapping[str, Interval]]
    seconds_invert: float
    seconds_render: float


def summarise(
    name: str, records: Records, suite: MetricSuite, *, resamples: int, seed: int
) -> MethodResult:
    """Read the records of a finished method.

    Args:
        name: the method.
        records: complete.
        suite: whose metrics were taken.
        resamples: bootstrap samples, drawn over people.
        seed: of the bootstrap.
    """
    rows, values = records.read_rows()
    people = [row.person for row in rows]
    views = [row.view for row in rows]
    features = {net: np.load(records.features_path(net)) for net in suite.identity}

    def over(places: Sequence[int]) -> dict[str, Interval]:
        owners = [people[place] for place in places]
        chosen = {}
        for column in suite.columns:
            chosen[column] = mean_interval(
                values[column][places], groups=owners, resamples=resamples, seed=seed
            )
        for net, array in features.items():
            if min(_people_in(views[place], rows) for place in places) < 2:
                continue
            found = verify(
                array[places, 0],
                array[places, 1],
                people=owners,
                views=[views[place] for place in places],
                resamples=resamples,
                seed=seed,
            )
            chosen[f"{net}_auc"], chosen[f"{net}_rank1"] = found.auc, found.rank_1
        return chosen

    kinds = list(dict.fromkeys(views))
    by_view = {}
    if len(kinds) > 1:
        by_view = {kind: over([i for i, v in enumerate(views) if v == kind]) for kind in kinds}
    invert, render = _times(records.read_seconds())
    return MethodResult(
        name=name,
        rows=tuple(rows),
        values=values,
        metrics=over(list(range(len(rows)))),
        by_view=by_view,
        seconds_invert=invert,
        seconds_render=render,
    )


def compare_methods(
    first: MethodResult, second: MethodResult, *, resamples: int, seed: int
) -> dict[str, Interval]:
    """Paired differences ``first - second`` of each metric, row by row.

    Raises:
        ValueError: if the two were not measured on the same images.
    """
    if [(r.name, r.source) for r in first.rows] != [(r.name, r.source) for r in second.rows]:
        raise ValueError(f"{first.name} and {second.name} were measured on different images")
    people = [row.person for row in first.rows]
    return {
        column: paired_interval(
            first.values[column],
            second.values[column],
            groups=people,
            resamples=resamples,
            seed=seed,
        )
        for column in first.values
    }


def method_summary(result: MethodResult) -> dict[str, Any]:
    """One method's part of ``summary.json``."""

    def plain(metrics: Mapping[str, Interval]) -> dict[str, Any]:
        return {name: asdict(interval) for name, interval in metrics.items()}

    return {
        "images": len(result.rows),
        "people": len({row.person for row in result.rows}),
        "metrics": plain(result.metrics),
        "by_view": {view: plain(metrics) for view, metrics in result.by_view.items()},
        "seconds_invert_per_photo": result.seconds_invert,
        "seconds_render_per_view": result.seconds_render,
    }


def table(results: Sequence[MethodResult], suite: MetricSuite, *, data: str) -> str:
    """A Markdown table: one row a method, means with the half-width of their 95 % interval."""
    columns = list(results[0].metrics)
    heads = []
    for column in columns:
        arrow = "lower" if suite.lower_is_better(column) else "higher"
        base = column.removesuffix("_auc").removesuffix("_rank1")
        note = " (training net, paper's protocol)" if base in suite.training_nets else ""
        heads.append(f"{column}{note}, {arrow}")
    heads += ["s / photo", "s / view"]
    lines = [f"| {data} | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    for result in results:
        cells = [_cell(result.metrics[column]) for column in columns]
        cells += [f"{result.seconds_invert:.3g}", f"{result.seconds_render:.3g}"]
        lines.append(f"| {result.name} | " + " | ".join(cells) + " |")
    first = results[0]
    people = len({row.person for row in first.rows})
    lines += ["", f"{len(first.rows)} images of {people} people; +- half of the 95 % interval."]
    return "\n".join(lines) + "\n"


def differences_table(
    first: str, differences: Mapping[str, Mapping[str, Interval]], suite: MetricSuite
) -> str:
    """A Markdown table of paired differences ``first - other``."""
    lines = [
        f"| {first} minus | " + " | ".join(suite.columns) + " |",
        "|---" * (len(suite.columns) + 1) + "|",
    ]
    for other, found in differences.items():
        cells = [
            f"{found[c].estimate:+.4g} [{found[c].low:+.4g}, {found[c].high:+.4g}]"
            for c in suite.columns
        ]
        lines.append(f"| {other} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", "Paired by image, 95 % bootstrap intervals over people."]) + "\n"


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, read in pieces."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _cell(interval: Interval) -> str:
    return f"{interval.estimate:.4g} +- {(interval.high - interval.low) / 2:.2g}"


def _people_in(view: str, rows: Sequence[Row]) -> int:
    return len({row.person for row in rows if row.view == view})


def _times(batches: Sequence[Mapping[str, float]]) -> tuple[float, float]:
    """Median seconds of a photo and of a view; the first batch warms up and is left out."""
    used = batches[1:] or batches
    return (
        statistics.median(batch["invert"] / batch["photos"] for batch in used),
        statistics.median(batch["render"] / batch["views"] for batch in used),
    )
