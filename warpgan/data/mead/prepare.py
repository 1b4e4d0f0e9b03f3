"""The whole run: people side by side, then manifest, report and ``dataset.json``."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from tqdm import tqdm

from warpgan.crop import CROP_SIZE
from warpgan.data.mead.landmarks import Landmarks, read_landmarks, write_template
from warpgan.data.mead.layout import (
    Shot,
    find_unused,
    layout_of,
    locate,
    people_of,
    printable,
)
from warpgan.data.mead.manifest import (
    CLIP,
    EMOTION,
    LEVEL,
    published_shots,
    read_manifest,
    write_manifest,
)
from warpgan.data.mead.person import PersonJob, PersonResult, crop_path, prepare_person
from warpgan.data.mead.records import (
    PersonRecord,
    claim,
    hide_frames,
    inside,
    read_record,
    recorded_people,
    write_record,
)
from warpgan.data.mead.report import Report, write_report
from warpgan.labels import LABEL_FILE_NAME, write_label_file

TEMPLATE_NAME = "landmarks_template.json"
MANIFEST_NAME = "manifest.csv"
MAX_SIZE = 4096


@dataclass(frozen=True)
class PrepareSettings:
    """What to make of the data.

    Attributes:
        landmarks: five points a frame (`landmarks`); ``None`` for the first step, raw frames.
        manifest: CSV of the frames asked for; ``None`` for the published choice.
        size: side of the crops, pixels.
        allow_missing: keep people with front and at least one other view.
        skip_invalid: list entries of the landmark file that are not five points, instead of
            refusing the file.
        workers: people at once; the bytes do not depend on it.
    """

    landmarks: Path | None = None
    manifest: Path | None = None
    size: int = CROP_SIZE
    allow_missing: bool = False
    skip_invalid: bool = False
    workers: int = 1

    def __post_init__(self) -> None:
        """Refuse impossible settings."""
        for name, value, high in (("size", self.size, MAX_SIZE), ("workers", self.workers, 1024)):
            if not 1 <= value <= high:
                raise ValueError(f"{name} is {value}; expected 1 to {high}")


def is_prepared(data: Path) -> bool:
    """Whether a folder is an image folder already."""
    return (data / LABEL_FILE_NAME).is_file()


def prepare(data: Path, out: Path, settings: PrepareSettings) -> Report:
    """Extract the views of MEAD, or finish what an interrupted run began.

    Without landmarks: raw frames in ``out/frames`` and a landmark file to fill in. With landmarks:
    an image folder ``out/ID/CAMERA.png`` with ``dataset.json``. Both with ``manifest.csv``,
    ``report.json`` and ``report.txt``.

    Args:
        data: a tree of videos or of raw frames (`layout`).
        out: folder of this command's own; one run at a time.
        settings: what to make.

    Raises:
        FileNotFoundError: a file or folder named does not exist.
        ValueError: a mistake in one of them, or nothing usable; then the report is written first.
    """
    _check_folders(data, out, settings)
    people, unusable_names = people_of(data)
    layout = layout_of(data, people)
    if settings.manifest is None:
        shots = published_shots(people, layout=layout)
    else:
        shots = read_manifest(settings.manifest, layout=layout)
    landmarks = None
    if settings.landmarks is not None:
        landmarks = read_landmarks(settings.landmarks, skip_invalid=settings.skip_invalid)
    claim(out)
    if landmarks is not None:
        # The crops may change now; until all are done the folder is no data set.
        (out / LABEL_FILE_NAME).unlink(missing_ok=True)
        _forget_others(out, shots)
    results = _run(_jobs(data, out, layout, shots, landmarks, settings), settings.workers)
    used = {path for shot in shots if isinstance(path := locate(data, layout, shot), Path)}
    report = Report(
        layout=layout,
        manifest=_describe_manifest(settings, layout),
        size=None if landmarks is None else settings.size,
        allow_missing=settings.allow_missing,
        results=results,
        names=unusable_names,
        unused=find_unused(data, layout, people, shots=shots, used=used),
        strangers=_strangers(landmarks, shots),
    )
    _write(out, report)
    if not report.kept:
        raise ValueError(
            f"nothing is usable in {data}; see {out / 'report.txt'}\n{report.text(examples=3)}"
        )
    return report


def _check_folders(data: Path, out: Path, settings: PrepareSettings) -> None:
    if not data.is_dir():
        raise FileNotFoundError(f"{data} is no folder; expected MEAD as ID/video/CAMERA/...")
    inner, outer = out.resolve(), data.resolve()
    if inner.is_relative_to(outer) or outer.is_relative_to(inner):
        raise ValueError(
            f"{data} and {out} lie in each other; give the data as published, and another folder "
            "to write"
        )
    if settings.landmarks is None and is_prepared(out):
        raise ValueError(
            f"{out} holds a finished data set; give --landmarks to change it, or choose another "
            "folder for raw frames"
        )


def _jobs(
    data: Path,
    out: Path,
    layout: str,
    shots: Sequence[Shot],
    landmarks: Landmarks | None,
    settings: PrepareSettings,
) -> list[PersonJob]:
    by_person: dict[str, list[Shot]] = {}
    for shot in sorted(shots, key=lambda shot: (shot.person, shot.camera)):
        by_person.setdefault(shot.person, []).append(shot)
    points = {} if landmarks is None else landmarks.points
    faults = {} if landmarks is None else landmarks.faults
    return [
        PersonJob(
            data=data,
            out=out,
            layout=layout,
            person=person,
            shots=tuple(own),
            points=None if landmarks is None else _of_person(points, own),
            unusable=_of_person(faults, own),
            size=settings.size,
            allow_missing=settings.allow_missing,
            cameras={} if landmarks is None else _of_person(landmarks.cameras, own),
        )
        for person, own in by_person.items()
    ]


def _of_person(entries: dict, shots: Sequence[Shot]) -> dict:
    return {shot.name: entries[shot.name] for shot in shots if shot.name in entries}


def _run(jobs: list[PersonJob], workers: int) -> list[PersonResult]:
    # Threads: decoding, resizing, packing and hashing are library calls that run side by side.
    with ThreadPoolExecutor(workers) as pool:
        done = pool.map(prepare_person, jobs)
        return list(tqdm(done, total=len(jobs), unit="person", desc="mead"))


def _forget_others(out: Path, shots: Sequence[Shot]) -> None:
    """Remove crops of people that an earlier run made and this one is not asked for."""
    asked = {shot.person for shot in shots}
    for person in recorded_people(out):
        if person not in asked:
            record = read_record(out, person)
            for camera in record.crops:
                inside(out, crop_path(out, person, camera)).unlink(missing_ok=True)
            write_record(out, person, PersonRecord(record.clips, record.frames))


def _strangers(landmarks: Landmarks | None, shots: Sequence[Shot]) -> list[str]:
    if landmarks is None:
        return []
    names = {shot.name for shot in shots}
    given = (*landmarks.points, *landmarks.faults)
    return sorted(printable(name) for name in given if name not in names)


def _describe_manifest(settings: PrepareSettings, layout: str) -> str:
    if settings.manifest is not None:
        return f"frames by {settings.manifest.name}"
    if layout == "frames":
        return "frames as they were extracted"
    return f"published choice: {EMOTION}, {LEVEL}, clip {CLIP}, middle frame"


def _write(out: Path, report: Report) -> None:
    rows = [row for result in report.results for row in result.rows]
    write_manifest(out / MANIFEST_NAME, rows)
    write_report(out, report)
    if report.size is None:
        write_template(out / TEMPLATE_NAME, sorted(f"{row.id}/{row.camera}" for row in rows))
        return
    if not report.kept:
        return
    hide_frames(out)
    entries = [
        (f"{result.person}/{camera}.png", torch.tensor(label))
        for result in report.kept
        for camera, label in result.labels.items()
    ]
    write_label_file(out / LABEL_FILE_NAME, sorted(entries, key=lambda entry: entry[0]))
