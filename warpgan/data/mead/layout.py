"""Where MEAD keeps what: which people there are, where a view's clip is, and what else lies there.

Two layouts are read. Both are trees of people; the cameras' names are MEAD's.

* ``videos``: ``ID/video/CAMERA/EMOTION/level_K/NNN.mp4``, as published.
* ``frames``: ``ID/CAMERA.png`` (or JPEG, WebP), one picture a view that somebody extracted.

Links inside the data are followed: nothing is written there. Only names of plain letters, digits,
``-`` and ``_`` become paths.
"""

import os
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from warpgan.data.images import SUFFIXES
from warpgan.labels import Fault

CAMERAS = ("front", "left_30", "left_60", "right_30", "right_60")
"""The five views of the protocol."""
OTHER_CAMERAS = ("top", "down")
"""MEAD's other cameras: no view of the protocol."""
FRONT = "front"
FRAMES_FOLDER = "frames"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_LEVEL = re.compile(r"level_[0-9]{1,2}")
_CLIP = re.compile(r"[0-9]{3}")


@dataclass(frozen=True)
class Shot:
    """One frame that is asked for.

    Attributes:
        person: MEAD's id.
        camera: one of `CAMERAS`.
        emotion, level, clip: name the video, as in ``neutral``, ``level_1``, ``001``; empty for
            the layout ``frames``.
        frame: its number from 0; ``None`` for the middle one.
        video_sha256, frame_sha256: what it should be; empty if not known.
    """

    person: str
    camera: str
    emotion: str = ""
    level: str = ""
    clip: str = ""
    frame: int | None = None
    video_sha256: str = ""
    frame_sha256: str = ""

    @property
    def name(self) -> str:
        """``ID/CAMERA``: what reports and landmark files call it."""
        return f"{self.person}/{self.camera}"


@dataclass(frozen=True)
class Unused:
    """What lies in the data and is not asked for.

    Attributes:
        people: ids that no shot names.
        clips: other clips (or pictures) of the people, by id and camera.
        audio: audio files of the people.
        hidden: hidden files.
        entries: all other files, by relative path.
    """

    people: tuple[str, ...]
    clips: dict[str, dict[str, int]]
    audio: int
    hidden: int
    entries: tuple[str, ...]


def is_name(text: str) -> bool:
    """Whether a text can be an id or an emotion: nothing that could lead out of a folder."""
    return _NAME.fullmatch(text) is not None and text != FRAMES_FOLDER


def is_level(text: str) -> bool:
    """Whether a text is ``level_K``."""
    return _LEVEL.fullmatch(text) is not None


def is_clip(text: str) -> bool:
    """Whether a text is a clip's number of three digits."""
    return _CLIP.fullmatch(text) is not None


def people_of(data: Path) -> tuple[list[str], list[Fault]]:
    """Ids in ``data``, sorted, and folders whose names cannot be ids."""
    people, faults = [], []
    for entry in sorted(data.iterdir()):
        if entry.name.startswith(".") or not entry.is_dir():
            continue
        if is_name(entry.name):
            people.append(entry.name)
        else:
            detail = f"expected letters, digits, - and _, and not {FRAMES_FOLDER!r}"
            faults.append(Fault("folder name is not usable", printable(entry.name), detail))
    return people, faults


def layout_of(data: Path, people: Sequence[str]) -> str:
    """``videos`` or ``frames``.

    Raises:
        ValueError: the data are neither.
    """
    if any((data / person / "video").is_dir() for person in people):
        return "videos"
    if any(_pictures(data / person, camera) for person in people for camera in CAMERAS):
        return "frames"
    packed = [person for person in people if (data / person / "video.tar").is_file()]
    hint = (
        f"; {packed[0]}/video.tar and {len(packed) - 1} others are still packed: unpack them"
        if packed
        else ""
    )
    raise ValueError(
        f"{data} holds no MEAD views; expected ID/video/CAMERA/EMOTION/level_K/NNN.mp4, or "
        f"ID/CAMERA.png of the cameras {', '.join(CAMERAS)}{hint}"
    )


