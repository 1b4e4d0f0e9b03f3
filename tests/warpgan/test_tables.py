"""Tables from fabricated runs: numbers, absences, names, mistakes."""

import csv
import json
import re
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.warpgan.tables_world import (
    MULTI_VIEW,
    PARTIAL,
    PEOPLE,
    multi_view_rows,
    novel_view_rows,
    tabulated_world,
    write_run,
)
from warpgan import tables
from warpgan.evaluation.group_numbers import difference, mean_of
from warpgan.evaluation.joined import read_blocks
from warpgan.evaluation.metric_words import head_of, is_stand_in, kind_of, meaning_of, scale_of
from warpgan.evaluation.number_text import plain
from warpgan.evaluation.table_one import PAPER_ORDER, label_of


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return tabulated_world(tmp_path_factory.mktemp("runs"))


def markdown_tables(text: str) -> dict[str, list[list[str]]]:
    """Heading to its table's cells."""
    found = {}
    for part in re.split(r"^## ", text, flags=re.M)[1:]:
        heading, *lines = part.splitlines()
        rows = [re.split(r" ?(?<!\\)\| ?", line)[1:-1] for line in lines if line.startswith("|")]
        found[heading] = [row for row in rows if not row[0].startswith("---")]
    return found


def csv_lines(path: Path) -> dict[str, dict[str, str]]:
    with open(path, newline="") as file:
        return {line["method"]: line for line in csv.DictReader(file)}


def test_numbers_are_those_of_an_independent_computation(world):
    mead, _, out = world
    lines = csv_lines(out / "table1.csv")
    shown = markdown_tables((out / "table1.md").read_text())
    block = next(rows for heading, rows in shown.items() if heading.startswith("A:"))
    tex = (out / "table1.tex").read_text()
    for method in ("warpgan", "encoder", "warp_fill"):
        row = next(row for row in block if row[0] == method)
        for size in (30, 60):
            for column, better in MULTI_VIEW.items():
                places = mead.yaw(size)
                expected = mead.interval(method, column, places)
                assert expected.estimate == pytest.approx(
                    mead.values[method][column][places].mean()
                )
                key = f"A, yaw +-{size}: {column}"
                for name, end in (("", "estimate"), (" low", "low"), (" high", "high")):
                    value = getattr(expected, end)
                    assert float(lines[method][key + name]) == pytest.approx(value, rel=1e-8)
                assert lines[method][f"{key} count"] == "10"
                text = f"{plain(expected.estimate)}"
                half = plain((expected.high - expected.low) / 2, 2)
                place = block[0].index(f"yaw +-{size}: {head_of(column)}, {better}")
                assert row[place].strip("*") == f"{text} +- {half}"
                assert rf"{text}}} {{\scriptsize $\pm$ {half}}}" in tex.replace(
                    rf"& {text} {{", rf"& {text}}} {{"
                )


def test_set_distances_come_from_the_summary_and_kernel_distances_are_scaled(world):
    _, _, out = world
    line = csv_lines(out / "table1.csv")["pti"]
    assert float(line["B, all: fd_nsfw"]) == pytest.approx(40 * 1.02)
    assert float(line["B, all: kid_nsfw x1000"]) == pytest.approx(10.2)
    assert line["B, all: kid_nsfw x1000 count"] == "15" and line["B, all: fd_nsfw low"] == ""
    rows = next(
        r for h, r in markdown_tables((out / "table1.md").read_text()).items() if h[0] == "B"
    )
    assert rows[0][1:3] == ["fd_nsfw, lower", "kid_nsfw x1000, lower"]
    pti = next(row for row in rows if row[0] == "pti")
    assert pti[1:3] == ["40.80", "10.20 (sd 2.0)"]


def test_absent_methods_are_not_run_in_their_block_only(world):
    _, _, out = world
    shown = markdown_tables((out / "table1.md").read_text())
    blocks = {heading[0]: {row[0]: row for row in rows} for heading, rows in shown.items()}
    order = [row[0] for row in next(iter(shown.values()))[1:]]
    assert (
        order[:3] == ["sg2_w", "sg2_wplus", "pti"] and order[-1] == "warpgan" and len(order) == 12
    )
    assert set(blocks["A"]["pti"][1:]) == {"not run"} == set(blocks["B"]["encoder"][1:])
    assert "not run" not in blocks["B"]["pti"] + blocks["A"]["encoder"]
    assert blocks["c"]["hfgi3d"][1:] == ["not run"] * 4
    assert blocks["c"]["encoder"][-1] == "4 of 20" and blocks["c"]["warpgan"][-1] == "0 of 35"
    assert blocks["c"]["warpgan"][1:3] == ["0.125", "0.0625"]
    assert blocks["c"]["pti"][1:4] == ["0.250 (r)", "0.0500 (r)", "75.5 (60 to 90)"]
    tex = (out / "table1.tex").read_text()
    assert re.search(r"^PTI & \\multicolumn\{10\}\{c\}\{not run\} & .*40.80", tex, re.M)


