"""What the estimated cameras say of the cameras' names. Nothing here decides anything.

Left and right in the tables are read off the yaw (> 0 at the subject's left), never off a name. A
name says whose left it means, and where a camera is mounted; both can be wrong, and are reported.
"""

import statistics
from collections.abc import Sequence
from typing import Any

import torch

from warpgan.cameras import yaw_pitch
from warpgan.data.mead.layout import FRONT
from warpgan.data.mead.person import PersonResult
from warpgan.labels import Fault

MOUNTED = (0, 30, 60, 90)
"""Degrees of |yaw| that views are named after."""


def yaws_of(results: Sequence[PersonResult]) -> dict[str, dict[str, float]]:
    """Yaw in degrees, > 0 at the subject's left, by camera and person."""
    yaws: dict[str, dict[str, float]] = {}
    for result in results:
        for camera, label in result.labels.items():
            yaws.setdefault(camera, {})[result.person] = float(
                yaw_pitch(torch.tensor(label).double())[0]
            )
    return dict(sorted(yaws.items()))


def describe_cameras(yaws: dict[str, dict[str, float]]) -> dict[str, dict[str, Any]]:
    """By camera: how many views, on which side of the face, and their yaws in degrees."""
    return {
        camera: {
            "views": len(found),
            "yaw_above_0": sum(yaw > 0 for yaw in found.values()),
            "median_yaw": round(statistics.median(found.values()), 2),
            "least_yaw": round(min(found.values()), 2),
            "most_yaw": round(max(found.values()), 2),
        }
        for camera, found in yaws.items()
    }


def side_named_left(yaws: dict[str, dict[str, float]]) -> int:
    """Sign of the yaw that most cameras named ``left`` have, or named ``right`` have not.

    0 without any, or if as many say one as the other.
    """
    votes = sum(
        _side(camera) * (1 if yaw > 0 else -1)
        for camera, found in yaws.items()
        for yaw in found.values()
    )
    return (votes > 0) - (votes < 0)


def odd_poses(yaws: dict[str, dict[str, float]]) -> list[Fault]:
    """Views whose estimated yaw does not fit their camera's name."""
    left = side_named_left(yaws)
    faults = []
    for camera, found in yaws.items():
        named = 0 if camera == FRONT else int(camera.rpartition("_")[2])
        for person, yaw in found.items():
            name, detail = f"{person}/{camera}", f"yaw {yaw:+.1f} degrees"
            if left and _side(camera) and (yaw > 0) != (_side(camera) * left > 0):
                faults.append(Fault("yaw is on the other side than the name says", name, detail))
            nearest = min(MOUNTED, key=lambda mounted: abs(mounted - abs(yaw)))
            if nearest != named:
                faults.append(Fault("yaw is nearer to another camera's", name, detail))
    for person, yaw in yaws.get(FRONT, {}).items():
        others = {
            camera: found[person]
            for camera, found in yaws.items()
            if camera != FRONT and person in found
        }
        if others and min(map(abs, others.values())) < abs(yaw):
            closer = min(others, key=lambda camera: abs(others[camera]))
            detail = f"{yaw:+.1f} degrees, {closer} {others[closer]:+.1f}"
            faults.append(Fault("front is not the most frontal view", person, detail))
    return faults


def _side(camera: str) -> int:
    return {"left": 1, "right": -1}.get(camera.partition("_")[0], 0)
