"""Contact sheet: identities down, yaws across.

The shipped `warpgan/assets/pictures/portraits.png` is

    python -m warpgan.data.portraits.sheet OUT.png --bits 6
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from warpgan.cameras import look_at
from warpgan.data.portraits.portrait import Portrait

SEEDS = [8, 16, 61, 83, 50, 74, 48, 31]
YAWS = (-60.0, -30.0, 0.0, 30.0, 60.0)


def contact_sheet(
    seeds: list[int],
    *,
    size: int = 128,
    supersample: int = 2,
    detail: bool = True,
    yaws: tuple[float, ...] = YAWS,
) -> np.ndarray:
    """Pictures [len(seeds) * size, len(yaws) * size, 3] uint8."""
    cameras = look_at(list(yaws), 0.0)
    rows = []
    for seed in seeds:
        portrait = Portrait.sample(seed, detail=detail)
        views = [portrait.render(camera, size=size, supersample=supersample) for camera in cameras]
        rows.append(np.concatenate([view.image for view in views], 1))
    return np.concatenate(rows, 0)


def main() -> None:
    """Write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--supersample", type=int, default=2)
    parser.add_argument("--clean", action="store_true", help="without details outside the latent")
    parser.add_argument("--bits", type=int, default=8, help="kept of a channel: a smaller file")
    args = parser.parse_args()
    sheet = contact_sheet(
        args.seeds, size=args.size, supersample=args.supersample, detail=not args.clean
    )
    if not 1 <= args.bits <= 8:
        parser.error(f"--bits {args.bits}: expected 1 to 8")
    step = 255 / (2**args.bits - 1)
    picture = Image.fromarray(np.rint(np.rint(sheet / step) * step).astype(np.uint8))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    picture.save(args.out, optimize=True)
    print(f"{args.out}: {sheet.shape[1]}x{sheet.shape[0]}, {args.out.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
