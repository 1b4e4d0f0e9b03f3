"""Glasses: tubes along rims, bridge and temples, fitted to the wearer."""

import numpy as np

from warpgan.data.portraits.detail import GlassesStyle
from warpgan.data.portraits.head import body_vertices, head_asset
from warpgan.data.portraits.raster import FRAME, LENS, Mesh

_SIDES = 6
_RIM = 32


def _tube(path: np.ndarray, radius: float, *, closed: bool) -> Mesh:
    """A round tube along a path [N, 3]."""
    if closed:
        tangent = np.roll(path, -1, 0) - np.roll(path, 1, 0)
        up = np.broadcast_to([0.0, 0.0, 1.0], path.shape)
    else:
        tangent = np.gradient(path, axis=0)
        up = np.where(
            np.abs(tangent[:, 1:2]) < 0.9 * np.linalg.norm(tangent, axis=1, keepdims=True),
            [[0.0, 1.0, 0.0]],
            [[1.0, 0.0, 0.0]],
        )
    tangent = tangent / (np.linalg.norm(tangent, axis=1, keepdims=True) + 1e-12)
    first = np.cross(tangent, up)
    first /= np.linalg.norm(first, axis=1, keepdims=True) + 1e-12
    second = np.cross(tangent, first)
    angle = np.linspace(0, 2 * np.pi, _SIDES, endpoint=False)
    normals = first[:, None] * np.cos(angle)[:, None] + second[:, None] * np.sin(angle)[:, None]
    points = (path[:, None] + radius * normals).reshape(-1, 3)
    count = len(path)
    i, j = np.meshgrid(np.arange(count if closed else count - 1), np.arange(_SIDES), indexing="ij")
    here, there, side = i * _SIDES, (i + 1) % count * _SIDES, (j + 1) % _SIDES
    faces = np.concatenate(
        [
            np.stack([here + j, there + j, here + side], -1).reshape(-1, 3),
            np.stack([here + side, there + j, there + side], -1).reshape(-1, 3),
        ]
    )
    return _part(points, normals.reshape(-1, 3), faces, FRAME)


def _part(points: np.ndarray, normals: np.ndarray, faces: np.ndarray, kind: int) -> Mesh:
    ones = np.ones(len(points))
    return Mesh(
        vertices=np.ascontiguousarray(points),
        normals=np.ascontiguousarray(normals),
        rest=points.copy(),
        occlusion=ones,
        cut=ones,
        faces=faces.astype(np.int32),
        kinds=np.full(len(faces), kind, np.int32),
    )


def build_glasses(vertices: np.ndarray, style: GlassesStyle, amount: float) -> list[Mesh]:
    """Meshes of glasses on a head.

    Args:
        vertices: [V, 3] framed head vertices.
        style: frames and lenses.
        amount: 0..1; the wire's thickness grows with it, so that a latent fades glasses in.
    """
    asset = head_asset()
    mean, wire = asset.mean, style.wire * amount
    pupils = vertices[asset.five_points[:2]]
    around = body_vertices() & (np.abs(mean[:, 0]) > 0.03) & (np.abs(mean[:, 0]) < 0.13)
    around &= (mean[:, 1] > 0.02) & (mean[:, 1] < 0.12) & (mean[:, 2] > 0.1)
    front = max(vertices[around, 2].max(), pupils[:, 2].max() + 0.02) + 0.004
    ears = vertices[(asset.ear > 0.4) & (mean[:, 1] > 0.04)]
    angle = np.linspace(0, 2 * np.pi, _RIM, endpoint=False)
    power = style.roundness
    outline = (np.abs(np.cos(angle)) ** power + np.abs(np.sin(angle)) ** power) ** (-1 / power)
    meshes, inner = [], []
    for pupil, sign in zip(pupils, (-1.0, 1.0), strict=True):
        x = pupil[0] + sign * 0.004 + style.half_width * np.cos(angle) * outline
        y = pupil[1] - 0.006 + style.half_height * np.sin(angle) * outline
        z = front - 0.45 * np.maximum(0, np.abs(x) - 0.06) ** 1.3
        rim = np.stack([x, y, z], 1)
        meshes.append(_tube(rim, wire, closed=True))
        if style.tint > 0 and amount > 0.5:
            fan = np.concatenate([rim, rim.mean(0, keepdims=True)])
            k = np.arange(_RIM)
            lens = np.stack([k, (k + 1) % _RIM, np.full(_RIM, _RIM)], 1)
            normals = np.broadcast_to([0.0, 0.0, 1.0], fan.shape)
            meshes.append(_part(fan, normals, lens, LENS))
        hinge = rim[np.argmax(sign * rim[:, 0])]
        inner.append(rim[np.argmin(sign * rim[:, 0]), 0])
        same = ears[ears[:, 0] * sign > 0]
        side = sign * (np.abs(same[:, 0]).min() + 0.012)
        stop = np.array([side, pupil[1] + 0.012, same[:, 2].mean() - 0.01])
        t = np.linspace(0, 1, 8)[:, None]
        temple = (hinge + [0, 0.006, 0]) * (1 - t) + stop * t
        temple[:, 0] += sign * 0.012 * np.sin(np.pi * t[:, 0])
        meshes.append(_tube(temple, wire * 0.9, closed=False))
    t = np.linspace(0, 1, 7)
    bridge = np.stack(
        [
            inner[0] * (1 - t) + inner[1] * t,
            pupils[:, 1].mean() + 0.006 + 0.006 * np.sin(np.pi * t),
            front + 0.004 * np.sin(np.pi * t),
        ],
        1,
    )
    meshes.append(_tube(bridge, wire, closed=False))
    return meshes
