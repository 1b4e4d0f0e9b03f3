"""The report's facts: what was measured, failures, floors, timing, where it all comes from."""

import hashlib
import shlex
from collections.abc import Mapping, Sequence

from warpgan.evaluation.finished_run import Run
from warpgan.evaluation.group_numbers import ALL, columns_of, floors_of, set_metrics
from warpgan.evaluation.html_parts import facts, paragraph, plain_table, words
from warpgan.evaluation.joined import Block
from warpgan.evaluation.metric_words import (
    base_of,
    head_of,
    is_stand_in,
    meaning_of,
    scale_of,
    variant_of,
)
from warpgan.evaluation.number_text import NO_NUMBER, half_width, plain
from warpgan.metrics.bootstrap import Interval

MOST_FAILURES = 100
PROTOCOLS = {
    "same_view": "One photo goes in; the view from its own camera is compared with the photo "
    "itself. This is reconstruction, not a new view.",
    "multi_view": "The most frontal photo of a person goes in; views from the cameras of the "
    "person's other photos are compared with those photos.",
    "novel_view": "One photo goes in; views from a fixed list of cameras come out. There is no "
    "true view: identity and set distances compare with the photos that went in.",
}


def measured(blocks: Sequence[Block]) -> str:
    """Data, protocol, sizes, files and nets of each block, then what the metrics mean."""
    parts = []
    for block in blocks:
        summary, rows = block.summary, block.rows
        failed = sum(int(method.failed.sum()) for method in block.methods.values())
        found = [
            ("protocol", PROTOCOLS[block.protocol]),
            (
                "N",
                f"{len(rows)} views of {len({row.source for row in rows})} photos of "
                f"{len({row.person for row in rows})} people, the same for every method",
            ),
            ("image side", f"{summary['data'].get('size', 'not recorded')} px"),
            ("reference", block.runs[0].reference),
            ("failed views, all methods", f"{failed}; each scored as a mid-grey picture"),
            ("files all methods share", _shared_files(block)),
            ("nets of the metrics", ", ".join(summary.get("metric_files", {})) or "none"),
        ]
        if summary["training_nets"]:
            found.append(
                ("metrics whose net was also trained on", ", ".join(summary["training_nets"]))
            )
        parts.append(f"<h3>{words(f'{block.letter}: {block.title}')}</h3>")
        parts.append(facts(found))
    parts.append("<h3>What the metrics mean</h3>")
    parts.append(_meanings(blocks))
    return "\n".join(parts)


def floors(blocks: Sequence[Block]) -> str:
    """Set distances of sets that ought to be equal: what a perfect method could reach."""
    rows = []
    for block in blocks:
        for name, found in floors_of(block).items():
            for metric, value in found.items():
                spread = "" if value.std is None else plain(scale_of(metric) * value.std, 2)
                number = plain(scale_of(metric) * value.value)
                cells = [number, spread, value.images or "not recorded"]
                rows.append([f"{block.letter}: {name}", head_of(metric), *cells])
    if not rows:
        return paragraph("The runs hold no floors: no set distances were taken.")
    note = (
        "A set distance is never zero for few images: what two halves of the originals are apart."
    )
    heads = ["floor", "metric", "value", "sd", "images"]
    return "\n".join([paragraph(note), plain_table(heads, rows, label="Floors")])


def timing(blocks: Sequence[Block]) -> str:
    """Seconds, threads and memory of each method."""
    rows = []
    for block in blocks:
        for name, method in block.methods.items():
            found = method.numbers.get("timing")
            if found:
                memory = found.get("peak_memory_bytes")
                size = "not recorded" if memory is None else f"{memory / 2**20:.0f} MiB"
                cells = [plain(found["invert"], 3), plain(found["render_per_view"], 3)]
                how = f"median of {found['repeats']} after {found['warm_up']}, batch 1"
                how = "; ".join(part for part in (how, found.get("note")) if part)
                where = found
            else:
                times = ("seconds_invert_per_photo", "seconds_render_per_view")
                seconds = [method.numbers.get(key) for key in times]
                cells = ["-" if x is None else plain(x, 3) for x in seconds]
                how, size = "recorded during the evaluation", "not recorded"
                where = next(run.summary for run in block.runs if run.name == method.run)
            machine = [where.get(key, "not recorded") for key in ("device", "threads")]
            rows.append([f"{block.letter}: {name}", *cells, how, *machine, size])
    heads = ["method", "invert, s / photo", "render, s / view", "how", "device", "threads"]
    heads.append("peak memory")
    return plain_table(heads, rows, label="Timing")


def consistency(blocks: Sequence[Block]) -> str:
    """How well a method's views agree with each other; empty where no run measured it."""
    parts = []
    for block in blocks:
        measured_by = {
            name: method.numbers["consistency"]
            for name, method in block.methods.items()
            if method.numbers.get("consistency")
        }
        names = list(dict.fromkeys(name for found in measured_by.values() for name in found))
        rows = []
        for method, found in measured_by.items():
            rows.append([method, *(_agreement_cell(found.get(name)) for name in names)])
        if rows:
            title = f"{block.letter}: {block.title}"
            parts += [
                f"<h3>{words(title)}</h3>",
                plain_table(["method", *names], rows, label=f"Consistency of {title}"),
            ]
    if parts:
        parts.insert(
            0,
            paragraph(
                "A view moved to another camera by the true surfaces and compared where both see "
                "the same; ± half of the 95 % interval over people."
            ),
        )
    return "\n".join(parts)


