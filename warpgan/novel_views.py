"""What a view from another camera consists of, and the steps that all kinds of faces share."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor

from eg3d import TriPlaneGenerator, ray_directions
from warpgan.initial_fill import Branch
from warpgan.svinet import SVINet
from warpgan.warp import depth_z_from_ray_length

METHODS = ("inversion", "warp", "fill", "warpgan")
PIXELS_AT_ONCE = 2**19


@dataclass(frozen=True)
class NovelViews:
    """Views of a batch of faces, ``V`` an item, and what they were made of.

    Attributes:
        image: ``[B, V, 3, S, S]`` in [-1, 1].
        depth_z: ``[B, V, 1, S, S]`` of the generator's render, enlarged, in scene units.
        render: ``[B, V, 3, S, S]`` the generator's view, nominally in [-1, 1].
        warped: ``[B, V, 3, S, S]`` the photo's pixels, black where it shows nothing; None for
            method ``inversion``, as the two below.
        hole: ``[B, V, 1, S, S]`` in [0, 1], 1 where the photo shows nothing.
        filled: ``[B, V, 3, S, S]`` the warped pixels with the render in the holes.
    """

    image: Tensor
    depth_z: Tensor
    render: Tensor
    warped: Tensor | None = None
    hole: Tensor | None = None
    filled: Tensor | None = None


def check_question(
    cameras: Tensor, method: str, *, batch: int, svinet: SVINet | None, chunk: int | None
) -> None:
    """Check what is asked of faces.

    Args:
        cameras: labels, ``[batch, V, 25]`` if right.
        method: one of `METHODS` if right.
        batch: faces.
        svinet: needed by method ``warpgan``.
        chunk: views at once, at least 1; None chooses.

    Raises:
        ValueError: for an unknown method, cameras of another shape, a chunk below 1, or ``warpgan``
            without SVINet.
    """
    if method not in METHODS:
        raise ValueError(f"method {method!r} is not known; choose one of {', '.join(METHODS)}")
    if method == "warpgan" and svinet is None:
        raise ValueError("method 'warpgan' needs SVINet; give one, or choose method 'fill'")
    if cameras.ndim != 3 or cameras.shape[0] != batch or cameras.shape[2] != 25:
        raise ValueError(
            f"cameras of shape {tuple(cameras.shape)} for {batch} faces; expected [{batch}, V, 25]"
        )
    if not cameras.shape[1]:
        raise ValueError(f"cameras of shape {tuple(cameras.shape)}: there must be at least one")
    if chunk is not None and chunk < 1:
        raise ValueError(f"chunk={chunk} must be at least 1")


def painted_views(
    main: Branch,
    mirrored: Branch | None,
    *,
    render: Tensor,
    depth_z: Tensor,
    method: str,
    svinet: SVINet | None,
    ws: Tensor,
) -> NovelViews:
    """The last step of ``warp``, ``fill`` and ``warpgan``.

    Args:
        main: of all views, ``[B * V, ...]``.
        mirrored: likewise; SVINet's second branch, if it wants one.
        render: ``[B, V, 3, S, S]`` the generator's views.
        depth_z: ``[B, V, 1, S, S]``.
        method: one of `METHODS` but ``inversion``.
        svinet: inpaints, for ``warpgan``.
        ws: ``[B * V, num_ws, w_dim]``.
    """
    if method == "warpgan":
        image = svinet(main, mirrored, ws)
    else:
        image = main.warped if method == "warp" else main.filled
    image, warped, hole, filled = (
        x.unflatten(0, render.shape[:2]).clamp(-1, 1)
        for x in (image, main.warped, main.hole, main.filled)
    )
    return NovelViews(image, depth_z, render, warped, hole, filled)


def rendered_ray_length(
    generator: TriPlaneGenerator, planes: Tensor, ws: Tensor, *, camera: Tensor
) -> Tensor:
    """Ray length of a view, without its colours and super-resolution.

    Args:
        generator: whose planes these are.
        planes: ``[B, 3, C, H, W]``.
        ws: ``[B, num_ws, w_dim]``.
        camera: labels ``[B, 25]``.

    Returns:
        ``[B, 1, R, R]``.
    """
    side = generator.neural_rendering_resolution
    origins, directions = ray_directions(camera, side)
    rays = generator.render_rays(planes, origins, directions, ws=ws)
    return rays.ray_length.mT.unflatten(2, (side, side))


def enlarged_depth_z(ray_length: Tensor, cameras: Tensor, *, size: int) -> Tensor:
    """``depth_z`` of rendered views, enlarged (bilinear) to the image.

    Args:
        ray_length: ``[B, V, 1, R, R]``.
        cameras: labels ``[B, V, 25]``.
        size: side of the images.

    Returns:
        ``[B, V, 1, size, size]``.
    """
    depth_z = depth_z_from_ray_length(ray_length, cameras)
    if depth_z.shape[-1] == size:
        return depth_z
    flat = F.interpolate(depth_z.flatten(0, 1), (size, size), mode="bilinear")
    return flat.unflatten(0, depth_z.shape[:2])


def each_view(x: Tensor, count: int) -> Tensor:
    """Repeat every item for its views; a single item is not copied."""
    return x[:, None].expand(-1, count, *x.shape[1:]).flatten(0, 1)


def joined(parts: Sequence[NovelViews], *, dim: int) -> NovelViews:
    """Parts as one: ``dim`` 0 joins items, 1 views."""
    if len(parts) == 1:
        return parts[0]
    columns = {
        field.name: [getattr(part, field.name) for part in parts] for field in fields(NovelViews)
    }
    return NovelViews(
        **{name: None if x[0] is None else torch.cat(x, dim) for name, x in columns.items()}
    )
