"""The ablation's table from fabricated records."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from warpgan import ablation_table
from warpgan.evaluation.ablation import ALL, read_ablation, summarise_ablation
from warpgan.evaluation.interval_plot import Mark, Panel, interval_plot
from warpgan.evaluation.items import Row
from warpgan.evaluation.records import Part, Records
from warpgan.metrics.bootstrap import Interval, mean_interval

COLUMNS = ("psnr", "net", "psnr_occluded")
PEOPLE, YAWS = 5, (-60.0, -30.0, 30.0, 60.0)
IMAGES = [
    Row(f"{person}/{yaw}.png", f"{person}/s.png", str(person), f"yaw {yaw:+.0f}", yaw, 0.0)
    for person in range(PEOPLE)
    for yaw in YAWS
]
NO_OCCLUDED = 3


def write_row(folder: Path, name: str, *, seed: int, rows=IMAGES, **settings) -> dict:
    """Records of random numbers; the values written."""
    rng = np.random.default_rng(seed)
    values = {column: rng.normal(20, 2, len(rows)) for column in COLUMNS}
    values["psnr_occluded"][NO_OCCLUDED] = np.nan
    records = Records(folder / name, columns=COLUMNS, features=())
    note = {
        "data": {"name": "a world"},
        "metrics": list(COLUMNS),
        "files": {"f": name},
        "method": name,
    }
    records.open(note | settings)
    nothing = np.zeros(len(rows))
    part = Part(values, {}, nothing, nothing, nothing, [""] * len(rows))
    records.write(0, rows, part)
    records.finish([part], [rows], sources=[[row.source for row in rows]])
    return values


@pytest.fixture
def run(tmp_path) -> Path:
    summary = {
        "better": {"psnr": "higher", "net": "lower", "psnr_occluded": "higher"},
        "partial": ["psnr_occluded"],
        "bootstrap": {"resamples": 300, "seed": 7, "level": 0.95},
    }
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    (tmp_path / "encoder").mkdir()
    return tmp_path


def test_seeds_are_averaged_image_by_image(run):
    write_row(run, "row_A", seed=0)
    c = [write_row(run, f"row_C_seed{n}", seed=n) for n in (1, 2)]
    g = [write_row(run, f"row_G_seed{n}", seed=10 + n) for n in (1, 2)]
    found = summarise_ablation(read_ablation(run), reference="G")
    assert list(found) == [ALL, "yaw +-30", "yaw +-60"]
    metric = found[ALL]["C"]["psnr"]
    people = [image.person for image in IMAGES]
    mean = (c[0]["psnr"] + c[1]["psnr"]) / 2
    difference = mean - (g[0]["psnr"] + g[1]["psnr"]) / 2
    boot = {"resamples": 300, "seed": 7}
    for interval, values in ((metric.mean, mean), (metric.difference, difference)):
        expected = mean_interval(values, groups=people, **boot)
        for end in ("estimate", "low", "high"):
            assert getattr(interval, end) == pytest.approx(getattr(expected, end), abs=1e-6)
        assert interval.groups == PEOPLE
    assert metric.by_seed == pytest.approx([values["psnr"].mean() for values in c])
    assert metric.spread == pytest.approx(abs(metric.by_seed[0] - metric.by_seed[1]))
    untrained = found[ALL]["A"]["psnr"]
    assert untrained.spread is None and len(untrained.by_seed) == 1
    assert found[ALL]["G"]["psnr"].difference is None
    steep = [place for place, image in enumerate(IMAGES) if abs(image.yaw) == 60]
    assert found["yaw +-60"]["C"]["net"].mean.estimate == pytest.approx(
        np.mean([values["net"][steep] for values in c])
    )


def test_images_without_occluded_pixels_are_left_out_and_counted(run):
    for number, name in enumerate(("row_B", "row_G_seed1", "row_G_seed2")):
        write_row(run, name, seed=number)
    found = summarise_ablation(read_ablation(run), reference="G")
    assert found[ALL]["B"]["psnr_occluded"].mean.count == len(IMAGES) - 1
    assert found[ALL]["B"]["psnr_occluded"].difference.count == len(IMAGES) - 1
    ablation_table.main([str(run)])
    text = (run / "table2.md").read_text()
    assert f"({len(IMAGES) - 1} rows)" in text


def test_numbers_for_other_images_are_refused(run):
    write_row(run, "row_B", seed=0)
    write_row(run, "row_G_seed1", seed=1)
    path = run / "row_B" / "rows.csv"
    lines = path.read_text().splitlines()
    lines[-1] = lines[-1].rsplit(",", 1)[0] + ",nan"
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(ValueError, match="rows B and G do not have numbers of psnr_occluded"):
        summarise_ablation(read_ablation(run), reference="G")


def test_command_writes_table_numbers_and_picture(run, capsys):
    names = ["row_A", "row_B", "row_nostyle_seed1", "row_nostyle_seed2", "row_G_seed2"]
    for number, name in enumerate([*names, "row_G_seed10"]):
        write_row(run, name, seed=number)
    ablation_table.main([str(run), "--rows", "A", "B", "G", "nostyle"])
    text = (run / "table2.md").read_text()
    assert text in capsys.readouterr().out
    table = text.split("\n\n")[0].splitlines()
    assert [line.split(" | ")[0] for line in table[2:]] == ["| A", "| B", "| G", "| nostyle"]
    assert table[0].startswith("| a world, all | seeds | psnr, higher | net, lower")
    widths = {line.count("|") for line in table}
    assert len(widths) == 1
    assert "20 images of 5 people" in text and "no symmetry" not in text
    written = json.loads((run / "table2.json").read_text())
    assert written["rows"]["G"]["seeds"] == ["2", "10"] and written["rows"]["A"]["seeds"] == [""]
    numbers = written["groups"]["all"]["nostyle"]["psnr"]
    assert f"{numbers['mean']['estimate']:.4g} +- " in text
    assert f"[{numbers['spread']:.2g}]" in text
    assert Image.open(run / "table2.png").size[0] > 600


def test_mistakes_end_with_a_message(run, tmp_path, capsys):
    def message(*words: str) -> str:
        with pytest.raises(SystemExit) as stop:
            ablation_table.main(list(words))
        assert stop.value.code == 2
        return capsys.readouterr().err

    assert "no row at all" in message(str(run))
    write_row(run, "row_A", seed=0)
    write_row(run, "row_C_seed1", seed=1)
    assert "no row G to compare with; there are A, C" in message(str(run))
    assert "no row D, E; there: A, C" in message(str(run), "--rows", "A", "D", "E")
    write_row(run, "row_G_seed1", seed=2, rows=IMAGES[:-4])
    assert "row_G_seed1 has 16 rows and row_A 20" in message(str(run))
    write_row(run, "row_C", seed=2)
    assert "both row_C and row_C_seedN" in message(str(run))
    assert "finished evaluation" in message(str(tmp_path / "nowhere"))


def test_rows_measured_otherwise_are_refused(run):
    write_row(run, "row_A", seed=0)
    write_row(run, "row_G_seed1", seed=1, protocol="same_view")
    with pytest.raises(ValueError, match="protocol is same_view and None"):
        read_ablation(run)


def test_a_plot_shows_what_excludes_zero():
    def panel(low: float, high: float) -> np.ndarray:
        interval = Interval((low + high) / 2, low, high, 9, 3, 0.95)
        return interval_plot([Panel("m", [Mark("C", interval, (low,))])], title="t")

    red = lambda image: (image == (190, 60, 40)).all(-1).sum()  # noqa: E731
    assert red(panel(0.1, 0.5)) > 20 and red(panel(-0.1, 0.5)) == 0
    with pytest.raises(ValueError, match="at least one panel"):
        interval_plot([], title="t")
