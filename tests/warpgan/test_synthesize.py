"""``python -m warpgan.synthesize`` in the tiny random world."""

import json
import math
from pathlib import Path

import av
import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from tests.warpgan.evaluation_world import SIZE
from tests.warpgan.synthesis_world import build_pipeline, photos, source_cameras, write_world
from warpgan.cameras import mirror_label, project, yaw_pitch
from warpgan.pipeline import METHODS
from warpgan.point_cloud import unproject_photo
from warpgan.synthesis.models import find_geometry
from warpgan.synthesis.outputs import DEPTH_STEPS
from warpgan.synthesis.plan import STAGES, ViewPlan
from warpgan.synthesize import main
from warpgan.video import write_gif, write_mp4
from warpgan.warp import ray_length_from_depth_z

VIEWS = ("yaw-20_pitch+0", "yaw+20_pitch+0")


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    return write_world(tmp_path_factory.mktemp("synthesis"), count=3)


def run(world: Path, out: Path, *more: str) -> Path:
    words = [str(world / "photos"), str(out), "--svinet", str(world / "svinet_run")]
    words += ["--yaw", "-20", "20", "--orbit", "4", "--device", "cpu"]
    assert main([*words, *more]) == 0
    return out


@pytest.fixture(scope="module")
def finished(world) -> Path:
    return run(world, world / "out", "--count", "2")


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture)


def test_every_file_is_written_and_readable(finished):
    names = set(contents(finished / "p00"))
    stages = [f"{stage}/{view}.png" for stage in STAGES["warpgan"] for view in VIEWS]
    depths = [f"depth/{name}.png" for name in (*VIEWS, "photo")]
    singles = ["photo.png", "grid.png", "orbit.mp4", "orbit.gif", "points.ply", "views.json"]
    assert names == {*stages, *depths, *singles}
    assert {path.name for path in finished.iterdir()} == {"p00", "p01", "sheet.png"}
    for name in stages:
        assert pixels(finished / "p00" / name).shape == (SIZE, SIZE, 3)
    grid, sheet = pixels(finished / "p00" / "grid.png"), pixels(finished / "sheet.png")
    assert grid.shape[0] > 6 * SIZE and grid.shape[1] > 3 * SIZE
    assert sheet.shape[0] > 2 * SIZE and sheet.shape[1] > 11 * SIZE


def test_the_record_says_what_was_made(finished, world):
    record = json.loads((finished / "p01" / "views.json").read_text())
    assert record["photo"] == "p01.png" and len(record["camera"]) == 25
    yaw, pitch = yaw_pitch(torch.tensor([record["views"][view] for view in VIEWS]))
    assert yaw.tolist() == pytest.approx([-20, 20], abs=1e-4)
    assert pitch.tolist() == pytest.approx([0, 0], abs=1e-4)
    assert record["geometry"]["visibility"] is True, "that of SVINet's run"
    assert set(record["weights"]) == {"encoder.safetensors", "svinet.safetensors"}


def test_depth_files_hold_depth_z(finished):
    depth = pixels(finished / "p00" / "depth" / f"{VIEWS[0]}.png")
    assert depth.dtype == np.uint16 and depth.shape == (SIZE, SIZE)
    assert 2.0 < depth.min() / DEPTH_STEPS < depth.max() / DEPTH_STEPS < 3.5


