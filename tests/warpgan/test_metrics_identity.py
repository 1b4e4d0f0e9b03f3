import numpy as np
import pytest

from warpgan.metrics.identity import verify


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def photos_and_copies(noise: float, *, people: int = 40, seed: int = 0):
    rng = np.random.default_rng(seed)
    photos = unit(rng.normal(size=(people, 16)))
    copies = unit(photos + noise * rng.normal(size=photos.shape))
    return photos, copies, [f"person {i}" for i in range(people)]


def test_auc_and_rank_against_a_loop():
    photos, copies, people = photos_and_copies(0.6)
    result = verify(copies, photos, people=people, resamples=200)
    cosine = copies @ photos.T
    own = [cosine[i, i] for i in range(40)]
    others = [cosine[i, j] for i in range(40) for j in range(40) if i != j]
    wins = np.mean([(a > b) + 0.5 * (a == b) for a in own for b in others])
    ranks = [1 + sum(cosine[i, j] >= own[i] for j in range(40) if j != i) for i in range(40)]
    assert result.auc.estimate == pytest.approx(wins, abs=1e-12)
    assert result.rank.tolist() == ranks
    assert result.rank_1.estimate == pytest.approx(np.mean(np.array(ranks) == 1))
    assert result.auc.low <= result.auc.estimate <= result.auc.high


def test_perfect_and_chance():
    photos, _, people = photos_and_copies(0.0)
    perfect = verify(photos, photos, people=people, resamples=200)
    assert perfect.auc.estimate == 1.0 and perfect.rank_1.estimate == 1.0
    same_face = np.tile(photos[:1], (40, 1))
    chance = verify(same_face, photos, people=people, resamples=200)
    assert chance.auc.estimate == pytest.approx(0.5, abs=1e-12)
    assert chance.rank_1.estimate == pytest.approx(1 / 40)


def test_strangers_are_compared_within_a_view():
    rng = np.random.default_rng(1)
    side = np.eye(16)[0] * 4
    front, turned = rng.normal(size=(2, 20, 16))
    photos = unit(np.concatenate([front, turned + side]))
    copies = unit(rng.normal(size=photos.shape) + np.repeat([np.zeros(16), side], 20, 0))
    people = [f"p{i}" for i in range(20)] * 2
    views = ["front"] * 20 + ["side"] * 20
    within = verify(copies, photos, people=people, views=views, resamples=100)
    across = verify(copies, photos, people=people, resamples=100)
    assert across.auc.estimate > within.auc.estimate + 0.05


def test_other_photos_of_the_same_person_are_no_strangers():
    photos, copies, people = photos_and_copies(0.1, people=10)
    twice = verify(
        np.concatenate([copies, copies]),
        np.concatenate([photos, photos]),
        people=people * 2,
        resamples=100,
    )
    assert twice.rank_1.estimate == 1.0
    assert twice.auc.groups == 10 and twice.auc.count == 20


def test_one_person_cannot_be_verified():
    with pytest.raises(ValueError, match="two people or more"):
        verify(np.eye(2), np.eye(2), people=["a", "a"])
