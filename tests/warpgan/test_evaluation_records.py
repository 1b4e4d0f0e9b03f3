"""What an evaluation records of a method, batch by batch, and what interruptions leave of it."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.warpgan.evaluation_world import SIZE, write_photos, write_run
from tests.warpgan.records_world import (
    CopiedPhoto,
    Copy,
    Pixels,
    Stopping,
    every_file,
    measure,
    open_world,
)
from warpgan.config import PathSettings
from warpgan.data.portraits import Portrait
from warpgan.data.portraits.splits import SplitSettings, person_seed, write_split
from warpgan.evaluation import run as loop
from warpgan.evaluation.config import EvaluationData
from warpgan.evaluation.items import build_items
from warpgan.evaluation.measures import Known, MetricSuite
from warpgan.evaluation.photos import open_photos
from warpgan.evaluation.records import Records
from warpgan.evaluation.summary import compare_methods, summarise
from warpgan.evaluation.tables import table
from warpgan.methods.true_latent import photo_key
from warpgan.metrics.pixel import psnr
from warpgan.perception import build_identity, build_perceptual

PEOPLE = 3


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    write_photos(folder / "photos", people=PEOPLE)
    write_run(folder / "runs" / "trained")
    return folder


@pytest.fixture(scope="module")
def suite() -> MetricSuite:
    return MetricSuite(identity_nets={"who": Pixels()})


def test_rows_hold_what_was_measured(world, tmp_path):
    suite = MetricSuite(
        perceptual=[build_perceptual("perc_efficientnet")],
        identity_nets={"id_faceres": build_identity("id_faceres")},
    )
    dataset, items = open_world(world, protocol="same_view")
    records = measure(Copy(), dataset, items, suite, tmp_path / "copy", batch_size=5)
    rows, values = records.read_rows()
    assert [row.name for row in rows] == list(dataset.names)
    assert np.allclose(values["psnr"], 20, atol=1e-4)
    assert (values["id_faceres"] > 0.5).all() and (values["perc_efficientnet"] > 0).all()
    yaws = np.array([row.yaw for row in rows]).reshape(PEOPLE, -1)
    assert np.allclose(yaws, [-50, -20, 4, 31], atol=1e-3)
    features = np.load(records.features_path("id_faceres"))
    assert np.allclose((features[:, 0] * features[:, 1]).sum(-1), values["id_faceres"], atol=1e-5)


def test_several_views_are_compared_with_their_own_targets(world, suite, tmp_path):
    dataset, items = open_world(world, protocol="multi_view")
    assert [dataset.names[item.source] for item in items] == [
        f"person_{i}/2.png" for i in range(PEOPLE)
    ]
    assert items[0].views == ("yaw -60", "yaw -30", "yaw +30")
    one = slice(0, 1)
    short = replace(
        items[1],
        targets=items[1].targets[one],
        views=items[1].views[one],
        cameras=items[1].cameras[one],
    )
    items = [items[0], short, items[2]]
    records = measure(Copy(0.0), dataset, items, suite, tmp_path / "copy", batch_size=2)
    rows, values = records.read_rows()
    assert [row.person for row in rows] == ["person_0"] * 3 + ["person_1"] + ["person_2"] * 3
    for row, value in zip(rows, values["psnr"], strict=True):
        source, target = (dataset[dataset.names.index(n)].image for n in (row.source, row.name))
        assert value == pytest.approx(psnr(source[None], target[None]).item(), rel=1e-6)
    assert "yaw -30" in summarise("copy", records, suite, resamples=100, seed=0).by_view


@pytest.mark.parametrize("damage", ["none", "half a part", "no first part"])
def test_an_interrupted_evaluation_continues_to_the_same_bytes(world, suite, tmp_path, damage):
    dataset, items = open_world(world, protocol="same_view")
    whole = measure(Copy(), dataset, items, suite, tmp_path / "whole", batch_size=4)
    with pytest.raises(KeyboardInterrupt):
        measure(Stopping(2), dataset, items, suite, tmp_path / "part", batch_size=4)
    assert not (tmp_path / "part" / "rows.csv").exists()
    part = tmp_path / "part" / "parts" / "00000.npz"
    if damage == "half a part":
        part.write_bytes(part.read_bytes()[:-200])
    elif damage == "no first part":
        part.unlink()
    seen = []

    class Counting(Copy):
        def invert(self, photo, camera):
            seen.extend(photo_key(image) for image in photo)
            return super().invert(photo, camera)

    again = measure(Counting(), dataset, items, suite, tmp_path / "part", batch_size=4)
    assert len(seen) == len(set(seen)) == {"none": 4}.get(damage, 8)
    assert every_file(again) == every_file(whole)
    assert len(again.read_costs()) == len(items)
    measure(Stopping(0), dataset, items, suite, tmp_path / "part", batch_size=4)


def test_parts_of_another_batch_size_are_not_mixed_in(world, suite, tmp_path):
    dataset, items = open_world(world, protocol="same_view")
    with pytest.raises(KeyboardInterrupt):
        measure(Stopping(2), dataset, items, suite, tmp_path / "part", batch_size=2)
    again = measure(Copy(), dataset, items, suite, tmp_path / "part", batch_size=4)
    whole = measure(Copy(), dataset, items, suite, tmp_path / "whole", batch_size=4)
    assert every_file(again) == every_file(whole)


@pytest.mark.parametrize("protocol", ["same_view", "multi_view"])
def test_two_processes_record_what_one_does(world, suite, tmp_path, protocol):
    dataset, items = open_world(world, protocol=protocol)
    one = measure(Copy(), dataset, items, suite, tmp_path / "one", batch_size=1)
    second, first = loop.Processes(1, 2), loop.Processes(0, 2)
    measure(Copy(), dataset, items, suite, tmp_path / "two", batch_size=1, processes=second)
    assert not (tmp_path / "two" / "rows.csv").exists()
    two = measure(Copy(), dataset, items, suite, tmp_path / "two", batch_size=1, processes=first)
    assert every_file(two) == every_file(one)


def test_a_photo_that_fails_is_counted_and_costs_no_other(world, suite, tmp_path):
    dataset, items = open_world(world, protocol="multi_view")
    bad = photo_key(dataset[items[1].source].image)

    class Fragile(Copy):
        def invert(self, photo, camera):
            if any(photo_key(image) == bad for image in photo):
                raise RuntimeError("no face, \u00e9\n")
            return super().invert(photo, camera)

    records = measure(Fragile(), dataset, items, suite, tmp_path / "fragile", batch_size=3)
    sound = measure(Copy(), dataset, items, suite, tmp_path / "sound", batch_size=1)
    failures = records.read_failures()
    assert failures == {dataset.names[items[1].source]: "RuntimeError: no face, \u00e9\n"}
    rows, values = records.read_rows()
    expected = sound.read_rows()[1]
    for place, row in enumerate(rows):
        if row.person == "person_1":
            target = dataset[dataset.names.index(row.name)].image[None]
            grey = psnr(torch.zeros_like(target), target).item()
            assert values["psnr"][place] == pytest.approx(grey, rel=1e-6)
            assert values["who"][place] == 0
        else:
            assert values["psnr"][place] == pytest.approx(expected["psnr"][place], rel=1e-5)
    with open(records.rows_path, newline="") as file:
        failed = [line["failed"] for line in csv.DictReader(file)]
    assert failed == ["0"] * 3 + ["1"] * 3 + ["0"] * 3
    result = summarise("fragile", records, suite, resamples=100, seed=0)
    assert list(result.failures) == [dataset.names[items[1].source]]
    text = table([result], suite, data="photos")
    assert "failed, scored as grey pictures of identity 0: fragile 1" in text


def test_other_settings_are_not_mixed_in(world, suite, tmp_path):
    records = Records(tmp_path / "m", columns=suite.columns, features=suite.features)
    records.open({"size": 32, "count": 3})
    with pytest.raises(ValueError, match=r"size: 32 -> 64"):
        records.open({"size": 64, "count": 3})
    records.open({"size": 64}, overwrite=True)
    assert json.loads((tmp_path / "m" / "settings.json").read_text()) == {"size": 64}


def test_broken_views_are_named(world, suite, tmp_path):
    dataset, items = open_world(world, protocol="same_view")
    bad = photo_key(dataset[1].image)

    class Broken(Copy):
        def invert(self, photo, camera):
            photo = photo.clone()
            for image in photo:
                if photo_key(image) == bad:
                    image[0, 0, 0] = float("nan")
            return CopiedPhoto(photo)

    records = measure(Broken(), dataset, items, suite, tmp_path / "nan", batch_size=4)
    expected = {"person_0/1.png": "ValueError: values that are not finite"}
    assert records.read_failures() == expected

    class Bottomless(Copy):
        def invert(self, photo, camera):
            inversion = super().invert(photo, camera)
            views = inversion.render(camera[:, None])
            views = replace(views, depth_z=torch.full_like(views.depth_z, float("inf")))
            inversion.render = lambda cameras: views
            return inversion

    records = measure(Bottomless(), dataset, items[:2], suite, tmp_path / "inf", batch_size=2)
    assert set(records.read_failures().values()) == {"ValueError: depth values that are not finite"}
    wrong = Copy()
    wrong.image_size = 64
    with pytest.raises(ValueError, match=r"gave images \(3, 32, 32\), expected \(3, 64, 64\)"):
        measure(wrong, dataset, items, suite, tmp_path / "size", batch_size=4)


def test_summary_is_of_the_rows(world, suite, tmp_path):
    dataset, items = open_world(world, protocol="multi_view")
    shifted, exact = (
        summarise(
            "copy",
            measure(Copy(x), dataset, items, suite, tmp_path / str(x), batch_size=2),
            suite,
            resamples=200,
            seed=0,
            warm_up=2,
        )
        for x in (0.2, 0.0)
    )
    assert shifted.metrics["psnr"].estimate == pytest.approx(shifted.values["psnr"].mean())
    assert shifted.metrics["psnr"].groups == PEOPLE and shifted.metrics["psnr"].count == 9
    assert 0 <= shifted.metrics["who_auc"].estimate <= 1
    assert shifted.seconds_invert == 0.5 / 1 and shifted.seconds_render == pytest.approx(0.25 / 3)
    assert shifted.steps is None and not shifted.failures
    found = compare_methods(exact, shifted, resamples=200, seed=0)
    difference = exact.values["psnr"] - shifted.values["psnr"]
    assert found["psnr"].estimate == pytest.approx(difference.mean())
    fewer = replace(shifted, rows=shifted.rows[:-1])
    with pytest.raises(ValueError, match="different images"):
        compare_methods(exact, fewer, resamples=200, seed=0)


@pytest.fixture(scope="module")
def mead(tmp_path_factory) -> EvaluationData:
    folder = tmp_path_factory.mktemp("mead") / "mead"
    write_split(folder, SplitSettings(split="mead", count=2, seed=3, size=SIZE))
    return EvaluationData(path=str(folder))


def test_depth_is_compared_with_the_truth(mead, suite, tmp_path):
    photos = open_photos(mead, PathSettings(), protocol="multi_view", size=SIZE)
    assert photos.has_depth
    items = build_items(photos.dataset.names, photos.dataset.labels, protocol="multi_view")
    suite = suite.for_data(Known(depth=True))
    name = photos.dataset.names[items[1].targets[2]]

    class Deep(Copy):
        """The truth of each target, .03 too far."""

        def invert(self, photo, camera):
            inversion = CopiedPhoto(photo)

            def render(cameras):
                targets = [target for item in items for target in item.targets]
                depth_z = photos.true_depth(targets)[0].unflatten(0, (2, 4)) + 0.03
                return replace(CopiedPhoto.render(inversion, cameras), depth_z=depth_z)

            inversion.render = render
            return inversion

    records = Records(tmp_path / "deep", columns=suite.columns, features=suite.features)
    records.open({})
    loop.evaluate_method(
        Deep(), photos, items, suite=suite, records=records, batch_size=2, progress=False
    )
    rows, values = records.read_rows()
    assert rows[6].name == name and suite.lower_is_better("depth_mean")
    assert np.allclose(values["depth_mean"], 0.03, atol=1e-6)
    assert np.allclose(values["depth_median"], 0.03, atol=1e-6)
    view = Portrait.sample(person_seed("mead", 3, 1)).render(
        photos.dataset.labels[items[1].targets[2]], size=SIZE
    )
    depth_z, mask = photos.true_depth([items[1].targets[2]])
    assert np.allclose(depth_z[0, 0], view.depth_z, atol=1e-4)
    assert np.allclose(mask[0, 0], view.mask, atol=0.01)


def test_depth_of_another_size_is_not_used(mead):
    photos = open_photos(mead, PathSettings(), protocol="multi_view", size=SIZE // 2)
    assert photos.truth is not None and not photos.has_depth


def test_true_latents_are_found_by_photo(mead):
    photos = open_photos(mead, PathSettings(), protocol="multi_view", size=SIZE // 2)
    latents = photos.latents()
    assert len(latents) == 10
    for i in (0, 7):
        person = Portrait.sample(person_seed("mead", 3, i // 5))
        found = latents[photo_key(photos.dataset[i].image)]
        assert np.array_equal(found.numpy(), person.z)
