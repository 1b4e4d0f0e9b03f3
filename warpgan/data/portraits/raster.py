"""Z-buffer of triangle meshes: nearest face, perspective-correct barycentrics, depth_z.

Screen coordinates are pixels of the (super-sampled) raster, centres at i + .5, y down. Nothing
runs in parallel, so the same mesh gives the same bytes.
"""

import math
from dataclasses import dataclass

import numba
import numpy as np

from warpgan.data.portraits.noise import JIT, STRANDS, strand_noise

BODY, EYE, TEETH, LASH, HAIR, FRAME, LENS = range(7)
"""Kinds of faces. Only BODY is closed and culled; LASH and HAIR are cut per pixel."""

EMPTY_DEPTH = np.float32(1e9)
"""depth_z of pixels that no face covers."""


@dataclass(frozen=True)
class Mesh:
    """Triangles with what the rasteriser and the shader interpolate.

    Attributes:
        vertices: [V, 3] float64, world.
        normals: [V, 3] float64, unit.
        rest: [V, 3] float64, where the vertex lies on the mean head (hair: across, along, 0).
        occlusion: [V] float64 in [0, 1], 1 is open.
        cut: [V] float64; kinds that are cut show only where it is positive.
        faces: [F, 3] int32.
        kinds: [F] int32.
    """

    vertices: np.ndarray
    normals: np.ndarray
    rest: np.ndarray
    occlusion: np.ndarray
    cut: np.ndarray
    faces: np.ndarray
    kinds: np.ndarray

    @staticmethod
    def plain(vertices: np.ndarray, faces: np.ndarray, *, kind: int = EYE) -> "Mesh":
        """A mesh of one kind that is never cut (EYE: not culled either)."""
        vertices = np.ascontiguousarray(vertices, np.float64)
        count = len(vertices)
        faces = np.ascontiguousarray(faces, np.int32)
        return Mesh(
            vertices,
            vertex_normals(vertices, faces),
            vertices.copy(),
            np.ones(count),
            np.ones(count),
            faces,
            np.full(len(faces), kind, np.int32),
        )

    @staticmethod
    def join(meshes: list["Mesh"]) -> "Mesh":
        """All meshes as one."""
        offsets = np.cumsum([0] + [len(mesh.vertices) for mesh in meshes[:-1]])
        faces = [mesh.faces + offset for mesh, offset in zip(meshes, offsets, strict=True)]
        columns = {
            name: np.concatenate([getattr(mesh, name) for mesh in meshes])
            for name in ("vertices", "normals", "rest", "occlusion", "cut", "kinds")
        }
        return Mesh(faces=np.concatenate(faces).astype(np.int32), **columns)


@dataclass(frozen=True)
class Fragments:
    """What a raster of S x S samples sees.

    Attributes:
        face: [S, S] int32, -1 where nothing.
        weights: [S, S, 3] float32 barycentric weights in world space.
        depth_z: [S, S] float32, `EMPTY_DEPTH` where nothing.
    """

    face: np.ndarray
    weights: np.ndarray
    depth_z: np.ndarray


