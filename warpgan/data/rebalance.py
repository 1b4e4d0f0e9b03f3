"""Write a label list that repeats images by yaw: ``python -m warpgan.data.rebalance DATA OUT``.

The list goes into training as ``data.labels=OUT``; the images stay where they are.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from warpgan.labels import describe_faults, read_label_file, write_label_file
from warpgan.pose import rebalance_by_yaw


def rebalance(data: str | Path, out: str | Path) -> tuple[int, int]:
    """Write the rebalanced list of a label file, folder or zip; returns entries read and written.

    Raises:
        FileNotFoundError: ``data`` has no label file.
        ValueError: Its labels are invalid.
    """
    label_file = read_label_file(data)
    if label_file.faults:
        raise ValueError(f"{data}: invalid labels\n{describe_faults(label_file.faults)}")
    labels = torch.from_numpy(label_file.labels)
    rows = rebalance_by_yaw(labels).tolist()
    write_label_file(out, [(label_file.names[row], labels[row]) for row in rows])
    return len(labels), len(rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="warpgan.data.rebalance", description=__doc__)
    parser.add_argument("data", type=Path, help="label file, or folder or zip with dataset.json")
    parser.add_argument("out", type=Path, help="label list to write")
    options = parser.parse_args(arguments)
    try:
        read, written = rebalance(options.data, options.out)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{options.out}: {written} entries of {read} images")
    return 0


if __name__ == "__main__":
    sys.exit(main())
