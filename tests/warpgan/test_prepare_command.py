"""The command that prepares photos, cameras of files, and the real reader once."""

import json

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from tests.warpgan.preparation_world import (
    RedSquareReader,
    go,
    save,
    write_photos,
)
from warpgan import prepare as command
from warpgan.cameras import FOCAL, look_at, yaw_pitch
from warpgan.crop import crop_from_five_points, fit_crop
from warpgan.data.folder import ImageFolder
from warpgan.data.portraits.portrait import Portrait
from warpgan.data.portraits.splits import person_seed
from warpgan.preparation.datasets.mead import read_points
from warpgan.preparation.deep3d import label_from_deep3d
from warpgan.preparation.face_reader import FaceReader
from warpgan.preparation.given_cameras import given_cameras


@pytest.fixture
def photos(tmp_path):
    return write_photos(tmp_path / "photos")


def pose_entry(yaw: float) -> dict:
    label = look_at(yaw, 0.0)[0]
    return {
        "pose": label[:16].reshape(4, 4).tolist(),
        "intrinsics": label[16:].reshape(3, 3).tolist(),
    }


def test_cameras_of_a_file_replace_estimates(photos, tmp_path):
    (tmp_path / "cameras.json").write_text(
        json.dumps({"1.png": pose_entry(25.0), "bob.png": pose_entry(-15.0)})
    )
    cameras = given_cameras(tmp_path / "cameras.json", None)
    out = tmp_path / "out"
    summary, _ = go(photos, out, cameras=cameras, roll_align=False, border="black")
    assert summary.kinds == {"no camera": 1}
    yaws = {face.crop: face.yaw for _, face in summary.faces}
    assert yaws == {
        "ann/1.png": pytest.approx(25, abs=1e-3),
        "bob.png": pytest.approx(-15, abs=1e-3),
    }
    assert {face.camera_from for _, face in summary.faces} == {"cameras.json"}
    # EG3D's own crop, to the byte
    photo = Image.open(photos / "ann" / "1.png")
    points = np.array(summary.faces[0][1].photo_points)
    expected = crop_from_five_points(photo, points, size=32)
    assert (np.asarray(Image.open(out / "ann" / "1.png")) == expected).all()
    assert "camera read from cameras.json" in (out / "report.html").read_text()
    assert go(photos, out, cameras=cameras, roll_align=False, border="black")[1] == 0
    (tmp_path / "cameras.json").write_text(json.dumps({"1.png": pose_entry(20.0)}))
    cameras = given_cameras(tmp_path / "cameras.json", None)
    assert go(photos, out, cameras=cameras, roll_align=False, border="black")[1] == 3


def test_deep3d_files_are_found_by_name(photos, tmp_path):
    folder = tmp_path / "mats"
    folder.mkdir()
    savemat(folder / "bob.mat", {"angle": np.zeros((1, 3)), "trans": np.zeros((1, 3))})
    (folder / "1.mat").write_bytes(b"no mat file")
    out = tmp_path / "out"
    cameras = given_cameras(None, folder)
    summary, _ = go(photos, out, cameras=cameras, roll_align=False)
    assert summary.kinds == {"camera is not usable": 1, "no camera": 1}
    assert [face.camera for _, face in summary.faces] == [
        label_from_deep3d(np.zeros(3), np.zeros(3)).tolist()
    ]
    with pytest.raises(FileNotFoundError, match="is no folder"):
        given_cameras(None, tmp_path / "absent")
    with pytest.raises(ValueError, match=r"no \.mat file"):
        given_cameras(None, photos)


def test_the_command_line(photos, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(command, "FaceReader", lambda device: RedSquareReader())
    out = tmp_path / "out"
    assert command.main([str(photos), str(out), "--size", "32", "--faces", "all"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == (
        "3 photos, 4 crops, 0 refused; 0 done before"
    )
    blank = save(tmp_path / "blank.png", Image.new("RGB", (40, 40)))
    assert command.main([str(blank), str(tmp_path / "none"), "--size", "32"]) == 2
    printed = capsys.readouterr()
    assert "report.html says why" in printed.err and "1 refused (1 no face)" in printed.out
    assert not (tmp_path / "none" / "dataset.json").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["absent.jpg", "OUT"], "absent.jpg does not exist"),
        (["OUT"], "PHOTOS... and OUT"),
        (["PHOTOS", "OUT", "--faces", "none"], "faces is 'none'"),
        (["PHOTOS", "OUT", "--cameras", "absent.json"], "absent.json does not exist"),
        (["PHOTOS", "OUT", "--device", "tpu9"], "invalid choice: 'tpu9'"),
        (["celebahq", "PHOTOS", "OUT", "--device", "tpu9"], "invalid choice: 'tpu9'"),
        (["mead", "PHOTOS", "OUT", "--device", "tpu9"], "invalid choice: 'tpu9'"),
        (["celebahq", "PHOTOS", "OUT"], "no N.jpg"),
        (["ffhq", "absent", "OUT"], "absent does not exist"),
        (["mead", "PHOTOS", "OUT"], "no MEAD views"),
    ],
)
def test_mistakes_end_in_one_line(words, message, photos, tmp_path, capsys):
    for name in ("1.png", "2.jpg"):
        (photos / "ann" / name).rename(photos / "ann" / f"x{name}")
    places = {"PHOTOS": str(photos), "OUT": str(tmp_path / "out")}
    with pytest.raises(SystemExit) as stopped:
        command.main([places.get(word, word) for word in words])
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_a_portrait_on_a_wide_canvas_is_read(tmp_path, monkeypatch):
    """The one test with the real nets: the crop's camera is the one the person was drawn with."""
    reader = FaceReader()
    monkeypatch.setattr(command, "FaceReader", lambda device: reader)
    label = look_at(20.0, 5.0, focal=FOCAL * 0.7)[0]
    view = Portrait.sample(person_seed("celebahq", 5077, 3)).render(label, size=320)
    save(tmp_path / "me.png", Image.fromarray(view.image))
    out = tmp_path / "out"
    assert command.main([str(tmp_path / "me.png"), str(out), "--size", "128"]) == 0
    data = ImageFolder(out, size=128)
    yaw, pitch = (angle.item() for angle in yaw_pitch(data.labels[0]))
    assert abs(yaw - 20) < 8 and abs(pitch - 5) < 8
    # MEAD's step makes its crop from the points alone: it must be the one that the camera is of
    found = read_points(reader, view.image)
    window = fit_crop(found["points"], width=320, height=320)
    face = reader.read(view.image, reader.detect(view.image)[0], roll_align=False)
    np.testing.assert_allclose(
        window.to_crop(found["points"]), face.points, atol=1e-2, err_msg="another crop"
    )
