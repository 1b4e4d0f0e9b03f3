"""Which photo goes into a method, and what its views are compared with.

* ``same_view``: every photo is its own target, seen from its own camera.
* ``multi_view``: images in one folder are one person; the most frontal one goes in, all others are
  targets. Left and right are read off the cameras, never off the folder's names.
* ``novel_view``: every photo is seen from cameras of a published list. There is no true view:
  identity and set distances compare with the photo that went in.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import torch
from torch import Tensor

from warpgan.cameras import yaw_pitch

PROTOCOLS = ("same_view", "multi_view", "novel_view")
NOMINAL_YAWS = (-90, -60, -30, 0, 30, 60, 90)


@dataclass(frozen=True, eq=False)
class Item:
    """One inversion and its ``V`` views; numbers are places in the data set.

    Attributes:
        person: who it is.
        source: the photo that goes in.
        cameras: ``[V, 25]``, what the views are rendered from.
        views: the view each shows, the same words for all people.
        targets: the photos that the views are compared with; ``None`` where no true view exists.
    """

    person: str
    source: int
    cameras: Tensor
    views: tuple[str, ...]
    targets: tuple[int, ...] | None


@dataclass(frozen=True)
class Row:
    """One compared image: an item's view.

    Attributes:
        name: of the target image, or ``SOURCE@K`` of the K-th view without one.
        source: name of the photo that went in.
        person: who it is.
        view: the view's word.
        yaw: of the view's camera, degrees, > 0 at the subject's left.
        pitch: degrees, > 0 above.
    """

    name: str
    source: str
    person: str
    view: str
    yaw: float
    pitch: float


def build_items(
    names: Sequence[str],
    labels: Tensor,
    *,
    protocol: str,
    count: int | None = None,
    novel: Tensor | None = None,
) -> list[Item]:
    """Pair photos and targets.

    Args:
        names: relative path of each image.
        labels: ``[N, 25]``.
        protocol: one of ``PROTOCOLS``.
        count: the first so many items only.
        novel: cameras ``[N, V, 25]`` of ``novel_view``.

    Raises:
        ValueError: for an unknown protocol, a repeated image, or data that it does not fit.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"no protocol {protocol!r}; choose one of {', '.join(PROTOCOLS)}")
    if len(set(names)) != len(names):
        twice = next(name for name in names if list(names).count(name) > 1)
        raise ValueError(
            f"{twice} is listed more than once: an evaluation counts each image once, so give a "
            "label file without repetitions"
        )
    if count is not None and count < 1:
        raise ValueError(f"count={count} must be at least 1, or null for all")
    if protocol == "multi_view":
        return _by_person(names, labels)[:count]
    if protocol == "same_view":
        items = [
            Item(name, place, labels[place][None], ("own",), (place,))
            for place, name in enumerate(names)
        ]
    else:
        words = tuple(f"novel {number}" for number in range(novel.shape[1]))
        items = [Item(name, place, novel[place], words, None) for place, name in enumerate(names)]
    return items[:count]


def cameras_sha256(items: Sequence[Item]) -> str:
    """Hash of all cameras that views are rendered from, in order."""
    cameras = torch.cat([item.cameras for item in items]).contiguous()
    return hashlib.sha256(cameras.numpy().tobytes()).hexdigest()


def rows_of(items: Sequence[Item], names: Sequence[str]) -> list[Row]:
    """One row for each view of each item, in this order."""
    rows = []
    for item in items:
        source = names[item.source]
        yaw, pitch = (angle.tolist() for angle in yaw_pitch(item.cameras.double()))
        for place, view in enumerate(item.views):
            name = f"{source}@{place}" if item.targets is None else names[item.targets[place]]
            rows.append(Row(name, source, item.person, view, yaw[place], pitch[place]))
    return rows


def yaw_group(row: Row) -> str | None:
    """What a row is averaged with, left and right together: ``yaw +-30``; only for true views."""
    if not row.view.startswith("yaw "):
        return None
    return f"yaw +-{abs(_nominal_yaw(row.yaw))}"


def _by_person(names: Sequence[str], labels: Tensor) -> list[Item]:
    people: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        people.setdefault(str(PurePosixPath(name).parent), []).append(place)
    lonely = [person for person, places in people.items() if len(places) < 2]
    if lonely:
        raise ValueError(
            f"multi_view needs two images or more in each person's folder; {len(lonely)} of "
            f"{len(people)} folders have one, such as {lonely[0]!r}. Use protocol=same_view for "
            "single photos"
        )
    yaw = yaw_pitch(labels.double())[0].tolist()
    items = []
    for person, places in people.items():
        source = min(places, key=lambda place: (abs(yaw[place]), place))
        targets = tuple(sorted((p for p in places if p != source), key=lambda p: yaw[p]))
        views = tuple(_view(yaw[p]) for p in targets)
        items.append(Item(person, source, labels[list(targets)], views, targets))
    return items


def _view(yaw: float) -> str:
    nominal = _nominal_yaw(yaw)
    return f"yaw {nominal:+d}" if nominal else "yaw 0"


def _nominal_yaw(yaw: float) -> int:
    return min(NOMINAL_YAWS, key=lambda nominal: abs(nominal - yaw))
