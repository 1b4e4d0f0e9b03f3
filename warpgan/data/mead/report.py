"""What a run found, as ``report.json``, ``report.txt`` and the few lines that are printed."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from warpgan.data.mead.layout import Unused
from warpgan.data.mead.person import PersonResult
from warpgan.data.mead.poses import describe_cameras, odd_poses, side_named_left, yaws_of
from warpgan.data.mead.records import LIBRARIES
from warpgan.data.mead.views import LEAST_FRAMES, LENGTH_TOLERANCE
from warpgan.data.portraits.splits import write_aside
from warpgan.labels import Fault, describe_faults

RULES = {
    "middle_frame": (
        "(n - 1) // 2 from 0, n the smallest number of decodable frames of the person's clips"
    ),
    "least_frames": LEAST_FRAMES,
    "length_tolerance": (
        f"a clip more than {LENGTH_TOLERANCE} frames from the person's median length is a defect"
    ),
}
_ALL = 10**9


@dataclass(frozen=True)
class Report:
    """The result of a run.

    Attributes:
        layout: of the data.
        manifest: which frames were asked for, in words.
        size: of the crops, pixels; ``None`` if only raw frames were taken.
        allow_missing: whether people with front and another view are kept.
        results: of each person asked for.
        names: folders whose names cannot be ids.
        unused: what else lies in the data.
        strangers: entries of the landmark file that belong to no view asked for.
    """

    layout: str
    manifest: str
    size: int | None
    allow_missing: bool
    results: Sequence[PersonResult]
    names: Sequence[Fault]
    unused: Unused
    strangers: Sequence[str]

    @property
    def kept(self) -> list[PersonResult]:
        """People that are used."""
        return [result for result in self.results if result.usable]

    @property
    def images(self) -> int:
        """Views of the people that are used."""
        return sum(len(result.rows if self.size is None else result.labels) for result in self.kept)

    @property
    def defects(self) -> list[Fault]:
        """Why views are missing, of all people."""
        return [fault for result in self.results for fault in result.defects]

    @property
    def notices(self) -> list[Fault]:
        """What is odd and was used nevertheless."""
        found = [fault for result in self.results for fault in result.notices]
        return found + odd_poses(yaws_of(self.results))

    def content(self) -> dict[str, Any]:
        """All of it, ready for JSON; equal for equal data, however often a run was interrupted."""
        yaws = yaws_of(self.results)
        return {
            "layout": self.layout,
            "manifest": self.manifest,
            "rules": RULES | {"allow_missing": self.allow_missing},
            "size": self.size,
            "libraries": LIBRARIES,
            "images": self.images,
            "kept": [result.person for result in self.kept],
            "left_out": {
                result.person: [_line(fault) for fault in result.defects]
                for result in self.results
                if not result.usable
            },
            "defects": [asdict(fault) for fault in self.defects],
            "notices": [asdict(fault) for fault in self.notices],
            "cameras": describe_cameras(yaws),
            "names_left_are_yaw": {1: "above 0", -1: "below 0", 0: None}[side_named_left(yaws)],
            "unusable_names": [asdict(fault) for fault in self.names],
            "unused": asdict(self.unused),
            "points_without_view": list(self.strangers),
        }

    def text(self, *, examples: int = _ALL) -> str:
        """The same for people, with at most so many examples of each kind."""
        what = "raw frames" if self.size is None else f"crops of {self.size} px"
        lines = [
            f"{len(self.kept)} of {len(self.results)} people usable, {self.images} {what}; "
            f"{self.manifest}"
        ]
        left_out = [result.person for result in self.results if not result.usable]
        if left_out:
            hint = "" if self.allow_missing else "; --allow-missing keeps front and another view"
            lines.append(f"left out: {_listed(left_out, examples)}{hint}")
        for title, faults in (
            ("defects", self.defects),
            ("used, but odd", self.notices),
            ("folders not read", self.names),
        ):
            if faults:
                lines += [f"{title}:", describe_faults(faults, examples=examples)]
        lines += self._camera_lines() + self._unused_lines(examples)
        return "\n".join(lines)

    def _camera_lines(self) -> list[str]:
        yaws = yaws_of(self.results)
        lines = [
            f"  {camera}: median yaw {found['median_yaw']:+.1f} "
            f"({found['least_yaw']:+.1f} to {found['most_yaw']:+.1f}), {found['views']} views"
            for camera, found in describe_cameras(yaws).items()
        ]
        side = side_named_left(yaws)
        if side:
            whose = "the subject's" if side > 0 else "the viewer's"
            lines.append(f"  names say left for {whose} left; tables go by the yaw, not by names")
        return ["cameras, yaw > 0 at the subject's left:", *lines] if lines else []

    def _unused_lines(self, examples: int) -> list[str]:
        unused = self.unused
        cameras: Counter[str] = Counter()
        for found in unused.clips.values():
            cameras.update(found)
        lines = []
        if unused.people:
            lines.append(f"  {len(unused.people)} people: {_listed(unused.people, examples)}")
        if cameras:
            counts = ", ".join(f"{camera} {count}" for camera, count in sorted(cameras.items()))
            lines.append(f"  {cameras.total()} other files of cameras: {counts}")
        if unused.audio or unused.hidden:
            lines.append(f"  {unused.audio} audio files, {unused.hidden} hidden files")
        if unused.entries:
            lines.append(f"  {len(unused.entries)} others: {_listed(unused.entries, examples)}")
        if self.strangers:
            count, names = len(self.strangers), _listed(self.strangers, examples)
            lines.append(f"  {count} entries of the landmark file: {names}")
        return ["not asked for, not used:", *lines] if lines else []


def write_report(out: Path, report: Report) -> None:
    """Write ``report.json`` and ``report.txt``."""
    content = json.dumps(report.content(), indent=1) + "\n"
    write_aside(out / "report.json", content.encode())
    write_aside(out / "report.txt", (report.text() + "\n").encode())


def _listed(names: Sequence[str], examples: int) -> str:
    more = f", ... {len(names) - examples} more" if len(names) > examples else ""
    return ", ".join(names[:examples]) + more


def _line(fault: Fault) -> str:
    detail = f" ({fault.detail})" if fault.detail else ""
    return f"{fault.kind}: {fault.name}{detail}"
