"""Distances between two sets of features: Frechet (as in FID) and kernel (as in KID).

Rows are pictures. Everything is computed in float64 on the CPU. The Frechet distance of few
pictures is biased upwards and depends on their number, so that number belongs beside it; the
kernel distance is unbiased, and may be below 0 where two sets are alike.
"""

from dataclasses import dataclass

import numpy as np

SUBSETS = 100
SUBSET_SIZE = 1000
_ROWS = 2048


@dataclass(frozen=True)
class KernelDistance:
    """A kernel distance averaged over random subsets.

    Attributes:
        value: mean over the subsets.
        std: their standard deviation: how far one subset's value is off, not an error of `value`.
            0 where there is only one subset.
        subsets: how many different subsets were drawn; 1 if both sets are used whole, as all
            draws are then the same.
        subset_size: pictures of each set in a subset.
    """

    value: float
    std: float
    subsets: int
    subset_size: int


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Frechet distance of the Gaussians fitted to two sets (Heusel et al. 2017, section 3).

    ``|mean_a - mean_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2))`` with unbiased covariances. With
    centred rows ``A``, ``B`` divided by ``sqrt(n - 1)``, the last trace is the sum of the singular
    values of ``A B^T``: exact for fewer pictures than features too, where a matrix root of the
    product of covariances is not.

    Args:
        a: ``[N, D]`` features.
        b: ``[M, D]`` features of the other set.

    Returns:
        The distance, 0 or more.

    Raises:
        ValueError: if the sets do not fit each other, hold less than two rows, or are not finite.
    """
    a, b = _checked(a, b)
    difference = a.mean(0) - b.mean(0)
    root_a, root_b = _covariance_root(a), _covariance_root(b)
    shared = np.linalg.svd(root_a @ root_b.T, compute_uv=False).sum()
    distance = difference @ difference + np.square(root_a).sum() + np.square(root_b).sum()
    return max(float(distance - 2 * shared), 0.0)


def kernel_distance(
    a: np.ndarray,
    b: np.ndarray,
    *,
    subsets: int = SUBSETS,
    subset_size: int = SUBSET_SIZE,
    seed: int = 0,
) -> KernelDistance:
    """Unbiased squared MMD over random subsets (Binkowski et al. 2018, section 4).

    The kernel is ``(x . y / D + 1)^3``. Subsets are drawn without replacement and exactly as
    torch-fidelity does with ``rng_seed=seed``, so both give the same number.

    Args:
        a: ``[N, D]`` features.
        b: ``[M, D]`` features of the other set.
        subsets: how many are drawn.
        subset_size: pictures of each set in a subset; N or M if less.
        seed: of the draws.

    Raises:
        ValueError: as ``frechet_distance``, or if a count is too small.
    """
    a, b = _checked(a, b)
    if subsets < 1 or subset_size < 2:
        raise ValueError(
            f"subsets is {subsets} and subset_size {subset_size}; expected at least 1 and 2"
        )
    size = min(subset_size, len(a), len(b))
    if size == len(a) == len(b):
        subsets = 1
    # NumPy promises that this generator's draws never change
    rng = np.random.RandomState(seed)
    chosen_a, chosen_b = np.zeros((subsets, len(a))), np.zeros((subsets, len(b)))
    for index in range(subsets):
        chosen_a[index, rng.choice(len(a), size, replace=False)] = 1
        chosen_b[index, rng.choice(len(b), size, replace=False)] = 1
    values = _squared_mmd(a, b, chosen_a, chosen_b)
    return KernelDistance(float(values.mean()), float(values.std()), subsets, size)


def _checked(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise ValueError(
            f"expected features [N, D] and [M, D] of one net, got {a.shape} and {b.shape}"
        )
    if min(len(a), len(b)) < 2:
        raise ValueError(
            f"a distance of sets needs two pictures a side or more, got {len(a)} and {len(b)}"
        )
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("features are not finite: look at the pictures and at the net's weights")
    return a, b


def _covariance_root(x: np.ndarray) -> np.ndarray:
    """``R`` of at most D rows with ``R^T R`` the unbiased covariance of the rows of ``x``."""
    rows = (x - x.mean(0)) / np.sqrt(len(x) - 1)
    return rows if len(rows) <= rows.shape[1] else np.linalg.qr(rows, mode="r")


def _kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (x @ y.T / x.shape[1] + 1) ** 3


def _squared_mmd(
    a: np.ndarray, b: np.ndarray, chosen_a: np.ndarray, chosen_b: np.ndarray
) -> np.ndarray:
    """Unbiased squared MMD of several subsets at once, ``[S]``.

    Args:
        a: ``[N, D]``.
        b: ``[M, D]``.
        chosen_a: ``[S, N]``, 1 for the rows in a subset, else 0.
        chosen_b: ``[S, M]``.
    """
    size_a, size_b = chosen_a.sum(1), chosen_b.sum(1)
    within_a = _kernel_sums(a, a, chosen_a, chosen_a) - chosen_a @ _self_kernel(a)
    within_b = _kernel_sums(b, b, chosen_b, chosen_b) - chosen_b @ _self_kernel(b)
    between = _kernel_sums(a, b, chosen_a, chosen_b)
    within = within_a / (size_a * (size_a - 1)) + within_b / (size_b * (size_b - 1))
    return within - 2 * between / (size_a * size_b)


def _self_kernel(x: np.ndarray) -> np.ndarray:
    """Kernel of each row with itself."""
    return (np.square(x).sum(1) / x.shape[1] + 1) ** 3


def _kernel_sums(
    x: np.ndarray, y: np.ndarray, chosen_x: np.ndarray, chosen_y: np.ndarray
) -> np.ndarray:
    """Sum of the kernel over the pairs of each subset, ``[S]``, some rows of ``x`` at a time."""
    sums = np.zeros(len(chosen_x))
    for start in range(0, len(x), _ROWS):
        rows = slice(start, start + _ROWS)
        sums += ((chosen_x[:, rows] @ _kernel(x[rows], y)) * chosen_y).sum(1)
    return sums
