"""Networks that rebuild themselves: `NAME.safetensors` with weights, `NAME.json` with the rest.

The description beside the weights holds the network's constructor arguments, so that no config is
needed to load it. Both files are written aside and renamed. Stored as int8, a large weight is kept
row by row, as 1/127 of the row's greatest number, which stands beside it as `NAME.row_scale`; an
entry is then off by at most 0.4 % of that number.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

ROW_SCALE = ".row_scale"
LEAST_QUANTISED = 1024
"""Smaller tensors, and those of one axis, are stored as float16 where int8 is asked for."""


@dataclass(frozen=True)
class FileKind:
    """What a pair of files holds.

    Attributes:
        format: marks the files.
        version: of the format.
        noun: with its article, for messages, such as ``an encoder``.
    """

    format: str
    version: int
    noun: str


def save_described(
    path: str | Path,
    state: Mapping[str, Tensor],
    description: Mapping[str, Any],
    *,
    kind: FileKind,
    dtype: torch.dtype = torch.float32,
) -> None:
    """Write weights to `path` and their description beside it.

    Args:
        path: name ending in `.safetensors`.
        state: a state dict.
        description: what rebuilds the network, ready for JSON.
        kind: marks the files.
        dtype: how floating-point weights are stored: float32, float16, or int8 (see the module).

    Raises:
        ValueError: another ending.
    """
    path = weights_path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    stored: dict[str, Tensor] = {}
    for name, value in state.items():
        value = value.detach().cpu()
        if value.is_floating_point():
            if dtype == torch.int8 and value.ndim > 1 and value.numel() >= LEAST_QUANTISED:
                value, stored[name + ROW_SCALE] = _to_rows_of_int8(value)
            else:
                value = value.to(torch.float16 if dtype == torch.int8 else dtype)
        stored[name] = value.contiguous()
    partial = path.with_name(path.name + ".partial")
    save_file(stored, partial, metadata={"format": kind.format})
    beside = path.with_suffix(".json")
    partial_json = beside.with_name(beside.name + ".partial")
    content = {"format": kind.format, "format_version": kind.version, **description}
    partial_json.write_text(json.dumps(content, indent=1) + "\n")
    os.replace(partial, path)
    os.replace(partial_json, beside)


def load_described(path: str | Path, *, kind: FileKind) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read what `save_described` wrote: description and weights.

    Raises:
        FileNotFoundError: the weights or the description beside them are not there.
        ValueError: files of another kind or format version, or damaged ones.
    """
    path = weights_path(path)
    beside = path.with_suffix(".json")
    for needed in (path, beside):
        if not needed.is_file():
            raise FileNotFoundError(
                f"{needed}: no such file; {kind.noun} is saved as {path.name} and {beside.name} in "
                "one folder"
            )
    description = _read_description(beside, kind)
    try:
        stored = load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path}: not a readable safetensors file ({error})") from error
    scales = {name: stored.pop(name) for name in list(stored) if name.endswith(ROW_SCALE)}
    for name, scale in scales.items():
        name = name.removesuffix(ROW_SCALE)
        if name not in stored:
            raise ValueError(f"{path}: a row scale of {name!r}, but no such weight")
        stored[name] = stored[name].float() * scale.float()
    return description, stored


def check_fit(
    path: str | Path, own: Mapping[str, Tensor], found: Mapping[str, Tensor], *, kind: FileKind
) -> None:
    """Compare names and shapes of a network's state with those of a file.

    Raises:
        ValueError: they differ.
    """
    wrong = sorted(own.keys() ^ found.keys())
    wrong += sorted(k for k in own.keys() & found.keys() if own[k].shape != found[k].shape)
    if wrong:
        raise ValueError(
            f"{path}: {len(wrong)} tensors do not fit the {kind.noun.split()[-1]} that "
            f"{Path(path).with_suffix('.json').name} describes, first: {wrong[:3]}"
        )


def weights_path(path: str | Path) -> Path:
    """The path, checked for its ending.

    Raises:
        ValueError: another ending than `.safetensors`.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(f"{path}: expected a name ending in .safetensors")
    return path


def _read_description(path: Path, kind: FileKind) -> dict[str, Any]:
    try:
        description = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path}: not valid JSON ({error})") from error
    if not isinstance(description, dict) or description.get("format") != kind.format:
        raise ValueError(f"{path}: does not describe {kind.noun} (format {kind.format!r} expected)")
    if description.get("format_version") != kind.version:
        raise ValueError(
            f"{path}: format version {description.get('format_version')!r}, this code reads "
            f"{kind.version}"
        )
    if not isinstance(description.get("arguments"), dict):
        raise ValueError(f"{path}: no constructor arguments inside")
    return description


def _to_rows_of_int8(weight: Tensor) -> tuple[Tensor, Tensor]:
    """The weight in -127..127 and its scales, one a row of its first axis of more than one."""
    rows = next((axis for axis, size in enumerate(weight.shape) if size > 1), 0)
    others = [axis for axis in range(weight.ndim) if axis != rows]
    scale = (weight.abs().amax(dim=others, keepdim=True) / 127).clamp(min=1e-7).to(torch.float16)
    return (weight / scale.float()).round().clamp(-127, 127).to(torch.int8), scale
