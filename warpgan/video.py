"""Videos of frames ``[H, W, 3]`` uint8: H.264 in MP4, and GIF.

The same frames give the same bytes: one encoding thread, no dates inside. Files are written aside
and renamed.
"""

import io
import os
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

QUALITY = 16
"""H.264's constant rate factor; 0 is lossless, 18 is hard to tell from it."""
ENCODING = {"preset": "slow", "threads": "1", "flags": "+bitexact"}
PALETTE_FRAMES = 12
DITHER_LEVELS = 8.0


def write_mp4(path: str | Path, frames: Sequence[np.ndarray], *, fps: float) -> Path:
    """Write an MP4 that every browser plays: H.264, yuv420p.

    Args:
        path: ends in ``.mp4``; the folder is made if missing.
        frames: ``[H, W, 3]`` uint8 of one shape; odd sides are padded by a row or column.
        fps: frames a second.

    Raises:
        ValueError: another suffix, no frames, frames of several shapes, or no rate.
    """
    path = _checked(path, ".mp4", frames, fps)
    height, width = (side + side % 2 for side in frames[0].shape[:2])
    path.parent.mkdir(parents=True, exist_ok=True)
    # A real file: moving the index to the front reads back what was written.
    aside = _aside(path)
    options = {"movflags": "+faststart", "fflags": "+bitexact"}
    try:
        with av.open(str(aside), "w", format="mp4", options=options) as container:
            video = container.add_stream(
                "libx264",
                rate=Fraction(fps).limit_denominator(1001),
                options={
                    "crf": str(QUALITY),
                    "preset": "slow",
                    "threads": "1",
                    "flags": "+bitexact",
                },
            )
            video.width, video.height, video.pix_fmt = width, height, "yuv420p"
            for frame in frames:
                padding = ((0, height - frame.shape[0]), (0, width - frame.shape[1]), (0, 0))
                padded = np.ascontiguousarray(np.pad(frame, padding, mode="edge"))
                container.mux(video.encode(av.VideoFrame.from_ndarray(padded, format="rgb24")))
            container.mux(video.encode(None))
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
    return path


def write_gif(path: str | Path, frames: Sequence[np.ndarray], *, fps: float) -> Path:
    """Write a GIF that repeats for ever.

    All frames share one palette, and the dither pattern stands still: neither flickers.

    Args:
        path: ends in ``.gif``; the folder is made if missing.
        frames: ``[H, W, 3]`` uint8 of one shape.
        fps: frames a second; GIF knows hundredths of a second only, at least two a frame.

    Raises:
        ValueError: another suffix, no frames, frames of several shapes, or no rate.
    """
    path = _checked(path, ".gif", frames, fps)
    every = max(1, len(frames) // PALETTE_FRAMES)
    palette = Image.fromarray(np.concatenate(frames[::every])).quantize(256, kmeans=2)
    pattern = (_bayer(*frames[0].shape[:2]) - 0.5)[..., None] * DITHER_LEVELS
    indexed = []
    for frame in frames:
        dithered = np.clip(np.rint(frame + pattern), 0, 255).astype(np.uint8)
        picture = Image.fromarray(dithered).quantize(palette=palette, dither=Image.Dither.NONE)
        indexed.append(picture)
    stream = io.BytesIO()
    indexed[0].save(
        stream,
        format="GIF",
        save_all=True,
        append_images=indexed[1:],
        duration=max(20, 10 * round(100 / fps)),
        loop=0,
        optimize=False,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = _aside(path)
    aside.write_bytes(stream.getvalue())
    aside.replace(path)
    return path


def _bayer(height: int, width: int) -> np.ndarray:
    """Ordered dither thresholds ``[height, width]`` in (0, 1): the 8 x 8 Bayer matrix, tiled."""
    matrix = np.zeros((1, 1))
    for _ in range(3):
        matrix = np.block([[4 * matrix, 4 * matrix + 2], [4 * matrix + 3, 4 * matrix + 1]])
    tiled = np.tile(matrix, (height // 8 + 1, width // 8 + 1))
    return (tiled[:height, :width] + 0.5) / 64


def _checked(path: str | Path, suffix: str, frames: Sequence[np.ndarray], fps: float) -> Path:
    path = Path(path)
    if path.suffix.lower() != suffix:
        raise ValueError(f"{path}: expected a name ending in {suffix}")
    if not frames:
        raise ValueError(f"{path}: a video needs at least one frame")
    shapes = sorted({frame.shape for frame in frames})
    if len(shapes) > 1 or len(shapes[0]) != 3 or shapes[0][2] != 3:
        raise ValueError(f"{path}: frames must be [H, W, 3] of one shape, got {shapes[:3]}")
    if not 0 < fps <= 240:
        raise ValueError(f"fps={fps:g} must be above 0 and at most 240 frames a second")
    return path


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.part")
