"""Views for SVINet's training: which photo, camera and pair comes when, and where from.

Two sources have one form: views made on the fly by a `ViewMaker`, and views read from the cache of
``python -m warpgan.precompute``. A data set is asked for a `Draw`, so that everything random about
a sample is a pure function of (seed, step, place in the step's batch); ``finish`` turns a collated
batch into views on the device.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from warpgan.data.folder import ImageFolder
from warpgan.data.view_cache import ViewCache
from warpgan.data.view_pairs import RealViews, SyntheticViews, join_views
from warpgan.pose import PoseDistribution
from warpgan.training.order import StepOrder
from warpgan.training.seeding import fold_seed, sample_generator
from warpgan.view_maker import ViewMaker


@dataclass(frozen=True)
class Draw:
    """One sample of one step.

    Attributes:
        index: Which sample of the data set.
        step: Optimiser step, from 0.
        place: Global place in the step's batch.
    """

    index: int
    step: int
    place: int


class DrawOrder(Sampler[list[Draw]]):
    """The micro-batches of a `StepOrder`, with step and place beside every index."""

    def __init__(self, order: StepOrder) -> None:
        """Take the order."""
        self.order = order

    def __len__(self) -> int:
        """Number of micro-batches."""
        return len(self.order)

    def __iter__(self) -> Iterator[list[Draw]]:
        """Yield lists of draws."""
        order = self.order
        for number, indices in enumerate(order):
            step, micro_step = divmod(number, order.accumulation)
            first = order.first_index(micro_step)
            yield [
                Draw(index, order.start + step, first + place)
                for place, index in enumerate(indices)
            ]


@dataclass(frozen=True)
class ViewSource:
    """A data set of draws and the last step to views.

    Attributes:
        dataset: Indexed by `Draw`.
        collate: List of its items to a batch.
        finish: A batch and the device to views on that device.
        count: Number of samples.
    """

    dataset: Dataset
    collate: Callable[[list[Any]], Any]
    finish: Callable[[Any, torch.device], RealViews | SyntheticViews]
    count: int

    def stream(self, order: StepOrder, *, workers: int, pin_memory: bool) -> Iterator[Any]:
        """Collated batches of an order, one a micro-batch."""
        return iter(
            DataLoader(
                self.dataset, batch_sampler=DrawOrder(order), collate_fn=self.collate,
                num_workers=workers, pin_memory=pin_memory,
            )
        )  # fmt: skip


@dataclass(frozen=True)
class PhotoDraw:
    """A photo with the novel camera drawn for it; shapes without a batch axis."""

    photo: Tensor
    camera: Tensor
    novel_camera: Tensor
    name: str


class PhotoDraws(Dataset):
    """Photos, each with a novel camera drawn from a distribution."""

    def __init__(
        self, images: ImageFolder, poses: PoseDistribution, *, seed: int, mirror: bool
    ) -> None:
        """Take photos and cameras.

        Args:
            images: The training photos.
            poses: Where novel cameras come from.
            seed: The run's seed.
            mirror: Mirror every other camera, by chance.
        """
        self.images = images
        self.poses = poses
        self.seed = seed
        self.mirror = mirror

    def __getitem__(self, draw: Draw) -> PhotoDraw:
        """The photo and camera of a draw."""
        sample = self.images[draw.index]
        generator = sample_generator(self.seed, draw.step, index=draw.place, purpose="novel camera")
        novel = self.poses.sample(1, generator, mirror=self.mirror)[0]
        return PhotoDraw(sample.image, sample.camera, novel, sample.name)


class SeedDraws(Dataset):
    """Seeds of synthetic pairs: pair ``i`` of a run is always the same pair."""

    def __init__(self, seed: int) -> None:
        """Take the run's seed."""
        self.seed = seed

    def __getitem__(self, draw: Draw) -> int:
        """The seed of a pair."""
        return fold_seed(self.seed, "synthetic pair", draw.index)


class CachedDraws(Dataset):
    """Samples of a cache as batches of one."""

    def __init__(self, cache: ViewCache, *, seed: int) -> None:
        """Take the cache and the seed that chooses among a photo's stored novel views."""
        self.cache = cache
        self.seed = seed

    def __getitem__(self, draw: Draw) -> RealViews | SyntheticViews:
        """The sample of a draw; of a photo, one of its novel views."""
        if self.cache.novel_views is None:
            return self.cache.sample(draw.index)
        generator = sample_generator(self.seed, draw.step, index=draw.place, purpose="novel view")
        novel = int(torch.randint(self.cache.novel_views, (1,), generator=generator))
        return self.cache.sample(draw.index, novel=novel)


def photos_on_the_fly(
    images: ImageFolder, poses: PoseDistribution, maker: ViewMaker, *, seed: int, mirror: bool
) -> ViewSource:
    """Photos whose views are made when they are needed."""

    def finish(draws: Sequence[PhotoDraw], device: torch.device) -> RealViews:
        photo, camera, novel = (
            torch.stack([getattr(draw, name) for draw in draws]).to(device, non_blocking=True)
            for name in ("photo", "camera", "novel_camera")
        )
        return maker.real(photo, camera, novel_camera=novel, names=[d.name for d in draws])

    dataset = PhotoDraws(images, poses, seed=seed, mirror=mirror)
    return ViewSource(dataset, list, finish, len(images))


def pairs_on_the_fly(maker: ViewMaker, *, count: int, seed: int) -> ViewSource:
    """``count`` synthetic pairs, made when they are needed."""

    def finish(seeds: Sequence[int], device: torch.device) -> SyntheticViews:
        return maker.synthetic(seeds)

    return ViewSource(SeedDraws(seed), list, finish, count)


def from_cache(cache: ViewCache, *, seed: int) -> ViewSource:
    """Samples of a cache, photos or pairs."""

    def finish(views: RealViews | SyntheticViews, device: torch.device):
        return views.to(device)

    return ViewSource(CachedDraws(cache, seed=seed), join_views, finish, len(cache))