def failures(blocks: Sequence[Block]) -> str:
    """Every photo that a method could not do, once a method."""
    rows = []
    for block in blocks:
        for name, method in block.methods.items():
            failed = dict.fromkeys(
                row.source for row, bad in zip(block.rows, method.failed, strict=True) if bad
            )
            for source in failed:
                error = method.errors.get(source, "no error recorded")
                rows.append([f"{block.letter}: {name}", source, error])
    if not rows:
        return paragraph("None: every method gave every view.")
    text = f"Failed: {len(rows)}. Their views count as mid-grey pictures in every number."
    if len(rows) > MOST_FAILURES:
        text += f" The first {MOST_FAILURES} are listed; rows.csv has all."
    heads = ["method", "photo", "error"]
    listed = plain_table(heads, rows[:MOST_FAILURES], label="Failures")
    return "\n".join([paragraph(text), listed])


def provenance(blocks: Sequence[Block]) -> str:
    """Commands, seeds, revisions, packages and hashes of every run."""
    parts = []
    for block in blocks:
        for run in block.runs:
            summary = run.summary
            boot = summary["bootstrap"]
            resampled = f"{boot['resamples']} resamples over {boot.get('resampled', 'people')}"
            packages = summary.get("packages", {})
            found = [
                ("git revision", summary.get("git") or "not recorded"),
                ("seed of the bootstrap", f"{boot['seed']}, {resampled}"),
                ("batch size", summary.get("batch_size", "not recorded")),
                ("device", summary.get("device", "not recorded")),
                ("threads", summary.get("threads", "not recorded")),
                ("packages", ", ".join(f"{name} {found}" for name, found in packages.items())),
                ("names and cameras, sha256", _data_hash(run)),
                *((f"{name}, sha256", digest) for name, digest in _files(run).items()),
                *((f"{path}, sha256", digest) for path, digest in _record_hashes(run).items()),
            ]
            parts.append(f"<h3>{words(f'{block.letter}: run {run.name}')}</h3>")
            parts.append(f"<pre><code>{words(command_of(run))}</code></pre>")
            parts.append(facts(found))
    return "\n".join(parts)


def reproduce(blocks: Sequence[Block], command: str) -> str:
    """The commands to type, in order."""
    lines = [command_of(run) for block in blocks for run in block.runs]
    text = "\n".join([*lines, command])
    return "\n".join(
        [
            paragraph(
                "From a clone at the revision above, with its pinned packages: the first lines "
                "measure, the last one writes this page. On a CPU with the same number of threads "
                "numbers are the same to the last digit; seconds are not."
            ),
            f"<pre><code>{words(text)}</code></pre>",
        ]
    )


def command_of(run: Run) -> str:
    """What was typed to measure a run."""
    if run.summary.get("command"):
        return str(run.summary["command"])
    return shlex.join(["python", "-m", "warpgan.evaluate", *run.summary.get("overrides", [])])


def _agreement_cell(found: Mapping[str, float] | int | None) -> str:
    """An interval, a count, or nothing."""
    if found is None:
        return NO_NUMBER
    if isinstance(found, int):
        return str(found)
    interval = Interval(**found)
    return f"{plain(interval.estimate)} ± {half_width(interval)}"


def _data_hash(run: Run) -> str:
    return run.summary["data"].get("names_and_labels_sha256", "not recorded")


def _files(run: Run) -> dict[str, str]:
    """Weights of metrics and methods; a name that two methods have of different content twice."""
    found = dict(run.summary.get("metric_files", {}))
    for name, method in run.methods.items():
        for file, digest in method.numbers.get("files", {}).items():
            key = file if found.get(file, digest) == digest else f"{file} of {name}"
            found[key] = digest
    return found


def _record_hashes(run: Run) -> dict[str, str]:
    paths = [run.folder / name for name in ("config.yaml", "summary.json")]
    paths += [method.folder / "rows.csv" for method in run.methods.values()]
    return {
        str(path.relative_to(run.folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in paths
        if path.is_file()
    }


def _meanings(blocks: Sequence[Block]) -> str:
    """Each metric once, and what its variants are."""
    variants: dict[str, list[str]] = {}
    for column in _all_metrics(blocks):
        variants.setdefault(base_of(column), []).append(column)
    parts = []
    for base, columns in variants.items():
        tag = ' <span class="tag">stand-in</span>' if is_stand_in(base) else ""
        direction = next((b.better[c] for b in blocks for c in columns if c in b.better), "")
        text = f"{meaning_of(base)} {direction.capitalize()} is better." if direction else ""
        others = [f"{head_of(one)}: {variant_of(one)}." for one in columns if one != base]
        parts.append(
            f"<div><dt>{words(head_of(base))}{tag}</dt>"
            f"<dd>{words(' '.join([text or meaning_of(base), *others]))}</dd></div>"
        )
    inside = "\n".join(parts)
    return f'<dl class="metrics">{inside}</dl>'


def _all_metrics(blocks: Sequence[Block]) -> list[str]:
    found: dict[str, None] = {}
    for block in blocks:
        for method in block.methods:
            found |= dict.fromkeys(columns_of(block, method, ALL))
        found |= dict.fromkeys(set_metrics(block))
    return list(found)


def _shared_files(block: Block) -> str:
    """Files that every method of a block was built from, so that they are no difference.

    A method without files, such as the photo itself, has none to differ in.
    """
    sets = [method.numbers.get("files", {}).items() for method in block.methods.values()]
    sets = [files for files in sets if files]
    shared = dict(sets[0]) if sets else {}
    for files in sets[1:]:
        shared = {name: shared[name] for name in shared if (name, shared[name]) in files}
    return ", ".join(f"{name} (sha256 {shared[name][:12]}…)" for name in shared) or "none"
