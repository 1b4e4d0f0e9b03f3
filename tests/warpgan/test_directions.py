"""Latent directions: a planted linear world is found again, hostile files are refused."""

import io
import json
import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.warpgan.evaluation_world import build_generator
from warpgan.find_directions import direction_sheet, main
from warpgan.lifting.directions import (
    Direction,
    find_direction,
    read_direction,
    shipped_names,
    write_direction,
)
from warpgan.lifting.labelled_latents import portrait_samples, read_samples
from warpgan.lifting.lifted_face import weights_hash
from warpgan.lifting.linear_fit import fit_directions, ranking
from warpgan.synthesis.models import find_generator

SHAPE = {"num_ws": 14, "w_dim": 512}


def planted(count=2000, size=12, seed=0):
    """Latents that move along known vectors with three attributes, and noise."""
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(3, size))
    attributes = random.normal(size=(count, 3))
    attributes[:, 1] += 0.8 * attributes[:, 0]
    latents = attributes @ vectors + 0.3 * random.normal(size=(count, size)) + 5
    labels = dict(zip(("old", "grey", "beard"), attributes.T, strict=True))
    return latents, labels, vectors


def cosine(a, b):
    return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


def test_a_planted_linear_world_is_recovered():
    latents, labels, vectors = planted()
    found = fit_directions(latents, labels, attributes=list(labels))
    for name, vector in zip(labels, vectors, strict=True):
        step = found[name].delta / found[name].deviation
        assert cosine(step, vector) > 0.99
        assert np.linalg.norm(step) == pytest.approx(np.linalg.norm(vector), rel=0.1)
        assert found[name].r2 > 0.9 and found[name].auc > 0.95
        others = [abs(move) for other, move in found[name].moves.items() if other != name]
        assert found[name].moves[name] == pytest.approx(1) and max(others) < 0.1


def test_attributes_that_are_not_held_come_along():
    latents, labels, _ = planted()
    free = fit_directions(latents, labels, attributes=["old"], held=[])["old"]
    held = fit_directions(latents, labels, attributes=["old"], held=["grey"])["old"]
    both = fit_directions(latents, labels, attributes=["grey", "old"])["grey"]
    assert cosine(free.delta, held.delta) < 0.98
    assert abs(held.moves["grey"]) < 0.1 < abs(both.delta @ free.delta) / (free.delta @ free.delta)


def test_normals_are_orthogonal_to_what_is_held():
    latents, labels, _ = planted()
    found = fit_directions(latents, labels, attributes=list(labels), method="normal")
    for name in labels:
        others = [move for other, move in found[name].moves.items() if other != name]
        assert np.allclose(others, 0, atol=1e-8) and found[name].moves[name] == pytest.approx(1)


def test_more_numbers_than_samples_and_constant_ones():
    latents, labels, vectors = planted(count=300)
    padded = np.concatenate([latents, np.ones((300, 500))], 1)
    found = fit_directions(padded, labels, attributes=["beard"])["beard"]
    assert np.all(found.delta[12:] == 0) and cosine(found.delta[:12], vectors[2]) > 0.95


def test_ranking_is_the_area_under_the_curve():
    scores, positive = np.array([1.0, 2.0, 2.0, 3.0]), np.array([False, True, False, True])
    pairs = [(p > n) + 0.5 * (p == n) for p in scores[positive] for n in scores[~positive]]
    assert ranking(scores, positive) == pytest.approx(np.mean(pairs))
    assert np.isnan(ranking(scores, np.ones(4, bool)))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"attributes": ["nose"]}, "no label nose"),
        ({"method": "svm"}, "choose one of mean, normal"),
        ({"labels": {"old": np.ones(2000)}, "attributes": ["old"]}, "same for all"),
        ({"labels": {"old": np.full(2000, np.nan)}, "attributes": ["old"]}, "finite"),
        ({"latents": np.ones((3, 4))}, "at least 50"),
    ],
)
def test_a_fit_that_cannot_work_is_refused(change, problem):
    latents, labels, _ = planted()
    asked = {"latents": latents, "labels": labels, "attributes": ["old"], **change}
    with pytest.raises(ValueError, match=problem):
        fit_directions(asked.pop("latents"), asked.pop("labels"), **asked)


def test_public_files_are_read_as_they_are(tmp_path):
    delta = np.random.default_rng(0).normal(size=(14, 512)).astype(np.float32)
    np.save(tmp_path / "age.npy", delta)
    found = read_direction(tmp_path / "age.npy", **SHAPE)
    assert found.name == "age" and torch.equal(found.delta, torch.from_numpy(delta))
    np.save(tmp_path / "one.npy", delta[:1])
    np.save(tmp_path / "w.npy", delta[0].astype(np.float64))
    with pytest.raises(ValueError, match=r"shape \[1, 512\]"):
        read_direction(tmp_path / "one.npy", **SHAPE)
    spread = read_direction(tmp_path / "w.npy", **SHAPE).delta
    assert spread.shape == (14, 512) and torch.equal(spread[3], torch.from_numpy(delta[0]))


