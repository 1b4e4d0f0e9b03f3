"""Losses: one term a function of tensors, and the named sum that weighs and logs them."""

from warpgan.losses.encoder import (
    EncoderLosses,
    IdentityTerm,
    PerceptualTerm,
    Reconstruction,
    build_encoder_losses,
)
from warpgan.losses.inpainting import InpaintedViews, SVINetLosses, build_svinet_losses
from warpgan.losses.total import LossSum, LossValues

__all__ = [
    "EncoderLosses",
    "IdentityTerm",
    "InpaintedViews",
    "LossSum",
    "LossValues",
    "PerceptualTerm",
    "Reconstruction",
    "SVINetLosses",
    "build_encoder_losses",
    "build_svinet_losses",
]
