"""Where the bytes of a data set live: a folder or a zip, read without unpacking.

A store lists relative names with forward slashes and opens any of them. Stores can be pickled and
forked: a zip is opened once in each process.
"""

import os
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Protocol

from warpgan.labels import MAX_MEMBER_BYTES, Fault, safe_name


class Store(Protocol):
    """Files by relative name."""

    path: Path
    names: tuple[str, ...]
    faults: tuple[Fault, ...]

    def seekable(self, name: str) -> bool:
        """Whether the end of the file can be read without reading all of it."""

    def open(self, name: str) -> BinaryIO:
        """Open a file for reading."""

    def read(self, name: str) -> bytes:
        """All bytes of a file."""


def open_store(path: str | Path) -> Store:
    """The store of a folder or zip.

    Raises:
        FileNotFoundError: ``path`` does not exist.
        ValueError: ``path`` is a file but no zip, or a zip that is damaged or encrypted.
    """
    path = Path(path)
    if path.is_dir():
        return DirectoryStore(path, names=_walk(path))
    if not path.exists():
        raise FileNotFoundError(
            f"image folder {path} does not exist; expected a folder or zip of images with a "
            "dataset.json"
        )
    if not path.is_file() or path.open("rb").read(2) != b"PK":
        raise ValueError(f"{path} is neither a folder nor a zip")
    return _open_zip(path)


@dataclass(frozen=True)
class DirectoryStore:
    """A folder on disk."""

    path: Path
    names: tuple[str, ...]
    faults: tuple[Fault, ...] = ()

    def seekable(self, name: str) -> bool:
        """Always."""
        return True

    def open(self, name: str) -> BinaryIO:
        """Open a file for reading."""
        return (self.path / name).open("rb")

    def read(self, name: str) -> bytes:
        """All bytes of a file.

        Raises:
            ValueError: The file cannot be read.
        """
        try:
            return (self.path / name).read_bytes()
        except OSError as error:
            raise ValueError(f"{self.path / name} cannot be read: {error}") from error


@dataclass
class ZipStore:
    """A zip of stored or deflated members, opened again in every process that reads from it."""

    path: Path
    names: tuple[str, ...]
    faults: tuple[Fault, ...]
    member_names: dict[str, str]
    _archive: zipfile.ZipFile | None = field(default=None, repr=False)
    _process: int = -1

    def __getstate__(self) -> dict:
        """Without the open file, which no other process can use."""
        return {**self.__dict__, "_archive": None, "_process": -1}

    def archive(self) -> zipfile.ZipFile:
        """This process's own open archive."""
        if self._archive is None or self._process != os.getpid():
            self._archive, self._process = zipfile.ZipFile(self.path), os.getpid()
        return self._archive

    def seekable(self, name: str) -> bool:
        """Whether the member is stored uncompressed."""
        member = self.archive().getinfo(self.member_names[name])
        return member.compress_type == zipfile.ZIP_STORED

    def open(self, name: str) -> BinaryIO:
        """Open a member for reading.

        Raises:
            ValueError: The member is too large, damaged or packed by an unknown method.
        """
        size = self.archive().getinfo(self.member_names[name]).file_size
        if size > MAX_MEMBER_BYTES:
            raise ValueError(
                f"{self.path}:{name} has {size} bytes unpacked, more than {MAX_MEMBER_BYTES}"
            )
        try:
            return self.archive().open(self.member_names[name])
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError) as error:
            raise ValueError(f"{self.path}:{name} cannot be read: {error}") from error

    def read(self, name: str) -> bytes:
        """All bytes of a member.

        Raises:
            ValueError: The member is too large, damaged or packed by an unknown method.
        """
        try:
            with self.open(name) as stream:
                return stream.read()
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
            raise ValueError(f"{self.path}:{name} is damaged: {error}") from error


def _walk(root: Path) -> tuple[str, ...]:
    """Relative names of all files; hidden files and folders are left out, links are followed."""
    names, visited = [], set()
    for folder, subfolders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in visited:
            subfolders.clear()
            continue
        visited.add(real)
        # Links last: where a folder is reached twice, its own name counts on every disk.
        subfolders[:] = sorted(
            (name for name in subfolders if not _hidden(name)),
            key=lambda name: (os.path.islink(os.path.join(folder, name)), name),
        )
        relative = Path(folder).relative_to(root)
        names += [(relative / name).as_posix() for name in files if not _hidden(name)]
    return tuple(sorted(names))


def _hidden(part: str) -> bool:
    return part.startswith(".") or part == "__MACOSX"


def _open_zip(path: Path) -> ZipStore:
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, EOFError, OSError, ValueError, NotImplementedError) as error:
        raise ValueError(
            f"{path} starts like a zip but cannot be read ({error}); copy or pack it again"
        ) from error
    encrypted = [member.filename for member in members if member.flag_bits & 1]
    if encrypted:
        raise ValueError(
            f"{path} is encrypted ({encrypted[0]} and {len(encrypted) - 1} others); pack it "
            "without a password"
        )
    member_names: dict[str, str] = {}
    faults = []
    for member in members:
        name = safe_name(member.filename)
        if name is None:
            fault = Fault("zip member leads outside the folder", repr(member.filename))
        elif member.is_dir() or any(_hidden(part) for part in name.split("/")):
            continue
        elif name in member_names:
            fault = Fault("zip holds a name twice", name)
        else:
            member_names[name] = member.filename
            continue
        faults.append(fault)
    return ZipStore(path, tuple(sorted(member_names)), tuple(faults), member_names)
