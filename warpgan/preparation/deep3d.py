"""Cameras that others have estimated: Deep3DFaceRecon's ``.mat`` files and EG3D's camera files.

Deep3DFaceRecon describes a head turned by Euler angles (x, y, z in radians) and moved, seen by a
camera 10 units away whose y points up. EG3D's preparation of photos turns that into its labels:

    R = (Rz Ry Rx)^T,  t_z <- t_z - 10,  c = -R t,  c <- .27 c + (0, .006, .161)
    cam2world = [R diag(1, -1, -1) | c],  focal length 2985.29 / 700, principal point 1/2

and then settles the radius (`FIXES`):

* ``orig``: c is scaled to 2.7 from the origin. The released datasets are made so.
* ``cor``: c is scaled to 2.7 from (0, 0, .175), the centre that EG3D corrected it to.
* ``simplify``: a camera at the angles of c about the origin that looks at the origin, without
  roll.

Mat files are read by scipy without running anything from them; objects, structs and cells, and
arrays larger than coefficients can be, are refused.
"""

import io
import json
import math
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from scipy.io import loadmat, whosmat
from scipy.io.matlab import MatReadError
from torch import Tensor

from warpgan.cameras import RADIUS, intrinsics_from_focal, look_at, make_label, validate_label
from warpgan.labels import read_label_file

FIXES = ("orig", "cor", "simplify")
MAT_FOCAL = 2985.29 / 700
DISTANCE, SCALE = 10.0, 0.27
SHIFT = (0.0, 0.006, 0.161)
CORRECTED_CENTRE = (0.0, 0.0, 0.175)
COEFFICIENTS = 257
ANGLE_PLACES, TRANSLATION_PLACES = slice(224, 227), slice(254, 257)
MAX_FILE_BYTES = 4_000_000
MAX_NUMBERS = 200_000
COEFFICIENT_KEYS = ("coeff", "coeffs", "coefficients")
_DAMAGES = (
    MatReadError,
    ValueError,
    TypeError,
    NotImplementedError,
    OSError,
    LookupError,
    OverflowError,
    MemoryError,
    zlib.error,
)
"""What scipy raises on damaged files."""


def label_from_deep3d(angle: np.ndarray, trans: np.ndarray, *, fix: str = "orig") -> Tensor:
    """EG3D's label [25] float32 of Deep3DFaceRecon's pose.

    Args:
        angle: [3] Euler angles about x, y, z, radians.
        trans: [3] translation, before the camera's distance of 10 is taken off.
        fix: One of `FIXES`.

    Raises:
        ValueError: An unknown fix, or angles or translation that are no three finite numbers.
    """
    if fix not in FIXES:
        raise ValueError(f"fix {fix!r} is unknown; choose one of {', '.join(FIXES)}")
    angle, trans = _three(angle, "angle"), _three(trans, "trans")
    (cos_x, cos_y, cos_z), (sin_x, sin_y, sin_z) = np.cos(angle), np.sin(angle)
    about_x = np.array([[1, 0, 0], [0, cos_x, -sin_x], [0, sin_x, cos_x]])
    about_y = np.array([[cos_y, 0, sin_y], [0, 1, 0], [-sin_y, 0, cos_y]])
    about_z = np.array([[cos_z, -sin_z, 0], [sin_z, cos_z, 0], [0, 0, 1]])
    rotation = (about_z @ about_y @ about_x).T
    position = -rotation @ (trans - (0.0, 0.0, DISTANCE)) * SCALE + SHIFT
    lens = intrinsics_from_focal(MAT_FOCAL)
    if fix == "simplify":
        # the yaw and elevation of c, seen from the origin
        yaw = math.degrees(math.atan2(position[0], position[2]))
        pitch = math.degrees(math.atan2(position[1], math.hypot(position[0], position[2])))
        return look_at(yaw, pitch, pivot=(0.0, 0.0, 0.0), focal=MAT_FOCAL)[0]
    centre = np.array(CORRECTED_CENTRE if fix == "cor" else (0.0, 0.0, 0.0))
    offset = position - centre
    cam2world = torch.eye(4, dtype=torch.float64)
    cam2world[:3, :3] = torch.from_numpy(rotation @ np.diag([1.0, -1.0, -1.0]))
    cam2world[:3, 3] = torch.from_numpy(centre + offset * (RADIUS / np.linalg.norm(offset)))
    return make_label(cam2world, lens)[0].float()


