"""Camera labels as data: is a label sane, and what does a ``dataset.json`` say?

A label file is JSON ``{"labels": [[relative image path, [25 floats]], ...]}``. Paths are relative
to the image folder, with forward slashes; absolute paths and ``..`` are refused. The layout of the
25 numbers is described in `warpgan.cameras`.

A *fault* is something wrong with one entry (it can be skipped); a file that is wrong as a whole
raises.
"""

import json
import re
import warnings
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

LABEL_LENGTH = 25
ORBIT_RADIUS = 2.7
RADIUS_TOLERANCE = 0.01
RIGID_TOLERANCE = 1e-3
LABEL_FILE_NAME = "dataset.json"
MAX_MEMBER_BYTES = 1 << 29
"""Larger members of a zip are refused: a few bytes can claim any size and exhaust the memory."""

_LAYOUT = "25 numbers: cam2world 4x4 row-major, then intrinsics 3x3 divided by the image size"


@dataclass(frozen=True)
class Fault:
    """One entry that cannot be used: what is wrong (``kind``), with which image, and the detail."""

    kind: str
    name: str
    detail: str = ""


@dataclass(frozen=True)
class LabelFile:
    """The usable entries of a label file, in file order, and the faults of the others.

    Attributes:
        names: Image paths, relative with forward slashes; repeats are legal here.
        labels: [N, 25] float32.
        faults: One for each entry left out.
    """

    names: tuple[str, ...]
    labels: np.ndarray
    faults: tuple[Fault, ...]


def describe_faults(faults: Sequence[Fault], *, examples: int = 3) -> str:
    """Faults by kind, each with its count and the first few images, over several lines."""
    kinds: dict[str, list[str]] = {}
    for fault in faults:
        text = f"{fault.name} ({fault.detail})" if fault.detail else fault.name
        kinds.setdefault(fault.kind, []).append(text)
    lines = []
    for kind, found in kinds.items():
        more = f", ... {len(found) - examples} more" if len(found) > examples else ""
        lines.append(f"  {len(found)} x {kind}: {', '.join(found[:examples])}{more}")
    return "\n".join(lines)


def validate_label(label: Tensor | np.ndarray | Sequence[float]) -> None:
    """Check one label [25] or several [N, 25].

    A camera more than 1 % off EG3D's radius of 2.7 only warns.

    Raises:
        ValueError: Wrong length, not finite, no rigid right-handed pose, or senseless intrinsics.
    """
    if isinstance(label, Tensor):
        label = label.detach().cpu().float().numpy()
    try:
        array = np.asarray(label, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"camera label {label!r:.80} is not numeric; expected {_LAYOUT}"
        ) from error
    if array.ndim not in (1, 2) or array.shape[-1] != LABEL_LENGTH:
        raise ValueError(f"camera label has shape {list(array.shape)}; expected {_LAYOUT}")
    array = array.reshape(-1, LABEL_LENGTH)
    for row, (kind, detail) in sorted(find_faults(array).items()):
        raise ValueError(f"camera label {row}: {kind}: {detail}")
    warn_radius(array, source="camera label")


