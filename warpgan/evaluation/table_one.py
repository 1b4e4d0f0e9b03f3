"""The main table: a row a method in the paper's order, blocks of columns by run.

Each block has its own columns; what it costs and what was published stand in blocks of their own,
so no number shares a column with one that was measured otherwise.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from warpgan.evaluation.finished_run import MethodRun
from warpgan.evaluation.group_numbers import (
    ALL,
    difference,
    mean_of,
    places_of,
    set_metrics,
    set_value,
)
from warpgan.evaluation.joined import Block
from warpgan.evaluation.metric_words import head_of, kind_of, scale_of
from warpgan.evaluation.number_text import NO_NUMBER, NOT_RUN, half_width, plain

METHOD_LABELS = {
    "sg2_w": "SG2 W",
    "sg2_wplus": "SG2 W+",
    "pti": "PTI",
    "pose_opt": "Pose Opt.",
    "hfgi3d": "HFGI3D",
    "spi": "SPI",
    "psp": "pSp",
    "goae": "GOAE",
    "triplanenet": "TriPlaneNet",
    "encoder": "inversion alone",
    "warp_fill": "warp + fill (B)",
    "warpgan": "WarpGAN",
}
PAPER_ORDER = tuple(METHOD_LABELS)
OTHER_LABELS = {
    "warp": "warp alone",
    "mean_latent": "mean face",
    "untrained_encoder": "untrained encoder",
    "true_latent": "true latent",
    "photo_itself": "the photo itself",
    "generator_samples": "random faces",
}
COST, PUBLISHED = "cost", "published"
# What the paper's table holds, in its order, by protocol.
SHOWN = {
    "same_view": ("perceptual", "set", "identity", "psnr"),
    "multi_view": ("perceptual", "set", "identity", "psnr"),
    "novel_view": ("set", "identity"),
}


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        block: letter of the block, ``cost`` or ``published``.
        group: ``all``, ``yaw +-30``, or empty.
        metric: its name in the records.
        head: its name in print.
        better: ``lower``, ``higher``, or ``None``.
        scale: what its numbers are multiplied with in print.
        training: whether the metric's net was a training loss: never what a ranking rests on.
    """

    block: str
    group: str
    metric: str
    head: str
    better: str | None
    scale: float = 1.0
    training: bool = False


@dataclass(frozen=True)
class Cell:
    """One number, scaled as its column says.

    Attributes:
        text: without spread, or what stands in place of a number; empty if unknown.
        value: ``None`` where there is none.
        low: lower end of the interval.
        high: upper end.
        half: half of the interval, as printed.
        std: over subsets, as printed, where there is no interval.
        count: rows or images that it is of.
        best: the best of its column, and the paired difference to the second excludes zero.
    """

    text: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    half: str = ""
    std: str = ""
    count: int | None = None
    best: bool = False


@dataclass(frozen=True)
class Line:
    """One method: a cell a column."""

    method: str
    label: str
    note: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class TableOne:
    """The table.

    Attributes:
        blocks: what was measured.
        columns: of all blocks, cost, and what was published.
        lines: in order.
        published: the file of published figures.
        left_out: methods that were measured and are not shown.
    """

    blocks: tuple[Block, ...]
    columns: tuple[Column, ...]
    lines: tuple[Line, ...]
    published: dict[str, Any]
    left_out: tuple[str, ...]

    def sections(self) -> dict[str, list[int]]:
        """Block to the places of its columns, in order."""
        found: dict[str, list[int]] = {}
        for place, column in enumerate(self.columns):
            found.setdefault(column.block, []).append(place)
        return found


def build_table_one(blocks: Sequence[Block], *, methods: Sequence[str] = ()) -> TableOne:
    """Gather the main table.

    Args:
        blocks: measured.
        methods: rows, in this order, absent ones "not run"; the paper's order if empty, then what
            else was measured.

    Raises:
        ValueError: for a method named twice, or if none of them was measured.
    """
    measured = list(dict.fromkeys(name for block in blocks for name in block.methods))
    if len(set(methods)) != len(methods):
        twice = next(name for name in methods if list(methods).count(name) > 1)
        raise ValueError(f"--methods names {twice} twice")
    if methods and not set(methods) & set(measured):
        raise ValueError(f"none of --methods was measured; there are {', '.join(measured)}")
    order = list(methods) or [
        *PAPER_ORDER,
        *(name for name in measured if name not in PAPER_ORDER),
    ]
    published = json.loads((files("warpgan") / "assets/published_figures.json").read_text())
    columns = [column for block in blocks for column in _block_columns(block)]
    cells = [_column_cells(_block(blocks, column), column, order) for column in columns]
    for column in _COST:
        columns.append(column)
        cells.append({name: _cost(blocks, name, column.metric) for name in order})
    for entry in published["columns"]:
        head = (entry["group"], entry["key"], entry["metric"], entry["better"])
        columns.append(Column(PUBLISHED, *head))
        cells.append(
            {name: Cell(published["methods"].get(name, {}).get(entry["key"], "")) for name in order}
        )
    lines = [
        Line(name, label_of(name), _note(blocks, name), tuple(column[name] for column in cells))
        for name in order
    ]
    left_out = tuple(name for name in measured if name not in order)
    return TableOne(tuple(blocks), tuple(columns), tuple(lines), published, left_out)


