"""Markdown tables of an evaluation: means with their intervals, and paired differences."""

from collections.abc import Mapping, Sequence
from typing import Any

from warpgan.evaluation.consistency import LOWER_IS_BETTER
from warpgan.evaluation.measures import MetricSuite, base_metric
from warpgan.evaluation.summary import MethodResult
from warpgan.metrics.bootstrap import Interval

NO_NUMBER = "no row"
PIXEL_KINDS_NOTE = (
    "visible, occluded: target pixels that the source photo sees or does not, by the true "
    "surfaces, backdrop included. An image without a pixel of a kind has no number of it; a cell "
    "that leaves images out says how many it is of.\n"
)


def table(
    results: Sequence[MethodResult],
    suite: MetricSuite,
    *,
    data: str,
    group: str | None = None,
) -> str:
    """One row a method, means with the half-width of their 95 % interval.

    Args:
        results: of the methods.
        suite: the metrics.
        data: stands in the corner.
        group: of ``MethodResult.by_yaw``; all rows if ``None``.
    """
    found = [result.metrics if group is None else result.by_yaw[group] for result in results]
    columns = list(found[0])
    heads = []
    for column in columns:
        arrow = "lower" if suite.lower_is_better(column) else "higher"
        base = base_metric(column).removesuffix("_auc").removesuffix("_rank1")
        note = " (training net, paper's protocol)" if base in suite.training_nets else ""
        heads.append(f"{column}{note}, {arrow}")
    heads += ["s / photo", "s / view"]
    corner = data if group is None else f"{data}, {group}"
    lines = [f"| {corner} | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    rows = found[0][suite.columns[0]].count
    for result, metrics in zip(results, found, strict=True):
        cells = [_cell(metrics[column], rows) for column in columns]
        cells += [f"{result.seconds_invert:.3g}", f"{result.seconds_render:.3g}"]
        lines.append(f"| {result.name} | " + " | ".join(cells) + " |")
    people = found[0][suite.columns[0]].groups
    note = f"{rows} images of {people} people; +- half of the 95 % interval."
    failed = {result.name: len(result.failures) for result in results if result.failures}
    if failed:
        counts = ", ".join(f"{name} {count}" for name, count in failed.items())
        note += f" Photos that failed, scored as grey pictures of identity 0: {counts}."
    return "\n".join([*lines, "", note]) + "\n"


def sets_table(
    results: Sequence[MethodResult],
    distances: Sequence[str],
    *,
    floor: Mapping[str, Any] | None,
    floor_name: str,
) -> str:
    """Set distances, one row a method and group of views; kernel distances times 1000.

    Args:
        results: of the methods.
        distances: names of the metrics.
        floor: of the photos themselves: ``sets`` and ``images``.
        floor_name: how the table calls it.
    """
    lines = [
        "| set distance, lower | views | " + " | ".join(distances) + " |",
        "|---" * (len(distances) + 2) + "|",
    ]
    for result in results:
        for group, found in result.sets.items():
            cells = [_set_cell(found.get(name)) for name in distances]
            lines.append(f"| {result.name} | {group} | " + " | ".join(cells) + " |")
    if floor is not None:
        cells = [_set_cell(floor["sets"].get(name)) for name in distances]
        lines.append(f"| {floor_name} | {floor['images']} images | " + " | ".join(cells) + " |")
    note = (
        "In brackets images : references. Kernel distances are x1000, +- the deviation over "
        "subsets; none where all images are one subset. A Frechet distance of few images is far "
        "too large: compare within a column only."
    )
    return "\n".join([*lines, "", note]) + "\n"


def consistency_table(found: Mapping[str, Mapping[str, Any] | None]) -> str:
    """How well views agree, one row a method; "-" where it was not measured.

    Args:
        found: method, or the truth, to `consistency.summary`.
    """
    columns = list(LOWER_IS_BETTER)
    heads = [f"{name}, {'lower' if low else 'higher'}" for name, low in LOWER_IS_BETTER.items()]
    lines = ["| consistency | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    for name, summary in found.items():
        cells = ["-"] * len(columns)
        if summary is not None:
            intervals = [summary[column] for column in columns]
            cells = [
                NO_NUMBER
                if x is None
                else f"{x['estimate']:.4g} +- {(x['high'] - x['low']) / 2:.2g}"
                for x in intervals
            ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    note = (
        "Views of neighbouring cameras, and frames of an orbit from yaw -30 to 30, laid on each "
        "other by the true surfaces and compared where both see the same point; read against the "
        "true views, and beside the other metrics: pictures without detail agree, too."
    )
    return "\n".join([*lines, "", note]) + "\n"


def _set_cell(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return NO_NUMBER
    counts = f" ({found['images']}:{found['references']})"
    if "std" in found and found["subsets"] == 1:
        return f"{1000 * found['value']:.3g}{counts}"
    if "std" in found:
        return f"{1000 * found['value']:.3g} +- {1000 * found['std']:.2g}{counts}"
    return f"{found['value']:.4g}{counts}"


def differences_table(
    first: str,
    differences: Mapping[str, Mapping[str, Interval | None]],
    suite: MetricSuite,
    *,
    group: str | None = None,
) -> str:
    """Paired differences ``first - other``.

    Args:
        first: name of the reference method.
        differences: name of another method to metric to interval.
        suite: the metrics.
        group: the rows compared, such as ``yaw +-30``; all if ``None``.
    """
    corner = f"{first} minus" if group is None else f"{group}: {first} minus"
    lines = [
        f"| {corner} | " + " | ".join(suite.columns) + " |",
        "|---" * (len(suite.columns) + 1) + "|",
    ]
    for other, found in differences.items():
        rows = found[suite.columns[0]].count
        cells = [difference_cell(found[column], rows) for column in suite.columns]
        lines.append(f"| {other} | " + " | ".join(cells) + " |")
    note = "Paired by image, 95 % bootstrap intervals over people."
    return "\n".join([*lines, "", note]) + "\n"


def difference_cell(interval: Interval | None, rows: int) -> str:
    """``+1.2 [+0.9, +1.5]``, with the number of rows where it is not ``rows``."""
    if interval is None:
        return NO_NUMBER
    text = f"{interval.estimate:+.4g} [{interval.low:+.4g}, {interval.high:+.4g}]"
    return text + _count(interval, rows)


def _cell(interval: Interval | None, rows: int) -> str:
    if interval is None:
        return NO_NUMBER
    text = f"{interval.estimate:.4g} +- {(interval.high - interval.low) / 2:.2g}"
    return text + _count(interval, rows)


def _count(interval: Interval, rows: int) -> str:
    return "" if interval.count == rows else f" ({interval.count} rows)"
