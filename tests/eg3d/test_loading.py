"""Generators from official snapshots, state dicts and our own format, and back to files."""

import json
import logging
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

import eg3d
from eg3d import convert
from eg3d.pickle_machine import PickleMachine, Vocabulary
from eg3d.pickle_reader import read_snapshot
from tests.parity_checks import eg3d_pickle

from . import official_snapshot as official

GOLDEN = Path(__file__).parents[1] / "golden"
EXTENSIONS = {
    "plane_resolution": 16,
    "plane_channels": 4,
    "decoder_hidden": 8,
    "decoder_features": 6,
    "box_centre": [0.0, 0.1, -0.2],
    "backdrop_radius": 1.5,
    "learned_maps": True,
    "sr_channels": [4],
    "sr_input_resolution": 16,
}


@pytest.fixture(scope="module")
def small() -> eg3d.TriPlaneGenerator:
    return official.small_generator()


@pytest.fixture(scope="module")
def extended() -> eg3d.TriPlaneGenerator:
    torch.manual_seed(1)
    return eg3d.build_generator(
        official.KWARGS | {"img_resolution": 16, "extensions": EXTENSIONS},
        rendering_kwargs=official.RENDERING | {"superresolution_module": "SuperresolutionGeneral"},
        neural_rendering_resolution=16,
        plane_axes="fixed",
    )


def assert_equal(ours: eg3d.TriPlaneGenerator, wanted: eg3d.TriPlaneGenerator) -> None:
    """Same weights bit for bit, same settings, ready for use."""
    assert list(ours.state_dict()) == list(wanted.state_dict())
    for name, value in wanted.state_dict().items():
        assert torch.equal(ours.state_dict()[name], value), name
        assert ours.state_dict()[name].dtype == torch.float32
    assert ours.rendering_kwargs == wanted.rendering_kwargs
    assert ours.neural_rendering_resolution == wanted.neural_rendering_resolution
    assert ours.plane_axes == wanted.plane_axes
    assert ours.extensions == wanted.extensions
    assert not ours.training and not any(p.requires_grad for p in ours.parameters())


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


# Official snapshots


@pytest.mark.parametrize("file", eg3d_pickle.FILES)
def test_golden_snapshot(file):
    found = eg3d_pickle.FILES[file](GOLDEN)
    assert len(found) > 150
    assert not [c for c in found if not c.ok]


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_snapshot_of_every_protocol(tmp_path, small, protocol):
    data = official.snapshot_bytes(small, protocol=protocol)
    loaded = eg3d.load_generator(write(tmp_path / "g.pkl", data))
    assert_equal(loaded, small)
    z, camera = torch.randn(1, 8), torch.randn(1, 25)
    assert torch.equal(loaded.mapping(z, camera), small.mapping(z, camera))


@pytest.mark.parametrize("axes", ["released", "fixed"])
def test_plane_axes_come_from_the_snapshot(tmp_path, axes):
    generator = official.small_generator(plane_axes=axes)
    path = write(tmp_path / "g.pkl", official.snapshot_bytes(generator))
    assert eg3d.load_generator(path).plane_axes == axes
    assert eg3d.load_generator(path, plane_axes="fixed").plane_axes == "fixed"


def test_snapshot_without_plane_axes_is_released(tmp_path, small):
    data = official.snapshot_bytes(small).replace(b"plane_axes", b"plane_axis")
    path = write(tmp_path / "g.pkl", data)
    assert read_snapshot(path).plane_axes is None
    assert eg3d.load_generator(path).plane_axes == "released"


def test_missing_settings_get_the_official_defaults(tmp_path, small):
    rendering = {k: v for k, v in official.RENDERING.items() if k != "c_scale"}
    path = write(tmp_path / "g.pkl", official.snapshot_bytes(small, rendering_kwargs=rendering))
    options = eg3d.load_generator(path).options
    assert (options.c_scale, options.decoder_lr_mul, options.white_back) == (0.0, 1.0, False)


def test_current_settings_win_over_the_initial_ones(tmp_path, small):
    rendering = official.RENDERING | {"depth_resolution": 17}
    data = official.snapshot_bytes(
        small, rendering_kwargs=rendering, neural_rendering_resolution=112
    )
    loaded = eg3d.load_generator(write(tmp_path / "g.pkl", data))
    assert loaded.rendering_kwargs["depth_resolution"] == 17
    assert loaded.neural_rendering_resolution == 112


def test_old_numpy_and_parameters_with_state(tmp_path):
    generator = official.small_generator()
    generator.backbone.mapping.fc0.weight.note = "kept by torch as a parameter's state"
    data = official.snapshot_bytes(generator, protocol=2)
    assert b"_rebuild_parameter_with_state" in data and b"_codecs" in data
    old = data.replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")
    assert old != data
    assert_equal(eg3d.load_generator(write(tmp_path / "g.pkl", old)), generator)


