"""Markdown tables of an evaluation: means with their intervals, and paired differences."""

from collections.abc import Mapping, Sequence

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
    return "\n".join([*lines, "", note]) + "\n"


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
