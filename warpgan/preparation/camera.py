"""Estimates of a crop's camera, and one made of all of them.

* ``five_points``: five points on EG3D's canonical five (`warpgan.crop`); what EG3D's own crop uses.
* ``dense``: the face mesh's 468 points on a head that bends (`dense_head`, `label_fit`).
* ``regressor``: `pose_mini` looks at the picture; roll and place come from the dense points.
* ``combined``: the view directions of dense and regressor averaged with `WEIGHTS`. The regressor
  has only ever seen portraits, so where it is far from the dense estimate (against
  `TOLERANCE_DEG`), its weight vanishes, and with it the confidence.

All angles are degrees in the conventions of `warpgan.cameras`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from warpgan.cameras import CANONICAL_POINTS, look_at, project, yaw_pitch
from warpgan.crop import solve_pose_from_five_points
from warpgan.perception.pose_net import angle_between, view_direction
from warpgan.preparation.alignment import Alignment
from warpgan.preparation.label_fit import (
    LabelFit,
    PointModel,
    fit_label,
    roll_of,
    starting_labels,
)

ESTIMATES = ("five_points", "dense", "regressor", "combined")
WEIGHTS: Mapping[str, float] = {"five_points": 0.3, "dense": 0.5, "regressor": 1.0}
"""The five points count only where there are no dense ones: beside them they only added error."""
TOLERANCE_DEG = 8.0
YAW_GAIN, PITCH_GAIN = 1.06, 1.4
"""Slopes of true angles over fitted ones; these and `WEIGHTS` are chosen on 85 portraits other than
those reported (scripts/measure_pose.py, seed 5006)."""
ERROR_SIZE = 512


@dataclass(frozen=True)
class PoseEstimate:
    """A camera and how well it explains the points.

    Attributes:
        camera: [25] float32 label.
        yaw: Degrees, of the camera's position.
        pitch: Degrees, of the camera's position.
        roll: Degrees, of the camera about its view axis.
        error_px: RMS reprojection error of the estimate's own points with its own head, pixels of
            a crop of 512; None if it used none.
    """

    camera: Tensor
    yaw: float
    pitch: float
    roll: float
    error_px: float | None


@dataclass(frozen=True)
class Agreement:
    """The combined estimate and what the others think of it.

    Attributes:
        combined: The estimate to use.
        agreement_deg: Angle between the view directions of dense and regressor; between five
            points and regressor where there are no dense points.
        confidence: 1 / (1 + (agreement / tolerance)^2), and half of that without dense points.
    """

    combined: PoseEstimate
    agreement_deg: float
    confidence: float


def estimate_of(camera: Tensor, error: float | None) -> PoseEstimate:
    """Angles of a label [25]; ``error`` is a share of the crop's side."""
    yaw, pitch = (angle.item() for angle in yaw_pitch(camera))
    scaled = None if error is None else error * ERROR_SIZE
    return PoseEstimate(camera, yaw, pitch, roll_of(camera), scaled)


def from_five_points(points: np.ndarray, *, size: int) -> PoseEstimate:
    """The camera of five points [5, 2], continuous coordinates of a crop of ``size``.

    Raises:
        ValueError: No camera in front of the face explains them.
    """
    camera = solve_pose_from_five_points(points, size=size)[0]
    seen = project(CANONICAL_POINTS, camera).numpy()
    error = np.sqrt(((seen - np.asarray(points) / size) ** 2).sum(1).mean())
    return estimate_of(camera, float(error))


@dataclass(frozen=True)
class DenseEstimate:
    """Dense points' camera.

    Attributes:
        estimate: The corrected one.
        fit: As the points have it.
    """

    estimate: PoseEstimate
    fit: LabelFit


def from_dense_points(points: np.ndarray, model: PointModel, *, size: int) -> DenseEstimate:
    """The camera of mesh points [468, 2], with the net's own timidity taken out.

    The face mesh moves its points less than a face that nods or turns: by `PITCH_GAIN` and
    `YAW_GAIN` the fitted angles are enlarged. Roll and place are fitted anew. The gains are those
    of portraits; no real photos with known cameras were at hand to check them.
    """
    fit = fit_dense(points, model, size=size)
    plain = estimate_of(fit.label, fit.error)
    yaw = float(np.clip(plain.yaw * YAW_GAIN, -89, 89))
    pitch = float(np.clip(plain.pitch * PITCH_GAIN, -89, 89))
    direction = look_at(yaw, pitch)[0, [3, 7, 11]].double().numpy()
    estimate = from_direction(direction, points, model, start=fit.label, size=size)
    return DenseEstimate(replace(estimate, error_px=plain.error_px), fit)


