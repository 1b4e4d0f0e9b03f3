"""Meshes: geometry against known shapes, colours at their places, files other programs read."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

import eg3d
from eg3d import export_mesh
from eg3d.mesh import Mesh, extract_mesh
from eg3d.mesh_files import save_mesh

from . import official_snapshot as official

RADIUS = 0.3
SPHERE = torch.tensor([0.05, -0.07, 0.1])
SHARPNESS = 40.0


@pytest.fixture(scope="module")
def small() -> eg3d.TriPlaneGenerator:
    return official.small_generator()


def sphere_density(points: torch.Tensor) -> torch.Tensor:
    """Raw density that is 10 on the sphere and higher inside."""
    return 10 + SHARPNESS * (RADIUS - (points - SPHERE).norm(dim=-1, keepdim=True))


def coloured_by_position(points: torch.Tensor) -> torch.Tensor:
    return torch.cat([points + 0.5, torch.zeros_like(points)], -1)


def analytic(monkeypatch, generator, density=sphere_density, colour=coloured_by_position):
    """Replace the volume by formulas; returns the list of chunk sizes asked for."""
    asked = []

    def query(planes, points, *, chunk=None):
        asked.append(points.shape[1])
        return eg3d.PointSamples(density(points), colour(points))

    monkeypatch.setattr(generator, "query", query)
    return asked


@pytest.fixture
def ws(small) -> torch.Tensor:
    return torch.zeros(1, small.num_ws, small.w_dim)


def outward(mesh: Mesh) -> np.ndarray:
    corners = mesh.vertices[mesh.faces]
    return np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])


def test_sphere(monkeypatch, small, ws):
    """Surface, orientation, normals, colours and topology of a shape that is known."""
    analytic(monkeypatch, small)
    mesh = extract_mesh(small, ws, resolution=48)
    step = 1 / 47
    offsets = mesh.vertices - SPHERE.numpy()
    distances = np.linalg.norm(offsets, axis=1)
    assert np.abs(distances - RADIUS).max() < 0.02 * step
    assert mesh.vertices.dtype == np.float32 and mesh.faces.dtype == np.int32
    # A shifted, mirrored or sheared grid would move the middle or the extents.
    middle = (mesh.vertices.min(0) + mesh.vertices.max(0)) / 2
    assert np.abs(middle - SPHERE.numpy()).max() < 0.1 * step
    corners = mesh.vertices[mesh.faces]
    facing = (outward(mesh) * (corners.mean(1) - SPHERE.numpy())).sum(1)
    assert (facing > 0).all()
    radial = offsets / distances[:, None]
    assert ((mesh.normals * radial).sum(1) > 0.99).all()
    assert np.allclose(np.linalg.norm(mesh.normals, axis=1), 1, atol=1e-5)
    assert np.abs(mesh.colours - (mesh.vertices + 0.5) * 255).max() <= 0.51
    solid = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    assert solid.is_watertight and solid.is_winding_consistent
    assert solid.volume == pytest.approx(4 / 3 * np.pi * RADIUS**3, rel=5e-3)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_no_axis_is_mirrored_or_sheared(monkeypatch, small, ws, axis):
    """A box with different ends on every axis; the official exporter mirrors x, shears x and y."""
    low, high = torch.tensor([-0.4, -0.1, -0.3]), torch.tensor([0.1, 0.3, -0.05])

    def box(points):
        inside = torch.minimum(points - low, high - points).amin(-1, keepdim=True)
        return 10 + SHARPNESS * inside

    analytic(monkeypatch, small, density=box)
    mesh = extract_mesh(small, ws, resolution=41)
    assert mesh.vertices[:, axis].min() == pytest.approx(low[axis].item(), abs=1e-4)
    assert mesh.vertices[:, axis].max() == pytest.approx(high[axis].item(), abs=1e-4)
    flat = np.abs(mesh.vertices[:, axis] - high[axis].item()) < 1e-4
    assert flat.sum() > 50, "a sheared face would not be flat"


def test_colours_belong_to_their_places(monkeypatch, small, ws):
    """Each octant of the sphere has its own colour; out-of-range values are clamped."""

    def octants(points):
        return torch.cat([((points - SPHERE) > 0) * 1.002 - 0.001, torch.zeros_like(points)], -1)

    analytic(monkeypatch, small, colour=octants)
    mesh = extract_mesh(small, ws, resolution=32)
    assert set(np.unique(mesh.colours)) == {0, 255}
    assert np.array_equal(mesh.colours > 0, mesh.vertices > SPHERE.numpy())


def test_cube_of_the_generator_and_of_the_caller(monkeypatch, small, ws):
    analytic(monkeypatch, small, density=lambda p: p.sum(-1, keepdim=True) * 100)
    monkeypatch.setitem(small.rendering_kwargs, "box_warp", 2.0)
    extensions = eg3d.generator.Extensions(box_centre=(0.5, 0.0, -0.5))
    monkeypatch.setattr(small, "extensions", extensions)
    mesh = extract_mesh(small, ws, resolution=24)
    assert np.allclose(mesh.vertices.min(0), [-0.5, -1, -1.5], atol=1e-5)
    assert np.allclose(mesh.vertices.max(0), [1.5, 1, 0.5], atol=1e-5)
    assert np.abs(mesh.vertices.sum(1) - 0.1).max() < 1e-4
    mesh = extract_mesh(small, ws, resolution=24, side=0.5, centre=(0.0, 0.0, 0.05))
    assert np.abs(mesh.vertices[:, :2]).max() <= 0.25 + 1e-6


def test_chunks_bound_the_queries_and_change_nothing(monkeypatch, small, ws):
    asked = analytic(monkeypatch, small)
    whole = extract_mesh(small, ws, resolution=20, chunk=10**6)
    assert asked[0] == 8000
    asked.clear()
    parts = extract_mesh(small, ws, resolution=20, chunk=333)
    assert max(asked) <= 333
    for name in ("vertices", "faces", "colours", "normals"):
        assert np.array_equal(getattr(whole, name), getattr(parts, name))


def test_open_where_the_cube_cuts_unless_blanked(monkeypatch, small, ws):
    """Half a sphere: a surface with a rim; one blank layer closes it and keeps the rest."""
    analytic(monkeypatch, small)
    arguments = {"resolution": 33, "centre": (0.05, -0.07 - 0.4, 0.1), "side": 0.8}
    rimmed = extract_mesh(small, ws, **arguments)
    assert not trimesh.Trimesh(rimmed.vertices, rimmed.faces).is_watertight
    assert rimmed.vertices[:, 1].max() == pytest.approx(-0.07, abs=1e-5)
    closed = extract_mesh(small, ws, blank_border=1, **arguments)
    assert trimesh.Trimesh(closed.vertices, closed.faces).is_watertight
    assert closed.vertices[:, 1].max() == pytest.approx(-0.07, abs=0.8 / 32)


@pytest.mark.parametrize(("clamp", "gain", "bias"), [("softplus", 40.0, 1.0), ("relu", 4.0, -2.0)])
def test_level_means_the_same_extinction_with_density_extensions(
    monkeypatch, small, ws, clamp, gain, bias
):
    def activate(raw):
        return torch.nn.functional.softplus(raw - 1) if clamp == "softplus" else raw.relu()

    monkeypatch.setitem(small.rendering_kwargs, "clamp_mode", clamp)
    extensions = eg3d.generator.Extensions(density_gain=gain, density_bias=bias)
    monkeypatch.setattr(small, "extensions", extensions)
    asked = []

    def slope(points):
        asked.append(points[..., :1] * 30)
        return asked[-1]

    analytic(monkeypatch, small, density=slope)
    mesh = extract_mesh(small, ws, resolution=24, level=10.0)
    raw = torch.from_numpy(mesh.vertices[:, :1]) * 30
    extinction = gain * activate(raw + bias)
    assert torch.allclose(extinction, activate(torch.tensor(10.0)), rtol=1e-4)


def test_a_real_generator(small):
    """Density and colour at the vertices are the generator's own."""
    torch.manual_seed(0)
    ws = torch.randn(small.num_ws, small.w_dim)
    grid = torch.linspace(-0.5, 0.5, 24)
    points = torch.stack(torch.meshgrid(grid, grid, grid, indexing="ij"), -1).reshape(1, -1, 3)
    with torch.no_grad():
        planes = small.planes(ws[None])
        density = small.query(planes, points).density
    level = density.median().item()
    mesh = extract_mesh(small, ws, resolution=24, level=level, progress=False)
    assert len(mesh.faces) > 100
    with torch.no_grad():
        samples = small.query(planes, torch.from_numpy(mesh.vertices)[None])
    wanted = (samples.colour[0, :, :3].clamp(0, 1) * 255).round().to(torch.uint8)
    assert np.array_equal(mesh.colours, wanted.numpy())
    # Every vertex is on an edge between grid points, one below and one above the level.
    cells = (mesh.vertices + 0.5) * 23
    ends = np.stack([np.floor(cells + 1e-4), np.ceil(cells - 1e-4)]).astype(int)
    cube = density.reshape(24, 24, 24).numpy()
    values = np.stack([cube[tuple(end.T)] for end in ends])
    assert (values.min(0) <= level + 1e-4).all() and (values.max(0) >= level - 1e-4).all()


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"resolution": 2}, "resolution is 2; expected 4 to 1024"),
        ({"resolution": 5000}, "resolution is 5000"),
        ({"blank_border": 8, "resolution": 16}, "blank_border is 8; expected 0 to 7"),
        ({"blank_border": -1}, "blank_border is -1"),
        ({"chunk": 0}, "chunk is 0"),
        ({"side": -1.0}, "side is -1.0"),
        ({"side": float("nan")}, "side is nan"),
        ({"level": float("nan")}, "level is nan"),
        ({"level": 500.0, "resolution": 16}, "no surface: raw density in the cube is .*500"),
        ({"blank_border": 7, "resolution": 16}, "no surface is left inside"),
    ],
)
def test_arguments_that_cannot_work(monkeypatch, small, ws, arguments, problem):
    analytic(monkeypatch, small, density=lambda p: sphere_density(p + 0.3))
    with pytest.raises(ValueError, match=problem):
        extract_mesh(small, ws, **arguments)


