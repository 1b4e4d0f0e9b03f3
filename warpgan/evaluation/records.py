"""What an evaluation writes while it runs, so that an interrupted one goes on where it stopped.

```
OUT/METHOD/settings.json    what the numbers depend on; another setting is refused
          rows.csv          one line an image, appended batch by batch
          features_NET.npy  [rows, 2, D] float32: embeddings of image and photo of each row
          seconds.jsonl     wall times, one line a batch
```
A batch's features are on the disk before its rows, so every complete row has its features. What
stands beyond the last complete batch is computed anew, and the file ends up with the same bytes as
that of an uninterrupted run.
"""

import csv
import io
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np

from warpgan.evaluation.items import Row
from warpgan.evaluation.measures import Measured

ROW_COLUMNS = tuple(field.name for field in fields(Row))


class Records:
    """The folder of one method."""

    def __init__(self, folder: Path, *, columns: Sequence[str], identity: Sequence[str]) -> None:
        """Name the folder.

        Args:
            folder: made by ``open``.
            columns: metrics, in order.
            identity: those with features.
        """
        self.folder = folder
        self.columns = tuple(columns)
        self.identity = tuple(identity)
        self.rows_path = folder / "rows.csv"

    def open(
        self, settings: Mapping[str, Any], *, batches: Sequence[int], overwrite: bool = False
    ) -> int:
        """Prepare the folder and find out how much is done.

        Args:
            settings: what the numbers depend on, ready for JSON.
            batches: number of rows of each batch.
            overwrite: discard what is there.

        Returns:
            Number of complete batches.

        Raises:
            ValueError: if the folder holds an evaluation with other settings.
        """
        if overwrite and self.folder.exists():
            shutil.rmtree(self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        note = self.folder / "settings.json"
        text = json.dumps(settings, indent=2, sort_keys=True) + "\n"
        if note.exists():
            _refuse_other_settings(self.folder, json.loads(note.read_text()), json.loads(text))
        else:
            write_text(note, text)
        complete = self._complete_rows()
        done = kept = 0
        for size in batches:
            if kept + size > complete:
                break
            done, kept = done + 1, kept + size
        self._truncate(kept, done)
        return done

    def append(
        self,
        rows: Sequence[Row],
        measured: Measured,
        *,
        start: int,
        total: int,
        seconds: Mapping[str, float],
    ) -> None:
        """Write one batch: features, times, then rows.

        Args:
            rows: of this batch.
            measured: their numbers.
            start: number of rows before this batch.
            total: number of rows in the end.
            seconds: times of the batch by name.
        """
        for name in self.identity:
            features = measured.embeddings[name]
            path = self.features_path(name)
            shape = (total, *features.shape[1:])
            if path.exists():
                array = np.lib.format.open_memmap(path, "r+")
            else:
                array = np.lib.format.open_memmap(path, "w+", np.float32, shape)
            if array.shape != shape:
                raise ValueError(f"{path} has shape {array.shape}, expected {shape}; delete it")
            array[start : start + len(rows)] = features
            array.flush()
        _append(self.folder / "seconds.jsonl", json.dumps(dict(seconds)) + "\n")
        lines = [
            _line([*_texts(row), *(f"{measured.values[name][i]:.9g}" for name in self.columns)])
            for i, row in enumerate(rows)
        ]
        _append(self.rows_path, "".join(lines))

    def features_path(self, name: str) -> Path:
        """Where the embeddings of an identity metric are."""
        return self.folder / f"features_{name}.npy"

    def read_rows(self) -> tuple[list[Row], dict[str, np.ndarray]]:
        """Rows and metrics ``[rows]`` float64 as written."""
        with open(self.rows_path, newline="") as file:
            lines = list(csv.DictReader(file))
        rows = [
            Row(**{k: float(line[k]) if k in ("yaw", "pitch") else line[k] for k in ROW_COLUMNS})
            for line in lines
        ]
        values = {name: np.array([float(line[name]) for line in lines]) for name in self.columns}
        return rows, values

    def read_seconds(self) -> list[dict[str, float]]:
        """Times of the batches."""
        return [json.loads(x) for x in (self.folder / "seconds.jsonl").read_text().splitlines()]

    def _complete_rows(self) -> int:
        """Rows that end in a line break and whose features exist; 0 without the right head."""
        if not self.rows_path.exists():
            return 0
        lines = _lines(self.rows_path)
        if not lines or lines[0] != self._head():
            return 0
        if not all(self.features_path(name).exists() for name in self.identity):
            return 0
        return sum(line.endswith("\n") for line in lines[1:])

    def _truncate(self, rows: int, batches: int) -> None:
        kept = []
        if rows:
            kept = _lines(self.rows_path)[1 : 1 + rows]
        else:
            for name in self.identity:
                self.features_path(name).unlink(missing_ok=True)
        write_text(self.rows_path, self._head() + "".join(kept))
        times = self.folder / "seconds.jsonl"
        lines = _lines(times) if times.exists() else []
        write_text(times, "".join(lines[:batches]))

    def _head(self) -> str:
        return _line([*ROW_COLUMNS, *self.columns])


def _lines(path: Path) -> list[str]:
    """Lines with their line feed; unlike ``splitlines``, other separators are plain characters."""
    parts = path.read_text().split("\n")
    return [part + "\n" for part in parts[:-1]] + parts[-1:] * bool(parts[-1])


def write_text(path: Path, text: str) -> None:
    """Write aside and rename."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    aside.write_text(text)
    aside.replace(path)


def _append(path: Path, text: str) -> None:
    with open(path, "a") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _texts(row: Row) -> list[str]:
    values = asdict(row).values()
    return [f"{value:.4f}" if isinstance(value, float) else value for value in values]


def _line(cells: Sequence[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()


def _refuse_other_settings(folder: Path, before: dict, now: dict) -> None:
    keys = sorted(before.keys() | now.keys())
    differing = [key for key in keys if before.get(key) != now.get(key)]
    if differing:
        lines = "\n".join(f"  {key}: {before.get(key)} -> {now.get(key)}" for key in differing)
        raise ValueError(
            f"{folder} holds an evaluation with other settings:\n{lines}\nChoose another run.name, "
            "or start anew with run.overwrite=true"
        )