def test_numpy_scalars_are_read_as_numbers():
    from eg3d.pickle_values import SNAPSHOT

    values = [np.float64(0.1), np.float32(0.5), np.int64(-3), np.bool_(True), np.float64("inf")]
    for protocol in (2, 4):
        data = memoryview(pickle.dumps(values, protocol=protocol))
        assert PickleMachine(data, SNAPSHOT).load() == [value.item() for value in values]


def test_half_precision_and_shared_memory_layouts(tmp_path, small):
    """Stored strides are honoured, and every loaded tensor is float32."""
    generator = official.small_generator()
    weight = generator.backbone.mapping.fc0.weight
    weight.data = weight.data.half().T.contiguous().T
    assert not weight.is_contiguous()
    path = write(tmp_path / "g.pkl", official.snapshot_bytes(generator))
    loaded = eg3d.load_generator(path).backbone.mapping.fc0.weight
    assert loaded.dtype == torch.float32 and torch.equal(loaded, weight.detach().float())


def test_g_is_taken_where_there_is_no_g_ema(tmp_path, small, caplog):
    record = official.stored_generator(small)
    path = write(tmp_path / "g.pkl", official.pickled({"G": record, "G_ema": None}))
    with caplog.at_level(logging.WARNING):
        assert_equal(eg3d.load_generator(path), small)
    assert "no G_ema" in caplog.text


def test_g_ema_is_preferred(tmp_path, small):
    other = official.small_generator(seed=5)
    container = {"G": official.stored_generator(other), "G_ema": official.stored_generator(small)}
    path = write(tmp_path / "g.pkl", official.pickled(container))
    assert_equal(eg3d.load_generator(path), small)


def test_pickle_machine_reads_what_python_writes():
    value = {
        "text": "ä\ud800" + "x" * 300,
        "numbers": [0, 255, 256, 65535, -1, 2**31, -(2**40), 1.5, float("inf")],
        "constants": (None, True, False, ()),
        "nested": [[], {}, [{"a": (1, 2, 3, 4)}]],
        3: {"one"},
    }
    value["again"] = value["nested"]
    for protocol in (4, 5):
        read = PickleMachine(memoryview(pickle.dumps(value, protocol)), Vocabulary()).load()
        assert read == value
        assert read["again"] is read["nested"]
    long_bytes = bytes(range(256)) * 3
    read = PickleMachine(memoryview(pickle.dumps(long_bytes, 3)), Vocabulary()).load()
    assert bytes(read) == long_bytes


def test_loading_draws_no_random_numbers(tmp_path, small):
    path = write(tmp_path / "g.pkl", official.snapshot_bytes(small))
    torch.manual_seed(3)
    wanted = torch.rand(3)
    torch.manual_seed(3)
    eg3d.load_generator(path)
    assert torch.equal(torch.rand(3), wanted)


def test_devices_are_checked_before_the_file(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ValueError, match="'cuda:3', but torch sees no GPU here; use 'cpu'"):
        eg3d.load_generator("absent.pkl", device="cuda:3")
    with pytest.raises(ValueError, match="device is 'gpu'; expected 'cpu'"):
        eg3d.load_generator("absent.pkl", device="gpu")


# State dicts


@pytest.mark.parametrize("suffix", [".pt", ".pth"])
@pytest.mark.parametrize("key", [None, "G_ema", "G"])
@pytest.mark.parametrize("zipped", [True, False])
def test_state_dict(tmp_path, small, suffix, key, zipped):
    content = dict(small.state_dict(), dataset_label_std=torch.zeros(25))
    path = tmp_path / f"g{suffix}"
    torch.save(
        content if key is None else {key: content, "step": 3},
        path,
        _use_new_zipfile_serialization=zipped,
    )
    loaded = eg3d.load_generator(
        path,
        init_kwargs=official.KWARGS,
        rendering_kwargs=official.RENDERING,
        neural_rendering_resolution=24,
    )
    assert_equal(loaded, small)


@pytest.mark.parametrize(
    ("module", "side", "rays"),
    [("2X", 128, 64), ("4X", 256, 128), ("8X", 512, 128), ("8XDC", 512, 128)],
)
@pytest.mark.parametrize("mapping", [{"num_layers": 2}, {"num_layers": 3, "layer_features": 6}])
def test_construction_arguments_are_read_from_shapes(tmp_path, caplog, module, side, rays, mapping):
    kwargs = official.KWARGS | {"img_resolution": side, "z_dim": 5, "mapping_kwargs": mapping}
    kwargs |= {"channel_base": 700, "channel_max": 12}
    name = f"training.superresolution.SuperresolutionHybrid{module}"
    generator = eg3d.build_generator(
        kwargs, rendering_kwargs=official.RENDERING | {"superresolution_module": name}
    )
    torch.save(generator.state_dict(), tmp_path / "g.pt")
    with caplog.at_level(logging.WARNING):
        loaded = eg3d.load_generator(tmp_path / "g.pt")
    assert "carries no settings" in caplog.text
    assert loaded.rendering_kwargs["superresolution_module"] == name
    assert loaded.rendering_kwargs["c_scale"] == 1.0
    assert (loaded.z_dim, loaded.img_resolution) == (5, side)
    assert loaded.neural_rendering_resolution == rays
    for key, value in generator.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value), key


