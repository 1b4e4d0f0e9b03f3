"""The face mesh against its original graph, and the crops around it."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file
from skimage import data

from tests.warpgan.test_perception_nets import GOLDEN
from warpgan.cameras import intrinsics_from_focal, look_at, make_label, project, split_label
from warpgan.data.portraits import Portrait
from warpgan.perception.face_detection import _Turned
from warpgan.perception.face_mesh import (
    FaceMesh,
    _cut,
    _Square,
    build_face_mesh,
    find_mesh,
    find_meshes,
)

FIVE = np.array([[105.0, 102], [147, 104], [125, 129], [102, 139], [145, 142]])
MIRRORED = [1, 0, 2, 4, 3]


@pytest.fixture(scope="module")
def net() -> FaceMesh:
    return build_face_mesh()


@pytest.fixture(scope="module")
def face() -> np.ndarray:
    return data.astronaut()[:240, 100:340].copy()


def test_net_equals_the_original_graph(net):
    reference = load_file(GOLDEN)
    face = F.interpolate(reference["face96_u8"].float(), (192, 192), mode="nearest")
    points, presence = net(face / 127.5 - 1)
    assert points.shape == (1, 468, 2)
    assert (points[0] - reference["face_mesh.points"]).abs().max() < 0.01
    assert (presence - reference["face_mesh.presence"]).abs().max() < 1e-4


def test_gradients_reach_the_picture(net):
    image = torch.zeros(1, 3, 192, 192, requires_grad=True)
    net(image)[0].sum().backward()
    assert image.grad is not None and image.grad.abs().max() > 0


def test_five_points_agree_with_the_detector_s(net, face):
    mesh = find_mesh(net, face, FIVE)
    assert mesh is not None and mesh.presence > 0.99
    assert mesh.points.shape == (468, 2) and mesh.points.dtype == np.float64
    assert np.abs(mesh.five() - FIVE).max() < 4


def test_mirrored_photo_mirrors_the_points(net, face):
    mirrored = FIVE[MIRRORED]
    mirrored[:, 0] = face.shape[1] - 1 - mirrored[:, 0]
    there, back = find_mesh(net, face, FIVE), find_mesh(net, face[:, ::-1].copy(), mirrored)
    five = back.five()[MIRRORED]
    five[:, 0] = face.shape[1] - 1 - five[:, 0]
    assert np.abs(there.five() - five).max() < 3.5
    assert abs((there.five() - five)[:, 0].mean()) < 1.5


@pytest.mark.parametrize("turn", [-60.0, 30.0])
def test_roll_and_scale_change_nothing(net, face, turn):
    upright = find_mesh(net, face, FIVE)
    turned = _Turned((720, 720), turn)
    rolled = np.array(turned.apply(Image.fromarray(face).resize((720, 720), Image.BICUBIC)))
    offset = 3 * (FIVE + 0.5) - 360
    five = offset @ turned.matrix + np.array(turned.canvas) / 2 - 0.5
    mesh = find_mesh(net, rolled, five)
    back = (turned.to_photo(mesh.points) + 0.5) / 3 - 0.5
    assert np.sqrt(((back - upright.points) ** 2).sum(1).mean()) < 1


def test_many_faces_equal_one_by_one(net, face):
    off = FIVE + (5, -4)
    together = find_meshes(net, face, [FIVE, off])
    for points, mesh in zip((FIVE, off), together, strict=True):
        np.testing.assert_allclose(mesh.points, find_mesh(net, face, points).points, atol=1e-3)
    assert find_meshes(net, face, []) == []


@pytest.mark.parametrize("yaw", [0.0, 35.0, -55.0])
def test_portraits_have_their_points_where_they_are(net, yaw):
    cam2world, _ = split_label(look_at(yaw, 3.0))
    camera = make_label(cam2world, intrinsics_from_focal(3.0))[0]
    person = Portrait.sample(11)
    true = project(torch.from_numpy(person.landmarks()), camera, size=256).reshape(5, 2).numpy()
    mesh = find_mesh(net, person.render(camera, size=256).image, true - 0.5)
    size = np.linalg.norm(true[:2].mean(0) - true[3:].mean(0))
    assert np.sqrt(((mesh.five() + 0.5 - true) ** 2).sum(1).mean()) < 0.12 * size


def test_nothing_there_is_none(net):
    blank = np.full((240, 240, 3), 90, np.uint8)
    assert find_mesh(net, blank, FIVE) is None
    assert find_mesh(net, blank, FIVE + 4000) is None
    assert find_mesh(net, blank, np.full((5, 2), 7.0)) is None


def test_a_window_far_larger_than_the_net_s_picture_is_averaged():
    stripes = torch.zeros(3, 960, 960)
    stripes[:, :, ::2] = 200
    window = _Square(np.array([480.0, 480.0]), 950.0, np.eye(2))
    assert (_cut(stripes, window) - 100).abs().max() < 25  # not 0 and 200


@pytest.mark.parametrize(("image", "points", "word"), [
    (np.zeros((9, 9), np.uint8), FIVE, "uint8"),
    (np.zeros((9, 9, 3), np.uint8), FIVE[:4], "five finite points"),
    (np.zeros((9, 9, 3), np.uint8), FIVE * np.nan, "five finite points"),
])  # fmt: skip
def test_wrong_input_is_refused(net, image, points, word):
    with pytest.raises(ValueError, match=word):
        find_mesh(net, image, points)


def test_other_sizes_are_refused(net):
    with pytest.raises(ValueError, match="192"):
        net(torch.zeros(1, 3, 128, 128))
