"""Files of a session to take home: the view, depth, points, orbit, crop with its camera, mesh."""

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from warpgan.data.portraits.splits import write_aside
from warpgan.demonstration.session import LIFTED, SHOWN, Progress, Session, checked_place
from warpgan.labels import LABEL_FILE_NAME, write_label_file
from warpgan.pictures import enlarged, write_png
from warpgan.pipeline import WarpGAN, enlarged_depth_z
from warpgan.point_cloud import unproject_photo, write_points
from warpgan.synthesis.outputs import write_depth
from warpgan.synthesis.plan import ViewPlan, turned, view_name
from warpgan.video import write_mp4

ORBIT_FRAMES, ORBIT_YAW, ORBIT_PITCH, FPS = 30, 25.0, 8.0, 15.0
SMALLEST_VIDEO = 384
MESH_RESOLUTION = 128
ZIP_DATE = (2025, 1, 1, 0, 0, 0)
TITLES = {
    "crop.zip": "crop and dataset.json, for synthesize and evaluate",
    "depth.png": "depth of that view, 16 bit, z x 10,000",
    "points.ply": "the photo's pixels as coloured points",
    "orbit.mp4": "orbit video",
    "mesh.ply": "mesh of the lifted face",
    "mesh.glb": "the same for viewers",
    "lifted.safetensors": "lifted state, for python -m warpgan.edit",
    "lifted.json": "its description",
}


@dataclass(frozen=True)
class Offered:
    """A file to download.

    Attributes:
        name: of the file.
        title: for people.
        bytes: its size.
    """

    name: str
    title: str
    bytes: int


def write_files(
    session: Session, pipeline: WarpGAN, *, yaw: float, pitch: float, method: str
) -> None:
    """Write the view, its depth, the points and the crop; of a lifted photo also mesh and state.

    Args:
        session: whose.
        pipeline: the networks.
        yaw: of the view, degrees.
        pitch: likewise.
        method: one of `warpgan.demonstration.session.SHOWN`.

    Raises:
        ValueError: see `Session.view`.
    """
    picture = session.view(pipeline, yaw, pitch, method=method)
    face, folder = session.inverted(pipeline), session.folder
    place = checked_place(yaw, pitch)
    camera = turned(face.camera[0], [place.yaw / 10], [place.pitch / 10])
    name = f"{method}_{view_name(place.yaw / 10, place.pitch / 10)}.png"
    write_png(folder / name, picture)
    if method == LIFTED:
        drawn = session.lifted.render(camera)
    else:
        drawn = pipeline.generator.render(face.planes, face.ws, camera[None])
    depth_z = enlarged_depth_z(drawn.ray_length, camera[None], size=picture.shape[0])
    write_depth(folder / "depth.png", depth_z[0, 0])
    cloud = unproject_photo(face.photo[0], face.ray_length[0], face.camera[0])
    write_points(folder / "points.ply", cloud)
    _write_crop(session, folder / "crop.zip")
    for old in [each for each in session.files if each.startswith(tuple(SHOWN))]:
        if old.endswith(".png") and old != name:
            session.files.pop(old).unlink(missing_ok=True)
    names = [name, "depth.png", "points.ply", "crop.zip"]
    if session.lifted is not None:
        names += _write_lifted(session, folder)
    session.files |= {each: folder / each for each in names}


def write_orbit(
    session: Session, pipeline: WarpGAN, method: str, progress: Progress | None = None
) -> Path:
    """Write ``orbit.mp4``, a closed curve about the front.

    Args:
        session: whose.
        pipeline: the networks.
        method: one of `warpgan.demonstration.session.SHOWN`.
        progress: told after every frame.

    Raises:
        ValueError: see `Session.view`.
    """
    session.check(method)
    plan = ViewPlan(
        method="warpgan",
        yaws=(),
        pitches=(),
        sheet_yaws=(),
        orbit_frames=ORBIT_FRAMES,
        orbit_yaw=ORBIT_YAW,
        orbit_pitch=ORBIT_PITCH,
        fps=FPS,
        zoom=1,
    )
    cameras = plan.orbit_cameras(session.inverted(pipeline).camera[0])
    frames = []
    for done, frame in enumerate(session.stream(pipeline, cameras, method), start=1):
        frames.append(enlarged(frame, -(-SMALLEST_VIDEO // len(frame))))
        if progress is not None:
            progress(done, ORBIT_FRAMES)
    path = write_mp4(session.folder / "orbit.mp4", frames, fps=FPS)
    session.files["orbit.mp4"] = path
    return path


def offered(session: Session) -> list[Offered]:
    """The files of a session that can be downloaded now."""
    return [
        Offered(name, TITLES.get(name, "this view"), path.stat().st_size)
        for name, path in session.files.items()
        if path.is_file()
    ]


def _write_crop(session: Session, path: Path) -> None:
    """A zip with ``photo.png`` and its label, as `warpgan.data.folder` reads it."""
    labels = path.parent / LABEL_FILE_NAME
    write_label_file(labels, [("photo.png", session.source.camera)])
    picture, content = io.BytesIO(), io.BytesIO()
    Image.fromarray(session.source.crop).save(picture, "PNG")
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(zipfile.ZipInfo("photo.png", ZIP_DATE), picture.getvalue())
        archive.writestr(zipfile.ZipInfo(LABEL_FILE_NAME, ZIP_DATE), labels.read_bytes())
    labels.unlink()
    write_aside(path, content.getvalue())


def _write_lifted(session: Session, folder: Path) -> list[str]:
    # Loaded on demand, as in `Session.lift`.
    from warpgan.lifting.export import export

    names = ["mesh.ply", "mesh.glb", "lifted.safetensors", "lifted.json"]
    if not all((folder / name).is_file() for name in names):
        session.lifted.save(folder / "lifted.safetensors")
        export(session.lifted, folder, ("mesh",), resolution=MESH_RESOLUTION)
    return names
