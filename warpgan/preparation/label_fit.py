"""Fit a camera label to a face's points: reprojection error, least through the label convention.

A label of EG3D has five degrees of freedom: the camera sits 2.7 from the origin (two for where) and
is turned freely (three); focal length and principal point are fixed. They are written here as

    x = Q(a, b) (A X + r e_z),   u = f x_xy / x_z + 1/2

with A the head's turn about the origin (three: yaw, pitch, roll), Q the camera's look away from the
origin (two small angles about its x and y axes) and r its distance. The position is -A^T e_z r, so
that only A decides yaw and pitch, and Q moves the head in the picture.

The crop's size of a head of another build need not be that of r = 2.7. So r is fitted as well, with
a normal prior on log r, and likewise shape coefficients with unit normal priors; then r is put
back to 2.7 and Q to where the points are met best.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from warpgan.cameras import FOCAL, RADIUS, intrinsics_from_focal, look_at, make_label, split_label

HUBER = 2.0
"""Errors beyond so many sigmas count linearly."""
FRONTAL = np.diag([1.0, -1.0, -1.0])


@dataclass(frozen=True)
class PointModel:
    """Points of a head in EG3D's world.

    Attributes:
        mean: [M, 3] float64.
        modes: [K, M, 3] float64, displacements of one standard deviation; K may be 0.
        sigma: [M] float64, how far a found point is off what mean and modes explain, as share of
            the crop's side.
    """

    mean: np.ndarray
    modes: np.ndarray
    sigma: np.ndarray

    @classmethod
    def rigid(cls, points: np.ndarray, *, sigma: float = 0.01) -> "PointModel":
        """Points that don't bend, all equally certain."""
        points = np.asarray(points, np.float64)
        return cls(points, np.zeros((0, *points.shape)), np.full(len(points), sigma))


@dataclass(frozen=True)
class LabelFit:
    """A fitted camera.

    Attributes:
        label: [25] float32, at radius 2.7 with EG3D's intrinsics.
        error: RMS reprojection error with the fitted shape and distance, share of the crop's side.
        label_error: The same of the label and the mean head.
        radius: The fitted distance; 2.7 / radius is how much larger the crop shows the head.
        shape: [K] float64 coefficients.
    """

    label: Tensor
    error: float
    label_error: float
    radius: float
    shape: np.ndarray


def fit_label(
    points: np.ndarray,
    model: PointModel,
    *,
    start: Tensor,
    radius_spread: float = 0.2,
    direction: np.ndarray | None = None,
    steps: int = 25,
) -> LabelFit:
    """Levenberg-Marquardt from ``start``, with Huber's weights.

    Args:
        points: [M, 2], continuous crop coordinates divided by the crop's side.
        model: The head.
        start: Label [25] to start from.
        radius_spread: Standard deviation of the prior on log(r / 2.7); 0 keeps r at 2.7.
        direction: [3] unit vector; if given, the camera stays in that direction from the origin,
            and only roll, look, distance and shape are fitted.
        steps: At most so many.

    Raises:
        ValueError: Points and model differ in number, or a point is not finite.
    """
    points = np.asarray(points, np.float64)
    if points.shape != (len(model.mean), 2) or not np.isfinite(points).all():
        raise ValueError(
            f"expected {len(model.mean)} finite points [M, 2], got {list(points.shape)}"
        )
    state = _start(start, model, direction)
    free = [direction is None, direction is None, True, True, True, radius_spread > 0]
    columns = np.flatnonzero([*free, *[True] * len(model.modes)])
    damping, cost = 1e-3, math.inf
    for _ in range(steps):
        error, jacobian = _residuals(state, points, model)
        size = np.linalg.norm(error, axis=1)
        weight = np.sqrt(np.minimum(1, HUBER / np.maximum(size, 1e-12)))
        error = (error * weight[:, None]).ravel()
        jacobian = (jacobian * weight[:, None, None]).reshape(len(error), -1)
        prior, prior_jacobian = _prior(state, radius_spread)
        error = np.concatenate([error, prior])
        jacobian = np.concatenate([jacobian, prior_jacobian])[:, columns]
        normal, gradient = jacobian.T @ jacobian, jacobian.T @ error
        before = _cost(state, points, model, radius_spread)
        moved = False
        while damping < 1e8 and not moved:
            scaled = normal + damping * np.diag(np.diag(normal) + 1e-9)
            step = np.zeros(6 + len(model.modes))
            step[columns] = -np.linalg.solve(scaled, gradient)
            trial = state.moved(step, about_view=direction is not None)
            cost = _cost(trial, points, model, radius_spread)
            moved = cost < before
            damping = max(damping / 10, 1e-9) if moved else damping * 10
        if not moved:
            break
        state = trial
        if before - cost < 1e-9 * before:
            break
    return _finished(state, points, model)


