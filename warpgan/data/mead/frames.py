"""Frames of a clip by number: decoded one after the other, the same pixels on every machine.

One decoding thread; colours are converted without the shortcuts that differ between processors.
Only MP4 is opened, through a file that is open already: a clip cannot name other files.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import Interpolation

from warpgan.data.images import MAX_PIXELS, decode_image
from warpgan.weights import sha256_of

_CONVERSION = (
    Interpolation.BICUBIC
    | Interpolation.BITEXACT
    | Interpolation.ACCURATE_RND
    | Interpolation.FULL_CHR_H_INT
)


class ClipError(ValueError):
    """A clip or picture that cannot be read; the message says why, without the file's name."""


@dataclass(frozen=True)
class Clip:
    """What a file holds.

    Attributes:
        sha256: of its bytes.
        frames: how many can be decoded, from the first on without a gap; 1 for a picture.
        width, height: in pixels.
        damage: what ended the decoding early; empty if nothing did.
    """

    sha256: str
    frames: int
    width: int
    height: int
    damage: str = ""


def examine(path: Path, *, layout: str) -> Clip:
    """Decode a file once, frame by frame.

    Raises:
        ClipError: nothing of it can be decoded.
    """
    if layout == "frames":
        height, width = _read_picture(path).shape[:2]
        return Clip(sha256_of(path), 1, width, height)
    frames, width, height, damage = 0, 0, 0, ""
    with _opened(path) as decoded:
        try:
            for frame in decoded:
                if frame.is_corrupt:
                    damage = f"frame {frames} is damaged"
                    break
                if frames and (frame.width, frame.height) != (width, height):
                    damage = f"frame {frames} has another size"
                    break
                width, height = frame.width, frame.height
                frames += 1
        except (av.FFmpegError, OSError) as error:
            damage = f"frame {frames} cannot be decoded: {error.strerror}"
    if not frames:
        raise ClipError(damage or "no frame in it")
    return Clip(sha256_of(path), frames, width, height, damage)


def read_frame(path: Path, number: int, *, layout: str) -> np.ndarray:
    """Frame ``number`` (from 0) of a file, RGB ``[H, W, 3]`` uint8.

    Raises:
        ClipError: it cannot be decoded that far.
    """
    if layout == "frames":
        return _read_picture(path)
    with _opened(path) as decoded:
        try:
            for place, frame in enumerate(decoded):
                if place == number:
                    rgb = frame.reformat(format="rgb24", interpolation=_CONVERSION, threads=1)
                    return rgb.to_ndarray()
        except (av.FFmpegError, OSError) as error:
            raise ClipError(error.strerror) from error
    raise ClipError(f"no frame {number}")


def pixels_sha256(image: np.ndarray) -> str:
    """Sha256 of the line ``HEIGHT WIDTH`` and the pixels of an RGB image ``[H, W, 3]`` uint8.

    Files of the same pixels differ between versions of a PNG library; this does not.
    """
    digest = hashlib.sha256(f"{image.shape[0]} {image.shape[1]}\n".encode())
    digest.update(np.ascontiguousarray(image).tobytes())
    return digest.hexdigest()


@contextmanager
def _opened(path: Path) -> Iterator[Iterator[av.VideoFrame]]:
    with path.open("rb") as stream:
        try:
            container = av.open(stream, "r", format="mp4")
        except (av.FFmpegError, OSError) as error:
            raise ClipError(f"no readable MP4 ({error.strerror})") from error
        with container:
            if not container.streams.video:
                raise ClipError("no video in it")
            video = container.streams.video[0]
            video.thread_type = "NONE"
            _check_size(video.codec_context.width, video.codec_context.height)
            # Damage ends the decoding; hidden by a guess it would pass for a frame. The stream
            # itself may claim another size than the file: the decoder refuses a large one.
            video.codec_context.options = {"err_detect": "explode", "max_pixels": str(MAX_PIXELS)}
            yield container.decode(video)


def _check_size(width: int, height: int) -> None:
    """Refuse a size before anything of it is decoded."""
    if width * height > MAX_PIXELS:
        raise ClipError(f"{width} x {height} pixels, more than {MAX_PIXELS}")


def _read_picture(path: Path) -> np.ndarray:
    try:
        return decode_image(path.read_bytes(), path.name)
    except (ValueError, OSError) as error:
        raise ClipError(str(error)) from error
