"""How one sample of views is stored: images as WebP, ray lengths as 16-bit steps, codes as halves.

A sample is a few named members of a tar shard:

* ``json``: kind, name, and for a photo the sha-256 of its file (the photo itself is not copied);
* ``arrays.safetensors``: ``ws`` [L, C] float16, ``cameras`` [V, 25] float32, ``ray_range`` [2]
  float64 (near and far), and one compressed ray-length map ``ray_length_N`` a camera;
* ``NAME.webp``: one image each, at `LEAST_PSNR` or more.

float16 codes err by at most 2^-11 of their value, .0025 at the largest codes seen (|w| < 10): 1e-6
in the latent loss. Ray lengths are quantised to 65535 steps between near and far, half a step of
error (8e-6 of EG3D's 1.05 units); what is lossless after that is the compression: the mixed second
difference of the steps, split into high and low bytes, deflated. Surfaces are nearly flat from
pixel to pixel, so this takes half the bytes of a 16-bit PNG.
"""

import io
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import safetensors.numpy
import torch
from PIL import Image
from safetensors import SafetensorError
from torch import Tensor

from warpgan.data.images import decode_image

LEAST_PSNR = 42.0
STEPS = 65535
ARRAYS = "arrays.safetensors"
DESCRIPTION = "json"
_FIRST_QUALITY = 90
_WEBP_METHOD = 4
# Of WebP near 42 dB: a step of quality is about .3 dB; a smaller surplus is not worth another try.
_PSNR_PER_QUALITY = 0.3
_WASTED_PSNR = 0.8


@dataclass(frozen=True)
class StoredImage:
    """An encoded image.

    Attributes:
        content: A WebP file.
        quality: Its quality setting, 101 for lossless.
        psnr: Of the decoded file against the image, in dB.
    """

    content: bytes
    quality: int
    psnr: float


@dataclass(frozen=True)
class Arrays:
    """The numbers of a sample.

    Attributes:
        ws: [L, C] float32.
        cameras: [V, 25] float32.
        ray_lengths: [V, 1, R, R] float32, or fewer where only some were asked for.
    """

    ws: Tensor
    cameras: Tensor
    ray_lengths: Tensor


def encode_image(image: Tensor, *, quality: int = _FIRST_QUALITY) -> StoredImage:
    """Compress an image to `LEAST_PSNR` or a little more.

    The first try has the quality given. One that is not good enough is raised until it is, at last
    lossless; one that is far too good is lowered once.

    Args:
        image: [3, H, W] in [0, 1].
        quality: Where to begin, 1 to 100; that of a similar image saves tries.
    """
    exact = image.detach().float().cpu().permute(1, 2, 0).numpy()
    picture = Image.fromarray((exact * 255).round().astype(np.uint8))
    kept = _try_quality(picture, exact, quality)
    if kept.psnr > LEAST_PSNR + _WASTED_PSNR:
        surplus = kept.psnr - LEAST_PSNR - 0.3
        lower = _try_quality(picture, exact, max(1, quality - int(surplus / _PSNR_PER_QUALITY)))
        return lower if lower.psnr >= LEAST_PSNR else kept
    while kept.psnr < LEAST_PSNR and kept.quality < 100:
        missing = LEAST_PSNR + 0.1 - kept.psnr
        raised = min(100, kept.quality + max(1, round(missing / _PSNR_PER_QUALITY)))
        kept = _try_quality(picture, exact, raised)
    if kept.psnr < LEAST_PSNR:
        kept = _try_quality(picture, exact, 101)
    return kept


def _try_quality(picture: Image.Image, exact: np.ndarray, quality: int) -> StoredImage:
    stream = io.BytesIO()
    if quality > 100:
        picture.save(stream, "WEBP", lossless=True, method=_WEBP_METHOD)
    else:
        picture.save(stream, "WEBP", quality=quality, method=_WEBP_METHOD)
    content = stream.getvalue()
    decoded = decode_image(content, "an image just encoded").astype(np.float32) / 255
    error = float(np.square(decoded - exact).mean(dtype=np.float64))
    return StoredImage(content, quality, -10 * float(np.log10(max(error, 1e-12))))


def load_image(content: bytes, name: str) -> Tensor:
    """Decode a stored image to [3, H, W] float32 in [0, 1].

    Raises:
        ValueError: Damaged; ``name`` is in the message.
    """
    pixels = torch.from_numpy(decode_image(content, name).copy())
    return (pixels.permute(2, 0, 1).float() / 255).contiguous()


