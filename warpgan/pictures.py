"""Pictures to look at: contact sheets with captions, depth in colour, PNG written safely.

Everything becomes ``[H, W, 3]`` uint8 first. Tensors are ``[3, H, W]`` in [-1, 1], arrays are
``[H, W, 3]`` uint8; batches are unstacked with ``images_of``.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

Picture = Tensor | np.ndarray

PAPER = (255, 255, 255)
INK = (32, 32, 32)
# Far to near. Lightness rises all the way, so that it also reads in grey.
DEPTH_COLOURS = np.array(
    [[20, 14, 54], [59, 40, 118], [52, 96, 141], [41, 146, 140], [124, 198, 95], [253, 241, 168]],
    np.float64,
)


def to_uint8(image: Picture) -> np.ndarray:
    """One image as ``[H, W, 3]`` uint8.

    Args:
        image: float tensor ``[3, H, W]`` in [-1, 1] (clamped), or uint8 array ``[H, W, 3]``.

    Raises:
        ValueError: for any other shape or type.
    """
    if isinstance(image, Tensor) and image.ndim == 3 and len(image) == 3:
        if image.is_floating_point():
            unit = (image.detach().float().cpu().clamp(-1, 1) + 1) * 127.5
            return unit.round().to(torch.uint8).permute(1, 2, 0).numpy()
    if isinstance(image, np.ndarray) and image.dtype == np.uint8:
        if image.ndim == 3 and image.shape[2] == 3:
            return image
    kind = getattr(image, "dtype", type(image).__name__)
    shape = tuple(getattr(image, "shape", ()))
    raise ValueError(
        f"expected a float tensor [3, H, W] in [-1, 1] or a uint8 array [H, W, 3], "
        f"got {kind} {shape}"
    )


def images_of(batch: Tensor) -> list[np.ndarray]:
    """Unstack ``[B, 3, H, W]`` in [-1, 1] into a list of ``[H, W, 3]`` uint8."""
    return [to_uint8(image) for image in batch]


def read_picture(path: Path) -> np.ndarray:
    """A picture that this package wrote, ``[H, W, 3]`` uint8."""
    with Image.open(path, formats=("PNG",)) as picture:
        return np.asarray(picture.convert("RGB"))


def enlarged(image: np.ndarray, zoom: int) -> np.ndarray:
    """``[H, W, 3]`` uint8 enlarged by a whole factor."""
    if zoom == 1:
        return image
    size = (image.shape[1] * zoom, image.shape[0] * zoom)
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))


def depth_picture(depth_z: Picture, *, near: float, far: float) -> np.ndarray:
    """Depth in colour, near is bright.

    Args:
        depth_z: ``[H, W]`` or ``[1, H, W]``.
        near: distance shown brightest; what is nearer looks the same.
        far: distance shown darkest.

    Returns:
        ``[H, W, 3]`` uint8. What is not finite is black.
    """
    if not near < far:
        raise ValueError(f"a depth picture needs near < far, got {near} and {far}")
    if isinstance(depth_z, Tensor):
        depth_z = depth_z.detach().float().cpu().numpy()
    depth = np.asarray(depth_z, np.float64)
    depth = depth[0] if depth.ndim == 3 else depth
    finite = np.isfinite(depth)
    nearness = np.clip((far - np.where(finite, depth, far)) / (far - near), 0, 1)
    knots = np.linspace(0, 1, len(DEPTH_COLOURS))
    colour = np.stack([np.interp(nearness, knots, c) for c in DEPTH_COLOURS.T], -1)
    return np.where(finite[..., None], colour.round(), 0).astype(np.uint8)


def contact_sheet(
    rows: Sequence[Sequence[Picture | None]],
    *,
    row_captions: Sequence[str] = (),
    column_captions: Sequence[str] = (),
    title: str = "",
    cell: int | None = None,
    gap: int = 2,
) -> np.ndarray:
    """Lay images out in rows with captions.

    Args:
        rows: images of any size, each scaled to fit a square cell; ``None`` leaves a cell empty.
            Rows may differ in length.
        row_captions: one a row, left of it; or none.
        column_captions: one a column, above it; or none.
        title: a line above everything.
        cell: side of a cell in pixels; the largest side among the images if not given.
        gap: pixels between cells.

    Returns:
        ``[H, W, 3]`` uint8.

    Raises:
        ValueError: without images, or if captions and rows or columns differ in number.
    """
    cells = [[None if image is None else to_uint8(image) for image in row] for row in rows]
    sides = [max(image.shape[:2]) for row in cells for image in row if image is not None]
    if not sides:
        raise ValueError("a contact sheet needs at least one image")
    columns = max(len(row) for row in cells)
    if row_captions and len(row_captions) != len(cells):
        raise ValueError(f"{len(row_captions)} row captions for {len(cells)} rows")
    if column_captions and len(column_captions) != columns:
        raise ValueError(f"{len(column_captions)} column captions for {columns} columns")
    cell = cell or max(sides)

    font = ImageFont.load_default(size=max(9, min(16, cell // 9)))
    line = sum(font.getmetrics()) + 4
    left = max((_text_width(caption, font) for caption in row_captions), default=-8) + 8
    heads = [_wrap(caption, font, cell) for caption in column_captions]
    top = line * bool(title) + line * max((len(lines) for lines in heads), default=0)
    width = left + columns * (cell + gap) - gap
    width = max(width, _text_width(title, font) + 4)
    sheet = Image.new("RGB", (width, top + len(cells) * (cell + gap) - gap), PAPER)
    draw = ImageDraw.Draw(sheet)
    if title:
        draw.text((2, 2), title, INK, font)
    for column, lines in enumerate(heads):
        x, y = left + column * (cell + gap), top - line * len(lines)
        for i, text in enumerate(lines):
            draw.text(
                (x + (cell - _text_width(text, font)) // 2, y + i * line + 2), text, INK, font
            )
    for row, images in enumerate(cells):
        y = top + row * (cell + gap)
        if row_captions:
            draw.text((4, y + (cell - line) // 2), row_captions[row], INK, font)
        for column, image in enumerate(images):
            if image is not None:
                sheet.paste(_fit(image, cell), (left + column * (cell + gap), y))
    return np.asarray(sheet)


def write_png(path: str | Path, image: Picture) -> Path:
    """Write one image as PNG, beside the target first and then renamed: never half a file.

    Args:
        path: the folder is made if missing.
        image: as in ``to_uint8``.
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise ValueError(f"pictures are written as PNG, name the file *.png, not {path}")
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    Image.fromarray(to_uint8(image)).save(aside, format="PNG")
    aside.replace(path)
    return path


def _fit(image: np.ndarray, cell: int) -> Image.Image:
    """Scale to the cell, centred: whole multiples stay sharp-edged, the rest is Lanczos."""
    height, width = image.shape[:2]
    scale = cell / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    picture = Image.fromarray(image)
    if size != (width, height):
        whole = scale >= 1 and float(scale).is_integer()
        picture = picture.resize(
            size, Image.Resampling.NEAREST if whole else Image.Resampling.LANCZOS
        )
    if size == (cell, cell):
        return picture
    square = Image.new("RGB", (cell, cell), PAPER)
    square.paste(picture, ((cell - size[0]) // 2, (cell - size[1]) // 2))
    return square


def _text_width(text: str, font: ImageFont.FreeTypeFont) -> int:
    return int(np.ceil(font.getlength(text)))


def _wrap(text: str, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """Break at spaces so that lines fit; a single word that is too long stays whole."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and _text_width(longer, font) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