def fit_dense(points: np.ndarray, model: PointModel, *, size: int) -> LabelFit:
    """The best of several starts for mesh points [468, 2], continuous crop coordinates."""
    shares = np.asarray(points, np.float64) / size
    rigid = PointModel(model.mean, model.modes[:0], model.sigma)
    starts = [fit_label(shares, rigid, start=start, steps=12) for start in starting_labels()]
    best = min(starts, key=lambda fit: fit.error)
    return fit_label(shares, model, start=best.label)


def from_direction(
    direction: np.ndarray, points: np.ndarray, model: PointModel, *, start: Tensor, size: int
) -> PoseEstimate:
    """The camera in a direction [3] from the head that meets points [M, 2] best.

    Roll and place in the crop come from the points.
    """
    fit = fit_label(
        np.asarray(points, np.float64) / size, model, start=start, direction=direction, steps=12
    )
    return estimate_of(fit.label, fit.error)


def combine(
    estimates: Mapping[str, PoseEstimate], points: np.ndarray, model: PointModel, *, size: int
) -> Agreement:
    """One camera out of all.

    Args:
        estimates: ``regressor``, and ``dense`` or, where that lacks, ``five_points``.
        points: [M, 2] of ``model``, crop coordinates, from which roll and place are taken.
        model: The head: the dense one, or the five points as a rigid one.
        size: Side of the crop.
    """
    trusted = "dense" if "dense" in estimates else "five_points"
    directions = {
        name: view_direction(estimates[name].camera).double() for name in (trusted, "regressor")
    }
    apart = angle_between(directions[trusted], directions["regressor"]).item()
    weights = {name: WEIGHTS[name] for name in directions}
    weights["regressor"] *= influence(apart)
    mean = sum(weights[name] * direction for name, direction in directions.items())
    direction = (mean / mean.norm()).numpy()
    combined = from_direction(direction, points, model, start=estimates[trusted].camera, size=size)
    confidence = 1 / (1 + (apart / TOLERANCE_DEG) ** 2)
    return Agreement(combined, apart, confidence if "dense" in estimates else confidence / 2)


def influence(off_deg: float) -> float:
    """How much the regressor counts so far from the trusted estimate: Tukey's biweight.

    1 where they agree, 0 beyond twice the tolerance.
    """
    return max(0.0, 1 - (off_deg / (2 * TOLERANCE_DEG)) ** 2) ** 2


@dataclass(frozen=True)
class Framing:
    """What brings a crop to where a label has the head; for `Alignment.reframed`.

    Attributes:
        scale: About the crop's middle; > 1 shows the face larger.
        shift: Crop pixels, right and down.
        turn_deg: Camera roll to take out first.
    """

    scale: float
    shift: tuple[float, float]
    turn_deg: float


def label_framing(
    points: np.ndarray, dense: DenseEstimate, model: PointModel, *, size: int, upright: bool
) -> Framing:
    """The framing in which the estimated camera looks at the pivot from 2.7 away.

    It is how the embedded world frames its portraits: a head of another build or distance comes
    out in the size and place that a label with EG3D's fixed intrinsics means.

    Args:
        points: [468, 2] in the crop.
        dense: Their camera.
        model: Their head.
        size: Side of the crop.
        upright: Take out the camera's roll as well.
    """
    world = torch.from_numpy(model.mean + np.tensordot(dense.fit.shape, model.modes, 1))
    angles = dense.estimate
    turn_deg = angles.roll if upright else 0.0
    camera = look_at(angles.yaw, angles.pitch, roll_deg=angles.roll - turn_deg)[0].double()
    wanted = project(world, camera, size=size).numpy()
    unturned = Alignment(np.eye(2, 3), size)
    found = unturned.reframed(scale=1.0, shift=(0.0, 0.0), turn_deg=turn_deg).map(points)
    weight = 1 / model.sigma**2
    weight = (weight / weight.sum())[:, None]
    middle_found, middle_wanted = (weight * found).sum(0), (weight * wanted).sum(0)
    scale = float(
        (weight * (wanted - middle_wanted) * (found - middle_found)).sum()
        / (weight * (found - middle_found) ** 2).sum()
    )
    if not 0.2 < scale < 5:
        return Framing(1.0, (0.0, 0.0), turn_deg)
    shift = middle_wanted - (scale * (middle_found - size / 2) + size / 2)
    return Framing(scale, (float(shift[0]), float(shift[1])), turn_deg)
