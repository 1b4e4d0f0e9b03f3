"""The renderer's march on the compiled kernel: tensors in, tensors out."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .decoder import Decoder
from .inference import in_threads
from .marching import Marched
from .triplane import PLANE_AXES

RAYS_PER_PART = 256


def unsupported(planes: Tensor, coarse_samples: int) -> str | None:
    """Why the kernel can't take these planes, or None."""
    from .volume_kernel import CHANNEL_STEP

    if planes.shape[2] % CHANNEL_STEP:
        return f"planes have {planes.shape[2]} channels, not a multiple of {CHANNEL_STEP}"
    if coarse_samples < 2:
        return f"there are {coarse_samples} samples a ray"
    return None


def march_with_kernel(
    planes: Tensor,
    decoder: Decoder,
    origins: Tensor,
    directions: Tensor,
    depths: Tensor,
    u: Tensor | None,
    *,
    plane_axes: str,
    box_warp: float,
    box_centre: tuple[float, float, float],
    clamp_mode: str,
    density_gain: float,
    density_bias: float,
) -> tuple[Marched, Tensor, Tensor]:
    """March all rays; the sums, and the nearest and farthest sample of each ray.

    Args:
        planes: `[B, 3, C, H, W]`, ideally with C and the planes last in memory.
        decoder: Features to density and colour.
        origins: `[B, M, 3]`.
        directions: `[B, M, 3]`.
        depths: `[B, M, S]` ascending coarse distances.
        u: `[B, M, F]` for importance sampling, or None.
        plane_axes: See `triplane`.
        box_warp: Side of the box.
        box_centre: Its centre.
        clamp_mode: See `marching.interval_weights`.
        density_gain: See `marching.interval_weights`.
        density_bias: See `marching.interval_weights`.
    """
    # Compiling needs numba; only inference on a CPU does.
    from .volume_kernel import LANES, RELU, SOFTPLUS, ray_marcher

    first, last = decoder.net[0], decoder.net[2]
    hidden, channels = first.weight.shape
    colours = last.weight.shape[0] - 1
    pad_hidden, pad_colours = -hidden % LANES, -colours % LANES
    w_first = first.weight * (first.weight_gain / 3)
    w_last = last.weight * last.weight_gain
    b_last = last.bias * last.bias_gain
    constants = (
        F.pad(w_first, (0, 0, 0, pad_hidden)).t(),
        F.pad(first.bias * first.bias_gain, (0, pad_hidden)),
        F.pad(w_last[:1], (0, pad_hidden, 0, LANES - 1)).t(),
        F.pad(b_last[:1], (0, LANES - 1)),
        F.pad(w_last[1:], (0, pad_hidden, 0, pad_colours)).t(),
        F.pad(b_last[1:], (0, pad_colours)),
    )
    constants = tuple(_array(x) for x in constants)
    scalars = (
        np.float32(2.0 / box_warp),
        np.array(box_centre, dtype=np.float32),
        SOFTPLUS if clamp_mode == "softplus" else RELU,
        np.float32(density_gain),
        np.float32(density_bias),
    )
    axes = np.array(PLANE_AXES[plane_axes])
    march = ray_marcher(channels, hidden + pad_hidden, colours + pad_colours)

    batch, rays, samples = depths.shape
    fine = 0 if u is None else u.shape[-1]
    total = samples + fine
    outputs = [
        torch.empty(batch, rays, *tail)
        for tail in ((colours + pad_colours,), (), (), (total - 1,), (total - 1,), (), ())
    ]
    for item in range(batch):
        texels = _array(planes[item].permute(2, 3, 0, 1).flatten(2))
        given = [_array(x[item]) for x in (origins, directions, depths)]
        given.append(_array(u[item]) if fine else np.empty((rays, 0), np.float32))
        results = [x[item].numpy() for x in outputs]

        def work(start: int, stop: int) -> None:
            march(
                texels,  # noqa: B023 - all parts end before the next item
                axes,
                *constants,
                *scalars,
                *(x[start:stop] for x in given),  # noqa: B023
                *(x[start:stop] for x in results),  # noqa: B023
            )

        in_threads(work, rays, part=RAYS_PER_PART)
    colour, opacity, length, weights, midpoints, nearest, farthest = outputs
    marched = Marched(colour[..., :colours].mT, opacity, length, weights, midpoints)
    return marched, nearest, farthest


def _array(x: Tensor) -> np.ndarray:
    return x.detach().contiguous().numpy()
