"""The report's numbers: the main table, every metric, differences, curves against yaw."""

from collections.abc import Sequence
from itertools import groupby

from warpgan.evaluation.group_numbers import (
    ALL,
    columns_of,
    difference,
    mean_of,
    places_of,
    set_metrics,
    set_value,
    yaw_curve,
)
from warpgan.evaluation.html_parts import (
    head_words,
    number_cell,
    paragraph,
    plot,
    plots,
    table,
    words,
)
from warpgan.evaluation.joined import Block
from warpgan.evaluation.metric_words import head_of, scale_of
from warpgan.evaluation.number_text import NO_NUMBER, NOT_RUN, half_width, plain
from warpgan.evaluation.svg_plot import Bar, Curve, curve_svg, difference_svg
from warpgan.evaluation.table_one import PUBLISHED, Cell, Column, Line, TableOne, label_of
from warpgan.evaluation.table_text import RULES, notes_of, section_title

ARROWS = {
    "lower": '<span title="lower is better">↓</span>',
    "higher": '<span title="higher is better">↑</span>',
    None: "",
}


def main_table(table_one: TableOne) -> str:
    """One table a block: rows in the paper's order."""
    parts = []
    for block, places in table_one.sections().items():
        title = section_title(table_one, block)
        parts.append(f"<h3>{words(title)}</h3>")
        if block == PUBLISHED:
            published = table_one.published
            parts.append(
                paragraph(
                    "Never comparable with ours, number by number: "
                    f"{published['source']}; {published['unknown']}.",
                    note=True,
                )
            )
        columns = [table_one.columns[place] for place in places]
        rows = [
            _line(line, [line.cells[place] for place in places], columns)
            for line in table_one.lines
            if block != PUBLISHED or any(line.cells[place].text for place in places)
        ]
        parts.append(table(_heads(columns), rows, label=title))
    notes = (*RULES, *notes_of(table_one))
    parts += [paragraph(note.replace("+-", "±"), note=True) for note in notes]
    return "\n".join(parts)


def every_metric(blocks: Sequence[Block]) -> str:
    """All metrics of all views together, a table a block."""
    parts = []
    for block in blocks:
        columns = []
        for method in block.methods:
            columns += columns_of(block, method, ALL)
        columns = list(dict.fromkeys(columns))
        chosen = [*columns, *set_metrics(block)]
        heads = [
            Column(block.letter, ALL, name, head_of(name), block.better.get(name))
            for name in chosen
        ]
        rows = []
        for method in block.methods:
            cells = [_mean_cell(block, method, column) for column in columns]
            cells += [_set_cell(block, method, metric) for metric in set_metrics(block)]
            rows.append(_line(Line(method, label_of(method), "", ()), cells, heads))
        title = f"{block.letter}: {block.title}, all views"
        parts += [f"<h3>{words(title)}</h3>", table(_heads(heads), rows, label=title)]
    return "\n".join(parts)


def differences(blocks: Sequence[Block], reference: str) -> str:
    """A panel a metric: the reference minus each method."""
    parts = [
        paragraph(
            f"{label_of(reference)} minus each method, paired by view, all views together; bars "
            "are 95 % intervals over people. Blue disc: the reference is better; orange square: "
            "worse; hollow grey: the interval holds zero. Set distances have no pairs."
        )
    ]
    for block in blocks:
        parts.append(f"<h3>{words(f'{block.letter}: {block.title}')}</h3>")
        others = [name for name in block.methods if name != reference]
        if reference not in block.methods or not others:
            parts.append(paragraph(f"{reference} was not run with another method here."))
            continue
        drawn = []
        for column in block.columns:
            bars = [
                Bar(label_of(name), difference(block, reference, name, column)) for name in others
            ]
            better, heading = block.better.get(column), _heading(block, column)
            said = f"{heading}: {label_of(reference)} minus each method"
            svg = difference_svg(said, bars, better=better, scale=scale_of(column))
            drawn.append(plot(heading, svg))
        parts.append(plots(drawn))
    return "\n".join(parts)