def encode_ray_length(ray_length: np.ndarray, *, near: float, far: float) -> bytes:
    """Compress a ray-length map [R, R] whose values lie in [near, far]."""
    unit = (ray_length.astype(np.float64) - near) / (far - near)
    steps = np.pad((unit * STEPS).round().astype(np.int32), ((1, 0), (1, 0)))
    change = np.diff(np.diff(steps, axis=0), axis=1).astype(np.int16).astype(np.int32)
    # Signs go to the lowest bit, so that small changes of either sign have a high byte of 0.
    folded = ((change << 1) ^ (change >> 31)).astype(np.uint16)
    planes = np.stack([folded >> 8, folded & 255]).astype(np.uint8)
    packer = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS, 9, zlib.Z_FILTERED)
    return packer.compress(planes.tobytes()) + packer.flush()


def decode_ray_length(content: bytes, *, near: float, far: float) -> np.ndarray:
    """Invert `encode_ray_length`: [R, R] float32.

    Raises:
        ValueError: Damaged.
    """
    try:
        planes = np.frombuffer(zlib.decompress(content), np.uint8)
    except zlib.error as error:
        raise ValueError(f"ray lengths are damaged ({error})") from error
    side = round((planes.size / 2) ** 0.5)
    if 2 * side * side != planes.size:
        raise ValueError(f"ray lengths are damaged ({planes.size} bytes are no square map)")
    high, low = planes.reshape(2, side, side).astype(np.uint16)
    folded = (high << 8) | low
    change = (folded >> 1) ^ (0 - (folded & 1)).astype(np.uint16)
    # Sums wrap round at 2^16, as the differences did.
    steps = change.cumsum(axis=0, dtype=np.uint16).cumsum(axis=1, dtype=np.uint16)
    return (near + steps.astype(np.float64) * ((far - near) / STEPS)).astype(np.float32)


def encode_arrays(
    ws: Tensor, cameras: Tensor, *, ray_lengths: Tensor, near: float, far: float
) -> bytes:
    """Pack the numbers of a sample.

    Args:
        ws: [L, C].
        cameras: [V, 25].
        ray_lengths: [V, 1, R, R]; a sample that leaves [near, far] gets a wider range of its own.
        near: Least ray length to expect.
        far: Largest ray length to expect.

    Raises:
        ValueError: A number is not finite, or a code too large for float16.
    """
    lengths = ray_lengths.detach().float().cpu().numpy()[:, 0]
    codes = ws.detach().cpu().to(torch.float16).numpy()
    for name, values in (("ray lengths", lengths), ("codes (as float16)", codes)):
        if not np.isfinite(values).all():
            raise ValueError(f"{name} are not all finite numbers; is the generator damaged?")
    near, far = min(near, float(lengths.min())), max(far, float(lengths.max()))
    packed = {
        "ws": codes,
        "cameras": cameras.detach().float().cpu().contiguous().numpy(),
        "ray_range": np.array([near, far], np.float64),
    }
    for view, length in enumerate(lengths):
        content = encode_ray_length(length, near=near, far=far)
        packed[f"ray_length_{view}"] = np.frombuffer(content, np.uint8)
    return safetensors.numpy.save(packed)


def decode_arrays(content: bytes, *, views: tuple[int, ...]) -> Arrays:
    """Unpack the numbers of a sample; of the ray lengths, those of ``views``.

    Raises:
        ValueError: Damaged.
    """
    try:
        packed = safetensors.numpy.load(content)
        near, far = packed["ray_range"].tolist()
        lengths = [
            decode_ray_length(packed[f"ray_length_{view}"].tobytes(), near=near, far=far)
            for view in views
        ]
        ws, cameras = packed["ws"], packed["cameras"]
    except (SafetensorError, KeyError) as error:
        raise ValueError(f"numbers are damaged ({error})") from error
    return Arrays(
        ws=torch.from_numpy(ws.astype(np.float32)),
        cameras=torch.from_numpy(cameras.copy()),
        ray_lengths=torch.from_numpy(np.stack(lengths)).unsqueeze(1),
    )


def encode_description(description: Mapping[str, str]) -> bytes:
    """The ``json`` member."""
    return json.dumps(dict(description), sort_keys=True).encode()


def decode_description(content: bytes) -> dict[str, str]:
    """Read a ``json`` member.

    Raises:
        ValueError: Damaged.
    """
    description = json.loads(content)
    if not isinstance(description, dict):
        raise ValueError("description is no JSON object")
    return description
