"""Set distances: closed forms, the packages that define them, and what "unbiased" means."""

import numpy as np
import pytest
import torch
from pytorch_fid.fid_score import calculate_frechet_distance

from warpgan.metrics.set_distance import KernelDistance, frechet_distance, kernel_distance


def features(count: int, dim: int, seed: int, *, shift: float = 0.0) -> np.ndarray:
    """Correlated, not negative, like a net's."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(99).normal(size=(dim, dim)) / np.sqrt(dim)
    return np.maximum(rng.normal(0.3 + shift, 1, (count, dim)) @ mixing, 0)


def package_frechet(a: np.ndarray, b: np.ndarray) -> float:
    statistics = [x for s in (a, b) for x in (s.mean(0), np.cov(s, rowvar=False))]
    return float(calculate_frechet_distance(*statistics))


def slow_squared_mmd(a: np.ndarray, b: np.ndarray) -> float:
    def mean(x, y, *, same):
        pairs = [
            (float(p @ q) / len(p) + 1) ** 3
            for i, p in enumerate(x)
            for j, q in enumerate(y)
            if not (same and i == j)
        ]
        return sum(pairs) / len(pairs)

    return mean(a, a, same=True) + mean(b, b, same=True) - 2 * mean(a, b, same=False)


@pytest.mark.parametrize(("count", "dim"), [(400, 48), (40, 300), (300, 300)])
def test_a_set_has_no_distance_from_itself(count, dim):
    a = features(count, dim, 1)
    assert 0 <= frechet_distance(a, a) < 1e-6
    assert 0 <= frechet_distance(a, a[::-1]) < 1e-6


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(("count_a", "count_b"), [(500, 400), (500, 64), (65, 400), (64, 64)])
def test_frechet_equals_the_package_s(count_a, count_b):
    a, b = features(count_a, 64, 1), features(count_b, 64, 2, shift=0.4)
    assert frechet_distance(a, b) == pytest.approx(package_frechet(a, b), rel=1e-6)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-10)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_frechet_of_few_pictures_equals_the_package_s_as_far_as_that_is_exact():
    """The package's matrix root of a singular product is good to some 1e-4."""
    a, b = features(30, 120, 1), features(40, 120, 2, shift=0.4)
    assert frechet_distance(a, b) == pytest.approx(package_frechet(a, b), rel=1e-4)


def test_frechet_of_diagonal_gaussians_is_the_closed_form():
    """Columns with no sample correlation, so that sqrt(C_a C_b) is a product of deviations."""
    rng = np.random.default_rng(3)
    base = rng.normal(size=(200, 6))
    base, _ = np.linalg.qr(base - base.mean(0))
    base *= np.sqrt(199)  # unit covariance, mean 0
    deviation_a, deviation_b = rng.uniform(0.5, 2, (2, 6))
    mean_a, mean_b = rng.normal(size=(2, 6))
    a, b = base * deviation_a + mean_a, base[::-1] * deviation_b + mean_b
    expected = np.square(mean_a - mean_b).sum() + np.square(deviation_a - deviation_b).sum()
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-10)


def test_frechet_needs_no_more_pictures_than_two():
    a = np.array([[0.0, 0.0], [2.0, 0.0]])
    b = np.array([[1.0, 0.0], [1.0, 4.0]])
    # means (1, 0), (1, 2); variances 2 along x and 8 along y, nothing in common
    assert frechet_distance(a, b) == pytest.approx(4 + 2 + 8)


def test_kernel_distance_equals_pairs_counted_one_by_one():
    a, b = features(11, 5, 1), features(11, 5, 2, shift=1.0)
    assert kernel_distance(a, b).value == pytest.approx(slow_squared_mmd(a, b), rel=1e-10)
    chosen = np.random.RandomState(4).choice(11, 8, replace=False)
    expected = slow_squared_mmd(a[chosen], b[:8])
    found = kernel_distance(a, b[:8], subsets=1, seed=4)
    assert (found.value, found.subset_size) == (pytest.approx(expected, rel=1e-10), 8)


