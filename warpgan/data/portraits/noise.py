"""Tiling noise fields of the embedded world, made once at import from fixed seeds.

`VOLUME` is sampled with world coordinates (period 1 in each axis after the caller's scaling),
`STRANDS` with (across, along) coordinates of hair, both of period 1. Values have zero mean and
unit variance.
"""

import math

import numba
import numpy as np

JIT = {"cache": True, "nogil": True, "error_model": "numpy"}
"""Compilation options of the whole renderer: no fast maths, so that bytes do not depend on it."""


def _volume(size: int, frequency: float, seed: int) -> np.ndarray:
    """Band-limited noise [size, size, size] float32 about `frequency` cycles per period."""
    rng = np.random.default_rng(seed)
    f = np.fft.fftfreq(size) * size
    radius = np.sqrt(f[:, None, None] ** 2 + f[None, :, None] ** 2 + f[None, None, :] ** 2)
    band = np.exp(-0.5 * (np.log((radius + 1e-3) / frequency) / 0.45) ** 2)
    field = np.fft.ifftn(np.fft.fftn(rng.normal(size=(size,) * 3)) * band).real
    return (field / field.std()).astype(np.float32)


def _strands(rows: int, columns: int, seed: int) -> np.ndarray:
    """Streaks [rows, columns] float32: long along the rows' axis, fine across, two scales."""
    rng = np.random.default_rng(seed)
    along = np.fft.fftfreq(rows)[:, None] * rows
    across = np.fft.fftfreq(columns)[None] * columns
    total = np.zeros((rows, columns))
    for weight, fine, long in ((0.75, 70.0, 2.0), (0.65, 22.0, 1.5)):
        distance = np.hypot(across / fine, along / long)
        band = np.exp(-0.5 * (np.log(distance + 1e-3) / 0.5) ** 2)
        field = np.fft.ifft2(np.fft.fft2(rng.normal(size=(rows, columns))) * band).real
        total += weight * field / field.std()
    return (total / total.std()).astype(np.float32)


VOLUME = np.stack([_volume(48, 3.0, 1), _volume(48, 11.0, 2)], -1)
"""[48, 48, 48, 2]: a low and a middle frequency."""

STRANDS = _strands(64, 512, 3)
"""[64, 512] (along, across)."""


@numba.njit(**JIT)
def smoothstep(low: float, high: float, x: float) -> float:
    """Cubic step: 0 at `low`, 1 at `high` (which may be the smaller one)."""
    t = (x - low) / (high - low)
    if t < 0.0:
        t = 0.0
    if t > 1.0:
        t = 1.0
    return t * t * (3.0 - 2.0 * t)


@numba.njit(**JIT)
def volume_noise(volume: np.ndarray, channel: int, x: float, y: float, z: float) -> float:
    """Trilinear sample of one channel of `VOLUME` (period 1)."""
    n = volume.shape[0]
    x, y, z = x * n, y * n, z * n
    xi, yi, zi = int(math.floor(x)), int(math.floor(y)), int(math.floor(z))
    fx, fy, fz = x - xi, y - yi, z - zi
    total = 0.0
    for i in range(2):
        wx = fx if i else 1.0 - fx
        for j in range(2):
            wy = fy if j else 1.0 - fy
            for k in range(2):
                wz = fz if k else 1.0 - fz
                total += volume[(xi + i) % n, (yi + j) % n, (zi + k) % n, channel] * wx * wy * wz
    return total


@numba.njit(**JIT)
def strand_noise(strands: np.ndarray, across: float, along: float) -> float:
    """Bilinear sample of `STRANDS` (period 1 in both)."""
    rows, columns = strands.shape
    x, y = across * columns, along * rows
    xi, yi = int(math.floor(x)), int(math.floor(y))
    fx, fy = x - xi, y - yi
    a, b = strands[yi % rows, xi % columns], strands[yi % rows, (xi + 1) % columns]
    c, d = strands[(yi + 1) % rows, xi % columns], strands[(yi + 1) % rows, (xi + 1) % columns]
    return (a * (1.0 - fx) + b * fx) * (1.0 - fy) + (c * (1.0 - fx) + d * fx) * fy