def test_bold_is_the_best_with_a_clear_difference_only(world):
    mead, celeba, out = world
    shown = markdown_tables((out / "table1.md").read_text())
    bold = {
        (heading[0], row[0], head)
        for heading, (heads, *rows) in shown.items()
        for row in rows
        for head, cell in zip(heads, row, strict=True)
        if cell.startswith("**")
    }
    assert len(bold) == 6 and {place[:2] for place in bold} == {("A", "warpgan")}
    for size in (30, 60):
        for column in MULTI_VIEW:
            clear = mead.difference("warpgan", "encoder", column, mead.yaw(size))
            assert clear.excludes_zero
    close = celeba.difference("warpgan", "pti", "id_faceres", range(15))
    assert not close.excludes_zero


def test_runs_of_other_cameras_stay_apart(tmp_path):
    """Rows of novel views have the same names whatever list they are seen from."""
    folders = []
    for number, method in enumerate(("encoder", "warpgan", "pti")):
        written = write_run(
            tmp_path / method,
            novel_view_rows(PEOPLE),
            {method: 0.0},
            protocol="novel_view",
            data="faces",
            reference=method,
        )
        path = written.folder / method / "settings.json"
        path.write_text(json.dumps({"method": {}, "cameras": "ab" if number < 2 else "cd"}))
        folders.append(written.folder)
    assert [list(block.methods) for block in read_blocks(folders)] == [
        ["encoder", "warpgan"], ["pti"]
    ]  # fmt: skip


def test_floors_have_names_in_print(tmp_path):
    assert label_of("photo_itself") == "the photo itself" and label_of("pti") == "PTI"
    assert label_of("my_method") == "my_method" and "photo_itself" not in PAPER_ORDER


def test_floors_training_nets_and_the_truth_are_never_bold(tmp_path):
    run = write_run(
        tmp_path / "run",
        multi_view_rows(PEOPLE),
        {"oracle": 0.0, "warpgan": 1.0, "encoder": 2.0},
        protocol="multi_view",
        data="heads",
        training_nets=("id_faceres",),
        oracle={"_target_": "warpgan.methods.build.warp", "true_depth": True},
    )
    text = tables.write_tables([run.folder], tmp_path / "out")
    rows = next(iter(markdown_tables(text).values()))
    bold = {
        (row[0], head)
        for row in rows[1:]
        for head, cell in zip(rows[0], row, strict=True)
        if cell.startswith("**")
    }
    assert {method for method, _ in bold} == {"warpgan"}
    assert {head.split(": ")[1] for _, head in bold} == {"perc_vgg16hed, lower", "PSNR, higher"}
    assert "id_faceres (training net, paper's protocol), higher" in text
    assert "no competitors: oracle." in text


def test_published_figures_have_columns_of_their_own(world):
    _, _, out = world
    figures = ("19.12", "0.7882", "0.2490", "0.3008", "38.15", "64.01", "0.8315", "0.7741")
    for heading, (_, *rows) in markdown_tables((out / "table1.md").read_text()).items():
        cells = {row[0]: row[1:] for row in rows}
        if heading.startswith("published (CelebA-HQ / MEAD, other nets and generator)"):
            assert set(cells.pop("warpgan")) == set(figures)
            assert set(sum(cells.values(), [])) == {""}
        else:
            assert not set(figures) & set(sum(cells.values(), []))
    for method, line in csv_lines(out / "table1.csv").items():
        for key, cell in line.items():
            if key.startswith("published"):
                assert bool(cell) == (method == "warpgan")
            else:
                assert cell not in figures


def test_stand_ins_keep_their_names(world):
    _, _, out = world
    for column, name in (
        ("fd_nsfw", "fd_nsfw"),
        ("kid_nsfw_face", "kid_nsfw_face x1000"),
        ("perc_vgg16hed_registered", "perc_vgg16hed_registered"),
        ("id_faceres_auc", "id_faceres_auc"),
    ):
        assert head_of(column) == name and is_stand_in(column)
    assert head_of("fid_face") == "FID face" and head_of("kid") == "KID x1000"
    assert head_of("lpips_vgg") == "LPIPS (vgg)" and not is_stand_in("lpips_vgg")
    assert kind_of("psnr_occluded") == "other" and kind_of("fd_nsfw_face") == "set"
    assert scale_of("kid_nsfw_face") == 1000 and scale_of("fid") == 1
    assert "not FID" in meaning_of("fd_nsfw") and "not" not in meaning_of("fid").split("; ")[0]
    heads = [
        head
        for heading, rows in markdown_tables((out / "table1.md").read_text()).items()
        for head in rows[0]
        if not heading.startswith("published")
    ]
    assert not [head for head in heads if re.search("FID|LPIPS|ArcFace|KID", head)]
    page = (out / "report.html").read_text()
    ours = page[: page.index("published (CelebA-HQ")]
    assert not re.findall(r"<th[^>]*>[^<]*(?:FID|LPIPS|ArcFace)", ours)


