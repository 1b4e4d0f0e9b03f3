"""Views on their way: which clips can be read, and which frame of each is taken.

The rule of the middle frame. The clips of a person whose middle frame is asked for are filmed
together and differ in length by little. A clip whose number of decodable frames is more than
`LENGTH_TOLERANCE` from the (lower) median of them is cut off: a defect. Of the others the smallest
number n counts, and (n - 1) // 2 is taken from each, from 0.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from warpgan.crop import FaceCrop
from warpgan.data.mead.frames import Clip, ClipError, examine
from warpgan.data.mead.landmarks import Points
from warpgan.data.mead.layout import CAMERAS, Shot, locate
from warpgan.labels import Fault
from warpgan.weights import sha256_of

LEAST_FRAMES = 10
LENGTH_TOLERANCE = 5


@dataclass
class Found:
    """What examining a person's clips gave.

    Attributes:
        views: those that can be read, by camera.
        defects: why others are missing.
        notices: what is odd.
    """

    views: dict[str, "View"]
    defects: list[Fault]
    notices: list[Fault]


@dataclass
class View:
    """A view on its way; frame and crop are filled in as they become known."""

    shot: Shot
    path: Path
    clip: Clip
    number: int = 0
    frame_sha256: str = ""
    image_sha256: str = ""
    points: Points = ()
    window: FaceCrop | None = None
    label: Tensor | None = None


def examine_clips(
    data: Path, layout: str, shots: Sequence[Shot], *, known: dict[str, Clip]
) -> Found:
    """Examine the clips of a person.

    Args:
        data: the tree.
        layout: its layout.
        shots: of one person, at most one a camera.
        known: clips examined before, by camera; brought up to date.
    """
    found = Found({}, [], [])
    asked = {shot.camera for shot in shots}
    for camera in CAMERAS:
        if camera not in asked:
            name = f"{shots[0].person}/{camera}"
            found.defects.append(Fault("camera is not in the manifest", name))
    for shot in shots:
        path = locate(data, layout, shot)
        if isinstance(path, Fault):
            # The fault of a whole person is one, whatever the number of its shots.
            if path not in found.defects:
                found.defects.append(path)
            continue
        try:
            clip = known.get(shot.camera)
            if clip is None or clip.sha256 != sha256_of(path):
                clip = examine(path, layout=layout)
        except (ClipError, OSError) as error:
            kind = "unreadable video" if layout == "videos" else "unreadable picture"
            found.defects.append(Fault(kind, shot.name, str(error)))
            known.pop(shot.camera, None)
            continue
        known[shot.camera] = clip
        if clip.damage:
            detail = f"{clip.damage}; {clip.frames} frames used"
            found.notices.append(Fault("video is damaged", shot.name, detail))
        if shot.video_sha256 not in ("", clip.sha256):
            found.notices.append(Fault("video is not the manifest's", shot.name, path.name))
        found.views[shot.camera] = View(shot, path, clip)
    return found


def number_frames(views: dict[str, View]) -> list[Fault]:
    """Choose frames by the rule of the module.

    Args:
        views: of one person by camera; those whose clips are too short are taken out.

    Returns:
        Why views were taken out.
    """
    defects = []
    for camera, view in [(camera, view) for camera, view in views.items() if view.shot.clip]:
        needed = max(LEAST_FRAMES, 1 + (view.shot.frame or 0))
        if view.clip.frames < needed:
            detail = f"{view.clip.frames} frames, expected at least {needed}"
            defects.append(Fault("clip is too short", view.shot.name, detail))
            del views[camera]
    middle = [view for view in views.values() if view.shot.clip and view.shot.frame is None]
    if middle:
        usual = statistics.median_low(view.clip.frames for view in middle)
        cut = [view for view in middle if abs(view.clip.frames - usual) > LENGTH_TOLERANCE]
        for view in cut:
            detail = f"{view.clip.frames} frames; the person's clips usually have {usual}"
            defects.append(Fault("clip has another length", view.shot.name, detail))
            del views[view.shot.camera]
        kept = [view for view in middle if view not in cut]
        for view in kept:
            view.number = (min(other.clip.frames for other in kept) - 1) // 2
    for view in views.values():
        if view.shot.frame is not None:
            view.number = view.shot.frame
    return defects
