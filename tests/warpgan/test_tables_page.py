"""The page of tables: alone, well-formed, harmless; its plots, pictures and ablation."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from tests.warpgan.tables_world import (
    HOSTILE,
    MULTI_VIEW,
    PEOPLE,
    novel_view_rows,
    tabulated_world,
    write_run,
)
from warpgan import tables
from warpgan.evaluation.group_numbers import yaw_curve
from warpgan.evaluation.html_facts import measured
from warpgan.evaluation.html_pictures import pictures
from warpgan.evaluation.joined import read_blocks
from warpgan.evaluation.number_text import plain
from warpgan.evaluation.picture_grid import extreme_rows
from warpgan.evaluation.svg_plot import Bar, Curve, curve_svg, difference_svg
from warpgan.metrics.bootstrap import Interval


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return tabulated_world(tmp_path_factory.mktemp("runs"))


class Page(HTMLParser):
    """Tags, attributes and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags, self.attributes, self.text, self.open = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attrs]
        if tag not in ("meta", "link", "img", "wbr"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_page_stands_alone_and_is_well_formed(world):
    mead, celeba, out = world
    text = (out / "report.html").read_text()
    page = Page(text)
    assert page.open == []
    fetched = ("src", "href", "srcset", "poster", "data", "action")
    for _, name, value in page.attributes:
        if name in fetched:
            assert value.startswith(("data:", "#")), value
    assert not re.search(r"url\(|@import|https?:", text)
    assert "script" not in page.tags and '<html lang="en">' in text
    images = [value for tag, name, value in page.attributes if (tag, name) == ("img", "src")]
    assert all(value.startswith("data:image/webp;base64,") for value in images)
    alts = [value for tag, name, value in page.attributes if (tag, name) == ("img", "alt")]
    assert len(alts) == len(images) and all(alts)
    # Of A: three people with four views, three worst, three best; truth beside; three methods.
    # Of B: three people with three views, three and three; no truth; two methods.
    views = (12 + 6) * (3 + 1) + (9 + 6) * 2
    assert views + 6 <= len(images) <= views + 6 + 12
    assert page.tags.count("svg") == 2 * 4 + 1 + 1
    identifiers = [value for _, name, value in page.attributes if name == "id"]
    assert len(set(identifiers)) == len(identifiers)
    links = [value[1:] for tag, name, value in page.attributes if (tag, name) == ("a", "href")]
    assert links == identifiers


def test_page_says_what_a_reviewer_asks(world):
    mead, celeba, out = world
    words = " ".join(" ".join(Page((out / "report.html").read_text()).text).split())
    assert HOSTILE in words
    assert "<script>" not in (out / "report.html").read_text()
    for said in (
        "N = 20 views of 5 photos, 5 people",
        "N = 15 views of 5 photos, 5 people",
        "ValueError: <no> face",
        "originals, half against half",
        "12.25",
        "median of 20 after 2, batch 1",
        "256 MiB",
        "python -m warpgan.evaluate run.name=mead",
        "python -m warpgan.tables",
        "0123abc",
        "0.2x the published steps",
        "cross_psnr",
        "5.500 ± 0.50",
        "eg3d.safetensors (sha256 abababababab",
        "failed",
        "stand-in",
    ):
        assert said in words, said


def test_plots_stay_inside_and_labels_apart():
    interval = Interval(1.0, 0.9, 1.1, 10, 10, 0.95)
    curves = [Curve(f"m{n}", n, ((-30.0, interval), (30.0, interval))) for n in range(12)]
    svg = curve_svg("t", curves, x_name="yaw")
    width, height = map(int, re.search(r'viewBox="0 0 (\d+) (\d+)"', svg).groups())
    places = [
        (float(x), float(y)) for x, y in re.findall(r'<text x="([-\d.]+)" y="([-\d.]+)"', svg)
    ]
    assert all(0 <= x <= width and 0 <= y <= height for x, y in places)
    labels = sorted(float(y) for y in re.findall(r'y="([\d.]+)"[^>]*>m\d+<', svg))
    assert len(labels) == 12 and min(np.diff(labels)) >= 13.9
    svg = difference_svg("<t>", [Bar("a & b", interval), Bar("c", None)], better="lower")
    assert "a &amp; b" in svg and "no row" in svg and 'aria-label="&lt;t&gt;"' in svg
    assert "#b34a00" in svg and "#0072b2" not in svg


def test_pictures_that_are_absent_or_too_many_leave_their_grid_out(world, tmp_path):
    mead, _, _ = world
    bare = write_run(
        tmp_path / "bare",
        mead.rows,
        {"warpgan": 0.0},
        protocol="multi_view",
        data="heads",
        pictures=False,
    )
    text = pictures(read_blocks([bare.folder]), ["warpgan"], "warpgan")
    assert "<img" not in text and "left out, as" in text and "is absent" in text
    blocks = read_blocks([mead.folder])
    text = pictures(blocks, list(blocks[0].methods), "warpgan", most_bytes=40_000)
    assert "would pass 0 MB" in text and "<img" in text


def test_ablation_joins_the_page(world, tmp_path):
    mead, _, _ = world
    folder = tmp_path / "ablation"
    found = write_run(
        folder,
        mead.rows,
        {"row_A": 2.0, "row_G_seed1": 0.0, "row_G_seed2": 0.1},
        protocol="multi_view",
        data="heads",
        reference="row_A",
        pictures=False,
    )
    for path in folder.glob("row_*"):
        note = {"data": {"name": "heads"}, "metrics": list(MULTI_VIEW)}
        (path / "settings.json").write_text(json.dumps(note))
    tables.write_tables([mead.folder], tmp_path / "out", ablation=folder)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"table2.md", "table2.json", "table2.png", "report.html"} <= names
    page = " ".join(Page((tmp_path / "out" / "report.html").read_text()).text)
    mean = (found.values["row_G_seed1"]["psnr"] + found.values["row_G_seed2"]["psnr"]).mean() / 2
    assert f"{plain(mean)} ± " in page and "the full method" in page


