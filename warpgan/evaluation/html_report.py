"""One page of a whole evaluation, in a reviewer's order; it needs no other file and no network."""

from collections.abc import Sequence
from dataclasses import dataclass

from warpgan.evaluation.ablation import ALL, Ablation, Group, RowMetric
from warpgan.evaluation.ablation_report import ROW_MEANING
from warpgan.evaluation.html_facts import (
    consistency,
    failures,
    floors,
    measured,
    provenance,
    reproduce,
    timing,
)
from warpgan.evaluation.html_numbers import against_yaw, differences, every_metric, main_table
from warpgan.evaluation.html_parts import page, paragraph, plain_table, plot, plots
from warpgan.evaluation.html_pictures import pictures
from warpgan.evaluation.joined import Block
from warpgan.evaluation.metric_words import head_of, scale_of
from warpgan.evaluation.number_text import NO_NUMBER, half_width, plain
from warpgan.evaluation.svg_plot import Bar, difference_svg
from warpgan.evaluation.table_one import TableOne


@dataclass(frozen=True)
class AblationPart:
    """An ablation as read and summarised."""

    ablation: Ablation
    summary: dict[str, Group]
    reference: str


def html_report(
    table: TableOne,
    *,
    title: str,
    reference: str,
    command: str,
    ablation: AblationPart | None = None,
) -> str:
    """The page.

    Args:
        table: the main table, with its blocks.
        title: plain words.
        reference: method that the others are compared with.
        command: that writes this page.
        ablation: shown after the methods, if given.

    Raises:
        ValueError: if a picture cannot be read.
    """
    blocks = table.blocks
    methods = [line.method for line in table.lines if _was_run(blocks, line.method)]
    sections = [
        ("What was measured", measured(blocks)),
        ("Main table", main_table(table)),
        ("Differences to the reference", differences(blocks, reference)),
        ("Against yaw", against_yaw(blocks, methods, reference)),
        ("Pictures", pictures(blocks, methods, reference)),
    ]
    if ablation is not None:
        sections.append(("Ablation", _ablation(ablation)))
    agreement = consistency(blocks)
    if agreement:
        sections.append(("Consistency between views", agreement))
    sections += [
        ("Every metric, all views", every_metric(blocks)),
        ("Failures", failures(blocks)),
        ("Floors of set distances", floors(blocks)),
        ("Timing", timing(blocks)),
        ("Provenance", provenance(blocks)),
        ("How to reproduce", reproduce(blocks, command)),
    ]
    return page(title, sections)


def _ablation(part: AblationPart) -> str:
    ablation, rows = part.ablation, part.summary[ALL]
    columns = list(ablation.better)
    heads = ["row", "meaning", "seeds"]
    heads += [f"{head_of(column)}, {ablation.better[column]}" for column in columns]
    lines = []
    for name, metrics in rows.items():
        seeds = len(ablation.rows[name].seeds) if ablation.rows[name].seeds != ("",) else "-"
        cells = [_ablation_cell(metrics[column], scale_of(column)) for column in columns]
        lines.append([name, ROW_MEANING.get(name, "not described"), seeds, *cells])
    drawn = []
    for column in columns:
        bars = [
            Bar(name, metrics[column] and metrics[column].difference)
            for name, metrics in rows.items()
            if name != part.reference
        ]
        better = ablation.better[column]
        heading = f"{head_of(column)}, {better} is better"
        said = f"{heading}: each row minus {part.reference}"
        svg = difference_svg(said, bars, better=better, scale=scale_of(column))
        drawn.append(plot(heading, svg))
    people = len({image.person for image in ablation.images})
    return "\n".join(
        [
            paragraph(
                f"{ablation.data}: {len(ablation.images)} views of {people} people. Each number is "
                "the mean over seeds, ± half of the 95 % interval over people, in brackets the "
                "spread of the seeds. The paper's text leaves rows A, C and D open; meanings are "
                "as we read them."
            ),
            plain_table(heads, lines, label="Ablation"),
            paragraph(
                f"Each row minus {part.reference}, paired by view. Blue disc: the row is better; "
                "orange square: worse; hollow grey: the interval holds zero. No interval covers "
                "what another training would change."
            ),
            plots(drawn),
        ]
    )


def _ablation_cell(found: RowMetric | None, scale: float) -> str:
    if found is None:
        return NO_NUMBER
    text = f"{plain(scale * found.mean.estimate)} ± {half_width(found.mean, scale=scale)}"
    return text if found.spread is None else f"{text} [{plain(scale * found.spread, 2)}]"


def _was_run(blocks: Sequence[Block], method: str) -> bool:
    return any(method in block.methods for block in blocks)
