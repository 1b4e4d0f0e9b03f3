"""The evaluation benchmark's bookkeeping: which pictures are read, counted and handed on."""

import argparse
import sys
from pathlib import Path

import pytest
import torch

from warpgan.data.folder import ImageFolder
from warpgan.data.portraits.splits import SplitSettings, write_split

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture(scope="module")
def benchmark():
    sys.path.insert(0, str(SCRIPTS))
    try:
        import benchmark_metrics

        yield benchmark_metrics
    finally:
        sys.path.remove(str(SCRIPTS))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("folder") / "portraits"
    write_split(path, SplitSettings("train", 5, 0, size=32, supersample=1, depth=False))
    return path


def test_rows_show_each_view_with_its_photo(benchmark, folder):
    images = ImageFolder(folder, size=32)
    rows = benchmark.Rows(images, photos=2, views=3, batch=4)
    assert rows.starts() == [0, 4]
    first, last = rows.load(0), rows.load(4)
    assert first.decoded == 6 and last.decoded == 3
    assert first.new.tolist() == [True, False, False, True]
    assert last.new.tolist() == [False, False]
    for batch, start in ((first, 0), (last, 4)):
        for index in range(len(batch.views)):
            row = start + index
            assert torch.equal(batch.photos[index], images[row // 3].image)
            assert torch.equal(batch.views[index], images[(2 + row) % 5].image)
            assert torch.equal(batch.view_cameras[index], images[(2 + row) % 5].camera)
            assert torch.equal(batch.photo_cameras[index], images[row // 3].camera)


def test_prefetching_keeps_the_order(benchmark):
    assert list(benchmark.prefetched(lambda start: start * 10, [3, 1, 2])) == [30, 10, 20]


def test_an_error_while_loading_is_not_lost(benchmark):
    def load(start: int) -> int:
        if start == 1:
            raise ValueError("image 1 is damaged")
        return start

    with pytest.raises(ValueError, match="image 1 is damaged"):
        list(benchmark.prefetched(load, [0, 1, 2]))


def test_conclusion_names_the_bound(benchmark):
    stages = {
        "loading": benchmark.Stage("pictures", 10, 1.0),
        "kid_nsfw": benchmark.Stage("pictures", 10, 9.0),
    }
    distances = {"frechet": benchmark.Stage("distances", 1, 10.0)}
    line = benchmark.conclusion(stages, distances, total=9.5, waited=0.19)
    assert "5.0% of all stages" in line and "10.0% of loading and set net" in line
    assert "waits 2.0% of 9.5 s" in line and line.endswith("bound by the net.")
    assert benchmark.conclusion(stages, distances, total=9.5, waited=9.0).endswith("by loading.")


def test_it_runs(benchmark, folder, capsys, monkeypatch):
    """With a stand-in for the set net, whose 299 px would take most of the test."""
    monkeypatch.setattr(benchmark, "SIZE", 32)
    monkeypatch.setattr(benchmark, "build_set_net", lambda name: lambda x: x.flatten(1)[:, :2048])
    benchmark.benchmark_metrics(
        argparse.Namespace(images=2, views=2, batch=3, folder=folder, inception=False)
    )
    out = capsys.readouterr().out
    for row in ("loading | 7", "kid_nsfw | 6", "id_faceres, aligned | 8", "perc_vgg16hed | 4"):
        assert f"| {row} " in out
    assert "frechet, 4 against 2" in out and "100 subsets of 2" in out
    with pytest.raises(SystemExit, match="--images must be 2"):
        benchmark.benchmark_metrics(argparse.Namespace(images=1, views=1, batch=1))