def test_wrong_latents_and_broken_densities(monkeypatch, small, ws):
    for wrong in (ws[:, 1:], ws.repeat(2, 1, 1), ws[0, 0]):
        with pytest.raises(ValueError, match="expected one latent"):
            extract_mesh(small, wrong)
    analytic(monkeypatch, small, density=lambda p: sphere_density(p) * float("nan"))
    with pytest.raises(ValueError, match="NaN or infinite"):
        extract_mesh(small, ws, resolution=8)


# Files


@pytest.fixture
def mesh(monkeypatch, small, ws) -> Mesh:
    analytic(monkeypatch, small)
    return extract_mesh(small, ws, resolution=20)


def linear(srgb: np.ndarray) -> np.ndarray:
    value = srgb / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


@pytest.mark.parametrize("suffix", [".ply", ".glb"])
def test_files_as_trimesh_reads_them(tmp_path, mesh, suffix):
    path = tmp_path / "folder" / f"head{suffix}"
    save_mesh(mesh, path)
    read = trimesh.load(path, process=False)
    if suffix == ".glb":
        (read,) = read.geometry.values()
    assert np.array_equal(read.vertices, mesh.vertices.astype(np.float64))
    assert np.array_equal(read.faces, mesh.faces)
    # trimesh makes its own normals from the triangles: they must point the way ours do.
    assert ((read.vertex_normals * mesh.normals).sum(1) > 0.98).all()
    if suffix == ".ply":
        assert np.array_equal(read.visual.vertex_colors[:, :3], mesh.colours)
    else:
        # Beside a material trimesh keeps the colours as stored: 16-bit linear light.
        colours = read.visual.vertex_attributes["color"][:, :3] / 65535
        assert np.abs(colours - linear(mesh.colours)).max() < 1e-5
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_glb_structure(tmp_path, mesh):
    """Header, chunks, alignment, ranges and bounds as the glTF 2.0 specification asks."""
    save_mesh(mesh, tmp_path / "head.glb")
    data = (tmp_path / "head.glb").read_bytes()
    magic, version, total, json_length, kind = struct.unpack("<4sIII4s", data[:20])
    assert (magic, version, total, kind) == (b"glTF", 2, len(data), b"JSON")
    scene = json.loads(data[20 : 20 + json_length])
    binary_length, binary_kind = struct.unpack("<I4s", data[20 + json_length : 28 + json_length])
    binary = data[28 + json_length :]
    assert binary_kind == b"BIN\0" and len(binary) == binary_length and json_length % 4 == 0
    assert scene["buffers"] == [{"byteLength": binary_length}]
    assert all(view["byteOffset"] % 4 == 0 for view in scene["bufferViews"])
    position = scene["accessors"][0]
    assert np.allclose(position["min"], mesh.vertices.min(0))
    assert np.allclose(position["max"], mesh.vertices.max(0))
    attributes = scene["meshes"][0]["primitives"][0]["attributes"]

    def stored(name: str) -> bytes:
        view = scene["bufferViews"][attributes[name]]
        return binary[view["byteOffset"] : view["byteOffset"] + view["byteLength"]]

    assert stored("NORMAL") == mesh.normals.tobytes()
    colours = np.frombuffer(stored("COLOR_0"), "<u2").reshape(-1, 4)
    assert (colours[:, 3] == 65535).all() and scene["accessors"][2]["normalized"] is True
    back = colours[:, :3] / 65535
    srgb = np.where(back <= 0.0031308, back * 12.92, 1.055 * back ** (1 / 2.4) - 0.055)
    assert np.array_equal(np.round(srgb * 255), mesh.colours), "no colour is lost"


