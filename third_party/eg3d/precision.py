"""Which parts stay in float32 when the caller runs under autocast."""

import torch
from torch import Tensor


def full_precision(reference: Tensor) -> torch.autocast:
    """Context that switches autocast off on the device of `reference`."""
    return torch.autocast(reference.device.type, enabled=False)


def at_least_float32(x: Tensor) -> Tensor:
    """Return half-precision tensors as float32, others (float64 too) as they are."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
