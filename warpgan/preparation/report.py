"""``report.html``: every photo, its crop and its camera on one page that needs no other file.

What needs a look comes first: cameras of low confidence, then what was refused. Every word from
data is escaped by `warpgan.evaluation.html_parts`.
"""

import base64
from collections.abc import Iterable, Sequence
from pathlib import Path

from PIL import Image

from warpgan.evaluation.html_parts import facts, page, paragraph, plain_table, words
from warpgan.preparation.records import FaceRecord, PhotoRecord, Refusal, picture_path
from warpgan.preparation.summary import LOW_CONFIDENCE, Summary, is_low

MOST_CARDS = 500
_STYLE = """<style>
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(400px, 100%), 1fr));
  gap: 20px; margin: 12px 0; align-items: start; }
.card { border: 1px solid #d5d5d5; border-radius: 6px; padding: 12px; min-width: 0; }
.card.low { border: 2px solid #b34a00; padding: 11px; }
.card h3 { margin: 0 0 8px; font-size: .95rem; }
.pair { display: flex; gap: 8px; align-items: flex-start; margin-bottom: 8px; }
.pair img { display: block; min-width: 0; flex: 1 1 0; width: 0; height: auto; max-height: 300px;
  object-fit: contain; background: #f4f4f2; }
.card p { margin: 2px 0; font-size: .88rem; font-variant-numeric: tabular-nums; }
.card .warn { color: #8a3900; font-weight: 600; }
.legend b { font-weight: 600; }
.blue { color: #0072b2; } .orange { color: #b35f00; } .grey { color: #666; }
</style>"""


def report_page(out: Path, summary: Summary) -> str:
    """The page.

    Args:
        out: prepared folder, which holds the small pictures.
        summary: of its photos.
    """
    low = sorted(
        ((record, face) for record, face in summary.faces if is_low(face)),
        key=lambda pair: (pair[1].confidence, pair[1].crop),
    )
    others = [(record, face) for record, face in summary.faces if not is_low(face)]
    sections = [("Summary", _STYLE + _overview(summary) + _legend())]
    if low:
        said = (
            f"The estimates of these cameras disagree (confidence below {LOW_CONFIDENCE}). Look "
            "whether the orange rings lie on eyes, nose tip and mouth corners; the least certain "
            "come first."
        )
        sections.append(
            (f"Look at these first ({len(low)})", paragraph(said) + _face_cards(out, low))
        )
    if summary.refused:
        body = _kind_table(summary) + _refused_cards(out, summary.refused)
        sections.append((f"Refused ({len(summary.refused)})", body))
    if others:
        left = max(0, MOST_CARDS - len(low))
        sections.append((f"Crops ({len(others)})", _face_cards(out, others, most=left)))
    sections.append(("Settings and files", _settings(summary)))
    return page("Prepared photos", sections)


def _overview(summary: Summary) -> str:
    found: list[tuple[str, object]] = [
        ("Photos", len(summary.records)),
        ("Crops", len(summary.faces)),
        ("Cameras to look at", f"{summary.low} of confidence below {LOW_CONFIDENCE}"),
        ("Refused", len(summary.refused)),
    ]
    if summary.earlier:
        found.append(("Of earlier runs", f"{summary.earlier} photos, left as they are"))
    if summary.outdated:
        text = f"{summary.outdated} photos of earlier runs; name them again to renew them"
        found.append(("With other settings", text))
    if summary.gone:
        text = (
            f"{_listed(summary.gone)}: the photos are gone; their crops left dataset.json and lie "
            "in .prepare/removed"
        )
        found.append(("Removed", text))
    if summary.others:
        found.append(("No pictures, passed over", _listed(summary.others)))
    return facts(found)


def _legend() -> str:
    return (
        '<p class="legend"><b class="blue">Blue</b>: the face that was taken, and its points as '
        'found. <b class="grey">Grey</b>: other faces. <b class="orange">Orange rings</b>: eyes, '
        "nose tip and mouth corners of the generator's average face, seen by the camera that was "
        "estimated. White dots: the face mesh. Rings beside their blue points mean a wrong camera, "
        "or a face unlike the average.</p>"
    )


def _face_cards(
    out: Path, faces: Sequence[tuple[PhotoRecord, FaceRecord]], *, most: int = MOST_CARDS
) -> str:
    cards = [_face_card(out, record, face) for record, face in faces[:most]]
    if len(faces) > most:
        cards.append(paragraph(f"... {len(faces) - most} more: see landmarks.csv"))
    return _cards(cards)


