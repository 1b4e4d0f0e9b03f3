"""Turn a generator file into our own: `python -m eg3d.convert model.pkl model.safetensors`.

Reads an official snapshot (.pkl) or a state dict (.pt, .pth) without executing anything in it and
writes `model.safetensors` and `model.json`. Converted weights keep the terms of the original.
"""

import argparse
import json
import logging
import sys
from pathlib import Path
from typing import Any

import torch

from .loading import SUFFIXES, load_generator, save_generator
from .triplane import PLANE_AXES

DTYPES = {"float32": torch.float32, "float16": torch.float16}


def build_parser() -> argparse.ArgumentParser:
    """The command's options."""
    parser = argparse.ArgumentParser(prog="python -m eg3d.convert", description=__doc__)
    parser.add_argument("source", type=Path, help=f"one of {', '.join(SUFFIXES)}")
    parser.add_argument("target", type=Path, help="NAME.safetensors; NAME.json goes beside it")
    parser.add_argument(
        "--dtype", choices=DTYPES, default="float32", help="float16 halves the size"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace existing files")
    settings = parser.add_argument_group("settings instead of those of the file")
    settings.add_argument(
        "--init-kwargs", type=Path, metavar="JSON", help="file with the construction arguments"
    )
    settings.add_argument(
        "--rendering-kwargs", type=Path, metavar="JSON", help="file with the rendering settings"
    )
    settings.add_argument("--rays", type=int, metavar="R", help="rays a side of the raw image")
    settings.add_argument("--plane-axes", choices=tuple(PLANE_AXES), help="tri-plane convention")
    return parser


def convert(arguments: argparse.Namespace) -> str:
    """Convert one file.

    Args:
        arguments: as `build_parser` gives them.

    Returns:
        A report to print.

    Raises:
        ValueError: a bad source, or a target that exists already.
        FileNotFoundError: no such source.
    """
    target_json = arguments.target.with_suffix(".json")
    taken = [path for path in (arguments.target, target_json) if path.exists()]
    if arguments.target.suffix != ".safetensors":
        raise ValueError(f"{arguments.target}: the target must end in .safetensors")
    if taken and not arguments.overwrite:
        raise ValueError(f"{taken[0]} exists already; choose another name or pass --overwrite")
    generator = load_generator(
        arguments.source,
        init_kwargs=_read_settings(arguments.init_kwargs),
        rendering_kwargs=_read_settings(arguments.rendering_kwargs),
        neural_rendering_resolution=arguments.rays,
        plane_axes=arguments.plane_axes,
    )
    save_generator(generator, arguments.target, dtype=DTYPES[arguments.dtype])
    parameters = sum(parameter.numel() for parameter in generator.parameters())
    module = generator.options.superresolution_module.rsplit(".", 1)[-1]
    lines = [
        f"{arguments.source} -> {arguments.target}",
        f"  {parameters:,} parameters in {len(generator.state_dict())} tensors, {arguments.dtype}",
        f"  image {generator.img_resolution} px from {generator.neural_rendering_resolution} rays "
        f"a side, {module}",
        f"  z {generator.z_dim}, w {generator.num_ws} x {generator.w_dim}, plane axes "
        f"{generator.plane_axes}, camera scale {generator.options.c_scale:g}",
        *(f"  wrote {p} ({p.stat().st_size:,} bytes)" for p in (arguments.target, target_json)),
        "  The weights keep the licence of the file they came from.",
    ]
    return "\n".join(lines)


def _read_settings(path: Path | None) -> dict[str, Any] | None:
    if path is None:
        return None
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; expected JSON with a dict of settings")
    try:
        settings = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}); expected a dict of settings") from error
    if not isinstance(settings, dict):
        raise ValueError(f"{path} holds a {type(settings).__name__}; expected a dict of settings")
    return settings


def main(argv: list[str] | None = None) -> int:
    """Run the command; 2 for a user's mistake, told in one line."""
    logging.basicConfig(format="%(levelname)s: %(message)s")
    try:
        print(convert(build_parser().parse_args(argv)))
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
