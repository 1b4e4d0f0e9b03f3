"""Run folders of fabricated numbers and pictures, as an evaluation leaves them."""

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from warpgan import tables
from warpgan.metrics.bootstrap import Interval, mean_interval, paired_interval

BOOTSTRAP = {"resamples": 200, "seed": 7}
YAWS = (-60.0, -30.0, 30.0, 60.0)
MULTI_VIEW = {"psnr": "higher", "perc_vgg16hed": "lower", "id_faceres": "higher"}
PARTIAL = {"psnr_occluded": "higher"}
NOVEL_VIEW = {"id_faceres": "higher"}
HOSTILE = "<script>alert(\"x\")</script> & '|' _%"
PEOPLE = ("ann", "bob", HOSTILE, "dan", "eve")
SETS = {"fd_nsfw": "lower", "kid_nsfw": "lower"}


@dataclass(frozen=True)
class Written:
    """A run as written: its folder, rows, and each method's values."""

    folder: Path
    rows: list[dict]
    values: dict[str, dict[str, np.ndarray]]

    def interval(self, method: str, column: str, places: Sequence[int]) -> Interval:
        """The mean of some rows, leaving out those without a number."""
        found = self.values[method][column]
        used = [place for place in places if np.isfinite(found[place])]
        return mean_interval(found[used], groups=self.people(used), **BOOTSTRAP)

    def difference(self, one: str, other: str, column: str, places: Sequence[int]) -> Interval:
        sides = [self.values[method][column] for method in (one, other)]
        used = [place for place in places if np.isfinite(sides[0][place])]
        groups = self.people(used)
        return paired_interval(sides[0][used], sides[1][used], groups=groups, **BOOTSTRAP)

    def people(self, places: Sequence[int]) -> list[str]:
        return [self.rows[place]["person"] for place in places]

    def yaw(self, size: float) -> list[int]:
        return [place for place, row in enumerate(self.rows) if abs(row["yaw"]) == size]


def multi_view_rows(people: Sequence[str]) -> list[dict]:
    return [
        _row(f"{number}/{yaw:+.0f}.png", f"{number}/+0.png", person, f"yaw {yaw:+.0f}", yaw)
        for number, person in enumerate(people)
        for yaw in YAWS
    ]


def novel_view_rows(people: Sequence[str], *, cameras: int = 3) -> list[dict]:
    return [
        _row(f"{n}.png@{k}", f"{n}.png", person, f"novel {k}", (20.0 + 10 * k + n) * (-1) ** k)
        for n, person in enumerate(people)
        for k in range(cameras)
    ]


def _row(name: str, source: str, person: str, view: str, yaw: float) -> dict:
    return {
        "name": name,
        "source": source,
        "person": person,
        "view": view,
        "yaw": yaw,
        "pitch": 0.0,
        "failed": 0,
    }


