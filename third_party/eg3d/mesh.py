"""The surface of a generated head as a coloured triangle mesh.

The frame is EG3D's world, which is also glTF's: seen from the front x is to the right, y up, and
the face looks along +z. Vertices are exact points of that frame; unlike with the official exporter
nothing is mirrored, sheared or blanked. Triangles wind counter-clockwise seen from outside.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from .generator import TriPlaneGenerator

MIN_RESOLUTION = 4
MAX_RESOLUTION = 1024
LOWEST_LEVEL = -100.0


@dataclass(frozen=True)
class Mesh:
    """A triangle mesh with a colour for each vertex.

    Attributes:
        vertices: `[V, 3]` float32, world coordinates.
        faces: `[F, 3]` int32, vertex indices, counter-clockwise from outside.
        colours: `[V, 3]` uint8, sRGB.
        normals: `[V, 3]` float32, unit, outward.
    """

    vertices: np.ndarray
    faces: np.ndarray
    colours: np.ndarray
    normals: np.ndarray


@torch.no_grad()
def extract_mesh(
    generator: TriPlaneGenerator,
    ws: Tensor,
    *,
    resolution: int = 256,
    level: float = 10.0,
    side: float | None = None,
    centre: tuple[float, float, float] | None = None,
    blank_border: int = 0,
    chunk: int = 65_536,
    progress: bool | None = None,
) -> Mesh:
    """Marching cubes on the raw density, coloured by the decoder.

    Memory is the density grid (4 bytes a cell, 67 MB at 256), the surface, and one chunk of points.

    Args:
        generator: any generator.
        ws: `[1, num_ws, w_dim]` or `[num_ws, w_dim]`, on the generator's device.
        resolution: grid points a side, the corners of the cube included.
        level: raw density of the surface on the official scale; gain and bias of the density
            extensions are accounted for. 10 is what the official exporter uses.
        side: of the cube, in world units (default: the box the planes span).
        centre: of the cube, world (default: the box's).
        blank_border: outermost layers of the grid to treat as empty, which closes the surface
            there; with 0 it stays open where the cube cuts it, as at the neck.
        chunk: points to query at once.
        progress: show a bar; None shows it on a terminal only.

    Raises:
        ValueError: sizes out of range, or no surface at this level.
    """
    ws = _single(generator, ws)
    if not MIN_RESOLUTION <= resolution <= MAX_RESOLUTION:
        raise ValueError(
            f"resolution is {resolution}; expected {MIN_RESOLUTION} to {MAX_RESOLUTION}"
        )
    if not 0 <= blank_border <= (resolution - 2) // 2:
        raise ValueError(f"blank_border is {blank_border}; expected 0 to {(resolution - 2) // 2}")
    if chunk < 1:
        raise ValueError(f"chunk is {chunk}; expected 1 or more")
    if not LOWEST_LEVEL <= level < math.inf:
        raise ValueError(f"level is {level}; expected a number, {LOWEST_LEVEL:g} or more")
    side = float(generator.options.box_warp if side is None else side)
    if not side > 0:
        raise ValueError(f"side is {side}; expected a positive length in world units")
    middle = ws.new_tensor(generator.extensions.box_centre if centre is None else centre)
    corner, step = middle - side / 2, side / (resolution - 1)

    planes = generator.planes(ws)
    density = _density_grid(
        generator, planes, corner, step, resolution=resolution, chunk=chunk, progress=progress
    )
    raw_level = _raw_level(generator, level)
    if not np.isfinite(density).all():
        raise ValueError("the density has NaN or infinite values; check the weights and ws")
    low, high = float(density.min()), float(density.max())
    if not low < raw_level < high:
        raise ValueError(
            f"no surface: raw density in the cube is {low:.4g} to {high:.4g}, level {level:g} is "
            f"{raw_level:.4g} there; choose a level in between"
        )
    for axis in range(3):
        layers = density.swapaxes(0, axis)
        layers[:blank_border] = low
        layers[resolution - blank_border :] = low
    if not float(density.max()) > raw_level:
        raise ValueError(f"no surface is left inside a blank border of {blank_border} layers")

    from skimage.measure import marching_cubes  # imported here: it takes half a second

    # "ascent" is what winds the triangles counter-clockwise around what is denser.
    indices, faces, normals, _ = marching_cubes(
        density, raw_level, gradient_direction="ascent", allow_degenerate=False
    )
    vertices = torch.from_numpy(np.ascontiguousarray(indices)).to(ws) * step + corner
    return Mesh(
        vertices=vertices.cpu().numpy(),
        faces=faces.astype(np.int32),
        colours=_colours(generator, planes, vertices, chunk),
        normals=normals.astype(np.float32),
    )


def _single(generator: TriPlaneGenerator, ws: Tensor) -> Tensor:
    wanted = (generator.num_ws, generator.w_dim)
    ws = ws[None] if ws.dim() == 2 else ws
    if tuple(ws.shape) != (1, *wanted):
        raise ValueError(
            f"ws has shape {tuple(ws.shape)}; expected one latent, [1, {wanted[0]}, {wanted[1]}]"
        )
    return ws


def _density_grid(
    generator: TriPlaneGenerator,
    planes: Tensor,
    corner: Tensor,
    step: float,
    *,
    resolution: int,
    chunk: int,
    progress: bool | None,
) -> np.ndarray:
    """Raw density `[R, R, R]` float32 at corner + (i, j, k) * step."""
    count = resolution**3
    grid = np.empty(count, dtype=np.float32)
    hidden = None if progress is None else not progress
    with tqdm(total=count, unit="point", unit_scale=True, desc="density", disable=hidden) as bar:
        for start in range(0, count, chunk):
            flat = torch.arange(start, min(start + chunk, count), device=planes.device)
            index = torch.stack(
                [flat // resolution**2, flat // resolution % resolution, flat % resolution], -1
            )
            samples = generator.query(planes, (index.to(corner) * step + corner)[None])
            grid[start : start + len(flat)] = samples.density.flatten().float().cpu().numpy()
            bar.update(len(flat))
    return grid.reshape(resolution, resolution, resolution)


def _colours(
    generator: TriPlaneGenerator, planes: Tensor, vertices: Tensor, chunk: int
) -> np.ndarray:
    """The decoder's first three channels at the vertices, `[V, 3]` uint8."""
    parts = [
        generator.query(planes, part[None]).colour[0, :, :3].float().clamp(0, 1)
        for part in vertices.split(chunk)
    ]
    return (torch.cat(parts) * 255).round().to(torch.uint8).cpu().numpy()


def _raw_level(generator: TriPlaneGenerator, level: float) -> float:
    """The decoder's raw density whose extinction is that of `level` in an official generator."""
    gain, bias = generator.extensions.density_gain, generator.extensions.density_bias
    if gain == 1.0 and bias == 0.0:
        return level
    if generator.options.clamp_mode != "softplus":
        return level / gain - bias
    activated = float(np.logaddexp(0.0, level - 1)) / gain
    # softplus inverted: log(exp(t) - 1) = t + log(1 - exp(-t))
    return activated + math.log(-math.expm1(-activated)) + 1 - bias
