"""The evaluation loop: batches of photos through a method, compared and recorded."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor
from tqdm import tqdm

from warpgan.data.folder import ImageFolder
from warpgan.evaluation.items import Item, Row, rows_of
from warpgan.evaluation.measures import DepthPair, MetricSuite
from warpgan.evaluation.photos import Photos
from warpgan.evaluation.records import Records
from warpgan.methods.base import Method


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
    done: int = 0,
    progress: bool = True,
) -> None:
    """Run a method on all items and append to the records.

    Args:
        method: under test.
        photos: at the method's size.
        items: what is compared with what.
        suite: the metrics, on the method's device.
        records: opened; its first ``done`` batches are complete.
        batch_size: photos at once.
        done: batches to skip.
        progress: show a bar with the time left.

    Raises:
        ValueError: if the method gives an image of another size, or one that is not finite.
    """
    dataset = photos.dataset
    batches = split_batches(items, batch_size)
    rows = rows_of(items, dataset.names, dataset.labels)
    ends = list(accumulate(sum(len(item.targets) for item in batch) for batch in batches))
    bar = tqdm(
        total=len(items),
        initial=sum(map(len, batches[:done])),
        desc=method.name,
        unit="photo",
        disable=None if progress else True,
    )
    for number in range(done, len(batches)):
        batch, start = batches[number], ends[number - 1] if number else 0
        batch_rows = rows[start : ends[number]]
        drawn = render_items(method, dataset, batch)
        check_images(drawn.image, batch_rows, method=method)
        targets = [target for item in batch for target in item.targets]
        depth = visible = None
        if suite.depth:
            true_depth_z, mask = (x.to(method.device) for x in photos.true_depth(targets))
            depth = DepthPair(drawn.depth_z, true_depth_z, mask)
        if suite.visibility:
            pairs = [(item.source, target) for item in batch for target in item.targets]
            visible = photos.true_visibility(pairs).to(method.device)
        measured = suite.measure(
            drawn.image,
            torch.stack([dataset[target].image for target in targets]).to(method.device),
            dataset.labels[targets].to(method.device),
            depth=depth,
            visible=visible,
        )
        records.append(batch_rows, measured, start=start, total=len(rows), seconds=drawn.seconds)
        bar.update(len(batch))
    bar.close()


@dataclass(frozen=True)
class Drawn:
    """A method's views of a batch's targets, ``N`` in all.

    Attributes:
        image: ``[N, 3, S, S]``.
        depth_z: ``[N, 1, S, S]``.
        seconds: photos, views, seconds of inversion (``invert``) and of rendering (``render``).
    """

    image: Tensor
    depth_z: Tensor
    seconds: dict[str, float]


def render_items(method: Method, dataset: ImageFolder, batch: Sequence[Item]) -> Drawn:
    """Invert the sources of a batch and render their targets.

    Items with fewer targets than others repeat their last camera, so that the batch is one call;
    those views count in the time and are then dropped.
    """
    sources = [item.source for item in batch]
    photo = torch.stack([dataset[source].image for source in sources]).to(method.device)
    most = max(len(item.targets) for item in batch)
    padded = [[*item.targets, *item.targets[-1:] * (most - len(item.targets))] for item in batch]
    cameras = dataset.labels[torch.tensor(padded)].to(method.device)
    inversion = method.invert(photo, dataset.labels[sources].to(method.device))
    views = inversion.render(cameras)
    kept = [(row, view) for row, item in enumerate(batch) for view in range(len(item.targets))]
    rows, places = torch.tensor(kept).T
    seconds = {
        "photos": len(batch),
        "views": len(batch) * most,
        "invert": inversion.seconds,
        "render": views.seconds,
    }
    return Drawn(views.image[rows, places], views.depth_z[rows, places], seconds)


def check_images(images: Tensor, rows: Sequence[Row], *, method: Method) -> None:
    """Refuse views that cannot be compared, by name."""
    expected = (3, method.image_size, method.image_size)
    if tuple(images.shape[1:]) != expected:
        raise ValueError(
            f"{method.name} gave images {tuple(images.shape[1:])}, expected {expected}"
        )
    finite = images.isfinite().flatten(1).all(1)
    if not finite.all():
        row = rows[int((~finite).nonzero()[0])]
        raise ValueError(
            f"{method.name} gave an image with values that are not finite: {row.view} of "
            f"{row.source}"
        )
