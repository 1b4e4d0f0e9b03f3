"""Views a second on one core.

python -m warpgan.data.portraits.benchmark [--size 128] [--supersample 2] [--people 8]
"""

import argparse
import time

import numpy as np

from warpgan.cameras import look_at
from warpgan.data.portraits.portrait import Portrait

VIEWS = 8


def views_per_second(people: int, *, size: int, supersample: int) -> tuple[float, float]:
    """Views a second of wall clock and of CPU time, building each person included.

    Compilation and the asset's loading are excluded: one view is rendered before.
    """
    cameras = look_at(np.linspace(-60, 60, VIEWS).tolist(), 0.0)
    Portrait.sample(0).render(cameras[0], size=size, supersample=supersample)
    wall, cpu = time.perf_counter(), time.process_time()
    for seed in range(people):
        portrait = Portrait.sample(seed)
        for camera in cameras:
            portrait.render(camera, size=size, supersample=supersample)
    total = people * VIEWS
    return total / (time.perf_counter() - wall), total / (time.process_time() - cpu)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--supersample", type=int, default=2)
    parser.add_argument("--people", type=int, default=8)
    args = parser.parse_args()
    wall, cpu = views_per_second(args.people, size=args.size, supersample=args.supersample)
    print(
        f"{args.size} px, {args.supersample}x{args.supersample} samples, {VIEWS} views a person: "
        f"{wall:.1f} views/s (wall), {cpu:.1f} views/s a core"
    )


if __name__ == "__main__":
    main()