def against_yaw(blocks: Sequence[Block], methods: Sequence[str], reference: str) -> str:
    """A panel a metric: its mean at each yaw, one line a method."""
    parts = []
    styles = [reference, *(name for name in methods if name != reference)]
    for block in blocks:
        names = [name for name in methods if name in block.methods]
        drawn = []
        for column in block.columns:
            curves = []
            for name in names:
                found = yaw_curve(block, name, column)
                points = tuple((point.yaw, point.interval) for point in found)
                if len(points) > 1:
                    style = styles.index(name)
                    curves.append(Curve(label_of(name), style, points, name == reference))
            if curves:
                novel = block.protocol == "novel_view"
                x_name = "mean |yaw| of a third of the views, degrees" if novel else "yaw, degrees"
                heading = _heading(block, column)
                said = f"{heading}, against yaw, a line a method"
                svg = curve_svg(said, curves, x_name=x_name, scale=scale_of(column))
                drawn.append(plot(heading, svg))
        if drawn:
            parts += [f"<h3>{words(f'{block.letter}: {block.title}')}</h3>", plots(drawn)]
    if not parts:
        return paragraph("No block has views from more than one camera.")
    note = "Means with 95 % intervals over people; yaw > 0 is a camera at the subject's left."
    return "\n".join([paragraph(note), *parts])


def _heads(columns: Sequence[Column]) -> str:
    """One or two rows of heads: groups above metrics."""
    spans = [(group, len(list(found))) for group, found in groupby(c.group for c in columns)]
    named = any(group not in ("", ALL) for group, _ in spans)
    first = f'<th scope="col" class="corner" rowspan="{2 if named else 1}">method</th>'
    metrics = []
    for column, start in zip(columns, _starts(columns), strict=True):
        kind = ' class="start"' if start else ""
        training = '<span class="half">training net</span>' if column.training else ""
        text = f"{head_words(column.head)} {ARROWS[column.better]}{training}"
        metrics.append(f'<th scope="col"{kind}>{text}</th>')
    if not named:
        return f"<tr>{first}{''.join(metrics)}</tr>"
    groups = "".join(
        f'<th class="group start" scope="colgroup" colspan="{width}">'
        f"{words(group.replace('+-', '±'))}</th>"
        for group, width in spans
    )
    return f"<tr>{first}{groups}</tr><tr>{''.join(metrics)}</tr>"


def _line(line: Line, cells: Sequence[Cell], columns: Sequence[Column]) -> str:
    key = "" if line.label == line.method else f'<span class="key">{words(line.method)}</span>'
    head = f'<th scope="row">{words(line.label)}{key}</th>'
    if all(cell.text == NOT_RUN for cell in cells):
        absent = f'<td class="absent" colspan="{len(cells)}">{NOT_RUN}</td>'
        return f'<tr class="absent">{head}{absent}</tr>'
    numbers = (
        number_cell(cell, start=start) for cell, start in zip(cells, _starts(columns), strict=True)
    )
    return f"<tr>{head}{''.join(numbers)}</tr>"


def _starts(columns: Sequence[Column]) -> list[bool]:
    """Whether a column begins a named group."""
    before = [None, *(column.group for column in columns[:-1])]
    return [
        column.group not in ("", ALL) and column.group != last
        for column, last in zip(columns, before, strict=True)
    ]


def _mean_cell(block: Block, method: str, column: str) -> Cell:
    found = mean_of(block, method, column)
    if found is None:
        return Cell(NO_NUMBER)
    half = half_width(found, scale=scale_of(column))
    if found.count != len(places_of(block)[ALL]):
        half += f" ({found.count} rows)"
    return Cell(plain(scale_of(column) * found.estimate), half=half)


def _set_cell(block: Block, method: str, metric: str) -> Cell:
    found = set_value(block, method, metric)
    if found is None:
        return Cell(NO_NUMBER)
    std = "" if found.std is None else plain(scale_of(metric) * found.std, 2)
    return Cell(plain(scale_of(metric) * found.value), std=std)


def _heading(block: Block, column: str) -> str:
    better = block.better.get(column)
    return f"{head_of(column)}, {better} is better" if better else head_of(column)