def label_of(method: str) -> str:
    """A method's name in print."""
    return (METHOD_LABELS | OTHER_LABELS).get(method, method)


_COST = (
    Column(COST, "", "invert", "t_invert, s / photo", "lower"),
    Column(COST, "", "render", "t_render, s / view", "lower"),
    Column(COST, "", "steps", "steps", None),
    Column(COST, "", "failed", "failed views", None),
)


def _block(blocks: Sequence[Block], column: Column) -> Block:
    return next(block for block in blocks if block.letter == column.block)


def _block_columns(block: Block) -> list[Column]:
    groups = [group for group in places_of(block) if group != ALL] or [ALL]
    names = {"set": set_metrics(block)}
    for kind in ("perceptual", "identity", "psnr"):
        names[kind] = [name for name in block.columns if kind_of(name) == kind]
    training = block.summary["training_nets"]
    return [
        Column(
            block.letter,
            group,
            name,
            head_of(name),
            block.better.get(name, "lower" if kind == "set" else None),
            scale_of(name),
            name in training,
        )
        for group in groups
        for kind in SHOWN[block.protocol]
        for name in names[kind]
    ]


def _column_cells(block: Block, column: Column, order: Sequence[str]) -> dict[str, Cell]:
    best = None if column.training else _clear_best(block, column, order)
    return {
        name: _cell(block, name, column, best=name == best)
        if name in block.methods
        else Cell(NOT_RUN)
        for name in order
    }


def _cell(block: Block, method: str, column: Column, *, best: bool) -> Cell:
    if kind_of(column.metric) == "set":
        found = set_value(block, method, column.metric, column.group)
        if found is None:
            return Cell(NO_NUMBER)
        value = column.scale * found.value
        std = "" if found.std is None else plain(column.scale * found.std, 2)
        return Cell(plain(value), value, std=std, count=found.images)
    interval = mean_of(block, method, column.metric, column.group)
    if interval is None:
        return Cell(NO_NUMBER)
    value, low, high = (column.scale * x for x in (interval.estimate, interval.low, interval.high))
    half = half_width(interval, scale=column.scale)
    return Cell(plain(value), value, low, high, half, count=interval.count, best=best)


def _clear_best(block: Block, column: Column, order: Sequence[str]) -> str | None:
    """The best method where its paired difference to the second excludes zero.

    Floors and methods that were given the truth do not compete, and set distances have no pairs.
    """
    if kind_of(column.metric) == "set" or column.better is None:
        return None
    means = {}
    for name in order:
        if name in block.methods and block.methods[name].competes:
            interval = mean_of(block, name, column.metric, column.group)
            if interval is not None:
                means[name] = interval.estimate
    ranked = sorted(means, key=means.get, reverse=column.better == "higher")
    if len(ranked) < 2:
        return None
    found = difference(block, ranked[0], ranked[1], column.metric, column.group)
    return ranked[0] if found is not None and found.excludes_zero else None


def _cost(blocks: Sequence[Block], method: str, metric: str) -> Cell:
    runs = [block.methods[method] for block in blocks if method in block.methods]
    if not runs:
        return Cell(NOT_RUN)
    if metric == "failed":
        failed = sum(int(run.failed.sum()) for run in runs)
        total = sum(len(run.rows) for run in runs)
        return Cell(f"{failed} of {total}", failed, count=total)
    if metric == "steps":
        found = next((run.numbers["steps"] for run in runs if run.numbers.get("steps")), None)
        return Cell("-") if found is None else Cell(_steps_text(found), found["mean"])
    return _seconds(runs, metric)


def _seconds(runs: Sequence[MethodRun], metric: str) -> Cell:
    """Timed alone where that was done; else as recorded while other work may have run."""
    timed = {"invert": "invert", "render": "render_per_view"}[metric]
    recorded = {"invert": "seconds_invert_per_photo", "render": "seconds_render_per_view"}[metric]
    for run in runs:
        if run.numbers.get("timing"):
            value = run.numbers["timing"][timed]
            return Cell(plain(value, 3), value, count=run.numbers["timing"].get("repeats"))
    for run in runs:
        if run.numbers.get(recorded) is not None:
            return Cell(f"{plain(run.numbers[recorded], 3)} (r)", run.numbers[recorded])
    return Cell("-")


def _steps_text(steps: dict[str, float]) -> str:
    least, most = steps["least"], steps["most"]
    mean = plain(steps["mean"], 3)
    return mean if least == most else f"{mean} ({least:.0f} to {most:.0f})"


def _note(blocks: Sequence[Block], method: str) -> str:
    notes = [
        block.methods[method].numbers.get("note", "") for block in blocks if method in block.methods
    ]
    return "; ".join(dict.fromkeys(note for note in notes if note))
