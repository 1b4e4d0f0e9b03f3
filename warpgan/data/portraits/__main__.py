"""Write a data set of portraits.

    python -m warpgan.data.portraits OUT --split train --count 3000 --seed 0 --size 128

Interrupted? The same command goes on. See `warpgan.data.portraits.splits` for the layout.
"""

import argparse
import time
from pathlib import Path

from warpgan.data.portraits.splits import (
    SPLITS,
    SplitSettings,
    default_depth,
    image_count,
    write_split,
)


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        prog="python -m warpgan.data.portraits", description=__doc__.splitlines()[0]
    )
    parser.add_argument("out", type=Path, help="folder to write")
    parser.add_argument("--split", choices=SPLITS, required=True)
    parser.add_argument("--count", type=int, required=True, help="people")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--size", type=int, default=128, help="image side in pixels")
    parser.add_argument("--supersample", type=int, default=2, help="samples a pixel side")
    parser.add_argument("--workers", type=int, default=1, help="processes")
    parser.add_argument(
        "--depth", action=argparse.BooleanOptionalAction, default=None,
        help="depth and mask files (default: all splits but train)",
    )  # fmt: skip
    args = parser.parse_args(arguments)
    depth = default_depth(args.split) if args.depth is None else args.depth
    began = time.perf_counter()
    try:
        settings = SplitSettings(
            args.split, args.count, args.seed, args.size, args.supersample, depth
        )
        write_split(args.out, settings, workers=args.workers)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    seconds = time.perf_counter() - began
    print(f"{args.out}: {image_count(settings)} images of {args.count} people in {seconds:.0f} s")


if __name__ == "__main__":
    main()
