"""Our own file format: `NAME.safetensors` with the tensors, `NAME.json` with the settings.

The JSON names the format and its version, and carries the SHA-256 of the tensor file, so that two
files that do not belong together, or a damaged one, are noticed.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from .checkpoint_file import CheckpointError, describe_content, read_head, require_file

FORMAT = "eg3d-generator"
FORMAT_VERSION = 1
EXPECTED = (
    "a generator: an official snapshot (.pkl), a state dict (.pt, .pth), or a .safetensors file "
    "with its .json beside it"
)
STORED_DTYPES = {torch.float32: "float32", torch.float16: "float16"}
MAX_DESCRIPTION_BYTES = 1 << 20
_FIELDS = {
    "init_kwargs": dict,
    "rendering_kwargs": dict,
    "extensions": dict,
    "neural_rendering_resolution": int,
    "plane_axes": str,
}


@dataclass(frozen=True)
class StoredGenerator:
    """A generator as a file gives it.

    Attributes:
        tensors: state dict on the CPU, dtypes as stored.
        init_kwargs: construction arguments with `extensions`, without `rendering_kwargs`.
        rendering_kwargs: rendering settings.
        neural_rendering_resolution: rays a side, or None where the file does not say.
        plane_axes: `released`, `fixed`, or None where the file does not say.
    """

    tensors: dict[str, Tensor]
    init_kwargs: Mapping[str, Any]
    rendering_kwargs: Mapping[str, Any]
    neural_rendering_resolution: int | None
    plane_axes: str | None


def write_pair(stored: StoredGenerator, path: str | Path, *, dtype: torch.dtype) -> None:
    """Write both files beside their targets first, then rename them.

    Args:
        stored: what to write; all fields set.
        path: ends in `.safetensors`.
        dtype: a key of `STORED_DTYPES`.

    Raises:
        ValueError: another suffix or dtype, a folder in the way, or a value not finite in `dtype`.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(f"{path}: the file must end in .safetensors, as NAME.safetensors")
    if path.is_dir():
        raise ValueError(f"{path} is a folder; give the name of a file to write")
    if dtype not in STORED_DTYPES:
        raise ValueError(f"dtype {dtype} is not one of {', '.join(STORED_DTYPES.values())}")
    tensors = {
        name: value.detach().to("cpu", dtype).contiguous() for name, value in stored.tensors.items()
    }
    broken = [name for name, value in tensors.items() if not value.isfinite().all()]
    if broken:
        raise ValueError(
            f"{path}: not written, {', '.join(broken[:4])} has values that are not finite in "
            f"{STORED_DTYPES[dtype]}; store float32, or check the training"
        )
    init_kwargs = _plain(stored.init_kwargs)
    description = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "dtype": STORED_DTYPES[dtype],
        "extensions": init_kwargs.pop("extensions", None) or {},
        "init_kwargs": init_kwargs,
        "rendering_kwargs": _plain(stored.rendering_kwargs),
        "neural_rendering_resolution": int(stored.neural_rendering_resolution),
        "plane_axes": stored.plane_axes,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    target_json = path.with_suffix(".json")
    with ExitStack() as cleanup:
        aside, aside_json = (
            target.with_name(f".{target.name}.{os.getpid()}.tmp") for target in (path, target_json)
        )
        for leftover in (aside, aside_json):
            cleanup.callback(leftover.unlink, missing_ok=True)
        save_file(tensors, aside, metadata={"format": FORMAT})
        description["sha256"] = _digest(aside)
        text = json.dumps(description, indent=2, allow_nan=False)
        aside_json.write_text(text + "\n", encoding="utf-8")
        os.replace(aside, path)
        os.replace(aside_json, target_json)


def read_pair(path: Path) -> StoredGenerator:
    """Read what `write_pair` wrote.

    Args:
        path: the `.safetensors` file; the `.json` is beside it.

    Raises:
        FileNotFoundError: no JSON beside it.
        CheckpointError: damaged, foreign, of a newer format, or not belonging together.
    """
    content = describe_content(read_head(path))
    if not content.startswith("a safetensors"):
        raise CheckpointError(
            path,
            f"the file is {content}",
            expected=EXPECTED,
            fix="Give it the suffix of its content, or copy it again",
        )
    description = _read_description(path)
    digest = description.get("sha256")
    if digest is not None and digest != _digest(path):
        raise CheckpointError(
            path,
            f"its SHA-256 is not the one in {path.with_suffix('.json').name}: the file is damaged "
            "or the two do not belong together",
            expected=EXPECTED,
            fix="Copy both files again from the same place",
        )
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise CheckpointError(
            path,
            f"truncated or damaged ({error})",
            expected=EXPECTED,
            fix="Copy or convert it again",
        ) from error
    init_kwargs = dict(description["init_kwargs"])
    if description["extensions"]:
        init_kwargs["extensions"] = description["extensions"]
    return StoredGenerator(
        tensors=tensors,
        init_kwargs=init_kwargs,
        rendering_kwargs=description["rendering_kwargs"],
        neural_rendering_resolution=description["neural_rendering_resolution"],
        plane_axes=description["plane_axes"],
    )


def _read_description(weights: Path) -> dict[str, Any]:
    path = weights.with_suffix(".json")
    expected = f"the settings of {weights.name}, as save_generator and eg3d.convert write them"
    if not path.exists():
        raise FileNotFoundError(
            f"{path}: no such file. Expected {expected}. Copy it from where the .safetensors came, "
            "or convert the original again: python -m eg3d.convert"
        )
    require_file(path, expected=expected)

    def error(problem: str, fix: str = "Copy it again, or convert the original again"):
        return CheckpointError(path, problem, expected=expected, fix=fix)

    if path.stat().st_size > MAX_DESCRIPTION_BYTES:
        raise error(f"it has {path.stat().st_size} bytes, far more than settings take")
    try:
        description = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as cause:
        raise error(f"it is not JSON ({cause})") from cause
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        raise error(f"it is JSON, but its format is not {FORMAT!r}")
    version = description.get("format_version")
    if type(version) is not int or not 1 <= version <= FORMAT_VERSION:
        raise error(
            f"its format_version is {version!r}; this program knows 1 to {FORMAT_VERSION}",
            "Update this program, or convert the original again",
        )
    for key, kind in _FIELDS.items():
        if type(description.get(key)) is not kind:
            raise error(f"its {key!r} is {description.get(key)!r:.60}, not a {kind.__name__}")
    return description


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as JSON can hold them: mappings as dicts, sequences as lists, numpy as numbers."""

    def plain(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {str(key): plain(entry) for key, entry in value.items()}
        if isinstance(value, (list, tuple)):
            return [plain(entry) for entry in value]
        return value.item() if hasattr(value, "item") else value

    return plain(settings)
