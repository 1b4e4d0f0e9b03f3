"""Tables of `measure_pose.py`: medians and 95th percentiles by framing, yaw and estimate."""

from collections.abc import Iterable, Sequence

import numpy as np

from warpgan.preparation.camera import ESTIMATES
from warpgan.preparation.face_reader import FRAMINGS

MEASURES = ("yaw", "pitch", "roll", "direction", "landmarks")
ROWS = (*ESTIMATES, "true pose")
GROUPS = {"|yaw| <= 45": (0.0, 45.0), "|yaw| > 45": (45.0, 90.0), "all": (0.0, 90.0)}


def summary(records: Sequence[dict]) -> dict:
    """Medians and 95th percentiles by framing, group of yaw, estimate and measure."""
    result: dict = {"faces": len(records), "refused": {}, "figures": {}}
    for record in records:
        if "refused" in record:
            side = "beyond 45" if abs(record["yaw"]) > 45 else "within 45"
            kind = f"{record['refused']}, |yaw| {side}"
            result["refused"][kind] = result["refused"].get(kind, 0) + 1
    for framing in FRAMINGS:
        for group, (low, high) in GROUPS.items():
            inside = [
                record[framing]["errors"] for record in records
                if framing in record and low <= abs(record["yaw"]) <= high
            ]  # fmt: skip
            for row in ROWS:
                rows = [errors[row] for errors in inside if row in errors]
                if not rows:
                    continue
                figures: dict = {"faces": len(rows)}
                for measure_name in MEASURES:
                    size = np.abs([entry[measure_name] for entry in rows])
                    figures[measure_name] = {
                        "median": round(float(np.median(size)), 3),
                        "percentile_95": round(float(np.percentile(size, 95)), 3),
                        "mean_signed": round(float(np.mean([r[measure_name] for r in rows])), 3),
                    }
                result["figures"].setdefault(framing, {}).setdefault(group, {})[row] = figures
    result["confidence"] = _by_confidence(records)
    return result


def _by_confidence(records: Iterable[dict]) -> list[dict]:
    """How good the combined estimate is in each quarter of the confidence scale."""
    known = [record["eg3d"] for record in records if "eg3d" in record]
    table = []
    for low, high in ((0.0, 0.5), (0.5, 0.8), (0.8, 0.95), (0.95, 1.01)):
        inside = [one for one in known if low <= one["confidence"] < high]
        off = [one["errors"]["combined"]["direction"] for one in inside]
        row: dict = {"confidence": f"{low:g} to {min(high, 1):g}", "faces": len(inside)}
        if off:
            row["median_direction"] = round(float(np.median(off)), 2)
            row["percentile_95_direction"] = round(float(np.percentile(off, 95)), 2)
        table.append(row)
    return table


def as_markdown(result: dict) -> str:
    """The tables of a summary."""
    lines = [f"{result['faces']} faces; not measured: {result['refused'] or 'none'}", ""]
    for framing, groups in result["figures"].items():
        for group, rows in groups.items():
            lines += [f"### Framing {framing}, {group}: median / 95th percentile", ""]
            lines.append(
                "| estimate | faces | yaw | pitch | roll | direction | landmarks, px of 512 |"
            )
            lines.append("|---|---|---|---|---|---|---|")
            for row, figures in rows.items():
                cells = [
                    f"{figures[name]['median']:.2f} / {figures[name]['percentile_95']:.2f}"
                    for name in MEASURES
                ]
                lines.append(f"| {row} | {figures['faces']} | " + " | ".join(cells) + " |")
            lines.append("")
    lines += ["### Direction error of the combined estimate by confidence", ""]
    lines += ["| confidence | faces | median | 95th percentile |", "|---|---|---|---|"]
    for row in result["confidence"]:
        figures = [row.get(name, "-") for name in ("median_direction", "percentile_95_direction")]
        lines.append(f"| {row['confidence']} | {row['faces']} | {figures[0]} | {figures[1]} |")
    return "\n".join(lines) + "\n"
