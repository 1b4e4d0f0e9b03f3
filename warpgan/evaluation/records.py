"""What an evaluation writes while it runs, so that an interrupted one goes on where it stopped.

```
OUT/METHOD/settings.json       what the numbers depend on; another setting is refused
          parts/00012.npz      batch 12 of an unfinished evaluation; gone when it is finished
          rows.csv             one line a view, written when all batches are there
          features_NET.npy     [rows, 2, D] float32: features of view and reference of each row
          seconds.csv          one line a photo: seconds of inversion and of rendering, steps
          failures.csv         photos that the method could not do, with the error; often empty
```
A part is written aside and renamed, so it is whole or absent; a damaged one is computed anew. Parts
depend on nothing but their batch: any process may write any of them, in any order.
"""

import csv
import io
import json
import shutil
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from warpgan import weights
from warpgan.data.portraits.splits import write_aside
from warpgan.evaluation.items import Row

ROW_COLUMNS = (*(field.name for field in fields(Row)), "failed")
SECONDS_COLUMNS = ("source", "invert", "render", "views", "steps")
FAILURE_COLUMNS = ("source", "error")


@dataclass(frozen=True)
class Part:
    """Numbers of one batch: ``B`` photos, ``N`` views in all.

    Attributes:
        values: metric to ``[N]`` float64.
        features: net to ``[N, 2, D]`` float32.
        invert: ``[B]`` seconds of each photo's inversion.
        render: ``[B]`` seconds of each photo's views.
        steps: ``[B]`` optimisation steps of each photo; 0 for methods without.
        errors: ``[B]`` what went wrong with a photo; empty for none.
    """

    values: Mapping[str, np.ndarray]
    features: Mapping[str, np.ndarray]
    invert: np.ndarray
    render: np.ndarray
    steps: np.ndarray
    errors: Sequence[str]


@dataclass(frozen=True)
class PhotoCost:
    """What one photo took.

    Attributes:
        invert: seconds of its inversion.
        render: seconds of its views together.
        views: their number.
        steps: optimisation steps; 0 for methods without.
        failed: whether the method could not do it: then nothing was timed.
    """

    invert: float
    render: float
    views: int
    steps: int
    failed: bool = False


