"""Throughput of an evaluation's feature extraction, stage by stage; command of ``benchmark.py``.

Rows are what an evaluation compares: a view and its photo. Set features are taken of each view and
of each photo once, identity of both pictures of a row, the perceptual distance of the pair. First
the stages run one after the other, each under its own clock; then loading runs in a thread of its
own beside the set net, and the time that the net waits for it tells which of the two is the bound.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from benchmark_yardstick import ConvolutionRate, peak_gib
from torch import Tensor

from warpgan.data.folder import ImageFolder
from warpgan.data.portraits.splits import SplitSettings, write_split
from warpgan.metrics.set_distance import SUBSET_SIZE, SUBSETS, frechet_distance, kernel_distance
from warpgan.perception import build_identity, build_perceptual
from warpgan.perception.set_features import build_set_net

SIZE = 128
CACHED = Path("cache/portraits/train_6000_seed0_128px")
IDENTITY, PERCEPTUAL = "id_faceres", "perc_vgg16hed"


@dataclass
class Stage:
    """What a stage did so far.

    Attributes:
        unit: what it does one after the other.
        done: how many of them.
        seconds: in how long.
    """

    unit: str
    done: int = 0
    seconds: float = 0.0

    def run(self, work: Callable, count: int) -> object:
        """Do `count` more under the clock."""
        start = time.perf_counter()
        result = work()
        self.seconds += time.perf_counter() - start
        self.done += count
        return result


@dataclass(frozen=True)
class Batch:
    """Rows of an evaluation.

    Attributes:
        views: [B, 3, S, S] in [-1, 1].
        photos: the same, of the row's photo.
        view_cameras, photo_cameras: labels [B, 25].
        new: [B] bool, whether no earlier row is of the same photo.
        decoded: files that were read.
    """

    views: Tensor
    photos: Tensor
    view_cameras: Tensor
    photo_cameras: Tensor
    new: Tensor
    decoded: int


@dataclass(frozen=True)
class Rows:
    """The rows of an evaluation of `photos` photos with `views` views each.

    The first items of the folder are the photos, the following ones their views; a folder with
    fewer begins again.
    """

    folder: ImageFolder
    photos: int
    views: int
    batch: int

    def starts(self) -> list[int]:
        """First row of each batch."""
        return list(range(0, self.photos * self.views, self.batch))

    def load(self, start: int) -> Batch:
        """Read and decode the rows of a batch; a photo of several of its rows is read once."""
        rows = range(start, min(start + self.batch, self.photos * self.views))
        owners = [row // self.views for row in rows]
        photos = {owner: self._item(owner) for owner in dict.fromkeys(owners)}
        views = [self._item(self.photos + row) for row in rows]
        return Batch(
            views=torch.stack([view.image for view in views]),
            photos=torch.stack([photos[owner].image for owner in owners]),
            view_cameras=torch.stack([view.camera for view in views]),
            photo_cameras=torch.stack([photos[owner].camera for owner in owners]),
            new=torch.tensor([row % self.views == 0 for row in rows]),
            decoded=len(views) + len(photos),
        )

    def _item(self, index: int):
        return self.folder[index % len(self.folder)]


def register(commands: argparse._SubParsersAction) -> None:
    """Add the command ``metrics``."""
    command = commands.add_parser("metrics", help="loading, feature nets and set distances")
    command.add_argument("--threads", type=int, default=torch.get_num_threads())
    command.add_argument("--images", type=int, default=1000, help="photos")
    command.add_argument("--views", type=int, default=3, help="views of a photo")
    command.add_argument("--batch", type=int, default=16)
    command.add_argument("--folder", type=Path, default=CACHED, help="drawn if it is not there")
    command.add_argument(
        "--inception", action="store_true", help="also FID's Inception, with random weights"
    )
    command.set_defaults(run=benchmark_metrics)


def prefetched(load: Callable[[int], Batch], starts: list[int]) -> Iterator[Batch]:
    """The batches in order, the next one being loaded in another thread meanwhile."""
    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(load, starts[0])
        for start in [*starts[1:], None]:
            batch = following.result()
            if start is not None:
                following = pool.submit(load, start)
            yield batch


@torch.inference_mode()
def benchmark_metrics(arguments: argparse.Namespace) -> None:
    """Time loading, nets and distances, one by one and with loading beside the set net."""
    if min(arguments.images, arguments.views, arguments.batch) < 1 or arguments.images < 2:
        raise SystemExit("--images must be 2 or more, --views and --batch 1 or more")
    with tempfile.TemporaryDirectory() as drawn:
        path = arguments.folder
        if not path.is_dir():
            path = Path(drawn) / "portraits"
            wanted = arguments.images * (1 + arguments.views)
            print(f"{arguments.folder} is not there: drawing {wanted} portraits at {SIZE} px")
            write_split(path, SplitSettings("train", wanted, 0, size=SIZE, depth=False))
        folder = ImageFolder(path, size=SIZE)
        rows = Rows(folder, arguments.images, arguments.views, arguments.batch)
        stages, features = _one_by_one(rows, inception=arguments.inception)
        distances = _distances(features)
        total, waited = _pipelined(rows)
    rate = ConvolutionRate()
    rate()
    print(
        f"{arguments.images} photos, {arguments.views} views each, {SIZE} px, batch "
        f"{arguments.batch}; {torch.get_num_threads()} threads, load {os.getloadavg()[0]:.1f} on "
        f"{os.cpu_count()} processors, convolution {rate() / 1e9:.0f} GFLOP/s, peak memory "
        f"{peak_gib():.2f} GiB\n"
    )
    print("| stage | done | seconds | a second | ms each |\n|---|---|---|---|---|")
    for name, stage in [*stages.items(), *distances.items()]:
        print(
            f"| {name} | {stage.done} {stage.unit} | {stage.seconds:.2f} | "
            f"{stage.done / stage.seconds:.1f} | {1e3 * stage.seconds / stage.done:.2f} |"
        )
    print("\n" + conclusion(stages, distances, total=total, waited=waited))


def conclusion(
    stages: dict[str, Stage], distances: dict[str, Stage], *, total: float, waited: float
) -> str:
    """One line with the measured shares.

    Args:
        stages: with the keys "loading" and "kid_nsfw".
        distances: of the features.
        total: seconds of the run with loading beside the net.
        waited: seconds of it in which the net waited for pictures.
    """
    loading, net = stages["loading"].seconds, stages["kid_nsfw"].seconds
    everything = sum(stage.seconds for stage in (*stages.values(), *distances.values()))
    bound = "the net" if waited < 0.5 * total else "loading"
    return (
        f"Loading is {loading / everything:.1%} of all stages and {loading / (loading + net):.1%} "
        f"of loading and set net; with loading in a thread of its own the net waits "
        f"{waited / total:.1%} of {total:.1f} s: extraction is bound by {bound}."
    )


def _one_by_one(rows: Rows, *, inception: bool) -> tuple[dict[str, Stage], dict]:
    """Every stage on every batch, and the set net's features of views and photos."""
    set_net = build_set_net("kid_nsfw")
    official = build_set_net("fid_inception", pretrained=False) if inception else None
    identity, perceptual = build_identity(IDENTITY), build_perceptual(PERCEPTUAL)
    stages = {
        "loading": Stage("pictures"),
        "kid_nsfw": Stage("pictures"),
        **({"fid_inception, random weights": Stage("pictures")} if inception else {}),
        f"{IDENTITY}, aligned": Stage("pictures"),
        PERCEPTUAL: Stage("pairs"),
    }
    clocks = list(stages.values())
    parts: dict[str, list[np.ndarray]] = {"views": [], "photos": []}
    for warm_up in (True, False):
        for start in rows.starts()[:1] if warm_up else rows.starts():
            batch = clocks[0].run(lambda start=start: rows.load(start), 0)
            count, new = len(batch.views), batch.photos[batch.new]
            clocks[0].done += batch.decoded
            pictures = torch.cat([batch.views, new])
            cameras = torch.cat([batch.view_cameras, batch.photo_cameras])
            pairs = torch.cat([batch.views, batch.photos])
            work = [(lambda p=pictures: set_net(p), len(pictures))]
            if official is not None:
                work.append((lambda p=pictures: official(p), len(pictures)))
            work.append((lambda p=pairs, c=cameras: identity(p, c), len(pairs)))
            work.append((lambda b=batch: perceptual.distance(b.views, b.photos), count))
            results = [
                clock.run(job, size) for clock, (job, size) in zip(clocks[1:], work, strict=True)
            ]
            parts["views"].append(results[0][:count].numpy())
            parts["photos"].append(results[0][count:].numpy())
        if warm_up:
            for stage in clocks:
                stage.done, stage.seconds = 0, 0.0
            parts = {name: [] for name in parts}
    return stages, {name: np.concatenate(values) for name, values in parts.items()}


def _distances(features: dict[str, np.ndarray]) -> dict[str, Stage]:
    """Both set distances between views and photos, once each."""
    views, photos = features["views"], features["photos"]
    frechet, kernel = Stage("distances"), Stage("distances")
    frechet.run(lambda: frechet_distance(views, photos), 1)
    kernel.run(lambda: kernel_distance(views, photos), 1)
    sizes = f"{len(views)} against {len(photos)}"
    subset = f"{SUBSETS} subsets of {min(SUBSET_SIZE, len(views), len(photos))}"
    return {f"frechet, {sizes}": frechet, f"kernel, {sizes}, {subset}": kernel}


def _pipelined(rows: Rows) -> tuple[float, float]:
    """Seconds of the set net on all pictures, and those in which it waited for loading."""
    net = build_set_net("kid_nsfw")
    net(torch.zeros(rows.batch, 3, SIZE, SIZE))
    start, busy = time.perf_counter(), 0.0
    for batch in prefetched(rows.load, rows.starts()):
        ready = time.perf_counter()
        net(torch.cat([batch.views, batch.photos[batch.new]]))
        busy += time.perf_counter() - ready
    total = time.perf_counter() - start
    return total, total - busy
