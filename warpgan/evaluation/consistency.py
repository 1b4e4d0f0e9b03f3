"""Do a method's views of one person show one thing? Two measures against the world's true surfaces.

* *Across views*: the views at neighbouring target cameras (yaw -60 and -30, -30 and 30, 30 and 60).
  The first is laid on the second by the true surfaces and compared where both see the same point:
  PSNR and perceptual distance, averaged over the pairs.
* *Flicker*: frames of an orbit, yaw -30 to 30 degrees at pitch 0. Each frame is laid on the next
  one in the same way: mean absolute difference in [0, 1] and perceptual distance.

The true views are not perfect here either: highlights move with the camera, and pixels are
resampled. What the same measures give for them (``truth``) is the floor to read the others against.
The backdrop counts like the person. A method that draws the same picture from everywhere is
inconsistent; one that draws grey everywhere is not, so read these beside the rows' metrics.

METHOD/consistency.csv holds a line a person and is written after each, so an interrupted evaluation
goes on with the next person.
"""

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from warpgan.cameras import look_at, yaw_pitch
from warpgan.evaluation.drawing import Loaded, draw
from warpgan.evaluation.items import Item
from warpgan.evaluation.photos import Photos
from warpgan.evaluation.records import write_text
from warpgan.evaluation.true_surfaces import TrueSurfaces, seen_again
from warpgan.methods.base import Method
from warpgan.metrics.bootstrap import RESAMPLES, mean_interval
from warpgan.metrics.pixel import PSNR_CEILING, psnr
from warpgan.perception import PerceptualNet
from warpgan.progress import progress_bar

ORBIT_FRAMES = 12
ORBIT_YAW = 30.0
TRUTH = "truth"
FILE_NAME = "consistency.csv"
TRUTH_FILE_NAME = "truth_consistency.csv"
DIGITS = ".9g"


@dataclass(frozen=True)
class ConsistencyRow:
    """How well the views of one person agree; NaN where nothing can be compared, or it failed.

    Attributes:
        person: who it is.
        cross_psnr: decibels, between views of neighbouring cameras.
        cross_perceptual: distance between them.
        flicker_l1: mean absolute difference of adjacent frames, in [0, 1].
        flicker_perceptual: distance between them.
    """

    person: str
    cross_psnr: float
    cross_perceptual: float
    flicker_l1: float
    flicker_perceptual: float


COLUMNS = tuple(field.name for field in fields(ConsistencyRow) if field.name != "person")
LOWER_IS_BETTER = {name: name != "cross_psnr" for name in COLUMNS}

Drawer = Callable[[Item, Tensor], Tensor | None]
"""Views ``[V, 3, S, S]`` of an item's person from cameras ``[V, 25]``; ``None`` for a failure."""


def measure_consistency(
    method: Method,
    photos: Photos,
    items: Sequence[Item],
    *,
    perceptual: PerceptualNet,
    orbit_frames: int = ORBIT_FRAMES,
    folder: Path | None = None,
    progress: bool = True,
) -> list[ConsistencyRow]:
    """Measure a method, person by person; each photo is inverted once more.

    Args:
        method: under test.
        photos: of the embedded world.
        items: the people; their own cameras are the target cameras.
        perceptual: on the method's device.
        orbit_frames: cameras of the orbit.
        folder: of the method; people that it holds already are not measured again. Nothing is
            written if ``None``.
        progress: show a bar with the time left.

    Returns:
        One row an item.

    Raises:
        ValueError: if the photos are real, or there are fewer than two frames.
    """

    def drawn(item: Item, cameras: Tensor) -> Tensor | None:
        photo = photos.dataset[item.source]
        views = tuple(f"camera {place}" for place in range(len(cameras)))
        asked = replace(item, cameras=cameras, views=views, targets=None)
        found = draw(method, [asked], Loaded(photo.image[None], photo.camera[None]))
        return None if found.failed.any() else found.image.float().clamp(-1, 1)

    return _measure(
        drawn,
        TrueSurfaces(photos),
        photos,
        items,
        perceptual=perceptual,
        orbit_frames=orbit_frames,
        device=method.device,
        path=None if folder is None else folder / FILE_NAME,
        label=f"{method.name}, consistency" if progress else None,
    )


def measure_truth(
    photos: Photos,
    items: Sequence[Item],
    *,
    perceptual: PerceptualNet,
    orbit_frames: int = ORBIT_FRAMES,
    folder: Path | None = None,
    progress: bool = True,
) -> list[ConsistencyRow]:
    """The same of the true views: the floor. Arguments as in ``measure_consistency``.

    Args:
        photos: of the embedded world.
        items: the people.
        perceptual: the judge; images are compared where it is.
        orbit_frames: cameras of the orbit.
        folder: of the run, for ``truth_consistency.csv``.
        progress: show a bar with the time left.
    """
    surfaces = TrueSurfaces(photos)
    weight = next(perceptual.parameters(), None)
    device = torch.device("cpu") if weight is None else weight.device

    def drawn(item: Item, cameras: Tensor) -> Tensor:
        return surfaces.images(photos.dataset.names[item.source], cameras).to(device)

    return _measure(
        drawn,
        surfaces,
        photos,
        items,
        perceptual=perceptual,
        orbit_frames=orbit_frames,
        device=device,
        path=None if folder is None else folder / TRUTH_FILE_NAME,
        label=f"{TRUTH}, consistency" if progress else None,
    )


