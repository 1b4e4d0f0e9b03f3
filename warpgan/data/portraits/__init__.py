"""The embedded world: seeded parametric heads with true depth, masks and visibility."""

from warpgan.data.portraits.appearance import LATENT_DIM, sample_latents
from warpgan.data.portraits.portrait import (
    BACKDROP_CENTRE,
    BACKDROP_RADIUS,
    BOX_CENTRE,
    BOX_WARP,
    FAR,
    NEAR,
    Attributes,
    Portrait,
    View,
)

__all__ = [
    "BACKDROP_CENTRE", "BACKDROP_RADIUS", "BOX_CENTRE", "BOX_WARP", "FAR", "LATENT_DIM", "NEAR",
    "Attributes", "Portrait", "View", "sample_latents",
]  # fmt: skip