def test_ply_layout(tmp_path, mesh):
    save_mesh(mesh, tmp_path / "head.ply")
    header, body = (tmp_path / "head.ply").read_bytes().split(b"end_header\n", 1)
    assert f"element vertex {len(mesh.vertices)}\n".encode() in header
    vertex = np.dtype([("position", "<f4", 3), ("normal", "<f4", 3), ("colour", "u1", 3)])
    read = np.frombuffer(body, vertex, count=len(mesh.vertices))
    assert np.array_equal(read["normal"], mesh.normals)
    assert len(body) == len(mesh.vertices) * 27 + len(mesh.faces) * 13


def test_bad_targets(tmp_path, mesh):
    with pytest.raises(ValueError, match="must end in .ply or .glb"):
        save_mesh(mesh, tmp_path / "head.obj")
    (tmp_path / "head.ply").mkdir()
    with pytest.raises(ValueError, match="is a folder"):
        save_mesh(mesh, tmp_path / "head.ply")


# The command


@pytest.fixture(scope="module")
def model(tmp_path_factory, small) -> Path:
    path = tmp_path_factory.mktemp("model") / "g.safetensors"
    eg3d.save_generator(small, path)
    return path


def test_command(tmp_path, model, small, capsys):
    ws = export_mesh.seed_latent(small, 7)
    z = torch.from_numpy(np.random.RandomState(7).randn(1, small.z_dim)).float()
    assert torch.equal(ws, small.mapping(z, export_mesh.frontal_label(small)))
    with torch.no_grad():
        points = torch.rand(1, 4000, 3) - 0.5
        level = small.query(small.planes(ws), points).density.median().item()
    arguments = ["--seed", "7", "--resolution", "16", f"--level={level}"]
    assert export_mesh.main([str(model), str(tmp_path / "seed.ply"), *arguments]) == 0
    assert "vertices" in capsys.readouterr().out
    np.save(tmp_path / "ws.npy", ws[0].detach().numpy())
    arguments[:2] = ["--ws", str(tmp_path / "ws.npy")]
    assert export_mesh.main([str(model), str(tmp_path / "ws.ply"), *arguments]) == 0
    assert (tmp_path / "ws.ply").read_bytes() == (tmp_path / "seed.ply").read_bytes()


