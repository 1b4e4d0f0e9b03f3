"""The same table however an evaluation is cut into batches and processes; what each photo took."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.warpgan.evaluation_world import SIZE, build_encoder, build_generator, write_photos
from tests.warpgan.records_world import Copy, Pixels, Stopping, every_file, measure, open_world
from warpgan.cameras import look_at
from warpgan.data.folder import ImageFolder
from warpgan.evaluation import run as loop
from warpgan.evaluation.items import build_items
from warpgan.evaluation.measures import MetricSuite
from warpgan.evaluation.records import Records, file_hashes
from warpgan.evaluation.summary import MethodResult, summarise
from warpgan.methods.inversion import EncoderInversion
from warpgan.methods.true_latent import photo_key
from warpgan.perception import SetFeatureNet


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    write_photos(folder / "photos", people=3)
    return folder


@pytest.fixture(scope="module")
def suite() -> MetricSuite:
    return MetricSuite(identity_nets={"who": Pixels()})


class Pooled(torch.nn.Module):
    """Set features of a few numbers."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.avg_pool2d(images, 16).flatten(1)


@pytest.fixture(scope="module")
def crowd(tmp_path_factory) -> Path:
    """34 pictures of 17 people, of smooth noise."""
    folder = tmp_path_factory.mktemp("crowd")
    random = np.random.default_rng(0)
    labels = []
    for number in range(34):
        name = f"person_{number // 2:02d}/{number % 2}.png"
        (folder / name).parent.mkdir(exist_ok=True)
        picture = Image.fromarray(random.integers(0, 256, (4, 4, 3), dtype=np.uint8))
        picture.resize((SIZE, SIZE), Image.Resampling.BICUBIC).save(folder / name)
        labels.append([name, look_at(30.0 * (number % 2), 0.0)[0].tolist()])
    (folder / "dataset.json").write_text(json.dumps({"labels": labels}))
    return folder


@pytest.mark.parametrize("protocol", ["same_view", "multi_view"])
def test_the_table_is_the_same_for_any_batch_size_and_number_of_processes(
    crowd, tmp_path, protocol
):
    """Generator and encoder have random weights: their batched sums differ in the last digits."""
    generator = build_generator().eval().requires_grad_(False)
    method = EncoderInversion(build_encoder(generator), generator, name="encoder")
    suite = MetricSuite(
        identity_nets={"who": Pixels()}, set_nets=[SetFeatureNet("kid_nsfw", Pooled(), dim=12)]
    )
    dataset = ImageFolder(crowd, size=SIZE)
    items = build_items(dataset.names, dataset.labels, protocol=protocol)

    def evaluated(batch_size: int, processes: int) -> tuple[MethodResult, dict[str, bytes]]:
        folder = tmp_path / f"{batch_size}_{processes}"
        for rank in reversed(range(processes)):  # the first one joins what the others left
            records = measure(
                method, dataset, items, suite, folder, batch_size=batch_size,
                processes=loop.Processes(rank, processes),
            )  # fmt: skip
        return summarise("encoder", records, suite, resamples=200, seed=0), every_file(records)

    (expected, _), *others = [evaluated(size, 1) for size in (1, 7, 32)]
    for found, _ in others:
        assert found.rows == expected.rows
        for part in ("metrics", "by_view", "by_yaw"):
            close(getattr(found, part), getattr(expected, part))
        for group, distances in expected.sets.items():
            for name, distance in distances.items():
                wanted = pytest.approx(distance["value"], rel=1e-5, abs=1e-9)
                assert found.sets[group][name] == {**found.sets[group][name], "value": wanted}
    assert evaluated(7, 2)[1] == others[0][1]


def close(found: Mapping, expected: Mapping) -> None:
    """Tables of intervals agree to 1e-5, whatever their depth."""
    assert list(found) == list(expected)
    for key, wanted in expected.items():
        if isinstance(wanted, Mapping):
            close(found[key], wanted)
        elif wanted is not None:
            numbers = [(one.estimate, one.low, one.high) for one in (found[key], wanted)]
            assert numbers[0] == pytest.approx(numbers[1], rel=1e-5)
            assert (found[key].count, found[key].groups) == (wanted.count, wanted.groups)


def test_no_part_is_read_twice(world, suite, tmp_path, monkeypatch):
    dataset, items = open_world(world, protocol="same_view")
    with pytest.raises(KeyboardInterrupt):
        measure(Stopping(2), dataset, items, suite, tmp_path / "part", batch_size=2)
    read, seen = Records.read, []
    monkeypatch.setattr(
        Records, "read", lambda self, batch, rows: seen.append(batch) or read(self, batch, rows)
    )
    measure(Copy(), dataset, items, suite, tmp_path / "part", batch_size=2)
    assert sorted(seen) == list(range(6))


class Uneven(Copy):
    """Takes as many seconds as photos came before, and cannot do one of them."""

    def __init__(self, bad: str) -> None:
        super().__init__()
        self.bad, self.calls = bad, 0

    def invert(self, photo, camera):
        if any(photo_key(image) == self.bad for image in photo):
            raise MemoryError
        inversion = super().invert(photo, camera)
        inversion.seconds = float(self.calls)
        inversion.steps = [10 * self.calls] * len(photo)
        self.calls += 1
        return inversion


def test_seconds_are_of_what_was_done_without_the_first_batch(world, suite, tmp_path):
    dataset, items = open_world(world, protocol="multi_view")
    bad = photo_key(dataset[items[1].source].image)
    records = measure(Uneven(bad), dataset, items, suite, tmp_path / "m", batch_size=1)
    assert [(cost.invert, cost.failed) for cost in records.read_costs()] == [
        (0.0, False), (0.0, True), (1.0, False)
    ]  # fmt: skip
    warm, cold = (summarise("m", records, suite, resamples=100, seed=0, warm_up=n) for n in (1, 0))
    assert (warm.seconds_invert, cold.seconds_invert) == (1.0, 0.5)
    assert warm.seconds_render == pytest.approx(0.25 / 3)
    assert warm.steps == {"mean": 5.0, "least": 0.0, "most": 10.0}
    assert list(warm.failures.values()) == ["MemoryError: "]
    everything = summarise("m", records, suite, resamples=100, seed=0, warm_up=3)
    assert everything.seconds_invert == 0.5


def test_files_of_one_name_keep_their_own_hashes(tmp_path):
    paths = [tmp_path / folder / "net.bin" for folder in ("a", "b", "c")]
    for path, content in zip(paths, (b"1", b"2", b"1"), strict=True):
        path.parent.mkdir()
        path.write_bytes(content)
    found = file_hashes(paths)
    assert list(found) == ["net.bin", "b/net.bin"] and len(set(found.values())) == 2
    assert file_hashes(paths[:1]) == {"net.bin": found["net.bin"]}
