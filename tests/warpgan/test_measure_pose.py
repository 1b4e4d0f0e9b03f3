"""The pose measurement: a perfect reader has no error, and the tables say what the lines say."""

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from warpgan.cameras import look_at
from warpgan.preparation.alignment import Alignment
from warpgan.preparation.camera import estimate_of
from warpgan.preparation.face_reader import PreparedFace

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture(scope="module")
def tool():
    sys.path.insert(0, str(SCRIPTS))
    yield importlib.import_module("measure_pose")
    sys.path.remove(str(SCRIPTS))


def perfect(scene, canvas: int, crop: int, *, upright: bool) -> PreparedFace:
    """The canvas's window that the label with EG3D's intrinsics describes, by its own algebra."""
    zoom = scene.camera[16].item() / 4.2647
    centre = scene.camera[[18, 21]].double().numpy()
    scale = crop / canvas / zoom
    to_crop = np.eye(2, 3) * scale
    to_crop[:, 2] = 0.5 * scale - centre * crop / zoom + crop / 2
    alignment = Alignment(to_crop, crop)
    roll = scene.roll
    if upright:
        alignment = alignment.reframed(scale=1.0, shift=(0.0, 0.0), turn_deg=roll)
        roll = 0.0
    camera = look_at(scene.yaw, scene.pitch, roll_deg=roll)[0]
    return PreparedFace(
        crop=np.zeros((crop, crop, 3), np.uint8),
        camera=camera,
        points=np.zeros((5, 2)),
        mesh=None,
        to_crop=alignment.to_crop,
        estimates={"combined": estimate_of(camera, None)},
        confidence=1.0,
        agreement_deg=0.0,
        turned_deg=alignment.turned_deg,
        outside=0.0,
    )


@pytest.mark.parametrize("upright", [False, True])
def test_a_perfect_reader_has_no_error(tool, upright):
    scene = tool.scene_of(3, 77)
    prepared = perfect(scene, tool.CANVAS, tool.CROP, upright=upright)
    errors = tool._errors(scene, prepared, scene.in_photo())["errors"]
    for row in ("combined", "true pose"):
        assert abs(errors[row]["yaw"]) < 1e-3 and abs(errors[row]["pitch"]) < 1e-3
        assert abs(errors[row]["roll"]) < 1e-3 and errors[row]["direction"] < 1e-3
        assert errors[row]["landmarks"] < 0.01


def test_an_error_of_the_camera_is_seen_as_such(tool):
    scene = tool.scene_of(3, 77)
    prepared = perfect(scene, tool.CANVAS, tool.CROP, upright=True)
    wrong = look_at(scene.yaw + 4, scene.pitch, roll_deg=2.0)[0]
    prepared.estimates["combined"] = estimate_of(wrong, None)
    errors = tool._errors(scene, prepared, scene.in_photo())["errors"]["combined"]
    assert errors["yaw"] == pytest.approx(4, abs=1e-3)
    assert errors["roll"] == pytest.approx(2, abs=1e-3)
    assert errors["direction"] == pytest.approx(4 * np.cos(np.radians(scene.pitch)), abs=0.01)
    assert errors["landmarks"] > 3


def test_scenes_depend_on_seed_and_index_alone_and_keep_the_face_in_view(tool):
    assert torch.equal(tool.scene_of(5, 1).camera, tool.scene_of(5, 1).camera)
    assert not torch.equal(tool.scene_of(5, 1).camera, tool.scene_of(5, 2).camera)
    for index in range(20):
        scene = tool.scene_of(index, 1)
        points = scene.in_photo()
        assert ((points > 0) & (points < tool.CANVAS)).all()
        assert abs(scene.yaw) <= 60 and abs(scene.pitch) <= 20 and abs(scene.roll) <= 30


def line(index: int, yaw: float, off: float, confidence: float) -> dict:
    errors = {"yaw": off, "pitch": -off, "roll": 0.0, "direction": off, "landmarks": 2.0}
    return {
        "index": index,
        "seed": 1,
        "yaw": yaw,
        "eg3d": {"errors": {"combined": errors}, "confidence": confidence},
    }


def test_tables(tool):
    lines = [line(0, 10.0, 1.0, 0.9), line(1, -20.0, 3.0, 0.4), line(2, 50.0, 7.0, 0.99)]
    lines.append({"index": 3, "seed": 1, "yaw": 58.0, "refused": "not detected"})
    result = tool.summary(lines)
    near = result["figures"]["eg3d"]["|yaw| <= 45"]["combined"]
    assert near["faces"] == 2 and near["yaw"]["median"] == 2.0 and near["pitch"]["median"] == 2.0
    assert result["figures"]["eg3d"]["|yaw| > 45"]["combined"]["direction"]["median"] == 7.0
    assert result["refused"] == {"not detected, |yaw| beyond 45": 1}
    text = tool.as_markdown(result)
    assert "| combined | 2 | 2.00 / 2.90 |" in text and "| 0 to 0.5 | 1 | 3.0 | 3.0 |" in text


def test_lines_of_another_seed_are_refused_and_half_a_line_is_forgotten(tool, tmp_path):
    path = tmp_path / "faces.jsonl"
    path.write_text(json.dumps(line(0, 1.0, 1.0, 1.0)) + '\n{"index": 1, "se')
    assert list(tool._read_lines(path, 1)) == [0]
    with pytest.raises(ValueError, match="another seed"):
        tool._read_lines(path, 2)
