"""Reads `torch.save` zip files that pickle foreign objects, without executing anything.

The released checkpoints hold OmegaConf objects beside their tensors, so torch's `weights_only`
refuses them. Here the pickle is first scanned opcode by opcode, then interpreted with an exact
allow-list: ordered dicts, torch's tensor rebuilding (replaced by a record of where the bytes are)
and storage types. Every other class or function named in the file becomes an inert stand-in that
stores what it is given and does nothing. Tensors are copied out of the archive afterwards, after
checking their bounds.
"""

import io
import pickle
import pickletools
import zipfile
from collections import OrderedDict
from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

MAX_PICKLE_BYTES = 1 << 28
MAX_DEPTH = 64
STORAGE_DTYPES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
# Opcodes that reach outside the stream (extension registry, text persistent ids) or that torch.save
# never writes.
REFUSED_OPCODES = {"EXT1", "EXT2", "EXT4", "PERSID", "INST", "OBJ", "NEXT_BUFFER"}


class InertObject:
    """Stand-in for an object of a class that is not on the allow-list. Holds data, does nothing."""

    path = ""

    def __new__(cls, *args: Any, **kwargs: Any) -> "InertObject":
        """Keep the constructor arguments and call nothing."""
        self = super().__new__(cls)
        self.args = args
        self.state = None
        self.items = []
        return self

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Accept and ignore the arguments, already kept by `__new__`."""

    def __setstate__(self, state: Any) -> None:
        """Keep the pickled state as data."""
        self.state = state

    def __setitem__(self, key: Any, value: Any) -> None:
        """Keep an item of a dict subclass as data."""
        self.items.append((key, value))

    def append(self, value: Any) -> None:
        """Keep an item of a list subclass as data."""
        self.items.append(value)

    def extend(self, values: Any) -> None:
        """Keep items of a list subclass as data."""
        self.items.extend(values)

    def __repr__(self) -> str:
        """Name the class that was not built."""
        return f"<inert {self.path}>"


class StorageRecord(NamedTuple):
    """A storage of the archive: its `key`, element type and number of elements."""

    key: str
    dtype: torch.dtype
    numel: int


class TensorRecord(NamedTuple):
    """Where a tensor lies in the archive; `offset` and `stride` count elements."""

    storage: StorageRecord
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


def read_torch_zip(path: str | Path, *, only: Collection[str] | None = None) -> Any:
    """Read a zip-format `torch.save` file.

    Args:
        path: the file.
        only: top-level keys whose tensors are read; tensors elsewhere (an optimiser's, say) stay
            `TensorRecord`s and cost no memory. None reads all.

    Returns:
        What was saved, usually a nested dict: tensors on the CPU (whatever device they were saved
        from), plain Python values, and `InertObject`s or subclasses of it for everything else.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not such a file, truncated, or built to do something else than hold tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        with zipfile.ZipFile(path) as archive:
            prefix = _check_archive(archive, path)
            tree = _unpickle(archive.read(f"{prefix}/data.pkl"), path)
            reader = _StorageReader(archive, prefix, path)
            if only is None or not isinstance(tree, dict):
                return reader.fill(tree)
            return {
                key: reader.fill(value) if key in only else value for key, value in tree.items()
            }
    except zipfile.BadZipFile as error:
        raise ValueError(f"{path}: {_describe_foreign(path)} ({error})") from error


def read_tensor_file(path: str | Path) -> Any:
    """Read a file of tensors alone: `.safetensors`, or `torch.save` output without foreign objects.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it holds something else than tensors and plain containers, or is damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except SafetensorError as error:
            raise ValueError(f"{path}: not a readable safetensors file ({error})") from error
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch's reader raises anything on a damaged stream
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"{path}: not a file of plain tensors ({reason})") from error


def _describe_foreign(path: Path) -> str:
    head = path.open("rb").read(64).lstrip()
    if head.startswith(b"<"):
        return "this is a web page, not a checkpoint; download the file itself"
    if head.startswith(b"PK"):
        return "damaged or truncated zip archive; download it again"
    if head.startswith(b"\x80"):
        return "a bare pickle (old torch.save format?); only the zip format is read"
    return "not a torch.save zip file"


def _check_archive(archive: zipfile.ZipFile, path: Path) -> str:
    """Check names and sizes of the entries; return the top folder of the archive."""
    names = archive.namelist()
    pickles = [name for name in names if name.count("/") == 1 and name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise ValueError(f"{path}: a zip archive, but not one written by torch.save (no data.pkl)")
    prefix = pickles[0].split("/")[0]
    if len(set(names)) != len(names):
        raise ValueError(f"{path}: the archive holds two entries of one name")
    for info in archive.infolist():
        parts = info.filename.split("/")
        if parts[0] != prefix or prefix in ("", ".", "..") or ".." in parts or "\\" in prefix:
            raise ValueError(f"{path}: entry {info.filename!r} lies outside the archive's folder")
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
            raise ValueError(
                f"{path}: entry {info.filename!r} is compressed, never so in torch files"
            )
    if sum(info.file_size for info in archive.infolist()) > path.stat().st_size:
        raise ValueError(f"{path}: the entries claim more bytes than the file has")
    if archive.getinfo(pickles[0]).file_size > MAX_PICKLE_BYTES:
        raise ValueError(f"{path}: data.pkl is larger than {MAX_PICKLE_BYTES} bytes")
    byteorder = f"{prefix}/byteorder"
    if byteorder in names and archive.read(byteorder) != b"little":
        raise ValueError(f"{path}: written on a big-endian machine; only little-endian is read")
    return prefix


def _unpickle(data: bytes, path: Path) -> Any:
    try:
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name in REFUSED_OPCODES:
                raise ValueError(f"opcode {opcode.name} has no place in a checkpoint")
            if "PUT" in opcode.name and argument > len(data):
                raise ValueError("memo index out of range")
        return _InertUnpickler(io.BytesIO(data)).load()
    except Exception as error:  # a hostile stream can raise anything; it always ends here
        raise ValueError(f"{path}: damaged or hostile checkpoint ({error})") from error


class _InertUnpickler(pickle.Unpickler):
    """Builds dicts, lists, numbers, strings, tensor records and inert stand-ins. Imports nothing.

    Whatever it hands to the stream is either immutable or made anew for this one file, so that a
    stream which writes attributes cannot change anything of ours.
    """

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return self._rebuild_tensor
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return self._rebuild_parameter
        if module == "torch" and name in STORAGE_DTYPES:
            return STORAGE_DTYPES[name]
        path = f"{module}.{name}"
        return type("InertObject", (InertObject,), {"path": path})

    def persistent_load(self, pid: Any) -> StorageRecord:
        kind, dtype, key, _device, numel = pid
        if kind != "storage" or not isinstance(dtype, torch.dtype):
            raise ValueError(f"unknown storage {pid!r}")
        if not (isinstance(key, str) and key.isascii() and key.isdigit()):
            raise ValueError(f"storage named {key!r}")
        if type(numel) is not int or numel < 0:
            raise ValueError(f"storage of {numel!r} elements")
        return StorageRecord(key, dtype, numel)

    def _rebuild_tensor(self, storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> Any:
        if not isinstance(storage, StorageRecord) or type(size) is not tuple:
            raise ValueError("tensor without a storage")
        if type(stride) is not tuple or len(stride) != len(size) or len(size) > MAX_DEPTH:
            raise ValueError(f"tensor of size {size!r} and stride {stride!r}")
        if any(type(n) is not int or not 0 <= n < 1 << 62 for n in (offset, *size, *stride)):
            raise ValueError(f"tensor of size {size!r}, stride {stride!r}, offset {offset!r}")
        count = 1
        for n in size:
            count *= n
        last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
        if count > storage.numel or (count and last >= storage.numel):
            raise ValueError(f"tensor of size {size} does not fit into {storage.numel} elements")
        return TensorRecord(storage, offset, size, stride)

    def _rebuild_parameter(self, data: Any, *_: Any) -> Any:
        if not isinstance(data, TensorRecord):
            raise ValueError("parameter without a tensor")
        return data


class _StorageReader:
    """Replaces tensor records by tensors; tensors that shared a storage share it again."""

    def __init__(self, archive: zipfile.ZipFile, prefix: str, path: Path) -> None:
        self.archive = archive
        self.prefix = prefix
        self.path = path
        self.storages: dict[StorageRecord, Tensor] = {}
        self.done: dict[int, Any] = {}

    def fill(self, value: Any, depth: int = 0) -> Any:
        if depth > MAX_DEPTH:
            raise ValueError(f"{self.path}: containers nested deeper than {MAX_DEPTH}")
        if isinstance(value, TensorRecord):
            return self._tensor(value)
        if isinstance(value, StorageRecord) or not isinstance(value, (dict, list, tuple)):
            return value
        if id(value) not in self.done:
            if isinstance(value, dict):
                filled: Any = {key: self.fill(item, depth + 1) for key, item in value.items()}
            else:
                filled = type(value)(self.fill(item, depth + 1) for item in value)
            self.done[id(value)] = filled
        return self.done[id(value)]

    def _tensor(self, record: TensorRecord) -> Tensor:
        key, dtype, numel = record.storage
        if record.storage not in self.storages:
            name = f"{self.prefix}/data/{key}"
            try:
                size = self.archive.getinfo(name).file_size
            except KeyError as error:
                raise ValueError(f"{self.path}: storage {name!r} is missing") from error
            if size != numel * dtype.itemsize:
                raise ValueError(
                    f"{self.path}: storage {name!r} has {size} bytes, {numel * dtype.itemsize} "
                    "expected"
                )
            data = bytearray(self.archive.read(name))
            empty = torch.empty(0, dtype=dtype)
            self.storages[record.storage] = torch.frombuffer(data, dtype=dtype) if data else empty
        try:
            return self.storages[record.storage].as_strided(
                record.size, record.stride, record.offset
            )
        except RuntimeError as error:
            raise ValueError(f"{self.path}: impossible tensor size {record.size}") from error
