"""A world in which a cache of views takes a second: tiny random nets, 10 pictures, 9 pairs."""

from pathlib import Path

import torch

from tests.warpgan.evaluation_world import build_encoder, build_generator, write_run
from tests.warpgan.training_world import write_images
from warpgan.cli import compose_config
from warpgan.data.folder import ImageFolder
from warpgan.precompute import precompute
from warpgan.view_maker import ViewMaker

SIZE = 32
PHOTOS, PAIRS, SHARD_SIZE = 10, 9, 4


def build_maker(**options) -> ViewMaker:
    generator = build_generator()
    return ViewMaker(generator, build_encoder(generator), **options)


def words(folder: Path, *more: str, name: str = "views") -> list[str]:
    """The command line of a tiny cache; pictures and encoder lie in ``folder`` too."""
    if not (folder / "images").is_dir():
        write_images(folder / "images", count=PHOTOS, size=SIZE)
        write_run(folder / "encoder")
    return [
        "generator=random_tiny",
        "scale=tiny",
        f"data.path={folder / 'images'}",
        f"views.encoder={folder / 'encoder'}",
        "views.photos=null",
        "views.novel_views=3",
        f"views.synthetic_pairs={PAIRS}",
        f"views.shard_size={SHARD_SIZE}",
        "views.batch_size=3",
        "views.device=cpu",
        f"cache_dir={folder / name}",
        *more,
    ]


def make_cache(folder: Path, *more: str, name: str = "views") -> Path:
    torch.set_num_threads(1)
    overrides = words(folder, *more, name=name)
    return precompute(compose_config("precompute", overrides), overrides)


def open_images(folder: Path) -> ImageFolder:
    return ImageFolder(folder / "images", size=SIZE)


def shard_bytes(cache: Path) -> dict[str, bytes]:
    """All shards and indices by name."""
    return {path.name: path.read_bytes() for path in sorted(cache.glob("p*-0*"))}
