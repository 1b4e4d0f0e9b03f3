"""Means, paired differences and curves of a block, for all rows, a ``|yaw|`` or a view.

What the summary holds is taken from there (the reader has checked it against the rows); the rest is
computed from the rows with the evaluation's own bootstrap, so both are the same bytes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from warpgan.evaluation.finished_run import MethodRun
from warpgan.evaluation.items import yaw_group
from warpgan.evaluation.joined import Block
from warpgan.metrics.bootstrap import Interval, mean_interval, paired_interval

ALL = "all"
YAW_BINS = 3


@dataclass(frozen=True)
class SetValue:
    """A distance between two sets of images.

    Attributes:
        value: the distance.
        std: standard deviation over subsets; ``None`` where there is one or none.
        subsets: their number.
        subset_size: images in each.
        images: views.
        references: photos that they were compared with.
    """

    value: float
    std: float | None
    subsets: int | None
    subset_size: int | None
    images: int
    references: int


@dataclass(frozen=True)
class CurvePoint:
    """A metric at one yaw, in degrees."""

    yaw: float
    interval: Interval


def places_of(block: Block) -> dict[str, list[int]]:
    """Group to places of its rows: ``all``, then each ``yaw +-N``, the smallest first."""
    groups: dict[str, list[int]] = {}
    for place, row in enumerate(block.rows):
        group = yaw_group(row) if row.view.startswith("yaw ") else None
        if group is not None:
            groups.setdefault(group, []).append(place)
    ordered = sorted(groups, key=lambda group: int(group.split("-")[-1]))
    return {ALL: list(range(len(block.rows))), **{group: groups[group] for group in ordered}}


def columns_of(block: Block, method: str, group: str) -> list[str]:
    """Every metric that a group has, those of the rows first: also verification's."""
    return list(dict.fromkeys([*block.columns, *_stated(block.methods[method], group)]))


def mean_of(block: Block, method: str, column: str, group: str = ALL) -> Interval | None:
    """Mean with interval; ``None`` if no row of the group has a number.

    Args:
        block: holding the method.
        method: its name.
        column: a metric, or one that only the summary has.
        group: of ``places_of``.
    """
    found = block.methods[method]
    stated = _stated(found, group)
    if column in stated:
        return stated[column] and Interval(**stated[column])
    return _mean(block, found, column, places_of(block)[group])


def set_value(block: Block, method: str, metric: str, group: str = ALL) -> SetValue | None:
    """A set distance; ``None`` where it was not taken."""
    found = block.methods[method].numbers.get("sets", {}).get(group, {}).get(metric)
    return None if found is None else _set_value(found)


def set_metrics(block: Block) -> list[str]:
    """Names of the set distances that any method of a block has."""
    names = {}
    for method in block.methods.values():
        for found in method.numbers.get("sets", {}).values():
            names |= dict.fromkeys(found)
    return list(names)


def floors_of(block: Block) -> dict[str, dict[str, SetValue]]:
    """What the set distances are between sets that ought to be equal, by name of the floor."""
    found = {}
    for run in block.runs:
        for name, floor in run.summary.get("floors", {}).items():
            found[name] = {
                metric: _set_value({"images": floor.get("images"), **value})
                for metric, value in floor.get("sets", {}).items()
            }
    return found


def difference(
    block: Block, first: str, second: str, column: str, group: str = ALL
) -> Interval | None:
    """Paired ``first - second``, row by row; ``None`` if no row has a number.

    Raises:
        ValueError: if only one of the two has a number for a row: their masks were not the same.
    """
    one, other = block.methods[first], block.methods[second]
    if one.run == other.run:
        summary = next(run.summary for run in block.runs if run.name == one.run)
        stated = summary.get("paired_differences", {})
        if group != ALL:
            stated = summary.get("paired_differences_by_yaw", {}).get(group, {})
        if column in stated.get(f"{first} - {second}", {}):
            found = stated[f"{first} - {second}"][column]
            return found and Interval(**found)
        if column in stated.get(f"{second} - {first}", {}):
            found = stated[f"{second} - {first}"][column]
            return found and _negative(Interval(**found))
    sides = [method.values[column] for method in (one, other)]
    places = np.array(places_of(block)[group])
    used, same = (places[np.isfinite(side[places])] for side in sides)
    if not np.array_equal(used, same):
        place = min(set(used) ^ set(same))
        raise ValueError(
            f"only one of {first} and {second} has a number of {column} for "
            f"{block.rows[place].name}: they were measured with different masks; evaluate both "
            "again with run.overwrite=true"
        )
    if not len(used):
        return None
    owners = [block.rows[place].person for place in used]
    return paired_interval(sides[0][used], sides[1][used], groups=owners, **block.bootstrap)


def yaw_curve(block: Block, method: str, column: str) -> list[CurvePoint]:
    """A metric against yaw, the smallest first; empty where there is one camera only.

    True views are a point each, at the yaw that their name says. Novel cameras have no names: they
    are cut by ``|yaw|`` into three bins of equal size, each at its mean.
    """
    found = block.methods[method]
    if block.protocol == "novel_view":
        size = np.abs([row.yaw for row in block.rows])
        order = np.argsort(size, kind="stable")
        bins = [part for part in np.array_split(order, YAW_BINS) if len(part)]
        means = [(float(size[part].mean()), _mean(block, found, column, part)) for part in bins]
    else:
        views = dict.fromkeys(row.view for row in block.rows if row.view.startswith("yaw "))
        means = []
        for view in views:
            places = [place for place, row in enumerate(block.rows) if row.view == view]
            stated = found.numbers.get("by_view", {}).get(view, {})
            if column in stated:
                interval = stated[column] and Interval(**stated[column])
            else:
                interval = _mean(block, found, column, places)
            means.append((float(view.removeprefix("yaw ")), interval))
    points = [CurvePoint(yaw, interval) for yaw, interval in means if interval is not None]
    return sorted(points, key=lambda point: point.yaw)


def _mean(
    block: Block, method: MethodRun, column: str, places: Sequence[int] | np.ndarray
) -> Interval | None:
    if column not in method.values:
        return None
    values = method.values[column]
    used = [place for place in places if np.isfinite(values[place])]
    if not used:
        return None
    owners = [block.rows[place].person for place in used]
    return mean_interval(values[used], groups=owners, **block.bootstrap)


def _stated(method: MethodRun, group: str) -> Mapping[str, Any]:
    if group == ALL:
        return method.numbers.get("metrics", {})
    return method.numbers.get("by_yaw", {}).get(group, {})


def _negative(interval: Interval) -> Interval:
    return replace(interval, estimate=-interval.estimate, low=-interval.high, high=-interval.low)


def _set_value(found: Mapping[str, Any]) -> SetValue:
    return SetValue(
        value=found["value"],
        # One subset is the whole of both sets: nothing was spread over.
        std=found["std"] if found.get("subsets", 1) > 1 else None,
        subsets=found.get("subsets"),
        subset_size=found.get("subset_size"),
        images=found.get("images", 0),
        references=found.get("references", 0),
    )
