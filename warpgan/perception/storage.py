"""How the shipped nets lie on disk, and how they are read.

One safetensors file a net. A tensor is stored in one of three ways:

* single precision, under its own name, where half precision shows (depthwise kernels, biases);
* half precision, under its own name;
* 8 bits with one step and one origin per output channel, under `NAME`, `NAME.step` and
  `NAME.origin`; its value is `NAME * NAME.step + NAME.origin`.

Batch normalisation and similar affine layers are folded into the convolutions before storing, so
a stored net is convolutions with biases only. Weights are stored for RGB input. Everything is
float32 once read.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from warpgan.checkpoint_reader import read_tensor_file

STEP, ORIGIN = ".step", ".origin"


def quantise(weight: Tensor) -> dict[str, Tensor]:
    """Rounds a weight to 256 levels between the extremes of each output channel.

    Args:
        weight: `[O, ...]` float, output channels first.

    Returns:
        The suffixes `""`, `.step`, `.origin` with uint8 `[O, ...]`, float32 `[O, 1, ...]` twice.
    """
    flat = weight.double().flatten(1)
    shape = (-1, *[1] * (weight.dim() - 1))
    origin = flat.amin(1)
    step = ((flat.amax(1) - origin) / 255).clamp_min(1e-12)
    levels = ((flat - origin[:, None]) / step[:, None]).round().clamp(0, 255)
    return {
        "": levels.to(torch.uint8).view_as(weight),
        STEP: step.float().view(shape),
        ORIGIN: origin.float().view(shape),
    }


def write_net(path: Path, tensors: Mapping[str, Tensor], *, metadata: Mapping[str, str]) -> None:
    """Writes a converted net; the same net gives the same bytes.

    Args:
        path: The safetensors file to write.
        tensors: Tensors by state-dict name, or the three entries of `quantise` per name. float64
            becomes half precision, every other type stays.
        metadata: Net, origin and licence, kept in the file's header.

    Raises:
        ValueError: A float tensor does not fit half precision.
    """
    stored = {}
    for key, tensor in tensors.items():
        if tensor.dtype != torch.float64:
            stored[key] = tensor.contiguous()
            continue
        half = tensor.half()
        if not bool(half.isfinite().all()):
            raise ValueError(f"{key}: values up to {float(tensor.abs().max()):g} overflow float16")
        stored[key] = half.contiguous()
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(_with_sorted_metadata(save(stored, metadata=dict(metadata))))
    os.replace(partial, path)


def read_net(path: Path) -> dict[str, Tensor]:
    """Reads a net written by `write_net`.

    Args:
        path: The safetensors file.

    Returns:
        float32 tensors on the CPU by state-dict name.
    """
    with safe_open(path, framework="pt", device="cpu") as file:
        raw = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    tensors = {}
    for key, tensor in raw.items():
        if key.endswith((STEP, ORIGIN)):
            continue
        value = tensor.float()
        if tensor.dtype == torch.uint8:
            value = value * raw[key + STEP] + raw[key + ORIGIN]
        tensors[key] = value
    return tensors


def load_into(net: nn.Module, path: Path) -> nn.Module:
    """Fills a freshly built net from its shipped file, every key accounted for.

    Args:
        net: The network, with the file's exact parameter names.
        path: A file written by `write_net`.

    Returns:
        `net` in evaluation mode, needing no gradients for its parameters.

    Raises:
        ValueError: The file belongs to another net.
    """
    try:
        net.load_state_dict(read_net(path), strict=True)
    except (RuntimeError, KeyError, SafetensorError) as error:
        raise ValueError(
            f"{path} does not hold the weights of {type(net).__name__}; run `python -m "
            f"warpgan.weights verify` and restore the shipped file. {error}"
        ) from error
    return net.eval().requires_grad_(False)


def _with_sorted_metadata(content: bytes) -> bytes:
    """A safetensors file with its metadata in order: the library's own differs from run to run."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    if "__metadata__" in header:
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # tensors begin at a multiple of eight
    return len(text).to_bytes(8, "little") + text + content[8 + length :]


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Reads a published state dict without executing anything in it.

    Args:
        path: A file written by `torch.save`.

    Returns:
        Tensors on the CPU by name.

    Raises:
        ValueError: The file is damaged, or holds anything but named tensors.
    """
    hint = "not a plain state dict; download it anew, `python -m warpgan.weights verify` checks it"
    try:
        state = read_tensor_file(path)
    except ValueError as error:
        raise ValueError(f"{path} is {hint}") from error
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise ValueError(f"{path} is {hint}")
    return state