def test_directions_are_written_and_read_back(tmp_path):
    delta = torch.randn(14, 512, generator=torch.Generator().manual_seed(0))
    path = write_direction(tmp_path, Direction("smile", delta, {"held_out_r2": 0.9}))
    found = read_direction(path, **SHAPE)
    assert torch.equal(found.delta, delta) and found.notes["held_out_r2"] == 0.9


class _Trap:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was executed",))


def _with_header(text: bytes) -> bytes:
    return b"\x93NUMPY\x02\x00" + len(text).to_bytes(4, "little") + text


def hostile_files() -> dict[str, bytes]:
    objects = io.BytesIO()
    np.save(objects, np.array([_Trap()], dtype=object), allow_pickle=True)
    nan = io.BytesIO()
    np.save(nan, np.full((14, 512), np.nan, np.float32))
    words = io.BytesIO()
    np.save(words, np.full((14, 512), "a"))
    short = io.BytesIO()
    np.save(short, np.zeros((14, 512), np.float32))
    huge = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000, 1000000)}\n"
    return {
        "objects": objects.getvalue(),
        "pickle": pickle.dumps(_Trap()),
        "nan": nan.getvalue(),
        "words": words.getvalue(),
        "cut": short.getvalue()[:-100],
        "huge shape": _with_header(huge),
        "huge header": b"\x93NUMPY\x02\x00" + b"\xff\xff\xff\x7f" + b" " * 5000,
        "long header": _with_header(huge.replace(b"\n", b" " * 6000 + b"\n")),
        "no dictionary": _with_header(b"__import__('os').getcwd()\n"),
        "text": b"glasses",
        "nothing": b"",
        "too large": short.getvalue() + bytes(100_000),
    }


@pytest.mark.parametrize("kind", list(hostile_files()))
def test_hostile_files_are_refused(tmp_path, kind):
    path = tmp_path / "evil.npy"
    path.write_bytes(hostile_files()[kind])
    with pytest.raises(ValueError, match=r"direction .*evil\.npy"):
        read_direction(path, **SHAPE)


def test_shipped_directions_fit_the_shipped_generator():
    generator = find_generator("eg3d_mini")
    assert {"glasses", "age", "anger", "smile", "hair", "beard"} == set(shipped_names())
    shape = {"num_ws": generator.num_ws, "w_dim": generator.w_dim}
    for name in shipped_names():
        found = find_direction(name, **shape, generator=weights_hash(generator))
        assert found.notes["attribute"] == name and found.notes["held_out_auc"] > 0.9
    with pytest.raises(ValueError, match="the shipped one is of eg3d_mini"):
        find_direction("age", **shape, generator="another")
    with pytest.raises(FileNotFoundError, match="none of age, anger"):
        find_direction("nose", **shape)


def test_portraits_label_their_generator_s_latents():
    samples = portrait_samples(find_generator("eg3d_mini"), count=12, seed=3, progress=False)
    assert samples.latents.shape == (12, 256)
    assert np.array_equal(samples.labels["hair"], samples.labels["hair_length"])
    with pytest.raises(ValueError, match="Give --latents and --labels"):
        portrait_samples(build_generator(), count=2, seed=0)


def test_the_command_on_files(tmp_path, capsys, monkeypatch):
    generator = build_generator()
    monkeypatch.setattr("warpgan.find_directions.find_generator", lambda name: generator)
    latents, labels, _ = planted(size=generator.num_ws * generator.w_dim, count=400)
    shaped = latents.reshape(400, generator.num_ws, generator.w_dim)
    save_file({"ws": torch.from_numpy(shaped)}, tmp_path / "ws.safetensors")
    rows = ["who,old,beard"]
    rows += [
        f"p{i},{o},{b}" for i, (o, b) in enumerate(zip(labels["old"], labels["beard"], strict=True))
    ]
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    words = [str(tmp_path / "out"), "--latents", str(tmp_path / "ws.safetensors")]
    words += ["--labels", str(tmp_path / "labels.csv"), "--attributes", "old", "--hold", "beard"]
    assert main(words) == 0
    notes = json.loads((tmp_path / "out" / "old.json").read_text())
    assert notes["held"] == ["beard"] and notes["samples"] == 400
    assert notes["command"].startswith("python -m warpgan.find_directions")
    shape = {"num_ws": generator.num_ws, "w_dim": generator.w_dim}
    found = read_direction(tmp_path / "out" / "old.npy", **shape)
    assert direction_sheet(generator, [found]).ndim == 3
    with pytest.raises(SystemExit) as stop:
        main([*words[:3], "--attributes", "old"])
    assert stop.value.code == 2 and "go together" in capsys.readouterr().err
    (tmp_path / "labels.csv").write_text("who,old\nx,1\n")
    with pytest.raises(ValueError, match="1 rows for 400 latents"):
        read_samples(tmp_path / "ws.safetensors", tmp_path / "labels.csv", **shape)
