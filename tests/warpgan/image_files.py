"""Small image folders written for tests."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from warpgan.cameras import look_at


def picture(side: int = 32, *, seed: int = 0) -> np.ndarray:
    """A smooth picture with noise, [side, side, 3] uint8, different in every corner."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] / side
    smooth = np.stack([x, y, 1 - x * y], axis=-1) * 200
    return (smooth + rng.uniform(0, 40, smooth.shape)).astype(np.uint8)


def label(yaw: float = 0.0) -> list[float]:
    """A sane label."""
    return look_at(yaw, 0.0)[0].tolist()


def encoded(image: np.ndarray | Image.Image, extension: str = ".png", **options) -> bytes:
    """An image as the bytes of a file."""
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    stream = io.BytesIO()
    image.save(stream, format=Image.registered_extensions()[extension], **options)
    return stream.getvalue()


def write_labels(path: Path, entries: list) -> None:
    """A label file."""
    path.write_text(json.dumps({"labels": entries}))


def write_folder(root: Path, *, count: int = 3, side: int = 32) -> list:
    """A valid folder ``b/0.png`` ...; returns the entries of its label file."""
    entries = []
    (root / "b").mkdir(parents=True)
    for i in range(count):
        (root / "b" / f"{i}.png").write_bytes(encoded(picture(side, seed=i)))
        entries.append([f"b/{i}.png", label(10.0 * i)])
    write_labels(root / "dataset.json", entries)
    return entries


def pack(folder: Path, archive: Path, *, compression: int = zipfile.ZIP_STORED) -> Path:
    """Zip a folder's content."""
    with zipfile.ZipFile(archive, "w", compression) as target:
        for path in sorted(folder.rglob("*"), reverse=True):
            if path.is_file():
                target.write(path, path.relative_to(folder).as_posix())
    return archive
