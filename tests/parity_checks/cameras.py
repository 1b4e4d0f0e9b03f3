"""Golden checks of cameras: look-at grid, mirroring, trajectories, field of view, rays."""

import math
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

import eg3d
from warpgan import cameras

from . import Comparison, compare

FILE = "cameras.safetensors"
TOLERANCE = 2e-6


def check_cameras(folder: Path) -> list[Comparison]:
    """Every tensor of the file is an input of a check or compared."""
    golden = load_file(str(folder / FILE))
    ours, inputs = _ours(golden)
    found = [
        compare(FILE, key, tensor, golden[key], max_tolerance=TOLERANCE)
        for key, tensor in ours.items()
        if key in golden
    ]
    unmatched = (set(ours) | inputs) ^ set(golden)
    found += [Comparison(FILE, key, math.inf, math.inf, TOLERANCE) for key in sorted(unmatched)]
    return found


def _from_offsets(yaw: Tensor, pitch: Tensor, **options) -> Tensor:
    return cameras.look_at(*cameras.from_eg3d_offsets(yaw, pitch), **options)


def _ours(golden: dict[str, Tensor]) -> tuple[dict[str, Tensor], set[str]]:
    grid, pivot0 = golden["grid.yaw_pitch"], golden["pivot0.yaw_pitch"]
    radius = golden["radius.yaw_pitch_radius"]
    tenth = math.pi / 10
    circle = torch.tensor([(0, 0), (-tenth, 0), (tenth, 0), (0, -tenth), (0, tenth)])
    # the released trajectory has 3.14 for pi, in the turn and in the offsets from pi / 2
    turn = 2 * 3.14 * torch.arange(30, dtype=torch.float64) / 30
    shift = (3.14 - math.pi) / 2
    origins, directions = eg3d.ray_directions(
        _from_offsets(torch.tensor([0.3]), torch.tensor([0.1])), 8
    )
    ours = {
        "grid.labels": _from_offsets(grid[:, 0], grid[:, 1]),
        "grid.mirror_labels": cameras.mirror_label(golden["grid.labels"]),
        "pivot0.labels": _from_offsets(pivot0[:, 0], pivot0[:, 1], pivot=(0, 0, 0)),
        "radius.labels": _from_offsets(radius[:, 0], radius[:, 1], radius=radius[:, 2]),
        "frontal.label": cameras.frontal_label(),
        "circle5.labels": _from_offsets(circle[:, 0], circle[:, 1]),
        "video30.labels": _from_offsets(
            shift + 0.35 * turn.sin(), shift - 0.05 + 0.25 * turn.cos()
        ),
        "fov18.837.intrinsics": cameras.intrinsics_from_focal(cameras.focal_from_fov(18.837))[0],
        "rays.W8.origins": origins,
        "rays.W8.dirs": directions,
    }
    return ours, {"grid.yaw_pitch", "pivot0.yaw_pitch", "radius.yaw_pitch_radius"}


FILES = {FILE: check_cameras}
