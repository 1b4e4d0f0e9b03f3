"""Five points a frame, from the detector of the user's choice.

JSON ``{"ID/CAMERA": [[x, y], [x, y], [x, y], [x, y], [x, y]], ...}`` in pixels of the raw frame,
in the order of `warpgan.crop`: the eye on the left of the picture, the eye on its right, nose tip,
left and right corner of the mouth. ``null`` stands for a frame in which no face was found. An entry
may also be ``{"points": [...], "camera": [25 numbers]}``: the label of the crop that the points
give, instead of one solved from the points (`python -m warpgan.prepare mead` writes such; it leaves
those alone that somebody marked ``"by_hand": true``, whose camera may be left out).
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from warpgan.data.images import SUFFIXES
from warpgan.data.mead.layout import printable
from warpgan.data.portraits.splits import write_aside
from warpgan.labels import Fault, describe_faults, validate_label

Points = tuple[tuple[float, float], ...]
FORMAT = '{"M003/front": [[x, y], [x, y], [x, y], [x, y], [x, y]], ...}'
ORDER = (
    "the eye on the left of the picture, the eye on its right, nose tip, left and right corner of "
    "the mouth, in pixels of the frame"
)
_CONVERSIONS = {
    68: "of 68 points take the means of 36..41 and of 42..47, then 30, 48 and 54, counted from 0"
}


@dataclass(frozen=True)
class Landmarks:
    """A landmark file.

    Attributes:
        points: five points by ``ID/CAMERA``.
        faults: entries that cannot be used, by the same name.
        cameras: labels of those that bring one.
    """

    points: dict[str, Points]
    faults: dict[str, Fault]
    cameras: dict[str, tuple[float, ...]] = field(default_factory=dict)


def read_landmarks(path: Path, *, skip_invalid: bool = False) -> Landmarks:
    """Read a landmark file.

    Args:
        path: the file.
        skip_invalid: list entries that cannot be used instead of raising.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no landmark file, or an entry is not five points.
    """
    if not path.is_file():
        raise FileNotFoundError(f"landmark file {path} does not exist; expected JSON {FORMAT}")
    try:
        root = json.loads(path.read_bytes(), object_pairs_hook=_unique_keys)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"landmark file {path} is not valid JSON: {error}") from error
    if not isinstance(root, dict) or not root:
        raise ValueError(f"landmark file {path} holds no entries; expected {FORMAT}")
    points: dict[str, Points] = {}
    faults: dict[str, Fault] = {}
    cameras: dict[str, tuple[float, ...]] = {}
    for name, value in root.items():
        camera = None
        if isinstance(value, dict) and value.keys() & {"camera", "by_hand"}:
            value, camera = value.get("points"), value.get("camera")
        found = _parse_points(name, value)
        if camera is not None and not isinstance(found, Fault):
            camera = _parse_camera(name, camera)
            found = camera if isinstance(camera, Fault) else found
        if isinstance(found, Fault):
            faults[name] = found
            continue
        points[name] = found
        if camera is not None:
            cameras[name] = camera
    broken = [fault for name, fault in faults.items() if root[name] is not None]
    if broken and not skip_invalid:
        raise ValueError(
            f"landmark file {path}: {len(broken)} entries are not five points; expected {ORDER}. "
            f"Correct them, or go on without them by --skip-invalid\n{describe_faults(broken)}"
        )
    return Landmarks(points, faults, cameras)


def write_template(path: Path, names: Sequence[str]) -> None:
    """Write a landmark file to fill in: ``null`` for each name, or what it holds already.

    Raises:
        ValueError: there is one that cannot be read.
    """
    filled = {}
    if path.exists():
        try:
            filled = json.loads(path.read_bytes())
        except ValueError as error:
            raise ValueError(f"{path} is not valid JSON ({error}); correct or delete it") from error
        if not isinstance(filled, dict):
            raise ValueError(f"{path} holds no {FORMAT}; correct or delete it")
    content = dict.fromkeys(names) | {name: value for name, value in filled.items() if value}
    write_aside(path, (json.dumps(content, indent=0) + "\n").encode())


def _parse_points(name: str, value: object) -> Points | Fault:
    shown = printable(name)
    if value is None:
        return Fault("no face was found", shown, "null in the landmark file")
    if isinstance(value, list) and len(value) != 5:
        detail = _CONVERSIONS.get(len(value), f"expected {ORDER}")
        return Fault(f"{len(value)} points instead of five", shown, detail)
    pairs = isinstance(value, list) and all(
        isinstance(point, list) and len(point) == 2 and all(_is_number(x) for x in point)
        for point in value
    )
    if not pairs:
        return Fault("points are no pairs of numbers", shown, f"found {json.dumps(value)[:60]}")
    found = tuple((float(x), float(y)) for x, y in value)
    if not np.isfinite(found).all():
        return Fault("points are not finite", shown)
    return found


def _parse_camera(name: str, value: object) -> tuple[float, ...] | Fault:
    try:
        if not isinstance(value, list) or not all(_is_number(number) for number in value):
            raise ValueError(f"found {json.dumps(value)[:60]}")
        validate_label(value)
    except ValueError as error:
        return Fault("camera is no label of 25 numbers", printable(name), str(error))
    return tuple(map(float, value))


def _is_number(value: object) -> bool:
    """JSON numbers, but no integers that a float cannot hold."""
    return type(value) is float or (type(value) is int and abs(value) < 2**53)


def _unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    keys: dict[str, object] = {}
    for key, value in pairs:
        # Detectors name the files they read: M003/front.png.
        stem = next((key[: -len(end)] for end in SUFFIXES if key.lower().endswith(end)), key)
        if stem in keys:
            raise ValueError(f"{stem!r} is given twice")
        keys[stem] = value
    return keys
