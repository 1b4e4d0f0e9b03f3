"""Golden checks of the official pickle container: a tiny generator with its module sources removed.

Each tensor is compared by shape, sum, sum of absolute values, first and last value. All of them are
dyadic numbers, so they must be exact.
"""

import gzip
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

import eg3d
from eg3d.pickle_reader import read_snapshot

from . import Comparison, compare

SNAPSHOT = "eg3d_tiny_stripped.pkl.gz"
EXPECTED = "eg3d_tiny_stripped.expected.json"
TRAINING_TENSOR = "dataset_label_std"
SETTINGS_KEY = "rendering_kwargs"


def unpack(folder: Path, target: Path) -> Path:
    """Write the snapshot as a user has it: a `.pkl`."""
    path = target / "tiny.pkl"
    path.write_bytes(gzip.decompress((folder / SNAPSHOT).read_bytes()))
    return path


def read_expected(folder: Path) -> dict:
    return json.loads((folder / EXPECTED).read_text())["G_ema"]


def check_snapshot(folder: Path) -> list[Comparison]:
    """The container itself: all its tensors, and the state that is not in the tensors."""
    expected = read_expected(folder)
    with tempfile.TemporaryDirectory() as target:
        snapshot = read_snapshot(unpack(folder, Path(target)))
    kwargs = snapshot.init_kwargs | {SETTINGS_KEY: snapshot.rendering_kwargs}
    return [
        _same("settings", kwargs, expected["init_kwargs"]),
        _same("resolution", snapshot.neural_rendering_resolution, 96),
        _same("expected resolution", expected["neural_rendering_resolution"], 96),
        _same("plane axes (tagged cuda:0)", snapshot.plane_axes, "released"),
        compare(
            SNAPSHOT,
            TRAINING_TENSOR,
            snapshot.tensors.get(TRAINING_TENSOR, torch.empty(0)),
            torch.linspace(0, 1, 25),
            max_tolerance=0.0,
        ),
        *_compare_tensors(SNAPSHOT, snapshot.tensors, expected["tensors"]),
    ]


def check_generator(folder: Path) -> list[Comparison]:
    """The generator a user gets, directly and by way of our own format."""
    expected = read_expected(folder)
    wanted = {k: v for k, v in expected["tensors"].items() if k != TRAINING_TENSOR}
    with tempfile.TemporaryDirectory() as target:
        direct = eg3d.load_generator(unpack(folder, Path(target)))
        converted = Path(target) / "tiny.safetensors"
        eg3d.save_generator(direct, converted)
        again = eg3d.load_generator(converted)
    found = []
    for way, generator in (("direct", direct), ("converted", again)):
        found += [
            _same(
                f"{way}: resolution",
                generator.neural_rendering_resolution,
                expected["neural_rendering_resolution"],
            ),
            _same(f"{way}: plane axes", generator.plane_axes, "released"),
            _same(
                f"{way}: settings",
                generator.init_kwargs | {SETTINGS_KEY: generator.rendering_kwargs},
                expected["init_kwargs"],
            ),
            *_compare_tensors(EXPECTED, generator.state_dict(), wanted, prefix=f"{way}: "),
        ]
    return found


def _same(key: str, ours: object, golden: object) -> Comparison:
    """Compare settings; a difference is an infinite error."""
    error = 0.0 if ours == golden else float("inf")
    return Comparison(EXPECTED, key, error, error, 0.0)


def _compare_tensors(
    file: str, ours: Mapping[str, Tensor], golden: Mapping[str, dict], *, prefix: str = ""
) -> list[Comparison]:
    found = [_same(f"{prefix}names", sorted(ours), sorted(golden))]
    for name, numbers in golden.items():
        tensor = ours.get(name, torch.empty(0)).double()
        flat = tensor.flatten()
        summary = [flat.sum(), flat.abs().sum(), *flat[:1], *flat[-1:]]
        shaped = list(tensor.shape) == numbers["shape"]
        found.append(
            compare(
                file,
                f"{prefix}{name}",
                torch.stack(summary) if shaped else torch.empty(0),
                torch.tensor(
                    [numbers[key] for key in ("sum", "abs_sum", "first", "last")],
                    dtype=torch.float64,
                ),
                max_tolerance=0.0,
            )
        )
    return found


FILES = {SNAPSHOT: check_snapshot, EXPECTED: check_generator}