def locate(data: Path, layout: str, shot: Shot) -> Path | Fault:
    """The file of a shot, or what is missing."""
    folder = data / shot.person
    if not folder.is_dir():
        return Fault("missing id", shot.person)
    if layout == "frames":
        found = _pictures(folder, shot.camera)
        if len(found) > 1:
            return Fault("view given twice", shot.name, ", ".join(path.name for path in found))
        return found[0] if found else _missing("camera", shot, folder)
    if not (folder / "video").is_dir():
        packed = (folder / "video.tar").is_file()
        detail = "video.tar is still packed" if packed else "no folder video"
        return Fault("missing camera", shot.name, detail)
    path = folder / "video"
    for what, part in (("camera", shot.camera), ("emotion", shot.emotion), ("level", shot.level)):
        if not (path / part).is_dir():
            return _missing(what, shot, path)
        path = path / part
    clip = path / f"{shot.clip}.mp4"
    return clip if clip.is_file() else _missing("clip", shot, path)


def find_unused(
    data: Path, layout: str, people: Sequence[str], *, shots: Sequence[Shot], used: Collection[Path]
) -> Unused:
    """All that lies in ``data`` besides the files ``used``; ids without shots are not opened."""
    asked = {shot.person for shot in shots}
    clips: dict[str, Counter[str]] = {}
    audio = hidden = 0
    entries = []
    loose = [path for path in sorted(data.iterdir()) if not path.is_dir()]
    inside = (path for person in people if person in asked for path in _files(data / person))
    for path in (*loose, *inside):
        parts = path.relative_to(data).parts
        camera = _camera_of(layout, parts)
        if path in used:
            continue
        if any(part.startswith(".") for part in parts):
            hidden += 1
        elif camera is not None:
            clips.setdefault(parts[0], Counter())[camera] += 1
        elif layout == "videos" and len(parts) > 2 and parts[1] == "audio":
            audio += 1
        else:
            entries.append(printable("/".join(parts)))
    extra = tuple(person for person in people if person not in asked)
    counts = {person: dict(sorted(found.items())) for person, found in clips.items()}
    return Unused(extra, counts, audio, hidden, tuple(entries))


def printable(text: str) -> str:
    """A file's name on one line; odd characters are written as escapes."""
    return text if text.isprintable() else text.encode("unicode_escape").decode()


def _missing(what: str, shot: Shot, folder: Path) -> Fault:
    wanted = {"emotion": shot.emotion, "level": shot.level, "clip": f"{shot.clip}.mp4"}
    found = sorted(printable(entry.name) for entry in folder.iterdir())
    listed = ", ".join(found[:8]) + (", ..." if len(found) > 8 else "")
    sought = f"no {wanted[what]}, " if what in wanted else ""
    return Fault(f"missing {what}", shot.name, f"{sought}found {listed or 'nothing'}")


def _pictures(folder: Path, camera: str) -> list[Path]:
    paths = (folder / f"{camera}{suffix}" for suffix in SUFFIXES)
    return [path for path in paths if path.is_file()]


def _camera_of(layout: str, parts: Sequence[str]) -> str | None:
    """The camera of a file that has its place in the layout."""
    known = (*CAMERAS, *OTHER_CAMERAS)
    if layout == "frames":
        name = Path(parts[-1])
        fits = len(parts) == 2 and name.suffix.lower() in SUFFIXES and name.stem in known
        return name.stem if fits else None
    if len(parts) != 6 or parts[1] != "video" or parts[2] not in known:
        return None
    clip, dot, suffix = parts[5].rpartition(".")
    fits = is_name(parts[3]) and is_level(parts[4]) and is_clip(clip) and dot + suffix == ".mp4"
    return parts[2] if fits else None


def _files(folder: Path) -> Iterator[Path]:
    """All files below a folder, sorted; each folder is entered once, whatever links lead there."""
    visited = set()
    for path, subfolders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(path)
        if real in visited:
            subfolders.clear()
            continue
        visited.add(real)
        subfolders.sort()
        yield from (Path(path) / name for name in sorted(files))
