"""Write a head as a coloured mesh: `python -m eg3d.export_mesh model.safetensors head.glb`.

The latent is drawn from a seed as the official scripts draw it, or read from a .npy file. Meshes
made from converted weights keep the terms of the original.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .generator import TriPlaneGenerator
from .loading import load_generator
from .mesh import extract_mesh
from .mesh_files import check_target, save_mesh
from .poses import intrinsics_from_fov, orbit_pose

CONDITIONING_FOV = 18.837


def build_parser() -> argparse.ArgumentParser:
    """The command's options."""
    parser = argparse.ArgumentParser(prog="python -m eg3d.export_mesh", description=__doc__)
    parser.add_argument("model", type=Path, help="generator: .safetensors, .pkl, .pt or .pth")
    parser.add_argument("target", type=Path, help="NAME.glb or NAME.ply")
    latent = parser.add_mutually_exclusive_group()
    latent.add_argument("--seed", type=int, default=0, help="of the latent (default 0)")
    latent.add_argument("--ws", type=Path, metavar="NPY", help="latent [num_ws, w_dim] or [w_dim]")
    parser.add_argument("--psi", type=float, default=1.0, help="truncation of a seed's latent")
    parser.add_argument("--resolution", type=int, default=256, help="grid points a side")
    parser.add_argument("--level", type=float, default=10.0, help="raw density of the surface")
    parser.add_argument(
        "--blank-border", type=int, default=0, metavar="N", help="empty layers; 1 closes the neck"
    )
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, ...")
    return parser


def frontal_label(generator: TriPlaneGenerator) -> Tensor:
    """The frontal camera `[1, 25]` the official scripts condition on, for this model's orbit."""
    kwargs = generator.rendering_kwargs
    pose = orbit_pose(
        torch.zeros(1),
        torch.zeros(1),
        radius=kwargs.get("avg_camera_radius", 2.7),
        pivot=tuple(kwargs.get("avg_camera_pivot", (0.0, 0.0, 0.2))),
    )
    intrinsics = intrinsics_from_fov(CONDITIONING_FOV)
    return torch.cat([pose.reshape(1, 16), intrinsics.reshape(1, 9)], 1)


def seed_latent(generator: TriPlaneGenerator, seed: int, *, psi: float = 1.0) -> Tensor:
    """Latent `[1, num_ws, w_dim]` of a seed, seen from the front.

    Args:
        generator: any generator.
        seed: numpy's legacy generator is used, so that seeds mean what they mean officially.
        psi: truncation, 1 for none.

    Raises:
        ValueError: a seed outside of 0 to 2**32 - 1.
    """
    if not 0 <= seed < 1 << 32:
        raise ValueError(f"seed is {seed}; expected 0 to {(1 << 32) - 1}")
    z = np.random.RandomState(seed).randn(1, generator.z_dim).astype(np.float32)
    device = generator.mean_latent().device
    with torch.no_grad():
        return generator.mapping(
            torch.from_numpy(z).to(device),
            frontal_label(generator).to(device),
            truncation_psi=psi,
        )


def read_latent(generator: TriPlaneGenerator, path: Path) -> Tensor:
    """Latent `[1, num_ws, w_dim]` from a .npy file of that shape, or one axis or two fewer.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a .npy file of numbers of a fitting shape.
    """
    wanted = f"[{generator.num_ws}, {generator.w_dim}] or [{generator.w_dim}]"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; expected a .npy file with {wanted} numbers")
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(
            f"{path} is not a .npy file ({error}); expected {wanted} numbers"
        ) from error
    shape = (1, generator.num_ws, generator.w_dim)
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
        raise ValueError(f"{path} is not one array of numbers; expected {wanted}")
    if array.shape not in (shape, shape[1:], shape[2:]) or not np.isfinite(array).all():
        raise ValueError(f"{path} has shape {list(array.shape)}; expected finite numbers {wanted}")
    ws = torch.from_numpy(np.broadcast_to(array.astype(np.float32), shape).copy())
    return ws.to(generator.mean_latent().device)


def export(arguments: argparse.Namespace) -> str:
    """Extract and write one mesh.

    Args:
        arguments: as `build_parser` gives them.

    Returns:
        A report to print.
    """
    target = check_target(arguments.target)
    generator = load_generator(arguments.model, device=arguments.device)
    if arguments.ws is None:
        ws = seed_latent(generator, arguments.seed, psi=arguments.psi)
    else:
        ws = read_latent(generator, arguments.ws)
    mesh = extract_mesh(
        generator,
        ws,
        resolution=arguments.resolution,
        level=arguments.level,
        blank_border=arguments.blank_border,
    )
    save_mesh(mesh, target)
    low, high = mesh.vertices.min(0), mesh.vertices.max(0)
    spans = ", ".join(f"{a:.3f} to {b:.3f}" for a, b in zip(low, high, strict=True))
    return (
        f"{target}: {len(mesh.vertices):,} vertices, {len(mesh.faces):,} triangles, "
        f"{target.stat().st_size:,} bytes\n  x, y, z: {spans}"
    )


def main(argv: list[str] | None = None) -> int:
    """Run the command; 2 for a user's mistake, told in one line."""
    try:
        print(export(build_parser().parse_args(argv)))
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