def summary(
    rows: Sequence[ConsistencyRow], *, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, Any]:
    """Means with bootstrap intervals over people, ready for JSON.

    Returns:
        Column to its interval, ``None`` where no person has a number; ``people``, and ``failed``:
        those that the method could not do, which are in no mean.
    """
    found: dict[str, Any] = {}
    for name in COLUMNS:
        values = np.array([getattr(row, name) for row in rows])
        known = np.isfinite(values)
        people = [row.person for row, use in zip(rows, known, strict=True) if use]
        found[name] = None
        if known.any():
            interval = mean_interval(values[known], groups=people, resamples=resamples, seed=seed)
            found[name] = asdict(interval)
    failed = sum(not np.isfinite(row.flicker_l1) for row in rows)
    return {**found, "people": len({row.person for row in rows}), "failed": failed}


def orbit_cameras(frames: int) -> Tensor:
    """Labels ``[frames, 25]`` of the orbit."""
    if frames < 2:
        raise ValueError(f"orbit_frames={frames} must be at least 2: flicker compares two frames")
    return look_at(torch.linspace(-ORBIT_YAW, ORBIT_YAW, frames, dtype=torch.float64), 0.0)


def read_rows(path: Path) -> list[ConsistencyRow]:
    """What a CSV file holds; empty if it is absent."""
    if not path.is_file():
        return []
    with open(path, newline="") as file:
        return [
            ConsistencyRow(line["person"], **{name: float(line[name]) for name in COLUMNS})
            for line in csv.DictReader(file)
        ]


def _measure(
    drawer: Drawer,
    surfaces: TrueSurfaces,
    photos: Photos,
    items: Sequence[Item],
    *,
    perceptual: PerceptualNet,
    orbit_frames: int,
    device: torch.device,
    path: Path | None,
    label: str | None,
) -> list[ConsistencyRow]:
    orbit = orbit_cameras(orbit_frames)
    settings = {"orbit_frames": orbit_frames, "perceptual": perceptual.name}
    done = {row.person: row for row in _resumed(path, settings)}
    rows = []
    bar = progress_bar(items, title=label or "", unit="person", shown=label is not None)
    for item in bar:
        row = done.get(item.person)
        if row is None:
            row = _measure_person(item, drawer, surfaces, photos, perceptual, orbit, device)
        rows.append(row)
        if path is not None and item.person not in done:
            _write(path, rows)
    return rows


def _measure_person(
    item: Item,
    drawer: Drawer,
    surfaces: TrueSurfaces,
    photos: Photos,
    perceptual: PerceptualNet,
    orbit: Tensor,
    device: torch.device,
) -> ConsistencyRow:
    own = item.cameras[yaw_pitch(item.cameras.double())[0].argsort(stable=True)].cpu().float()
    images = drawer(item, torch.cat([own, orbit]))
    if images is None:
        return ConsistencyRow(item.person, *[float("nan")] * len(COLUMNS))
    name, count = photos.dataset.names[item.source], len(own)
    numbers = []
    for cameras, drawn in ((own, images[:count]), (orbit, images[count:])):
        depth_z = surfaces.depth_z(name, cameras).to(device)
        numbers.append(_compare_neighbours(drawn, depth_z, cameras.to(device), perceptual))
    (cross_psnr, _, cross_perceptual), (_, flicker_l1, flicker_perceptual) = numbers
    found = (cross_psnr, cross_perceptual, flicker_l1, flicker_perceptual)
    # As the file has them, so that a resumed evaluation gives the same numbers.
    return ConsistencyRow(item.person, *(float(f"{value:{DIGITS}}") for value in found))


@torch.no_grad()
def _compare_neighbours(
    images: Tensor, depth_z: Tensor, cameras: Tensor, perceptual: PerceptualNet
) -> tuple[float, float, float]:
    """PSNR, L1 and perceptual distance of each view laid on the next, averaged over the pairs.

    Args:
        images: ``[V, 3, S, S]`` in [-1, 1].
        depth_z: ``[V, 1, S, S]``.
        cameras: ``[V, 25]``.
        perceptual: the judge.
    """
    if len(images) < 2:
        return (float("nan"),) * 3
    laid, seen = seen_again(
        images[:-1], depth_z[:-1], depth_z[1:], source=cameras[:-1], target=cameras[1:]
    )
    there, seen = images[1:], seen.float()
    # What cannot be compared is made equal: the net looks beyond a pixel, but finds no difference.
    laid = seen * laid + (1 - seen) * there
    decibels = psnr(laid, there, mask=seen).clamp(max=PSNR_CEILING)
    l1 = (laid - there).abs().sum((1, 2, 3)).double() / (6 * seen.sum((1, 2, 3)).double())
    distance = perceptual.distance(laid, there, weight=seen).double()
    return tuple(x.nanmean().item() for x in (decibels, l1, distance))


def _resumed(path: Path | None, settings: dict[str, Any]) -> list[ConsistencyRow]:
    """Rows of an interrupted evaluation of the same settings, which are noted beside the CSV."""
    if path is None:
        return []
    note, text = path.with_suffix(".json"), json.dumps(settings, sort_keys=True) + "\n"
    if note.is_file() and note.read_text() == text:
        return read_rows(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    write_text(note, text)
    return []


def _write(path: Path, rows: Sequence[ConsistencyRow]) -> None:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["person", *COLUMNS])
    for row in rows:
        writer.writerow([row.person, *(f"{getattr(row, name):{DIGITS}}" for name in COLUMNS)])
    write_text(path, stream.getvalue())
