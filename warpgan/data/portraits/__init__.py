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
from warpgan.data.portraits.visibility import true_visibility

__all__ = [
    "BACKDROP_CENTRE", "BACKDROP_RADIUS", "BOX_CENTRE", "BOX_WARP", "FAR", "LATENT_DIM", "NEAR",
    "Attributes", "Portrait", "View", "sample_latents", "true_visibility",
]  # fmt: skip
