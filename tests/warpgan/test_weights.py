import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from warpgan import weights
from warpgan.weight_table import EXTERNAL, SHIPPED, WeightFile


@pytest.fixture(autouse=True)
def own_folders(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch_home"))
    monkeypatch.delenv(weights.ROOT_VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def own_table(monkeypatch, tmp_path) -> Path:
    """Two rows of the test's own: `made`, shipped, and `brought`, external."""
    assets = tmp_path / "assets"
    (assets / "nets").mkdir(parents=True)
    made = WeightFile("made", "nets/made.safetensors", "a script", "CC0", "x", "y", shipped=True)
    brought = WeightFile("brought", "brought.pth", "a page", "BSD", "x", "y", sha256="00000000")
    monkeypatch.setattr(weights, "ASSETS", assets)
    monkeypatch.setattr(weights, "MANIFEST", assets / "manifest.json")
    monkeypatch.setattr(weights, "SHIPPED", (made,))
    monkeypatch.setattr(weights, "TABLE", {"made": made, "brought": brought})
    (assets / made.file).write_bytes(b"numbers")
    return assets


def test_rows_are_complete_and_unambiguous():
    rows = (*SHIPPED, *EXTERNAL)
    assert len({row.name for row in rows}) == len({row.file for row in rows}) == len(rows)
    for row in rows:
        for field in ("name", "file", "source", "licence", "used_for", "alternative"):
            assert getattr(row, field).strip(), (row.name, field)
        assert not Path(row.file).is_absolute() and ".." not in row.file
        if row.sha256 is not None:
            assert not row.shipped and len(row.sha256) >= 8
            assert set(row.sha256) <= set("0123456789abcdef")
    assert all(row.shipped for row in SHIPPED) and not any(row.shipped for row in EXTERNAL)


def test_prefixes_are_those_in_the_files_names():
    for row in EXTERNAL:
        if row.sha256 is not None:
            assert row.file.rsplit("-", 1)[1].startswith(row.sha256)


def test_shipped_files_equal_the_manifest():
    """Fails when an asset changed and `python -m warpgan.weights hash` was not run."""
    manifest = json.loads(weights.MANIFEST.read_text())
    for row in SHIPPED:
        path = weights.ASSETS / row.file
        if path.is_file():
            assert manifest[row.file]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
            assert manifest[row.file]["bytes"] == path.stat().st_size
    assert all((weights.ASSETS / file).is_file() for file in manifest)
    nets = [file for file in manifest if file.startswith("nets/")]
    assert len(nets) >= 4
    assert sum(manifest[file]["bytes"] for file in nets) < 60e6


def test_every_net_file_has_a_row_and_a_notice():
    notice = (weights.ASSETS / "nets" / "NOTICE.md").read_text()
    rows = {row.file for row in SHIPPED}
    for path in (weights.ASSETS / "nets").glob("*.safetensors"):
        assert f"nets/{path.name}" in rows
        assert f"`{path.name}`" in notice


def test_root_is_argument_then_variable_then_folder(monkeypatch, tmp_path):
    assert weights.weights_root() == Path("weights")
    monkeypatch.setenv(weights.ROOT_VARIABLE, str(tmp_path / "a"))
    assert weights.weights_root() == tmp_path / "a"
    assert weights.weights_root(tmp_path / "b") == tmp_path / "b"


def test_external_file_is_found_where_the_variable_points(monkeypatch, tmp_path):
    assert not weights.present("encoder_warpgan")
    (tmp_path / "gan_encoder.pt").write_bytes(b"x")
    monkeypatch.setenv(weights.ROOT_VARIABLE, str(tmp_path))
    assert weights.present("encoder_warpgan")
    assert weights.resolve("encoder_warpgan") == tmp_path / "gan_encoder.pt"


@pytest.mark.parametrize("row", EXTERNAL, ids=lambda row: row.name)
def test_missing_external_file_says_which_where_and_instead(row):
    with pytest.raises(FileNotFoundError) as caught:
        weights.resolve(row.name)
    message = str(caught.value)
    for part in (row.name, row.file, row.source, row.licence, row.alternative, "WARPGAN_WEIGHTS"):
        assert part in message


def test_missing_shipped_file_says_how_to_get_it_back(own_table):
    (own_table / "nets/made.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="Restore it with git or make it anew: a script"):
        weights.resolve("made")


def test_first_present_of_several(tmp_path):
    names = ("arcface_glintr100", "arcface_w600k_r50")
    with pytest.raises(FileNotFoundError, match="glintr100.*w600k_r50.onnx would do as well"):
        weights.resolve_first(names, root=tmp_path)
    (tmp_path / "w600k_r50.onnx").write_bytes(b"x")
    assert weights.resolve_first(names, root=tmp_path).name == "w600k_r50.onnx"
    (tmp_path / "glintr100.onnx").write_bytes(b"x")
    assert weights.resolve_first(names, root=tmp_path).name == "glintr100.onnx"


def test_unknown_name_lists_the_known():
    with pytest.raises(KeyError, match="no weights named 'arcface'; there are eg3d_mini"):
        weights.resolve("arcface")


def test_torch_cache_is_the_second_place_of_backbones():
    places = weights.candidates("lpips_vgg")
    assert places[1] == Path(torch.hub.get_dir()) / "checkpoints" / "vgg16-397923af.pth"
    assert len(weights.candidates("arcface_irse50")) == 1


def test_verify_tells_right_wrong_unknown_and_absent(own_table, tmp_path, monkeypatch):
    assert weights.verify("made").state == "unknown"
    weights.write_manifest()
    assert weights.verify("made").state == "ok"
    (own_table / "nets/made.safetensors").write_bytes(b"other numbers")
    assert weights.verify("made").state == "mismatch" and not weights.verify("made").good
    (own_table / "nets/made.safetensors").unlink()
    assert weights.verify("made").state == "absent" and not weights.verify("made").good

    assert weights.verify("brought").state == "absent" and weights.verify("brought").good
    folder = tmp_path / "weights"
    folder.mkdir()
    (folder / "brought.pth").write_bytes(b"zeros?")
    assert weights.verify("brought").state == "mismatch"
    digest = hashlib.sha256(b"zeros?").hexdigest()
    row = replace(weights.TABLE["brought"], sha256=digest[:8])
    monkeypatch.setitem(weights.TABLE, "brought", row)
    assert weights.verify("brought").state == "ok"


def test_manifest_takes_the_description_beside_a_file(own_table):
    (own_table / "nets/made.json").write_text("{}")
    manifest = weights.write_manifest()
    assert sorted(manifest) == ["nets/made.json", "nets/made.safetensors"]
    assert manifest["nets/made.safetensors"]["bytes"] == len(b"numbers")
    assert weights.read_manifest() == manifest


def test_command_line(own_table, capsys, tmp_path):
    assert weights.main(["list"]) == 0
    listing = capsys.readouterr().out
    assert "made  [shipped, present]" in listing and "brought  [external, absent]" in listing
    assert weights.main(["path", "made"]) == 0
    assert capsys.readouterr().out.strip().endswith("made.safetensors")
    assert weights.main(["path", "brought"]) == 1
    assert "a page" in capsys.readouterr().err
    assert weights.main(["path", "nothing"]) == 1
    assert "there are made, brought" in capsys.readouterr().err
    assert weights.main(["hash"]) == 0
    assert weights.main(["verify"]) == 0
    (own_table / "nets/made.safetensors").write_bytes(b"damaged")
    assert weights.main(["verify", "made"]) == 1
    assert "mismatch" in capsys.readouterr().out
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "brought.pth").write_bytes(b"x")
    assert weights.main(["--root", str(tmp_path / "elsewhere"), "path", "brought"]) == 0
