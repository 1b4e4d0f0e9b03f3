"""CelebA-HQ: 30,000 aligned pictures of 1024 px, tighter than EG3D's frame, to its crops.

Each is continued by reflection (250 px) so that there is something to show around the head, then
read as any photo is. ``N.jpg`` or ``N.png`` count, N from 0 to 29999, in a folder or zip, such as
CelebAMask-HQ's ``CelebA-HQ-img``.

Nobody publishes the test list of 1,000 pictures that tables of this field rest on. `test_ids` is
ours: it depends on nothing but this file.
"""

import re
from functools import partial
from hashlib import sha256
from pathlib import Path, PurePosixPath

from warpgan.data.images import SUFFIXES
from warpgan.data.stores import open_store
from warpgan.preparation.photos import Photo, read_file

COUNT = 30_000
PAD = 250
SUBSET = re.compile(r"test([1-9]\d{0,4})")
_NUMBER = re.compile(r"0*(\d{1,5})")


def test_ids(count: int = 1000) -> list[int]:
    """Ids of a test subset, sorted; a smaller one is part of each larger one.

    The ids 0 to 29999 are ordered by the sha256 of ``warpgan celebahq test ID``; the first count.

    Raises:
        ValueError: ``count`` is not 1 to 30000.
    """
    if not 1 <= count <= COUNT:
        raise ValueError(f"a subset of {count}; expected 1 to {COUNT}")
    order = sorted(
        range(COUNT), key=lambda i: sha256(f"warpgan celebahq test {i}".encode()).digest()
    )
    return sorted(order[:count])


def ids_of(subset: str) -> list[int]:
    """Ids of ``all`` or ``testN``.

    Raises:
        ValueError: for another word.
    """
    if subset == "all":
        return list(range(COUNT))
    found = SUBSET.fullmatch(subset)
    if not found:
        raise ValueError(f"subset {subset!r}; expected all, or test1000 (any number)")
    return test_ids(int(found[1]))


def find_celebahq(source: Path, subset: str) -> tuple[list[Photo], list[int]]:
    """The pictures of a subset by id, and the ids that are missing.

    Raises:
        FileNotFoundError: there is no such folder or zip.
        ValueError: it holds no picture ``N.jpg``, or two of one number.
    """
    wanted = ids_of(subset)
    store = open_store(source)
    files: dict[int, str] = {}
    for name in store.names:
        path = PurePosixPath(name)
        number = _NUMBER.fullmatch(path.stem)
        if path.suffix.lower() not in SUFFIXES or not number or int(number[1]) >= COUNT:
            continue
        other = files.setdefault(int(number[1]), name)
        if other != name:
            raise ValueError(
                f"{source} holds {other} and {name}; give the folder of one set, such as "
                "CelebA-HQ-img"
            )
    if not files:
        raise ValueError(
            f"{source} holds no N.jpg or N.png with N from 0 to {COUNT - 1}; expected CelebA-HQ's "
            "pictures, such as CelebAMask-HQ/CelebA-HQ-img"
        )
    photos = []
    for number in wanted:
        if number not in files:
            continue
        name = files[number]
        shown = f"{number:05d}{PurePosixPath(name).suffix}"
        if source.is_dir():
            path = source / name
            photos.append(Photo(shown, str(path.resolve()), partial(read_file, path)))
        else:
            origin = f"{source.resolve()}:{name}"
            photos.append(Photo(shown, origin, partial(store.read, name)))
    missing = [number for number in wanted if number not in files]
    return photos, missing