def test_kernel_distance_does_not_depend_on_how_rows_are_cut(monkeypatch):
    a, b = features(50, 7, 1), features(41, 7, 2, shift=0.1)
    whole = kernel_distance(a, b, subsets=5, subset_size=20, seed=3)
    monkeypatch.setattr("warpgan.metrics.set_distance._ROWS", 9)
    cut = kernel_distance(a, b, subsets=5, subset_size=20, seed=3)
    assert cut.value == pytest.approx(whole.value, rel=1e-10)
    assert cut.std == pytest.approx(whole.std, rel=1e-10)


@pytest.mark.parametrize(("count_a", "count_b", "size"), [(120, 90, 40), (60, 60, 60)])
def test_kernel_distance_equals_torch_fidelity(count_a, count_b, size):
    """Its subsets too: the same seed draws the same."""
    package = pytest.importorskip("torch_fidelity.metric_kid")
    a, b = features(count_a, 64, 1), features(count_b, 64, 2, shift=0.3)
    expected = package.kid_features_to_metric(
        torch.from_numpy(a), torch.from_numpy(b),
        kid_subsets=12, kid_subset_size=size, rng_seed=2020, verbose=False,
    )  # fmt: skip
    found = kernel_distance(a, b, subsets=12, subset_size=size, seed=2020)
    assert found.value == pytest.approx(expected[package.KEY_METRIC_KID_MEAN], rel=1e-4)
    assert found.std == pytest.approx(expected[package.KEY_METRIC_KID_STD], rel=1e-4, abs=1e-12)


def test_subsets_are_as_large_as_the_smaller_set_and_seeded():
    a, b = features(50, 8, 1), features(20, 8, 2)
    found = kernel_distance(a, b, subsets=30, seed=1)
    assert (found.subsets, found.subset_size) == (30, 20)
    assert found == kernel_distance(a, b, subsets=30, seed=1)
    assert found != kernel_distance(a, b, subsets=30, seed=2)
    assert found.std > 0


def test_whole_sets_are_one_subset():
    a, b = features(30, 8, 1), features(30, 8, 2)
    expected = KernelDistance(pytest.approx(slow_squared_mmd(a, b)), 0.0, 1, 30)
    assert kernel_distance(a, b, subset_size=30) == expected
    assert kernel_distance(a, b) == expected


def test_kernel_distance_of_halves_is_zero_on_average_and_grows_with_the_shift():
    """Unbiased: over random halves of one set the mean is 0 within 3 standard errors."""
    rng = np.random.default_rng(5)
    a = features(120, 16, 1)
    values = []
    for _ in range(200):
        order = rng.permutation(len(a))
        values.append(kernel_distance(a[order[:60]], a[order[60:]]).value)
    error = np.std(values) / np.sqrt(len(values))
    assert abs(np.mean(values)) < 3 * error
    assert min(values) < 0
    near, far = (kernel_distance(a, features(120, 16, 2, shift=s)).value for s in (0.2, 0.8))
    assert 3 * error < near < far


def test_frechet_of_halves_is_biased_and_says_more_with_more_pictures():
    halves = [
        frechet_distance(features(count, 32, 1), features(count, 32, 2)) for count in (40, 400)
    ]
    assert halves[0] > 5 * halves[1] > 0


def test_wrong_sets_are_explained():
    a = features(5, 4, 1)
    for distance in (frechet_distance, kernel_distance):
        with pytest.raises(ValueError, match=r"one net, got \(5, 4\) and \(5, 3\)"):
            distance(a, a[:, :3])
        with pytest.raises(ValueError, match="two pictures a side or more, got 5 and 1"):
            distance(a, a[:1])
        with pytest.raises(ValueError, match="not finite"):
            distance(a, np.where(a > a.max() - 1e-9, np.nan, a))
    with pytest.raises(ValueError, match="subset_size 1"):
        kernel_distance(a, a, subset_size=1)
