"""The published list of novel cameras that photos without a true novel view are seen from.

    python -m warpgan.evaluation.camera_list OUT.json --seed 2107
    python -m warpgan.evaluation.camera_list OUT.json --seed 2107 --labels dataset_rebalanced.json

The first line writes the shipped ``warpgan/assets/novel_cameras.json`` byte for byte. The second
draws from the cameras of a label file, as the released code does. Photo number i of a data set
(sorted by name, as `warpgan.data.folder` does) always has the cameras number i of the list; beyond
its end the list starts again. A camera depends on the seed and on its place in the list alone.
"""

import argparse
import json
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from warpgan.cameras import look_at, make_label, split_label
from warpgan.evaluation.records import write_text
from warpgan.labels import LABEL_LENGTH, validate_label
from warpgan.pose import PoseDistribution
from warpgan.training.seeding import fold_seed

PUBLISHED = Path(__file__).parents[1] / "assets" / "novel_cameras.json"
SEED = 2107
PHOTOS = 1000
YAW_BANDS = ((15.0, 25.0), (25.0, 35.0), (35.0, 45.0))
"""Degrees of |yaw|, one band a view: view k of every photo lies in band k."""
PITCH_LIMIT = 10.0
LAW = (
    "view k of a photo: |yaw| uniform in [15, 25], [25, 35], [35, 45] degrees for k = 0, 1, 2, its "
    "sign by chance; pitch uniform in [-10, 10]; yaw > 0 at the subject's left, pitch > 0 above; "
    "look-at cameras of radius 2.7 about (0, 0, 0.2)"
)
_EXPECTED = (
    'expected {"seed": 2107, "law": "...", "per_photo": 3, "cameras": [[yaw, pitch], ...]} in '
    'degrees, or "labels": [[25 floats], ...] instead of "cameras"'
)


@dataclass(frozen=True, eq=False)
class CameraList:
    """Novel cameras by photo.

    Attributes:
        seed: They were drawn with it.
        law: How, in words.
        per_photo: Views of a photo.
        cameras: Labels ``[P * per_photo, 25]`` float32 of P photos, photo by photo.
        angles: The same as (yaw, pitch) in degrees; ``None`` if drawn from a label file.
    """

    seed: int
    law: str
    per_photo: int
    cameras: Tensor
    angles: tuple[tuple[float, float], ...] | None = None

    @property
    def photos(self) -> int:
        """Photos that have cameras of their own."""
        return len(self.cameras) // self.per_photo


def draw_angles(*, seed: int = SEED, photos: int = PHOTOS) -> CameraList:
    """Draw a list by `LAW`, rounded to 0.01 degree.

    Raises:
        ValueError: No photo is asked for.
    """
    _check_photos(photos)
    angles = []
    for photo in range(photos):
        for view, (low, high) in enumerate(YAW_BANDS):
            # Python keeps `random()` the same in all its versions; NumPy and torch promise less.
            draw = random.Random(fold_seed(seed, "novel camera", photo, view))
            size, sign, height = draw.random(), draw.random(), draw.random()
            yaw = (low + (high - low) * size) * (1 if sign < 0.5 else -1)
            pitch = PITCH_LIMIT * (2 * height - 1)
            # Adding 0 turns -0.0 into 0.0.
            angles.append((round(yaw, 2) + 0.0, round(pitch, 2) + 0.0))
    return _from_angles(angles, seed=seed, law=LAW, per_photo=len(YAW_BANDS))


def draw_from_labels(
    path: str | Path, *, seed: int = SEED, photos: int = PHOTOS, per_photo: int = len(YAW_BANDS)
) -> CameraList:
    """Draw a list from the cameras of a label file, each entry equally likely.

    Args:
        path: Label file, folder or zip; a list that repeats images by yaw is the usual one.
        seed: Any integer.
        photos: How many get cameras.
        per_photo: Views of each.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It holds no usable cameras, or no view is asked for.
    """
    _check_photos(photos)
    if per_photo < 1:
        raise ValueError(f"per_photo is {per_photo}; expected at least one view a photo")
    poses = PoseDistribution.from_dataset_json(path)
    drawn = []
    for photo in range(photos):
        generator = torch.Generator().manual_seed(fold_seed(seed, "novel label", photo))
        drawn.append(poses.sample(per_photo, generator))
    law = f"drawn from the {len(poses.labels)} entries of {Path(path).name}, each equally likely"
    return CameraList(seed, law, per_photo, torch.cat(drawn))


