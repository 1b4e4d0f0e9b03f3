"""Nets that judge pictures, for losses and for reports; a net of the one is not one of the other.

Images are `[B, 3, H, W]` RGB in [-1, 1] for every net; `pixels` and `crops` do the rest.
"""

from warpgan.perception.build import (
    IDENTITY_NETS,
    PERCEPTUAL_NETS,
    build_identity,
    build_perceptual,
)
from warpgan.perception.identity import IdentityNet
from warpgan.perception.perceptual import PerceptualNet
from warpgan.perception.set_features import SET_NETS, SetFeatureNet, build_set_net

__all__ = [
    "IDENTITY_NETS",
    "PERCEPTUAL_NETS",
    "SET_NETS",
    "IdentityNet",
    "PerceptualNet",
    "SetFeatureNet",
    "build_identity",
    "build_perceptual",
    "build_set_net",
]
