"""The main table for a paper: one ``tabular`` with grouped heads; needs the package booktabs."""

from collections.abc import Sequence
from itertools import groupby

from warpgan.evaluation.group_numbers import ALL
from warpgan.evaluation.number_text import NOT_RUN
from warpgan.evaluation.table_one import COST, PUBLISHED, Cell, Column, TableOne
from warpgan.evaluation.table_text import RULES, notes_of, section_title

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
}
_ARROWS = {"lower": r"$\downarrow$", "higher": r"$\uparrow$", None: ""}


def escape(words: str) -> str:
    """Plain words for LaTeX's text mode; ``+-`` becomes its sign, line breaks spaces."""
    words = " ".join(words.split())
    return "".join(_SPECIAL.get(sign, sign) for sign in words).replace("+-", r"$\pm$")


def table_one_latex(table: TableOne, *, caption: str) -> str:
    r"""A ``table*`` to ``\input``: ``\usepackage{booktabs,graphicx}``.

    Args:
        table: gathered.
        caption: plain words; what the table's blocks are follows it.
    """
    sections = table.sections()
    lines = [
        r"% \usepackage{booktabs,graphicx}",
        r"\begin{table*}",
        r"\centering",
        rf"\caption{{{_caption(table, caption)}}}",
        r"\resizebox{\textwidth}{!}{%",
        rf"\begin{{tabular}}{{l{'|'.join('c' * len(places) for places in sections.values())}}}",
        r"\toprule",
        _spanned([(_block_name(block), len(places)) for block, places in sections.items()]),
        _spanned(
            [
                ("" if group == ALL else group, len(list(columns)))
                for _, places in sections.items()
                for group, columns in groupby(table.columns[place].group for place in places)
            ]
        ),
        " & ".join(["method", *(_head(column) for column in table.columns)]) + r" \\",
        r"\midrule",
    ]
    for line in table.lines:
        cells = [escape(line.label)]
        for block, places in sections.items():
            found = [line.cells[place] for place in places]
            if block not in (COST, PUBLISHED) and all(cell.text == NOT_RUN for cell in found):
                cells.append(rf"\multicolumn{{{len(places)}}}{{c}}{{{NOT_RUN}}}")
            else:
                cells += [_cell(cell) for cell in found]
        lines.append(" & ".join(cells) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}}", r"\end{table*}"]
    return "\n".join(lines) + "\n"


def _caption(table: TableOne, caption: str) -> str:
    blocks = [section_title(table, block.letter) for block in table.blocks]
    words = [f"{caption}.", *(f"{block}." for block in blocks), *RULES, *notes_of(table)]
    words.append(f"Published: {table.published['source']}.")
    return escape(" ".join(words))


def _block_name(block: str) -> str:
    return {PUBLISHED: "published, other nets and generator"}.get(block, block)


def _spanned(heads: Sequence[tuple[str, int]]) -> str:
    cells = [rf"\multicolumn{{{width}}}{{c}}{{{escape(head)}}}" for head, width in heads]
    return " & ".join(["", *cells]) + r" \\"


def _head(column: Column) -> str:
    head = escape(column.head).replace("x1000", r"$\times 10^3$")
    training = " (training net)" if column.training else ""
    return f"{head}{training} {_ARROWS[column.better]}".rstrip()


def _cell(cell: Cell) -> str:
    text = escape(cell.text)
    if cell.best:
        text = rf"\textbf{{{text}}}"
    if cell.half:
        text += rf" {{\scriptsize $\pm$ {cell.half}}}"
    if cell.std:
        text += rf" {{\scriptsize (sd {cell.std})}}"
    return text
