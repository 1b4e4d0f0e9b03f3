"""``--refine-camera`` in the tiny random world."""

import json
from pathlib import Path

import pytest
import torch

from tests.warpgan.synthesis_world import write_world
from warpgan.camera_turns import angles_between
from warpgan.synthesize import main


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    return write_world(tmp_path_factory.mktemp("synthesis"), count=1)


def run(world: Path, *more: str) -> int:
    words = [str(world / "photos"), str(world / "out"), "--svinet", str(world / "svinet_run")]
    words += ["--yaw", "20", "--orbit", "0", "--device", "cpu"]
    return main([*words, *more])


def record(world: Path) -> dict:
    (path,) = world.glob("out/*/views.json")
    return json.loads(path.read_text())


def test_refined_folders_and_plain_ones_are_not_mixed_up(world, capsys):
    assert run(world, "--refine-camera", "2") == 0
    found = record(world)
    assert found["refine_camera"]["steps"] == 2
    given, refined = torch.tensor([found["camera"]]), torch.tensor(found["refined"]["cameras"])
    moved = angles_between(given, refined)[0]
    assert moved.tolist() == pytest.approx(found["refined"]["moved_deg"], abs=1e-3)
    assert found["refined"]["loss"] <= found["refined"]["loss_before"]
    assert "refining" in capsys.readouterr().err
    run(world, "--refine-camera", "2")
    assert "done before" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        run(world)
    assert "another refine_camera" in capsys.readouterr().err
    assert run(world, "--overwrite") == 0
    assert "refined" not in record(world)


def test_a_folder_made_before_there_was_a_refinement_is_still_finished(world, capsys):
    run(world, "--overwrite")
    (path,) = world.glob("out/*/views.json")
    old = json.loads(path.read_text())
    del old["refine_camera"]
    path.write_text(json.dumps(old))
    capsys.readouterr()
    run(world)
    assert "done before" in capsys.readouterr().out


def test_a_negative_number_of_steps_is_refused(world, capsys):
    with pytest.raises(SystemExit) as stopped:
        run(world, "--refine-camera", "-3")
    assert stopped.value.code == 2 and "-3 steps" in capsys.readouterr().err
