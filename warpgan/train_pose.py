"""Train the pose net on portraits: ``python -m warpgan.train_pose OUT.safetensors``.

Reads a training split (``python -m warpgan.data.portraits FOLDER --split train ...`` writes one),
draws further people from the sides, trains, and reports angles on held-out folders by |yaw|. The
weights are half precision; the figures stand in the JSON beside them.

    python -m warpgan.train_pose pose.safetensors --data cache/portraits/train_6000_seed0_128px \
        --held-out cache/portraits/celebahq_100_seed1_128px_depth

Exit codes: 0 done; 2 a mistake in the command or data.
"""

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from warpgan import cli
from warpgan.described_weights import weights_path
from warpgan.perception.pose_net import (
    PoseNet,
    angle_between,
    direction_angles,
    load_pose_net,
    save_pose_net,
)
from warpgan.progress import progress_bar
from warpgan.training.pose_views import PoseViews, draw_batch, read_views, to_unit, wide_views
from warpgan.training.schedule import learning_rate_factor, set_learning_rate

YAW_EDGES = (0.0, 15.0, 35.0, 50.0, 90.0)
SOFTNESS = 1e-4


@dataclass(frozen=True)
class PoseRecipe:
    """How the net is trained.

    Attributes:
        steps: of the optimiser.
        batch_size: pictures a step.
        learning_rate: of Adam at its highest; rises over ``warmup_steps``, then cosine to zero.
        warmup_steps: of the rise.
        seed: of weights and draws.
    """

    steps: int = 3000
    batch_size: int = 64
    learning_rate: float = 2e-3
    warmup_steps: int = 100
    seed: int = 0


def train_pose_net(views: PoseViews, recipe: PoseRecipe) -> PoseNet:
    """Train a net, in eval mode with gradients off in the end; the same bytes every time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        net = PoseNet()
    optimizer = torch.optim.Adam(net.parameters(), lr=recipe.learning_rate)
    bar = progress_bar(range(recipe.steps), title="training", unit="step")
    for step in bar:
        factor = learning_rate_factor(
            step, schedule="cosine", warmup_steps=recipe.warmup_steps, steps=recipe.steps
        )
        set_learning_rate(optimizer, [recipe.learning_rate], factor=factor)
        images, directions = draw_batch(
            views, batch_size=recipe.batch_size, seed=recipe.seed, step=step
        )
        # The distance itself, not its square: what counts is the usual error, not the worst.
        loss = ((net.raw(images) - directions).square().sum(1) + SOFTNESS).sqrt().mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if step % 100 == 0:
            bar.set_postfix(degrees=f"{np.rad2deg(loss.item()):.2f}")
    return net.requires_grad_(False).eval()


@torch.no_grad()
def measure_errors(net: PoseNet, views: PoseViews) -> dict[str, dict[str, float]]:
    """Angles in degrees between answers and truth: of all pictures, and by |yaw|.

    Returns:
        For ``all`` and each range of |yaw| that has pictures: ``images``, ``median`` and
        ``percentile_95``.
    """
    found = torch.cat([net(to_unit(part)) for part in views.images.split(64)])
    error = angle_between(found, views.directions).numpy()
    yaw = direction_angles(views.directions)[0].abs().numpy()
    errors = {"all": _described(error)}
    for low, high in zip(YAW_EDGES, YAW_EDGES[1:], strict=False):
        inside = (yaw >= low) & (yaw < high)
        if inside.any():
            errors[f"yaw {low:g} to {high:g}"] = _described(error[inside])
    return errors


def _described(error: np.ndarray | Tensor) -> dict[str, float]:
    return {
        "images": len(error),
        "median": round(float(np.median(error)), 3),
        "percentile_95": round(float(np.quantile(error, 0.95)), 3),
    }


def main(words: list[str] | None = None) -> None:
    """Command line; see the module's text."""
    parser = argparse.ArgumentParser(
        prog="python -m warpgan.train_pose",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("out", type=Path, help="the weights, *.safetensors")
    parser.add_argument(
        "--data", type=Path, required=True, help="folder of training photos with dataset.json"
    )
    parser.add_argument(
        "--held-out", type=Path, nargs="*", default=[], help="folders to report angles on"
    )
    parser.add_argument(
        "--wide", type=int, default=4000, help="further people drawn from the sides (default 4000)"
    )
    parser.add_argument("--steps", type=int, default=PoseRecipe.steps, help="of the optimiser")
    parser.add_argument("--batch-size", type=int, default=PoseRecipe.batch_size)
    parser.add_argument("--learning-rate", type=float, default=PoseRecipe.learning_rate)
    parser.add_argument("--seed", type=int, default=PoseRecipe.seed)
    options = parser.parse_args(words)
    for name, least in (("wide", 0), ("steps", 1), ("batch_size", 1), ("seed", 0)):
        if getattr(options, name) < least:
            parser.error(f"--{name.replace('_', '-')} must be {least} or more")
    recipe = PoseRecipe(
        steps=options.steps,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        seed=options.seed,
    )
    with cli.plain_errors():
        weights_path(options.out)
        size = PoseNet().image_size
        held_out = {folder.name: read_views(folder, size=size) for folder in options.held_out}
        views = read_views(options.data, size=size)
    began = time.perf_counter()
    views = views.joined(wide_views(options.wide, seed=options.seed, size=size))
    net = train_pose_net(views, recipe)
    minutes = (time.perf_counter() - began) / 60
    notes: dict[str, Any] = {
        "training": {
            "command": _command(options),
            "seed": options.seed,
            "pictures": len(views),
            "minutes": round(minutes, 1),
            "threads": torch.get_num_threads(),
        }
    }
    save_pose_net(net, options.out, notes=notes)
    stored = load_pose_net(options.out)
    notes["degrees_on_held_out"] = {
        name: measure_errors(stored, found) for name, found in held_out.items()
    }
    save_pose_net(stored, options.out, notes=notes)
    for name, errors in notes["degrees_on_held_out"].items():
        for part, found in errors.items():
            print(
                f"{name}, {part}: median {found['median']:.2f}, 95th percentile "
                f"{found['percentile_95']:.2f} degrees ({found['images']} images)"
            )
    print(f"written: {options.out} ({minutes:.1f} minutes)")


def _command(options: argparse.Namespace) -> str:
    return (
        f"python -m warpgan.train_pose {options.out.name} --data {options.data.name} "
        f"--wide {options.wide} --steps {options.steps} --batch-size {options.batch_size} "
        f"--learning-rate {options.learning_rate:g} --seed {options.seed}"
    )


if __name__ == "__main__":
    main()
