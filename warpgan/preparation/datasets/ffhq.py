"""FFHQ: EG3D's packed data set as it is, or in-the-wild photos by EG3D's recipe.

In the wild a folder holds, as published,

* ``in-the-wild-images/NNNNN.png`` in any sub-folders, and ``ffhq-dataset-v2.json``, whose 68
  landmarks align each photo (`ffhq_align`);
* EG3D's ``cropping_params.json``: per ``NNNNN.png`` five points of the aligned photo (``lm``) and
  the crop's numbers, which must be those of `warpgan.crop`;
* EG3D's ``dataset.json``: a camera per ``NNNNN.png``.

Everything is paired by name. Written are ``NNNNN.png`` and ``NNNNN_mirror.png``, sorted into
folders of a thousand.
"""

import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from PIL import Image

from warpgan.cameras import STANDARD_POINTS, mirror_label
from warpgan.crop import CENTRE_SIZE, CROP_SIZE, UNIT_PIXELS, fit_crop
from warpgan.data.images import decode_image
from warpgan.data.portraits.splits import write_aside
from warpgan.labels import LABEL_FILE_NAME, MAX_MEMBER_BYTES, Fault
from warpgan.preparation.datasets.ffhq_align import ALIGNED_SIZE, align_face
from warpgan.preparation.datasets.labelled import parse_cameras
from warpgan.preparation.naming import mirror_name
from warpgan.preparation.records import hash_of
from warpgan.progress import progress_bar

PARAMS_NAME, LANDMARKS_NAME = "cropping_params.json", "ffhq-dataset-v2.json"
KEPT_BY_EG3D = 69_957
"""Of 70,000 photos; EG3D left 43 out, in which no face was found."""
_MARK = ".prepare_ffhq.json"
_EXPECTED = {
    "rescale_factor": UNIT_PIXELS,
    "center_crop_size": CENTRE_SIZE,
    "output_size": CROP_SIZE,
}


@dataclass
class Wild:
    """What was found, and what came of it.

    Attributes:
        asked: photos that the parameter file lists.
        written: made now.
        kept: there already.
        faults: what is missing or wrong.
    """

    asked: int = 0
    written: int = 0
    kept: int = 0
    faults: list[Fault] = field(default_factory=list)


@dataclass(frozen=True)
class _Job:
    name: str
    photo: Path
    landmarks: np.ndarray
    points: np.ndarray


def is_wild(source: Path, params: Path | None) -> bool:
    """Whether a source is in-the-wild photos rather than finished crops."""
    return params is not None or (source.is_dir() and (source / PARAMS_NAME).is_file())


def write_wild(
    source: Path,
    out: Path,
    *,
    params: Path | None = None,
    landmarks: Path | None = None,
    labels: Path | None = None,
    mirror: bool = True,
    limit: int | None = None,
) -> Wild:
    """Make EG3D's crops of in-the-wild photos, or go on with them.

    Args:
        source: folder with the photos.
        out: folder to write.
        params: file of crops, if it does not lie in ``source``.
        landmarks: FFHQ's own file, the same.
        labels: file of cameras, the same.
        mirror: also write the mirrored twins.
        limit: only the first so many.

    Raises:
        FileNotFoundError: a file is absent.
        ValueError: a file is not what it should be.
    """
    crops = read_json(params or source / PARAMS_NAME)
    known = read_json(landmarks or source / LANDMARKS_NAME)
    label_path = labels or source / LABEL_FILE_NAME
    if not label_path.is_file():
        raise FileNotFoundError(f"label file {label_path} does not exist; EG3D's dataset.json")
    cameras = parse_cameras(label_path.read_bytes(), source=str(label_path))
    rows = {_base(n): row for n, row in zip(cameras.names, cameras.labels, strict=True)}
    result = Wild(asked=len(crops), faults=list(cameras.faults))
    names = sorted(crops)[: limit or len(crops)]
    if not any(_base(name) in rows for name in names):
        raise ValueError(
            f"{label_path} has no camera of {_base(names[0])}, but of {cameras.names[:1]}: it is "
            "of another layout, and names are never guessed from the order; give the dataset.json "
            "that names NNNNN.png"
        )
    _renew(out, crops, known)
    entries: list[list] = []
    for job in _jobs(names, source, crops, known, result.faults):
        camera = rows.get(job.name)
        if camera is None:
            result.faults.append(Fault("no camera in the label file", job.name))
            continue
        crop = f"{int(Path(job.name).stem) // 1000:05d}/{job.name}"
        twin = mirror_name(crop)
        if (out / crop).is_file() and ((out / twin).is_file() or not mirror):
            result.kept += 1
        else:
            try:
                _write(out, job, crop, twin if mirror else None)
            except (ValueError, OSError) as error:
                result.faults.append(Fault("photo gives no crop", job.name, str(error)))
                continue
            result.written += 1
        entries.append([crop, [float(value) for value in camera]])
        if mirror:
            flipped = mirror_label(torch.from_numpy(camera.astype(np.float64)))
            given = rows.get(mirror_name(job.name))
            entries.append([twin, (flipped if given is None else given).tolist()])
    if entries:
        write_aside(out / LABEL_FILE_NAME, json.dumps({"labels": sorted(entries)}).encode())
    return result


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file whose top is an object.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is something else.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; it comes with FFHQ or EG3D, see --help")
    if path.stat().st_size > MAX_MEMBER_BYTES:
        raise ValueError(f"{path} has more than {MAX_MEMBER_BYTES} bytes")
    try:
        root = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(root, dict) or not root:
        raise ValueError(f"{path} holds no object of entries by name")
    return root


