"""The files of one lifted photo.

```
OUT/NAME/photo.png
         lifted.safetensors  lifted.json   what differs from the generator; `warpgan.edit` reads it
         STAGE/yaw+30_pitch+0.png          inversion, warpgan (fill without SVINet), lifted
         grid.png  orbit.mp4  orbit.gif
         mesh.ply  mesh.glb  cloud.ply  planes.safetensors    as asked for
         views.json                        cameras and settings, written last
```
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from warpgan.lifting.lifted_face import LiftedFace
from warpgan.pictures import contact_sheet, enlarged, read_picture, to_uint8, write_png
from warpgan.pipeline import Face
from warpgan.synthesis.plan import TITLES, ViewPlan
from warpgan.video import write_gif, write_mp4

LIFTED_FILE = "lifted.safetensors"
AT_ONCE = 4
GAP = 2


def stages_of(plan: ViewPlan) -> tuple[str, ...]:
    """Folders of the views, in the sheet's order."""
    return ("inversion", plan.method, "lifted")


def write_lifted(face: Face, lifted: LiftedFace, folder: Path, plan: ViewPlan) -> None:
    """Write everything but exports and record.

    Args:
        face: of one photo.
        lifted: what was made of it.
        folder: of the photo.
        plan: which views; its method made the teachers.
    """
    photo, camera = face.photo[0], face.camera[0]
    write_png(folder / "photo.png", photo)
    cameras = plan.grid_cameras(camera)
    seen = face.views(cameras[None], plan.method)
    pictures = (seen.render[0], seen.image[0], rendered(lifted, cameras))
    for stage, images in zip(stages_of(plan), pictures, strict=True):
        for name, image in zip(plan.views, images, strict=True):
            write_png(folder / stage / f"{name}.png", image)
    write_png(folder / "grid.png", sheet_of({"": folder}, plan))
    if plan.orbit_frames:
        frames = orbit_frames(lifted, plan, beside=photo)
        write_mp4(folder / "orbit.mp4", frames, fps=plan.fps)
        write_gif(folder / "orbit.gif", frames, fps=plan.fps)
    lifted.save(folder / LIFTED_FILE)


@torch.inference_mode()
def rendered(lifted: LiftedFace, cameras: Tensor, *, edit: Tensor | None = None) -> Tensor:
    """Views ``[V, 3, S, S]`` in [-1, 1] from cameras ``[V, 25]``, a few at a time."""
    parts = [lifted.render(some, edit=edit).image[0] for some in cameras.split(AT_ONCE)]
    return torch.cat(parts).clamp(-1, 1)


def orbit_frames(
    lifted: LiftedFace, plan: ViewPlan, *, beside: Tensor, edit: Tensor | None = None
) -> list[np.ndarray]:
    """Frames of the orbit, a picture ``[3, S, S]`` at the left."""
    left = enlarged(to_uint8(beside), plan.zoom)
    gap = np.full((len(left), GAP * plan.zoom, 3), 255, np.uint8)
    images = rendered(lifted, plan.orbit_cameras(lifted.camera[0]), edit=edit)
    return [
        np.concatenate([left, gap, enlarged(to_uint8(image), plan.zoom)], axis=1)
        for image in images
    ]


def sheet_of(folders: dict[str, Path], plan: ViewPlan) -> np.ndarray:
    """Contact sheet of finished photos, three rows a photo, read back from their files.

    Args:
        folders: by the photo's name.
        plan: which views; those of ``sheet_yaws`` at the first pitch are shown.
    """
    views = [
        name
        for name, (yaw, pitch) in plan.views.items()
        if yaw in plan.sheet_yaws and pitch == plan.pitches[0]
    ]
    rows: list[Sequence[np.ndarray | None]] = []
    captions = []
    for name, folder in folders.items():
        for place, stage in enumerate(stages_of(plan)):
            photo = None if place else read_picture(folder / "photo.png")
            rows.append([photo, *(read_picture(folder / stage / f"{v}.png") for v in views)])
            captions.append(f"{Path(name).stem} {TITLES.get(stage, stage)}".strip())
    columns = ["photo", *(plan.caption(name) for name in views)]
    return contact_sheet(rows, row_captions=captions, column_captions=columns)
