"""The photos to prepare: which files there are, and the pixels of one.

A place is a file, a folder (searched through) or a zip (read without unpacking). Hidden files are
left out. What is named like a picture is one, readable or not, so that a broken file is reported
instead of passed over; any other file counts if its first bytes are those of a picture.
"""

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from warpgan.data.images import PHOTO_FORMATS, ImageError, decode_image
from warpgan.data.stores import Store, open_store
from warpgan.labels import MAX_MEMBER_BYTES

READ_SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".dib", ".tif", ".tiff", ".gif",
    ".ppm", ".pgm", ".pbm", ".pnm", ".avif",
)  # fmt: skip
UNREAD_SUFFIXES = (
    ".svg", ".pdf", ".eps", ".ps", ".heic", ".heif", ".psd", ".ico", ".jp2", ".jxl", ".raw", ".cr2",
    ".cr3", ".nef", ".arw", ".dng", ".orf", ".rw2",
)  # fmt: skip
"""Pictures that are not read: refused with a hint instead of passed over."""
_SNIFFED_BYTES = 4096


class UnusablePhoto(ValueError):
    """A photo that gives no crop.

    Attributes:
        kind: a few words, the same for all photos of one trouble.
    """

    def __init__(self, kind: str, reason: str) -> None:
        """Keep the kind beside the reason."""
        super().__init__(reason)
        self.kind = kind


@dataclass(frozen=True)
class Photo:
    """A picture that was found.

    Attributes:
        name: relative, with forward slashes; what reports call it.
        origin: where it lies, absolute; ``ZIP:MEMBER`` in a zip.
        read: its bytes; raises ValueError or OSError.
    """

    name: str
    origin: str
    read: Callable[[], bytes]


@dataclass(frozen=True)
class Found:
    """The photos of some places.

    Attributes:
        photos: in order of the places, then by name; each file once.
        others: names of files that are no pictures.
    """

    photos: tuple[Photo, ...]
    others: tuple[str, ...]


def find_photos(places: Sequence[Path], *, out: Path) -> Found:
    """All photos of the places.

    Args:
        places: files, folders and zips. Of several folders, names begin with the folder's.
        out: where crops will be written; what lies in it is no photo.

    Raises:
        FileNotFoundError: a place does not exist.
        ValueError: a zip cannot be read, a place lies in ``out``, or there is no photo at all.
    """
    inside = [place for place in places if place.resolve().is_relative_to(out.resolve())]
    if inside:
        raise ValueError(f"{inside[0]} lies in {out}, where crops are written; choose another OUT")
    holders = sum(place.is_dir() or _is_zip(place) for place in places)
    photos: dict[str, Photo] = {}
    others: list[str] = []
    for place in places:
        if not place.exists():
            raise FileNotFoundError(f"{place} does not exist; expected a photo, a folder or a zip")
        for photo, is_picture in _of_place(place, out, prefixed=holders > 1):
            if is_picture:
                photos.setdefault(photo.origin, photo)
            else:
                others.append(photo.name)
    if not photos:
        listed = ", ".join(str(place) for place in places[:3])
        raise ValueError(
            f"{listed}: no photo among {len(others)} files; expected "
            f"{', '.join(suffix[1:] for suffix in READ_SUFFIXES)}"
        )
    return Found(tuple(photos.values()), tuple(others))


def decode_photo(content: bytes, name: str) -> np.ndarray:
    """The upright pixels of a photo, RGB [H, W, 3] uint8.

    Raises:
        UnusablePhoto: they cannot be read.
    """
    if not content:
        raise UnusablePhoto("empty file", "the file has no bytes")
    try:
        return decode_image(content, "the file", formats=PHOTO_FORMATS)
    except ImageError as error:
        suffix = Path(name).suffix.lower()
        if error.kind == "no picture" and suffix in UNREAD_SUFFIXES:
            reason = f"{suffix[1:]} files are not read; save it as PNG or JPEG"
            raise UnusablePhoto("format not read", reason) from error
        raise UnusablePhoto(error.kind, str(error)) from error
    except MemoryError as error:
        raise UnusablePhoto("too large", "its pixels do not fit into the memory") from error


def read_photo(photo: Photo) -> bytes:
    """The bytes of a photo.

    Raises:
        UnusablePhoto: they cannot be read.
    """
    try:
        return photo.read()
    except (ValueError, OSError) as error:
        raise UnusablePhoto("unreadable", str(error)) from error


def _of_place(place: Path, out: Path, *, prefixed: bool) -> Iterator[tuple[Photo, bool]]:
    """Each file of a place, and whether it is a picture."""
    if not place.is_dir() and not _is_zip(place):
        # A file that the user named is a photo, whatever it is called.
        yield Photo(place.name, str(place.resolve()), partial(read_file, place)), True
        return
    store = open_store(place)
    prefix = f"{place.resolve().stem if _is_zip(place) else place.resolve().name}/"
    for name in store.names:
        photo = _of_store(store, name, prefix if prefixed else "")
        if not Path(photo.origin).is_relative_to(out.resolve()):
            yield photo, _is_picture(store, name)


def _of_store(store: Store, name: str, prefix: str) -> Photo:
    if store.path.is_dir():
        path = store.path / name
        return Photo(prefix + name, str(path.resolve()), partial(read_file, path))
    origin = f"{store.path.resolve()}:{name}"
    return Photo(prefix + name, origin, partial(store.read, name))


def _is_zip(place: Path) -> bool:
    return place.suffix.lower() == ".zip" and place.is_file()


def _is_picture(store: Store, name: str) -> bool:
    if name.lower().endswith((*READ_SUFFIXES, *UNREAD_SUFFIXES)):
        return True
    if store.path.is_dir() and not (store.path / name).is_file():
        return False
    try:
        with store.open(name) as stream:
            start = stream.read(_SNIFFED_BYTES)
        Image.open(io.BytesIO(start), formats=PHOTO_FORMATS[:3]).close()
    except (ValueError, OSError, SyntaxError, UnidentifiedImageError):
        return False
    return True


def read_file(path: Path) -> bytes:
    """The bytes of a regular file of bounded size.

    Raises:
        ValueError: it is another kind of file, or too large.
        OSError: it cannot be read.
    """
    if not path.is_file():
        raise ValueError(f"{path} is no regular file")
    size = path.stat().st_size
    if size > MAX_MEMBER_BYTES:
        raise ValueError(f"the file has {size} bytes, more than {MAX_MEMBER_BYTES}")
    return path.read_bytes()