def write_run(
    folder: Path,
    rows: list[dict],
    methods: dict[str, float],
    *,
    protocol: str,
    data: str,
    reference: str = "warpgan",
    better: dict[str, str] | None = None,
    partial: Sequence[str] = (),
    training_nets: Sequence[str] = (),
    failed: dict[str, str] | None = None,
    sets: dict[str, str] = SETS,
    pictures: bool = True,
    command: str = "python -m warpgan.evaluate",
    **settings,
) -> Written:
    """Write a finished run.

    Args:
        folder: of the run.
        rows: without numbers.
        methods: name to how good it is; 0 is the best.
        protocol: of the run.
        data: name of the data.
        reference: of the run.
        better: metrics of a row.
        partial: those without a number in row 1.
        training_nets: named in the summary.
        failed: method to the photo that it failed with.
        sets: set metrics.
        pictures: whether they are written.
        command: as typed.
        **settings: of a method, by its name.
    """
    better = better or (MULTI_VIEW if protocol == "multi_view" else NOVEL_VIEW)
    groups = {"all": list(range(len(rows)))}
    if protocol == "multi_view":
        for size in (30.0, 60.0):
            places = [place for place, row in enumerate(rows) if abs(row["yaw"]) == size]
            groups[f"yaw +-{size:.0f}"] = places
    values, summaries = {}, {}
    for number, (name, badness) in enumerate(methods.items()):
        rng = np.random.default_rng([number, len(rows), 3])
        found = {}
        for column, direction in better.items():
            sign = -1 if direction == "higher" else 1
            found[column] = 5 + sign * badness + rng.normal(0, 0.3, len(rows)).round(6)
            if column in partial:
                found[column][1] = np.nan
        values[name] = {
            column: np.array([float(f"{x:.9g}") for x in found[column]]) for column in found
        }
        lost = (failed or {}).get(name)
        _write_method(folder / name, rows, values[name], lost=lost, settings=settings.get(name, {}))
        summaries[name] = {
            "files": {"eg3d.safetensors": "ab" * 32, f"{name}.safetensors": f"{number:064d}"},
            "note": "0.2x the published steps" if name == "pti" else "",
            "images": len(rows),
            "people": len({row["person"] for row in rows}),
            "failed": int(lost is not None),
            "failures": {lost: "ValueError: <no> face"} if lost else {},
            "metrics": {},
            "sets": {
                group: {
                    metric: {
                        "value": (0.01 if metric.startswith("kid") else 40) * (1 + badness),
                        "images": len(places),
                        "references": len(places),
                    }
                    | ({"std": 0.002, "subsets": 100} if metric.startswith("kid") else {})
                    for metric in sets
                }
                for group, places in groups.items()
            },
            "steps": {"mean": 75.5, "least": 60, "most": 90} if name == "pti" else None,
            "timing": None,
            "seconds_invert_per_photo": 0.25 + number,
            "seconds_render_per_view": 0.05,
        }
    if "warpgan" in summaries:
        summaries["warpgan"]["timing"] = {
            "invert": 0.125,
            "render_per_view": 0.0625,
            "repeats": 20,
            "warm_up": 2,
            "threads": 1,
            "device": "cpu",
            "peak_memory_bytes": 2**28,
        }
        agreement = Interval(5.5, 5.0, 6.0, 5, 5, 0.95)
        summaries["warpgan"]["consistency"] = {
            "cross_psnr": asdict(agreement),
            "flicker_l1": None,
            "people": 5,
        }
    written = Written(folder, rows, values)
    for name, summary in summaries.items():
        summary["metrics"] = {
            column: asdict(written.interval(name, column, groups["all"])) for column in better
        }
    note = {
        "data": {"name": data, "images": len(rows), "size": 16},
        "protocol": protocol,
        "reference": reference,
        "bootstrap": BOOTSTRAP | {"level": 0.95, "resampled": "people"},
        "metric_files": {"net.safetensors": "cd" * 32},
        "training_nets": list(training_nets),
        "better": dict(better) | sets,
        "partial": list(partial),
        "methods": summaries,
        "floors": {
            "originals, half against half": {
                "sets": {"fd_nsfw": {"value": 12.25}},
                "images": len(rows),
            }
        },
        "git": "0123abc",
        "packages": {"torch": "2"},
        "command": command,
    }
    (folder / "summary.json").write_text(json.dumps(note))
    if pictures:
        _write_pictures(folder, rows, list(methods))
    return written


def _write_method(
    folder: Path,
    rows: list[dict],
    values: dict[str, np.ndarray],
    *,
    lost: str | None,
    settings: dict,
) -> None:
    folder.mkdir(parents=True)
    (folder / "settings.json").write_text(json.dumps({"method": settings}))
    with open(folder / "rows.csv", "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*rows[0], *values])
        for place, row in enumerate(rows):
            cells = list((row | {"failed": int(row["source"] == lost)}).values())
            writer.writerow([*cells, *(f"{found[place]:.9g}" for found in values.values())])


def _write_pictures(folder: Path, rows: list[dict], methods: Sequence[str]) -> None:
    rng = np.random.default_rng(0)

    def write(path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (16, 16, 3), np.uint8)).save(path, lossless=True)

    for row in rows:
        for name in {row["source"], row["name"]}:
            if "@" not in name and not (folder / "photos" / f"{name}.webp").exists():
                write(folder / "photos" / f"{name}.webp")
    for method in methods:
        for place in range(len(rows)):
            write(folder / method / "views" / f"{place:06d}.webp")


def tabulated_world(folder: Path) -> tuple[Written, Written, Path]:
    """Two runs: three methods with a failure; two methods, one of them absent from the first."""
    mead = write_run(
        folder / "mead",
        multi_view_rows(PEOPLE),
        {"warpgan": 0.0, "encoder": 1.0, "warp_fill": 1.5},
        protocol="multi_view",
        data="heads",
        better=MULTI_VIEW | PARTIAL,
        partial=tuple(PARTIAL),
        failed={"encoder": "1/+0.png"},
        command="python -m warpgan.evaluate run.name=mead",
    )
    celeba = write_run(
        folder / "celeba",
        novel_view_rows(PEOPLE),
        {"pti": 0.02, "warpgan": 0.0},
        protocol="novel_view",
        data="faces",
    )
    out = folder / "tables"
    tables.main([str(mead.folder), str(celeba.folder), "--out", str(out)])
    return mead, celeba, out
