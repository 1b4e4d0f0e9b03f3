r"""Latent directions that edit faces: ``python -m warpgan.find_directions OUT``.

    python -m warpgan.find_directions out --attributes glasses age anger smile hair beard
    python -m warpgan.find_directions out --attributes age --hold glasses male --method normal
    python -m warpgan.find_directions out --generator eg3d_ffhq --latents ws.safetensors \
        --labels labels.csv --attributes age

By linear regression from labels. A generator distilled from portraits needs no files: its people's
attributes are known. For any other give latents, [N, num_ws, w_dim] or [N, w_dim], and a CSV with
one row a latent. OUT/NAME.npy is [num_ws, w_dim] float32, for one standard deviation of the
attribute; OUT/NAME.json says how it was found and how well a line reads the attribute on held-out
samples; OUT/sheet.png shows all on the mean face. Exit codes: 0 done, 2 a mistake in the command or
data.
"""

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from eg3d import TriPlaneGenerator
from warpgan import cli
from warpgan.cameras import look_at
from warpgan.devices import DEVICES, choose_device
from warpgan.lifting.directions import Direction, write_direction
from warpgan.lifting.labelled_latents import LabelledLatents, portrait_samples, read_samples
from warpgan.lifting.lifted_face import weights_hash
from warpgan.lifting.linear_fit import METHODS, FittedDirection, fit_directions
from warpgan.pictures import contact_sheet, write_png
from warpgan.synthesis.models import find_generator

PORTRAIT_ATTRIBUTES = ("glasses", "age", "anger", "smile", "hair", "beard")
SHEET_STRENGTHS = (-2.0, -1.0, 0.0, 1.0, 2.0)
NONE = "none"


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    options = build_parser().parse_args(words)
    with cli.plain_errors():
        command = shlex.join(["python", "-m", "warpgan.find_directions", *words])
        find_directions(options, command=command)
    return 0


def find_directions(options: argparse.Namespace, *, command: str) -> None:
    """Do what the command line asked for.

    Args:
        options: of `build_parser`.
        command: kept in the JSON.

    Raises:
        FileNotFoundError: if a file is absent.
        ValueError: for any other mistake of the user.
    """
    if (options.latents is None) != (options.labels is None):
        raise ValueError("--latents and --labels go together: give both or none")
    if options.samples < 1:
        raise ValueError(f"--samples {options.samples} must be at least 1")
    generator = find_generator(options.generator).to(choose_device(options.device))
    sizes = {"num_ws": generator.num_ws, "w_dim": generator.w_dim}
    if options.latents is None:
        samples = portrait_samples(generator, count=options.samples, seed=options.seed)
    else:
        samples = read_samples(options.latents, options.labels, **sizes)
    held = None if options.hold is None else [name for name in options.hold if name != NONE]
    found = fit_directions(
        samples.latents.reshape(len(samples.latents), -1),
        samples.labels,
        attributes=options.attributes,
        held=held,
        method=options.method,
        seed=options.seed,
    )
    directions = []
    for name, fitted in found.items():
        delta = np.broadcast_to(fitted.delta.reshape(-1, sizes["w_dim"]), tuple(sizes.values()))
        notes = _notes(fitted, samples, options) | {
            "attribute": name,
            "generator_sha256": weights_hash(generator),
            "command": command,
        }
        direction = Direction(name, torch.from_numpy(delta.astype(np.float32)), notes)
        directions.append(direction)
        path = write_direction(options.out, direction)
        print(f"{name}: R2 {fitted.r2:.3f}, AUC {fitted.auc:.3f} on held-out samples -> {path}")
    print(f"sheet: {write_png(options.out / 'sheet.png', direction_sheet(generator, directions))}")


@torch.inference_mode()
def direction_sheet(generator: TriPlaneGenerator, directions: Sequence[Direction]) -> np.ndarray:
    """The mean face moved along each direction, one a row."""
    mean = generator.mean_latent().expand(1, generator.num_ws, -1)
    camera = look_at(10.0, 0.0).to(mean)
    rows = []
    for direction in directions:
        row = []
        for strength in SHEET_STRENGTHS:
            ws = mean + strength * direction.delta.to(mean)
            row.append(generator.render(generator.planes(ws), ws, camera).image[0])
        rows.append(row)
    return contact_sheet(
        rows,
        row_captions=[direction.name for direction in directions],
        column_captions=[f"{strength:+g}" if strength else "0" for strength in SHEET_STRENGTHS],
    )


def _notes(fitted: FittedDirection, samples: LabelledLatents, options: argparse.Namespace) -> dict:
    return {
        "method": options.method,
        "held": "the other attributes" if options.hold is None else options.hold,
        "samples": len(samples.latents),
        "held_out_r2": round(fitted.r2, 5),
        "held_out_auc": None if np.isnan(fitted.auc) else round(fitted.auc, 5),
        "one_is": f"one standard deviation of the attribute, {fitted.deviation:.6g}",
        "moves": {name: round(move, 5) for name, move in fitted.moves.items()},
    }


def build_parser() -> argparse.ArgumentParser:
    """The words that the command understands."""
    parser = argparse.ArgumentParser(
        prog="python -m warpgan.find_directions",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("out", type=Path, help="folder to write")
    add("--attributes", nargs="+", default=list(PORTRAIT_ATTRIBUTES), metavar="NAME")
    add(
        "--hold",
        nargs="+",
        metavar="NAME",
        help=f"what shall not move, or {NONE} (default: the other attributes)",
    )
    add("--method", choices=METHODS, default="mean", help="see warpgan/lifting/linear_fit.py")
    add("--generator", default="eg3d_mini", help="choice of configs/generator, or a file")
    add("--samples", type=int, default=10_000, help="people to draw")
    add("--seed", type=int, default=0)
    add("--latents", type=Path, help=".npy or .safetensors")
    add("--labels", type=Path, help="CSV: names, then one row a latent")
    add("--device", choices=DEVICES, default="auto")
    return parser


if __name__ == "__main__":
    sys.exit(main())
