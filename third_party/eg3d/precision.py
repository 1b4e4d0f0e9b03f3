"""Which parts stay in float32 when the caller runs under autocast."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def autocast_type(reference: Tensor) -> torch.dtype | None:
    """Type in which convolutions of `reference` run under autocast; None where that is off."""
    device = reference.device.type
    # Some devices, such as meta, know no autocast and refuse even the question.
    if not torch.amp.is_autocast_available(device) or not torch.is_autocast_enabled(device):
        return None
    return torch.get_autocast_dtype(device)


def full_precision(reference: Tensor) -> AbstractContextManager:
    """Context that switches autocast off on the device of `reference`."""
    device = reference.device.type
    if not torch.amp.is_autocast_available(device):
        return nullcontext()
    return torch.autocast(device, enabled=False)


def at_least_float32(x: Tensor) -> Tensor:
    """Return half-precision tensors as float32, others (float64 too) as they are."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
