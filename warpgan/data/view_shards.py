"""Shards of a view cache: tar files in WebDataset's layout, each with an index beside it.

```
settings.json           what determines the content, and the command that made it
photos-00000.tar        samples KEY.json, KEY.arrays.safetensors, KEY.NAME.webp ...
photos-00000.json       index: sha-256, bytes, and where every member lies
pairs-00000.tar ...
```
A shard is written aside and renamed, its index last: a shard without an index is unfinished. Shards
are read by offset and never unpacked to disk.
"""

import hashlib
import json
import os
import re
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import webdataset

FORMAT = "warpgan-views"
FORMAT_VERSION = 1
SETTINGS_FILE = "settings.json"
PHOTOS, PAIRS = "photos", "pairs"
_KEY = re.compile(r"(photos|pairs)-[0-9]{8}")
_FIELD = re.compile(r"json|arrays\.safetensors|[a-z]+(_[a-z0-9]+)*\.webp")
_BLOCK = 2**20
_WRITTEN_BY = "warpgan"


class DamagedShardError(ValueError):
    """A shard that is missing, unfinished or not what was written; the message names it."""


@dataclass(frozen=True)
class ShardPlan:
    """How samples are shared out over shards.

    Attributes:
        kind: `PHOTOS` or `PAIRS`.
        count: Samples.
        shard_size: Samples of every shard but the last.
    """

    kind: str
    count: int
    shard_size: int

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the shards, without a suffix."""
        return tuple(f"{self.kind}-{i:05d}" for i in range(-(-self.count // self.shard_size)))

    def samples(self, name: str) -> range:
        """Samples of a shard."""
        first = int(name.rpartition("-")[2]) * self.shard_size
        return range(first, min(first + self.shard_size, self.count))

    def key(self, sample: int) -> str:
        """The WebDataset key of a sample."""
        return f"{self.kind}-{sample:08d}"


@dataclass(frozen=True)
class ShardIndex:
    """Where the members of a shard lie.

    Attributes:
        path: The tar file.
        sha256: Of the tar file.
        size: Of the tar file, in bytes.
        keys: One a sample.
        names: One a sample: of its photo, or of its pair.
        fields: The members of a sample.
        spans: [N, F, 2] int64, offset and size of every member.
    """

    path: Path
    sha256: str
    size: int
    keys: tuple[str, ...]
    names: tuple[str, ...]
    fields: tuple[str, ...]
    spans: np.ndarray

    def read(self, row: int, fields: Sequence[str]) -> list[bytes]:
        """Members of one sample.

        Raises:
            DamagedShardError: The file is absent or too short, or lacks a member.
        """
        contents = []
        try:
            with self.path.open("rb", buffering=0) as file:
                for field in fields:
                    offset, size = self.spans[row, self.fields.index(field)].tolist()
                    contents.append(os.pread(file.fileno(), size, offset))
                    if len(contents[-1]) != size:
                        raise DamagedShardError(damage(self.path, "ends early"))
        except OSError as error:
            raise DamagedShardError(damage(self.path, f"cannot be read: {error}")) from error
        except ValueError as error:
            if isinstance(error, DamagedShardError):
                raise
            raise DamagedShardError(damage(self.path, f"lacks a member ({error})")) from error
        return contents


def damage(path: Path, what: str) -> str:
    """Word a message about a damaged shard: its name, what is wrong, and the command that helps."""
    command = None
    settings = path.parent / SETTINGS_FILE
    if settings.is_file():
        command = json.loads(settings.read_text()).get("command")
    return (
        f"shard {path} {what}; rebuild it, and nothing else, by the command that made the cache: "
        f"{command or 'python -m warpgan.precompute cache_dir=' + str(path.parent)}"
    )


class ShardWriter:
    """Writes one shard; as a context, it leaves either the whole shard or nothing.

    Args:
        folder: The cache.
        name: Name of the shard, without a suffix.
    """

    def __init__(self, folder: Path, name: str) -> None:
        """Remember the place; see the class."""
        self.path = folder / f"{name}.tar"
        self._aside = folder / f".{name}.tar.partial"
        self._names: list[str] = []

    def __enter__(self) -> "ShardWriter":
        """Open the file aside; what an interrupted writing left is overwritten."""
        for stale in (index_path(self.path), self.path):
            stale.unlink(missing_ok=True)
        self._file = _HashedFile(self._aside.open("wb"))
        # A fixed time and owner: the same samples make the same bytes.
        self._tar = webdataset.TarWriter(
            self._file, encoder=False, mtime=0, user=_WRITTEN_BY, group=_WRITTEN_BY
        )
        return self

    def write(self, key: str, members: Mapping[str, bytes], *, name: str) -> None:
        """Append a sample."""
        self._tar.write({"__key__": key, **members})
        self._names.append(name)

    def __exit__(self, kind: type | None, *rest: object) -> None:
        """Finish the shard, or remove it where an exception ends the writing."""
        self._tar.close()
        self._file.close()
        if kind is not None:
            self._aside.unlink(missing_ok=True)
            return
        fields, keys, spans = _members(self._aside)
        index = {
            "format_version": FORMAT_VERSION,
            "shard": self.path.name,
            "samples": len(keys),
            "sha256": self._file.digest.hexdigest(),
            "bytes": self._aside.stat().st_size,
            "fields": fields,
            "keys": keys,
            "names": self._names,
            "spans": spans,
        }
        self._aside.replace(self.path)
        write_json(index_path(self.path), index, indent=None)


class _HashedFile:
    """A file that is hashed while it is written."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def write(self, content: bytes) -> int:
        self.digest.update(content)
        return self._file.write(content)

    def close(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()


def index_path(shard: Path) -> Path:
    """The index of a shard."""
    return shard.with_suffix(".json")


def write_json(path: Path, content: Mapping[str, Any], *, indent: int | None = 1) -> None:
    """Write a JSON file aside and rename it."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    aside.write_text(json.dumps(content, indent=indent) + "\n")
    aside.replace(path)


def open_shard(folder: Path, plan: ShardPlan, name: str, *, verify: bool = True) -> ShardIndex:
    """Check a shard and read its index.

    Args:
        folder: The cache.
        plan: What should be in it.
        name: Name of the shard.
        verify: Read the whole file, compare its sha-256, and compare the members' names and places
            with the index; otherwise only its size is looked at.

    Raises:
        DamagedShardError: It is missing, unfinished or damaged.
    """
    path = folder / f"{name}.tar"
    if not index_path(path).is_file() or not path.is_file():
        raise DamagedShardError(damage(path, "is missing or was not finished"))
    try:
        content = json.loads(index_path(path).read_text())
        index = ShardIndex(
            path=path,
            sha256=content["sha256"],
            size=content["bytes"],
            keys=tuple(content["keys"]),
            names=tuple(content["names"]),
            fields=tuple(content["fields"]),
            spans=np.array(content["spans"], np.int64),
        )
        _check_index(index, [plan.key(sample) for sample in plan.samples(name)])
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise DamagedShardError(damage(path, f"has a damaged index ({error})")) from error
    size = path.stat().st_size
    if size != index.size:
        raise DamagedShardError(damage(path, f"has {size} bytes instead of {index.size}"))
    if verify:
        _verify(index)
    return index


def _check_index(index: ShardIndex, keys: list[str]) -> None:
    if list(index.keys) != keys or len(index.names) != len(keys):
        raise ValueError(f"{len(keys)} samples from {keys[0]} on were expected")
    strange = [field for field in index.fields if not _FIELD.fullmatch(field)]
    if strange:
        raise ValueError(f"unknown member {strange[0]!r}")
    if index.spans.shape != (len(keys), len(index.fields), 2):
        raise ValueError("there are too few or too many members")
    if index.spans.min() < 0 or index.spans.sum(-1).max() > index.size:
        raise ValueError("a member lies outside the file")


def _verify(index: ShardIndex) -> None:
    digest = hashlib.sha256()
    with index.path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    if digest.hexdigest() != index.sha256:
        raise DamagedShardError(
            damage(index.path, f"has sha-256 {digest.hexdigest()[:12]}, not {index.sha256[:12]}")
        )
    try:
        fields, keys, spans = _members(index.path)
    except (ValueError, tarfile.TarError) as error:
        raise DamagedShardError(damage(index.path, f"is refused: {error}")) from error
    if (tuple(fields), tuple(keys)) != (index.fields, index.keys) or (
        np.array(spans) != index.spans
    ).any():
        raise DamagedShardError(damage(index.path, "holds other members than its index says"))


def _members(path: Path) -> tuple[list[str], list[str], list[list[list[int]]]]:
    """Fields, keys and spans of a tar file, from its headers alone.

    Raises:
        ValueError: A member is no plain file, or has a name that no sample has.
    """
    samples: dict[str, dict[str, list[int]]] = {}
    with tarfile.open(path, "r:") as archive:
        for member in archive:
            key, _, field = member.name.partition(".")
            if not member.isreg() or not _KEY.fullmatch(key) or not _FIELD.fullmatch(field):
                raise ValueError(f"foreign member {member.name!r}")
            if field in samples.setdefault(key, {}):
                raise ValueError(f"member {member.name!r} is there twice")
            samples[key][field] = [member.offset_data, member.size]
    fields = sorted(next(iter(samples.values()), {}))
    for key, members in samples.items():
        if sorted(members) != fields:
            raise ValueError(f"sample {key} has members {sorted(members)}, others {fields}")
    return fields, list(samples), [[s[field] for field in fields] for s in samples.values()]


def claim_cache(folder: Path, settings: Mapping[str, Any], *, command: str) -> None:
    """Make a folder the cache of these settings, or refuse.

    Args:
        folder: Made if missing.
        settings: What determines the content: plain values, nested.
        command: Written beside them, for messages.

    Raises:
        ValueError: The folder holds finished shards of other settings; the message lists the keys
            that differ. A folder without finished shards is taken over.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / SETTINGS_FILE
    wanted = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        **json.loads(json.dumps(settings)),
    }
    if path.is_file():
        found = _without_command(_read_json(path))
        if found != wanted and any(folder.glob("*-[0-9]*.tar")):
            raise ValueError(
                f"cache_dir={folder} holds views made with other settings:\n"
                f"{describe_differences(found, wanted)}\n"
                "choose another cache_dir, delete this one, or give the settings it was made with"
            )
    elif any(entry.name != ".lock" for entry in folder.iterdir()):
        raise ValueError(
            f"cache_dir={folder} holds files but no {SETTINGS_FILE}: it is no cache of views; "
            "choose another folder"
        )
    write_json(path, {**wanted, "command": command})


