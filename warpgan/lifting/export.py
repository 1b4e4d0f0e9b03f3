"""A lifted face for other programs: coloured mesh, point cloud, feature planes."""

import math
import os
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from eg3d import TriPlaneGenerator, ray_directions
from eg3d.mesh import Mesh, extract_mesh
from eg3d.mesh_files import save_mesh
from warpgan.lifting.lifted_face import LiftedFace
from warpgan.point_cloud import PointCloud, joined_clouds, unproject_photo, write_points
from warpgan.synthesis.plan import turned

EXPORTS = ("mesh", "pointcloud", "planes")
CLOUD_YAWS = (-60.0, -30.0, 0.0, 30.0, 60.0)
OPAQUE = 0.98
MESH_RESOLUTION = 160
CRUMB = 0.01
SURFACE_SHARE = 0.5
"""Of the median density at the rays' ends: rays end inside the surface, where half of their light
is gone; the level lies on the flank before."""


def export(face: LiftedFace, folder: Path, wanted: tuple[str, ...], *, resolution: int) -> None:
    """Write ``mesh.ply`` and ``mesh.glb``, ``cloud.ply``, ``planes.safetensors``.

    Args:
        face: the lifted face.
        folder: where to.
        wanted: of `EXPORTS`.
        resolution: grid points of the mesh a side.

    Raises:
        ValueError: a word that is not known, or no surface.
    """
    for word in wanted:
        if word not in EXPORTS:
            raise ValueError(f"--export {word} is not known; choose of {', '.join(EXPORTS)}")
    if "mesh" in wanted:
        mesh = face_mesh(face, resolution=resolution)
        save_mesh(mesh, folder / "mesh.ply")
        save_mesh(mesh, folder / "mesh.glb")
    if "pointcloud" in wanted:
        write_points(folder / "cloud.ply", face_cloud(face))
    if "planes" in wanted:
        write_planes(folder / "planes.safetensors", face.planes)


def face_mesh(face: LiftedFace, *, resolution: int = MESH_RESOLUTION) -> Mesh:
    """Marching cubes on the density, at the level where the photo's rays end.

    Raises:
        ValueError: no surface.
    """
    level = surface_level(face.generator, face.planes, face.ws, camera=face.camera)
    mesh = extract_mesh(face.generator, face.ws, resolution=resolution, level=level, progress=False)
    return without_crumbs(mesh)


def without_crumbs(mesh: Mesh) -> Mesh:
    """The mesh without parts that hold less than `CRUMB` of its triangles: specks and bubbles."""
    count = len(mesh.vertices)
    a, b, c = mesh.faces.T
    edges = coo_matrix((np.ones(2 * len(a), bool), (np.r_[a, b], np.r_[b, c])), (count, count))
    part = connected_components(edges, directed=False)[1]
    sizes = np.bincount(part[a])
    kept = sizes[part] >= CRUMB * len(a)
    place = np.cumsum(kept) - 1
    return Mesh(
        vertices=mesh.vertices[kept],
        faces=place[mesh.faces[kept[a]]].astype(np.int32),
        colours=mesh.colours[kept],
        normals=mesh.normals[kept],
    )


@torch.no_grad()
def surface_level(
    generator: TriPlaneGenerator, planes: Tensor, ws: Tensor, *, camera: Tensor
) -> float:
    """Density of the visible surface on the official scale, as `extract_mesh` takes it.

    Args:
        generator: any.
        planes: ``[1, 3, C, H, W]``.
        ws: ``[1, num_ws, w_dim]``.
        camera: label ``[1, 25]``.

    Raises:
        ValueError: no ray ends in the volume.
    """
    origins, directions = ray_directions(camera, generator.neural_rendering_resolution)
    rays = generator.render_rays(planes, origins, directions, ws=ws)
    opaque = rays.opacity[0, :, 0] > OPAQUE
    if not bool(opaque.any()):
        raise ValueError("no ray of the photo's view ends in the volume: there is no surface")
    points = origins + directions * rays.ray_length
    raw = generator.query(planes, points[:, opaque]).density.double().median()
    extensions = generator.extensions
    if generator.options.clamp_mode != "softplus":
        return float((raw + extensions.density_bias) * extensions.density_gain) * SURFACE_SHARE
    activated = torch.nn.functional.softplus(raw + extensions.density_bias - 1)
    activated = float(activated) * extensions.density_gain * SURFACE_SHARE
    # softplus inverted: log(exp(t) - 1) = t + log(1 - exp(-t))
    return activated + math.log(-math.expm1(-activated)) + 1


@torch.inference_mode()
def face_cloud(face: LiftedFace) -> PointCloud:
    """Pixels of several views as points, with the super-resolution's colours."""
    cameras = turned(face.camera[0], CLOUD_YAWS, [0.0] * len(CLOUD_YAWS))
    drawn = face.render(cameras)
    parts = []
    for view in range(len(cameras)):
        image, length = drawn.image[0, view], drawn.ray_length[0, view]
        parts.append(unproject_photo(image, length, cameras[view]))
    return joined_clouds(parts)


def write_planes(path: Path, planes: Tensor) -> None:
    """Write ``planes`` ``[3, C, H, W]`` float32 as safetensors, aside first and then renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    save_file({"planes": planes[0].clone().float().cpu().contiguous()}, aside)
    aside.replace(path)