@numba.njit(**JIT)
def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Area-weighted unit normals [V, 3] of [V, 3] vertices and [F, 3] faces."""
    normals = np.zeros_like(vertices)
    for i in range(faces.shape[0]):
        a, b, c = faces[i, 0], faces[i, 1], faces[i, 2]
        ax = vertices[b, 0] - vertices[a, 0]
        ay = vertices[b, 1] - vertices[a, 1]
        az = vertices[b, 2] - vertices[a, 2]
        bx = vertices[c, 0] - vertices[a, 0]
        by = vertices[c, 1] - vertices[a, 1]
        bz = vertices[c, 2] - vertices[a, 2]
        x, y, z = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
        for k in (a, b, c):
            normals[k, 0] += x
            normals[k, 1] += y
            normals[k, 2] += z
    for i in range(vertices.shape[0]):
        length = math.sqrt(normals[i, 0] ** 2 + normals[i, 1] ** 2 + normals[i, 2] ** 2) + 1e-12
        for k in range(3):
            normals[i, k] /= length
    return normals


@numba.njit(**JIT)
def _shows(kind, cut, across, along, strands):
    """Whether a sample of a cut kind exists: frayed hair ends, single lashes."""
    if kind == LASH:
        return strand_noise(strands, across * 1.7, 0.3) > -0.15 + 1.6 * along
    coarse = strand_noise(strands, across * 1.3, along * 0.35)
    fine = strand_noise(strands, across * 3.1, along * 0.35)
    return cut + 0.018 * coarse + 0.016 * fine > 0.0


@numba.njit(**JIT)
def _fill(screen, faces, kinds, cut, rest, strands, face_out, weights_out, depth_out):
    size = depth_out.shape[0]
    for f in range(faces.shape[0]):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        x0, y0, z0 = screen[a, 0], screen[a, 1], screen[a, 2]
        x1, y1, z1 = screen[b, 0], screen[b, 1], screen[b, 2]
        x2, y2, z2 = screen[c, 0], screen[c, 1], screen[c, 2]
        if z0 < 0.05 or z1 < 0.05 or z2 < 0.05:
            continue
        area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
        kind = kinds[f]
        if abs(area) < 1e-9 or (kind == BODY and area > 0.0):
            continue
        is_cut = kind == HAIR or kind == LASH
        if kind == HAIR and cut[a] < -0.15 and cut[b] < -0.15 and cut[c] < -0.15:
            continue
        left = max(0, int(math.ceil(min(x0, x1, x2) - 0.5)))
        right = min(size - 1, int(math.floor(max(x0, x1, x2) - 0.5)))
        top = max(0, int(math.ceil(min(y0, y1, y2) - 0.5)))
        bottom = min(size - 1, int(math.floor(max(y0, y1, y2) - 0.5)))
        if left > right or top > bottom:
            continue
        inverse = 1.0 / area
        i0, i1, i2 = 1.0 / z0, 1.0 / z1, 1.0 / z2
        for y in range(top, bottom + 1):
            py = y + 0.5
            for x in range(left, right + 1):
                px = x + 0.5
                w0 = ((x1 - px) * (y2 - py) - (x2 - px) * (y1 - py)) * inverse
                if w0 < 0.0:
                    continue
                w1 = ((x2 - px) * (y0 - py) - (x0 - px) * (y2 - py)) * inverse
                w2 = 1.0 - w0 - w1
                if w1 < 0.0 or w2 < 0.0:
                    continue
                q0, q1, q2 = w0 * i0, w1 * i1, w2 * i2
                depth = 1.0 / (q0 + q1 + q2)
                if depth >= depth_out[y, x]:
                    continue
                q0, q1, q2 = q0 * depth, q1 * depth, q2 * depth
                if is_cut and not _shows(
                    kind,
                    q0 * cut[a] + q1 * cut[b] + q2 * cut[c],
                    q0 * rest[a, 0] + q1 * rest[b, 0] + q2 * rest[c, 0],
                    q0 * rest[a, 1] + q1 * rest[b, 1] + q2 * rest[c, 1],
                    strands,
                ):
                    continue
                depth_out[y, x] = depth
                face_out[y, x] = f
                weights_out[y, x, 0] = q0
                weights_out[y, x, 1] = q1
                weights_out[y, x, 2] = q2


def project_to_screen(
    vertices: np.ndarray, cam2world: np.ndarray, intrinsics: np.ndarray, *, size: int
) -> np.ndarray:
    """Screen x, y (pixels) and depth_z [V, 3] of world points.

    Args:
        vertices: [V, 3] float64.
        cam2world: [4, 4] float64, OpenCV axes.
        intrinsics: [3, 3] float64, divided by the image size.
        size: raster side in pixels.
    """
    local = (vertices - cam2world[:3, 3]) @ cam2world[:3, :3]
    depth = local[:, 2]
    safe = np.where(np.abs(depth) < 1e-6, 1e-6, depth)
    x, y = local[:, 0] / safe, local[:, 1] / safe
    screen = np.empty_like(local)
    screen[:, 0] = (intrinsics[0, 0] * x + intrinsics[0, 1] * y + intrinsics[0, 2]) * size
    screen[:, 1] = (intrinsics[1, 1] * y + intrinsics[1, 2]) * size
    screen[:, 2] = depth
    return screen


def rasterise(mesh: Mesh, cam2world: np.ndarray, intrinsics: np.ndarray, *, size: int) -> Fragments:
    """Nearest faces of a mesh through a camera.

    Faces are not clipped: one with a corner nearer than 0.05 before the camera is left out.

    Args:
        mesh: any mesh.
        cam2world: [4, 4] float64.
        intrinsics: [3, 3] float64, divided by the image size.
        size: raster side; multiply by the super-sampling factor beforehand.
    """
    fragments = Fragments(
        np.full((size, size), -1, np.int32),
        np.zeros((size, size, 3), np.float32),
        np.full((size, size), EMPTY_DEPTH, np.float32),
    )
    _fill(
        project_to_screen(mesh.vertices, cam2world, intrinsics, size=size),
        mesh.faces,
        mesh.kinds,
        mesh.cut,
        mesh.rest,
        STRANDS,
        fragments.face,
        fragments.weights,
        fragments.depth_z,
    )
    return fragments