# Our own format


@pytest.mark.parametrize("which", ["small", "extended"])
def test_own_format_round_trip(tmp_path, request, which):
    generator = request.getfixturevalue(which)
    path = tmp_path / "folder" / "g.safetensors"
    eg3d.save_generator(generator, path)
    loaded = eg3d.load_generator(path)
    assert_equal(loaded, generator)
    assert sorted(p.name for p in path.parent.iterdir()) == ["g.json", "g.safetensors"]
    description = json.loads(path.with_suffix(".json").read_text())
    assert description["format_version"] == 1
    assert "extensions" not in description["init_kwargs"]
    eg3d.save_generator(loaded, tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == path.read_bytes()
    assert json.loads((tmp_path / "again.json").read_text()) == description


def test_half_precision_storage(tmp_path, small):
    eg3d.save_generator(small, tmp_path / "full.safetensors")
    eg3d.save_generator(small, tmp_path / "half.safetensors", dtype=torch.float16)
    sizes = [(tmp_path / f"{n}.safetensors").stat().st_size for n in ("half", "full")]
    assert sizes[0] < 0.55 * sizes[1]
    assert json.loads((tmp_path / "half.json").read_text())["dtype"] == "float16"
    loaded = eg3d.load_generator(tmp_path / "half.safetensors").state_dict()
    for name, value in small.state_dict().items():
        assert loaded[name].dtype == torch.float32
        assert torch.equal(loaded[name], value.half().float()), name


def test_a_failed_save_leaves_the_old_files_and_nothing_else(tmp_path, small, monkeypatch):
    path = tmp_path / "g.safetensors"
    eg3d.save_generator(small, path)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    other = official.small_generator(seed=9)

    def fail(*arguments):
        raise OSError("disk full")

    monkeypatch.setattr("eg3d.stored_generator.os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        eg3d.save_generator(other, path)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_saving_refuses_what_could_not_be_loaded(tmp_path):
    generator = official.small_generator()
    with pytest.raises(ValueError, match="must end in .safetensors"):
        eg3d.save_generator(generator, tmp_path / "g.pt")
    with pytest.raises(ValueError, match="not one of float32, float16"):
        eg3d.save_generator(generator, tmp_path / "g.safetensors", dtype=torch.bfloat16)
    generator.backbone.mapping.w_avg[0] = 1e6
    with pytest.raises(ValueError, match="w_avg has values that are not finite in float16"):
        eg3d.save_generator(generator, tmp_path / "g.safetensors", dtype=torch.float16)
    assert not list(tmp_path.iterdir())


# The command


def test_convert(tmp_path, small, capsys):
    source = write(tmp_path / "g.pkl", official.snapshot_bytes(small))
    target = tmp_path / "out" / "g.safetensors"
    assert convert.main([str(source), str(target)]) == 0
    printed = capsys.readouterr().out
    assert "plane axes released" in printed and str(target) in printed
    assert "128 px from 24 rays" in printed and "licence" in printed
    assert_equal(eg3d.load_generator(target), small)
    assert convert.main([str(source), str(target)]) == 2
    assert "exists already" in capsys.readouterr().err
    arguments = ["--overwrite", "--rays", "48", "--plane-axes", "fixed", "--dtype", "float16"]
    assert convert.main([str(source), str(target), *arguments]) == 0
    changed = eg3d.load_generator(target)
    assert (changed.neural_rendering_resolution, changed.plane_axes) == (48, "fixed")


def test_convert_with_settings_from_files(tmp_path, small, capsys):
    torch.save(small.state_dict(), tmp_path / "g.pt")
    (tmp_path / "init.json").write_text(json.dumps(official.KWARGS))
    (tmp_path / "rendering.json").write_text(json.dumps(official.RENDERING))
    target = tmp_path / "g.safetensors"
    command = [str(tmp_path / "g.pt"), str(target), "--rays", "24"]
    command += ["--init-kwargs", str(tmp_path / "init.json")]
    command += ["--rendering-kwargs", str(tmp_path / "rendering.json")]
    assert convert.main(command) == 0
    assert_equal(eg3d.load_generator(target), small)
    (tmp_path / "init.json").write_text("[1]")
    assert convert.main([*command, "--overwrite"]) == 2
    assert "expected a dict of settings" in capsys.readouterr().err
    (tmp_path / "init.json").write_text("{")
    assert convert.main([*command, "--overwrite"]) == 2
    assert "is not JSON" in capsys.readouterr().err


@pytest.mark.parametrize("target", ["g.pkl", "g"])
def test_convert_checks_the_target_first(tmp_path, capsys, target):
    assert convert.main([str(tmp_path / "absent.pkl"), str(tmp_path / target)]) == 2
    assert "must end in .safetensors" in capsys.readouterr().err
