import numpy as np
import pytest

from warpgan.metrics.bootstrap import (
    mean_interval,
    pair_mean_interval,
    paired_interval,
    unpaired_interval,
)


def test_interval_of_a_mean_is_close_to_the_normal_one():
    values = np.random.default_rng(0).normal(3.0, 2.0, 400)
    interval = mean_interval(values)
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert interval.estimate == pytest.approx(values.mean())
    assert interval.low == pytest.approx(values.mean() - half, abs=0.02)
    assert interval.high == pytest.approx(values.mean() + half, abs=0.02)
    assert (interval.count, interval.groups) == (400, 400)


def test_interval_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(1)
    hits = 0
    for trial in range(200):
        person = rng.normal(size=30)
        values = np.repeat(person, 4) + 0.2 * rng.normal(size=120)
        interval = mean_interval(
            values, groups=np.repeat(np.arange(30), 4), resamples=500, seed=trial
        )
        hits += interval.low <= 0 <= interval.high
    assert 176 <= hits <= 199


def test_views_of_one_person_are_resampled_together():
    person = np.random.default_rng(2).normal(size=50)
    values, groups = np.repeat(person, 5), np.repeat(np.arange(50), 5)
    together, alone = mean_interval(values, groups=groups), mean_interval(values)
    single = mean_interval(person)
    assert together.low == pytest.approx(single.low) and together.high == pytest.approx(single.high)
    assert (together.high - together.low) > 2 * (alone.high - alone.low)
    assert (together.count, together.groups) == (250, 50)


def test_pairing_removes_what_images_have_in_common():
    rng = np.random.default_rng(3)
    difficulty = rng.normal(size=100) * 5
    first = difficulty + 0.5 + 0.1 * rng.normal(size=100)
    paired = paired_interval(first, difficulty)
    unpaired = unpaired_interval(first, difficulty)
    assert paired.excludes_zero and not unpaired.excludes_zero
    assert paired.estimate == pytest.approx(unpaired.estimate)
    assert paired.high - paired.low < 0.1 < unpaired.high - unpaired.low


def test_unpaired_sides_are_resampled_independently():
    values = np.random.default_rng(4).normal(size=300)
    interval = unpaired_interval(values, values)
    half = 1.96 * values.std() * np.sqrt(2 / 300)
    assert interval.low == pytest.approx(-half, rel=0.1)
    assert interval.high == pytest.approx(half, rel=0.1)


def test_pair_mean_against_a_loop():
    rng = np.random.default_rng(5)
    values, groups = rng.random((12, 12)), np.repeat(np.arange(4), 3)
    interval = pair_mean_interval(values, groups=groups, resamples=300, seed=6)
    weights = np.random.default_rng(np.random.SeedSequence(6)).multinomial(4, [0.25] * 4, 300)
    draws = []
    for weight in weights:
        rows = np.concatenate(
            [np.flatnonzero(groups == g) for g in range(4) for _ in range(weight[g])]
        )
        draws.append(values[np.ix_(rows, rows)].mean())
    assert interval.estimate == pytest.approx(values.mean())
    # 300 resamples are one chunk, so the loop sees the very same draws.
    assert interval.low == pytest.approx(np.quantile(draws, 0.025))
    assert interval.high == pytest.approx(np.quantile(draws, 0.975))


def test_same_seed_same_interval():
    values = np.random.default_rng(7).normal(size=64)
    assert mean_interval(values, seed=1) == mean_interval(values, seed=1)
    assert mean_interval(values, seed=1) != mean_interval(values, seed=2)


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="2 of 3 values are not finite"):
        mean_interval([1.0, np.nan, np.inf])
    with pytest.raises(ValueError, match="list of values"):
        mean_interval([])
    with pytest.raises(ValueError, match="same images on both sides"):
        paired_interval([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="1 group labels for 2"):
        mean_interval([1.0, 2.0], groups=["a"])
    with pytest.raises(ValueError, match="between 0 and 1"):
        mean_interval([1.0, 2.0], level=95)