@dataclass(frozen=True)
class _State:
    head: np.ndarray  # A [3, 3]
    look: np.ndarray  # Q [3, 3]
    log_radius: float  # log(r / 2.7)
    shape: np.ndarray  # [K]

    def moved(self, step: np.ndarray, *, about_view: bool) -> "_State":
        turn = rotation_of(np.array([0.0, 0.0, step[2]]) if about_view else step[:3])
        look = rotation_of(np.array([step[3], step[4], 0.0]))
        return _State(
            turn @ self.head, look @ self.look, self.log_radius + step[5], self.shape + step[6:]
        )

    def points(self, model: PointModel) -> np.ndarray:
        """[M, 3] in the camera's frame."""
        world = model.mean + np.tensordot(self.shape, model.modes, 1)
        offset = np.array([0.0, 0.0, RADIUS * math.exp(self.log_radius)])
        return (world @ self.head.T + offset) @ self.look.T


def _start(start: Tensor, model: PointModel, direction: np.ndarray | None) -> _State:
    cam2world, _ = split_label(start.double().reshape(25))
    rotation = cam2world[:3, :3].T.numpy()
    toward = cam2world[:3, 3].numpy() if direction is None else np.asarray(direction, np.float64)
    # A's last row is minus the direction of the camera; its turn about it keeps the camera upright
    # as it was, which leaves the look Q without roll
    forward = -toward / np.linalg.norm(toward)
    right = rotation[0] - forward * (rotation[0] @ forward)
    right /= np.linalg.norm(right)
    head = np.stack([right, np.cross(forward, right), forward])
    look = rotation @ head.T if direction is None else np.eye(3)
    return _State(head, look, 0.0, np.zeros(len(model.modes)))


def _project(camera: np.ndarray) -> np.ndarray:
    return FOCAL * camera[:, :2] / np.maximum(camera[:, 2:], 0.1) + 0.5


def _residuals(
    state: _State, points: np.ndarray, model: PointModel
) -> tuple[np.ndarray, np.ndarray]:
    """Errors [M, 2] in sigmas and their Jacobian [M, 2, 6 + K] by `_State.moved`'s step."""
    camera = state.points(model)
    x, y, depth_z = camera.T
    zero = np.zeros_like(x)
    scale = FOCAL / np.maximum(depth_z, 0.1)
    by_camera = scale[:, None, None] * np.stack(
        [
            np.stack([zero + 1, zero, -x / depth_z], axis=-1),
            np.stack([zero, zero + 1, -y / depth_z], axis=-1),
        ],
        axis=1,
    )
    radius = RADIUS * math.exp(state.log_radius)
    turned = camera @ state.look - (0, 0, radius)
    by_turn = -state.look @ _cross_matrices(turned)
    by_look = -_cross_matrices(camera)[..., :2]
    by_radius = np.broadcast_to(state.look[:, 2] * radius, camera.shape)[..., None]
    by_shape = np.einsum("ij,kmj->mik", state.look @ state.head, model.modes)
    jacobian = by_camera @ np.concatenate([by_turn, by_look, by_radius, by_shape], axis=-1)
    error = _project(camera) - points
    return error / model.sigma[:, None], jacobian / model.sigma[:, None, None]


