"""The files of one photo, or of one person.

```
OUT/NAME/photo.png                        the photo at the generator's size
         STAGE/yaw+30_pitch+0.png         inversion, warp, hole (white: missing), fill, warpgan
         depth/yaw+30_pitch+0.png         16-bit: depth_z * 10000, of the generator's view
         depth/photo.png                  the same of the photo's own view
         points.ply                       the photo's pixels as points
         grid.png  orbit.mp4  orbit.gif
         views.json                       cameras and settings, written last
```
Of several photos of one person: ``photo_1.png``, ``photo_2.png`` ... instead of ``photo.png``, and
the points of all photos in one cloud.
"""

import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from warpgan.cameras import RADIUS
from warpgan.pictures import (
    contact_sheet,
    depth_picture,
    enlarged,
    read_picture,
    to_uint8,
    write_png,
)
from warpgan.pipeline import Face, NovelViews, enlarged_depth_z
from warpgan.point_cloud import joined_clouds, unproject_photo, write_points
from warpgan.several_photos import SeveralPhotos
from warpgan.synthesis.plan import STAGES, TITLES, ViewPlan
from warpgan.video import write_gif, write_mp4

RECORD = "views.json"
DEPTH_STEPS = 10_000
"""Steps of a 16-bit depth file in one scene unit."""
NEAR, FAR = RADIUS - 0.4, RADIUS + 0.5
GAP = 2


def finished(folder: Path, record: dict[str, Any]) -> bool:
    """Whether a photo's files are all there, made with the same settings.

    Raises:
        ValueError: if they were made with others.
    """
    path = folder / RECORD
    if not path.is_file():
        return False
    try:
        old = json.loads(path.read_text())
    except ValueError:
        return False
    if not isinstance(old, dict):
        return False
    different = [key for key in record if old.get(key) != record[key]]
    if different:
        key = different[0]
        raise ValueError(
            f"{folder} was made with another {key} ({_short(old.get(key))}, now "
            f"{_short(record[key])}); choose another folder, or --overwrite it"
        )
    return True


def write_photo(
    face: Face | SeveralPhotos, folder: Path, plan: ViewPlan, *, chunk: int | None = None
) -> None:
    """Write everything but the record.

    Args:
        face: of one photo, or of several photos of one person.
        folder: of the photo or person.
        plan: which views.
        chunk: views at once; None chooses.
    """
    camera = face.camera[0]
    several = isinstance(face, SeveralPhotos)
    faces = face.faces if several else (face,)
    matched = face.photos if several else [face.photo]
    inputs = [f"photo_{place + 1}" for place in range(len(faces))] if several else ["photo"]
    _remove_photos_but(folder, inputs)
    photos, depths, clouds = [], [], []
    for name, each, coloured in zip(inputs, faces, matched, strict=True):
        write_png(folder / f"{name}.png", each.photo[0])
        size = each.photo.shape[-1]
        depth_z = enlarged_depth_z(each.ray_length[:, None], each.camera[:, None], size=size)[0, 0]
        write_depth(folder / "depth" / f"{name}.png", depth_z)
        photos.append(to_uint8(each.photo[0]))
        depths.append(depth_picture(depth_z, near=NEAR, far=FAR))
        clouds.append(unproject_photo(coloured[0], each.ray_length[0], each.camera[0]))
    write_points(folder / "points.ply", joined_clouds(clouds))
    rows: list[list[np.ndarray | None]] = [photos]
    rows += [[None] * len(faces) for _ in STAGES[plan.method][1:]]
    rows.append(depths)
    names = iter(plan.views)
    for part in face.stream(plan.grid_cameras(camera)[None], plan.method, chunk=chunk):
        for view in range(part.image.shape[1]):
            name = next(names)
            pictures = stage_pictures(part, view, plan.method)
            for row, (stage, picture) in zip(rows, pictures.items(), strict=False):
                write_png(folder / stage / f"{name}.png", picture)
                row.append(picture)
            depth_z = part.depth_z[0, view]
            write_depth(folder / "depth" / f"{name}.png", depth_z)
            rows[-1].append(depth_picture(depth_z, near=NEAR, far=FAR))
    titles = [TITLES.get(stage, stage) for stage in STAGES[plan.method]]
    captions = map(plan.caption, plan.views)
    grid = contact_sheet(
        rows,
        row_captions=[*titles, "depth"],
        column_captions=[*(name.replace("_", " ") for name in inputs), *captions],
    )
    write_png(folder / "grid.png", grid)
    if plan.orbit_frames:
        frames = orbit_frames(face, plan, chunk=chunk)
        write_mp4(folder / "orbit.mp4", frames, fps=plan.fps)
        write_gif(folder / "orbit.gif", frames, fps=plan.fps)


