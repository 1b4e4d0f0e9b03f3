"""The main table and the differences as Markdown and CSV."""

import csv
import io
from collections.abc import Sequence

from warpgan.evaluation.group_numbers import (
    ALL,
    columns_of,
    difference,
    mean_of,
    places_of,
    set_metrics,
    set_value,
)
from warpgan.evaluation.joined import Block
from warpgan.evaluation.metric_words import head_of, scale_of
from warpgan.evaluation.number_text import NO_NUMBER, NOT_RUN, signed_interval
from warpgan.evaluation.table_one import COST, PUBLISHED, Cell, Column, TableOne

RULES = (
    "+- half of the 95 % bootstrap interval over people; sd: over subsets. x1000: printed so.",
    "bold: the best, where its paired difference to the second excludes zero; set distances, "
    "training nets, floors and methods that were given the truth are never bold.",
    "not run: not measured in this block. (r): recorded during the evaluation, not timed alone; "
    "seconds and steps are of the first run that has them, failed views of all.",
)


def table_one_markdown(table: TableOne) -> str:
    """The table, one block under the other: one row a method in each."""
    parts = ["# Table 1\n"]
    for block, places in table.sections().items():
        parts.append(f"## {section_title(table, block)}\n")
        columns = [table.columns[place] for place in places]
        heads = [_text(column_title(column)) for column in columns]
        lines = ["| method | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
        for line in table.lines:
            cells = [_markdown_cell(line.cells[place]) for place in places]
            lines.append(f"| {_text(line.method)} | " + " | ".join(cells) + " |")
        note = f"\n{_text(table.published['source'])}; {table.published['unknown']}."
        parts.append("\n".join(lines) + ("\n" + note if block == PUBLISHED else "") + "\n")
    parts += [f"{line}\n" for line in (*RULES, *notes_of(table))]
    return "\n".join(parts)


def section_title(table: TableOne, block: str) -> str:
    """Heading of one block of columns."""
    if block == COST:
        return "cost"
    if block == PUBLISHED:
        return table.published["title"]
    found = next(one for one in table.blocks if one.letter == block)
    people = len({row.person for row in found.rows})
    photos = len({row.source for row in found.rows})
    return (
        f"{found.letter}: {found.title} (N = {len(found.rows)} views of {photos} photos, "
        f"{people} people)"
    )


def column_title(column: Column) -> str:
    """A column's head in words: group, metric, direction."""
    text = f"{column.group}: {column.head}" if column.group not in ("", ALL) else column.head
    if column.training:
        text += " (training net, paper's protocol)"
    return f"{text}, {column.better}" if column.better else text


def notes_of(table: TableOne) -> list[str]:
    """What methods declare, which do not compete, and which are not shown."""
    notes = [f"{line.method}: {line.note}." for line in table.lines if line.note]
    apart = [
        line.method
        for line in table.lines
        if any(
            not block.methods[line.method].competes
            for block in table.blocks
            if line.method in block.methods
        )
    ]
    if apart:
        notes.append(f"Floors, or given the truth, so no competitors: {', '.join(apart)}.")
    if table.left_out:
        notes.append(f"Measured, not shown here: {', '.join(table.left_out)}.")
    return notes


def table_one_csv(table: TableOne) -> str:
    """One row a method; a number, its ends, its spread over subsets and its count a column."""
    head = ["method", "label"]
    for column in table.columns:
        key = csv_key(column)
        head.append(key)
        if column.block not in (COST, PUBLISHED):
            head += [f"{key} low", f"{key} high", f"{key} std", f"{key} count"]
    lines = [head]
    for line in table.lines:
        cells = [line.method, line.label]
        for column, cell in zip(table.columns, line.cells, strict=True):
            cells.append(cell.text if cell.value is None else _exact(cell.value))
            if column.block not in (COST, PUBLISHED):
                cells += [_exact(cell.low), _exact(cell.high), cell.std, _exact(cell.count)]
        lines.append(cells)
    return _csv(lines)


def csv_key(column: Column) -> str:
    """A column's name in ``table1.csv``: ``A, yaw +-30: psnr``."""
    metric = f"{column.metric} x1000" if column.scale != 1 else column.metric
    group = f", {column.group}" if column.group else ""
    return f"{column.block}{group}: {metric}"


def all_numbers_csv(blocks: Sequence[Block]) -> str:
    """Every mean and set distance of every group, one a line, unscaled."""
    lines = [
        ["block", "data", "protocol", "group", "method", "metric", "better", "value", "low", "high"]
        + ["std", "count", "people"]
    ]
    for block in blocks:
        start = [block.letter, block.summary["data"]["name"], block.protocol]
        for group in places_of(block):
            for method in block.methods:
                for column in columns_of(block, method, group):
                    found = mean_of(block, method, column, group)
                    better = block.better.get(column, "")
                    cells = [*start, group, method, column, better]
                    if found is None:
                        lines.append([*cells, "", "", "", "", "0", ""])
                        continue
                    cells += [_exact(x) for x in (found.estimate, found.low, found.high)]
                    lines.append([*cells, "", str(found.count), str(found.groups)])
                for metric in set_metrics(block):
                    found = set_value(block, method, metric, group)
                    if found is not None:
                        better = block.better.get(metric, "lower")
                        cells = [*start, group, method, metric, better, _exact(found.value)]
                        lines.append([*cells, "", "", _exact(found.std), str(found.images), ""])
    return _csv(lines)


def differences_markdown(blocks: Sequence[Block], reference: str) -> str:
    """Paired differences of the reference and every other method, by block and group.

    Args:
        blocks: measured.
        reference: of ``reference - other``; blocks without it say so.
    """
    parts = [f"# Paired differences: {reference} minus each method\n"]
    for block in blocks:
        parts.append(f"## {block.letter}: {block.title}\n")
        others = [name for name in block.methods if name != reference]
        if reference not in block.methods or not others:
            parts.append(
                f"{reference}: {NOT_RUN} here.\n"
                if reference not in block.methods
                else "No other method was measured here.\n"
            )
            continue
        for group in places_of(block):
            heads = [
                f"{head_of(column)}, {block.better[column]}" if column in block.better else column
                for column in block.columns
            ]
            lines = [
                f"| {group}: {_text(reference)} minus | " + " | ".join(heads) + " |",
                "|---" * (len(heads) + 1) + "|",
            ]
            for other in others:
                cells = [
                    _difference_cell(block, reference, other, column, group)
                    for column in block.columns
                ]
                lines.append(f"| {_text(other)} | " + " | ".join(cells) + " |")
            parts.append("\n".join(lines) + "\n")
    parts.append(
        "Paired by view, 95 % bootstrap intervals over people. Set distances have no pairs and are "
        "not here. A cell that leaves views without such pixels out says how many it is of.\n"
    )
    return "\n".join(parts)


def _difference_cell(block: Block, first: str, second: str, column: str, group: str) -> str:
    found = difference(block, first, second, column, group)
    if found is None:
        return NO_NUMBER
    text = signed_interval(found, scale=scale_of(column))
    rows = len(places_of(block)[group])
    return text if found.count == rows else f"{text} ({found.count} rows)"


def _markdown_cell(cell: Cell) -> str:
    text = cell.text
    if cell.half:
        text += f" +- {cell.half}"
    if cell.std:
        text += f" (sd {cell.std})"
    return f"**{text}**" if cell.best else text


def _text(words: str) -> str:
    """Words from data inside a Markdown table."""
    return words.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def _exact(value: float | None) -> str:
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else f"{value:.9g}"


def _csv(lines: Sequence[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue()