def find_faults(labels: np.ndarray) -> dict[int, tuple[str, str]]:
    """Rows of ``labels`` [N, 25] that are no camera: row -> (kind, detail)."""
    labels = labels.astype(np.float64)
    finite = np.isfinite(labels).all(axis=1)
    safe = np.where(finite[:, None], labels, 0.0)
    pose, lens = safe[:, :16].reshape(-1, 4, 4), safe[:, 16:].reshape(-1, 3, 3)
    rotation = pose[:, :3, :3]
    skewness = np.abs(rotation.transpose(0, 2, 1) @ rotation - np.eye(3)).max(axis=(1, 2))
    bottom = np.abs(pose[:, 3] - (0, 0, 0, 1)).max(axis=1)
    lens_bottom = np.abs(lens[:, [1, 2, 2, 2], [0, 0, 1, 2]] - (0, 0, 0, 1)).max(axis=1)
    focal = lens[:, [0, 1], [0, 1]]
    centre = lens[:, [0, 1], [2, 2]]
    checks = (
        (~finite, "label is not finite", lambda row: f"entry {_first_bad(labels[row])}"),
        (
            bottom > RIGID_TOLERANCE,
            "pose is not rigid",
            lambda row: f"last row of cam2world is {_short(pose[row, 3])}, expected [0, 0, 0, 1]",
        ),
        (
            skewness > RIGID_TOLERANCE,
            "pose is not rigid",
            lambda row: f"R^T R differs from the identity by {skewness[row]:.2g}",
        ),
        (
            np.linalg.det(rotation) < 0,
            "pose is left-handed",
            lambda row: (
                "the rotation's determinant is -1; expected axes x right, y down, z forward"
            ),
        ),
        (
            ~(focal > 0).all(axis=1),
            "focal length is not positive",
            lambda row: f"fx, fy = {_short(focal[row])}",
        ),
        (
            lens_bottom > RIGID_TOLERANCE,
            "intrinsics are malformed",
            lambda row: "expected [[fx, skew, cx], [0, fy, cy], [0, 0, 1]]",
        ),
        (
            (np.abs(centre - 0.5) > 1.5).any(axis=1),
            "intrinsics are not divided by the image size",
            lambda row: f"principal point {_short(centre[row])}, expected about [0.5, 0.5]",
        ),
    )
    faults: dict[int, tuple[str, str]] = {}
    for wrong, kind, detail in checks:
        for row in np.flatnonzero(wrong).tolist():
            faults.setdefault(row, (kind, detail(row)))
    return faults


def warn_radius(labels: np.ndarray, *, source: str) -> None:
    """Warn once if cameras of ``labels`` [N, 25] are off the radius 2.7 by more than 1 %."""
    radius = np.linalg.norm(labels[:, [3, 7, 11]].astype(np.float64), axis=1)
    off = np.abs(radius / ORBIT_RADIUS - 1) > RADIUS_TOLERANCE
    if off.any():
        worst = radius[off][np.abs(radius[off] - ORBIT_RADIUS).argmax()]
        warnings.warn(
            f"{source}: {int(off.sum())} of {len(labels)} cameras are not {ORBIT_RADIUS} from the "
            f"origin (up to {worst:.3g}); EG3D's generators know that radius only",
            stacklevel=3,
        )


def safe_name(name: str) -> str | None:
    """``name`` with single forward slashes and no ``./``; None if absolute or leading outside."""
    path = name.replace("\\", "/")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    outside = path.startswith("/") or ".." in parts or re.match(r"[A-Za-z]:", path)
    return None if outside or not parts or "\0" in path else "/".join(parts)


def read_label_file(path: str | Path) -> LabelFile:
    """Read ``path``: a label file, or a folder or zip with a ``dataset.json`` in it.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is no label file.
    """
    path = Path(path)
    if path.is_dir():
        path = path / LABEL_FILE_NAME
    if not path.is_file():
        raise FileNotFoundError(
            f"label file {path} does not exist; expected JSON "
            '{"labels": [[image path, [25 floats]], ...]}'
        )
    if path.suffix.lower() != ".zip":
        return parse_label_file(path.read_bytes(), source=str(path))
    try:
        with zipfile.ZipFile(path) as archive:
            size = archive.getinfo(LABEL_FILE_NAME).file_size
            if size > MAX_MEMBER_BYTES:
                raise ValueError(
                    f"{path}: {LABEL_FILE_NAME} has {size} bytes, more than {MAX_MEMBER_BYTES}; "
                    "unpack the zip and give the folder"
                )
            content = archive.read(LABEL_FILE_NAME)
    except KeyError as error:
        raise FileNotFoundError(f"{path} holds no {LABEL_FILE_NAME} at its top") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, OSError) as error:
        raise ValueError(f"{path} is not a readable zip: {error}") from error
    return parse_label_file(content, source=f"{path}:{LABEL_FILE_NAME}")


