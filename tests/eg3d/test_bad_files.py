"""Damaged, foreign and unfitting generator files: one clear error each."""

import gzip
import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import eg3d
from eg3d import CheckpointError

from . import official_snapshot as official
from .refusal import refused, write


@pytest.fixture(scope="module")
def small() -> eg3d.TriPlaneGenerator:
    return official.small_generator()


@pytest.fixture(autouse=True)
def in_own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


# Damaged


def test_every_truncation_is_told(small):
    data = official.snapshot_bytes(small)
    for length in [1, 2, 3, 11, *range(20, len(data), len(data) // 40), len(data) - 1]:
        message = refused(write(data[:length]), "truncated")
        assert "bytes are announced at byte" in message


def test_bytes_behind_the_end(small):
    refused(write(official.snapshot_bytes(small) + b"more"), "4 bytes follow the end")


def test_flipped_bytes_give_the_error_or_a_generator(small):
    """Whatever a damaged byte does, it is never another exception."""
    data = official.snapshot_bytes(small)
    structure = [i for i in range(len(data)) if data[i] >= 0x80 or 32 <= data[i] < 127]
    generator = random.Random(0)
    outcomes = {"refused": 0, "loaded": 0}
    for _ in range(80):
        damaged = bytearray(data)
        for position in generator.sample(structure[:40_000], 3):
            damaged[position] = generator.randrange(256)
        try:
            eg3d.pickle_reader.read_snapshot(write(bytes(damaged)))
            outcomes["loaded"] += 1
        except CheckpointError:
            outcomes["refused"] += 1
    assert outcomes["refused"] > 10 and outcomes["loaded"] > 5


def test_damaged_state_dict(small):
    torch.save(small.state_dict(), "model.pt")
    data = Path("model.pt").read_bytes()
    refused(write(data[: len(data) // 2], "half.pt"), "truncated or damaged")
    torch.save(small.state_dict(), "old.pt", _use_new_zipfile_serialization=False)
    data = Path("old.pt").read_bytes()
    refused(write(data[: len(data) // 2], "half.pt"), "damaged")


def test_damaged_own_format(small):
    path = Path("model.safetensors")
    eg3d.save_generator(small, path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-8])
    refused(path, "SHA-256 is not the one in model.json")
    description = json.loads(Path("model.json").read_text())
    del description["sha256"]
    Path("model.json").write_text(json.dumps(description))
    refused(path, "truncated or damaged")
    path.write_bytes(whole)
    assert eg3d.load_generator(path).num_ws == small.num_ws


# Foreign


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "the file is empty"),
        (b"hello\nworld\n", "a text file"),
        (b"<!DOCTYPE html><html><body>Sign in</body></html>", "an HTML page"),
        (b"\n  <html>", "an HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer"),
        (b"\x89PNG\r\n\x1a\n0000", "a PNG image"),
        (b"\xff\xd8\xff\xe0abc", "a JPEG image"),
        (gzip.compress(b"x", mtime=0), "gzip-compressed"),
        (b"\x00\x01\x02\x03" * 99, "of an unknown kind"),
    ],
)
@pytest.mark.parametrize("suffix", [".pkl", ".pt", ".safetensors"])
def test_foreign_content(small, content, problem, suffix):
    eg3d.save_generator(small, "model.safetensors")
    description = json.loads(Path("model.json").read_text())
    del description["sha256"]
    Path("model.json").write_text(json.dumps(description))
    refused(write(content, f"model{suffix}"), problem)


def test_swapped_suffixes_name_the_content(small):
    eg3d.save_generator(small, "model.safetensors")
    torch.save(small.state_dict(), "model.pt")
    torch.save(small.state_dict(), "old.pt", _use_new_zipfile_serialization=False)
    snapshot = official.snapshot_bytes(small)
    contents = {n: Path(n).read_bytes() for n in ("model.safetensors", "model.pt", "old.pt")}
    refused(write(contents["model.pt"], "a.pkl"), "a zip archive .torch.save")
    refused(write(contents["old.pt"], "b.pkl"), "a torch.save file of the old")
    refused(write(contents["model.safetensors"], "c.pkl"), "a safetensors file")
    refused(write(contents["model.safetensors"], "d.pt"), "a safetensors file")
    refused(write(snapshot, "e.pt"), "a Python pickle")
    refused(write(snapshot, "f.ckpt"), "suffix is '.ckpt' and the file is a Python pickle")


@pytest.mark.parametrize(
    ("container", "problem"),
    [
        ([1, 2], "holds a list"),
        (3, "holds a int"),
        ({}, "no generator: its keys are none"),
        ({"model": 1, "optimizer": 2}, "its keys are model, optimizer"),
        ({"G": None, "G_ema": None}, "no generator"),
        ({"G_ema": {"a": 1}}, "a dict, not a stored TriPlaneGenerator .a state dict"),
        ({"G_ema": [1]}, "G_ema is a list"),
        ({"G_ema": torch.zeros(2)}, "not a stored TriPlaneGenerator"),
        ({"G_ema": official.persistent("Generator", {})}, "is a 'Generator', not a TriPlane"),
        ({"G_ema": official.plain("OSGDecoder", {})}, "is a 'OSGDecoder', not a TriPlane"),
        (
            {"G_ema": official.persistent("TriPlaneGenerator", {}, version=5)},
            "version is 5, only 6",
        ),
        ({"G_ema": official.persistent("TriPlaneGenerator", {})}, "_init_kwargs is missing"),
        ({(1, 2): 3}, "a dict key of type tuple"),
        ({"a": {1, 2}}, "a set of anything but strings"),
    ],
)
def test_other_pickles(container, problem):
    refused(write(official.pickled(container)), problem)


@pytest.mark.parametrize("content", [[1], {"a": 1}, torch.zeros(3), {"G_ema": {"a": "b"}}, {1: 2}])
def test_other_torch_files(content):
    torch.save(content, "model.pt")
    refused("model.pt", "not names and tensors", init_kwargs=official.KWARGS)


def test_state_dict_of_another_model():
    torch.save(torch.nn.Linear(2, 3).state_dict(), "model.pt")
    refused("model.pt", "has no 2-dimensional tensor 'backbone.mapping.fc0.weight'")
    arguments = {"init_kwargs": official.KWARGS, "rendering_kwargs": official.RENDERING}
    refused("model.pt", "177 tensors missing.*2 tensors unknown", **arguments)


def test_missing_files_and_folders(small):
    with pytest.raises(FileNotFoundError, match="absent.pkl: no such file. Expected a generator"):
        eg3d.load_generator("absent.pkl")
    Path("folder.pkl").mkdir()
    refused("folder.pkl", "it is a folder")
    eg3d.save_generator(small, "model.safetensors")
    Path("model.json").unlink()
    with pytest.raises(FileNotFoundError, match="model.json: no such file. Expected the settings"):
        eg3d.load_generator("model.safetensors")


# Not fitting


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"_init_args": (8,)}, "positional arguments"),
        ({"neural_rendering_resolution": 0}, "neural_rendering_resolution is 0"),
        ({"neural_rendering_resolution": "64"}, "neural_rendering_resolution is a str"),
        ({"neural_rendering_resolution": 10**9}, "neural_rendering_resolution is 1000000000"),
        ({"rendering_kwargs": {"box_wrap": 1}}, "unknown keys .'box_wrap'"),
        ({"rendering_kwargs": {"depth_resolution": "many"}}, "no generator can be built"),
        ({"rendering_kwargs": [1]}, "rendering_kwargs is missing or not a dict"),
        ({"rendering_kwargs": {"superresolution_module": "os.system"}}, "'os.system'"),
        ({"rendering_kwargs": {"ray_start": float("nan")}}, "holds a float, not a setting"),
        ({"rendering_kwargs": {"ray_start": b"1"}}, "holds a memoryview, not a setting"),
        ({"_init_kwargs": {"z_dim": 8}}, "lacks"),
        ({"_init_kwargs": official.KWARGS | {"z_dim": 9}}, "tensors misshapen"),
        ({"_init_kwargs": official.KWARGS | {"channel_max": 1 << 40}}, "a size of 1099511627776"),
        ({"_init_kwargs": official.KWARGS | {"w_dim": 1 << 19}}, "tensors misshapen"),
        ({"_init_kwargs": official.KWARGS | {"w_dim": -4}}, "no generator can be built"),
        ({"_init_kwargs": official.KWARGS | {"mapping_kwargs": 3}}, "no generator can be built"),
        (
            {"_init_kwargs": official.KWARGS | {"mapping_kwargs": {"num_layers": 10**6}}},
            "1000000 mapping layers",
        ),
        ({"_buffers": {"extra": torch.zeros(3)}}, "1 tensors unknown: extra"),
        ({"_buffers": {"extra": 3}}, "extra is a int, not a tensor"),
        ({"_buffers": [1]}, "_buffers is not a dict"),
        ({"_modules": {}}, "177 tensors missing: backbone.synthesis"),
        ({"_modules": {"backbone": "b"}}, "backbone is a str, not a module"),
        ({"_non_persistent_buffers_set": 3}, "is not a set"),
    ],
)
def test_settings_that_do_not_fit(small, changes, problem):
    refused(write(official.snapshot_bytes(small, **changes)), problem)