def _prior(state: _State, radius_spread: float) -> tuple[np.ndarray, np.ndarray]:
    modes = len(state.shape)
    residual = np.array([state.log_radius / radius_spread if radius_spread else 0.0, *state.shape])
    jacobian = np.zeros((1 + modes, 6 + modes))
    jacobian[0, 5] = 1 / radius_spread if radius_spread else 0.0
    jacobian[1:, 6:] = np.eye(modes)
    return residual, jacobian


def _cost(state: _State, points: np.ndarray, model: PointModel, radius_spread: float) -> float:
    camera = state.points(model)
    if (camera[:, 2] < 0.2).any():
        return math.inf
    size = np.linalg.norm((_project(camera) - points) / model.sigma[:, None], axis=1)
    huber = np.where(size < HUBER, size**2, HUBER * (2 * size - HUBER))
    prior, _ = _prior(state, radius_spread)
    return float(huber.sum() + prior @ prior)


def _finished(state: _State, points: np.ndarray, model: PointModel) -> LabelFit:
    """At radius 2.7, looking where the middle of the head falls onto the middle of the points."""
    free = np.linalg.norm(_project(state.points(model)) - points, axis=1)
    weight = 1 / model.sigma**2 / np.maximum(1, free / model.sigma / HUBER)
    settled = _State(state.head, state.look, 0.0, state.shape)
    for _ in range(3):
        camera = settled.points(model)
        off = (weight[:, None] * (_project(camera) - points)).sum(axis=0) / weight.sum()
        # a small turn about y moves the picture along x by f, one about x moves it along -y
        turn = rotation_of(np.array([off[1], -off[0], 0.0]) / FOCAL)
        settled = _State(state.head, turn @ settled.look, 0.0, state.shape)
    rotation = settled.look @ settled.head
    cam2world = torch.eye(4, dtype=torch.float64)
    cam2world[:3, :3] = torch.from_numpy(rotation.T)
    cam2world[:3, 3] = torch.from_numpy(-settled.head[2] * RADIUS)
    label = make_label(cam2world, intrinsics_from_focal(FOCAL))[0].float()
    rigid = _State(settled.head, settled.look, 0.0, np.zeros_like(state.shape))
    of_label = np.linalg.norm(_project(rigid.points(model)) - points, axis=1)
    return LabelFit(
        label=label,
        error=float(np.sqrt((free**2).mean())),
        label_error=float(np.sqrt((of_label**2).mean())),
        radius=RADIUS * math.exp(state.log_radius),
        shape=state.shape,
    )


def roll_of(label: Tensor) -> float:
    """Roll in degrees of a label [25], as `look_at` has it: of the picture's x axis to level."""
    cam2world, _ = split_label(label.double().reshape(25))
    right, _, forward = cam2world[:3, :3].numpy().T
    level = np.array([-forward[2], 0.0, forward[0]])
    level /= np.linalg.norm(level)
    down = np.cross(forward, level)
    return math.degrees(math.atan2(right @ down, right @ level))


def rotation_of(vector: np.ndarray) -> np.ndarray:
    """Rotation [3, 3] by ``vector`` [3]: its length in radians about its direction."""
    angle = float(np.linalg.norm(vector))
    if angle < 1e-12:
        return np.eye(3)
    cross = _cross_matrices(vector[None] / angle)[0]
    return np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * cross @ cross


def _cross_matrices(vectors: np.ndarray) -> np.ndarray:
    """[M, 3] to [M, 3, 3], with matrix @ v = cross(vector, v)."""
    x, y, z = vectors.T
    zero = np.zeros_like(x)
    rows = [[zero, -z, y], [z, zero, -x], [-y, x, zero]]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=1)


def starting_labels(yaws: tuple[float, ...] = (0.0, -40.0, 40.0)) -> list[Tensor]:
    """Labels [25] to start from where nothing is known."""
    return list(look_at(list(yaws), [0.0] * len(yaws)))
