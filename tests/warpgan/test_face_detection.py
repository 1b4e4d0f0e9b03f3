"""MTCNN against the package its weights are from, and what `FaceDetector` adds to it."""

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from skimage import data

from tests.warpgan.test_perception_nets import GOLDEN
from warpgan.cameras import intrinsics_from_focal, look_at, make_label, split_label
from warpgan.data.portraits import Portrait
from warpgan.perception import face_detection
from warpgan.perception.face_detection import FaceDetector
from warpgan.perception.mtcnn import _crops, _nms_of_smaller, _sums

MIRRORED = [1, 0, 2, 4, 3]


@pytest.fixture(scope="module")
def detector() -> FaceDetector:
    return FaceDetector()


@pytest.fixture(scope="module")
def face() -> np.ndarray:
    """The astronaut's head and shoulders, [240, 240, 3]."""
    return data.astronaut()[:240, 100:340].copy()


def pictures() -> dict[str, np.ndarray]:
    """The pictures of `scripts/reference_nets.py`, made once more."""
    whole = data.astronaut()
    three = np.concatenate([whole, np.zeros_like(whole)], axis=1)
    three[:256, 600:856], three[256:, 700:956] = whole[::2, ::2], whole[::2, ::-2]
    cam2world, _ = split_label(look_at(30.0, 5.0))
    camera = make_label(cam2world, intrinsics_from_focal(2.5))
    return {
        "one": whole,
        "three": three,
        "portrait": Portrait.sample(2).render(camera, size=256).image,
    }


@pytest.mark.parametrize("name", ["one", "three", "portrait"])
def test_the_cascade_equals_the_package(detector, name):
    reference = load_file(GOLDEN)
    image = torch.from_numpy(pictures()[name].copy()).permute(2, 0, 1)
    found = detector.net(image)
    # weights in half precision: a few hundredths of a pixel
    for key, tolerance in (("boxes", 0.1), ("scores", 1e-5), ("points", 0.1)):
        wanted = reference[f"face_mtcnn.{name}.{key}"]
        assert getattr(found, key).shape == wanted.shape
        assert (getattr(found, key) - wanted).abs().max() < tolerance, key


def test_all_crops_at_once_equal_one_by_one():
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (3, 50, 70), generator=generator).float()
    boxes = torch.tensor(
        [[3.7, 4.2, 30.9, 31.4], [-8.0, -5.0, 20.0, 23.0], [60.0, 40.0, 90.0, 70.0],
         [10.0, 10.0, 14.0, 14.0], [-30.0, 0.0, -2.0, 28.0]]
    )  # fmt: skip
    crops, kept = _crops(_sums(image), boxes, 24)
    assert torch.equal(kept, boxes[:4])  # the last one lies outside
    for crop, box in zip(crops, boxes, strict=False):
        left, top, right, bottom = (int(x) for x in box)
        part = image[:, max(top, 1) - 1 : min(bottom, 50), max(left, 1) - 1 : min(right, 70)]
        slow = torch.nn.functional.interpolate(part[None], (24, 24), mode="area")[0]
        torch.testing.assert_close(crop * 128 + 127.5, slow, atol=1e-4, rtol=0)


def test_overlap_is_measured_by_the_smaller_box():
    boxes = torch.tensor([[0.0, 0, 99, 99], [10, 10, 29, 29], [90, 90, 109, 109]])
    kept = _nms_of_smaller(boxes, torch.tensor([0.8, 0.9, 0.7]), 0.7)
    assert kept.tolist() == [1, 2]


def test_mirrored_photo_mirrors_the_points_to_half_a_crop_pixel(detector, face):
    (found,) = detector.detect(face)
    (mirrored,) = detector.detect(face[:, ::-1].copy())
    points = mirrored.points[MIRRORED]
    points[:, 0] = face.shape[1] - 1 - points[:, 0]
    width = found.box[2] - found.box[0]
    assert np.abs(found.points - points).max() < 0.06 * width
    # the bias the module names
    assert 0 < (found.points - points)[:, 0].mean() / 2 < 0.025 * width


def test_shifted_photo_shifts_points_and_box(detector, face):
    (found,) = detector.detect(face)
    moved = np.pad(face, ((14, 0), (28, 0), (0, 0)))
    (shifted,) = detector.detect(moved, minimum_face=20)
    assert np.abs(shifted.points - found.points - (28, 14)).max() < 1.5
    assert np.abs(np.array(shifted.box) - found.box - (28, 14, 28, 14)).max() < 6


def test_large_photos_are_reduced_and_mapped_back(detector, face, monkeypatch):
    (found,) = detector.detect(face)
    monkeypatch.setattr(face_detection, "MAX_SIDE", 240)
    large = face.repeat(4, axis=0).repeat(4, axis=1)
    (mapped,) = detector.detect(large)
    # blocks of 4 x 4 average back to the very photo: indices map as 4 (x + 0.5) - 0.5
    np.testing.assert_allclose(mapped.points, 4 * (found.points + 0.5) - 0.5, atol=1e-3)
    np.testing.assert_allclose(mapped.box, 4 * (np.array(found.box) + 0.5) - 0.5, atol=1e-3)
    assert mapped.confidence == pytest.approx(found.confidence)


@pytest.mark.parametrize("turn", [-35.0, 35.0])
def test_turned_photos_map_back_exactly(turn):
    turned = face_detection._Turned((61, 40), turn)
    picture = np.zeros((40, 61, 3), np.uint8)
    picture[8:11, 48:51] = 255
    canvas = np.asarray(turned.apply(Image.fromarray(picture)), dtype=np.float64)[..., 0]
    assert canvas.sum() == pytest.approx(9 * 255, rel=0.02)  # all of it is on the canvas
    y, x = (np.indices(canvas.shape) * canvas).sum((1, 2)) / canvas.sum()
    np.testing.assert_allclose(turned.to_photo(np.array([x, y])), (49, 9), atol=0.05)


def test_a_face_rolled_out_of_reach_is_found_turned(detector, face):
    (upright,) = detector.detect(face)
    roll = face_detection._Turned((240, 240), 70.0)
    rolled = np.array(roll.apply(Image.fromarray(face)))
    assert all(found.confidence < 0.98 for found in detector.detect(rolled, turns=()))
    best = max(detector.detect(rolled), key=lambda found: found.confidence)
    assert best.confidence > 0.98
    width = upright.box[2] - upright.box[0]
    assert np.abs(roll.to_photo(best.points) - upright.points).max() < 0.15 * width


def test_the_largest_face_comes_first(detector):
    found = detector.detect(pictures()["three"], minimum_face=20)
    assert len(found) == 3
    assert [one.size for one in found] == sorted((one.size for one in found), reverse=True)
    assert found[0].box[2] < 300


@pytest.mark.parametrize("shape", [(200, 300), (3, 4), (1, 1), (9, 400)])
def test_no_face_is_an_empty_list(detector, shape):
    assert detector.detect(np.full((*shape, 3), 128, np.uint8)) == []


@pytest.mark.parametrize(
    "image", [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3)), np.zeros((0, 8, 3), np.uint8)]
)
def test_other_images_are_refused(detector, image):
    with pytest.raises(ValueError, match=r"expected uint8 \[H, W, 3\]"):
        detector.detect(image)