def novel_cameras(labels: Tensor, listed: CameraList, index: Sequence[int] | Tensor) -> Tensor:
    """Cameras of photos: poses of the list, intrinsics of the photo.

    Args:
        labels: The photos' labels ``[N, 25]``.
        listed: The list.
        index: ``[N]`` places of the photos in their data set.

    Returns:
        ``[N, listed.per_photo, 25]`` on the device of ``labels``.

    Raises:
        ValueError: ``labels`` and ``index`` do not fit.
    """
    places = torch.as_tensor(index, dtype=torch.long, device=labels.device)
    if labels.ndim != 2 or labels.shape[1] != LABEL_LENGTH or places.shape != labels.shape[:1]:
        raise ValueError(
            f"labels {list(labels.shape)} and index {list(places.shape)}; expected [N, 25] and [N]"
        )
    if (places < 0).any():
        raise ValueError(f"index {int(places.min())} is negative; expected places from 0 on")
    by_photo = listed.cameras.to(labels).unflatten(0, (listed.photos, listed.per_photo))
    pose, _ = split_label(by_photo[places % listed.photos])
    _, intrinsics = split_label(labels)
    return make_label(pose, intrinsics[:, None])


def cameras_for(
    labels: Tensor, *, labels_file: str | Path | None = None, seed: int = SEED
) -> Tensor:
    """Novel cameras ``[N, V, 25]`` of all photos of a data set, in its order.

    Args:
        labels: The photos' labels ``[N, 25]``.
        labels_file: ``None`` for the published list; else a list written by this module, or a
            label file, folder or zip to draw from.
        seed: Of the draw from a label file; lists have their own.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It holds no usable cameras.
    """
    if labels_file is None:
        listed = read_camera_list(PUBLISHED)
    elif _is_camera_list(Path(labels_file)):
        listed = read_camera_list(labels_file)
    else:
        listed = draw_from_labels(labels_file, seed=seed, photos=len(labels))
    return novel_cameras(labels, listed, range(len(labels)))


def read_camera_list(path: str | Path = PUBLISHED) -> CameraList:
    """Read a list written by `write_camera_list`.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It holds something else.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"camera list {path} does not exist; {_EXPECTED}")
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"camera list {path} is not valid JSON: {error}") from error
    try:
        seed, law, per_photo = content["seed"], content["law"], content["per_photo"]
        if type(seed) is not int or not isinstance(law, str) or type(per_photo) is not int:
            raise TypeError("seed and per_photo must be integers, law a text")
        if "labels" in content:
            found = CameraList(seed, law, per_photo, torch.tensor(content["labels"]).float())
            validate_label(found.cameras)
        else:
            angles = [(float(yaw), float(pitch)) for yaw, pitch in content["cameras"]]
            found = _from_angles(angles, seed=seed, law=law, per_photo=per_photo)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"camera list {path}: {error!s:.200}; {_EXPECTED}") from error
    if per_photo < 1 or not len(found.cameras) or len(found.cameras) % per_photo:
        raise ValueError(
            f"camera list {path} holds {len(found.cameras)} cameras, {per_photo} a photo; expected "
            "a positive multiple"
        )
    return found


def write_camera_list(path: str | Path, listed: CameraList) -> None:
    """Write a list as compact JSON; the same list gives the same bytes."""
    content = {"seed": listed.seed, "law": listed.law, "per_photo": listed.per_photo}
    if listed.angles is None:
        content["labels"] = [[float(f"{x:.9g}") for x in row] for row in listed.cameras.tolist()]
    else:
        content["cameras"] = listed.angles
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(content, separators=(",", ":")) + "\n")


def _from_angles(
    angles: Sequence[tuple[float, float]], *, seed: int, law: str, per_photo: int
) -> CameraList:
    yaw, pitch = zip(*angles, strict=True) if angles else ((), ())
    return CameraList(seed, law, per_photo, look_at(yaw, pitch), tuple(angles))


def _is_camera_list(path: Path) -> bool:
    """Whether a JSON file is a list of this module rather than a label file."""
    if not path.is_file() or path.suffix.lower() == ".zip":
        return False
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return False
    return isinstance(content, dict) and "per_photo" in content


def _check_photos(photos: int) -> None:
    if photos < 1:
        raise ValueError(f"photos is {photos}; expected at least 1")


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m warpgan.evaluation.camera_list",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("out", type=Path, help="list to write")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--photos", type=int, default=PHOTOS, help="that get cameras of their own")
    parser.add_argument(
        "--labels", type=Path, metavar="FILE",
        help="draw from the cameras of this label file, folder or zip",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    try:
        if options.labels is None:
            listed = draw_angles(seed=options.seed, photos=options.photos)
        else:
            listed = draw_from_labels(options.labels, seed=options.seed, photos=options.photos)
        write_camera_list(options.out, listed)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{options.out}: {len(listed.cameras)} cameras for {listed.photos} photos; {listed.law}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
