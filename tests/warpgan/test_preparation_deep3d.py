"""Deep3DFaceRecon's poses by numbers computed by hand, and files that are refused."""

import json
import math

import numpy as np
import pytest
import torch
from scipy.io import savemat

from warpgan.cameras import look_at, yaw_pitch
from warpgan.labels import validate_label, write_label_file
from warpgan.preparation.deep3d import (
    label_from_deep3d,
    read_cameras_file,
    read_deep3d_mat,
)

# All three angles have cosine .8 and sine .6. By hand:
#   Rz Ry    = [ .64 -.6 .48 | .48 .8 .36 | -.6 0 .8 ]
#   Rz Ry Rx = [ .64 -.192 .744 | .48 .856 -.192 | -.6 .48 .64 ]
#   R = its transpose;  t = (.5, -.25, 2 - 10);  R t = (5, -4.15, -4.7)
#   c = .27 (-5, 4.15, 4.7) + (0, .006, .161) = (-1.35, 1.1265, 1.43)
ANGLE = [math.atan2(3, 4)] * 3
TRANS = [0.5, -0.25, 2.0]
ROTATION = [[0.64, -0.48, 0.6], [-0.192, -0.856, -0.48], [0.744, 0.192, -0.64]]
POSITION = np.array([-1.35, 1.1265, 1.43])
LENS = [2985.29 / 700, 0, 0.5, 0, 2985.29 / 700, 0.5, 0, 0, 1]


def by_hand(position) -> torch.Tensor:
    rows = [[*row, place] for row, place in zip(ROTATION, position, strict=True)]
    return torch.tensor([*np.ravel(rows), 0, 0, 0, 1, *LENS], dtype=torch.float32)


def test_orig_is_the_conversion_done_by_hand():
    length = math.sqrt(1.35**2 + 1.1265**2 + 1.43**2)
    label = label_from_deep3d(ANGLE, TRANS)
    torch.testing.assert_close(label, by_hand(POSITION * 2.7 / length), atol=1e-6, rtol=0)
    validate_label(label[None])


def test_cor_keeps_the_distance_from_the_corrected_centre():
    # c - (0, 0, .175) = (-1.35, 1.1265, 1.255)
    length = math.sqrt(1.35**2 + 1.1265**2 + 1.255**2)
    expected = [
        -1.35 * 2.7 / length,
        1.1265 * 2.7 / length,
        0.175 + 1.255 * 2.7 / length,
    ]
    label = label_from_deep3d(ANGLE, TRANS, fix="cor")
    torch.testing.assert_close(label, by_hand(expected), atol=1e-6, rtol=0)


def test_simplify_looks_at_the_origin_from_the_same_side():
    label = label_from_deep3d(ANGLE, TRANS, fix="simplify")
    yaw, pitch = yaw_pitch(label)
    assert yaw.item() == pytest.approx(math.degrees(math.atan2(-1.35, 1.43)), abs=1e-4)
    assert pitch.item() == pytest.approx(
        math.degrees(math.atan2(1.1265, math.hypot(1.35, 1.43))), abs=1e-4
    )
    expected = look_at(yaw.item(), pitch.item(), pivot=(0, 0, 0), focal=2985.29 / 700)[0]
    torch.testing.assert_close(label, expected, atol=1e-5, rtol=0)


def test_no_turn_and_no_shift_is_the_frontal_camera():
    # c = .27 (0, 0, 10) + (0, .006, .161): in front, .12 degrees above
    label = label_from_deep3d([0, 0, 0], [0, 0, 0])
    torch.testing.assert_close(
        label[:16].view(4, 4)[:3, :3], torch.diag(torch.tensor([1.0, -1.0, -1.0]))
    )
    length = math.hypot(0.006, 2.861)
    torch.testing.assert_close(
        label[[3, 7, 11]], torch.tensor([0, 0.006 * 2.7 / length, 2.861 * 2.7 / length])
    )


