"""Cameras that the user has: EG3D's ``cameras.json`` or ``dataset.json``, or Deep3D's ``.mat``.

They are looked up by the photo's name without its suffix, with its folders first, then without. A
camera describes EG3D's crop of the photo as it is: the photo is not turned, and the crop is that of
the five points found by the detector.
"""

import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from torch import Tensor

from warpgan.labels import LABEL_LENGTH
from warpgan.preparation.deep3d import read_cameras_file, read_deep3d_mat
from warpgan.preparation.photos import Photo, UnusablePhoto
from warpgan.preparation.records import hash_of
from warpgan.preparation.settings import CameraSource


@dataclass(frozen=True)
class FileCameras:
    """Cameras of a JSON file.

    Attributes:
        name: of the file.
        key: changes with its contents.
        labels: [25] by name without suffix.
    """

    name: str
    key: str
    labels: dict[str, Tensor]

    def label_of(self, photo: Photo) -> Tensor:
        """Label [25] of a photo.

        Raises:
            UnusablePhoto: there is none.
        """
        for stem in _stems(photo.name):
            if stem in self.labels:
                return self.labels[stem]
        raise UnusablePhoto("no camera", f"{self.name} has no entry {_stems(photo.name)[-1]}")


@dataclass(frozen=True)
class Deep3dCameras:
    """A folder of Deep3DFaceRecon's coefficient files.

    Attributes:
        name: of the folder.
        key: changes with names, sizes and times of the files.
        files: by name without suffix.
    """

    name: str
    key: str
    files: dict[str, Path]

    def label_of(self, photo: Photo) -> Tensor:
        """Label [25] of a photo.

        Raises:
            UnusablePhoto: there is none.
        """
        for stem in _stems(photo.name):
            if stem in self.files:
                try:
                    return read_deep3d_mat(self.files[stem]).reshape(LABEL_LENGTH)
                except (ValueError, OSError) as error:
                    raise UnusablePhoto("camera is not usable", str(error)) from error
        raise UnusablePhoto("no camera", f"{self.name} has no {_stems(photo.name)[-1]}.mat")


def given_cameras(cameras: Path | None, deep3d: Path | None) -> CameraSource | None:
    """The cameras that the user named, if any.

    Raises:
        FileNotFoundError: there is no such file or folder.
        ValueError: it holds no cameras.
    """
    if cameras is not None:
        labels = {_stem(name): label for name, label in read_cameras_file(cameras).items()}
        return FileCameras(cameras.name, f"json {hash_of(cameras.read_bytes())}", labels)
    return None if deep3d is None else find_deep3d(deep3d)


def find_deep3d(folder: Path) -> Deep3dCameras:
    """The coefficient files of a folder, sub-folders included.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: it holds none.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is no folder; expected one of NAME.mat files")
    paths = sorted(folder.rglob("*.mat"))
    if not paths:
        raise ValueError(f"{folder} holds no .mat file; expected one of Deep3DFaceRecon a photo")
    files = {path.relative_to(folder).with_suffix("").as_posix(): path for path in paths}
    stamps = [(name, p.stat().st_size, p.stat().st_mtime_ns) for name, p in files.items()]
    return Deep3dCameras(folder.name, f"deep3d {hash_of(json.dumps(stamps).encode())}", files)


def _stem(name: str) -> str:
    return PurePosixPath(name.replace("\\", "/")).with_suffix("").as_posix()


def _stems(name: str) -> list[str]:
    """What a photo may be listed as: with its folders, then without."""
    whole = _stem(name)
    return [whole, whole.rpartition("/")[2]] if "/" in whole else [whole]