def parse_label_file(content: bytes, *, source: str) -> LabelFile:
    """Parse the bytes of a label file; ``source`` names it in errors.

    Raises:
        ValueError: Malformed JSON, a key given twice, or no list under "labels".
    """
    try:
        root = json.loads(content, object_pairs_hook=_unique_keys)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{source} is not valid JSON: {error}") from error
    if not isinstance(root, dict) or "labels" not in root:
        found = f"keys {sorted(root)[:5]}" if isinstance(root, dict) else type(root).__name__
        raise ValueError(
            f'{source} has no "labels" (found {found}); expected '
            '{"labels": [[image path, [25 floats]], ...]}'
        )
    entries = root["labels"]
    if entries is None:
        raise ValueError(
            f'{source}: "labels" is null, as EG3D writes it for images without cameras; every '
            "image needs one: `python -m warpgan.prepare` makes it from a photo, "
            "`python -m warpgan.data.crop_photo` from five points of the face"
        )
    if not isinstance(entries, list):
        raise ValueError(
            f'{source}: "labels" holds {json.dumps(entries):.40}; expected a list of '
            "[image path, [25 floats]]"
        )
    return _parse_entries(entries)


def _parse_entries(entries: list) -> LabelFile:
    names: list[str] = []
    rows: list[list[float]] = []
    faults: list[Fault] = []
    for index, entry in enumerate(entries):
        fault = _entry_fault(index, entry)
        if fault is not None:
            faults.append(fault)
            continue
        names.append(safe_name(entry[0]))
        rows.append(entry[1])
    with np.errstate(over="ignore"):
        labels = np.array(rows, dtype=np.float64).reshape(-1, LABEL_LENGTH).astype(np.float32)
    broken = find_faults(labels)
    faults += [Fault(kind, names[row], detail) for row, (kind, detail) in sorted(broken.items())]
    kept = [row for row in range(len(names)) if row not in broken]
    return LabelFile(tuple(names[row] for row in kept), labels[kept], tuple(faults))


def _entry_fault(index: int, entry: object) -> Fault | None:
    if not isinstance(entry, list) or len(entry) != 2 or not isinstance(entry[0], str):
        return Fault(
            "entry is no [image path, label] pair", f"entry {index}", json.dumps(entry)[:60]
        )
    name, label = entry
    if safe_name(name) is None:
        return Fault("path leads outside the folder", repr(name), "expected a relative path")
    if not isinstance(label, list):
        return Fault("label is no list of numbers", name, f"found {json.dumps(label)[:40]}")
    if len(label) != LABEL_LENGTH:
        return Fault("label has the wrong length", name, f"{len(label)} numbers, expected 25")
    for value in label:
        if type(value) is not float and (type(value) is not int or abs(value) > 2**63):
            return Fault("label is no list of numbers", name, f"found {json.dumps(value)[:40]}")
    return None


def _unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    keys = dict(pairs)
    if len(keys) < len(pairs):
        names = [key for key, _ in pairs]
        twice = next(key for key in names if names.count(key) > 1)
        raise ValueError(f"key {twice!r} is given twice")
    return keys


def _first_bad(label: np.ndarray) -> str:
    index = int(np.flatnonzero(~np.isfinite(label))[0])
    return f"{index} of the label is {label[index]}"


def _short(values: np.ndarray) -> str:
    return "[" + ", ".join(f"{value:.4g}" for value in values) + "]"


def write_label_file(path: str | Path, entries: Sequence[tuple[str, Tensor]]) -> None:
    """Write (name, label [25]) entries as a label file, or leave the old file whole."""
    path = Path(path)
    pairs = [[name, [float(value) for value in label]] for name, label in entries]
    aside = path.with_name(path.name + ".partial")
    aside.write_text(json.dumps({"labels": pairs}, indent=None))
    aside.replace(path)
