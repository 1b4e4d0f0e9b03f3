"""Generators from files and to files. No file is ever executed.

| suffix | content | settings come from |
|---|---|---|
| `.pkl` | official EG3D snapshot | the snapshot |
| `.pt`, `.pth` | state dict, bare or under `G_ema` | arguments, else shapes and the FFHQ release |
| `.safetensors` | ours: tensors, with a `.json` of the same name beside it | the JSON |
"""

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .architecture import infer_architecture
from .checkpoint_file import CheckpointError, describe_content, read_head, require_file
from .generator import TriPlaneGenerator, build_generator
from .pickle_reader import read_snapshot
from .stored_generator import EXPECTED, StoredGenerator, read_pair, write_pair
from .torch_file import read_torch_file

SUFFIXES = (".pkl", ".pt", ".pth", ".safetensors")
STATE_DICT_KEYS = ("G_ema", "G")
TRAINING_TENSORS = ("dataset_label_std",)
MAX_SIZE = 1 << 20
MAX_MAPPING_LAYERS = 64
MAX_RAW_RESOLUTION = 4096

_log = logging.getLogger(__name__)


def load_generator(
    path: str | Path,
    *,
    device: str | torch.device = "cpu",
    init_kwargs: Mapping[str, Any] | None = None,
    rendering_kwargs: Mapping[str, Any] | None = None,
    neural_rendering_resolution: int | None = None,
    plane_axes: str | None = None,
) -> TriPlaneGenerator:
    """Load a generator, in evaluation mode, float32, without gradients on its weights.

    Args:
        path: `.pkl`, `.pt`, `.pth` or `.safetensors` (see the module's table).
        device: where its tensors go.
        init_kwargs: construction arguments instead of the file's (or the inferred) ones.
        rendering_kwargs: rendering settings instead of the file's.
        neural_rendering_resolution: rays a side instead of the file's.
        plane_axes: `released` or `fixed` instead of the file's; `released` where nothing says.

    Raises:
        FileNotFoundError: no such file, or no JSON beside a `.safetensors`.
        ValueError: a device that is not there.
        CheckpointError: (a ValueError) the file is not a usable generator; the message names what
            was expected and what to do.
    """
    device = _usable_device(device)
    path = require_file(path, expected=EXPECTED)
    if path.suffix == ".pkl":
        stored = _from_snapshot(path)
    elif path.suffix in (".pt", ".pth"):
        stored = _from_state_dict(path, infer=init_kwargs is None)
    elif path.suffix == ".safetensors":
        stored = read_pair(path)
    else:
        raise CheckpointError(
            path,
            f"the suffix is {path.suffix!r} and the file is {describe_content(read_head(path))}",
            expected=EXPECTED,
            fix="Give it the suffix of its content",
        )
    given = {
        "init_kwargs": init_kwargs,
        "rendering_kwargs": rendering_kwargs,
        "neural_rendering_resolution": neural_rendering_resolution,
        "plane_axes": plane_axes,
    }
    stored = replace(stored, **{key: value for key, value in given.items() if value is not None})
    return _assemble(path, stored).to(device)


def save_generator(
    generator: TriPlaneGenerator, path: str | Path, *, dtype: torch.dtype = torch.float32
) -> None:
    """Write a generator as `.safetensors` and `.json`, aside first and then renamed.

    Args:
        generator: any generator, whatever its device and mode.
        path: ends in `.safetensors`; missing folders are made, existing files replaced.
        dtype: float32, or float16 for half the size (loaded back to float32).

    Raises:
        ValueError: another suffix or dtype, or a weight that is not finite in `dtype`.
    """
    init_kwargs = {k: v for k, v in generator.init_kwargs.items() if k != "rendering_kwargs"}
    write_pair(
        StoredGenerator(
            tensors=dict(generator.state_dict()),
            init_kwargs=init_kwargs,
            rendering_kwargs=generator.rendering_kwargs,
            neural_rendering_resolution=generator.neural_rendering_resolution,
            plane_axes=generator.plane_axes,
        ),
        path,
        dtype=dtype,
    )


def _usable_device(device: str | torch.device) -> torch.device:
    """Told before a large file is read."""
    try:
        usable = torch.device(device)
    except RuntimeError as error:
        raise ValueError(f"device is {device!r}; expected 'cpu', 'cuda' or 'cuda:N'") from error
    if usable.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device is {device!r}, but torch sees no GPU here; use 'cpu'")
    return usable


def _from_snapshot(path: Path) -> StoredGenerator:
    snapshot = read_snapshot(path)
    if snapshot.source != "G_ema":
        _log.warning("%s has no G_ema; its %s is taken instead", path, snapshot.source)
    return StoredGenerator(
        tensors=snapshot.tensors,
        init_kwargs=snapshot.init_kwargs,
        rendering_kwargs=snapshot.rendering_kwargs,
        neural_rendering_resolution=snapshot.neural_rendering_resolution,
        plane_axes=snapshot.plane_axes,
    )


