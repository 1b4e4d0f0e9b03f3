"""Writers of checkpoint files that the safe reader must survive."""

import io
import os
import pickle
import zipfile
from pathlib import Path

import torch


class Planted:
    """Unpickled the ordinary way, this creates the file `target`."""

    def __init__(self, target: Path) -> None:
        self.target = str(target)

    def __reduce__(self):
        return os.mkdir, (self.target,)


def write_zip(path: Path, pickled: bytes, *, storages=(), extra=(), compress=False) -> Path:
    """Write a `torch.save`-like archive around a pickle stream."""
    kind = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", kind) as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/byteorder", "little")
        for key, data in dict(storages).items():
            archive.writestr(f"archive/data/{key}", data)
        for name, data in dict(extra).items():
            archive.writestr(name, data)
    return path


def rewrite_zip(source: Path, target: Path, change) -> Path:
    """Copy an archive, passing every (name, data) through `change`, which may return None."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for info in old.infolist():
            entry = change(info.filename, old.read(info))
            if entry is not None:
                new.writestr(*entry)
    return target


def pickled_state(build) -> bytes:
    """Pickle, with torch's persistent ids, what `build(storage, rebuild)` returns.

    `storage(key, numel)` stands for a float storage, `rebuild(storage, offset, size, stride)` for a
    tensor on it; neither is checked here.
    """

    class Storage:
        def __init__(self, key, numel):
            self.pid = ("storage", torch.FloatStorage, key, "cpu", numel)

    class Tensor:
        def __init__(self, *args):
            self.args = args

        def __reduce__(self):
            return torch._utils._rebuild_tensor_v2, (*self.args, False, {})

    class Pickler(pickle.Pickler):
        def persistent_id(self, value):
            return value.pid if isinstance(value, Storage) else None

    buffer = io.BytesIO()
    Pickler(buffer, protocol=2).dump(build(Storage, Tensor))
    return buffer.getvalue()
