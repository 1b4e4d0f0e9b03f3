"""Wrong, damaged and hostile generator files; more of them are in ``tests/eg3d``."""

import os
import pickle
import zipfile
from pathlib import Path

import torch

import eg3d
from eg3d import CheckpointError
from tests.bad_input_cases import Case
from tests.eg3d import official_snapshot as official


def _load(folder: Path, data: bytes, name: str = "model.pkl") -> None:
    path = folder / name
    path.write_bytes(data)
    eg3d.load_generator(path)


def _snapshot() -> bytes:
    return official.snapshot_bytes(official.small_generator())


def _hostile(folder: Path) -> None:
    command = f"touch {folder / 'planted'}"
    snapshot = official.snapshot_bytes(
        official.small_generator(), augment_pipe=official.Call(os.system, command)
    )
    _load(folder, snapshot)


def _nothing_was_planted(folder: Path) -> None:
    assert not (folder / "planted").exists()


def _zip(folder: Path) -> None:
    with zipfile.ZipFile(folder / "model.pkl", "w") as archive:
        archive.writestr("readme.txt", "no generator")
    eg3d.load_generator(folder / "model.pkl")


def _foreign_state(folder: Path) -> None:
    torch.save({"layer.weight": torch.zeros(2, 2)}, folder / "model.pt")
    eg3d.load_generator(folder / "model.pt")


def _lost_description(folder: Path) -> None:
    eg3d.save_generator(official.small_generator(), folder / "model.safetensors")
    (folder / "model.json").unlink()
    eg3d.load_generator(folder / "model.safetensors")


CASES = [
    Case(
        "generator: no such file",
        lambda folder: eg3d.load_generator(folder / "model.pkl"),
        FileNotFoundError,
        ("model.pkl", "Expected "),
    ),
    Case(
        "generator: a folder",
        lambda folder: eg3d.load_generator(folder),
        CheckpointError,
        ("Expected ",),
    ),
    Case(
        "generator: an empty file",
        lambda folder: _load(folder, b""),
        CheckpointError,
        ("model.pkl", "Expected "),
    ),
    Case(
        "generator: a saved web page",
        lambda folder: _load(folder, b"<!DOCTYPE html><html>quota exceeded</html>"),
        CheckpointError,
        ("model.pkl", "Expected "),
    ),
    Case(
        "generator: half a download",
        lambda folder: _load(folder, _snapshot()[:20_000]),
        CheckpointError,
        ("model.pkl", "truncated"),
    ),
    Case(
        "generator: a pickle of something else",
        lambda folder: _load(folder, pickle.dumps({"answer": 42})),
        CheckpointError,
        ("model.pkl", "Expected "),
    ),
    Case(
        "generator: a pickle that runs a command",
        _hostile,
        CheckpointError,
        ("model.pkl", "Expected "),
        after=_nothing_was_planted,
    ),
    Case("generator: a zip archive", _zip, CheckpointError, ("model.pkl", "Expected ")),
    Case(
        "generator: the state dict of another network",
        _foreign_state,
        CheckpointError,
        ("model.pt", "Expected "),
    ),
    Case(
        "generator: description beside the weights lost",
        _lost_description,
        FileNotFoundError,
        ("model.json", "Expected "),
    ),
]
