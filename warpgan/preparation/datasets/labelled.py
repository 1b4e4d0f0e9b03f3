"""Images that have cameras already, to the layout of `warpgan.data.folder`, checked.

A source is a folder or zip. Images are paired with labels by name, never by place in a sorted list:
one missing file would shift all others. Files are linked where the disk allows it (a hard link
needs no space), else copied; members of a zip are written out. What is there already and has the
right size is left as it is.
"""

import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np
import torch

from warpgan.cameras import mirror_label
from warpgan.data.images import SUFFIXES, read_header
from warpgan.data.portraits.splits import write_aside
from warpgan.data.stores import Store, open_store
from warpgan.labels import LABEL_FILE_NAME, Fault, LabelFile, parse_label_file
from warpgan.progress import progress_bar

CAMERA_NAMES = (LABEL_FILE_NAME, "dataset-ffhq.json", "dataset_LPFF.json", "camera_parameters.json")
_NUMBERED = re.compile(r"(.*?)img(\d{8})\.png")
_TWIN_TOLERANCE = 1e-3


@dataclass
class Labelled:
    """What was found, and what came of it.

    Attributes:
        images: of the source.
        labels: usable entries of the label file.
        kept: written, or there already.
        written: written now.
        pairs: images whose mirrored twin is there with the mirrored camera.
        faults: what is missing or wrong.
    """

    images: int = 0
    labels: int = 0
    kept: int = 0
    written: int = 0
    pairs: int = 0
    faults: list[Fault] = field(default_factory=list)


def has_labels(source: Path, labels: Path | None = None) -> bool:
    """Whether a source has a file of cameras."""
    return labels is not None or _label_name(open_store(source)) is not None


def write_labelled(
    source: Path, out: Path, *, labels: Path | None = None, size: int | None = None
) -> Labelled:
    """Check a labelled source and write the image folder.

    Args:
        source: folder or zip of square images.
        out: folder to write.
        labels: file of cameras, if it does not lie in the source.
        size: side that images should have; None for any.

    Raises:
        FileNotFoundError: source or label file is absent.
        ValueError: the label file cannot be read.
    """
    store = open_store(source)
    file = _read_labels(store, labels)
    images = {name for name in store.names if name.lower().endswith(SUFFIXES)}
    result = Labelled(len(images), len(file.names), faults=[*store.faults, *file.faults])
    by_name = _pair(file, images, result.faults)
    entries: dict[str, np.ndarray] = {}
    for name in progress_bar(sorted(by_name), title=source.name, unit="image"):
        fault = _fault_of(store, name, size)
        if fault is not None:
            result.faults.append(fault)
            continue
        target = out / name
        if not target.resolve().is_relative_to(out.resolve()):
            result.faults.append(Fault("path leads outside the folder", name))
            continue
        result.written += _place(store, name, target)
        entries[name] = by_name[name]
    result.kept = len(entries)
    result.pairs = _count_twins(entries, result.faults)
    if entries:
        pairs = [[name, [float(v) for v in label]] for name, label in sorted(entries.items())]
        write_aside(out / LABEL_FILE_NAME, json.dumps({"labels": pairs}).encode())
    return result


def parse_cameras(content: bytes, *, source: str) -> LabelFile:
    """Labels of a label file, or of a plain ``{NAME: [25 numbers]}``, as LPFF publishes them.

    Raises:
        ValueError: it is neither.
    """
    try:
        root = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{source} is not valid JSON: {error}") from error
    if isinstance(root, dict) and "labels" not in root and root:
        content = json.dumps({"labels": [[name, value] for name, value in root.items()]}).encode()
    return parse_label_file(content, source=source)


def _read_labels(store: Store, labels: Path | None) -> LabelFile:
    if labels is not None:
        if not labels.is_file():
            raise FileNotFoundError(f"label file {labels} does not exist")
        return parse_cameras(labels.read_bytes(), source=str(labels))
    name = _label_name(store)
    if name is None:
        raise FileNotFoundError(
            f"{store.path} has none of {', '.join(CAMERA_NAMES)}; name the file by --labels"
        )
    return parse_cameras(store.read(name), source=f"{store.path}/{name}")


