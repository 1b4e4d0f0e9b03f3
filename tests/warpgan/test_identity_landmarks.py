"""Identity from given landmarks, and what becomes of faces that were not found."""

import pytest
import torch

from tests.warpgan.test_perception_nets import OneDevice
from warpgan import cameras
from warpgan.perception import build_identity
from warpgan.perception.crops import ARCFACE_TEMPLATE, AlignedCrop, usable

NAN, INF = float("nan"), float("inf")


@pytest.fixture
def faces() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Noise pictures [4, 3, 48, 48], their cameras [4, 25] and landmarks [4, 5, 2]."""
    pictures = torch.rand(4, 3, 48, 48, generator=torch.Generator().manual_seed(0)) * 2 - 1
    labels = cameras.look_at([0.0, 20.0, -35.0, 5.0], [0.0, 5.0, 0.0, -5.0])
    return pictures, labels, cameras.project(cameras.CANONICAL_POINTS, labels, size=48.0)


def spoiled(landmarks: torch.Tensor, row: int, value: float) -> torch.Tensor:
    """One number of a face replaced."""
    landmarks = landmarks.clone()
    landmarks[row, 3, 1] = value
    return landmarks


def test_usable_faces(faces):
    landmarks = faces[2]
    assert usable(landmarks).all()
    for value in (NAN, INF, -INF):
        assert usable(spoiled(landmarks, 2, value)).tolist() == [True, True, False, True]
    landmarks[1] = torch.tensor([20.0, 20.0])  # all five in one place
    assert usable(landmarks).tolist() == [True, False, True, True]


@pytest.mark.parametrize("name", ["id_dlib", "id_faceres"])
def test_landmarks_replace_the_camera(faces, name):
    pictures, labels, landmarks = faces
    net = build_identity(name)
    by_camera = net(pictures, labels)
    assert torch.equal(net(pictures, landmarks=landmarks), by_camera)
    moved = net(pictures, labels, landmarks=landmarks + torch.tensor([6.0, 0.0]))
    assert (moved - by_camera).abs().max() > 1e-4


@pytest.mark.parametrize("value", [NAN, INF])
def test_a_face_not_found_is_nobody_and_disturbs_no_other(faces, value):
    pictures, labels, landmarks = faces
    net = build_identity("id_dlib")
    whole = net(pictures, landmarks=landmarks)
    lacking = net(pictures, landmarks=spoiled(landmarks, 1, value))
    assert torch.equal(lacking[1], torch.zeros_like(whole[1]))
    assert torch.equal(lacking[[0, 2, 3]], whole[[0, 2, 3]])
    found = usable(spoiled(landmarks, 1, value))
    assert torch.equal(lacking.norm(dim=1) > 0.5, found)
    for a, b in ((landmarks, spoiled(landmarks, 1, value)), (spoiled(landmarks, 1, value), None)):
        distance = net.distance(pictures, pictures, landmarks_a=a, landmarks_b=b)
        assert distance[1] == 1.0
        assert distance[[0, 2, 3]].abs().max() < 1e-5


def test_distance_takes_the_landmarks_of_each_side(faces):
    pictures, _, landmarks = faces
    net = build_identity("id_dlib")
    other = landmarks * 0.9
    found = net.distance(pictures, pictures, landmarks_a=landmarks, landmarks_b=other)
    a, b = net(pictures, landmarks=landmarks), net(pictures, landmarks=other)
    torch.testing.assert_close(found, 1 - (a * b).sum(1))
    assert found.min() > 1e-4


def test_gradients_stay_finite_beside_a_face_not_found(faces):
    pictures, _, landmarks = faces
    pictures.requires_grad_()
    net = build_identity("id_dlib")
    net(pictures, landmarks=spoiled(landmarks, 0, NAN)).square().sum(1).mul(2).sum().backward()
    assert pictures.grad.isfinite().all()
    assert pictures.grad[0].abs().max() == 0


def test_the_legacy_crop_needs_no_landmarks(faces):
    pictures, _, landmarks = faces
    net = build_identity("id_dlib", crop="legacy")
    nothing = torch.full_like(landmarks, NAN)
    assert torch.equal(net(pictures, landmarks=nothing), net(pictures))


def test_wrong_landmarks_are_explained(faces):
    pictures, _, landmarks = faces
    net = build_identity("id_dlib", pretrained=False)
    with pytest.raises(ValueError, match=r"landmarks must be \[4, 5, 2\].*five NaN"):
        net(pictures, landmarks=landmarks[:3])
    with pytest.raises(ValueError, match=r"landmarks \[B, 5, 2\]"):
        net(pictures)


def test_landmarks_stay_on_their_device():
    crop = AlignedCrop(112, ARCFACE_TEMPLATE).to("meta")
    pictures = torch.empty(2, 3, 64, 64, device="meta")
    with OneDevice():
        assert crop(pictures, landmarks=torch.empty(2, 5, 2, device="meta")).shape[-1] == 112
