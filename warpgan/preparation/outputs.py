"""The files of a prepared folder, besides the crops.

* ``dataset.json``: camera labels, EG3D's layout.
* ``prepare.json``: settings, versions, and a record a photo.
* ``landmarks.json``, ``landmarks.csv``: of every crop the points, pose and confidence; the mesh in
  the first only.
* ``refused.csv``: photo, face, kind, reason.
* ``report.html``: all of it to look at.
"""

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

import PIL
import torch

from warpgan.cameras import mirror_label
from warpgan.data.portraits.splits import write_aside
from warpgan.labels import LABEL_FILE_NAME
from warpgan.preparation.records import (
    FORMAT_VERSION,
    SUMMARY_NAME,
    FaceRecord,
    PhotoRecord,
    read_record,
)
from warpgan.preparation.report import report_page
from warpgan.preparation.summary import Summary

LANDMARKS_NAME, REFUSED_NAME, REPORT_NAME = "landmarks", "refused.csv", "report.html"
POINTS = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")


def write_outputs(out: Path, summary: Summary) -> None:
    """Write them all; ``dataset.json`` last, so that it stands only beside complete others."""
    write_aside(out / SUMMARY_NAME, _json(_summary_content(summary)))
    write_aside(out / f"{LANDMARKS_NAME}.json", _landmarks(out, summary))
    write_aside(out / f"{LANDMARKS_NAME}.csv", _csv(_landmark_rows(summary)))
    write_aside(out / REFUSED_NAME, _csv(_refused_rows(summary)))
    write_aside(out / REPORT_NAME, report_page(out, summary).encode("utf-8", "replace"))
    labels = _labels(summary)
    if labels:
        write_aside(out / LABEL_FILE_NAME, json.dumps({"labels": labels}).encode())
    else:
        (out / LABEL_FILE_NAME).unlink(missing_ok=True)


def _labels(summary: Summary) -> list[list]:
    labels = []
    for _, face in summary.faces:
        labels.append([face.crop, face.camera])
        if face.mirror:
            mirrored = mirror_label(torch.tensor(face.camera, dtype=torch.float64))
            labels.append([face.mirror, mirrored.tolist()])
    return sorted(labels)


def _summary_content(summary: Summary) -> dict:
    photos = []
    for record in summary.records:
        entry = asdict(record)
        for face in entry["faces"]:
            # They are in the landmark file.
            del face["mesh"]
        photos.append(entry)
    return {
        "format_version": FORMAT_VERSION,
        "command": summary.command,
        "settings": summary.settings,
        "settings_hash": summary.settings_key,
        "libraries": {"pillow": PIL.__version__, "torch": torch.__version__},
        "counts": {
            "photos": len(summary.records),
            "crops": len(summary.faces),
            "refused": summary.kinds,
            "low_confidence": summary.low,
            "of_earlier_runs": summary.earlier,
            "with_other_settings": summary.outdated,
        },
        "removed": list(summary.gone),
        "no_pictures": list(summary.others),
        "photos": photos,
    }


def _landmarks(out: Path, summary: Summary) -> bytes:
    """The landmark file, its entries written one by one: meshes are long."""
    head = {
        "points": list(POINTS),
        "coordinates": "continuous crop pixels, x right, y down; photo_points are pixel indices",
        "crops": {},
    }
    entries = []
    for record in summary.records:
        whole = read_record(out, record.stem) or record
        for face in whole.faces:
            entry = json.dumps(_landmark_entry(record, face))
            entries.append(f"{json.dumps(face.crop)}: {entry}")
    text = json.dumps(head)[: -len("{}}")]
    return (text + "{\n" + ",\n".join(entries) + "\n}}\n").encode()


def _landmark_entry(record: PhotoRecord, face: FaceRecord) -> dict:
    entry = asdict(face)
    for name in ("crop", "crop_sha256", "mirror", "mirror_sha256"):
        del entry[name]
    return {"photo": record.photo, **entry}


def _landmark_rows(summary: Summary) -> Iterable[Sequence[object]]:
    places = [f"{point}_{axis}" for point in POINTS for axis in "xy"]
    yield [
        "crop", "photo", "face", *places, "yaw", "pitch", "roll", "confidence", "agreement_deg",
        "turned_deg", "outside", "detector_confidence", "camera_from",
    ]  # fmt: skip
    for record, face in summary.faces:
        numbers = [value for point in face.points for value in point]
        yield [
            face.crop, record.photo, face.number, *numbers, face.yaw, face.pitch, face.roll,
            face.confidence, face.agreement_deg, face.turned_deg, face.outside,
            face.detector_confidence, face.camera_from,
        ]  # fmt: skip


def _refused_rows(summary: Summary) -> Iterable[Sequence[object]]:
    yield ["photo", "face", "kind", "reason"]
    for record, refusal in summary.refused:
        yield [record.photo, refusal.number or "", refusal.kind, refusal.reason]


def _json(content: dict) -> bytes:
    return (json.dumps(content, indent=None, separators=(", ", ": ")) + "\n").encode()


def _csv(rows: Iterable[Sequence[object]]) -> bytes:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(rows)
    return stream.getvalue().encode("utf-8", "replace")
