"""A training so small that it runs in seconds: 12 random pictures of 32 px, a random generator."""

import json
import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file

from warpgan.cameras import look_at
from warpgan.cli import compose_config
from warpgan.labels import write_label_file
from warpgan.train import train

TINY = (
    "generator=random_tiny",
    "scale=tiny",
    "losses=mse_only",
    "train.cpu=true",
    "train.schedule=constant",
    "train.warmup_steps=0",
    "train.supervise=image",
    "train.ray_stride=1",
    "train.render_rays=8",
    "train.batch_size=4",
    "train.steps=6",
    "train.log_every=2",
    "train.image_every=0",
    "train.checkpoint_every=2",
    "train.ema_decay=0.9",
    "eval.every=0",
)


def write_images(folder: Path, *, count: int = 12, size: int = 32) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    draws = np.random.default_rng(0)
    labels = look_at(draws.uniform(-30, 30, count), draws.uniform(-8, 8, count))
    entries = []
    for index in range(count):
        tiles = draws.integers(0, 255, (4, 4, 3))
        pixels = np.kron(tiles, np.ones((size // 4, size // 4, 1))).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"p{index:02d}.png")
        entries.append((f"p{index:02d}.png", labels[index]))
    write_label_file(folder / "dataset.json", entries)
    return folder


def words(folder: Path, *more: str, name: str = "run") -> list[str]:
    """The command line of a tiny run whose images and runs lie in ``folder``."""
    if not (folder / "images").is_dir():
        write_images(folder / "images")
    place = (f"paths.runs={folder / 'runs'}", f"data.path={folder / 'images'}", f"run.name={name}")
    return [*TINY, *place, *more]


def run_training(folder: Path, *more: str, name: str = "run") -> Path:
    """Train in this process; returns the run folder."""
    torch.set_num_threads(1)
    overrides = words(folder, *more, name=name)
    train(compose_config("train", overrides), overrides)
    return folder / "runs" / name


def run_in_child(job: Callable[[], object]) -> int:
    """Run ``job`` in a forked process; returns its exit code, negative for a signal."""
    process = multiprocessing.get_context("fork").Process(target=_quietly, args=(job,))
    process.start()
    process.join(120)
    assert process.exitcode is not None, "the training hangs"
    return process.exitcode


def _quietly(job: Callable[[], object]) -> None:
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, 1)
    os.dup2(sink, 2)
    job()


def final_weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "encoder.safetensors")


def records(run: Path, split: str = "train") -> list[dict]:
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [r for r in map(json.loads, lines) if r["split"] == split]


def assert_same_tensors(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    assert a.keys() == b.keys()
    assert [key for key in a if not torch.equal(a[key], b[key])] == []
