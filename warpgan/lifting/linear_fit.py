"""Latent directions from labels by linear regression.

Latents and labels are standardised. Ridge regression from the latents reads an attribute out; its
score on held-out samples says how well a line can know it. Two directions come of it:

* ``mean``: the regression the other way, of the latent on the attributes: how the mean latent moves
  with one of them while those held stay;
* ``normal``: the read-out's own normal, as InterFaceGAN's, made orthogonal to those held.

Both are scaled so that the read-out moves by one standard deviation of the attribute.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

METHODS = ("mean", "normal")
HELD_OUT = 0.2
RIDGE = 1e-3
FEWEST = 50


@dataclass(frozen=True)
class FittedDirection:
    """A direction and how well its attribute is known.

    Attributes:
        delta: ``[D]`` float64, for one standard deviation of the attribute.
        deviation: that standard deviation, in the label's unit.
        r2: of the read-out on held-out samples.
        auc: of the same, for telling labels above the median (of two values: the higher) from the
            rest; NaN if there is but one kind.
        moves: of every attribute's read-out along the direction, in its standard deviations.
    """

    delta: np.ndarray
    deviation: float
    r2: float
    auc: float
    moves: Mapping[str, float]


def fit_directions(
    latents: np.ndarray,
    labels: Mapping[str, np.ndarray],
    *,
    attributes: Sequence[str],
    held: Sequence[str] | None = None,
    method: str = "mean",
    seed: int = 0,
) -> dict[str, FittedDirection]:
    """Find a direction for each attribute.

    Args:
        latents: ``[N, D]``.
        labels: name to ``[N]`` numbers.
        attributes: the names wanted.
        held: names that shall not move; None: of each attribute all others wanted.
        method: one of `METHODS`.
        seed: of the split into fitted and held-out samples.

    Raises:
        ValueError: too few samples, names without labels, a label that does not vary, or one that
            no line can read.
    """
    if method not in METHODS:
        raise ValueError(f"method {method} is not known; choose one of {', '.join(METHODS)}")
    if latents.ndim != 2 or len(latents) < FEWEST:
        raise ValueError(f"latents {list(latents.shape)}: expected [N, D], N at least {FEWEST}")
    names = list(dict.fromkeys([*attributes, *(held or ())]))
    table = np.stack([_label(labels, name, len(latents)) for name in names], 1)
    order = np.random.default_rng(seed).permutation(len(latents))
    cut = round(HELD_OUT * len(latents))
    test, train = np.sort(order[:cut]), np.sort(order[cut:])
    w_mean, w_deviation = latents[train].mean(0), latents[train].std(0)
    w_deviation = np.where(w_deviation > 1e-8 * w_deviation.max(), w_deviation, np.inf)
    means, deviations = table[train].mean(0), table[train].std(0)
    for name, deviation in zip(names, deviations, strict=True):
        if not deviation > 0:
            raise ValueError(f"label {name} is the same for all samples")
    x, y = (latents - w_mean) / w_deviation, (table - means) / deviations
    readouts = _ridge(x[train], y[train])
    predicted = x[test] @ readouts
    # In units of the latents: a step d moves read-out k by normals[:, k] @ d standard deviations.
    normals = readouts / w_deviation[:, None]
    found = {}
    for name in attributes:
        place = names.index(name)
        others = [other for other in (attributes if held is None else held) if other != name]
        beside = [names.index(other) for other in others]
        if method == "mean":
            slopes = np.linalg.lstsq(y[train][:, [place, *beside]], x[train], rcond=None)[0]
            delta = slopes[0] * np.where(np.isfinite(w_deviation), w_deviation, 0)
        else:
            delta = normals[:, place].copy()
            if beside:
                basis = np.linalg.qr(normals[:, beside])[0]
                delta -= basis @ (basis.T @ delta)
        moved = float(normals[:, place] @ delta)
        if not moved > 1e-12:
            raise ValueError(f"no line reads {name} from the latents: there is no direction")
        delta = delta / moved
        residual = ((y[test][:, place] - predicted[:, place]) ** 2).sum()
        spread = ((y[test][:, place] - y[test][:, place].mean()) ** 2).sum()
        found[name] = FittedDirection(
            delta=delta,
            deviation=float(deviations[place]),
            r2=float(1 - residual / spread) if spread > 0 else float("nan"),
            auc=ranking(predicted[:, place], table[test][:, place] > np.median(table[:, place])),
            moves={n: float(m) for n, m in zip(names, delta @ normals, strict=True)},
        )
    return found


def ranking(scores: np.ndarray, positive: np.ndarray) -> float:
    """Area under the ROC curve: how often a positive scores above another; ties count by halves."""
    count, others = int(positive.sum()), int((~positive).sum())
    if not count or not others:
        return float("nan")
    _, places, sizes = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (sizes.cumsum() - (sizes - 1) / 2)[places]
    return float((ranks[positive].sum() - count * (count + 1) / 2) / (count * others))


def _ridge(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """``[D, K]`` coefficients; through the smaller of both Gram matrices."""
    count, size = x.shape
    if size <= count:
        gram = x.T @ x + RIDGE * count * np.eye(size)
        return np.linalg.solve(gram, x.T @ y)
    return x.T @ np.linalg.solve(x @ x.T + RIDGE * count * np.eye(count), y)


def _label(labels: Mapping[str, np.ndarray], name: str, count: int) -> np.ndarray:
    if name not in labels:
        raise ValueError(f"no label {name}; there are {', '.join(sorted(labels))}")
    values = np.asarray(labels[name], np.float64)
    if values.shape != (count,) or not np.isfinite(values).all():
        raise ValueError(f"label {name}: expected {count} finite numbers")
    return values
