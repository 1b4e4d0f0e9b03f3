"""Set distances of a method's views to the photos, from the features that were recorded.

Distances of few pictures are biased (Frechet) or noisy (kernel): the counts stand beside every
number. Half the originals against the other half is the floor: what a perfect method would get.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from warpgan.evaluation.items import Row
from warpgan.evaluation.measures import set_metric_names
from warpgan.metrics.set_distance import frechet_distance, kernel_distance

# Frechet distances need a spread in at least this many pictures a side.
FEWEST = 2


def set_distances(
    features: Mapping[str, np.ndarray],
    rows: Sequence[Row],
    places: Sequence[int],
    *,
    seed: int,
) -> dict[str, dict[str, Any]]:
    """Distances between views and references.

    Args:
        features: set net to ``[rows, 2, D]``: of view and reference of each row.
        rows: of the features.
        places: of the rows that count.
        seed: of the kernel distance's subsets.

    Returns:
        Metric to ``value``, ``images``, ``references``, for kernel distances also ``std``,
        ``subsets``, ``subset_size``. A reference that several views share counts once. Empty with
        fewer than two pictures.
    """
    shared = all(rows[place].view.startswith("novel ") for place in places)
    keys = [rows[place].source if shared else rows[place].name for place in places]
    first = list(
        {key: place for key, place in reversed(list(zip(keys, places, strict=True)))}.values()
    )
    return {
        metric: found
        for net, array in features.items()
        for metric, found in _distances(
            net, array[list(places), 0], array[sorted(first), 1], seed=seed
        ).items()
    }


def halves_distances(
    features: Mapping[str, np.ndarray], rows: Sequence[Row], *, seed: int
) -> dict[str, Any]:
    """The floor: one half of the people's photos against the other half.

    Args:
        features: as for ``set_distances``; only references are used.
        rows: of the features.
        seed: of the split, drawn over people.
    """
    people = sorted({row.person for row in rows})
    order = np.random.default_rng([seed, len(people)]).permutation(len(people))
    chosen = {people[place] for place in order[: len(people) // 2]}
    shared = all(row.view.startswith("novel ") for row in rows)
    first = {
        (row.source if shared else row.name): place
        for place, row in reversed(list(enumerate(rows)))
    }
    sides = ([], [])
    for place in sorted(first.values()):
        sides[rows[place].person in chosen].append(place)
    found: dict[str, Any] = {}
    for net, array in features.items():
        found |= _distances(net, array[sides[0], 1], array[sides[1], 1], seed=seed)
    return {"sets": found, "images": len(first), "people": len(people)}


def _distances(net: str, views: np.ndarray, references: np.ndarray, *, seed: int) -> dict[str, Any]:
    if min(len(views), len(references)) < FEWEST:
        return {}
    frechet, kernel = set_metric_names(net)
    counts = {"images": len(views), "references": len(references)}
    distance = kernel_distance(views, references, seed=seed)
    return {
        frechet: {"value": frechet_distance(views, references), **counts},
        kernel: {
            "value": distance.value,
            "std": distance.std,
            "subsets": distance.subsets,
            "subset_size": distance.subset_size,
            **counts,
        },
    }
