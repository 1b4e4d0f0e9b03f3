"""Full precision inside an autocast region, on any device torch can name."""

from contextlib import AbstractContextManager, nullcontext

import torch


def full_precision(device: torch.device) -> AbstractContextManager[None]:
    """Switches autocast off for a device, where it exists at all (`meta` has none).

    Frozen recognition and feature nets normalise tiny differences; in half precision those drown.

    Args:
        device: The device of the tensors about to be used.

    Returns:
        A context manager.
    """
    if not torch.amp.is_autocast_available(device.type):
        return nullcontext()
    if not torch.is_autocast_enabled(device.type):
        return nullcontext()
    return torch.autocast(device.type, enabled=False)