def read_deep3d_mat(path: str | Path, *, fix: str = "orig") -> Tensor:
    """The label [25] of a ``.mat`` file of Deep3DFaceRecon.

    It holds ``angle`` and ``trans`` [1, 3] each, or all coefficients as one array [1, 257] called
    ``coeff``, ``coeffs`` or ``coefficients``.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no such file, or holds what is not read.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"coefficient file {path} does not exist")
    size = path.stat().st_size
    if size > MAX_FILE_BYTES:
        raise ValueError(f"{path} has {size} bytes; a coefficient file has at most 4 MB")
    arrays = _numbers_of(path)
    if {"angle", "trans"} <= arrays.keys():
        return _named(path, arrays["angle"], arrays["trans"], fix)
    for key in COEFFICIENT_KEYS:
        if key in arrays:
            every = arrays[key].ravel()
            if len(every) != COEFFICIENTS:
                raise ValueError(f"{path}: {key} has {len(every)} numbers; expected 257")
            return _named(path, every[ANGLE_PLACES], every[TRANSLATION_PLACES], fix)
    raise ValueError(
        f"{path} holds {', '.join(sorted(arrays)) or 'no numbers'}; expected angle and trans "
        f"[1, 3], or {' / '.join(COEFFICIENT_KEYS)} [1, 257]"
    )


def read_cameras_file(path: str | Path) -> dict[str, Tensor]:
    """Labels [25] by image name, of a file of EG3D's preparation.

    Either ``dataset.json``, or ``cameras.json`` of the step before it: a mapping from names to
    ``{"pose": 4x4, "intrinsics": 3x3}``. The latter's positions are brought to 2.7 from the origin
    and its intrinsics to EG3D's fixed ones, as the last step does (fix ``orig``).

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is neither.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"camera file {path} does not exist")
    if path.stat().st_size > 100 * MAX_FILE_BYTES:
        raise ValueError(f"{path} is larger than {100 * MAX_FILE_BYTES} bytes")
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not valid JSON: {error}") from error
    if isinstance(content, Mapping) and "labels" in content:
        labels = read_label_file(path)
        if labels.faults:
            raise ValueError(f"{path}: {len(labels.faults)} labels are no cameras")
        return dict(zip(labels.names, torch.from_numpy(labels.labels), strict=True))
    if not isinstance(content, Mapping) or not content:
        raise ValueError(f'{path} is neither {{"labels": ...}} nor {{"NAME": {{"pose": ...}}}}')
    return {str(name): _camera_entry(path, name, entry) for name, entry in content.items()}


def _camera_entry(path: Path, name: str, entry: object) -> Tensor:
    wanted = "expected pose 4x4 and intrinsics 3x3"
    if not isinstance(entry, Mapping) or "pose" not in entry:
        raise ValueError(f"{path}: {name!r} holds no pose; {wanted}")
    try:
        pose = np.asarray(entry["pose"], np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: the pose of {name!r} is no matrix; {wanted}") from error
    distance = np.linalg.norm(pose[:3, 3]) if pose.shape == (4, 4) else 0.0
    if pose.shape != (4, 4) or not np.isfinite(pose).all() or distance < 1e-6:
        raise ValueError(f"{path}: the pose of {name!r} is no camera; {wanted}")
    pose = pose.copy()
    pose[:3, 3] *= RADIUS / distance
    label = make_label(torch.from_numpy(pose), intrinsics_from_focal(MAT_FOCAL))[0].float()
    try:
        validate_label(label[None])
    except ValueError as error:
        raise ValueError(f"{path}: {name!r}: {error}") from error
    return label


def _numbers_of(path: Path) -> dict[str, np.ndarray]:
    """The plain numeric arrays of a mat file (versions 4 and 5)."""
    content = path.read_bytes()
    try:
        listed = whosmat(io.BytesIO(content))
    except _DAMAGES as error:
        raise ValueError(f"{path} is no readable mat file (version 4 or 5): {error}") from error
    plain = []
    for name, shape, kind in listed:
        if kind in ("object", "struct", "cell", "function", "opaque", "unknown"):
            continue
        if math.prod(shape) <= MAX_NUMBERS:
            plain.append(name)
    wanted = [name for name in plain if name in ("angle", "trans", *COEFFICIENT_KEYS)]
    refused = sorted({name for name, _, _ in listed} - set(plain))
    if not wanted:
        raise ValueError(
            f"{path} holds {', '.join(plain) or 'no plain arrays'}"
            + (f" (not read: {', '.join(refused)})" if refused else "")
            + f"; expected angle and trans [1, 3], or {' / '.join(COEFFICIENT_KEYS)} [1, 257]"
        )
    try:
        found = loadmat(io.BytesIO(content), variable_names=wanted)
    except _DAMAGES as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    arrays = {name: np.asarray(found[name]) for name in wanted if name in found}
    for name, value in arrays.items():
        if value.dtype.kind not in "fiu":
            raise ValueError(f"{path}: {name} holds {value.dtype}; expected plain numbers")
    return {name: value.astype(np.float64) for name, value in arrays.items()}


def _named(path: Path, angle: np.ndarray, trans: np.ndarray, fix: str) -> Tensor:
    if fix not in FIXES:
        raise ValueError(f"fix {fix!r} is unknown; choose one of {', '.join(FIXES)}")
    try:
        return label_from_deep3d(angle, trans, fix=fix)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _three(value: np.ndarray, name: str) -> np.ndarray:
    array = np.asarray(value, np.float64).ravel()
    if array.shape != (3,) or not np.isfinite(array).all():
        raise ValueError(f"{name} is {array.tolist()!s:.80}; expected three finite numbers")
    return array
