"""Fake CUDA without a GPU: modules and steps whose every tensor claims to lie on a CUDA device.

Under torch's ``FakeTensorMode`` operators check devices, shapes and types and compute nothing. A
tensor that a module holds without registering it, or creates on the CPU, is noticed.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from warpgan.training.batch import Batch
from warpgan.training.encoder_step import EncoderModules


class OneDevice(TorchDispatchMode):
    """Fails on any operator that reads or makes a tensor with axes on another device."""

    def __init__(self, device: str) -> None:
        super().__init__()
        self.device_type = device
        self.operators = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        self.operators += 1
        for leaf in tree_leaves((args, kwargs, out)):
            if (
                isinstance(leaf, torch.Tensor)
                and leaf.ndim
                and leaf.device.type != self.device_type
            ):
                raise RuntimeError(f"{function} touches a tensor on {leaf.device.type}")
        return out


@contextmanager
def fake_cuda() -> Iterator[OneDevice]:
    """Everything inside is fake and must be on CUDA."""
    with FakeTensorMode(), OneDevice("cuda") as watch:
        yield watch


def move_to_fake_cuda(*modules: nn.Module) -> None:
    """Replace registered parameters and buffers, as ``.to("cuda")`` would; call inside the mode."""
    for root in modules:
        for module in root.modules():
            for table in (module._parameters, module._buffers):
                for name, value in table.items():
                    if value is not None:
                        fake = torch.empty(value.shape, dtype=value.dtype, device="cuda")
                        if isinstance(value, nn.Parameter):
                            fake = nn.Parameter(fake, requires_grad=value.requires_grad)
                        table[name] = fake


def empty_batch(size: int, *, device: str, count: int = 1) -> Batch:
    """Photos and cameras without content."""
    photo = torch.empty(count, 3, size, size, device=device)
    return Batch(photo, torch.empty(count, 25, device=device), ("nobody.png",) * count)


def trainable(modules: EncoderModules) -> list[nn.Parameter]:
    return [p for p in modules.encoder.parameters() if p.requires_grad]