def test_differences_are_paired_and_signed(world):
    mead, _, out = world
    parts = (out / "differences.md").read_text()
    everything = range(20)
    for column in (*MULTI_VIEW, *PARTIAL):
        found = mead.difference("warpgan", "encoder", column, everything)
        text = f"{found.estimate:+#.4g} [{found.low:+#.4g}, {found.high:+#.4g}]"
        assert text in parts
    found = mead.difference("warpgan", "encoder", "psnr_occluded", everything)
    assert found.count == 19 and f"{found.high:+#.4g}] (19 rows)" in parts
    assert "yaw +-60: warpgan minus" in parts and "novel" in parts


def test_summary_and_rows_give_the_same_difference(world, tmp_path):
    mead, _, _ = world
    block = read_blocks([mead.folder])[0]
    computed = difference(block, "encoder", "warpgan", "psnr")
    summary = json.loads((mead.folder / "summary.json").read_text())
    stated = mead.difference("warpgan", "encoder", "psnr", range(20))
    summary["paired_differences"] = {"warpgan - encoder": {"psnr": asdict(stated)}}
    block.runs[0].summary.update(summary)
    turned = difference(block, "encoder", "warpgan", "psnr")
    assert computed.estimate == pytest.approx(turned.estimate)
    assert computed.low == pytest.approx(turned.low) and turned.low == -stated.high
    assert mean_of(block, "encoder", "psnr_occluded", "yaw +-30").count == 9


