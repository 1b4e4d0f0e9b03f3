"""The evaluation loop: batches of photos through a method, compared and recorded.

Batch ``n`` belongs to process ``n mod processes``. Every batch is a file of its own
(`records.Records`), so processes need nothing of each other, a stopped evaluation goes on where it
stopped, and the joined numbers do not depend on who computed them.
"""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from tqdm import tqdm

from warpgan.evaluation.drawing import Drawn, Loaded, draw
from warpgan.evaluation.items import Item, Row, rows_of
from warpgan.evaluation.measures import Compared, DepthPair, MetricSuite
from warpgan.evaluation.photos import Photos
from warpgan.evaluation.records import Part, Records
from warpgan.evaluation.view_files import ViewFiles
from warpgan.methods.base import Method
from warpgan.progress import progress_bar

POLL_SECONDS = 1.0
PATIENCE = 60
"""Waits after which the first process says what it is waiting for."""


@dataclass(frozen=True)
class Processes:
    """This process among those of one evaluation; as ``torchrun`` says it."""

    rank: int = 0
    count: int = 1

    @classmethod
    def from_environment(cls) -> "Processes":
        """Read ``RANK`` and ``WORLD_SIZE``."""
        return cls(int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1)))

    @property
    def first(self) -> bool:
        """Whether this one joins the numbers and writes the reports."""
        return self.rank == 0


def split_batches(items: Sequence[Item], batch_size: int) -> list[list[Item]]:
    """Cut items into batches of ``batch_size`` photos, in order."""
    if batch_size < 1:
        raise ValueError(f"batch_size={batch_size} must be at least 1")
    starts = range(0, len(items), batch_size)
    return [list(items[start : start + batch_size]) for start in starts]


def evaluate_method(
    method: Method,
    photos: Photos,
    items: Sequence[Item],
    *,
    suite: MetricSuite,
    records: Records,
    batch_size: int,
    processes: Processes = Processes(),
    files: ViewFiles | None = None,
    progress: bool = True,
) -> None:
    """Run a method on all items that are not recorded yet; the first process joins the records.

    Args:
        method: under test. One that works photo by photo gets one at a time, so that a crash or a
            kill loses one photo.
        photos: at the method's size.
        items: what is compared with what.
        suite: the metrics, on the method's device.
        records: opened.
        batch_size: photos at once.
        processes: who does what.
        files: where views are written; nowhere if ``None``.
        progress: show a bar with the time left.

    Raises:
        ValueError: if the method gives images of another size.
    """
    if records.finished:
        return
    batches = split_batches(items, 1 if method.one_at_a_time else batch_size)
    names = photos.dataset.names
    rows = [rows_of(batch, names) for batch in batches]
    starts = np.cumsum([0, *(len(part) for part in rows)]).tolist()
    mine = range(processes.rank, len(batches), processes.count)
    found = {n: part for n in mine if (part := records.read(n, rows[n])) is not None}
    # Asked again: another process may have joined the parts meanwhile.
    if records.finished:
        return
    todo = [number for number in mine if number not in found]
    bar = progress_bar(
        total=sum(len(batches[number]) for number in mine),
        initial=sum(len(batches[number]) for number in found),
        title=method.name,
        unit="photo",
        shown=progress and processes.first,
    )
    for number, loaded in _loaded(photos, batches, todo, suite):
        drawn = draw(method, batches[number], loaded)
        measured = suite.measure(_compared(drawn, batches[number], loaded, method.device))
        if files is not None:
            files.write_batch(
                rows[number],
                starts[number],
                drawn.image,
                sources=loaded.sources,
                targets=loaded.targets,
            )
        part = Part(
            values=measured.values,
            features=measured.features,
            invert=drawn.invert,
            render=drawn.render,
            steps=drawn.steps,
            errors=drawn.errors,
        )
        records.write(number, rows[number], part)
        if processes.first:
            found[number] = part
        for item, error in zip(batches[number], drawn.errors, strict=True):
            if error:
                tqdm.write(f"{method.name} failed on {names[item.source]}: {error}")
        bar.update(len(batches[number]))
    bar.close()
    if processes.first:
        sources = [[names[item.source] for item in batch] for batch in batches]
        records.finish(_all_parts(records, rows, found), rows, sources=sources)


def _loaded(
    photos: Photos, batches: Sequence[Sequence[Item]], todo: Sequence[int], suite: MetricSuite
) -> Iterator[tuple[int, Loaded]]:
    """The batches to do with their pictures; the next one is read while one is worked on."""
    with ThreadPoolExecutor(1) as reader:
        waiting = None
        for number in todo:
            ahead = reader.submit(_load, photos, batches[number], suite)
            if waiting is not None:
                yield waiting[0], waiting[1].result()
            waiting = (number, ahead)
        if waiting is not None:
            yield waiting[0], waiting[1].result()


def _load(photos: Photos, batch: Sequence[Item], suite: MetricSuite) -> Loaded:
    dataset = photos.dataset
    sources = torch.stack([dataset[item.source].image for item in batch])
    source_cameras = dataset.labels[[item.source for item in batch]]
    if batch[0].targets is None:
        return Loaded(sources, source_cameras)
    targets = [target for item in batch for target in item.targets]
    pairs = [(item.source, target) for item in batch for target in item.targets]
    return Loaded(
        sources=sources,
        source_cameras=source_cameras,
        targets=torch.stack([dataset[target].image for target in targets]),
        depth=photos.true_depth(targets) if suite.known.depth else None,
        visible=photos.true_visibility(pairs) if suite.known.visibility else None,
    )


def _compared(
    drawn: Drawn, batch: Sequence[Item], loaded: Loaded, device: torch.device
) -> Compared:
    cameras = torch.cat([item.cameras for item in batch]).to(device)
    if loaded.targets is None:
        counts = torch.tensor([len(item.views) for item in batch])
        return Compared(
            images=drawn.image,
            cameras=cameras,
            references=loaded.sources.to(device),
            reference_cameras=loaded.source_cameras.to(device),
            reference_of=torch.arange(len(batch)).repeat_interleave(counts).to(device),
            failed=drawn.failed,
        )
    depth = None
    if loaded.depth is not None:
        depth = DepthPair(drawn.depth_z, *(x.to(device) for x in loaded.depth))
    return Compared(
        images=drawn.image,
        cameras=cameras,
        references=loaded.targets.to(device),
        reference_cameras=cameras,
        reference_of=torch.arange(len(drawn.image), device=device),
        failed=drawn.failed,
        depth=depth,
        visible=None if loaded.visible is None else loaded.visible.to(device),
    )


def _all_parts(
    records: Records, rows: Sequence[Sequence[Row]], own: Mapping[int, Part]
) -> list[Part]:
    """This process's parts and those of the others, which are waited for."""
    parts = []
    for number, batch in enumerate(rows):
        part, waits = own.get(number), 0
        while part is None:
            part = records.read(number, batch)
            if part is None:
                if waits == PATIENCE:
                    tqdm.write(f"waiting for batch {number} of {records.folder}, another process's")
                waits += 1
                time.sleep(POLL_SECONDS)
        parts.append(part)
    return parts
