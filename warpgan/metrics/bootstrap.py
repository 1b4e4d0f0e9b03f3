"""Bootstrap intervals of means, differences and verification AUC.

The unit that is resampled is the *group*, a person: views of one person are not independent, and
an interval over single views would be too narrow. Percentile intervals; the same seed gives the
same bytes.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 10_000
_CHUNK = 500


@dataclass(frozen=True)
class Interval:
    """An estimate with its bootstrap interval.

    Attributes:
        estimate: the statistic on all values.
        low: lower end of the interval.
        high: upper end.
        count: number of values.
        groups: number of resampled units.
        level: coverage, such as 0.95.
    """

    estimate: float
    low: float
    high: float
    count: int
    groups: int
    level: float

    @property
    def excludes_zero(self) -> bool:
        """Whether a difference of zero lies outside."""
        return self.low > 0 or self.high < 0


def mean_interval(
    values: Sequence[float] | np.ndarray,
    *,
    groups: Sequence | None = None,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Interval of the mean.

    Args:
        values: ``[N]`` finite numbers.
        groups: ``[N]`` labels of what is resampled together; each value alone if ``None``.
        level: coverage of the interval.
        resamples: number of bootstrap samples.
        seed: of the resampling.

    Raises:
        ValueError: if there are no values, or one is not finite: a failed image must be scored or
            counted by the caller, never dropped here.
    """
    values = _finite(values, "values")
    owner, count = _owners(groups, len(values))
    sums = np.bincount(owner, values, count)
    sizes = np.bincount(owner, minlength=count)
    return _interval(
        lambda weight: (weight @ sums) / (weight @ sizes),
        estimate=values.mean(),
        count=len(values),
        groups=count,
        level=level,
        resamples=resamples,
        seed=seed,
    )


def paired_interval(
    first: Sequence[float] | np.ndarray,
    second: Sequence[float] | np.ndarray,
    *,
    groups: Sequence | None = None,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Interval of the mean of ``first - second`` measured on the same images, row by row.

    Arguments as in ``mean_interval``.
    """
    first, second = _finite(first, "first values"), _finite(second, "second values")
    if len(first) != len(second):
        raise ValueError(
            f"a paired interval needs the same images on both sides, got {len(first)} and "
            f"{len(second)} values; use unpaired_interval"
        )
    return mean_interval(first - second, groups=groups, level=level, resamples=resamples, seed=seed)


def unpaired_interval(
    first: Sequence[float] | np.ndarray,
    second: Sequence[float] | np.ndarray,
    *,
    first_groups: Sequence | None = None,
    second_groups: Sequence | None = None,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Interval of ``mean(first) - mean(second)`` of two independent sets of images.

    Arguments as in ``mean_interval``; the two sides are resampled independently.
    """
    first, second = _finite(first, "first values"), _finite(second, "second values")
    sides = []
    for values, groups in ((first, first_groups), (second, second_groups)):
        owner, count = _owners(groups, len(values))
        sides.append((np.bincount(owner, values, count), np.bincount(owner, minlength=count)))
    left, right = np.random.SeedSequence(seed).spawn(2)
    draws = [
        np.concatenate([(w @ sums) / (w @ sizes) for w in _weights(len(sums), resamples, source)])
        for (sums, sizes), source in zip(sides, (left, right), strict=True)
    ]
    low, high = _ends(draws[0] - draws[1], level)
    return Interval(
        estimate=float(first.mean() - second.mean()),
        low=low,
        high=high,
        count=len(first) + len(second),
        groups=len(sides[0][0]) + len(sides[1][0]),
        level=level,
    )


def pair_mean_interval(
    values: np.ndarray,
    *,
    groups: Sequence | None = None,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Interval of the mean over all ordered pairs, such as an AUC (a two-sample U statistic).

    Args:
        values: ``[N, N]``, entry (i, j) compares row i with row j of the same N images.
        groups: as in ``mean_interval``; rows and columns are resampled together.
        level: coverage of the interval.
        resamples: number of bootstrap samples.
        seed: of the resampling.
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 2 or values.shape[0] != values.shape[1]:
        raise ValueError(f"expected a square matrix of pairs, got {values.shape}")
    _finite(values.ravel(), "pairs")
    owner, count = _owners(groups, len(values))
    member = np.zeros((count, len(values)))
    member[owner, np.arange(len(values))] = 1
    sums, sizes = member @ values @ member.T, member.sum(1)
    return _interval(
        lambda weight: ((weight @ sums) * weight).sum(1) / (weight @ sizes) ** 2,
        estimate=values.mean(),
        count=len(values),
        groups=count,
        level=level,
        resamples=resamples,
        seed=seed,
    )


def _interval(
    statistic: Callable[[np.ndarray], np.ndarray],
    *,
    estimate: float,
    count: int,
    groups: int,
    level: float,
    resamples: int,
    seed: int,
) -> Interval:
    source = np.random.SeedSequence(seed)
    draws = np.concatenate([statistic(weight) for weight in _weights(groups, resamples, source)])
    low, high = _ends(draws, level)
    return Interval(float(estimate), low, high, count, groups, level)


def _weights(groups: int, resamples: int, source: np.random.SeedSequence) -> Iterator[np.ndarray]:
    """How often each group is drawn, ``[chunk, groups]``, in chunks that bound memory."""
    rng = np.random.default_rng(source)
    for start in range(0, resamples, _CHUNK):
        size = min(_CHUNK, resamples - start)
        yield rng.multinomial(groups, np.full(groups, 1 / groups), size).astype(np.float64)


def _ends(draws: np.ndarray, level: float) -> tuple[float, float]:
    if not 0 < level < 1:
        raise ValueError(f"the level of an interval lies between 0 and 1, got {level}")
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _finite(values: Sequence[float] | np.ndarray, what: str) -> np.ndarray:
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or not len(values):
        raise ValueError(f"expected a list of {what}, got shape {values.shape}")
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        raise ValueError(
            f"{len(bad)} of {len(values)} {what} are not finite (first at {bad[0]}): score or "
            "count failures before asking for an interval"
        )
    return values


def _owners(groups: Sequence | None, count: int) -> tuple[np.ndarray, int]:
    """Group number of each value, and the number of groups."""
    if groups is None:
        return np.arange(count), count
    if len(groups) != count:
        raise ValueError(f"{len(groups)} group labels for {count} values")
    names, owner = np.unique(np.asarray(groups), return_inverse=True)
    return owner, len(names)
