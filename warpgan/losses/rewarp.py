"""The re-warp supervision: a novel view of a photo is judged where its truth is known.

A photo has no truth at a novel camera. So what was made of it there is warped back, with the novel
view's own depth, to the photo's camera, inpainted once more, and compared with the photo (paper,
section 3.4). The second pass has holes of its own: what the novel view hides. With the prediction
warped back, as the paper says, the comparison also reaches what the first pass painted; the
released code warps the initial fill instead, and the first pass then learns nothing from it.
"""

from typing import Literal, get_args

from torch import Tensor

from warpgan.initial_fill import Branch, both_branches
from warpgan.warp import WarpOptions

Rewarped = Literal["prediction", "fill"]
REWARPED: tuple[Rewarped, ...] = get_args(Rewarped)


def rewarped_image(which: Rewarped, *, prediction: Tensor, fill: Tensor) -> Tensor:
    """Chooses the image of the novel view that is warped back.

    Args:
        which: `prediction` (paper) or `fill` (released code).
        prediction: `[B, 3, H, W]` in [0, 1], SVINet's novel view.
        fill: `[B, 3, H, W]` in [0, 1], the initial fill it was made from.

    Returns:
        One of the two.

    Raises:
        ValueError: Another choice.
    """
    if which not in REWARPED:
        raise ValueError(f"rewarp: no {which!r}; there are {', '.join(REWARPED)}")
    return prediction if which == "prediction" else fill


def rewarp_branches(
    image: Tensor,
    *,
    novel_ray_length: Tensor,
    novel_camera: Tensor,
    camera: Tensor,
    render: Tensor,
    ray_length: Tensor | None,
    options: WarpOptions,
    symmetry: bool,
) -> tuple[Branch, Branch | None]:
    """Warps an image of the novel view back to the photo's camera: SVINet's second input.

    Args:
        image: `[B, 3, H, W]` in [0, 1] at the novel camera, see `rewarped_image`; gradients pass
            through its colours.
        novel_ray_length: `[B, 1, R, R]` of the novel view.
        novel_camera: Labels `[B, 25]`.
        camera: Labels `[B, 25]` of the photo.
        render: `[B, 3, H, W]` in [0, 1], the generator's view at the photo's camera; fills holes.
        ray_length: `[B, 1, R, R]` of that view; needed by the visibility tests only.
        options: Geometry and hole tests.
        symmetry: Whether the mirrored branch is wanted.

    Returns:
        The branches in [0, 1]; the mirrored one is None without symmetry.
    """
    return both_branches(
        image,
        novel_ray_length,
        novel_camera,
        target=camera,
        render=render,
        options=options,
        target_ray_length=ray_length,
        empty=0.0,
        symmetry=symmetry,
    )
