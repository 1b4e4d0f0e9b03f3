"""From a tree of videos with every defect to the table: the harness sees the good people alone."""

import json

import pytest

from tests.warpgan.evaluation_world import SIZE, write_run
from tests.warpgan.mead_world import (
    GOOD,
    run,
    write_defects,
    write_good_people,
    write_points,
)
from warpgan import evaluate as entry
from warpgan.cli import compose_config
from warpgan.data.folder import ImageFolder
from warpgan.evaluation.records import Records
from warpgan.metrics.pixel import psnr


def test_a_tree_of_videos_becomes_the_right_table(tmp_path):
    data, out = tmp_path / "MEAD", tmp_path / "prepared"
    write_good_people(data)
    write_defects(data)
    run(data, out, "--landmarks", write_points(tmp_path / "points.json"), "--size", "64")
    words = [
        f"paths.runs={tmp_path}",
        "run.name=table",
        f"data.path={out}",
        f"evaluate.encoder={write_run(tmp_path / 'trained')}",
        "evaluate.protocol=multi_view",
        "evaluate.resamples=200",
        "evaluate.pictures=0",
        "evaluate.device=cpu",
        "metrics=pixels",
        "method=[photo_itself,encoder]",
    ]
    entry.evaluate(compose_config("evaluate", words), words)
    records = Records(tmp_path / "table" / "photo_itself", columns=["psnr"], features=())
    rows, values = records.read_rows()
    views = ["yaw -60", "yaw -30", "yaw +30", "yaw +60"]
    assert [(row.person, row.view) for row in rows] == [(p, v) for p in GOOD for v in views]
    assert {row.source for row in rows} == {f"{person}/front.png" for person in GOOD}
    dataset = ImageFolder(out, size=SIZE)
    places = {name: place for place, name in enumerate(dataset.names)}
    for row, value in zip(rows, values["psnr"], strict=True):
        photo, target = (dataset[places[name]].image[None] for name in (row.source, row.name))
        assert value == pytest.approx(psnr(photo, target).item(), rel=1e-6)
    summary = json.loads((tmp_path / "table" / "summary.json").read_text())
    found = summary["methods"]["encoder"]
    assert found["people"] == len(GOOD) and found["images"] == 8 and found["failed"] == 0
    assert {group: x["psnr"]["count"] for group, x in found["by_yaw"].items()} == {
        "yaw +-30": 4,
        "yaw +-60": 4,
    }
