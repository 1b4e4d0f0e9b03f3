"""Hair as strand-cut shells: a cap over the skull and, when long, a fall.

Both are regular (rows x columns) grids, columns round the head, rows along the strands, so
`rest` of hair holds (across, along, 0). Where hair ends is a smooth number per vertex, `cut`,
compared with strand noise per pixel: hairlines and ends fray instead of showing triangles.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from warpgan.data.portraits.appearance import HairCut
from warpgan.data.portraits.head import (
    SCALP_CENTRE,
    SCALP_COLUMNS,
    SCALP_ROWS,
    head_asset,
    polar,
)
from warpgan.data.portraits.noise import STRANDS, VOLUME
from warpgan.data.portraits.raster import HAIR, Mesh, vertex_normals

FALL_ROWS = 24
_CAP_ROWS = 8  # rows of the fall that still lie on the cap
_CAP_SHARE = np.linspace(0.45, 1.0, _CAP_ROWS)  # where, from the whorl to the widest row
_COLUMN_AZIMUTH = np.radians(np.linspace(-180, 180, SCALP_COLUMNS))
_COLUMN_OUT = np.stack(
    [np.sin(_COLUMN_AZIMUTH), np.zeros(SCALP_COLUMNS), np.cos(_COLUMN_AZIMUTH)], 1
)
# Elevation in degrees of the hairline at azimuths in degrees, and how much of `raise_deg` and
# `recession_deg` it takes there.
_AZIMUTHS = (0, 25, 42, 52, 60, 70, 78, 86, 94, 106, 130, 180)
_HAIRLINE = (36, 37, 34, 24, 10, -3, -14, -12, 3, -5, -26, -40)
_LIFT = (1, 1, 1, 0.9, 0.6, 0.3, 0, 0, 0, 0, 0, 0.3)
_TEMPLES = (0.4, 1.0, 1.5, 1.4, 0.9, 0.3, 0, 0, 0, 0, 0, 0)


def grid_faces(rows: int, columns: int) -> np.ndarray:
    """Triangles [F, 3] int32 of a grid of vertices in row-major order."""
    i, j = np.meshgrid(np.arange(rows - 1), np.arange(columns - 1), indexing="ij")
    a = (i * columns + j).ravel()
    lower = np.stack([a, a + columns, a + 1], 1)
    upper = np.stack([a + 1, a + columns, a + columns + 1], 1)
    return np.concatenate([lower, upper]).astype(np.int32)


def _smooth(low: float, high: float, x: np.ndarray) -> np.ndarray:
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def hair_distance(rest: np.ndarray, cut: HairCut) -> np.ndarray:
    """Signed distance [N] (radians of elevation) of rest points above the hairline."""
    azimuth, elevation = polar(rest)
    angle = np.degrees(np.abs(azimuth))
    lift, temples = np.array(_LIFT) * cut.raise_deg, np.array(_TEMPLES) * cut.recession_deg
    line = np.interp(angle, _AZIMUTHS, np.array(_HAIRLINE) + lift + temples)
    side = np.degrees(azimuth) - 12 * cut.sweep
    fringe_line = 12 + 0.006 * (side + 22 * cut.sweep) ** 2 * (0.4 + abs(cut.sweep))
    window = cut.fringe * (1 - _smooth(38, 62, np.abs(side)))
    line = line * (1 - window) + np.minimum(line, fringe_line) * window
    distance = elevation - np.radians(line)
    crown = _smooth(40, 75, np.degrees(elevation)) * (1 - _smooth(95, 150, angle) * 0.6)
    return distance - cut.bald * crown * 1.2


@dataclass(frozen=True)
class _Scalp:
    """Static fields [R * C] of the scalp grid.

    Attributes:
        azimuth, elevation: radians about the skull's centre.
        across, along: strand coordinates in [0, 1].
        outward: [R * C, 3] unit directions from the skull's centre.
        lumps: [R * C, 2] low and middle noise.
        locks: strand noise, smoothed across: locks of hair.
        faces: [F, 3].
    """

    azimuth: np.ndarray
    elevation: np.ndarray
    across: np.ndarray
    along: np.ndarray
    outward: np.ndarray
    lumps: np.ndarray
    locks: np.ndarray
    faces: np.ndarray


@cache
def _scalp() -> _Scalp:
    rest = head_asset().scalp_rest
    azimuth, elevation = polar(rest)
    shape = (SCALP_ROWS, SCALP_COLUMNS)
    column = np.arange(SCALP_COLUMNS) / (SCALP_COLUMNS - 1)
    row = np.arange(SCALP_ROWS) / (SCALP_ROWS - 1)
    across = np.broadcast_to(column[None], shape).ravel()
    along = np.broadcast_to(row[:, None], shape).ravel()
    outward = rest - SCALP_CENTRE
    n = VOLUME.shape[0]
    cell = np.floor(rest * n * 0.9).astype(int) % n
    lock = STRANDS[(along * 12).astype(int) % 64, (across * 512).astype(int) % 512].reshape(shape)
    lock[:, -1] = lock[:, 0]
    return _Scalp(
        azimuth=azimuth,
        elevation=elevation,
        across=across,
        along=along,
        outward=outward / np.linalg.norm(outward, axis=1, keepdims=True),
        lumps=VOLUME[cell[:, 0], cell[:, 1], cell[:, 2]],
        locks=(0.25 * np.roll(lock, 1, 1) + 0.5 * lock + 0.25 * np.roll(lock, -1, 1)).ravel(),
        faces=grid_faces(*shape),
    )


def _grid_mesh(
    points: np.ndarray,
    faces: np.ndarray,
    across: np.ndarray,
    along: np.ndarray,
    occlusion: np.ndarray,
    cut: np.ndarray,
    outward: np.ndarray,
) -> Mesh:
    """Hair over grid points [N, 3], without the faces that are cut away anyway."""
    normals = vertex_normals(points, faces)
    normals *= np.sign((normals * outward).sum(1, keepdims=True) + 1e-9)
    normals = 0.75 * normals + 0.25 * outward
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    near = cut[faces].max(1) > -0.15
    faces = faces[near]
    return Mesh(
        vertices=points,
        normals=normals,
        rest=np.stack([across, along, np.zeros(len(points))], 1),
        occlusion=occlusion,
        cut=cut,
        faces=faces,
        kinds=np.full(len(faces), HAIR, np.int32),
    )


def build_hair(vertices: np.ndarray, cut: HairCut) -> list[Mesh]:
    """Hair meshes of a head.

    Args:
        vertices: [V, 3] framed head vertices.
        cut: shape of the hair.
    """
    asset, scalp = head_asset(), _scalp()
    moved = vertices - asset.mean
    skin = asset.scalp_rest + (moved[asset.scalp_ids] * asset.scalp_weights[..., None]).sum(1)
    distance = hair_distance(asset.scalp_rest, cut)
    rise = _smooth(0.0, 0.5, distance)
    in_front = _smooth(70, 30, np.degrees(np.abs(scalp.azimuth)))
    thickness = _thickness(distance, rise, in_front, cut)
    cap = skin + scalp.outward * thickness[:, None]
    depth = np.clip(0.72 + 0.28 * rise + 0.06 * scalp.locks, 0.45, 1.0)
    frayed = distance * (1 - 0.45 * cut.fringe * in_front)
    meshes = [_grid_mesh(cap, scalp.faces, scalp.across, scalp.along, depth, frayed, scalp.outward)]
    if cut.length > 0.01:
        meshes.append(_fall(cap, scalp, cut))
    return meshes


def _thickness(
    distance: np.ndarray, rise: np.ndarray, in_front: np.ndarray, cut: HairCut
) -> np.ndarray:
    """Height [R * C] of the cap over the skull: volume, fringe, lumps, locks, a side parting."""
    scalp, rest = _scalp(), head_asset().scalp_rest
    on_top = np.clip((scalp.elevation - 0.25) / 0.8, 0, 1)
    thickness = 0.003 + rise * ((1 - on_top) * cut.side + on_top * cut.top)
    thickness += 0.013 * cut.fringe * in_front * _smooth(-0.02, 0.08, distance)
    body = 0.18 + 0.30 * cut.curl
    thickness *= 1 + body * (0.5 * scalp.lumps[:, 0] + 0.4 * cut.curl * scalp.lumps[:, 1])
    thickness *= 1 + 0.16 * (1 - 0.5 * cut.curl) * scalp.locks * rise
    lean = np.sign(rest[:, 0]) * _smooth(0.0, 0.05, np.abs(rest[:, 0]))
    thickness *= 1 + 0.22 * cut.sweep * lean * on_top * in_front
    return np.maximum(thickness, 0.0015)


def _reach(cut: HairCut) -> float:
    """How far long hair falls below its widest row, world units."""
    return 0.05 + 0.42 * cut.length


def _fall_points(cap: np.ndarray, elevation_deg: np.ndarray, cut: HairCut) -> np.ndarray:
    """Long hair [FALL_ROWS, C, 3]: on the cap down to its widest row, then straight down."""
    shape = (SCALP_ROWS, SCALP_COLUMNS)
    grid = cap.reshape(*shape, 3)
    columns = np.arange(SCALP_COLUMNS)
    widest = (elevation_deg.reshape(shape) > 14).sum(0) - 1
    points = np.empty((FALL_ROWS, SCALP_COLUMNS, 3))
    reach = _reach(cut)
    out, azimuth = _COLUMN_OUT, _COLUMN_AZIMUTH
    for i in range(_CAP_ROWS):
        exact = _CAP_SHARE[i] * widest
        low = np.clip(exact.astype(int), 0, SCALP_ROWS - 2)
        t = (exact - low)[:, None]
        points[i] = grid[low, columns] * (1 - t) + grid[low + 1, columns] * t
        points[i] += out * 0.006 * (i / _CAP_ROWS)
    start = points[_CAP_ROWS - 1]
    width = np.hypot(start[:, 0], start[:, 2] - SCALP_CENTRE[2])
    wave = 0.010 * (0.3 + cut.curl)
    for i in range(_CAP_ROWS, FALL_ROWS):
        fall = (i - _CAP_ROWS + 1) / (FALL_ROWS - _CAP_ROWS)
        flare = width * (0.10 * cut.spread * np.sin(np.pi * min(1.0, fall * 1.2)) - 0.10 * fall**2)
        ripple = wave * np.sin(fall * reach * 40 + 3 * np.sin(azimuth * 2) + 5 * azimuth)
        points[i] = start + out * (0.006 + flare + ripple)[:, None]
        points[i, :, 1] = start[:, 1] - reach * fall
    return points


def _fall(cap: np.ndarray, scalp: _Scalp, cut: HairCut) -> Mesh:
    """Long hair, open over the face and frayed at its ends."""
    points = _fall_points(cap, np.degrees(scalp.elevation), cut)
    reach, azimuth, out = _reach(cut), _COLUMN_AZIMUTH, _COLUMN_OUT
    angle = np.broadcast_to(np.degrees(np.abs(azimuth)), (FALL_ROWS, SCALP_COLUMNS))
    y = points[..., 1]
    part = np.degrees(azimuth)[None] * np.sign(cut.sweep + 1e-9)
    open_to = 66 + 9 * _smooth(0.16, 0.0, y) + 6 * cut.sweep**2 * np.sign(part)
    opening = (angle - open_to) / 30
    fade = np.minimum(1.0, 8 * cut.length) - 1.0
    ends = (FALL_ROWS - 1 - np.arange(FALL_ROWS))[:, None] / 9.0
    limit = np.minimum(opening, ends) + fade
    across = np.broadcast_to(np.linspace(0, 1, SCALP_COLUMNS)[None], limit.shape).ravel()
    along_row = np.concatenate(
        [_CAP_SHARE * 0.45, 0.45 + reach * np.linspace(0.05, 1, FALL_ROWS - _CAP_ROWS) * 1.2]
    )
    along = np.broadcast_to(along_row[:, None], limit.shape).ravel()
    faces = grid_faces(FALL_ROWS, SCALP_COLUMNS)
    outward = np.broadcast_to(out[None], points.shape).reshape(-1, 3)
    flat = points.reshape(-1, 3)
    shade = np.clip(0.62 + 0.38 * _smooth(-0.4, 0.1, flat[:, 1]), 0, 1)
    return _grid_mesh(flat, faces, across, along, shade, limit.ravel() * 0.6, outward)
