"""One run folder holds one data set; what its methods share does not outlive it."""

import json
from pathlib import Path

import pytest

from warpgan.evaluation.run_folder import claim_run_folder

DATA, OTHER = {"name": "faces", "images": 3}, {"name": "faces", "images": 4}
SHARED = ("photos/a/0.png.webp", "truth_consistency.csv", "truth_consistency.json")


@pytest.fixture
def folder(tmp_path) -> Path:
    """Methods a and b on three faces."""
    for method in ("a", "b"):
        (tmp_path / method).mkdir()
        (tmp_path / method / "settings.json").write_text(json.dumps({"data": DATA}))
    for name in SHARED:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("of three faces")
    return tmp_path


def shared(folder: Path) -> list[bool]:
    return [(folder / name).is_file() for name in SHARED]


def test_a_new_folder_is_free(tmp_path):
    claim_run_folder(tmp_path / "new", data=DATA, methods=["a"], overwrite=False)


@pytest.mark.parametrize("overwrite", [False, True])
def test_the_same_data_keep_what_is_shared(folder, overwrite):
    claim_run_folder(folder, data=DATA, methods=["a", "c"], overwrite=overwrite)
    assert all(shared(folder))


@pytest.mark.parametrize(("methods", "overwrite"), [(["c"], False), (["a"], True), ([], True)])
def test_other_data_are_refused_beside_what_stays(folder, methods, overwrite):
    with pytest.raises(ValueError, match=r"evaluation of [ab] on other data.*another run\.name"):
        claim_run_folder(folder, data=OTHER, methods=methods, overwrite=overwrite)
    assert all(shared(folder))


def test_other_data_in_place_of_all_clear_what_was_shared(folder):
    claim_run_folder(folder, data=OTHER, methods=["b", "a"], overwrite=True)
    assert not any(shared(folder))
