"""Tables, plots and one page from finished evaluations: ``python -m warpgan.tables RUN [RUN ...]``.

Runs are folders that python -m warpgan.evaluate wrote; those that measured the same rows are put in
one block of columns, others stand beside each other. Writes into --out:

    table1.md, table1.csv, table1.tex    the main table: a row a method, absent ones "not run"
    numbers.csv                          every number of every group of views, one a line
    differences.md                       paired differences of the reference and each method
    table2.md, .json, .png               with --ablation
    report.html                          all of it with plots and pictures, in one file

    python -m warpgan.tables runs/mead runs/celebahq --out runs/tables
    python -m warpgan.tables runs/mead --methods pti,hfgi3d,warpgan --ablation runs/ablation

Exit codes: 0 done; 2 a mistake in the command or records.
"""

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from warpgan import cli
from warpgan.evaluation.ablation import read_ablation, summarise_ablation
from warpgan.evaluation.ablation_report import write_ablation
from warpgan.evaluation.html_report import AblationPart, html_report
from warpgan.evaluation.joined import Block, read_blocks
from warpgan.evaluation.latex import table_one_latex
from warpgan.evaluation.records import write_text
from warpgan.evaluation.table_one import build_table_one
from warpgan.evaluation.table_text import (
    all_numbers_csv,
    differences_markdown,
    table_one_csv,
    table_one_markdown,
)

ABLATION_REFERENCE = "G"


def main(words: list[str] | None = None) -> None:
    """Command line; see the module's text."""
    words = sys.argv[1:] if words is None else words
    options = _parser().parse_args(words)
    with cli.plain_errors():
        text = write_tables(
            options.runs,
            options.out,
            reference=options.reference,
            title=options.title,
            methods=_names(options.methods),
            ablation=options.ablation,
            command=shlex.join(["python", "-m", "warpgan.tables", *words]),
        )
    print(f"{text}\nwritten to {options.out}")


def write_tables(
    runs: Sequence[Path],
    out: Path,
    *,
    reference: str | None = None,
    title: str = "Novel views of faces: methods compared",
    methods: Sequence[str] = (),
    ablation: Path | None = None,
    command: str = "",
) -> str:
    """Write all tables and the page.

    Args:
        runs: folders of finished evaluations.
        out: folder that the files go to; made if missing.
        reference: method that the others are compared with; that of the first run if ``None``.
        title: of the page and the LaTeX caption.
        methods: rows in this order; the paper's, then the rest, if empty.
        ablation: folder of an ablation's evaluation.
        command: printed as what writes the page.

    Returns:
        The main table, Markdown.

    Raises:
        FileNotFoundError: if a run is absent or not finished.
        ValueError: if the runs do not fit together, or a method is not known.
    """
    blocks = read_blocks(runs)
    reference = _reference(blocks, reference)
    table = build_table_one(blocks, methods=methods)
    part = None
    if ablation is not None:
        found = read_ablation(ablation)
        summary = summarise_ablation(found, reference=ABLATION_REFERENCE)
        part = AblationPart(found, summary, ABLATION_REFERENCE)
    markdown = table_one_markdown(table)
    written = {
        "table1.md": markdown,
        "table1.csv": table_one_csv(table),
        "table1.tex": table_one_latex(table, caption=title),
        "numbers.csv": all_numbers_csv(blocks),
        "differences.md": differences_markdown(blocks, reference),
        "report.html": html_report(
            table, title=title, reference=reference, command=command, ablation=part
        ),
    }
    out.mkdir(parents=True, exist_ok=True)
    for name, text in written.items():
        write_text(out / name, text)
    if part is not None:
        write_ablation(out, part.ablation, part.summary, reference=part.reference)
    return markdown


def _reference(blocks: Sequence[Block], named: str | None) -> str:
    known = list(dict.fromkeys(name for block in blocks for name in block.methods))
    if named is not None and named not in known:
        raise ValueError(
            f"--reference {named} is none of the measured methods; choose one of {', '.join(known)}"
        )
    return named or blocks[0].runs[0].reference


def _names(words: str) -> list[str]:
    return [word.strip() for word in words.split(",") if word.strip()]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m warpgan.tables",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="runs/NAME, finished")
    parser.add_argument("--out", type=Path, default=Path("runs/tables"), help="default runs/tables")
    parser.add_argument(
        "--reference", metavar="METHOD", help="the others are compared with it; default: the run's"
    )
    parser.add_argument(
        "--title", default="Novel views of faces: methods compared", help="of the page"
    )
    parser.add_argument(
        "--methods", default="", metavar="A,B,C", help="rows, in this order; absent ones: not run"
    )
    parser.add_argument(
        "--ablation", type=Path, metavar="FOLDER", help="evaluation of row_NAME_seedN methods"
    )
    return parser


if __name__ == "__main__":
    main()
