"""The report's pictures: photo, truth and each method beside each other, with their numbers."""

from collections.abc import Sequence

from warpgan.evaluation.html_parts import head_words, paragraph, table, words
from warpgan.evaluation.joined import Block
from warpgan.evaluation.metric_words import head_of, scale_of
from warpgan.evaluation.number_text import NO_NUMBER, plain
from warpgan.evaluation.picture_grid import (
    MissingPicture,
    Shown,
    Thumbnail,
    extreme_rows,
    first_rows,
    judging_column,
    show_rows,
)
from warpgan.evaluation.table_one import label_of

MOST_BYTES = 10_000_000


def pictures(
    blocks: Sequence[Block],
    methods: Sequence[str],
    reference: str,
    *,
    most_bytes: int = MOST_BYTES,
) -> str:
    """The first few people, and the best and the worst rows of the reference.

    Args:
        blocks: measured.
        methods: shown where they were run, the reference first.
        reference: whose extreme rows are shown; in a block without it, the first method's.
        most_bytes: of all pictures together; grids beyond are left out, with a sentence.

    Raises:
        ValueError: if a picture cannot be read, or its name leads out of its folder.
    """
    parts, used = [], 0
    for block in blocks:
        parts.append(f"<h3>{words(f'{block.letter}: {block.title}')}</h3>")
        order = [reference, *(name for name in methods if name != reference)]
        names = [name for name in order if name in block.methods and name in methods]
        if not names:
            parts.append(paragraph("None of the methods shown was run here."))
            continue
        judged = reference if reference in block.methods else names[0]
        column = judging_column(block)
        grids = {"The first people of the data": first_rows(block)}
        if column is not None:
            best, worst = extreme_rows(block, judged, column)
            by = f"of {label_of(judged)} by {head_of(column)}"
            grids |= {f"The worst views {by}": worst, f"The best views {by}": best}
        for title, places in grids.items():
            if not places:
                continue
            try:
                shown = show_rows(block, places, names)
            except MissingPicture as missing:
                text = f"{title}: left out, as {missing}. Evaluate again to have all pictures."
                parts.append(paragraph(text))
                continue
            grid = _grid(block, shown, names, column, title=title)
            if used + len(grid) > most_bytes:
                text = f"{title}: left out, as the page would pass {most_bytes / 1e6:.0f} MB."
                parts.append(paragraph(text))
                continue
            used += len(grid)
            parts += [f"<h4>{words(title)}</h4>", grid]
        if column is not None:
            better = f", {block.better[column]} is better" if column in block.better else ""
            parts.append(paragraph(f"Numbers: {head_of(column)}{better}.", note=True))
    return "\n".join(parts)


def _grid(
    block: Block,
    shown: Sequence[Shown],
    methods: Sequence[str],
    column: str | None,
    *,
    title: str,
) -> str:
    truth = any(one.truth is not None for one in shown)
    heads = ["view", "photo", *(["truth"] if truth else []), *map(label_of, methods)]
    rows = []
    for place, one in enumerate(shown):
        row = block.rows[one.place]
        where = row.view
        if not where.startswith("yaw "):
            where = f"{where}: yaw {row.yaw:+.0f}, pitch {row.pitch:+.0f}"
        cells = [f'<th scope="row">{words(row.person)}<small>{words(where)}</small></th>']
        same = place and block.rows[shown[place - 1].place].source == row.source
        if not same:
            following = [block.rows[other.place].source == row.source for other in shown[place:]]
            height = following.index(False) if False in following else len(following)
            cells.append(_picture(one.photo, f"photo of {row.person}", height=height))
        if truth:
            cells.append(_picture(one.truth, f"true view of {row.person}, {row.view}"))
        for name in methods:
            number = "" if column is None else _number(block, name, column, one.place)
            said = f"{label_of(name)}'s view of {row.person}, {row.view}"
            cells.append(_picture(one.views[name], said, caption=number))
        rows.append(f"<tr>{''.join(cells)}</tr>")
    first = f'<th scope="col" class="corner">{heads[0]}</th>'
    head = first + "".join(f'<th scope="col">{head_words(text)}</th>' for text in heads[1:])
    return table(f"<tr>{head}</tr>", rows, label=title, kind="grid")


def _number(block: Block, method: str, column: str, place: int) -> str:
    found = block.methods[method]
    value = found.values[column][place]
    # NaN is the one number that differs from itself.
    text = NO_NUMBER if value != value else plain(scale_of(column) * value, 3)
    return f"{text}, failed" if found.failed[place] else text


def _picture(found: Thumbnail, said: str, *, caption: str = "", height: int = 1) -> str:
    span = f' rowspan="{height}"' if height > 1 else ""
    size = f'width="{found.width}" height="{found.height}"'
    below = f"<small>{words(caption)}</small>" if caption else ""
    image = f'<img src="{found.uri}" {size} alt="{words(said)}" loading="lazy">'
    return f"<td{span}>{image}{below}</td>"