def test_extreme_rows(world):
    mead, _, _ = world
    block = read_blocks([mead.folder])[0]
    best, worst = extreme_rows(block, "encoder", "perc_vgg16hed")
    order = np.argsort(mead.values["encoder"]["perc_vgg16hed"])
    assert best == order[:3].tolist() and worst == order[::-1][:3].tolist()
    best, worst = extreme_rows(block, "encoder", "psnr_occluded", count=50)
    assert len(best) == len(worst) == 9 and not set(best) & set(worst)


def test_curves_against_yaw(world):
    mead, celeba, _ = world
    a, b = read_blocks([mead.folder, celeba.folder])
    curve = yaw_curve(a, "encoder", "psnr")
    assert [point.yaw for point in curve] == [-60, -30, 30, 60]
    steep = [place for place, row in enumerate(mead.rows) if row["yaw"] == -60]
    assert curve[0].interval == mead.interval("encoder", "psnr", steep)
    thirds = yaw_curve(b, "pti", "id_faceres")
    assert [point.interval.count for point in thirds] == [5, 5, 5]
    size = np.sort([abs(row["yaw"]) for row in celeba.rows])
    assert [p.yaw for p in thirds] == pytest.approx([size[i : i + 5].mean() for i in (0, 5, 10)])


def test_files_that_all_methods_share_are_named_beside_a_floor_without_any(tmp_path):
    methods = {"warpgan": 0.0, "encoder": 1.0, "photo_itself": 2.0}
    run = write_run(
        tmp_path / "run", novel_view_rows(PEOPLE), methods, protocol="novel_view", data="faces"
    )
    path = run.folder / "summary.json"
    summary = json.loads(path.read_text())
    summary["methods"]["photo_itself"]["files"] = {}
    path.write_text(json.dumps(summary))
    text = measured(read_blocks([run.folder]))
    assert f"eg3d.safetensors (sha256 {'ab' * 6}\u2026)" in text and "encoder.safe" not in text
