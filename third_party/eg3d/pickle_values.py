"""The values an official EG3D snapshot is made of, as inert data.

`SNAPSHOT` lists every global such a file may name. A stored function call becomes a call of a
function below, which checks its arguments and returns plain data; a stored class a `Record`.
A tensor is the bytes of a legacy `torch.save` stream of one storage, read by the same machine.
"""

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass

import torch

from .pickle_machine import PickleError, PickleMachine, Record, Vocabulary

PERSISTENCE_VERSION = 6
MAX_TENSOR_DIMENSIONS = 8
# The parts of a storage's stream take about 40 operations.
MAX_STORAGE_OPERATIONS = 1_000

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001
_STORAGE_DTYPES = {
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "DoubleStorage": torch.float64,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
_SCALAR_LAYOUTS = {
    "f8": "d",
    "f4": "f",
    "f2": "e",
    "i8": "q",
    "i4": "i",
    "i2": "h",
    "i1": "b",
    "u8": "Q",
    "u4": "I",
    "u2": "H",
    "u1": "B",
    "b1": "?",
}


@dataclass(frozen=True)
class StoredTensor:
    """A tensor not read yet: its storage's bytes and its layout in them, already checked."""

    dtype: torch.dtype
    payload: memoryview
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    def read(self) -> torch.Tensor:
        """Copy the values into a contiguous CPU tensor."""
        if 0 in self.size:
            return torch.zeros(self.size, dtype=self.dtype)
        flat = torch.frombuffer(bytearray(self.payload), dtype=self.dtype)
        return torch.as_strided(flat, self.size, self.stride, self.offset).clone()


def _arguments(arguments: tuple, kinds: tuple[type, ...], name: str) -> tuple:
    """Check the leading arguments of a stored call; further ones are returned unchecked."""
    if len(arguments) < len(kinds) or any(
        type(value) is not kind for value, kind in zip(arguments, kinds, strict=False)
    ):
        shown = ", ".join(type(value).__name__ for value in arguments[:8])
        raise PickleError(f"{name} is called with ({shown}), which it does not take")
    return arguments


def _persistent_object(arguments: tuple) -> Record:
    (meta,) = _arguments(arguments, (dict,), "a persistent object")[:1]
    version = meta.get("version")
    if meta.get("type") != "class" or type(version) is not int:
        raise PickleError("a persistent object is not a stored class instance")
    if version != PERSISTENCE_VERSION:
        raise PickleError(
            f"its persistence version is {version}, only {PERSISTENCE_VERSION} is known"
        )
    name, state = meta.get("class_name"), meta.get("state")
    if type(name) is not str or type(state) is not dict:
        raise PickleError("a persistent object lacks its class name or state")
    return Record(name, state)


def _stored_tensor(arguments: tuple) -> StoredTensor:
    storage, offset, size, stride = _arguments(
        arguments, (StoredTensor, int, tuple, tuple), "_rebuild_tensor_v2"
    )[:4]
    whole = (*size, *stride, offset)
    if (
        len(storage.size) != 1
        or len(size) != len(stride)
        or len(size) > MAX_TENSOR_DIMENSIONS
        or any(type(value) is not int or value < 0 for value in whole)
    ):
        raise PickleError("a tensor's size and stride do not describe a tensor")
    numel = storage.size[0]
    last = offset + sum((count - 1) * step for count, step in zip(size, stride, strict=True))
    if math.prod(size) > numel or (0 not in size and last >= numel):
        raise PickleError(
            f"a tensor of shape {list(size)} does not fit in its {numel} stored values"
        )
    return StoredTensor(storage.dtype, storage.payload, offset, size, stride)


def _parameter(arguments: tuple) -> StoredTensor:
    return _arguments(arguments, (StoredTensor,), "_rebuild_parameter")[0]


def _empty_dict(arguments: tuple) -> dict:
    if arguments != ():
        raise PickleError("an OrderedDict with arguments is not accepted")
    return {}


def _set_of_names(arguments: tuple) -> set:
    (names,) = _arguments(arguments, (list,), "set")[:1] if arguments else ([],)
    if any(type(name) is not str for name in names):
        raise PickleError("a set of anything but strings is not accepted")
    return set(names)


def _encoded_bytes(arguments: tuple) -> memoryview:
    """Bytes as protocols 0 to 2 write them: a string of the same code points."""
    text, encoding = _arguments(arguments, (str, str), "_codecs.encode")[:2]
    if encoding != "latin1":
        raise PickleError(f"bytes encoded as {encoding[:20]!r} are not accepted")
    try:
        return memoryview(text.encode("latin1"))
    except UnicodeEncodeError as error:
        raise PickleError("malformed pickle: bytes beyond 255") from error


def _numpy_dtype(arguments: tuple) -> Record:
    code = _arguments(arguments, (str,), "numpy.dtype")[0]
    if code not in _SCALAR_LAYOUTS:
        raise PickleError(f"a numpy value of type {code[:20]!r} is not accepted")
    return Record("numpy.dtype", {"code": code})


def _numpy_scalar(arguments: tuple) -> int | float | bool:
    dtype, data = _arguments(arguments, (Record, memoryview), "a numpy scalar")[:2]
    code = dtype.state.get("code") if dtype.class_name == "numpy.dtype" else None
    layout = dtype.state.get("state", (3, "<"))
    order = layout[1] if type(layout) is tuple and len(layout) > 1 else None
    if type(code) is not str or code not in _SCALAR_LAYOUTS or order not in ("<", "|", "=", ">"):
        raise PickleError("a numpy scalar's type is malformed")
    layout = (">" if order == ">" else "<") + _SCALAR_LAYOUTS[code]
    if len(data) != struct.calcsize(layout):
        raise PickleError(f"a numpy {code} scalar has {len(data)} bytes")
    return struct.unpack(layout, data)[0]


# Tensor data: a legacy torch.save stream of one storage, as bytes inside the pickle


@dataclass(frozen=True)
class _StorageId:
    """What a storage says of itself; its device is dropped, so everything lands on the CPU."""

    dtype: torch.dtype
    key: str
    numel: int


def _storage(arguments: tuple) -> StoredTensor:
    data = _arguments(arguments, (memoryview,), "torch.storage._load_from_bytes")[0]
    position = 0
    parts = []
    for vocabulary in (_PLAIN, _PLAIN, _PLAIN, _STORAGE, _PLAIN):
        machine = PickleMachine(
            data, vocabulary, position=position, operations=MAX_STORAGE_OPERATIONS
        )
        parts.append(machine.load())
        position = machine.position
    magic, protocol, system, storage, keys = parts
    if magic != _LEGACY_MAGIC or protocol != _LEGACY_PROTOCOL or type(system) is not dict:
        raise PickleError("a tensor's bytes are not a torch storage")
    if system.get("little_endian") is not True:
        raise PickleError("a tensor was stored on a big-endian machine, which is not supported")
    if type(storage) is not _StorageId or type(keys) is not list or keys != [storage.key]:
        raise PickleError("a tensor's bytes hold anything but one storage")
    dtype, numel = storage.dtype, storage.numel
    payload = data[position + 8 :]
    counted = int.from_bytes(data[position : position + 8], "little")
    if counted != numel or len(payload) != numel * dtype.itemsize:
        raise PickleError(
            f"a storage announces {numel} values of {dtype}, its payload has {len(payload)} bytes"
        )
    return StoredTensor(dtype, payload, 0, (numel,), (1,))


def _storage_id(identity: object) -> _StorageId:
    if type(identity) is not tuple or len(identity) != 6:
        raise PickleError("a tensor's storage is malformed")
    kind, dtype, key, location, numel, view = identity
    if (
        kind != "storage"
        or type(dtype) is not torch.dtype
        or type(key) is not str
        or type(location) is not str
        or type(numel) is not int
        or numel < 0
        or view is not None
    ):
        raise PickleError("a tensor's storage is malformed")
    return _StorageId(dtype, key, numel)


_PLAIN = Vocabulary()
_STORAGE = Vocabulary(
    constants={("torch", name): dtype for name, dtype in _STORAGE_DTYPES.items()},
    persistent=_storage_id,
)


def _inert(class_name: str) -> Callable[[], Record]:
    return lambda: Record(class_name)


SNAPSHOT = Vocabulary(
    calls={
        ("torch_utils.persistence", "_reconstruct_persistent_obj"): _persistent_object,
        ("collections", "OrderedDict"): _empty_dict,
        ("torch._utils", "_rebuild_tensor_v2"): _stored_tensor,
        ("torch._utils", "_rebuild_parameter"): _parameter,
        ("torch._utils", "_rebuild_parameter_with_state"): _parameter,
        ("torch.storage", "_load_from_bytes"): _storage,
        ("numpy", "dtype"): _numpy_dtype,
        ("numpy.core.multiarray", "scalar"): _numpy_scalar,
        ("numpy._core.multiarray", "scalar"): _numpy_scalar,
        ("builtins", "set"): _set_of_names,
        ("__builtin__", "set"): _set_of_names,
        ("_codecs", "encode"): _encoded_bytes,
    },
    classes={
        ("dnnlib.util", "EasyDict"): dict,
        ("training.triplane", "OSGDecoder"): _inert("OSGDecoder"),
        ("training.volumetric_rendering.renderer", "ImportanceRenderer"): _inert(
            "ImportanceRenderer"
        ),
        ("training.volumetric_rendering.ray_marcher", "MipRayMarcher2"): _inert("MipRayMarcher2"),
        ("training.volumetric_rendering.ray_sampler", "RaySampler"): _inert("RaySampler"),
        ("torch.nn.modules.container", "Sequential"): _inert("Sequential"),
        ("torch.nn.modules.activation", "Softplus"): _inert("Softplus"),
    },
)
