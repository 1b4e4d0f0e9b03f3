"""Where along a ray the volume is sampled.

Distances are Euclidean lengths along unit rays. S coarse samples give S - 1 intervals.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def box_limits(origins: Tensor, directions: Tensor, *, side: float) -> tuple[Tensor, Tensor]:
    """Slab test of rays against an origin-centred cube.

    Args:
        origins: `[..., 3]`.
        directions: `[..., 3]`.
        side: Side of the cube.

    Returns:
        Near and far distance, both `[..., 1]` (negative behind the origin); (-1, -2) for a miss.
    """
    first = (-side / 2 - origins) / directions
    second = (side / 2 - origins) / directions
    # fmin and fmax pass over the NaN of a ray that lies in a face of the cube.
    low, high = torch.fmin(first, second), torch.fmax(first, second)
    near = torch.fmax(torch.fmax(low[..., 0], low[..., 1]), low[..., 2])[..., None]
    far = torch.fmin(torch.fmin(high[..., 0], high[..., 1]), high[..., 2])[..., None]
    hit = near <= far
    return torch.where(hit, near, -1.0), torch.where(hit, far, -2.0)


def fill_missed_limits(near: Tensor, far: Tensor) -> tuple[Tensor, Tensor]:
    """Give the rays that miss the box limits taken from those that hit it.

    As in the official renderer both come from the *near* distances: their smallest and largest.
    """
    hit = far > near
    any_hit = hit.any()
    inf = float("inf")
    smallest = torch.where(hit, near, inf).amin()
    largest = torch.where(hit, near, -inf).amax()
    near_filled = torch.where(hit | ~any_hit, near, smallest)
    far_filled = torch.where(hit | ~any_hit, far, largest)
    return near_filled, far_filled


def stratified_depths(
    near: Tensor, far: Tensor, jitter: Tensor, *, disparity: bool = False
) -> Tensor:
    """Evenly spaced distances, each moved on by `jitter` steps.

    Args:
        near: Broadcastable to `[..., 1]`.
        far: Broadcastable to `[..., 1]`.
        jitter: `[..., S]` in [0, 1); a step is (far - near) / (S - 1).
        disparity: Space evenly in inverse distance.

    Returns:
        `[..., S]`, ascending.
    """
    count = jitter.shape[-1]
    index = torch.arange(count, device=jitter.device, dtype=jitter.dtype)
    t = (index + jitter) / (count - 1)
    if disparity:
        return 1.0 / ((1.0 - t) / near + t / far)
    return near + (far - near) * t


def importance_depths(depths: Tensor, weights: Tensor, u: Tensor) -> Tensor:
    """Distances drawn from the coarse weights by inverting their cumulative distribution.

    Keeps the official off-by-one: there is one bin edge more than the distribution has, so the
    samples lie about half a step towards the camera and never in the last coarse interval.

    Args:
        depths: `[..., S]` ascending, the coarse distances.
        weights: `[..., S - 1]`, their marching weights.
        u: `[..., F]` in [0, 1].

    Returns:
        `[..., F]`, ascending where `u` is, without gradient.
    """
    depths, weights = depths.detach(), weights.detach()
    # Neighbouring maximum, then neighbouring mean: S - 1 values again, all positive.
    wide = F.pad(weights, (1, 1))
    wide = torch.maximum(wide[..., :-1], wide[..., 1:])
    smooth = (wide[..., :-1] + wide[..., 1:]) / 2 + 0.01
    pdf = smooth[..., 1:-1] + 1e-5
    pdf = pdf / pdf.sum(-1, keepdim=True)
    cdf = F.pad(pdf.cumsum(-1), (1, 0))
    edges = (depths[..., :-1] + depths[..., 1:]) / 2

    last = cdf.shape[-1] - 1
    index = torch.searchsorted(cdf, u.contiguous(), right=True)
    below, above = (index - 1).clamp(min=0), index.clamp(max=last)
    cdf_below = cdf.gather(-1, below)
    span = cdf.gather(-1, above) - cdf_below
    span = torch.where(span < 1e-5, 1.0, span)
    edge_below = edges.gather(-1, below)
    return edge_below + (u - cdf_below) / span * (edges.gather(-1, above) - edge_below)