def test_foreign_plane_axes(small):
    axes = torch.eye(3).repeat(3, 1, 1)
    renderer = official.plain("ImportanceRenderer", {"plane_axes": axes})
    record = official.stored_generator(small)
    record.arguments[0]["state"]["_modules"]["renderer"] = renderer
    refused(write(official.pickled({"G_ema": record})), "neither the released .* nor the fixed")
    renderer.plane_axes = torch.eye(4)
    refused(write(official.pickled({"G_ema": record})), "not a .3, 3, 3. tensor")


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("backbone.mapping.w_avg", torch.full((8,), float("nan")), "NaN or infinite values in"),
        ("backbone.mapping.w_avg", torch.zeros(9), r"w_avg \[9\] instead of \[8\]"),
        ("backbone.mapping.w_avg", torch.zeros(8, dtype=torch.int64), "not floating-point"),
        ("backbone.mapping.w_avg", None, "1 tensors missing: backbone.mapping.w_avg"),
        ("surplus", torch.zeros(1), "1 tensors unknown: surplus"),
    ],
)
def test_tensors_that_do_not_fit(small, name, value, problem):
    content = {**small.state_dict(), name: value}
    torch.save({k: v for k, v in content.items() if v is not None}, "model.pt")
    arguments = {"init_kwargs": official.KWARGS, "rendering_kwargs": official.RENDERING}
    refused("model.pt", problem, **arguments)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda d: d.update(format_version=2), "format_version is 2; this program knows 1"),
        (lambda d: d.update(format_version="1"), "format_version is '1'"),
        (lambda d: d.pop("format"), "its format is not 'eg3d-generator'"),
        (lambda d: d.pop("init_kwargs"), "'init_kwargs' is None, not a dict"),
        (lambda d: d.update(plane_axes=3), "'plane_axes' is 3, not a str"),
        (lambda d: d.update(plane_axes="mixed"), "plane_axes is 'mixed'"),
        (lambda d: d.update(extensions={"magic": 1}), "unknown keys .'magic'"),
        (lambda d: d["init_kwargs"].update(z_dim=9), "tensors misshapen"),
        (lambda d: d.update(sha256="0" * 64), "do not belong together"),
    ],
)
def test_descriptions_that_do_not_fit(small, change: Callable[[dict], object], problem):
    eg3d.save_generator(small, "model.safetensors")
    description = json.loads(Path("model.json").read_text())
    change(description)
    Path("model.json").write_text(json.dumps(description))
    with pytest.raises(CheckpointError, match=problem):
        eg3d.load_generator("model.safetensors")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 100_000, "\xff", " " * (2 << 20)])
def test_descriptions_that_are_not_json_objects(small, text):
    eg3d.save_generator(small, "model.safetensors")
    Path("model.json").write_text(text, encoding="latin1")
    with pytest.raises(CheckpointError, match="^model.json: "):
        eg3d.load_generator("model.safetensors")