def read_settings(folder: Path) -> dict[str, Any]:
    """The settings of a cache, without the command.

    Raises:
        FileNotFoundError: There is no cache.
        ValueError: It is damaged or of another version of the format.
    """
    path = folder / SETTINGS_FILE
    if not path.is_file():
        raise FileNotFoundError(
            f"{folder} is no cache of views (no {SETTINGS_FILE}); write one by "
            f"`python -m warpgan.precompute cache_dir={folder}`"
        )
    settings = _without_command(_read_json(path))
    version = (settings.get("format"), settings.get("format_version"))
    if version != (FORMAT, FORMAT_VERSION):
        raise ValueError(f"{path}: format {version}, this code reads {(FORMAT, FORMAT_VERSION)}")
    return settings


def describe_differences(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """One line a key that differs, nested keys with dots."""
    old, new = _flat(found), _flat(wanted)
    keys = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
    return "\n".join(f"  {key}: there {old.get(key)}, asked for {new.get(key)}" for key in keys)


def _flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in content.items():
        nested = isinstance(value, Mapping)
        flat.update(_flat(value, f"{prefix}{key}.") if nested else {f"{prefix}{key}": value})
    return flat


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} is not readable: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} is not readable: no JSON object")
    return content


def _without_command(settings: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key != "command"}