def test_every_number_is_in_the_long_table(world):
    mead, celeba, out = world
    with open(out / "numbers.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    groups = {(line["block"], line["group"]) for line in lines}
    assert groups == {("A", "all"), ("A", "yaw +-30"), ("A", "yaw +-60"), ("B", "all")}
    assert len(lines) == 3 * 3 * (4 + 2) + 2 * (1 + 2)
    chosen = {
        (line["block"], line["group"], line["method"], line["metric"]): line for line in lines
    }
    line = chosen["A", "yaw +-30", "encoder", "psnr_occluded"]
    expected = mead.interval("encoder", "psnr_occluded", mead.yaw(30))
    assert float(line["value"]) == pytest.approx(expected.estimate, rel=1e-8)
    assert (line["count"], line["people"], line["better"]) == ("9", "5", "higher")
    assert chosen["B", "all", "pti", "kid_nsfw"]["value"] == "0.0102"


def test_the_same_command_gives_the_same_bytes(world, tmp_path):
    mead, celeba, out = world
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    tables.main([str(mead.folder), str(celeba.folder), "--out", str(out)])
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert set(before) == {
        "table1.md",
        "table1.csv",
        "table1.tex",
        "numbers.csv",
        "differences.md",
        "report.html",
    }


def test_latex_is_balanced_and_escapes(world):
    _, _, out = world
    tex = (out / "table1.tex").read_text()
    body = re.sub(r"\\[{}]", "", "\n".join(x for x in tex.splitlines() if not x.startswith("%")))
    body = body.replace("{%\n", "{")
    assert body.count("{") == body.count("}")
    rows = tex[tex.index(r"\midrule") : tex.index(r"\bottomrule")].splitlines()[1:]
    widths = set()
    for row in rows:
        spans = [int(n) - 1 for n in re.findall(r"\\multicolumn\{(\d+)\}", row)]
        widths.add(row.count(" & ") + sum(spans))
    assert len(rows) == 12 and len(widths) == 1
    assert not re.search(r"(?<!\\)[_%#]", body)


def test_methods_choose_rows_and_what_is_left_out_is_said(world, tmp_path):
    mead, _, _ = world
    text = tables.write_tables([mead.folder], tmp_path, methods=["hfgi3d", "encoder"])
    rows = next(iter(markdown_tables(text).values()))
    assert [row[0] for row in rows[1:]] == ["hfgi3d", "encoder"]
    assert "Measured, not shown here: warpgan, warp_fill." in text


def test_runs_of_the_same_rows_are_one_block(world, tmp_path):
    mead, _, _ = world
    later = write_run(
        tmp_path / "later",
        mead.rows,
        {"pti": 0.7},
        protocol="multi_view",
        data="heads",
        better=MULTI_VIEW | PARTIAL,
        partial=tuple(PARTIAL),
        reference="pti",
    )
    blocks = read_blocks([mead.folder, later.folder])
    assert len(blocks) == 1 and list(blocks[0].methods)[-1] == "pti"
    found = difference(blocks[0], "warpgan", "pti", "psnr")
    expected = mead.values["warpgan"]["psnr"].mean() - later.values["pti"]["psnr"].mean()
    assert found.estimate == pytest.approx(expected)
    text = tables.write_tables([mead.folder, later.folder], tmp_path / "out")
    assert "pti: 0.2x the published steps." in text
    fewer = write_run(
        tmp_path / "fewer",
        mead.rows[:8],
        {"warpgan": 0.0},
        protocol="multi_view",
        data="heads",
        better=MULTI_VIEW | PARTIAL,
        partial=tuple(PARTIAL),
    )
    apart = read_blocks([mead.folder, fewer.folder])
    assert [block.title for block in apart] == [
        "heads, multi view (mead)",
        "heads, multi view (fewer)",
    ]


def message(capsys, *words: str) -> str:
    with pytest.raises(SystemExit) as stop:
        tables.main(list(words))
    assert stop.value.code == 2
    return capsys.readouterr().err


def test_mistakes_end_with_a_message(world, tmp_path, capsys):
    mead, celeba, _ = world
    run, out = str(mead.folder), f"--out={tmp_path / 'out'}"
    assert "no such run" in message(capsys, str(tmp_path / "none"), out)
    assert "both called mead" in message(capsys, run, run, out)
    unknown = message(capsys, run, "--reference", "gan", out)
    assert "--reference gan is none" in unknown and "warpgan, encoder, warp_fill" in unknown
    assert "none of --methods was measured" in message(capsys, run, "--methods", "spi", out)
    assert "encoder twice" in message(capsys, run, "--methods", "encoder,encoder", out)
    same = write_run(tmp_path / "twin", mead.rows, {"warpgan": 0.0}, protocol="multi_view",
        data="heads", better=MULTI_VIEW | PARTIAL, partial=tuple(PARTIAL))  # fmt: skip
    assert "warpgan stands in both" in message(capsys, run, str(same.folder), out)
    (same.folder / "warpgan" / "rows.csv").rename(same.folder / "aside")
    assert "is not finished" in message(capsys, str(same.folder), out)
    (same.folder / "summary.json").unlink()
    assert "is not finished" in message(capsys, str(same.folder), out)
    assert not (tmp_path / "out").exists()


def test_records_that_do_not_fit_are_refused(tmp_path, capsys):
    def fresh(name: str) -> Path:
        rows = multi_view_rows(PEOPLE)
        return write_run(
            tmp_path / name, rows, {"warpgan": 0.0}, protocol="multi_view", data="heads"
        ).folder

    def edit(path: Path, old: str, new: str) -> None:
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))

    run = fresh("edited")
    rows = (run / "warpgan" / "rows.csv").read_text().splitlines()
    value = rows[3].split(",")[-1]
    edit(run / "warpgan" / "rows.csv", value, "9.75")
    assert "the mean of id_faceres is" in message(capsys, str(run))
    edit(run / "warpgan" / "rows.csv", "9.75", "nan")
    assert "id_faceres of row 2 is not a number" in message(capsys, str(run))
    run = fresh("cut")
    (run / "warpgan" / "rows.csv").write_text("\n".join(rows[:-1]) + "\n")
    assert "has 19 rows, its summary 20" in message(capsys, str(run))
    run = fresh("old")
    edit(run / "summary.json", '"better"', '"worse"')
    assert "lacks better" in message(capsys, str(run))
    run = fresh("broken")
    (run / "summary.json").write_text("{")
    assert "is not JSON" in message(capsys, str(run))
    run = fresh("escaping")
    edit(run / "summary.json", '"warpgan": {', '"../escaping/warpgan": {')
    assert "cannot be called" in message(capsys, str(run))
    run = fresh("leaving")
    path = run / "warpgan" / "rows.csv"
    path.write_text(path.read_text().replace("0/-60.png", "../../../secret"))
    assert "leads out of" in message(capsys, str(run), f"--out={tmp_path / 'out'}")
    run = fresh("damaged")
    (run / "warpgan" / "views" / "000000.webp").write_bytes(b"RIFF")
    assert "no readable WebP" in message(capsys, str(run), f"--out={tmp_path / 'out'}")
