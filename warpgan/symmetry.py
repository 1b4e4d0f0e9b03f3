"""Facial symmetry: the mirrored view of a photo, and the features it lends (paper, section 3.3)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from warpgan.cameras import mirror_label
from warpgan.ffc import Features, plain_layer

FILMS = ("scale", "one_plus_scale")


@dataclass(frozen=True)
class MirroredView:
    """What a camera on the other side sees of the mirrored face.

    Attributes:
        image: ``[B, C, H, W]``.
        ray_length: ``[B, 1, R, R]``, None if none was given.
        camera: labels ``[B, 25]``.
    """

    image: Tensor
    ray_length: Tensor | None
    camera: Tensor


def mirror_view(image: Tensor, ray_length: Tensor | None, camera: Tensor) -> MirroredView:
    """Mirror a view about the plane x = 0.

    Args:
        image: ``[B, C, H, W]``, any range.
        ray_length: ``[B, 1, R, R]`` along the camera's rays, or None.
        camera: labels ``[B, 25]``.

    Returns:
        The flipped maps and the mirrored camera; twice is the identity.
    """
    return MirroredView(
        image=image.flip(-1),
        ray_length=None if ray_length is None else ray_length.flip(-1),
        camera=mirror_label(camera),
    )


class SymmetryRefinement(nn.Module):
    """Feature-wise linear modulation of a branch by both branches (paper, section 3.3).

    Scale and shift come from two small networks of the concatenated features of the photo's own
    and the mirrored branch; both are >= 0 because a ReLU ends them. With ``film="scale"``:
    F' = scale * F + shift, as the paper writes it; with ``"one_plus_scale"``:
    F' = (1 + scale) * F + shift, as released.
    """

    def __init__(self, channels: tuple[int, int], *, film: str = "scale") -> None:
        """Build the module.

        Args:
            channels: local and global channels of one branch.
            film: ``"scale"`` or ``"one_plus_scale"``.

        Raises:
            ValueError: another `film`.
        """
        super().__init__()
        if film not in FILMS:
            raise ValueError(f"film={film!r} is not known; choose one of {', '.join(FILMS)}")
        self.film = film
        both = (2 * channels[0], 2 * channels[1])
        self.condition_scale = _head(both, channels)
        self.condition_shift = _head(both, channels)
        if film == "scale":
            # Starts around 1, not around 0, so that the features get through.
            for norm in (self.condition_scale[1].bn_l, self.condition_scale[1].bn_g):
                nn.init.ones_(norm.bias)

    def forward(self, main: Features, mirrored: Features) -> Features:
        """Refine the features `main` with those of the mirrored branch, of the same shapes."""
        both = Features(
            local=torch.cat([main.local, mirrored.local], dim=1),
            spread=torch.cat([main.spread, mirrored.spread], dim=1),
        )
        scale, shift = self.condition_scale(both), self.condition_shift(both)
        return Features(
            local=self.modulate(main.local, scale.local, shift.local),
            spread=self.modulate(main.spread, scale.spread, shift.spread),
        )

    def modulate(self, features: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        """Scale and shift ``[B, C, H, W]`` by maps of the same shape."""
        refined = torch.addcmul(shift, scale, features)
        return refined + features if self.film == "one_plus_scale" else refined


def _head(both: tuple[int, int], channels: tuple[int, int]) -> nn.Sequential:
    return nn.Sequential(plain_layer(both, channels), plain_layer(channels, channels))
