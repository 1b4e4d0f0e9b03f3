"""A photo's face to crop and camera, on portraits with known cameras; and what is refused."""

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image

from warpgan.cameras import FOCAL, look_at, project, yaw_pitch
from warpgan.data.portraits.portrait import Portrait
from warpgan.labels import validate_label
from warpgan.perception.face_detection import DetectedFace
from warpgan.preparation.camera import ESTIMATES
from warpgan.preparation.face_reader import KINDS, FaceReader, UnusableFace

CANVAS = 320
PERSON = Portrait.sample(12)


@pytest.fixture(scope="module")
def reader() -> FaceReader:
    return FaceReader()


def scene(yaw: float, pitch: float = 0.0, roll: float = 0.0, zoom: float = 0.7):
    """A photo [H, W, 3] of the person, and the face in it as a perfect detector gives it."""
    label = look_at(yaw, pitch, roll_deg=roll, focal=FOCAL * zoom)[0]
    label[[18, 21]] = torch.tensor([0.47, 0.52])
    photo = PERSON.render(label, size=CANVAS).image
    points = project(torch.from_numpy(PERSON.landmarks()), label, size=CANVAS).numpy() - 0.5
    low, high = points.min(0), points.max(0)
    return photo, DetectedFace((*low, *high), 1.0, points.astype(np.float64))


@pytest.fixture(scope="module")
def turned(reader):
    photo, face = scene(25.0, 5.0, roll=22.0)
    return photo, face, reader.read(photo, face, size=256)


def test_a_rolled_face_comes_out_upright_with_its_camera(turned):
    _, _, prepared = turned
    assert prepared.crop.shape == (256, 256, 3) and prepared.crop.dtype == np.uint8
    validate_label(prepared.camera[None])
    combined = prepared.estimates["combined"]
    assert torch.equal(combined.camera, prepared.camera)
    assert abs(combined.yaw - 25) < 6 and abs(combined.pitch - 5) < 6
    assert abs(prepared.turned_deg - 22) < 5 and abs(combined.roll) < 2
    assert abs(22 - prepared.turned_deg - combined.roll) < 4
    assert set(prepared.estimates) == set(ESTIMATES)
    yaw, pitch = yaw_pitch(prepared.camera)
    assert yaw.item() == pytest.approx(combined.yaw) and pitch.item() == pytest.approx(
        combined.pitch
    )


def test_points_and_mesh_follow_the_map(turned):
    _, face, prepared = turned
    mapped = face.points @ prepared.to_crop[:, :2].T + prepared.to_crop[:, 2]
    np.testing.assert_allclose(prepared.points, mapped)
    assert prepared.mesh.shape == (468, 2)
    assert ((prepared.mesh > 0) & (prepared.mesh < 256)).mean() > 0.95
    seen = project(torch.from_numpy(PERSON.landmarks()), prepared.camera, size=256).numpy()
    assert np.sqrt(((seen - mapped) ** 2).sum(1).mean()) < 15


def test_confidence_is_that_of_the_agreement(turned):
    _, _, prepared = turned
    assert 0 <= prepared.confidence <= 1 and prepared.agreement_deg < 10
    assert 0 <= prepared.outside < 0.2


def test_the_same_photo_gives_the_same_bytes(reader, turned):
    photo, face, prepared = turned
    again = reader.read(photo, face, size=256)
    assert (again.crop == prepared.crop).all() and torch.equal(again.camera, prepared.camera)


def test_without_roll_alignment_the_camera_has_the_roll(reader):
    photo, face = scene(10.0, 0.0, roll=18.0)
    prepared = reader.read(photo, face, size=128, roll_align=False)
    assert prepared.turned_deg == 0
    assert abs(prepared.estimates["combined"].roll - 18) < 4


def test_a_mirrored_photo_gives_the_mirrored_camera(reader):
    photo, face = scene(30.0)
    flipped = face.points[[1, 0, 2, 4, 3]] * (-1, 1) + (CANVAS - 1, 0)
    twin = dataclasses.replace(face, points=flipped)
    one = reader.read(photo, face, size=128)
    other = reader.read(np.ascontiguousarray(photo[:, ::-1]), twin, size=128)
    assert abs(one.estimates["combined"].yaw + other.estimates["combined"].yaw) < 3
    assert abs(one.estimates["combined"].pitch - other.estimates["combined"].pitch) < 3


def test_the_labels_framing_fits_the_label_better():
    photo, face = scene(45.0)
    errors = {}
    for framing in ("eg3d", "label"):
        prepared = FaceReader(framing=framing).read(photo, face)
        seen = project(torch.from_numpy(PERSON.landmarks()), prepared.camera, size=512).numpy()
        errors[framing] = np.sqrt(((seen - prepared.points) ** 2).sum(1).mean())
    assert errors["label"] < errors["eg3d"]


def test_the_detector_finds_the_face_that_is_read(reader):
    photo, face = scene(0.0, zoom=0.9)
    found = reader.detect(photo)
    assert len(found) == 1
    assert np.abs(found[0].points - face.points).max() < 12
    assert reader.detect(np.full((200, 200, 3), 128, np.uint8)) == []


def refusal(reader: FaceReader, photo: np.ndarray, face: DetectedFace, **options) -> UnusableFace:
    with pytest.raises(UnusableFace) as caught:
        reader.read(photo, face, **options)
    assert caught.value.kind in KINDS and str(caught.value).startswith(caught.value.kind)
    return caught.value


def test_a_small_face_is_refused(reader):
    photo, face = scene(0.0)
    small = np.asarray(Image.fromarray(photo).resize((60, 60), Image.Resampling.LANCZOS))
    tiny = dataclasses.replace(face, points=face.points * 60 / CANVAS)
    error = refusal(reader, small, tiny)
    assert error.kind == "too small" and "at least 24 px are needed" in str(error)


def test_a_profile_is_refused(reader):
    photo, face = scene(88.0)
    assert refusal(reader, photo, face).kind in ("profile beyond range", "no face")


def test_a_face_over_the_edge_is_refused(reader):
    photo, face = scene(0.0)
    middle = int(face.points[:, 0].mean()) - 12
    cut = np.ascontiguousarray(photo[:, middle:])
    assert refusal(
        reader, cut, dataclasses.replace(face, points=face.points - (middle, 0))
    ).kind in ("face cut off", "no face", "five points make no face")


def test_points_that_are_no_face_are_refused(reader):
    photo, face = scene(0.0)
    for points in (np.full((5, 2), np.nan), face.points[[1, 0, 2, 4, 3]]):
        error = refusal(reader, photo, dataclasses.replace(face, points=points))
        assert error.kind in ("five points make no face", "no face")


def test_an_uncertain_detection_without_a_mesh_is_no_face(reader):
    photo = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    _, face = scene(0.0)
    points = face.points - face.points.mean(0) + 100
    assert refusal(reader, photo, DetectedFace((60, 60, 140, 140), 0.6, points)).kind == "no face"


def test_a_camera_that_is_not_certain_enough_is_refused_on_demand(reader, turned):
    photo, face, _ = turned
    error = refusal(reader, photo, face, size=128, min_confidence=1.01)
    assert error.kind == "pose not certain"


def test_mistakes(reader):
    photo, face = scene(0.0)
    with pytest.raises(ValueError, match="framing 'mine' is unknown"):
        FaceReader(framing="mine")
    with pytest.raises(ValueError, match="border 'grey' is unknown"):
        reader.read(photo, face, border="grey")
