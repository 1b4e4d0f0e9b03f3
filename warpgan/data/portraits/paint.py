"""Colour of one point of skin, eye, hair, cloth or backdrop, before light (numba).

Points are in rest coordinates, so features sit where the mean head has them: pupils at
(+-.078, .073), nose tip at y -.011, the mouth's line at y -.095, the chin at y -.18.
"""

import math

import numba
import numpy as np

from warpgan.data.portraits.appearance import Backdrop, Brow, Cloth, Colour, HairLook, Skin
from warpgan.data.portraits.detail import Freckles, Pattern
from warpgan.data.portraits.noise import JIT, smoothstep, strand_noise, volume_noise

Painted = tuple[float, float, float, float]
"""Red, green, blue, gloss."""


@numba.njit(**JIT)
def mix3(r: float, g: float, b: float, colour: Colour, t: float) -> Colour:
    """Blend (r, g, b) towards a colour by t."""
    return (
        r + (colour[0] - r) * t,
        g + (colour[1] - g) * t,
        b + (colour[2] - b) * t,
    )


@numba.njit(**JIT)
def segment_distance(x: float, y: float, ax: float, ay: float, bx: float, by: float) -> float:
    """Distance of (x, y) from the segment a-b."""
    dx, dy = bx - ax, by - ay
    t = ((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy)
    t = min(1.0, max(0.0, t))
    return math.hypot(x - ax - t * dx, y - ay - t * dy)


@numba.njit(**JIT)
def neckline_coverage(cloth: Cloth, x: float, y: float, z: float) -> float:
    """How much a body point is clothed, 0..1."""
    front = smoothstep(-0.06, 0.02, z)
    line = cloth.neckline - cloth.plunge * front * math.exp(-((x / 0.11) ** 2))
    line += 0.012 * (1.0 - front)
    return 1.0 - smoothstep(line - 0.004, line + 0.004, y)


@numba.njit(**JIT)
def clothed_vertices(cloth: Cloth, points: np.ndarray) -> np.ndarray:
    """`neckline_coverage` of rest points [V, 3], as [V]."""
    out = np.empty(points.shape[0])
    for i in range(points.shape[0]):
        out[i] = neckline_coverage(cloth, points[i, 0], points[i, 1], points[i, 2])
    return out


@numba.njit(**JIT)
def cloth_colour(
    cloth: Cloth, pattern: Pattern, volume: np.ndarray, x: float, y: float, z: float
) -> Colour:
    """Cloth with weave and an optional pattern (detail)."""
    r, g, b = cloth.colour
    if pattern.kind > 0:
        u, v = x * pattern.scale, (y - 0.4 * z) * pattern.scale
        c, s = math.cos(pattern.turn), math.sin(pattern.turn)
        u, v = c * u + s * v, c * v - s * u
        if pattern.kind == 1:
            k = smoothstep(-0.25, 0.25, math.sin(u))
        elif pattern.kind == 2:
            k = smoothstep(-0.15, 0.15, math.sin(u) * math.sin(v))
        else:
            k = smoothstep(0.55, 0.35, math.hypot(math.sin(0.5 * u), math.sin(0.5 * v)))
        r, g, b = mix3(r, g, b, pattern.colour, k * pattern.amount)
    t = 1.0 + 0.05 * volume_noise(volume, 1, x * 3.0, y * 3.0, z * 3.0)
    return r * t, g * t, b * t


@numba.njit(**JIT)
def backdrop_colour(
    backdrop: Backdrop, pattern: Pattern, volume: np.ndarray, x: float, y: float, z: float
) -> Colour:
    """Colour at a unit direction from the backdrop's centre."""
    shade = backdrop.tilt_x * x + backdrop.tilt_y * y
    r, g, b = backdrop.colour
    r, g, b = r + shade, g + shade, b + shade
    if pattern.kind > 0:
        u = math.atan2(x, -z) * pattern.scale
        v = math.asin(max(-1.0, min(1.0, y))) * pattern.scale
        c, s = math.cos(pattern.turn), math.sin(pattern.turn)
        u, v = c * u + s * v, c * v - s * u
        if pattern.kind == 1:
            k = smoothstep(-0.25, 0.25, math.sin(u))
        elif pattern.kind == 2:
            k = smoothstep(-0.15, 0.15, math.sin(0.8 * u) * math.sin(0.8 * v))
        else:
            t = 0.02 * pattern.scale
            k = smoothstep(0.1, 1.0, volume_noise(volume, 0, x * t + pattern.turn, y * t, z * t))
        r, g, b = mix3(r, g, b, pattern.colour, k * pattern.amount)
    return r, g, b


@numba.njit(**JIT)
def brow_amount(brow: Brow, strands: np.ndarray, ax: float, y: float, z: float) -> float:
    """Density 0..1 of the eyebrow at |x|, y, z."""
    if z < 0.06 or y < 0.07 or y > 0.18:
        return 0.0
    along = (ax - 0.026) / 0.104
    if along < -0.2 or along > 1.2:
        return 0.0
    t = min(1.0, max(0.0, along))
    curve = brow.height + brow.arch * math.sin(2.7 * t**0.85) - 0.010 * t * t
    thick = brow.thickness * (1.0 - 0.62 * t * t)
    hairs = strand_noise(strands, ax * 2.2 - y * 1.6, y * 3.0)
    edge = abs(y - curve) / thick + 0.16 * hairs
    body = 1.0 - smoothstep(0.45, 1.25, edge)
    return body * smoothstep(-0.10, 0.16, along) * (1.0 - smoothstep(0.86, 1.12, along))


@numba.njit(**JIT)
def beard_amount(strands: np.ndarray, ax: float, x: float, y: float, z: float, lip: float) -> float:
    """Where beard and moustache grow, 0..1."""
    if z < 0.0 or y > -0.02 or y < -0.29:
        return 0.0
    cheek = -0.035 - 0.060 * (1.0 - smoothstep(0.06, 0.17, ax))
    jaw = (1.0 - smoothstep(cheek - 0.030, cheek + 0.018, y)) * smoothstep(-0.255, -0.205, y)
    jaw *= smoothstep(0.030, 0.056, math.hypot(ax / 1.30, y + 0.102))
    chin = math.exp(-(((y + 0.150) / 0.022) ** 2) - (ax / 0.045) ** 2)
    lip_hair = math.exp(-(((y + 0.060) / 0.0165) ** 2)) * (1.0 - smoothstep(0.050, 0.090, ax))
    hairs = strand_noise(strands, x * 2.5 + 0.3 * y, y * 4.5 + z)
    amount = max(max(jaw, lip_hair), chin) * (1.0 - lip)
    return amount * (0.95 + 0.07 * hairs)


@numba.njit(**JIT)
def skin_colour(
    skin: Skin,
    brow: Brow,
    volume: np.ndarray,
    strands: np.ndarray,
    marks: np.ndarray,
    freckles: Freckles,
    x: float,
    y: float,
    z: float,
    lip: float,
    lid: float,
    ear: float,
    inner: float,
) -> Painted:
    """Skin with everything drawn on it; returns r, g, b and a gloss factor."""
    ax = abs(x)
    low = volume_noise(volume, 0, x * 1.1 + 0.1, y * 1.1 + 0.2, z * 1.1)
    middle = volume_noise(volume, 1, x * 1.4, y * 1.4, z * 1.4)
    pores = volume_noise(volume, 1, x * 5.0, y * 5.0, z * 5.0)
    r, g, b = skin.base
    face = smoothstep(0.02, 0.10, z)
    cheek = math.exp(-((ax - 0.115) ** 2) / 0.0034 - (y + 0.025) ** 2 / 0.0026) * face
    nose = math.exp(-(ax**2) / 0.0012 - (y + 0.010) ** 2 / 0.0016) * smoothstep(0.19, 0.24, z)
    red = skin.redness * (0.55 * cheek + 0.45 * nose + 0.40 * ear) + 0.25 * skin.mottle * low
    red = max(-0.25, red)
    r *= 1.0 + 0.05 * red
    g *= 1.0 - 0.13 * red
    b *= 1.0 - 0.12 * red
    mottle = 1.0 + skin.mottle * (0.030 * low + 0.022 * middle + 0.022 * pores)
    r, g, b = r * mottle, g * mottle, b * mottle

    socket = math.exp(-((ax - 0.076) ** 2) / 0.0026 - (y - 0.070) ** 2 / 0.0013) * face
    bag = math.exp(-((ax - 0.074) ** 2) / 0.0014 - (y - 0.036) ** 2 / 0.00022) * face
    dim = 0.13 * socket + (0.05 + 0.16 * skin.age) * bag
    r, g, b = r * (1.0 - 0.8 * dim), g * (1.0 - 1.1 * dim), b * (1.0 - dim)
    if skin.age > 0.0 and z > 0.05:
        fold = segment_distance(ax, y, 0.044, -0.020, 0.082, -0.092)
        lines = math.exp(-((fold / 0.005) ** 2)) * 0.9
        wave = 0.004 * math.sin(ax * 18.0 + low)
        for row in range(3):
            gap = (y - 0.165 - 0.024 * row - wave) / 0.0028
            lines += 0.55 * math.exp(-gap * gap) * (1.0 - smoothstep(0.06, 0.11, ax))
        if ax > 0.112:
            fan = math.sin(math.atan2(y - 0.070, ax - 0.100) * 14.0)
            far = math.hypot(ax - 0.128, y - 0.070)
            lines += 0.6 * smoothstep(0.5, 1.0, fan) * (1.0 - smoothstep(0.008, 0.024, far))
        k = 1.0 - 0.17 * skin.age * min(1.0, lines)
        r, g, b = r * (0.35 + 0.65 * k), g * k, b * k

    t = lid * skin.lid_amount
    r, g, b = mix3(r, g, b, skin.lid, t)
    if z > 0.10:
        ex, ey = (ax - 0.0785) / 0.0405, (y - 0.0715) / 0.0185
        rim = math.exp(-(((math.hypot(ex, ey) - 1.0) / 0.17) ** 2))
        line = rim * skin.liner * (0.85 if y > 0.070 else 0.30)
        r, g, b = r * (1.0 - 0.75 * line), g * (1.0 - 0.80 * line), b * (1.0 - 0.78 * line)
    if lip > 0.0:
        r, g, b = mix3(r, g, b, skin.lip, lip)
        grain = 1.0 + 0.06 * strand_noise(strands, x * 1.3, y * 2.0) * lip
        slit = 1.0 - 0.42 * math.exp(-(((y + 0.0955) / 0.0035) ** 2)) * lip
        r, g, b = r * grain * slit, g * grain * slit, b * grain * slit
    if inner > 0.5:
        r, g, b = 0.36, 0.12, 0.11
    if skin.beard_amount > 0.0:
        grown = beard_amount(strands, ax, x, y, z, lip)
        t = min(1.0, grown * (0.25 + 0.75 * skin.beard_amount)) * min(1.0, 4 * skin.beard_amount)
        r, g, b = mix3(r, g, b, skin.beard, min(0.97, max(0.0, t)))
    t = brow_amount(brow, strands, ax, y, z) * brow.amount
    r, g, b = mix3(r, g, b, brow.colour, t)
    gloss = 1.0 - 0.9 * t
    for q in range(marks.shape[0]):
        dx, dy, dz = x - marks[q, 0], y - marks[q, 1], z - marks[q, 2]
        radius = marks[q, 3]
        square = dx * dx + dy * dy + dz * dz
        if square < 2.0 * radius * radius:
            t = (1.0 - smoothstep(0.55, 1.2, math.sqrt(square) / radius)) * marks[q, 7]
            r, g, b = mix3(r, g, b, (marks[q, 4], marks[q, 5], marks[q, 6]), t)
    if freckles.amount > 0.0 and z > 0.06:
        spot = volume_noise(
            volume, 1, x * 4.5 + freckles.shift, y * 4.5 + 0.7 * freckles.shift, z * 4.5
        )
        where = math.exp(-(((ax - 0.07) / 0.10) ** 2) - ((y + 0.005) / 0.075) ** 2)
        t = smoothstep(0.9, 1.5, spot) * where * freckles.amount * (1.0 - lip)
        r, g, b = r * (1.0 - 0.30 * t), g * (1.0 - 0.42 * t), b * (1.0 - 0.48 * t)
    return r, g, b, gloss * (1.0 + 1.4 * lip + 0.5 * nose)


@numba.njit(**JIT)
def eye_colour(iris: Colour, strands: np.ndarray, x: float, y: float, z: float) -> Painted:
    """Eyeball from the offset to its centre; returns r, g, b and gloss."""
    qx, qy = x / 0.0395, y / 0.0345
    radius = math.sqrt(qx * qx + qy * qy)
    white = 0.90 - 0.10 * smoothstep(0.45, 1.0, radius)
    r, g, b = white, white * 0.965, white * 0.94
    k = 1.0 - smoothstep(0.36, 0.42, radius)
    if z > 0.0 and k > 0.0:
        ring = 0.80 + 0.35 * smoothstep(0.14, 0.34, radius) - 0.55 * smoothstep(0.30, 0.40, radius)
        ring *= 1.0 + 0.12 * strand_noise(strands, math.atan2(qy, qx) * 0.159, 0.3)
        r, g, b = mix3(r, g, b, (iris[0] * ring, iris[1] * ring, iris[2] * ring), k)
        pupil = 1.0 - 0.94 * (1.0 - smoothstep(0.13, 0.18, radius))
        r, g, b = r * pupil, g * pupil, b * pupil
    lid_shadow = 1.0 - 0.42 * smoothstep(0.10, 0.42, qy)
    return r * lid_shadow, g * lid_shadow, b * lid_shadow, (0.8 if radius < 0.6 else 0.15)


@numba.njit(**JIT)
def hair_shade(
    look: HairLook, strands: np.ndarray, across: float, along: float
) -> tuple[float, float]:
    """Brightness of a strand (about 1) and the strand noise itself."""
    bend = 0.010 * look.curl * math.sin(along * 60.0 + 9.0 * math.sin(across * 19.0))
    frizz = 1.0 + 9.0 * look.curl**3
    fine = strand_noise(strands, across * 2.0 + bend, along * 0.35 * frizz)
    coarse = strand_noise(strands, across * 0.61 + bend + 0.13, along * 0.2 * frizz)
    return 0.86 + 0.13 * fine + 0.10 * coarse, fine
