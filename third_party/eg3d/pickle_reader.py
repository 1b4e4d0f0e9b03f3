"""Official EG3D snapshots (`network-snapshot-*.pkl`), read without executing anything in them.

The container is a pickle of a dict with `G`, `D` and `G_ema`. A generator is stored as a record of
class name, source text of the defining module, and attributes; the official loader executes that
source. Here the source is ignored, every class is an inert `Record`, tensors are read straight from
their bytes onto the CPU whatever device they name, and only the names listed in `pickle_values` may
occur.
"""

import math
import mmap
from dataclasses import dataclass
from pathlib import Path

import torch

from .checkpoint_file import CheckpointError, describe_content, require_file
from .pickle_machine import PickleError, PickleMachine, Record
from .pickle_values import SNAPSHOT, StoredTensor

EXPECTED = "an official EG3D snapshot (.pkl holding G_ema, a TriPlaneGenerator)"
MAX_MODULES = 10_000
MAX_MODULE_DEPTH = 32
MAX_SETTING_DEPTH = 12
MAX_SETTINGS = 10_000

# Row k gives the matrix of plane k; a point's first two coordinates under its inverse are (u, v).
_RELEASED_AXES = (
    ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    ((1, 0, 0), (0, 0, 1), (0, 1, 0)),
    ((0, 0, 1), (1, 0, 0), (0, 1, 0)),
)
_FIXED_AXES = (*_RELEASED_AXES[:2], ((0, 0, 1), (0, 1, 0), (1, 0, 0)))


@dataclass(frozen=True)
class OfficialSnapshot:
    """What an official snapshot says about its generator.

    Attributes:
        source: key of the container the generator was taken from, `G_ema` or `G`.
        init_kwargs: the constructor's arguments, without `rendering_kwargs`.
        rendering_kwargs: the settings current when the snapshot was written.
        neural_rendering_resolution: rays a side current when the snapshot was written, or None.
        plane_axes: `released` or `fixed`, or None where the file does not say.
        tensors: state-dict name -> tensor on the CPU, dtype as stored.
    """

    source: str
    init_kwargs: dict
    rendering_kwargs: dict
    neural_rendering_resolution: int | None
    plane_axes: str | None
    tensors: dict[str, torch.Tensor]


def read_snapshot(path: str | Path) -> OfficialSnapshot:
    """Read an official snapshot; `G_ema` is preferred, `G` taken where it is absent.

    Args:
        path: the `.pkl` file.

    Raises:
        FileNotFoundError: no such file.
        CheckpointError: not an official snapshot of a TriPlaneGenerator, truncated, of another
            persistence version, or naming anything that is not on the list.
    """
    path = require_file(path, expected=EXPECTED)
    with path.open("rb") as file:
        data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    head = bytes(data[:256])
    if head[:1] != b"\x80" or describe_content(head).startswith("a torch.save"):
        raise _error(path, f"the file is {describe_content(head)}", _fix(head))
    try:
        machine = PickleMachine(data, SNAPSHOT)
        container = machine.load()
        if machine.position != len(data):
            extra = len(data) - machine.position
            raise PickleError(f"{extra} bytes follow the end of the pickle")
        return _snapshot(container, byte_limit=len(data))
    except PickleError as error:
        raise _error(path, str(error), _fix(head)) from error


def _error(path: Path, problem: str, fix: str) -> CheckpointError:
    return CheckpointError(path, f"{problem}; nothing in it was run", expected=EXPECTED, fix=fix)


def _fix(head: bytes) -> str:
    if head[:1] == b"\x80" and not describe_content(head).startswith("a torch.save"):
        return "Download the snapshot again, or convert it where it was made"
    return "Give the .pkl itself; a state dict goes by .pt or .pth, our own format by .safetensors"


# From the container to the snapshot


def _snapshot(container: object, *, byte_limit: int) -> OfficialSnapshot:
    if type(container) is not dict:
        raise PickleError(f"the pickle holds a {type(container).__name__}, not a dict with G_ema")
    source = "G_ema" if container.get("G_ema") is not None else "G"
    generator = container.get(source)
    if generator is None:
        raise PickleError(f"the pickle has no generator: its keys are {_short(container)}")
    if type(generator) is not Record:
        raise PickleError(
            f"{source} is a {type(generator).__name__}, not a stored TriPlaneGenerator"
            + (" (a state dict: save it alone as .pt)" if type(generator) is dict else "")
        )
    if generator.class_name != "TriPlaneGenerator":
        raise PickleError(f"{source} is a {generator.class_name[:80]!r}, not a TriPlaneGenerator")
    state = generator.state
    if state.get("_init_args"):
        raise PickleError("the generator was built with positional arguments, which have no names")
    init_kwargs = _settings(state.get("_init_kwargs"), "_init_kwargs")
    initial = init_kwargs.pop("rendering_kwargs", {})
    current = state.get("rendering_kwargs")
    resolution = state.get("neural_rendering_resolution")
    if resolution is not None and (type(resolution) is not int or resolution < 1):
        shown = resolution if type(resolution) is int else f"a {type(resolution).__name__}"
        raise PickleError(f"neural_rendering_resolution is {shown}, not a positive number")
    return OfficialSnapshot(
        source=source,
        init_kwargs=init_kwargs,
        rendering_kwargs=initial if current is None else _settings(current, "rendering_kwargs"),
        neural_rendering_resolution=resolution,
        plane_axes=_plane_axes(generator),
        tensors=_tensors(generator, byte_limit=byte_limit),
    )