class Records:
    """The folder of one method."""

    def __init__(self, folder: Path, *, columns: Sequence[str], features: Sequence[str]) -> None:
        """Name the folder.

        Args:
            folder: made by ``open``.
            columns: metrics, in order.
            features: nets whose features are kept.
        """
        self.folder = folder
        self.columns = tuple(columns)
        self.features = tuple(features)
        self.rows_path = folder / "rows.csv"

    def open(self, settings: Mapping[str, Any], *, overwrite: bool = False) -> None:
        """Prepare the folder.

        Args:
            settings: what the numbers depend on, ready for JSON.
            overwrite: discard what is there.

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

    @property
    def finished(self) -> bool:
        """Whether all numbers are there: ``rows.csv`` is written last."""
        return self.rows_path.is_file()

    def write(self, batch: int, rows: Sequence[Row], part: Part) -> None:
        """Write one batch."""
        arrays = {f"value {name}": part.values[name] for name in self.columns}
        arrays |= {f"feature {name}": part.features[name] for name in self.features}
        arrays |= {"invert": part.invert, "render": part.render, "steps": part.steps}
        arrays["errors"] = np.array(list(part.errors), dtype=np.str_)
        arrays["rows"] = np.array([row.name for row in rows], dtype=np.str_)
        stream = io.BytesIO()
        np.savez(stream, **arrays)
        write_aside(self._part_path(batch), stream.getvalue())

    def read(self, batch: int, rows: Sequence[Row]) -> Part | None:
        """Read a batch; ``None`` if it is absent, damaged, or of other rows or metrics."""
        try:
            with np.load(self._part_path(batch), allow_pickle=False) as file:
                if file["rows"].tolist() != [row.name for row in rows]:
                    return None
                return Part(
                    values={name: file[f"value {name}"] for name in self.columns},
                    features={name: file[f"feature {name}"] for name in self.features},
                    invert=file["invert"],
                    render=file["render"],
                    steps=file["steps"],
                    errors=file["errors"].tolist(),
                )
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None

    def finish(
        self,
        parts: Sequence[Part],
        batches: Sequence[Sequence[Row]],
        *,
        sources: Sequence[Sequence[str]],
    ) -> None:
        """Join the parts into the files that stay, and remove them.

        Args:
            parts: of all batches, in order.
            batches: the rows of each batch.
            sources: names of the photos of each batch.
        """
        for name in self.features:
            stream = io.BytesIO()
            np.save(stream, np.concatenate([part.features[name] for part in parts]))
            write_aside(self.features_path(name), stream.getvalue())
        seconds, failures, lines = [], [], []
        for part, rows, photos in zip(parts, batches, sources, strict=True):
            failed = {photo for photo, error in zip(photos, part.errors, strict=True) if error}
            for place, photo in enumerate(photos):
                views = sum(row.source == photo for row in rows)
                times = (f"{part.invert[place]:.6g}", f"{part.render[place]:.6g}")
                seconds.append([photo, *times, str(views), str(int(part.steps[place]))])
                if photo in failed:
                    failures.append([photo, part.errors[place]])
            for place, row in enumerate(rows):
                numbers = [f"{part.values[name][place]:.9g}" for name in self.columns]
                lines.append([*_texts(row), str(int(row.source in failed)), *numbers])
        _write_table(self.folder / "seconds.csv", SECONDS_COLUMNS, seconds)
        _write_table(self.folder / "failures.csv", FAILURE_COLUMNS, failures)
        _write_table(self.rows_path, (*ROW_COLUMNS, *self.columns), lines)
        shutil.rmtree(self.folder / "parts", ignore_errors=True)

    def features_path(self, name: str) -> Path:
        """Where a net's features are."""
        return self.folder / f"features_{name}.npy"

    def read_rows(self) -> tuple[list[Row], dict[str, np.ndarray]]:
        """Rows and metrics ``[rows]`` float64 as written.

        Raises:
            FileNotFoundError: if the evaluation is not finished.
        """
        lines = self._lines(self.rows_path)
        angles = ("yaw", "pitch")
        names = [field.name for field in fields(Row)]
        rows = [
            Row(**{name: float(line[name]) if name in angles else line[name] for name in names})
            for line in lines
        ]
        values = {name: np.array([float(line[name]) for line in lines]) for name in self.columns}
        return rows, values

    def read_failures(self) -> dict[str, str]:
        """Photos that failed, with their errors."""
        lines = self._lines(self.folder / "failures.csv")
        return {line["source"]: line["error"] for line in lines}

    def read_costs(self) -> list[PhotoCost]:
        """What each photo took, in order."""
        failed = self.read_failures()
        return [
            PhotoCost(
                invert=float(line["invert"]),
                render=float(line["render"]),
                views=int(line["views"]),
                steps=int(line["steps"]),
                failed=line["source"] in failed,
            )
            for line in self._lines(self.folder / "seconds.csv")
        ]

    def _part_path(self, batch: int) -> Path:
        return self.folder / "parts" / f"{batch:05d}.npz"

    def _lines(self, path: Path) -> list[dict[str, str]]:
        if not path.is_file():
            raise FileNotFoundError(
                f"{path} is absent: the evaluation of {self.folder.name} is not finished; the same "
                "command continues it"
            )
        with open(path, newline="") as file:
            return list(csv.DictReader(file))


def file_hashes(paths: Iterable[Path]) -> dict[str, str]:
    """SHA-256 of files by name; where two files share one, by as much of the path as tells them."""
    found: dict[str, str] = {}
    for path in paths:
        digest = weights.sha256_of(path)
        names = ("/".join(path.parts[-length:]) for length in range(1, len(path.parts) + 1))
        found[next(name for name in names if found.get(name, digest) == digest)] = digest
    return found


def write_text(path: Path, text: str) -> None:
    """Write aside and rename."""
    write_aside(path, text.encode())


def _write_table(path: Path, head: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([head, *lines])
    write_text(path, text.getvalue())


def _texts(row: Row) -> list[str]:
    values = asdict(row).values()
    return [f"{value:.4f}" if isinstance(value, float) else value for value in values]


def _refuse_other_settings(folder: Path, before: dict, now: dict) -> None:
    keys = sorted(before.keys() | now.keys())
    differing = [key for key in keys if before.get(key) != now.get(key)]
    if differing:
        lines = "\n".join(f"  {key}: {before.get(key)} -> {now.get(key)}" for key in differing)
        raise ValueError(
            f"{folder} holds an evaluation with other settings:\n{lines}\nChoose another run.name, "
            "or start anew with run.overwrite=true"
        )