def _jobs(
    names: list[str],
    source: Path,
    crops: Mapping[str, Any],
    known: Mapping[str, Any],
    faults: list[Fault],
) -> Iterator[_Job]:
    """Photos that can be made; what is missing of the others goes to ``faults``."""
    photos = {path.name: path for path in sorted(source.rglob("*.png")) if path.stem.isdecimal()}
    marks = {f"{int(key):05d}.png": entry for key, entry in known.items() if key.isdecimal()}
    for listed in progress_bar(names, title="ffhq", unit="photo"):
        name = _base(listed)
        if not Path(name).stem.isdecimal():
            faults.append(Fault("name in the parameter file is no number", listed))
        elif name not in photos:
            faults.append(Fault("photo is missing", name))
        elif name not in marks:
            faults.append(Fault("no landmarks", name))
        else:
            try:
                landmarks = np.array(marks[name]["in_the_wild"]["face_landmarks"], np.float64)
                points = _crop_points(crops[listed])
            except (KeyError, TypeError, ValueError) as error:
                faults.append(Fault("entry cannot be used", name, str(error)))
                continue
            yield _Job(name, photos[name], landmarks, points)


def _crop_points(entry: Mapping[str, Any]) -> np.ndarray:
    """Five points [5, 2] of an entry whose other numbers are EG3D's.

    Raises:
        ValueError: they are not.
    """
    for key, expected in _EXPECTED.items():
        if key in entry and float(entry[key]) != expected:
            raise ValueError(f"{key} is {entry[key]}, expected {expected}")
    if "lm3d_std" in entry:
        standard = np.array(entry["lm3d_std"], np.float64)
        if standard.shape != (5, 3) or np.abs(standard - STANDARD_POINTS).max() > 1e-3:
            raise ValueError("lm3d_std is not the standard face")
    points = np.array(entry["lm"], np.float64)
    if points.shape != (5, 2):
        raise ValueError(f"lm has shape {list(points.shape)}, expected [5, 2]")
    return points


def _write(out: Path, job: _Job, crop: str, twin: str | None) -> None:
    photo = decode_image(job.photo.read_bytes(), job.photo.name)
    aligned = align_face(photo, job.landmarks)
    window = fit_crop(job.points, width=ALIGNED_SIZE, height=ALIGNED_SIZE)
    pixels = window.apply(Image.fromarray(aligned))
    if twin is not None:
        write_aside(out / twin, _png(pixels[:, ::-1]))
    write_aside(out / crop, _png(pixels))


def _renew(out: Path, crops: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    """Remove crops that other parameter files made."""
    inputs = [crops, {key: _marks(entry) for key, entry in known.items()}]
    mark = json.dumps({"inputs": hash_of(json.dumps(inputs, sort_keys=True).encode())}).encode()
    path = out / _MARK
    if path.is_file() and path.read_bytes() != mark:
        for crop in out.glob("[0-9]*/[0-9]*.png"):
            crop.unlink()
    elif out.is_dir() and any(out.iterdir()) and not path.is_file():
        raise ValueError(f"{out} is not empty and was not begun by this command; choose another")
    write_aside(path, mark)


def _marks(entry: Any) -> Any:
    wild = entry.get("in_the_wild") if isinstance(entry, dict) else None
    return wild.get("face_landmarks") if isinstance(wild, dict) else None


def _base(name: str) -> str:
    return PurePosixPath(name.replace("\\", "/")).name


def _png(image: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(stream, "PNG")
    return stream.getvalue()
