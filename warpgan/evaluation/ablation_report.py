"""The ablation's table and picture: ``table2.md``, ``table2.json``, ``table2.png``."""

import json
from dataclasses import asdict
from pathlib import Path

from warpgan.evaluation.ablation import ALL, Ablation, Group, RowMetric
from warpgan.evaluation.interval_plot import Mark, Panel, interval_plot
from warpgan.evaluation.records import write_text
from warpgan.evaluation.tables import NO_NUMBER, difference_cell
from warpgan.pictures import write_png

# The paper's text leaves A, C and D open.
ROW_MEANING = {
    "A": "inversion alone",
    "B": "warp + fill",
    "C": "no modulation: a learned constant instead of style codes",
    "D": "no latent-consistency loss",
    "E": "no symmetry: one branch",
    "F": "no synthetic pairs",
    "G": "the full method",
    "nostyle": "the released plain inpainting network",
}
NAME = "table2"
SAME = 1e-9


def write_ablation(
    folder: Path, ablation: Ablation, summary: dict[str, Group], *, reference: str
) -> str:
    """Write the table, its numbers and the picture of the differences.

    Args:
        folder: where they go.
        ablation: what was read.
        summary: of it.
        reference: the row that the others were compared with.

    Returns:
        The tables, Markdown.
    """
    parts = []
    for group in summary:
        parts.append(_means(ablation, summary[group], group))
    for group in summary:
        parts.append(_differences(ablation, summary[group], group, reference=reference))
    parts.append(_notes(ablation, reference))
    text = "\n".join(parts)
    plain = {
        "data": ablation.data,
        "reference": reference,
        "bootstrap": {**ablation.bootstrap, "level": 0.95, "resampled": "people"},
        "better": dict(ablation.better),
        "rows": {
            name: {"seeds": list(row.seeds), "meaning": ROW_MEANING.get(name)}
            for name, row in ablation.rows.items()
        },
        "groups": {
            group: {
                name: {column: found and asdict(found) for column, found in metrics.items()}
                for name, metrics in rows.items()
            }
            for group, rows in summary.items()
        },
    }
    write_text(folder / f"{NAME}.json", json.dumps(plain, indent=2) + "\n")
    write_text(folder / f"{NAME}.md", text)
    if len(ablation.rows) > 1:
        panels = _panels(ablation, summary[ALL], reference=reference)
        title = f"{ablation.data}: row minus {reference}, 95 % interval over people, seeds as dots"
        write_png(folder / f"{NAME}.png", interval_plot(panels, title=title))
    return text


def _means(ablation: Ablation, rows: Group, group: str) -> str:
    heads = [f"{column}, {better}" for column, better in ablation.better.items()]
    lines = [
        f"| {ablation.data}, {group} | seeds | " + " | ".join(heads) + " |",
        "|---" * (len(heads) + 2) + "|",
    ]
    total = _count(rows)
    for name, metrics in rows.items():
        cells = [_mean_cell(metrics[column], total) for column in ablation.better]
        seeds = len(ablation.rows[name].seeds) if ablation.rows[name].seeds != ("",) else "-"
        lines.append(f"| {name} | {seeds} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _differences(ablation: Ablation, rows: Group, group: str, *, reference: str) -> str:
    columns = list(ablation.better)
    heads = [f"{column}, {better}" for column, better in ablation.better.items()]
    lines = [
        f"| {group}: row minus {reference} | " + " | ".join(heads) + " |",
        "|---" * (len(columns) + 1) + "|",
    ]
    total = _count(rows)
    for name, metrics in rows.items():
        if name == reference:
            continue
        found = [metrics[column] for column in columns]
        cells = [difference_cell(one and one.difference, total) for one in found]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _notes(ablation: Ablation, reference: str) -> str:
    people = len({image.person for image in ablation.images})
    meanings = "; ".join(
        f"{name}: {ROW_MEANING[name]}" for name in ablation.rows if name in ROW_MEANING
    )
    return (
        f"{len(ablation.images)} images of {people} people. mean +- half of its 95 % interval over "
        "people, of each image's mean over seeds; in brackets the spread of the seeds, largest "
        f"minus smallest mean. Differences to {reference} are paired by image. No interval covers "
        "what another training would change: compare a difference with the seeds' spread, too. A "
        "cell that leaves images without such pixels out says how many it is of.\n\n"
        f"Rows, as we read them (the paper's text leaves A, C and D open): {meanings}.\n"
    )


def _mean_cell(found: RowMetric | None, total: int) -> str:
    if found is None:
        return NO_NUMBER
    half = (found.mean.high - found.mean.low) / 2
    text = f"{found.mean.estimate:.4g} +- {half:.2g}"
    if found.spread is not None:
        text += f" [{found.spread:.2g}]"
    return text if found.mean.count == total else f"{text} ({found.mean.count} rows)"


def _count(rows: Group) -> int:
    return max(found.mean.count for found in next(iter(rows.values())).values() if found)


def _panels(ablation: Ablation, rows: Group, *, reference: str) -> list[Panel]:
    panels = []
    for column, better in ablation.better.items():
        centre = rows[reference][column]
        if centre is None or _equal(rows, column):
            continue
        marks = [
            Mark(
                name=name,
                interval=metrics[column].difference,
                dots=tuple(x - centre.mean.estimate for x in metrics[column].by_seed),
            )
            for name, metrics in rows.items()
        ]
        panels.append(Panel(title=f"{column}, {better} is better", marks=marks))
    return panels


def _equal(rows: Group, column: str) -> bool:
    """Whether all rows have the same numbers, as of a depth that no training changes."""
    means = [metrics[column].mean.estimate for metrics in rows.values()]
    return max(means) - min(means) <= SAME * max(map(abs, means))