def test_videos_play(finished):
    folder = finished / "p00"
    with av.open(str(folder / "orbit.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264" and stream.codec_context.pix_fmt == "yuv420p"
        assert float(stream.average_rate) == 12.5
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    with Image.open(folder / "orbit.gif") as gif:
        assert gif.n_frames == len(frames) == 4 and gif.info["loop"] == 0
        shown = []
        for i in range(4):
            gif.seek(i)
            shown.append(np.asarray(gif.convert("RGB")).astype(int))
    zoom = 256 // SIZE
    height, width = SIZE * zoom, (2 * SIZE + 2) * zoom
    assert shown[0].shape == frames[0].shape == (height, width, 3)
    for played, still in zip(frames, shown, strict=True):
        assert np.abs(played.astype(int) - still).mean() < 12
    photo = pixels(folder / "photo.png").repeat(zoom, 0).repeat(zoom, 1)
    assert np.abs(frames[0][:, :height].astype(int) - photo).mean() < 12
    assert np.abs(shown[0][:, -height:] - shown[1][:, -height:]).mean() > 0.5, "the view turns"
    assert np.abs(shown[0][:, :height] - shown[1][:, :height]).mean() < 0.5, "the photo does not"


def test_points_lie_on_the_photo_s_rays(finished):
    """Projected by the photo's camera, every point falls on the pixel that has its colour."""
    cloud = trimesh.load(finished / "p00" / "points.ply")
    camera = torch.tensor(json.loads((finished / "p00" / "views.json").read_text())["camera"])
    place = project(torch.from_numpy(np.asarray(cloud.vertices)).float(), camera, size=SIZE)
    inside = place.floor().long()
    assert (place - inside - 0.5).abs().max() < 1e-2, "pixel centres"
    photo = pixels(finished / "p00" / "photo.png")
    assert len(inside) > SIZE * SIZE / 4
    assert np.array_equal(photo[inside[:, 1], inside[:, 0]], np.asarray(cloud.colors)[:, :3])


def test_points_leave_out_depth_edges():
    camera = source_cameras(1)[0]
    depth_z = torch.full((1, SIZE, SIZE), 2.5)
    depth_z[:, :, SIZE // 2 :] = 2.9
    depth_z[:, 0, 0] = math.inf
    cloud = unproject_photo(photos(1)[0], ray_length_from_depth_z(depth_z, camera), camera)
    assert len(cloud.positions) == SIZE * SIZE - 2 * SIZE - 3


def test_the_same_command_gives_the_same_bytes(finished, world):
    again = run(world, world / "again", "--count", "2")
    assert contents(again) == contents(finished)


def test_finished_photos_are_left_alone(world, capsys):
    out = run(world, world / "resumed", "--count", "1")
    before = {path: path.stat().st_mtime_ns for path in (out / "p00").rglob("*")}
    reference = contents(out)
    (out / "sheet.png").unlink()
    run(world, out, "--count", "2")
    assert "p00.png: done before" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in (out / "p00").rglob("*")} == before
    (out / "p00" / "views.json").unlink()
    (out / "p00" / "grid.png").write_bytes(b"half a file")
    run(world, out, "--count", "1")
    assert contents(out / "p00") == {
        name.removeprefix("p00/"): content
        for name, content in reference.items()
        if name.startswith("p00/")
    }


def test_other_settings_are_refused_until_overwritten(world, capsys):
    out = run(world, world / "other", "--count", "1")
    capsys.readouterr()
    words = ["--count", "1", "--method", "warp"]
    with pytest.raises(SystemExit) as ended:
        run(world, out, *words)
    assert ended.value.code == 2
    assert "another plan" in (message := capsys.readouterr().err) and "--overwrite" in message
    run(world, out, *words, "--overwrite")
    assert json.loads((out / "p00" / "views.json").read_text())["plan"]["method"] == "warp"


def test_methods_write_their_stages_and_agree_on_them(finished, world):
    for method in METHODS[:-1]:
        out = run(world, world / method, "--count", "1", "--method", method, "--orbit", "0")
        for stage in STAGES["warpgan"]:
            for view in VIEWS:
                path = out / "p00" / stage / f"{view}.png"
                assert path.is_file() == (stage in STAGES[method])
                if path.is_file():
                    reference = finished / "p00" / stage / f"{view}.png"
                    assert path.read_bytes() == reference.read_bytes()
        assert not (out / "p00" / "orbit.mp4").exists()
    images = [pixels(finished / "p00" / s / f"{VIEWS[1]}.png") for s in STAGES["warpgan"]]
    for i, image in enumerate(images):
        assert all(np.abs(image.astype(int) - other).mean() > 0.5 for other in images[:i])


def test_one_image_with_its_label(finished, world, tmp_path):
    labels = dict(json.loads((world / "photos" / "dataset.json").read_text())["labels"])
    (tmp_path / "camera.json").write_text(json.dumps(labels["p00.png"]))
    word = str(world / "photos" / "p00.png")
    for name, more in (("beside", []), ("given", ["--label", str(tmp_path / "camera.json")])):
        words = [word, str(tmp_path / name), "--svinet", str(world / "svinet_run"), *more]
        assert main([*words, "--yaw", "-20", "20", "--orbit", "4", "--device", "cpu"]) == 0
        assert contents(tmp_path / name / "p00") == contents(finished / "p00")


def test_a_dry_run_needs_no_weights_and_no_photos(tmp_path, capsys):
    words = ["portraits", str(tmp_path / "out"), "--count", "1", "--random-weights", "tiny"]
    words += ["--yaw", "20", "--orbit", "0", "--cache", str(tmp_path), "--device", "cpu"]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "1 views in" in said and "peak memory" in said
    assert len(list((tmp_path / "out").rglob("warpgan/yaw+20_pitch+0.png"))) == 1


def plan(**changes) -> ViewPlan:
    settings = {
        "method": "warpgan", "yaws": (-10.0, 10.0), "pitches": (0.0,), "sheet_yaws": (),
        "orbit_frames": 12, "orbit_yaw": 20.0, "orbit_pitch": 5.0, "fps": 10.0, "zoom": 1,
    }  # fmt: skip
    return ViewPlan(**{**settings, **changes})


def test_the_orbit_is_closed_smooth_and_symmetric():
    camera = source_cameras(1)[0]
    yaw, pitch = yaw_pitch(plan().orbit_cameras(camera))
    assert yaw.max() == pytest.approx(20, abs=1e-3) and pitch.max() == pytest.approx(5, abs=1e-3)
    assert yaw.sum().abs() < 1e-3
    for angle, largest in ((yaw, 20), (pitch, 5)):
        step = (angle - angle.roll(1)).abs()
        assert step.max() <= largest * 2 * math.pi / 12 + 1e-3, "the last step too"
    mirrored_yaw, _ = yaw_pitch(mirror_label(plan().orbit_cameras(camera)))
    assert torch.allclose(mirrored_yaw, -yaw, atol=1e-4)


def test_views_keep_the_photo_s_intrinsics():
    camera = source_cameras(1)[0].clone()
    camera[16], camera[18] = 4.0, 0.52
    assert torch.equal(plan().grid_cameras(camera)[:, 16:], camera[16:].expand(2, -1))


def test_geometry_words_change_options():
    assert find_geometry(["official"], None).depth == "ray"
    changed = find_geometry(["official", "depth=z", "blur_sigma=0.5"], None)
    assert changed.depth == "z" and changed.blur_sigma == 0.5
    assert find_geometry(None, {"depth": "ray"}).depth == "ray"
    assert find_geometry(None, None) == find_geometry(["mini"], None)


def test_photos_do_not_cross_talk(world):
    """A photo alone gives the files it gives among others."""
    out = run(world, world / "all", "--orbit", "0")
    alone = world / "photos" / "p02.png"
    words = [str(alone), str(world / "alone"), "--svinet", str(world / "svinet_run")]
    assert main([*words, "--yaw", "-20", "20", "--orbit", "0", "--device", "cpu"]) == 0
    assert contents(world / "alone" / "p02") == contents(out / "p02")


def test_views_on_files_are_those_of_the_pipeline(finished):
    model = build_pipeline()
    record = json.loads((finished / "p00" / "views.json").read_text())
    photo = torch.from_numpy(pixels(finished / "p00" / "photo.png").copy()).permute(2, 0, 1)
    face = model.invert(photo[None] / 127.5 - 1, torch.tensor(record["camera"])[None])
    views = face.views(torch.tensor(list(record["views"].values()))[None])
    for view, name in enumerate(VIEWS):
        written = pixels(finished / "p00" / "warpgan" / f"{name}.png").astype(float)
        expected = ((views.image[0, view] + 1) * 127.5).permute(1, 2, 0).numpy()
        assert np.abs(written - expected).max() <= 0.51


def test_video_files_of_odd_sides_and_wrong_input(tmp_path):
    frames = [np.full((31, 33, 3), level, np.uint8) for level in (40, 90, 200)]
    with av.open(str(write_mp4(tmp_path / "a.mp4", frames, fps=10))) as container:
        shown = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
    assert [s.shape for s in shown] == [(32, 34, 3)] * 3
    assert [s.mean() for s in shown] == pytest.approx([40, 90, 200], abs=3)
    with Image.open(write_gif(tmp_path / "a.gif", frames, fps=10)) as gif:
        assert gif.n_frames == 3 and gif.info["duration"] == 100
    for write, name in ((write_mp4, "b.mp4"), (write_gif, "b.gif")):
        with pytest.raises(ValueError, match="at least one frame"):
            write(tmp_path / name, [], fps=10)
        with pytest.raises(ValueError, match="of one shape"):
            write(tmp_path / name, [frames[0], frames[0][:-1]], fps=10)
        with pytest.raises(ValueError, match="fps=0"):
            write(tmp_path / name, frames, fps=0)
        with pytest.raises(ValueError, match="expected a name ending in"):
            write(tmp_path / "b.avi", frames, fps=10)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.gif", "a.mp4"]
