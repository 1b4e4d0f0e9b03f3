"""The evaluation loop: batches of photos through a method, compared and recorded."""

from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor
from tqdm import tqdm

from warpgan.data.folder import ImageFolder
from warpgan.evaluation.items import Item, Row, rows_of
from warpgan.evaluation.measures import MetricSuite
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
    dataset: ImageFolder,
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
        dataset: of photos, at the method's size.
        items: what is compared with what.
        suite: the metrics, on the method's device.
        records: opened; its first ``done`` batches are complete.
        batch_size: photos at once.
        done: batches to skip.
        progress: show a bar with the time left.

    Raises:
        ValueError: if the method gives an image of another size, or one that is not finite.
    """
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
        images, seconds = render_items(method, dataset, batch)
        check_images(images, batch_rows, method=method)
        targets = [target for item in batch for target in item.targets]
        photos = torch.stack([dataset[target].image for target in targets])
        measured = suite.measure(
            images, photos.to(images.device), dataset.labels[targets].to(images.device)
        )
        records.append(batch_rows, measured, start=start, total=len(rows), seconds=seconds)
        bar.update(len(batch))
    bar.close()


def render_items(
    method: Method, dataset: ImageFolder, batch: Sequence[Item]
) -> tuple[Tensor, dict[str, float]]:
    """Invert the sources of a batch and render their targets.

    Returns:
        Images ``[sum of targets, 3, S, S]``, and the batch's times: photos, views, seconds of
        inversion and of rendering. Items with fewer targets than others repeat their last camera,
        so that the batch is one call; those views count in the time and are then dropped.
    """
    sources = [item.source for item in batch]
    photo = torch.stack([dataset[source].image for source in sources]).to(method.device)
    most = max(len(item.targets) for item in batch)
    padded = [[*item.targets, *item.targets[-1:] * (most - len(item.targets))] for item in batch]
    cameras = dataset.labels[torch.tensor(padded)].to(method.device)
    inversion = method.invert(photo, dataset.labels[sources].to(method.device))
    views = inversion.render(cameras)
    images = torch.cat(
        [image[: len(item.targets)] for image, item in zip(views.image, batch, strict=True)]
    )
    seconds = {
        "photos": len(batch),
        "views": len(batch) * most,
        "invert": inversion.seconds,
        "render": views.seconds,
    }
    return images, seconds


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