def _short(container: dict) -> str:
    return ", ".join(str(key)[:40] for key in list(container)[:8]) or "none"


def _settings(value: object, name: str) -> dict:
    """Copy nested settings as plain dicts, lists and numbers, bounded in depth and count."""
    if type(value) is not dict:
        raise PickleError(f"the generator's {name} is missing or not a dict")
    left = MAX_SETTINGS

    def copy(item: object, depth: int) -> object:
        nonlocal left
        left -= 1
        if left < 0 or depth > MAX_SETTING_DEPTH:
            raise PickleError(f"the generator's {name} is nested or repeated without end")
        if item is None or type(item) in (bool, int, str):
            return item
        if type(item) is float and math.isfinite(item):
            return item
        if type(item) in (list, tuple):
            return [copy(entry, depth + 1) for entry in item]
        if type(item) is dict and all(type(key) is str for key in item):
            return {key: copy(entry, depth + 1) for key, entry in item.items()}
        raise PickleError(f"the generator's {name} holds a {type(item).__name__}, not a setting")

    return copy(value, 0)


def _plane_axes(generator: Record) -> str | None:
    modules = generator.state.get("_modules")
    renderer = modules.get("renderer") if type(modules) is dict else None
    axes = renderer.state.get("plane_axes") if type(renderer) is Record else None
    if axes is None:
        return None
    if type(axes) is not StoredTensor or axes.size != (3, 3, 3):
        raise PickleError("renderer.plane_axes is not a [3, 3, 3] tensor")
    values = axes.read().double()
    for name, known in (("released", _RELEASED_AXES), ("fixed", _FIXED_AXES)):
        if torch.equal(values, torch.tensor(known, dtype=torch.float64)):
            return name
    raise PickleError(
        f"renderer.plane_axes {values.int().tolist()} is neither the released (xy, xz, zx) nor the "
        "fixed (xy, xz, zy) set of planes, so the weights belong to another architecture"
    )


def _tensors(generator: Record, *, byte_limit: int) -> dict[str, torch.Tensor]:
    """The state dict of a stored module, in the order of the modules."""
    found: dict[str, StoredTensor] = {}
    visited = 0

    def visit(module: Record, prefix: str, depth: int) -> None:
        nonlocal visited
        visited += 1
        if visited > MAX_MODULES or depth > MAX_MODULE_DEPTH:
            raise PickleError("the generator's modules are nested or repeated without end")
        state = module.state
        skipped = state.get("_non_persistent_buffers_set", set())
        if type(skipped) is not set:
            raise PickleError("a stored module's _non_persistent_buffers_set is not a set")
        for group in ("_parameters", "_buffers"):
            for name, value in _named(state, group):
                if value is None or (group == "_buffers" and name in skipped):
                    continue
                if type(value) is not StoredTensor:
                    kind = type(value).__name__
                    raise PickleError(f"{prefix}{name} is a {kind}, not a tensor")
                found[prefix + name] = value
        for name, child in _named(state, "_modules"):
            if child is None:
                continue
            if type(child) is not Record:
                raise PickleError(f"{prefix}{name} is a {type(child).__name__}, not a module")
            visit(child, f"{prefix}{name}.", depth + 1)

    visit(generator, "", 0)
    # Each tensor of a snapshot has a storage of its own, so together they cannot exceed the file.
    announced = sum(len(tensor.payload) for tensor in found.values())
    if announced > byte_limit:
        raise PickleError(f"its tensors claim {announced} bytes, the file has {byte_limit}")
    return {name: tensor.read() for name, tensor in found.items()}


def _named(state: dict, group: str) -> list[tuple[str, object]]:
    members = state.get(group, {})
    if type(members) is not dict or any(type(name) is not str for name in members):
        raise PickleError(f"a stored module's {group} is not a dict of names")
    return list(members.items())