def write_record(folder: Path, record: dict[str, Any]) -> None:
    """Write the record that says that all is done."""
    aside = folder / f".{RECORD}.{os.getpid()}.part"
    aside.write_text(json.dumps(record, indent=1) + "\n")
    aside.replace(folder / RECORD)


def stage_pictures(views: NovelViews, view: int, method: str) -> dict[str, np.ndarray]:
    """Pictures of one view of the first item, by stage."""
    found = {
        "inversion": views.render,
        "warp": views.warped,
        "hole": None if views.hole is None else views.hole.expand_as(views.render) * 2 - 1,
        "fill": views.filled,
        "warpgan": views.image,
    }
    return {stage: to_uint8(found[stage][0, view]) for stage in STAGES[method]}


def orbit_frames(
    face: Face | SeveralPhotos, plan: ViewPlan, *, chunk: int | None = None
) -> list[np.ndarray]:
    """Frames of the orbit, the photo at the left; several photos share its place."""
    faces = face.faces if isinstance(face, SeveralPhotos) else (face,)
    photo = enlarged(tiled([to_uint8(each.photo[0]) for each in faces]), plan.zoom)
    gap = np.full((len(photo), GAP * plan.zoom, 3), 255, np.uint8)
    cameras = plan.orbit_cameras(face.camera[0])[None]
    return [
        np.concatenate([photo, gap, enlarged(to_uint8(image), plan.zoom)], axis=1)
        for part in face.stream(cameras, plan.method, chunk=chunk)
        for image in part.image[0]
    ]


def tiled(images: Sequence[np.ndarray]) -> np.ndarray:
    """Images of one square size in the place of one, in reading order; the rest is white."""
    if len(images) == 1:
        return images[0]
    size, side = len(images[0]), math.ceil(math.sqrt(len(images)))
    place = np.full_like(images[0], 255)
    ends = [size * i // side for i in range(side + 1)]
    for i, image in enumerate(images):
        top, left = ends[i // side], ends[i % side]
        height, width = ends[i // side + 1] - top, ends[i % side + 1] - left
        small = Image.fromarray(image).resize((width, height), Image.Resampling.LANCZOS)
        place[top : top + height, left : left + width] = np.asarray(small)
    return place


def write_depth(path: Path, depth_z: Tensor) -> None:
    """Write ``[1, S, S]`` as a grey 16-bit PNG; what is not finite, or beyond 6.55, is 0."""
    steps = depth_z[0].detach().double().cpu().numpy() * DEPTH_STEPS
    steps = np.where(np.isfinite(steps) & (steps < 65_535), steps, 0).round().clip(0)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    Image.fromarray(steps.astype(np.uint16)).save(aside, format="PNG")
    aside.replace(path)


def sheet_of(folders: dict[str, Path], plan: ViewPlan) -> np.ndarray:
    """Contact sheet of finished photos or people: one row each, read back from its files.

    Args:
        folders: by name.
        plan: which views; those of ``sheet_yaws`` at the first pitch are shown.
    """
    views = [name for name, (yaw, pitch) in plan.views.items() if yaw in plan.sheet_yaws]
    views = [name for name in views if plan.views[name][1] == plan.pitches[0]]
    inputs = [photo_files(folder) for folder in folders.values()]
    most = max(map(len, inputs))
    columns, files = [], []
    for name in views:
        for stage in STAGES[plan.method]:
            columns.append(f"{TITLES.get(stage, stage)} {plan.caption(name)}")
            files.append(f"{stage}/{name}.png")
    rows = [
        [
            *map(read_picture, photos),
            *[None] * (most - len(photos)),
            *(read_picture(folder / f) for f in files),
        ]
        for folder, photos in zip(folders.values(), inputs, strict=True)
    ]
    heads = ["photo"] if most == 1 else [f"photo {place + 1}" for place in range(most)]
    return contact_sheet(rows, column_captions=[*heads, *columns])


def photo_files(folder: Path) -> list[Path]:
    """The input photos of a finished folder, in order."""
    several = [path for path in folder.glob("photo_*.png") if path.stem[6:].isdecimal()]
    return sorted(several, key=lambda path: int(path.stem[6:])) or [folder / "photo.png"]


def _remove_photos_but(folder: Path, inputs: Sequence[str]) -> None:
    """Remove input photos of an earlier run that had other or more of them."""
    for kept in (folder, folder / "depth"):
        for path in (kept / "photo.png", *photo_files(kept)):
            if path.stem not in inputs:
                path.unlink(missing_ok=True)


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
