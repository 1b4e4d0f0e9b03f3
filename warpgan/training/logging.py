"""Where numbers and pictures go: ``metrics.jsonl`` and TensorBoard."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from torch.utils.tensorboard import SummaryWriter


class RunLog:
    """Writes scalars and image grids of one run.

    A resumed run first drops what an interrupted one wrote beyond the checkpoint, so that every
    step stands in the records once.

    Args:
        folder: The run folder.
        step: Optimiser steps done at this start.
    """

    def __init__(self, folder: Path, *, step: int = 0) -> None:
        """Open the records; see the class."""
        self.path = folder / "metrics.jsonl"
        drop_records_after(self.path, step=step)
        self._file = open(self.path, "a")  # noqa: SIM115 - open as long as the run
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)

    def scalars(self, step: int, values: Mapping[str, float], *, split: str) -> None:
        """Record named numbers.

        Args:
            step: Optimiser steps done.
            values: Name -> number.
            split: ``train`` or ``validation``.
        """
        self._file.write(json.dumps({"step": step, "split": split, **values}) + "\n")
        self._file.flush()
        for name, value in values.items():
            self._board.add_scalar(f"{split}/{name}", value, step)

    def picture(self, step: int, name: str, picture: np.ndarray) -> None:
        """Record a picture [H, W, 3] uint8."""
        self._board.add_image(name, picture, step, dataformats="HWC")

    def close(self) -> None:
        """Put everything on the disk."""
        self._file.close()
        self._board.close()


def drop_records_after(path: Path, *, step: int) -> None:
    """Remove the records beyond a step, and a last line cut short by a kill.

    Args:
        path: A JSON-lines file; nothing happens if it is missing.
        step: The last step that stays.
    """
    if not path.is_file():
        return
    kept = []
    for line in path.read_text().splitlines():
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue
        if record["step"] <= step:
            kept.append(line + "\n")
    aside = path.with_suffix(".part")
    aside.write_text("".join(kept))
    aside.replace(path)
