"""Kept features: what is computed, what is read back, and what damage does."""

from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from warpgan.evaluation.feature_cache import FeatureCache

HASH = "0123456789abcdef" * 4


class Counting:
    """A net of four numbers that counts the pictures it sees."""

    def __init__(self) -> None:
        self.seen = 0

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        self.seen += len(images)
        return torch.cat([images.mean((2, 3)), images[:, :1, 0, 0]], dim=1)


def pictures(count: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.fixture
def cache(tmp_path) -> FeatureCache:
    return FeatureCache(tmp_path, net="net", weights_sha256=HASH)


def files_of(cache: FeatureCache) -> list[Path]:
    return sorted(path for path in cache.folder.rglob("*") if path.is_file())


def test_each_picture_is_computed_once(cache):
    net, images = Counting(), pictures(5)
    first = cache.get_or_compute(images[:3], net)
    assert net.seen == 3
    second = cache.get_or_compute(images.flip(0), net)
    assert net.seen == 5
    torch.testing.assert_close(second, Counting()(images.flip(0)))
    assert torch.equal(second.flip(0)[:3], first)
    assert second.dtype == torch.float32
    again = FeatureCache(cache.folder.parents[1], net="net", weights_sha256=HASH)
    assert torch.equal(again.get_or_compute(images, net), second.flip(0))
    assert net.seen == 5
    files = files_of(cache)
    assert len(files) == 5 and all(f.parent.name == f.name[:2] for f in files)


def test_pictures_are_told_apart_by_their_8_bits(cache):
    net, images = Counting(), ((pictures(1) + 1) * 127.5).round() / 127.5 - 1
    cache.get_or_compute(images, net)
    cache.get_or_compute((images + 1e-4).clamp(-1, 1), net)
    assert net.seen == 1
    cache.get_or_compute(torch.where(images > 0.5, images - 2 / 255, images), net)
    assert net.seen == 2


def test_other_weights_and_other_nets_have_their_own(tmp_path):
    net, images = Counting(), pictures(2)
    for name, digest in (("a", HASH), ("b", HASH), ("a", "f" * 64)):
        FeatureCache(tmp_path, net=name, weights_sha256=digest).get_or_compute(images, net)
    assert net.seen == 6


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-3]),
        lambda path: path.write_bytes(b"not numpy at all"),
        lambda path: path.write_bytes(b"PK\x03\x04" + bytes(60)),
        lambda path: np.save(path, np.zeros((1, 4), np.float32)),
        lambda path: np.save(path, np.zeros(4)),
        lambda path: np.save(path, np.full(4, np.nan, np.float32)),
        lambda path: np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True),
    ],
    ids=["empty", "cut", "text", "zip", "shape", "type", "nan", "pickle"],
)
def test_a_damaged_file_is_computed_anew(cache, damage):
    net, images = Counting(), pictures(3)
    before = cache.get_or_compute(images, net)
    damage(files_of(cache)[1])
    assert torch.equal(cache.get_or_compute(images, net), before)
    assert net.seen == 4
    assert torch.equal(cache.get_or_compute(images, net), before)
    assert net.seen == 4


def test_what_is_kept_does_not_depend_on_the_batch(tmp_path):
    """Seen one at a time, whatever the batch: a net that mixes a batch would show it."""

    def mixing(images):
        return images.mean((2, 3)) + images.mean()

    images = pictures(4)
    whole, single = (FeatureCache(tmp_path / name, net="net", weights_sha256=HASH) for name in "ab")
    together = whole.get_or_compute(images, mixing)
    apart = torch.cat([single.get_or_compute(image[None], mixing) for image in images])
    assert torch.equal(together, apart)


def fill(root: Path) -> torch.Tensor:
    cache = FeatureCache(root, net="net", weights_sha256=HASH)
    return torch.stack([cache.get_or_compute(pictures(20), Counting()) for _ in range(3)])


def test_two_processes_may_share_a_folder(tmp_path):
    with ProcessPoolExecutor(2) as pool:
        results = [job.result() for job in [pool.submit(fill, tmp_path) for _ in range(4)]]
    for result in results:
        assert torch.equal(result, results[0])
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 20 and all(path.suffix == ".npy" for path in files)


def test_wrong_use_is_explained(tmp_path, cache):
    with pytest.raises(ValueError, match="expected the SHA-256 of the file of net"):
        FeatureCache(tmp_path, net="net", weights_sha256="abc")
    with pytest.raises(ValueError, match="N of at least 1"):
        cache.get_or_compute(pictures(0), Counting())
