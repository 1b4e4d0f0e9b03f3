"""``python -m warpgan.lift`` and ``python -m warpgan.edit`` in the tiny random world."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image
from safetensors.torch import load_file

from eg3d import PointSamples
from eg3d.mesh import Mesh
from tests.warpgan.evaluation_world import SIZE, build_generator
from tests.warpgan.synthesis_world import build_pipeline, photos, source_cameras, write_world
from warpgan import edit as edit_command
from warpgan.cli import build_node, compose_config
from warpgan.edit import main as edit
from warpgan.evaluate import EvaluateConfig
from warpgan.evaluation import extras
from warpgan.lift import main as lift_photos
from warpgan.lifting import LiftSettings, lift, load_lifted
from warpgan.lifting.export import face_cloud, face_mesh, surface_level, without_crumbs
from warpgan.lifting.settings import find_settings
from warpgan.methods.base import Method
from warpgan.methods.build import Models
from warpgan.methods.remembered import Remembered
from warpgan.perception import build_perceptual

VIEWS = ("yaw-20_pitch+0", "yaw+20_pitch+0")
SETTINGS = ["mini", "steps=2", "orbit_frames=2", "wide_yaws=[30]", "loss_size=32"]


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    return write_world(tmp_path_factory.mktemp("lift"), count=2)


def run(world: Path, out: Path, *more: str) -> None:
    words = [str(world / "photos"), str(out), "--svinet", str(world / "svinet_run")]
    words += ["--yaw", "-20", "20", "--orbit", "2", "--device", "cpu", "--settings", *SETTINGS]
    assert lift_photos([*words, *more]) == 0


@pytest.fixture(scope="module")
def finished(world) -> Path:
    run(world, world / "out", "--export", "planes", "pointcloud")
    return world / "out"


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_every_file_is_written_and_readable(finished, world):
    stages = [f"{s}/{view}.png" for s in ("inversion", "warpgan", "lifted") for view in VIEWS]
    singles = ["photo.png", "grid.png", "orbit.mp4", "orbit.gif", "views.json"]
    lifted = ["lifted.safetensors", "lifted.json", "cloud.ply", "planes.safetensors"]
    assert set(files(finished / "p00")) == {*stages, *singles, *lifted}
    assert {path.name for path in finished.iterdir()} == {"p00", "p01", "sheet.png"}
    generator = build_generator()
    face = load_lifted(finished / "p00" / "lifted.safetensors", generator)
    assert torch.equal(load_file(finished / "p00" / "planes.safetensors")["planes"], face.planes[0])
    record = json.loads((finished / "p00" / "views.json").read_text())
    cameras = torch.tensor([record["views"][view] for view in VIEWS])
    for view, image in zip(VIEWS, face.render(cameras).image[0], strict=True):
        with Image.open(finished / "p00" / "lifted" / f"{view}.png") as picture:
            found = torch.from_numpy(np.array(picture)).permute(2, 0, 1)
        assert ((image.clamp(-1, 1) + 1) * 127.5 - found).abs().max() <= 0.5 + 1e-3


def test_the_same_command_does_only_what_is_missing(finished, world, capsys):
    before = files(finished)
    (finished / "p01" / "views.json").unlink()
    (finished / "p01" / "lifted.safetensors").unlink()
    run(world, finished, "--export", "planes", "pointcloud")
    said = capsys.readouterr().out
    assert "p00.png: done before" in said and "p01.png: lifted in" in said
    assert files(finished) == before
    with pytest.raises(SystemExit) as stop:
        run(world, finished, "--export", "planes")
    assert stop.value.code == 2 and "made with another export" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--settings", "huge"], "choose one of mini, paper"),
        (["--settings", "mini", "step=3"], "the keys are parameters, steps"),
        (["--settings", "mini", "steps=0"], "lift.steps=0"),
        (["--settings", "mini", "wide_yaws=7"], "--settings mini wide_yaws=7"),
        (["--count", "0"], "--count 0"),
        (["--yaw", "500"], "between -180 and 180"),
    ],
)
def test_mistakes_are_told_in_one_line(world, tmp_path, capsys, words, problem):
    with pytest.raises(SystemExit) as stop:
        run(world, tmp_path / "none", *words)
    told = capsys.readouterr().err
    assert stop.value.code == 2 and problem in told and "Traceback" not in told


def test_the_defaults_are_those_of_the_config():
    assert find_settings(None) == LiftSettings()
    assert find_settings(["paper"]).parameters == "generator"


@pytest.fixture
def known_generator(monkeypatch):
    generator = build_generator()
    monkeypatch.setattr(edit_command, "find_generator", lambda name: generator)
    return generator


def test_edits_are_written_and_resumed(finished, tmp_path, known_generator, capsys):
    generator = known_generator
    delta = np.random.default_rng(0).normal(size=(generator.num_ws, generator.w_dim))
    np.save(tmp_path / "grow.npy", delta.astype(np.float32))
    words = [str(finished), str(tmp_path / "edited"), "--direction", str(tmp_path / "grow.npy")]
    words += ["--strengths", "-1", "0", "1", "--yaw", "-20", "20", "--orbit", "2"]
    assert edit(words) == 0
    made = files(tmp_path / "edited")
    folder = "p00/grow"
    views = {f"{folder}/strength{s}/{view}.png" for s in ("-1", "+0", "+1") for view in VIEWS}
    rest = {
        f"{folder}/{name}" for name in ("sheet.png", "views.json", "orbit-1.mp4", "orbit+1.mp4")
    }
    assert {name for name in made if name.startswith("p00")} == views | rest
    for view in VIEWS:
        same = (finished / "p00" / "lifted" / f"{view}.png").read_bytes()
        assert made[f"{folder}/strength+0/{view}.png"] == same
        assert made[f"{folder}/strength+1/{view}.png"] != same
    capsys.readouterr()
    assert edit(words) == 0
    assert capsys.readouterr().out.count("done before") == 2 and files(tmp_path / "edited") == made
    with pytest.raises(SystemExit):
        edit([*words[:3], words[3], "--strength", "3"])
    assert "made with another strengths" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--direction", "nose"], "direction nose: no such file"),
        (["--direction", "age"], "the shipped one is of eg3d_mini"),
        (["--direction", "age", "--strength", "1e9"], "within +-100"),
    ],
)
def test_mistakes_of_edits(finished, tmp_path, capsys, known_generator, words, problem):
    asked = [str(finished), str(tmp_path / "none"), *words]
    with pytest.raises(SystemExit) as stop:
        edit(asked)
    assert stop.value.code == 2
    told = capsys.readouterr().err
    assert problem in told
    with pytest.raises(SystemExit):
        edit([str(tmp_path), str(tmp_path / "none"), "--direction", "age"])
    assert "no lifted face there" in capsys.readouterr().err


@pytest.fixture(scope="module")
def lifted():
    net = build_perceptual("perc_efficientnet")
    face = build_pipeline().invert(photos(1), source_cameras(1))
    settings = LiftSettings(steps=1, orbit_frames=1, wide_yaws=(), loss_size=32)
    return lift(face, settings, perceptual=net)


def test_the_mesh_of_a_sphere_has_its_radius(lifted, monkeypatch):
    """The level is found where rays end, so the mesh is the surface that pictures show."""
    radius, centre = 0.2, torch.tensor([0.03, -0.02, 0.05])

    def query(planes, points, *, chunk=None):
        inside = radius - (points - centre).norm(dim=-1, keepdim=True)
        return PointSamples(200 * inside, (points + 0.5).clamp(0, 1))

    class Rays:
        """Ends on a sphere a little inside, as rays of a volume do."""

        def __init__(self, origins, directions):
            offset = origins - centre
            along = (offset * directions).sum(-1)
            inside = along**2 - (offset**2).sum(-1) + (0.99 * radius) ** 2
            self.ray_length = (-along - inside.clamp(min=0).sqrt())[..., None]
            self.opacity = (inside > 0).float()[..., None]

    generator = lifted.generator
    monkeypatch.setattr(generator, "query", query)
    monkeypatch.setattr(generator, "render_rays", lambda planes, o, d, ws: Rays(o, d))
    mesh = face_mesh(lifted, resolution=48)
    found = np.linalg.norm(mesh.vertices - centre.numpy(), axis=1)
    assert np.allclose(found, radius, atol=0.01 * radius + 0.002)
    assert trimesh.Trimesh(mesh.vertices, mesh.faces, process=False).is_watertight


def test_crumbs_are_left_out():
    ball = trimesh.creation.icosphere(subdivisions=3)
    crumb = ball.vertices[ball.faces[:1]].reshape(-1, 3) + 5
    vertices = np.concatenate([crumb, ball.vertices]).astype(np.float32)
    faces = np.concatenate([[[0, 1, 2]], ball.faces + 3]).astype(np.int32)
    mesh = without_crumbs(Mesh(vertices, faces, np.zeros((len(vertices), 3), np.uint8), vertices))
    assert np.array_equal(mesh.vertices, ball.vertices.astype(np.float32))
    assert np.array_equal(mesh.faces, ball.faces)


def test_no_surface_is_told(lifted, monkeypatch):
    class Empty:
        opacity = torch.zeros(1, 4, 1)
        ray_length = torch.zeros(1, 4, 1)

    generator = lifted.generator
    monkeypatch.setattr(generator, "render_rays", lambda *args, **words: Empty())
    with pytest.raises(ValueError, match="no surface"):
        surface_level(generator, lifted.planes, lifted.ws, camera=lifted.camera)


def test_clouds_have_points_of_several_views(lifted):
    cloud = face_cloud(lifted)
    assert len(cloud.positions) == len(cloud.colours) and np.isfinite(cloud.positions).all()


def test_the_harness_s_method_is_the_same_lift(world):
    words = ["method=[lift]", f"method.lift.svinet={world / 'svinet_run'}"]
    words += [f"method.lift.settings.{word}" for word in SETTINGS[1:]]
    assert EvaluateConfig  # its import registers the schema
    config = compose_config("evaluate", words)
    pipeline = build_pipeline()
    method = build_node(config.method, "lift")(
        Models(pipeline.generator, pipeline.encoder), name="lift"
    )
    assert method.one_at_a_time and method.note.startswith("2 steps of planes and decoder")
    photo, camera = photos(2), source_cameras(2)
    found = method.invert(photo, camera)
    assert found.steps == [2, 2] and found.seconds > 0
    alone = lift(
        method.model.invert(photo[1:], camera[1:]), method.settings, perceptual=method.perceptual
    )
    views = found.render(source_cameras(3).expand(2, 3, 25))
    assert torch.equal(views.image[1], alone.render(source_cameras(3)).image[0])


class _Counting(Method):
    name, image_size, note = "counting", SIZE, "a note"

    def __init__(self):
        self.seen = []

    def invert(self, photo, camera):
        self.seen.append(len(photo))
        return object()


def test_a_photo_that_comes_back_is_not_inverted_twice():
    method = _Counting()
    kept = Remembered(method)
    assert (kept.name, kept.note, kept.image_size) == ("counting", "a note", SIZE)
    photo, camera = photos(2), source_cameras(2)
    first = kept.invert(photo[:1], camera[:1])
    other = kept.invert(photo[1:], camera[1:])
    assert kept.invert(photo[:1], camera[:1]) is first and other is not first
    assert kept.invert(photo[:1], camera[1:]) is not first
    assert method.seen == [1, 1, 1]
    kept.invert(photo, camera)
    assert method.seen[-1] == 2


@pytest.mark.parametrize("asked", [False, True])
def test_consistency_of_methods_that_optimise_is_measured_where_asked_for(monkeypatch, asked):
    measured = []
    monkeypatch.setattr(extras, "can_agree", lambda *args: True)
    monkeypatch.setattr(
        extras.consistency, "measure_consistency", lambda method, *a, **w: measured.append(method)
    )
    monkeypatch.setattr(extras.consistency, "summary", lambda rows, seed: {"people": 1})
    method = Remembered(_Counting())
    suite = SimpleNamespace(perceptual=[None])
    found = extras.measure_extras(
        method, None, [], folder=Path("none"), suite=suite, timing=0, orbit_frames=2,
        recorded=[], seed=0, optimised=asked,
    )  # fmt: skip
    assert measured == [method] * asked and (found.consistency is not None) == asked
