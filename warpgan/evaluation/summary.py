"""From rows to a summary: means with intervals, verification, paired differences.

A row without a number in a partial metric (no occluded pixel) is left out of that metric alone;
an interval's ``count`` says how many rows it is of, and ``None`` stands where there is none.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from warpgan.evaluation.items import Row, yaw_group
from warpgan.evaluation.measures import MetricSuite
from warpgan.evaluation.records import PhotoCost, Records
from warpgan.evaluation.set_summary import set_distances
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
        by_yaw: ``yaw +-30`` to the same, left and right together; for true views.
        sets: ``all``, and the groups of ``by_yaw``, to the set distances.
        seconds_invert: median of one photo.
        seconds_render: median of one view.
        steps: optimisation steps: mean, least, most; ``None`` for methods without.
        failures: photos that failed, with their errors.
    """

    name: str
    rows: tuple[Row, ...]
    values: Mapping[str, np.ndarray]
    metrics: Mapping[str, Interval | None]
    by_view: Mapping[str, Mapping[str, Interval | None]]
    by_yaw: Mapping[str, Mapping[str, Interval | None]]
    sets: Mapping[str, Mapping[str, Any]]
    seconds_invert: float
    seconds_render: float
    steps: Mapping[str, float] | None
    failures: Mapping[str, str]


def summarise(
    name: str,
    records: Records,
    suite: MetricSuite,
    *,
    resamples: int,
    seed: int,
    warm_up: int = 0,
) -> MethodResult:
    """Read the records of a finished method.

    Args:
        name: the method.
        records: complete.
        suite: whose metrics were taken.
        resamples: bootstrap samples, drawn over people.
        seed: of the bootstrap and of kernel distances.
        warm_up: photos of the first batch, whose seconds do not count.
    """
    rows, values = records.read_rows()
    people = [row.person for row in rows]
    views = [row.view for row in rows]
    features = {net: np.load(records.features_path(net)) for net in suite.identity}
    crowds = {view: len({row.person for row in rows if row.view == view}) for view in set(views)}

    def over(places: Sequence[int]) -> dict[str, Interval | None]:
        owners = [people[place] for place in places]
        chosen = {}
        for column in suite.columns:
            used = rows_with_number(values[column], places, partial=column in suite.partial)
            chosen[column] = None
            if used:
                chosen[column] = mean_interval(
                    values[column][used],
                    groups=[people[place] for place in used],
                    resamples=resamples,
                    seed=seed,
                )
        for net, array in features.items():
            if min(crowds[views[place]] for place in places) < 2:
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
    sets = {net: np.load(records.features_path(net), mmap_mode="r") for net in suite.sets}
    groups = {"all": list(range(len(rows))), **yaw_groups(rows)}
    costs = records.read_costs()
    invert, render = _seconds(costs, warm_up=warm_up)
    return MethodResult(
        name=name,
        rows=tuple(rows),
        values=values,
        metrics=over(list(range(len(rows)))),
        by_view=by_view,
        by_yaw={group: over(places) for group, places in yaw_groups(rows).items()},
        sets={group: set_distances(sets, rows, at, seed=seed) for group, at in groups.items()},
        seconds_invert=invert,
        seconds_render=render,
        steps=_steps(costs),
        failures=records.read_failures(),
    )


def yaw_groups(rows: Sequence[Row]) -> dict[str, list[int]]:
    """Places of the true views of each ``|yaw|``, the smallest first; empty for other views."""
    groups: dict[str, list[int]] = {}
    for place, row in enumerate(rows):
        group = yaw_group(row)
        if group is not None:
            groups.setdefault(group, []).append(place)
    return dict(sorted(groups.items(), key=lambda group: int(group[0].split("-")[-1])))


def rows_with_number(values: np.ndarray, places: Sequence[int], *, partial: bool) -> list[int]:
    """The places of a metric's rows that count: all, or those that are numbers if ``partial``."""
    return [place for place in places if not (partial and np.isnan(values[place]))]


def compare_methods(
    first: MethodResult,
    second: MethodResult,
    *,
    partial: Sequence[str] = (),
    places: Sequence[int] | None = None,
    resamples: int,
    seed: int,
) -> dict[str, Interval | None]:
    """Paired differences ``first - second`` of each metric, row by row.

    Args:
        first: of ``first - second``.
        second: measured on the same images.
        partial: metrics that a row may have no number of.
        places: of the rows to compare; all if ``None``.
        resamples: bootstrap samples, drawn over people.
        seed: of the bootstrap.

    Raises:
        ValueError: if the two were not measured on the same images, or one has a number where the
            other has none: their masks were not the same.
    """
    if [(r.name, r.source) for r in first.rows] != [(r.name, r.source) for r in second.rows]:
        raise ValueError(f"{first.name} and {second.name} were measured on different images")
    places = range(len(first.rows)) if places is None else places
    found = {}
    for column in first.values:
        sides = [result.values[column] for result in (first, second)]
        used, other = (rows_with_number(x, places, partial=column in partial) for x in sides)
        if used != other:
            place = min(set(used) ^ set(other))
            raise ValueError(
                f"only one of {first.name} and {second.name} has a number of {column} for "
                f"{first.rows[place].name}: they were measured with different masks; start the "
                "older one anew with run.overwrite=true"
            )
        found[column] = None
        if used:
            found[column] = paired_interval(
                sides[0][used],
                sides[1][used],
                groups=[first.rows[place].person for place in used],
                resamples=resamples,
                seed=seed,
            )
    return found


def method_summary(result: MethodResult) -> dict[str, Any]:
    """One method's part of ``summary.json``."""
    return {
        "images": len(result.rows),
        "people": len({row.person for row in result.rows}),
        "failed": len(result.failures),
        "failures": dict(result.failures),
        "metrics": plain_intervals(result.metrics),
        "by_view": {view: plain_intervals(found) for view, found in result.by_view.items()},
        "by_yaw": {group: plain_intervals(found) for group, found in result.by_yaw.items()},
        "sets": {group: dict(found) for group, found in result.sets.items()},
        "steps": result.steps,
        "seconds_invert_per_photo": result.seconds_invert,
        "seconds_render_per_view": result.seconds_render,
    }


def plain_intervals(found: Mapping[str, Interval | None]) -> dict[str, Any]:
    """Ready for JSON; null where no row has a number."""
    return {name: interval and asdict(interval) for name, interval in found.items()}


def _seconds(photos: Sequence[PhotoCost], *, warm_up: int) -> tuple[float, float]:
    """Median seconds of a photo and of a view; of all photos where too few are left."""
    done = [photo for photo in photos if not photo.failed] or photos
    used = [photo for photo in photos[warm_up:] if not photo.failed] or done
    return (
        statistics.median(photo.invert for photo in used),
        statistics.median(photo.render / photo.views for photo in used),
    )


def _steps(photos: Sequence[PhotoCost]) -> dict[str, float] | None:
    """Mean, least and most optimisation steps; ``None`` for methods without."""
    steps = [float(photo.steps) for photo in photos if not photo.failed]
    if not any(steps):
        return None
    return {"mean": statistics.fmean(steps), "least": min(steps), "most": max(steps)}
