"""Photos of red squares, and a reader that takes them for faces."""

import csv
import io
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from PIL import Image
from scipy import ndimage

from warpgan.cameras import CANONICAL_PIXELS, look_at, yaw_pitch
from warpgan.preparation.photos import find_photos
from warpgan.preparation.run import Work, prepare
from warpgan.preparation.settings import PrepareSettings

SMALLEST = 12
SQUARE = (20, 16, 32)


class Unusable(ValueError):
    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


@dataclass
class RedSquareReader:
    """Yaw is the square's place from left to right, confidence its brightness."""

    read_photos: int = 0

    def detect(self, photo: np.ndarray) -> list:
        self.read_photos += 1
        red = (photo[..., 0] > 120) & (photo[..., 1] < 60) & (photo[..., 2] < 60)
        regions, _ = ndimage.label(red)
        faces = []
        for rows, columns in ndimage.find_objects(regions):
            box = (columns.start, rows.start, columns.stop, rows.stop)
            side = box[2] - box[0]
            if side < 4:
                continue
            points = np.array(CANONICAL_PIXELS) / 256 * side + box[:2]
            level = photo[rows, columns, 0].mean() / 255
            faces.append(SimpleNamespace(box=box, confidence=0.99, points=points, level=level))
        return sorted(faces, key=lambda face: face.box[0] - face.box[2])

    def read(self, photo, face, *, size, roll_align, border):
        left, top, right, _ = face.box
        side = right - left
        if side < SMALLEST:
            raise Unusable("too small", f"the face has {side} px, fewer than {SMALLEST}")
        yaw = 60 * ((left + side / 2) / photo.shape[1] - 0.5)
        camera = look_at(yaw, 5.0)[0]
        crop = Image.fromarray(photo).crop(tuple(map(int, face.box))).resize((size, size))
        to_crop = np.array(
            [[size / side, 0, -left * size / side], [0, size / side, -top * size / side]]
        )
        yaw, pitch = (float(angle) for angle in yaw_pitch(camera))
        estimate = SimpleNamespace(camera=camera, yaw=yaw, pitch=pitch, roll=0.0, error_px=1.5)
        return SimpleNamespace(
            crop=np.asarray(crop),
            camera=camera,
            points=np.array(CANONICAL_PIXELS) / 256 * size,
            mesh=np.full((468, 2), size / 2),
            to_crop=to_crop,
            estimates={"dense": estimate, "combined": estimate},
            confidence=float(face.level),
            agreement_deg=2.0,
            turned_deg=4.0 if roll_align else 0.0,
            outside=0.02,
        )


def red_photo(*squares: tuple[int, int, int], size=(96, 64), level=250) -> Image.Image:
    """A grey photo with red squares (left, top, side)."""
    pixels = np.full((size[1], size[0], 3), 128, np.uint8)
    for left, top, side in squares:
        pixels[top : top + side, left : left + side] = (level, 10, 10)
    return Image.fromarray(pixels)


def save(path: Path, picture: Image.Image, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, **options)
    return path


def bomb() -> bytes:
    """A PNG of a few bytes that claims 60000 x 60000 pixels."""
    stream = io.BytesIO()
    Image.new("L", (1, 1)).save(stream, "PNG")
    content = bytearray(stream.getvalue())
    header = struct.pack(">II", 60_000, 60_000) + bytes(content[24:29])
    content[16:29] = header
    content[29:33] = struct.pack(">I", zlib.crc32(b"IHDR" + header))
    return bytes(content)


def go(places, out, *, cameras=None, **settings):
    reader = RedSquareReader()
    found = find_photos(places if isinstance(places, list) else [places], out=out)
    work = Work(
        found.photos, found.others, PrepareSettings(size=32, **settings), cameras, "prepare"
    )
    summary = prepare(work, out, lambda: reader)
    return summary, reader.read_photos


def crops(out):
    return sorted(
        p.relative_to(out).as_posix() for p in out.rglob("*.png") if ".prepare" not in p.parts
    )


def refused(out):
    with (out / "refused.csv").open(newline="") as file:
        return {row["photo"]: row["kind"] for row in csv.DictReader(file)}


def write_photos(folder: Path) -> Path:
    save(folder / "ann" / "1.png", red_photo(SQUARE))
    save(folder / "ann" / "2.jpg", red_photo(SQUARE), quality=95)
    save(folder / "bob.webp", red_photo((4, 4, 20), (50, 10, 40)), lossless=True)
    return folder
