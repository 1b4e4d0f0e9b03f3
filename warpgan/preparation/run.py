"""A whole run: every photo that is not done yet, then the files that describe all of them."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from warpgan.labels import LABEL_FILE_NAME
from warpgan.preparation.naming import allot_stems
from warpgan.preparation.one_photo import PhotoJob, prepare_photo, unusable_record
from warpgan.preparation.outputs import write_outputs
from warpgan.preparation.photos import Photo, UnusablePhoto, read_photo
from warpgan.preparation.records import (
    PhotoRecord,
    claim,
    forget,
    hash_of,
    is_whole,
    put_away,
    read_record,
    read_records,
    settings_hash,
    sweep,
    without_meshes,
    write_record,
)
from warpgan.preparation.settings import CameraSource, PrepareSettings, Reader
from warpgan.preparation.summary import Summary
from warpgan.progress import progress_bar
from warpgan.training.lock import RunLock

_LEAST_FREE_BYTES = 50_000_000


@dataclass(frozen=True)
class Work:
    """What a run is about.

    Attributes:
        photos: to prepare.
        others: names of files that are no pictures.
        settings: what to make of them.
        cameras: where cameras come from; None to estimate them.
        command: as typed, for the report.
        nets: names the nets that read faces: other nets, other name.
    """

    photos: Sequence[Photo]
    others: Sequence[str]
    settings: PrepareSettings
    cameras: CameraSource | None = None
    command: str = ""
    nets: str = ""


def prepare(work: Work, out: Path, make_reader: Callable[[], Reader]) -> Summary:
    """Prepare photos into an image folder, or finish what an interrupted run began.

    Args:
        work: photos and settings.
        out: folder of this command's own; extended if it holds photos of an earlier run.
        make_reader: called once, and only if a photo has to be read.

    Raises:
        ValueError: ``out`` is not usable, or another process writes it.
        OSError: a file cannot be written.
    """
    claim(out)
    lock = RunLock(out / ".prepare")
    try:
        sweep(out)
        if shutil.disk_usage(out).free < _LEAST_FREE_BYTES:
            raise ValueError(f"the disk of {out} is full; free some space and start again")
        return _run(work, out, make_reader)
    finally:
        lock.release()


def _run(work: Work, out: Path, make_reader: Callable[[], Reader]) -> Summary:
    cameras = "" if work.cameras is None else work.cameras.key
    content = work.settings.content(cameras=cameras, nets=work.nets)
    key = settings_hash(content)
    before = read_records(out)
    asked = {photo.origin for photo in work.photos}
    kept = {
        stem: record
        for stem, record in before.items()
        if record.origin in asked or origin_exists(record.origin)
    }
    stems = allot_stems(
        ((photo.name, photo.origin) for photo in work.photos),
        taken={stem: record.origin for stem, record in kept.items()},
    )
    records = {stem: record for stem, record in kept.items() if record.origin not in asked}
    reader: Reader | None = None
    done = 0
    for photo in progress_bar(work.photos, title="prepare", unit="photo"):
        stem = stems[photo.origin]
        job = PhotoJob(out, photo, stem, work.settings, key, work.cameras)
        old = before.get(stem)
        try:
            data = read_photo(photo)
        except UnusablePhoto as error:
            # It may come back, or not: its crops cannot be made again now.
            if old is not None:
                put_away(out, old)
            records[stem] = unusable_record(job, "", error)
            write_record(out, records[stem])
            continue
        same = old is not None and (old.sha256, old.settings) == (hash_of(data), key)
        if same and is_whole(out, old):
            # The same photo from another place keeps its crop; the record learns the new place.
            records[stem] = _moved(old, photo)
            if records[stem] != old:
                write_record(out, _moved(read_record(out, stem) or old, photo))
            done += 1
            continue
        reader = reader or make_reader()
        # Crops may change from here on: until all is done the folder is no data set.
        (out / LABEL_FILE_NAME).unlink(missing_ok=True)
        if old is not None:
            forget(out, old)
        record = prepare_photo(job, data, reader)
        write_record(out, record)
        records[stem] = without_meshes(record)
    gone = [record for stem, record in before.items() if stem not in records]
    for record in gone:
        put_away(out, record)
    return _finish(work, out, records, gone, content, done_before=done)


def _finish(
    work: Work,
    out: Path,
    records: dict[str, PhotoRecord],
    gone: Sequence[PhotoRecord],
    content: dict[str, Any],
    *,
    done_before: int,
) -> Summary:
    asked = {photo.origin for photo in work.photos}
    summary = Summary(
        records=tuple(record for _, record in sorted(records.items())),
        settings=content,
        settings_key=settings_hash(content),
        done_before=done_before,
        earlier=sum(record.origin not in asked for record in records.values()),
        gone=tuple(sorted(record.photo for record in gone)),
        others=tuple(work.others),
        command=work.command,
    )
    write_outputs(out, summary)
    return summary


def origin_exists(origin: str) -> bool:
    """Whether the file, or the zip that held it, is still there."""
    if Path(origin).exists():
        return True
    at = origin.lower().find(".zip:")
    return at > 0 and Path(origin[: at + 4]).is_file()


def _moved(record: PhotoRecord, photo: Photo) -> PhotoRecord:
    return PhotoRecord(**{**vars(record), "photo": photo.name, "origin": photo.origin})
