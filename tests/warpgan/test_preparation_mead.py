"""MEAD without a landmark file: frames are read, cameras estimated, corrections kept."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from tests.warpgan.mead_world import clip_path, points_of
from tests.warpgan.preparation_world import RedSquareReader, red_photo, save
from warpgan.cameras import look_at, yaw_pitch
from warpgan.data.folder import ImageFolder
from warpgan.data.mead.landmarks import read_landmarks
from warpgan.data.mead.layout import CAMERAS
from warpgan.labels import read_label_file
from warpgan.preparation.datasets.mead import prepare_mead
from warpgan.video import write_mp4


def label_of(yaw: float) -> list[float]:
    return look_at(yaw, 0.0)[0].double().tolist()


PLACES = {"front": 38, "left_30": 52, "left_60": 66, "right_30": 24, "right_60": 10}


def frame_of(camera: str) -> Image.Image:
    return red_photo((PLACES[camera], 20, 20))


def test_mead_frames_need_no_landmark_file(tmp_path):
    data, out = tmp_path / "MEAD", tmp_path / "out"
    for person in ("M003", "W009"):
        for camera in CAMERAS:
            save(data / person / f"{camera}.png", frame_of(camera))
    save(data / "W009" / "front.png", Image.new("RGB", (96, 64)))
    readers = []

    def make():
        readers.append(RedSquareReader())
        return readers[-1]

    result = prepare_mead(data, out, make, size=48)
    assert (result.read, result.known, set(result.refused)) == (10, 0, {"W009/front"})
    file = read_label_file(out)
    assert file.names == tuple(f"M003/{camera}.png" for camera in sorted(CAMERAS))
    yaws = dict(zip(file.names, yaw_pitch(torch.from_numpy(file.labels))[0].tolist(), strict=True))
    for camera, place in PLACES.items():
        expected = 60 * ((place + 10) / 96 - 0.5)
        assert yaws[f"M003/{camera}.png"] == pytest.approx(expected, abs=1e-3)
    again = prepare_mead(data, out, make, size=48)
    assert (again.read, again.known, len(readers)) == (0, 10, 1)
    # corrected by hand, an entry stays; its camera is solved from the points
    path = out / "landmarks.json"
    entries = json.loads(path.read_text())
    entries["W009/front"] = {"points": entries["M003/front"]["points"], "by_hand": True}
    path.write_text(json.dumps(entries))
    result = prepare_mead(data, out, make, size=48)
    assert len(result.report.kept) == 2 and result.read == 0
    assert json.loads(path.read_text())["W009/front"]["by_hand"]


def test_mead_videos_are_extracted_and_read(tmp_path):
    data, out = tmp_path / "MEAD", tmp_path / "out"
    for camera in CAMERAS:
        path = clip_path(data, "M003", camera)
        path.parent.mkdir(parents=True)
        write_mp4(path, [np.asarray(frame_of(camera))] * 11, fps=30)
    result = prepare_mead(data, out, RedSquareReader, size=48)
    assert result.refused == {} and len(ImageFolder(out, size=48)) == 5
    assert not (out / "frames").exists()
    again = prepare_mead(data, out, RedSquareReader, size=48)
    assert again.read == 0 and len(ImageFolder(out, size=48)) == 5


def test_a_landmark_file_may_bring_cameras(tmp_path):
    points = points_of("front")
    path = tmp_path / "landmarks.json"
    path.write_text(json.dumps({"M003/front": {"points": points, "camera": label_of(12.0)}}))
    found = read_landmarks(path)
    assert found.cameras["M003/front"] == pytest.approx(label_of(12.0))
    np.testing.assert_allclose(found.points["M003/front"], points)
    for camera in ([1.0, 2.0], "front", [float("nan")] * 25):
        path.write_text(json.dumps({"M003/front": {"points": points, "camera": camera}}))
        with pytest.raises(ValueError, match="camera is no label"):
            read_landmarks(path)
