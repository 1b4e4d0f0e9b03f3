"""Golden check of the Ranger optimiser: 30 steps on stored gradients."""

from pathlib import Path

import torch
from safetensors.torch import load_file

from tests.parity_checks import Comparison, compare
from warpgan.training.ranger import build_ranger

FILE = "ranger.safetensors"
RUNS = {"lr1e-4": (1e-4, 2e-8), "lr1e-2": (1e-2, 1e-6)}
SHAPES = ("vec", "mat", "conv", "scalar")


def check_ranger(folder: Path) -> list[Comparison]:
    """Compare every step's value and the final slow weights."""
    golden = load_file(folder / FILE)
    results = []
    for run, (lr, tolerance) in RUNS.items():
        params = {n: torch.nn.Parameter(golden[f"{run}.init.{n}"].clone()) for n in SHAPES}
        optimizer = build_ranger(list(params.values()), lr=lr)
        trajectory: dict[str, list[torch.Tensor]] = {name: [] for name in SHAPES}
        for step in range(len(golden[f"{run}.grads.vec"])):
            for name, param in params.items():
                param.grad = golden[f"{run}.grads.{name}"][step].clone()
            optimizer.step()
            for name, param in params.items():
                trajectory[name].append(param.detach().clone())
        for name, param in params.items():
            slow = optimizer.state[param]["slow_buffer"]
            pairs = {"traj": torch.stack(trajectory[name]), "final_slow": slow}
            for kind, ours in pairs.items():
                key = f"{run}.{kind}.{name}"
                results.append(compare(FILE, key, ours, golden[key], max_tolerance=tolerance))
    return results


FILES = {FILE: check_ranger}
