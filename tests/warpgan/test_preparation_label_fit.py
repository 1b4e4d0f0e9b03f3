"""The label fit: Jacobian, exact recovery, what the freedoms are for."""

import numpy as np
import pytest
import torch

from warpgan.cameras import look_at, project, validate_label, yaw_pitch
from warpgan.preparation import label_fit
from warpgan.preparation.label_fit import PointModel, fit_label, roll_of, rotation_of

RNG = np.random.default_rng(0)
CLOUD = RNG.normal(0, 0.07, (40, 3)) + (0, 0, 0.2)
MODES = RNG.normal(0, 0.006, (3, 40, 3))


def bending() -> PointModel:
    return PointModel(CLOUD, MODES, np.full(40, 0.004))


def seen(world: np.ndarray, label) -> np.ndarray:
    return project(torch.from_numpy(world), label.double()).numpy()


def test_the_jacobian_is_that_of_finite_differences():
    model = bending()
    state = label_fit._start(look_at(25.0, -10.0, roll_deg=8.0)[0], model, None)
    state = state.moved(RNG.normal(0, 0.05, 9), about_view=False)
    points = RNG.uniform(0.3, 0.7, (40, 2))
    base, jacobian = label_fit._residuals(state, points, model)
    for column in range(9):
        step = np.zeros(9)
        step[column] = 1e-6
        moved, _ = label_fit._residuals(state.moved(step, about_view=False), points, model)
        np.testing.assert_allclose((moved - base) / 1e-6, jacobian[..., column], atol=2e-2)


@pytest.mark.parametrize("start_yaw", [0.0, 40.0])
def test_a_label_is_recovered_from_its_own_points(start_yaw):
    for yaw, pitch, roll in ((0, 0, 0), (45, 12, -20), (-60, -15, 10), (20, 20, 30)):
        label = look_at(float(yaw), float(pitch), roll_deg=float(roll))[0]
        fit = fit_label(
            seen(CLOUD, label), PointModel.rigid(CLOUD), start=look_at(start_yaw, 0.0)[0], steps=60
        )
        torch.testing.assert_close(fit.label, label, atol=2e-4, rtol=0)
        assert fit.error < 1e-4 and fit.radius == pytest.approx(2.7, abs=2e-3)
        validate_label(fit.label[None])
        assert roll_of(fit.label) == pytest.approx(roll, abs=0.05)


def test_a_larger_head_does_not_turn_the_camera():
    label = look_at(30.0, 8.0)[0]
    points = seen(CLOUD, label)
    points = (points - 0.5) * 1.12 + 0.5
    fit = fit_label(points, PointModel.rigid(CLOUD), start=look_at(0.0, 0.0)[0], steps=60)
    yaw, pitch = yaw_pitch(fit.label)
    assert yaw.item() == pytest.approx(30, abs=0.6) and pitch.item() == pytest.approx(8, abs=0.6)
    assert 2.7 / fit.radius == pytest.approx(1.12, abs=0.03)
    assert fit.label[[3, 7, 11]].norm().item() == pytest.approx(2.7, abs=1e-4)
    middle = seen(CLOUD, fit.label).mean(0)
    np.testing.assert_allclose(middle, points.mean(0), atol=0.01)


def test_shape_takes_up_what_would_turn_the_camera():
    label = look_at(-25.0, 5.0)[0]
    person = CLOUD + np.tensordot([2.0, -1.5, 1.0], MODES, 1)
    points = seen(person, label)
    start = look_at(0.0, 0.0)[0]
    rigid = fit_label(points, PointModel(CLOUD, MODES[:0], np.full(40, 0.004)), start=start)
    bent = fit_label(points, bending(), start=start, steps=60)
    off = [abs(yaw_pitch(fit.label)[0].item() + 25) for fit in (rigid, bent)]
    assert off[1] < 0.3 and off[1] < off[0]
    assert bent.error < rigid.error / 5
    np.testing.assert_allclose(bent.shape, [2.0, -1.5, 1.0], atol=0.3)


def test_outliers_hardly_move_it():
    label = look_at(20.0, 0.0)[0]
    points = seen(CLOUD, label)
    points[:4] += 0.1
    fit = fit_label(
        points, PointModel.rigid(CLOUD, sigma=0.002), start=look_at(0.0, 0.0)[0], steps=60
    )
    assert abs(yaw_pitch(fit.label)[0].item() - 20) < 1.5


def test_a_given_direction_is_kept():
    label = look_at(20.0, 5.0, roll_deg=15.0)[0]
    direction = look_at(24.0, 3.0)[0, [3, 7, 11]].numpy()
    fit = fit_label(
        seen(CLOUD, label), PointModel.rigid(CLOUD), start=label, direction=direction, steps=60
    )
    yaw, pitch = yaw_pitch(fit.label)
    assert yaw.item() == pytest.approx(24, abs=1e-3) and pitch.item() == pytest.approx(3, abs=1e-3)
    assert roll_of(fit.label) == pytest.approx(15, abs=2)
    assert fit.error < 0.02


def test_roll_of_look_at_is_what_was_asked_for():
    for roll in (-170.0, -30.0, 0.0, 12.0, 90.0):
        assert roll_of(look_at(33.0, -14.0, roll_deg=roll)[0]) == pytest.approx(roll, abs=1e-3)


def test_rotation_of_agrees_with_the_matrix_exponential():
    vector = np.array([0.3, -0.8, 0.5])
    cross = np.array([[0, -0.5, -0.8], [0.5, 0, -0.3], [0.8, 0.3, 0]])
    expected = torch.linalg.matrix_exp(torch.from_numpy(cross)).numpy()
    np.testing.assert_allclose(rotation_of(vector), expected, atol=1e-12)


def test_mistakes():
    with pytest.raises(ValueError, match="expected 40 finite points"):
        fit_label(np.zeros((39, 2)), bending(), start=look_at(0.0, 0.0)[0])
    with pytest.raises(ValueError, match="expected 40 finite points"):
        fit_label(np.full((40, 2), np.nan), bending(), start=look_at(0.0, 0.0)[0])