def test_frontal_label(small):
    label = export_mesh.frontal_label(small)[0]
    pose = label[:16].reshape(4, 4)
    assert torch.allclose(pose[:3, 3], torch.tensor([0.0, 0.0, 2.7]), atol=1e-6)
    assert torch.allclose(pose[:3, :3], torch.diag(torch.tensor([1.0, -1.0, -1.0])), atol=1e-6)
    assert label[16].item() == pytest.approx(4.26339, abs=1e-4)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["head.obj"], "must end in .ply or .glb"),
        (["head.ply", "--seed", "-3"], "seed is -3"),
        (["head.ply", "--ws", "absent.npy"], "absent.npy: no such file"),
        (["head.ply", "--ws", "text.npy"], "is not a .npy file"),
        (["head.ply", "--ws", "object.npy"], "is not a .npy file"),
        (["head.ply", "--ws", "short.npy"], r"has shape \[3\]"),
        (["head.ply", "--level", "1e5", "--resolution", "8"], "no surface"),
    ],
)
def test_command_errors(tmp_path, monkeypatch, model, capsys, arguments, problem):
    monkeypatch.chdir(tmp_path)
    Path("text.npy").write_text("1 2 3")
    np.save("object.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.save("short.npy", np.zeros(3))
    assert export_mesh.main([str(model), *arguments]) == 2
    shown = capsys.readouterr().err
    assert shown.count("error: ") == 1 and __import__("re").search(problem, shown)
    assert not list(tmp_path.glob("head*"))
