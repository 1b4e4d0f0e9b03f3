"""Finished runs of ``warpgan.evaluate``, read back and joined into blocks.

A block is one data set under one protocol. Runs that measured the same rows with the same nets are
one block, so a slow baseline may be evaluated by a command of its own; all others stay apart.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from warpgan.evaluation.finished_run import MethodRun, Run, places_of_rows, read_run
from warpgan.evaluation.items import Row


@dataclass(frozen=True)
class Block:
    """One data set under one protocol, measured by one run or more.

    Attributes:
        letter: ``A``, ``B``, ... in the order given.
        title: data set and protocol, and the run's name where that is not unique.
        runs: joined here.
        methods: of all of them, in the order read.
    """

    letter: str
    title: str
    runs: tuple[Run, ...]
    methods: Mapping[str, MethodRun]

    @property
    def summary(self) -> Mapping[str, Any]:
        """Of the first run; what is the same in all of them is read from here."""
        return self.runs[0].summary

    @property
    def protocol(self) -> str:
        """``same_view``, ``multi_view`` or ``novel_view``."""
        return self.summary["protocol"]

    @property
    def rows(self) -> tuple[Row, ...]:
        """The views that every method was measured on."""
        return next(iter(self.methods.values())).rows

    @property
    def columns(self) -> tuple[str, ...]:
        """Metrics with a number for each row."""
        return tuple(next(iter(self.methods.values())).values)

    @property
    def better(self) -> Mapping[str, str]:
        """Metric to ``lower`` or ``higher``."""
        return self.summary["better"]

    @property
    def bootstrap(self) -> dict[str, int]:
        """Resamples and seed, as of the evaluation."""
        return {key: self.summary["bootstrap"][key] for key in ("resamples", "seed")}


def read_blocks(folders: Sequence[Path]) -> list[Block]:
    """Read runs and join those that measured the same.

    Args:
        folders: of finished evaluations.

    Raises:
        FileNotFoundError: if a run is absent or not finished.
        ValueError: if two runs have one name, a method stands in a block twice, or records do not
            fit together.
    """
    names: dict[str, Path] = {}
    for folder in folders:
        name = folder.resolve().name
        if name in names:
            raise ValueError(
                f"{folder} and {names[name]} are both called {name}: give each run once, and "
                "rename one if they are two"
            )
        names[name] = folder
    joined: dict[str, list[Run]] = {}
    for run in [read_run(folder) for folder in folders]:
        joined.setdefault(_what_was_measured(run), []).append(run)
    if len(joined) > len(ascii_uppercase):
        raise ValueError(f"{len(joined)} data sets in one table; {len(ascii_uppercase)} at most")
    titles = [f"{runs[0].summary['data']['name']}, {_protocol(runs)}" for runs in joined.values()]
    blocks = []
    for letter, title, runs in zip(ascii_uppercase, titles, joined.values(), strict=False):
        if titles.count(title) > 1:
            title = f"{title} ({', '.join(run.name for run in runs)})"
        blocks.append(Block(letter, title, tuple(runs), _all_methods(runs)))
    return blocks


def _what_was_measured(run: Run) -> str:
    """Equal for runs that belong in one block."""
    first = next(iter(run.methods.values()))
    keys = ("data", "protocol", "bootstrap", "better", "partial", "training_nets", "metric_files")
    measured = {key: run.summary.get(key) for key in keys}
    seen = [list(first.values), places_of_rows(first.rows), first.cameras]
    return json.dumps([measured, *seen], sort_keys=True)


def _all_methods(runs: Sequence[Run]) -> dict[str, MethodRun]:
    found: dict[str, MethodRun] = {}
    for run in runs:
        for name, method in run.methods.items():
            if name in found:
                raise ValueError(
                    f"{name} stands in both {found[name].folder.parent} and {run.folder}, measured "
                    "on the same rows: leave one of the runs out"
                )
            found[name] = method
    return found


def _protocol(runs: Sequence[Run]) -> str:
    return runs[0].summary["protocol"].replace("_", " ")
