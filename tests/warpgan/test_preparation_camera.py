"""Estimates and their combination, on points of heads with known cameras."""

import numpy as np
import pytest
import torch

from warpgan.cameras import CANONICAL_POINTS, look_at, project, yaw_pitch
from warpgan.preparation.alignment import Alignment
from warpgan.preparation.camera import (
    PITCH_GAIN,
    TOLERANCE_DEG,
    YAW_GAIN,
    DenseEstimate,
    combine,
    estimate_of,
    fit_dense,
    from_dense_points,
    from_direction,
    from_five_points,
    influence,
    label_framing,
)
from warpgan.preparation.dense_head import dense_head
from warpgan.preparation.label_fit import PointModel

SIZE = 512


def seen(world, label) -> np.ndarray:
    return project(torch.as_tensor(world).double(), label.double(), size=SIZE).numpy()


def direction_of(yaw: float, pitch: float) -> np.ndarray:
    return look_at(yaw, pitch)[0, [3, 7, 11]].double().numpy() / 2.7


@pytest.mark.parametrize("heads", ["portraits", "eg3d"])
def test_dense_points_of_the_mean_head_give_its_camera(heads):
    head = dense_head(heads)
    for yaw, pitch, roll in ((0.0, 0.0, 0.0), (50.0, -15.0, 0.0), (-35.0, 10.0, 20.0)):
        label = look_at(yaw, pitch, roll_deg=roll)[0]
        estimate = estimate_of(fit_dense(seen(head.mean, label), head, size=SIZE).label, None)
        assert estimate.yaw == pytest.approx(yaw, abs=0.3)
        assert estimate.pitch == pytest.approx(pitch, abs=0.3)
        assert estimate.roll == pytest.approx(roll, abs=0.3)


def test_five_points_give_the_camera_and_their_error():
    label = look_at(20.0, 5.0, roll_deg=4.0)[0]
    estimate = from_five_points(seen(CANONICAL_POINTS, label), size=SIZE)
    assert estimate.yaw == pytest.approx(20, abs=0.05) and estimate.error_px < 0.05
    assert estimate.roll == pytest.approx(4, abs=0.05)


def estimates_at(head: PointModel, *, regressor: tuple[float, float]):
    label = look_at(20.0, 0.0)[0]
    points = seen(head.mean, label)
    fit = fit_dense(points, head, size=SIZE)
    dense = estimate_of(fit.label, fit.error)
    looked = from_direction(direction_of(*regressor), points, head, start=dense.camera, size=SIZE)
    return {"dense": dense, "regressor": looked}, points


def test_estimates_that_agree_are_averaged_with_high_confidence():
    head = dense_head()
    estimates, points = estimates_at(head, regressor=(22.0, 1.0))
    agreement = combine(estimates, points, head, size=SIZE)
    assert 20.0 < agreement.combined.yaw < 22.0 and 0.0 < agreement.combined.pitch < 1.0
    assert agreement.agreement_deg == pytest.approx(np.hypot(2, 1), abs=0.3)
    assert agreement.confidence > 0.9


def test_a_regressor_far_off_is_overruled_and_costs_confidence():
    head = dense_head()
    estimates, points = estimates_at(head, regressor=(-20.0, 10.0))
    agreement = combine(estimates, points, head, size=SIZE)
    assert agreement.combined.yaw == pytest.approx(20.0, abs=0.4)
    assert agreement.combined.pitch == pytest.approx(0.0, abs=0.4)
    assert agreement.confidence < 0.05


def test_without_dense_points_the_five_stand_in_at_half_the_confidence():
    label = look_at(20.0, 0.0)[0]
    points = seen(CANONICAL_POINTS, label)
    model = PointModel.rigid(CANONICAL_POINTS.numpy())
    five = from_five_points(points, size=SIZE)
    looked = from_direction(direction_of(20, 0), points, model, start=five.camera, size=SIZE)
    estimates = {"five_points": five, "regressor": looked}
    agreement = combine(estimates, points, model, size=SIZE)
    assert agreement.combined.yaw == pytest.approx(20.0, abs=0.2)
    assert agreement.confidence == pytest.approx(0.5, abs=0.01)


def test_influence_falls_smoothly_to_nothing():
    values = [influence(off) for off in np.linspace(0, 3 * TOLERANCE_DEG, 30)]
    assert values[0] == 1 and values[-1] == 0
    assert all(later <= earlier for earlier, later in zip(values, values[1:], strict=False))


def test_a_direction_is_kept_and_roll_comes_from_the_points():
    head = dense_head()
    label = look_at(15.0, 5.0, roll_deg=12.0)[0]
    estimate = from_direction(
        direction_of(18.0, 4.0), seen(head.mean, label), head, start=label, size=SIZE
    )
    yaw, pitch = yaw_pitch(estimate.camera)
    assert yaw.item() == pytest.approx(18, abs=0.01) and pitch.item() == pytest.approx(4, abs=0.01)
    assert estimate.roll == pytest.approx(12, abs=2)


def test_the_labels_framing_puts_a_head_where_the_label_has_it():
    head = dense_head()
    label = look_at(30.0, 5.0)[0]
    points = seen(head.mean, label)
    moved = (points - 256) / 1.2 + 256 + (14.0, -9.0)
    fit = fit_dense(moved, head, size=SIZE)
    dense = DenseEstimate(estimate_of(fit.label, fit.error), fit)
    framing = label_framing(moved, dense, head, size=SIZE, upright=False)
    back = (moved - 256) * framing.scale + 256 + framing.shift
    assert framing.scale == pytest.approx(1.2, abs=0.02)
    assert np.abs(back - points).max() < 3


def test_an_upright_framing_takes_out_the_roll():
    head = dense_head()
    points = seen(head.mean, look_at(30.0, 5.0, roll_deg=18.0)[0])
    fit = fit_dense(points, head, size=SIZE)
    dense = DenseEstimate(estimate_of(fit.label, fit.error), fit)
    framing = label_framing(points, dense, head, size=SIZE, upright=True)
    assert framing.turn_deg == pytest.approx(18, abs=0.3)
    moved = Alignment(np.eye(2, 3), SIZE).reframed(
        scale=framing.scale, shift=framing.shift, turn_deg=framing.turn_deg
    )
    upright = seen(head.mean, look_at(30.0, 5.0)[0])
    assert np.abs(moved.map(points) - upright).max() < 3


def test_a_nod_is_enlarged_by_what_the_mesh_net_misses():
    head = dense_head()
    points = seen(head.mean, look_at(20.0, 6.0)[0])
    estimate = from_dense_points(points, head, size=SIZE).estimate
    assert estimate.pitch == pytest.approx(6 * PITCH_GAIN, abs=0.3)
    assert estimate.yaw == pytest.approx(20 * YAW_GAIN, abs=0.5)
