"""The parity command itself: golden vectors are checked by the tests of each topic."""

from pathlib import Path

import pytest
import torch

from tests import parity
from tests.parity_checks import Comparison, compare


def check_good(folder: Path) -> list[Comparison]:
    value = torch.tensor(float((folder / "ranger.txt").read_text()))
    limit = torch.tensor(float((folder / "ranger_extra.txt").read_text()))
    return [compare("ranger.txt", "value", value, limit, max_tolerance=1e-3)]


def check_two(folder: Path) -> list[Comparison]:
    return [compare("cameras.txt", "shape", torch.ones(2), torch.ones(2), max_tolerance=0)]


CHECKS = {"ranger.txt": check_good, "cameras.txt": check_two, "cameras_more.txt": check_two}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "ranger.txt").write_text("1.0")
    (tmp_path / "ranger_extra.txt").write_text("1.0005")
    (tmp_path / "cameras.txt").write_text("")
    (tmp_path / "cameras_more.txt").write_text("")
    (tmp_path / "README.md").write_text("")
    return tmp_path


def run(folder: Path, *, whole: bool = True, checks=CHECKS) -> tuple[parity.Verdict, list[str]]:
    lines: list[str] = []
    return parity.check_folder(folder, checks, whole=whole, report=lines.append), lines


def test_a_good_folder_passes_and_lists_keys(folder):
    verdict, lines = run(folder)
    assert verdict.ok and not verdict.unread and not verdict.later
    assert any("ranger.txt: 1 keys" in line for line in lines)
    assert any("value" in line and "5.00e-04" in line for line in lines)
    assert sum("cameras" in line and "keys" in line for line in lines) == 1, "runs once"


def test_a_wrong_value_fails(folder):
    (folder / "ranger.txt").write_text("1.1")
    verdict, lines = run(folder)
    assert not verdict.ok and [c.key for c in verdict.failed] == ["value"]
    assert any("FAIL value" in line for line in lines)


@pytest.mark.parametrize("name", ["ranger.txt", "ranger_extra.txt", "cameras_more.txt"])
def test_a_missing_file_fails(folder, name):
    (folder / name).unlink()
    verdict, _ = run(folder)
    assert not verdict.ok and name in verdict.missing


def test_a_vector_in_scope_that_nothing_reads_fails(folder):
    (folder / "eg3d_new.safetensors").write_text("")
    verdict, _ = run(folder)
    assert not verdict.ok and verdict.unread == ["eg3d_new.safetensors"]


def test_a_later_topic_is_listed_only(folder):
    (folder / "future_topic.safetensors").write_text("")
    verdict, _ = run(folder)
    assert verdict.ok and verdict.later == ["future_topic.safetensors"]


def test_a_subset_may_lack_files_but_no_whole_module(folder):
    (folder / "cameras_more.txt").unlink()
    assert run(folder, whole=False)[0].ok
    here = check_two.__module__
    checks = {**CHECKS, "other.txt": lambda folder: []}
    checks["other.txt"].__module__ = "tests.parity_checks.other"
    verdict, _ = run(folder, whole=False, checks=checks)
    assert not verdict.ok and verdict.missing == ["every file of tests.parity_checks.other"]
    assert here not in "".join(verdict.missing)


def test_a_check_that_compares_nothing_fails(folder):
    verdict, _ = run(folder, checks={**CHECKS, "cameras.txt": lambda folder: []})
    assert not verdict.ok and verdict.empty == ["cameras.txt"]


def test_nan_and_shape_differences_are_infinite_errors():
    nan = compare("f", "k", torch.tensor([float("nan")]), torch.zeros(1), max_tolerance=1e9)
    shape = compare("f", "k", torch.zeros(2), torch.zeros(1), max_tolerance=1e9)
    assert not nan.ok and not shape.ok


def test_the_command_fails_on_an_empty_or_absent_folder(tmp_path, capsys):
    assert parity.main([str(tmp_path)]) == 1
    assert "parity does NOT hold" in capsys.readouterr().out
    assert parity.main([str(tmp_path / "nowhere")]) == 1
    assert "no such folder" in capsys.readouterr().err


def test_every_check_names_its_golden_files():
    checks = parity.collect_checks()
    assert checks and all(parity.in_scope(name) for name in checks)


def test_every_topic_has_a_vector_in_the_repository():
    names = {path.name for path in parity.GOLDEN.iterdir()}
    topics = {check.__module__ for check in parity.collect_checks().values()}
    covered = {check.__module__ for name, check in parity.collect_checks().items() if name in names}
    assert topics == covered
    required = {"eg3d", "encoder", "cameras", "ranger", "irse50", "warp", "svinet", "chain"}
    required |= {"inpainting_losses"}
    assert required <= {topic.rsplit(".", 1)[-1] for topic in topics}
