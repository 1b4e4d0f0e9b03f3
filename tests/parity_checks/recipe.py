"""Weights defined by a rule instead of a file, for golden vectors of full-size networks.

An entry's value is lo + (hi - lo) * u in float64, rounded to float32, with u from NumPy's legacy
generator seeded by the CRC-32 of `tag/name`. Entries marked `keep` are left to the constructor;
their sums are listed. Every list can be checked against its own `first` and `sum` figures.
"""

import json
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tests.parity_checks import Comparison

SUM_TOLERANCE = 1e-9
# A rule shared by the checks of other modules; no golden file is read here alone.
FILES: dict = {}


def recipe_tensor(tag: str, name: str, shape: tuple[int, ...], *, lo: float, hi: float) -> Tensor:
    """Return the float32 tensor the rule defines for `name`."""
    return torch.from_numpy(_recipe_values(tag, name, shape, lo, hi).astype(np.float32))


def recipe_state(description: Path, own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Build the state dict that `description` (a `*_state_dict.json`) lists.

    `own` gives the entries the rule keeps, under the listed names.
    """
    spec = json.loads(description.read_text())
    tag = spec["meta"]["tag"]
    state = {}
    for entry in spec["entries"]:
        name = entry["name"]
        if entry.get("fill") == "keep":
            state[name] = own[name]
        else:
            shape = tuple(entry["shape"])
            state[name] = recipe_tensor(tag, name, shape, lo=entry["lo"], hi=entry["hi"])
    return state


def check_state_dict(description: Path, own: Mapping[str, Tensor]) -> list[Comparison]:
    """Compare names, shapes, types, kept values and the rule itself with `description`."""
    spec = json.loads(description.read_text())
    file, entries, tag = description.name, spec["entries"], spec["meta"]["tag"]
    listed = {e["name"]: (tuple(e["shape"]), e["dtype"]) for e in entries}
    ours = {k: (tuple(v.shape), str(v.dtype).removeprefix("torch.")) for k, v in own.items()}
    wrong = sum(listed.get(name) != ours.get(name) for name in listed.keys() | ours.keys())
    results = [_count(file, f"names, shapes and types of {len(listed)} entries", wrong)]
    if wrong:
        return results
    kept, filled = 0.0, 0.0
    for entry in entries:
        if entry.get("fill") == "keep":
            values = own[entry["name"]].double().flatten()
            weights = torch.arange(values.numel()).remainder(97).double()
            figures = (values.sum().item(), (values * weights).sum().item())
            for figure, key in zip(figures, ("sum", "wsum97"), strict=True):
                kept = max(kept, abs(figure - entry[key]) / max(1.0, abs(entry[key])))
        else:
            value = _recipe_values(
                tag, entry["name"], tuple(entry["shape"]), entry["lo"], entry["hi"]
            ).astype(np.float32)
            total = value.sum(dtype=np.float64)
            filled = max(filled, abs(float(value.flat[0]) - entry["first"]))
            filled = max(filled, abs(total - entry["sum"]) / max(1.0, abs(entry["sum"])))
    results.append(Comparison(file, "sums of computed entries", kept, kept, SUM_TOLERANCE))
    results.append(Comparison(file, "first, sum of filled", filled, filled, SUM_TOLERANCE))
    return results


def _count(file: str, key: str, wrong: int) -> Comparison:
    return Comparison(file, key, float(wrong), float(wrong), 0.0)


def _recipe_values(tag: str, name: str, shape: tuple[int, ...], lo: float, hi: float) -> np.ndarray:
    random = np.random.RandomState(zlib.crc32(f"{tag}/{name}".encode("ascii")))
    values = random.random_sample(int(np.prod(shape, dtype=np.int64))).reshape(shape)
    return lo + (hi - lo) * values
