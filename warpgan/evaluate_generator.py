"""Judge a generator of the embedded world on people it never saw.

    python -m warpgan.evaluate_generator OUT                        the shipped eg3d_mini
    python -m warpgan.evaluate_generator OUT --generator FILE --people 48 --seed 990001

Writes into OUT: ``report.json`` and ``rows.csv`` (PSNR, SSIM, depth error, mask IoU at the true
latent, by yaw), ``truth_and_generator.png`` (truth above generator, depth beside it) and
``random_z.png`` (new people at five yaws).
"""

import argparse
import csv
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

import eg3d
from warpgan import weights
from warpgan.data.portraits import Portrait, sample_latents
from warpgan.metrics.generator_report import (
    METRICS,
    YAWS,
    evaluate_generator,
    render_latents,
    render_truth,
    view_labels,
)
from warpgan.pictures import contact_sheet, depth_picture, images_of, write_png
from warpgan.warp import depth_z_from_ray_length

HELD_OUT_SEED = 990_001
RANDOM_SEED = 990_002
# Depth shown: the head and its shoulders, the nearest backdrop.
SHOWN_NEAR, SHOWN_FAR = 2.3, 3.2


def truth_sheet(
    G: eg3d.TriPlaneGenerator, latents: np.ndarray, *, yaws: Sequence[float] = YAWS
) -> np.ndarray:
    """Truth above generator for each latent ``[N, z_dim]``: colour, then depth, at each yaw."""
    labels = view_labels(yaws)
    size, rays = G.img_resolution, G.neural_rendering_resolution
    rows, names = [], []
    for person, latent in enumerate(np.asarray(latents, np.float32)):
        drawn = render_latents(G, torch.from_numpy(latent)[None], labels)
        depth_z = depth_z_from_ray_length(drawn.ray_length, labels[None])[0]
        truth = render_truth(Portrait(latent, detail_seed=None), labels, size, rays)
        rows.append(images_of(truth.image) + _depths(truth.depth_z))
        rows.append(images_of(drawn.image[0]) + _depths(depth_z))
        names += [f"{person} truth", "generator"]
    columns = [_degrees(yaw) for yaw in yaws]
    return contact_sheet(
        rows,
        row_captions=names,
        column_captions=columns + [f"depth {name}" for name in columns],
        title="portraits, held-out people: truth above generator at the true latent",
    )


def random_sheet(
    G: eg3d.TriPlaneGenerator, *, people: int = 8, yaws: Sequence[float] = YAWS, seed: int
) -> np.ndarray:
    """New people of the generator, one a row, at each yaw."""
    labels = view_labels(yaws)
    latents = torch.from_numpy(np.asarray(sample_latents(people, seed), np.float32))
    rows = []
    for latent in latents:
        drawn = render_latents(G, latent[None], labels)
        depth_z = depth_z_from_ray_length(drawn.ray_length, labels[None])[0]
        rows.append(images_of(drawn.image[0]) + _depths(depth_z)[len(yaws) // 2 :][:1])
    return contact_sheet(
        rows,
        column_captions=[_degrees(yaw) for yaw in yaws] + ["depth"],
        title=f"random z, seed {seed}",
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line; see the module's text."""
    parser = argparse.ArgumentParser(
        prog="python -m warpgan.evaluate_generator",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("out", type=Path, help="folder for the report and the sheets")
    parser.add_argument("--generator", type=Path, help="generator file; the shipped one if absent")
    parser.add_argument("--people", type=int, default=48, help="held-out people (default 48)")
    parser.add_argument("--sheet-people", type=int, default=6, help="of them in the sheet")
    parser.add_argument("--seed", type=int, default=HELD_OUT_SEED, help="of the held-out people")
    parser.add_argument("--random-seed", type=int, default=RANDOM_SEED, help="of the random z")
    options = parser.parse_args(arguments)
    if options.people < 1:
        parser.error(f"--people must be 1 or more, got {options.people}")

    path = options.generator or weights.resolve("eg3d_mini")
    G = eg3d.load_generator(path)
    latents = sample_latents(options.people, options.seed)
    report = evaluate_generator(G, latents=latents)
    summary = {
        "generator": path.name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "seed": options.seed,
        **report.summary(),
    }
    options.out.mkdir(parents=True, exist_ok=True)
    _write_text(options.out / "report.json", json.dumps(summary, indent=2) + "\n")
    with open(options.out / "rows.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, ["person", "yaw", *METRICS], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in report.rows)
    shown = latents[: options.sheet_people]
    write_png(options.out / "truth_and_generator.png", truth_sheet(G, shown))
    write_png(options.out / "random_z.png", random_sheet(G, seed=options.random_seed))
    print(f"{path.name}: {options.people} held-out people of portraits, seed {options.seed}")
    print(report.table())
    print(f"written to {options.out}")


def _degrees(yaw: float) -> str:
    return f"{yaw:+g}" if yaw else "0"


def _depths(depth_z: torch.Tensor) -> list[np.ndarray]:
    return [depth_picture(depth, near=SHOWN_NEAR, far=SHOWN_FAR) for depth in depth_z]


def _write_text(path: Path, text: str) -> None:
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    aside.write_text(text)
    aside.replace(path)


if __name__ == "__main__":
    main()
