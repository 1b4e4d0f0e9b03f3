"""The files of one photo.

```
OUT/NAME/photo.png                        the photo at the generator's size
         STAGE/yaw+30_pitch+0.png         inversion, warp, hole (white: missing), fill, warpgan
         depth/yaw+30_pitch+0.png         16-bit: depth_z * 10000, of the generator's view
         depth/photo.png                  the same of the photo's own view
         points.ply                       the photo's pixels as points
         grid.png  orbit.mp4  orbit.gif
         views.json                       cameras and settings, written last
```
"""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from warpgan.cameras import RADIUS
from warpgan.pictures import contact_sheet, depth_picture, to_uint8, write_png
from warpgan.pipeline import Face, NovelViews, enlarged_depth_z
from warpgan.point_cloud import unproject_photo, write_points
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


def write_photo(face: Face, folder: Path, plan: ViewPlan, *, chunk: int | None = None) -> None:
    """Write everything but the record.

    Args:
        face: of one photo.
        folder: of the photo.
        plan: which views.
        chunk: views at once; None chooses.
    """
    photo, camera = face.photo[0], face.camera[0]
    write_png(folder / "photo.png", photo)
    size = photo.shape[-1]
    source_depth_z = enlarged_depth_z(face.ray_length[:, None], face.camera[:, None], size=size)
    write_depth(folder / "depth" / "photo.png", source_depth_z[0, 0])
    write_points(folder / "points.ply", unproject_photo(photo, face.ray_length[0], camera))
    rows: list[list[np.ndarray | None]] = [[to_uint8(photo)]]
    rows += [[None] for _ in STAGES[plan.method][1:]]
    rows.append([depth_picture(source_depth_z[0, 0], near=NEAR, far=FAR)])
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
    grid = contact_sheet(
        rows,
        row_captions=[*titles, "depth"],
        column_captions=["photo", *map(plan.caption, plan.views)],
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


def orbit_frames(face: Face, plan: ViewPlan, *, chunk: int | None = None) -> list[np.ndarray]:
    """Frames of the orbit, the photo at the left."""
    photo = _enlarged(to_uint8(face.photo[0]), plan.zoom)
    gap = np.full((len(photo), GAP * plan.zoom, 3), 255, np.uint8)
    cameras = plan.orbit_cameras(face.camera[0])[None]
    return [
        np.concatenate([photo, gap, _enlarged(to_uint8(image), plan.zoom)], axis=1)
        for part in face.stream(cameras, plan.method, chunk=chunk)
        for image in part.image[0]
    ]


def write_depth(path: Path, depth_z: Tensor) -> None:
    """Write ``[1, S, S]`` as a grey 16-bit PNG; what is not finite, or beyond 6.55, is 0."""
    steps = depth_z[0].detach().double().cpu().numpy() * DEPTH_STEPS
    steps = np.where(np.isfinite(steps) & (steps < 65_535), steps, 0).round().clip(0)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    Image.fromarray(steps.astype(np.uint16)).save(aside, format="PNG")
    aside.replace(path)


def sheet_of(folders: dict[str, Path], plan: ViewPlan) -> np.ndarray:
    """Contact sheet of finished photos: one row a photo, read back from its files.

    Args:
        folders: by the photo's name.
        plan: which views; those of ``sheet_yaws`` at the first pitch are shown.
    """
    views = [name for name, (yaw, pitch) in plan.views.items() if yaw in plan.sheet_yaws]
    views = [name for name in views if plan.views[name][1] == plan.pitches[0]]
    columns, files = ["photo"], ["photo.png"]
    for name in views:
        for stage in STAGES[plan.method]:
            columns.append(f"{TITLES.get(stage, stage)} {plan.caption(name)}")
            files.append(f"{stage}/{name}.png")
    rows = [[_read(folder / file) for file in files] for folder in folders.values()]
    return contact_sheet(rows, column_captions=columns)


def _read(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def _enlarged(image: np.ndarray, zoom: int) -> np.ndarray:
    if zoom == 1:
        return image
    size = (image.shape[1] * zoom, image.shape[0] * zoom)
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
