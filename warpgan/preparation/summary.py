"""What a run came to, in numbers and in one line."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from warpgan.preparation.records import FaceRecord, PhotoRecord, Refusal

LOW_CONFIDENCE = 0.5
"""Cameras below are flagged."""


@dataclass(frozen=True)
class Summary:
    """All photos of a folder after a run.

    Attributes:
        records: by stem.
        settings: what crops depend on.
        settings_key: their hash.
        done_before: photos of this run that were done already.
        earlier: photos of earlier runs that this one was not asked for; they stay.
        gone: names of photos that no longer exist; their crops were put away.
        others: names of files that are no pictures.
        command: as typed.
    """

    records: tuple[PhotoRecord, ...]
    settings: dict[str, Any]
    settings_key: str
    done_before: int = 0
    earlier: int = 0
    gone: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    command: str = ""

    @property
    def faces(self) -> list[tuple[PhotoRecord, FaceRecord]]:
        """Each crop with its photo."""
        return [(record, face) for record in self.records for face in record.faces]

    @property
    def refused(self) -> list[tuple[PhotoRecord, Refusal]]:
        """Each refusal with its photo."""
        return [(record, refusal) for record in self.records for refusal in record.refused]

    @property
    def kinds(self) -> dict[str, int]:
        """Refusals by kind, the most frequent first."""
        counts = Counter(refusal.kind for _, refusal in self.refused)
        return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))

    @property
    def outdated(self) -> int:
        """Photos of earlier runs that were prepared with other settings."""
        return sum(record.settings != self.settings_key for record in self.records)

    @property
    def low(self) -> int:
        """Crops whose camera is flagged."""
        return sum(is_low(face) for _, face in self.faces)

    def line(self) -> str:
        """Counts, for the end of a run."""
        kinds = ", ".join(f"{count} {kind}" for kind, count in self.kinds.items())
        refused = f"{len(self.refused)} refused" + (f" ({kinds})" if kinds else "")
        photos, crops = len(self.records), len(self.faces)
        return (
            f"{photos} photo{'s' * (photos != 1)}, {crops} crop{'s' * (crops != 1)}, {refused}; "
            f"{self.done_before} done before"
        )


def is_low(face: FaceRecord) -> bool:
    """Whether a camera is flagged: estimated, and not certain."""
    return face.camera_from == "estimated" and face.confidence < LOW_CONFIDENCE
