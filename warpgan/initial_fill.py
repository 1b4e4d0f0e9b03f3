"""The initial fill: warped pixels where the photo shows them, the generator's view in the holes.

```
filled = warped * (1 - hole) + render * hole           (paper, eq. 1 and 2)
```
Everything here works in either image range: ``empty`` is the value of black, -1 in [-1, 1] and 0 in
[0, 1], and uncovered pixels have it.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from warpgan.symmetry import mirror_view
from warpgan.warp import WarpOptions, forward_warp, soft_holes, visible_pixels


@dataclass(frozen=True)
class Branch:
    """What SVINet sees of one branch, the photo's own or the mirrored one.

    Attributes:
        filled: ``[B, 3, H, W]`` the initial fill.
        render: ``[B, 3, H, W]`` the generator's view from the target camera, clamped to the range.
        hole: ``[B, 1, H, W]`` in [0, 1], 1 where something is missing.
        warped: ``[B, 3, H, W]`` the warped pixels before filling.
        visible: ``[B, 1, H, W]`` in {0, 1}, before erosion and blur.
    """

    filled: Tensor
    render: Tensor
    hole: Tensor
    warped: Tensor
    visible: Tensor

    def channels(self) -> Tensor:
        """``[B, 7, H, W]``: fill, render, hole."""
        return torch.cat([self.filled, self.render, self.hole], dim=1)


def initial_fill(
    image: Tensor,
    ray_length: Tensor,
    source: Tensor,
    *,
    target: Tensor,
    render: Tensor,
    options: WarpOptions,
    target_ray_length: Tensor | None = None,
    empty: float = -1.0,
) -> Branch:
    """Warp an image to the target camera and fill what it does not show.

    Args:
        image: ``[B, 3, H, W]`` at the source camera.
        ray_length: ``[B, 1, R, R]`` of the source view.
        source: labels ``[B, 25]``.
        target: labels ``[B, 25]``.
        render: ``[B, 3, H, W]`` the generator's view from the target camera.
        options: geometry and hole tests.
        target_ray_length: ``[B, 1, R, R]`` of the generator's target view; needed by the visibility
            tests only.
        empty: value of black, -1 or 0.

    Returns:
        The branch.
    """
    render = render.clamp(empty, 1.0)
    # Black must be 0 inside the splat, which leaves 0 where nothing lands.
    warped = forward_warp(image - empty, ray_length, source, target, options=options)
    visible = visible_pixels(
        warped,
        target,
        options=options,
        ray_length=ray_length,
        source=source,
        target_ray_length=target_ray_length,
    )
    hole = soft_holes(visible, options=options)
    colour = warped.colour + empty
    return Branch(
        filled=torch.lerp(colour, render, hole),
        render=render,
        hole=hole,
        warped=colour,
        visible=visible,
    )


def both_branches(
    image: Tensor,
    ray_length: Tensor,
    source: Tensor,
    *,
    target: Tensor,
    render: Tensor,
    options: WarpOptions,
    target_ray_length: Tensor | None = None,
    empty: float = -1.0,
    symmetry: bool = True,
) -> tuple[Branch, Branch | None]:
    """The photo's own branch and, with ``symmetry``, that of its mirror image.

    Arguments as for `initial_fill`. The mirrored branch warps the flipped image, seen from the
    mirrored camera, to the same target and has the same render in its holes (paper, section 3.3).

    Returns:
        The two branches; the second is None without symmetry.
    """
    common = {
        "target": target,
        "render": render,
        "options": options,
        "target_ray_length": target_ray_length,
        "empty": empty,
    }
    main = initial_fill(image, ray_length, source, **common)
    if not symmetry:
        return main, None
    mirrored = mirror_view(image, ray_length, source)
    return main, initial_fill(mirrored.image, mirrored.ray_length, mirrored.camera, **common)