def _face_card(out: Path, record: PhotoRecord, face: FaceRecord) -> str:
    which = f"face {face.number} of {record.detections}" if record.detections > 1 else "the face"
    name = words(record.photo)
    pictures = _image(
        picture_path(out, record.stem, 0), f"Photo {record.photo} with {which} marked"
    ) + _image(
        picture_path(out, record.stem, face.number),
        f"Crop {face.crop}: points found, and points of the camera",
    )
    lines = [
        _line(f"yaw {face.yaw:+.1f}°, pitch {face.pitch:+.1f}°, roll {face.roll:+.1f}°"),
        _confidence(face),
    ]
    notes = []
    if record.detections > 1:
        notes.append(which)
    if abs(face.turned_deg) >= 0.5:
        notes.append(f"turned upright by {face.turned_deg:+.1f}°")
    if face.outside >= 0.005:
        notes.append(f"{face.outside:.0%} of the crop beyond the photo's edge")
    if notes:
        lines.append(_line("; ".join(notes)))
    lines.append(_line(f"{face.crop}, from {record.width} x {record.height} px"))
    kind = "card low" if is_low(face) else "card"
    return (
        f'<article class="{kind}"><h3>{name}</h3><div class="pair">{pictures}</div>'
        f"{''.join(lines)}</article>"
    )


def _confidence(face: FaceRecord) -> str:
    if face.camera_from != "estimated":
        return _line(f"camera read from {face.camera_from}")
    text = (
        f"confidence {face.confidence:.2f} (estimates {face.agreement_deg:.1f}° apart), detector "
        f"{face.detector_confidence:.2f}"
    )
    return _line(text, warn=is_low(face))


def _kind_table(summary: Summary) -> str:
    rows = []
    for kind, count in summary.kinds.items():
        names = [record.photo for record, refusal in summary.refused if refusal.kind == kind]
        rows.append([kind, count, _listed(names, most=3)])
    return plain_table(["kind", "photos or faces", "for example"], rows, label="Refusals by kind")


def _refused_cards(out: Path, refused: Sequence[tuple[PhotoRecord, Refusal]]) -> str:
    cards = []
    for record, refusal in refused[:MOST_CARDS]:
        path = picture_path(out, record.stem, 0)
        picture = _image(path, f"Photo {record.photo}, refused: {refusal.kind}")
        if picture:
            picture = f'<div class="pair">{picture}</div>'
        face = f", face {refusal.number}" if record.detections > 1 and refusal.number else ""
        cards.append(
            f'<article class="card"><h3>{words(record.photo + face)}</h3>{picture}'
            f"{_line(refusal.kind, warn=True)}{_line(refusal.reason)}</article>"
        )
    if len(refused) > MOST_CARDS:
        cards.append(paragraph(f"... {len(refused) - MOST_CARDS} more: see refused.csv"))
    return _cards(cards)


def _settings(summary: Summary) -> str:
    spoken = {True: "yes", False: "no"}
    named = [
        (name, spoken[value] if isinstance(value, bool) else value)
        for name, value in summary.settings.items()
        if value != ""
    ]
    files = plain_table(
        ["file", "what it holds"],
        [
            ["dataset.json", "camera labels, as train, evaluate and synthesize read them"],
            ["landmarks.json, .csv", "points, mesh, angles and confidence of every crop"],
            ["refused.csv", "photo, face, kind, reason"],
            ["prepare.json", "settings, hashes and a record a photo"],
        ],
        label="Files",
    )
    command = f"<pre>{words(summary.command)}</pre>" if summary.command else ""
    return command + facts(named) + files


def _cards(cards: Iterable[str]) -> str:
    return f'<div class="cards">{"".join(cards)}</div>'


def _line(text: str, *, warn: bool = False) -> str:
    return f'<p class="warn">{words(text)}</p>' if warn else f"<p>{words(text)}</p>"


def _image(path: Path, said: str) -> str:
    """A small picture inside the page; nothing if there is none."""
    if not path.is_file():
        return ""
    content = path.read_bytes()
    with Image.open(path, formats=("WEBP",)) as picture:
        width, height = picture.size
    text = base64.b64encode(content).decode("ascii")
    return (
        f'<img src="data:image/webp;base64,{text}" width="{width}" height="{height}" '
        f'alt="{words(said)}" loading="lazy">'
    )


def _listed(names: Sequence[str], *, most: int = 5) -> str:
    more = f", ... {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
