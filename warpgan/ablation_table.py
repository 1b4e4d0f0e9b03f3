"""The ablation's table: ``python -m warpgan.ablation_table RUN_FOLDER --reference G``.

Reads the records of an evaluation whose methods are named row_NAME_seedN (row_NAME where nothing
is trained) and writes table2.md, table2.json and table2.png beside them.

    python -m warpgan.ablation_table runs/eval_ablation
    python -m warpgan.ablation_table runs/eval_ablation --rows A B C D E F G nostyle

Exit codes: 0 done; 2 a mistake in the command or records.
"""

import argparse
from pathlib import Path

from warpgan import cli
from warpgan.evaluation.ablation import read_ablation, summarise_ablation
from warpgan.evaluation.ablation_report import write_ablation


def main(words: list[str] | None = None) -> None:
    """Command line; see the module's text."""
    parser = argparse.ArgumentParser(
        prog="python -m warpgan.ablation_table",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, help="of a finished evaluation, runs/NAME")
    parser.add_argument("--reference", default="G", help="the row that others are compared with")
    parser.add_argument(
        "--rows", nargs="+", default=[], metavar="ROW", help="rows that must be there"
    )
    options = parser.parse_args(words)
    with cli.plain_errors():
        ablation = read_ablation(options.folder, expected=options.rows)
        summary = summarise_ablation(ablation, reference=options.reference)
        text = write_ablation(options.folder, ablation, summary, reference=options.reference)
    print(f"{text}\nwritten to {options.folder}")


if __name__ == "__main__":
    main()
