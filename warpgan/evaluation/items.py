"""Which photo goes into a method, and which photos its views are compared with.

* ``same_view``: every photo is its own target, seen from its own camera.
* ``multi_view``: images in one folder are one person; the most frontal one goes in, all others are
  targets. Left and right are read off the cameras, never off the folder's names.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from torch import Tensor

from warpgan.cameras import yaw_pitch

PROTOCOLS = ("same_view", "multi_view")
NOMINAL_YAWS = (-90, -60, -30, 0, 30, 60, 90)


@dataclass(frozen=True)
class Item:
    """One inversion and its targets; numbers are places in the data set.

    Attributes:
        person: who it is.
        source: the photo that goes in.
        targets: the photos that its views are compared with.
        views: the view each target shows, the same words for all people.
    """

    person: str
    source: int
    targets: tuple[int, ...]
    views: tuple[str, ...]


@dataclass(frozen=True)
class Row:
    """One compared image: an item's target.

    Attributes:
        name: of the target image.
        source: name of the photo that went in.
        person: who it is.
        view: the view's word.
        yaw: of the target's camera, degrees, > 0 at the subject's left.
        pitch: degrees, > 0 above.
    """

    name: str
    source: str
    person: str
    view: str
    yaw: float
    pitch: float


def build_items(
    names: Sequence[str], labels: Tensor, *, protocol: str, count: int | None = None
) -> list[Item]:
    """Pair photos and targets.

    Args:
        names: relative path of each image.
        labels: ``[N, 25]``.
        protocol: one of ``PROTOCOLS``.
        count: the first so many items only.

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
    if protocol == "same_view":
        items = [Item(name, place, (place,), ("own",)) for place, name in enumerate(names)]
    else:
        items = _by_person(names, labels)
    if count is not None and count < 1:
        raise ValueError(f"count={count} must be at least 1, or null for all")
    return items[:count]


def rows_of(items: Sequence[Item], names: Sequence[str], labels: Tensor) -> list[Row]:
    """One row for each target of each item, in this order."""
    yaw, pitch = (angle.tolist() for angle in yaw_pitch(labels.double()))
    return [
        Row(names[target], names[item.source], item.person, view, yaw[target], pitch[target])
        for item in items
        for target, view in zip(item.targets, item.views, strict=True)
    ]


def yaw_group(row: Row) -> str:
    """The views that a row is averaged with, left and right together: ``yaw +-30``."""
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
        items.append(Item(person, source, targets, tuple(_view(yaw[p]) for p in targets)))
    return items


def _view(yaw: float) -> str:
    nominal = _nominal_yaw(yaw)
    return f"yaw {nominal:+d}" if nominal else "yaw 0"


def _nominal_yaw(yaw: float) -> int:
    return min(NOMINAL_YAWS, key=lambda nominal: abs(nominal - yaw))
