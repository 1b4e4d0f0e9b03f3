"""Identity: is the person in the image still the person in the photo?

Raw cosines of face recognisers compare only within one net, and the small bundled nets give high
cosines to strangers too. So a result is judged against the photos of *other* people: the AUC of
telling the own photo from theirs, and how often the own photo is the nearest (rank 1).
"""

from dataclasses import dataclass

import numpy as np

from warpgan.metrics.bootstrap import RESAMPLES, Interval, mean_interval, pair_mean_interval


@dataclass(frozen=True)
class Verification:
    """Recognition of ``N`` images against a gallery of photos.

    Attributes:
        own: ``[N]`` cosine of an image with its own photo.
        rank: ``[N]`` int, 1 if no other person's photo is as near as the own.
        auc: the chance that an image is nearer to its own photo than an image, the same or
            another, is to the photo of someone else; ties count half. 0.5 is chance.
        rank_1: the share of images with rank 1.
    """

    own: np.ndarray
    rank: np.ndarray
    auc: Interval
    rank_1: Interval


def verify(
    embeddings: np.ndarray,
    photos: np.ndarray,
    *,
    people: list[str],
    views: list[str] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Verification:
    """Compare images with photos.

    Args:
        embeddings: ``[N, D]`` unit embeddings of the images under test.
        photos: ``[N, D]`` unit embeddings of the true photos, row by row.
        people: ``[N]`` who is on each.
        views: ``[N]`` the view each shows; strangers are compared in the same view only, as
            strangers seen from another side would be told apart by the side. One view if ``None``.
        resamples: number of bootstrap samples, drawn over people.
        seed: of the resampling.

    Raises:
        ValueError: if an image has no stranger in its view to compare with.
    """
    embeddings, photos = (np.asarray(x, np.float64) for x in (embeddings, photos))
    if embeddings.ndim != 2 or embeddings.shape != photos.shape or len(people) != len(photos):
        raise ValueError(
            "identity compares [N, D] embeddings of images and photos with N names, got "
            f"{embeddings.shape}, {photos.shape} and {len(people)} names"
        )
    who = np.asarray(people)
    view = np.asarray(views if views is not None else [""] * len(who))
    stranger = (who[:, None] != who[None]) & (view[:, None] == view[None])
    lonely = np.flatnonzero(~stranger.any(1))
    if len(lonely):
        raise ValueError(
            f"{len(lonely)} images have nobody else in their view to be compared with, such as "
            f"{people[lonely[0]]!r}: identity needs two people or more"
        )
    cosine = embeddings @ photos.T
    own = np.diagonal(cosine).copy()
    rank = 1 + (stranger & (cosine >= own[:, None])).sum(1)
    # Entry (i, j): the share of strangers' scores of image j that lie below the own score of i.
    below = np.empty((len(own), len(own)))
    for j, (scores, other) in enumerate(zip(cosine, stranger, strict=True)):
        scores = np.sort(scores[other])
        left, right = np.searchsorted(scores, own, "left"), np.searchsorted(scores, own, "right")
        below[:, j] = (left + right) / (2 * len(scores))
    return Verification(
        own=own,
        rank=rank,
        auc=pair_mean_interval(below, groups=people, resamples=resamples, seed=seed),
        rank_1=mean_interval(rank == 1, groups=people, resamples=resamples, seed=seed),
    )
