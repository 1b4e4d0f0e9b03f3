"""Losses: one term a function of tensors, and the named sum that weighs and logs them."""

from warpgan.losses.encoder import (
    EncoderLosses,
    IdentityTerm,
    PerceptualTerm,
    Reconstruction,
    build_encoder_losses,
)
from warpgan.losses.total import LossSum, LossValues

__all__ = [
    "EncoderLosses",
    "IdentityTerm",
    "LossSum",
    "LossValues",
    "PerceptualTerm",
    "Reconstruction",
    "build_encoder_losses",
]