def _label_name(store: Store) -> str | None:
    return next((name for name in CAMERA_NAMES if name in store.names), None)


def _pair(file: LabelFile, images: set[str], faults: list[Fault]) -> dict[str, np.ndarray]:
    """Labels by the image's name in the store: the whole name, or else the last part if unique."""
    last: dict[str, list[str]] = {}
    for name in images:
        last.setdefault(PurePosixPath(name).name, []).append(name)
    paired: dict[str, np.ndarray] = {}
    for name, label in zip(file.names, file.labels, strict=True):
        others = last.get(PurePosixPath(name).name, [])
        found = name if name in images else others[0] if len(others) == 1 else None
        if found is None:
            faults.append(Fault("label without image", name))
        elif found in paired and (paired[found] != label).any():
            faults.append(Fault("image listed with different labels", name))
        else:
            paired[found] = label
    broken = {fault.name for fault in file.faults}
    unlisted = sorted(images - paired.keys() - broken)
    faults += [Fault("image without label", name) for name in unlisted]
    return paired


def _fault_of(store: Store, name: str, size: int | None) -> Fault | None:
    try:
        with store.open(name) as stream:
            header = read_header(stream, name, look_at_end=store.seekable(name))
    except (ValueError, OSError) as error:
        return Fault("image cannot be read", name, str(error).removeprefix(f"{name} "))
    if header.width != header.height:
        return Fault("image is not square", name, f"{header.width} x {header.height}")
    if size is not None and header.width != size:
        return Fault(f"image has not {size} px", name, f"{header.width} px")
    return None if header.complete else Fault("image is cut off", name)


def _place(store: Store, name: str, target: Path) -> bool:
    """Link, copy or unpack a file; False if it is there already."""
    if not store.path.is_dir():
        content = store.read(name)
        if target.is_file() and target.read_bytes() == content:
            return False
        write_aside(target, content)
        return True
    origin = (store.path / name).resolve()
    if target.is_file() and target.stat().st_size == origin.stat().st_size:
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_name(f".{target.name}.{os.getpid()}")
    aside.unlink(missing_ok=True)
    try:
        os.link(origin, aside)
    except OSError:
        shutil.copyfile(origin, aside)
    aside.replace(target)
    return True


def _count_twins(entries: Mapping[str, np.ndarray], faults: list[Fault]) -> int:
    """Images whose twin has the mirrored camera; a twin with another camera is a fault.

    Numbered images may be no twins at all: they count as such where most of them are.
    """
    pairs, wrong = 0, []
    for name, label in entries.items():
        twin = twin_of(name)
        if twin is None or twin not in entries:
            continue
        expected = mirror_label(torch.from_numpy(label.astype(np.float64))).numpy()
        off = float(np.abs(entries[twin] - expected).max())
        if off > _TWIN_TOLERANCE:
            wrong.append(Fault("mirrored twin has another camera", twin, f"off by {off:.2g}"))
        else:
            pairs += 1
    named = [fault for fault in wrong if "_mirror." in fault.name]
    faults += wrong if pairs > len(wrong) else named
    return pairs


def twin_of(name: str) -> str | None:
    """What the mirrored twin would be called; None for a twin itself.

    ``NAME_mirror.png`` of ``NAME.png``; in the numbered layout the odd ``img00000001.png`` of the
    even ``img00000000.png``.
    """
    numbered = _NUMBERED.fullmatch(name)
    if numbered:
        number = int(numbered[2])
        return None if number % 2 else f"{numbered[1]}img{number + 1:08d}.png"
    stem, dot, suffix = name.rpartition(".")
    return None if stem.endswith("_mirror") else f"{stem}_mirror{dot}{suffix}"