def test_mat_files_by_name_and_as_all_coefficients(tmp_path):
    expected = label_from_deep3d(ANGLE, TRANS)
    named, whole = tmp_path / "named.mat", tmp_path / "whole.mat"
    savemat(named, {"angle": [ANGLE], "trans": [TRANS], "exp": np.zeros((1, 64))})
    coefficients = np.arange(257.0)[None]
    coefficients[0, 224:227], coefficients[0, 254:257] = ANGLE, TRANS
    savemat(whole, {"coeff": coefficients})
    torch.testing.assert_close(read_deep3d_mat(named), expected)
    torch.testing.assert_close(read_deep3d_mat(whole), expected)
    savemat(named, {"angle": [ANGLE], "trans": [TRANS]}, format="4")
    torch.testing.assert_close(read_deep3d_mat(named), expected)


def test_mat_files_that_are_refused(tmp_path):
    path = tmp_path / "a.mat"
    with pytest.raises(FileNotFoundError, match="does not exist"):
        read_deep3d_mat(path)
    for content in (b"", b"not a mat file", b"\x00" * 200, b"MATLAB 5.0" + b"\xff" * 300):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="a.mat"):
            read_deep3d_mat(path)
    savemat(path, {"angle": np.array([[{"a": 1}]], dtype=object), "trans": [TRANS]})
    with pytest.raises(ValueError, match="expected angle and trans"):
        read_deep3d_mat(path)
    savemat(path, {"angle": {"field": 1.0}, "trans": [TRANS]})
    with pytest.raises(ValueError, match="expected angle and trans"):
        read_deep3d_mat(path)
    savemat(path, {"coeff": np.zeros((1, 256))})
    with pytest.raises(ValueError, match="256 numbers; expected 257"):
        read_deep3d_mat(path)
    savemat(path, {"angle": [[0.0, np.nan, 0.0]], "trans": [TRANS]})
    with pytest.raises(ValueError, match="a.mat: angle is .*three finite numbers"):
        read_deep3d_mat(path)
    savemat(path, {"angle": "abc", "trans": [TRANS]})
    with pytest.raises(ValueError, match="a.mat"):
        read_deep3d_mat(path)
    path.write_bytes(b"\0" * 4_000_001)
    with pytest.raises(ValueError, match="at most 4 MB"):
        read_deep3d_mat(path)
    savemat(path, {"angle": np.zeros((1, 3)), "trans": [TRANS], "huge": np.zeros((1, 210_000))})
    assert read_deep3d_mat(path).shape == (25,)
    with pytest.raises(ValueError, match="fix 'none' is unknown"):
        read_deep3d_mat(path, fix="none")


@pytest.mark.parametrize("packed", [False, True])
def test_cut_off_mat_files_never_end_in_a_trace(tmp_path, packed):
    path = tmp_path / "a.mat"
    savemat(path, {"angle": [ANGLE], "trans": [TRANS]}, do_compression=packed)
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="a.mat"):
            read_deep3d_mat(path)


def test_cameras_json_is_brought_to_the_labels_convention(tmp_path):
    path = tmp_path / "cameras.json"
    label = look_at(20.0, 5.0)[0]
    pose = label[:16].view(4, 4).clone()
    pose[:3, 3] *= 1.1
    intrinsics = [[4.5, 0, 0.5], [0, 4.5, 0.5], [0, 0, 1]]
    path.write_text(json.dumps({"a.png": {"pose": pose.tolist(), "intrinsics": intrinsics}}))
    found = read_cameras_file(path)
    torch.testing.assert_close(found["a.png"][:16], label[:16], atol=1e-5, rtol=0)
    torch.testing.assert_close(found["a.png"][16:], torch.tensor(LENS))


def test_dataset_json_is_read_as_it_is(tmp_path):
    label = look_at(20.0, 5.0)[0]
    write_label_file(tmp_path / "dataset.json", [("x/a.png", label)])
    assert torch.equal(read_cameras_file(tmp_path / "dataset.json")["x/a.png"], label)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not valid JSON"),
        ("[]", "is neither"),
        ('{"a.png": 3}', "holds no pose"),
        ('{"a.png": {"pose": [[1, 2], [3]]}}', "no matrix"),
        ('{"a.png": {"pose": [1, 2, 3]}}', "no camera"),
        ('{"a.png": {"pose": [[1,0,0,0],[0,1,0,0],[0,0,5,2.7],[0,0,0,1]]}}', "a.png"),
    ],
)
def test_camera_files_that_are_refused(tmp_path, content, message):
    path = tmp_path / "cameras.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=message):
        read_cameras_file(path)