def _from_state_dict(path: Path, *, infer: bool) -> StoredGenerator:
    content = read_torch_file(path, expected=EXPECTED)
    tensors = content
    for key in STATE_DICT_KEYS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            tensors = content[key]
            break
    if not isinstance(tensors, Mapping) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in tensors.items()
    ):
        found = type(content).__name__
        if isinstance(content, Mapping):
            found += " with the keys " + ", ".join(str(key)[:40] for key in list(content)[:6])
        raise CheckpointError(
            path,
            f"it holds a {found}, not names and tensors",
            expected="a generator's state dict, bare or under the key 'G_ema'",
            fix="Save generator.state_dict() with torch.save",
        )
    tensors = dict(tensors)
    if not infer:
        return StoredGenerator(tensors, {}, {}, None, None)
    try:
        found = infer_architecture(tensors)
    except ValueError as error:
        raise CheckpointError(
            path,
            f"{error}",
            expected="the state dict of an official TriPlaneGenerator",
            fix="Pass init_kwargs= and rendering_kwargs= for a generator of other sizes",
        ) from error
    _log.warning(
        "%s carries no settings: sizes are read from its shapes, ray limits, samples and camera "
        "scale are those of the FFHQ release; pass rendering_kwargs= for another domain",
        path,
    )
    return StoredGenerator(
        tensors,
        found.init_kwargs,
        found.rendering_kwargs,
        found.neural_rendering_resolution,
        None,
    )


def _assemble(path: Path, stored: StoredGenerator) -> TriPlaneGenerator:
    """Build the generator and fill it, after names, shapes and values are known to fit."""
    tensors = {k: v for k, v in stored.tensors.items() if k not in TRAINING_TENSORS}
    _check_sizes(path, stored)
    # A description may ask for any size: on `meta` nothing is allocated until it fits the file.
    with torch.device("meta"):
        planned = _build(path, stored)
    _check_tensors(path, tensors, planned.state_dict())
    with torch.random.fork_rng(devices=[]):  # the caller's random numbers do not depend on loading
        generator = _build(path, stored)
    generator.load_state_dict({name: value.float() for name, value in tensors.items()})
    return generator.eval().requires_grad_(False)


def _build(path: Path, stored: StoredGenerator) -> TriPlaneGenerator:
    try:
        return build_generator(
            stored.init_kwargs,
            rendering_kwargs=stored.rendering_kwargs,
            neural_rendering_resolution=stored.neural_rendering_resolution,
            plane_axes=stored.plane_axes or "released",
        )
    except (
        KeyError,
        ValueError,
        TypeError,
        AttributeError,
        ArithmeticError,
        RuntimeError,
    ) as error:
        # Settings of a file can be of any type, so the builder may fail in any of these ways.
        reason = error.args[0] if isinstance(error, KeyError) and error.args else error
        raise CheckpointError(
            path,
            f"no generator can be built from its settings ({reason})",
            expected=EXPECTED,
            fix="Pass corrected init_kwargs= or rendering_kwargs= to load_generator",
        ) from error


def _check_sizes(path: Path, stored: StoredGenerator) -> None:
    """Refuse sizes that no checkpoint has, which would take for ever even to plan."""
    groups = [stored.init_kwargs]
    groups += [stored.init_kwargs.get(key) for key in ("mapping_kwargs", "extensions")]
    values = [value for group in groups if isinstance(group, Mapping) for value in group.values()]
    largest = max((abs(value) for value in values if isinstance(value, int)), default=0)
    layers = groups[1].get("num_layers", 0) if isinstance(groups[1], Mapping) else 0
    side = stored.neural_rendering_resolution
    if side is not None and (type(side) is not int or not 1 <= side <= MAX_RAW_RESOLUTION):
        problem = f"neural_rendering_resolution is {side!r}"
    elif largest > MAX_SIZE or (isinstance(layers, int) and layers > MAX_MAPPING_LAYERS):
        problem = f"its settings ask for a size of {largest} and {layers} mapping layers"
    else:
        return
    raise CheckpointError(
        path,
        problem,
        expected=f"sizes up to {MAX_SIZE}, at most {MAX_MAPPING_LAYERS} layers, and 1 to "
        f"{MAX_RAW_RESOLUTION} rays a side",
        fix="Pass corrected values to load_generator",
    )


def _check_tensors(path: Path, tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    """Refuse missing, surplus, wrongly shaped, integer and not finite tensors by name."""
    missing = [name for name in wanted if name not in tensors]
    surplus = [name for name in tensors if name not in wanted]
    reshaped = [
        f"{name} {list(tensors[name].shape)} instead of {list(wanted[name].shape)}"
        for name in wanted
        if name in tensors and tensors[name].shape != wanted[name].shape
    ]
    problems = [
        f"{len(names)} tensors {what}: {', '.join(names[:4])}{', ...' if len(names) > 4 else ''}"
        for what, names in (("missing", missing), ("unknown", surplus), ("misshapen", reshaped))
        if names
    ]
    if not problems:
        odd = [k for k, v in tensors.items() if not (v.is_floating_point() and v.is_cpu)]
        broken = [k for k, v in tensors.items() if k not in odd and not v.isfinite().all()]
        if odd:
            problems.append(f"not floating-point tensors: {', '.join(odd[:4])}")
        if broken:
            problems.append(f"NaN or infinite values in {', '.join(broken[:4])}")
    if problems:
        raise CheckpointError(
            path,
            "; ".join(problems),
            expected=f"the {len(wanted)} tensors of the generator its settings describe",
            fix="Use the settings that belong to it (its .json, or init_kwargs=), or convert again",
        )
