"""What the crop of a photo is called.

``ann/01.jpg`` becomes ``ann/01.png``: the folder stays, so photos of one person in one folder stay
together. A second face is ``ann/01_face2.png``, a mirrored twin ``ann/01_mirror.png``. Where two
photos would get one name, the later one takes its suffix along (``01_jpg.png``), then a number.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

_UNFIT = '<>:"/\\|?*'
_OWN_ENDING = re.compile(r"(_face\d+)?(_mirror)?$")
_LONGEST = 120


def allot_stems(photos: Iterable[tuple[str, str]], *, taken: Mapping[str, str]) -> dict[str, str]:
    """A stem, the crop's relative name without ``.png``, for each photo.

    Args:
        photos: name and origin of each, origins unique.
        taken: stem to origin, of photos that were prepared before and still exist.

    Returns:
        Origin to stem. A photo that has a stem keeps it.
    """
    by_origin = {origin: stem for stem, origin in taken.items()}
    used = {stem.casefold() for stem in taken}
    stems: dict[str, str] = {}
    for name, origin in photos:
        if origin in by_origin:
            stems[origin] = by_origin[origin]
            continue
        stem = next(one for one in _choices(name) if _is_free(one, used))
        used.add(stem.casefold())
        stems[origin] = stem
    return stems


def crop_name(stem: str, number: int) -> str:
    """The file of a face, numbered from 1 by size."""
    return f"{stem}.png" if number == 1 else f"{stem}_face{number}.png"


def mirror_name(crop: str) -> str:
    """The mirrored twin of a crop, named as EG3D does."""
    return f"{crop.removesuffix('.png')}_mirror.png"


def _choices(name: str) -> Iterable[str]:
    path = PurePosixPath(name)
    folders = [_fit(part) for part in path.parts[:-1]]
    stem, suffix = _fit(path.stem), _fit(path.suffix[1:])
    yield "/".join([*folders, stem])
    yield "/".join([*folders, f"{stem}_{suffix}"])
    number = 2
    while True:
        yield "/".join([*folders, f"{stem}_{number}"])
        number += 1


def _is_free(stem: str, used: set[str]) -> bool:
    """Whether no other photo's crops, second faces and twins included, could have this name."""
    stem = stem.casefold()
    base = _OWN_ENDING.sub("", stem)
    clash = base != stem and base in used
    return (
        stem not in used
        and not clash
        and not any(
            other.startswith(f"{stem}_") and _OWN_ENDING.sub("", other) == stem for other in used
        )
    )


def _fit(part: str) -> str:
    """A part of a name that every disk, zip and label file can hold."""
    text = unicodedata.normalize("NFC", part.encode("utf-8", "replace").decode())
    text = "".join(sign if sign.isprintable() and sign not in _UNFIT else "_" for sign in text)
    return text.lstrip(".").rstrip(". ")[:_LONGEST] or "photo"
