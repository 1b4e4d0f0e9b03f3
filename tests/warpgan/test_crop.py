"""EG3D's crop against a second, naive reading of the rule, and the pose solver's round trip."""

import json
from pathlib import Path

import numpy as np
import pytest
import skimage
import torch
from PIL import Image

from warpgan.cameras import CANONICAL_PIXELS, CANONICAL_POINTS, look_at, project, yaw_pitch
from warpgan.crop import (
    STANDARD_POINTS,
    crop_from_five_points,
    fit_crop,
    solve_pose_from_five_points,
)
from warpgan.data import crop_photo
from warpgan.data.folder import ImageFolder

ASTRONAUT = Path(skimage.__file__).parent / "data" / "astronaut.png"
POINTS_FILE = Path(__file__).parents[1] / "data" / "astronaut_points.json"
POINTS = json.loads(POINTS_FILE.read_text())["points"]


def reference_crop(photo: np.ndarray, points: np.ndarray) -> np.ndarray:
    """One 10 x 8 least-squares problem, padding by hand instead of PIL's crop outside."""
    height, width = photo.shape[:2]
    design, wanted = np.zeros((10, 8)), np.zeros(10)
    for i, (x, y) in enumerate(points):
        design[2 * i, :3], design[2 * i, 3] = STANDARD_POINTS[i], 1
        design[2 * i + 1, 4:7], design[2 * i + 1, 7] = STANDARD_POINTS[i], 1
        wanted[2 * i : 2 * i + 2] = x, height - 1 - y
    k = np.linalg.solve(design.T @ design, design.T @ wanted)
    s = 300 / ((np.linalg.norm(k[:3]) + np.linalg.norm(k[4:7])) / 2)
    w, h = int(width * s), int(height * s)
    left = int(w / 2 - 512 + (k[3] - width / 2) * s)
    top = int(h / 2 - 512 + (height / 2 - k[7]) * s)
    resized = np.asarray(Image.fromarray(photo).resize((w, h), Image.BICUBIC))
    pad = 2000
    padded = np.pad(resized, ((pad, pad), (pad, pad), (0, 0)))
    window = padded[pad + top : pad + top + 1024, pad + left : pad + left + 1024]
    centre = window[162:862, 162:862]
    return np.asarray(Image.fromarray(centre).resize((512, 512), Image.LANCZOS))


def noise_photo(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(1, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("shape", "centre", "spread"),
    [((300, 400), (200, 150), 60), ((300, 400), (20, 30), 90), ((640, 250), (240, 610), 45)],
    ids=["inside", "over the top left corner", "over the bottom right corner"],
)
def test_crop_equals_the_naive_reading(shape, centre, spread):
    jitter = np.random.default_rng(1).normal(0, 2, (5, 2))
    standard = np.array(STANDARD_POINTS)[:, :2] * (1, -1)
    points = np.array(centre) + spread * standard + jitter
    photo = noise_photo(*shape)
    np.testing.assert_array_equal(
        crop_from_five_points(photo, points), reference_crop(photo, points)
    )


def test_outside_of_the_photo_is_black():
    points = np.array(STANDARD_POINTS)[:, :2] * (60, -60) + (10, 10)
    crop = crop_from_five_points(noise_photo(200, 200), points)
    assert not crop[:100, :100].any() and crop[300:350, 300:350].any(axis=-1).all()


def test_a_standard_face_lands_on_the_canonical_pixels():
    points = np.array(STANDARD_POINTS)[:, :2] * (75.3, -75.3) + (160.0, 140.0)
    landed = fit_crop(points, width=320, height=256).to_crop(points, size=256)
    np.testing.assert_allclose(landed, CANONICAL_PIXELS, atol=1.0)


def test_to_crop_finds_the_pixel_that_apply_put_there():
    photo = np.zeros((300, 300, 3), np.uint8)
    photo[148:153, 168:173] = 255
    points = np.array(STANDARD_POINTS)[:, :2] * (80, -80) + (150, 140)
    window = fit_crop(points, width=300, height=300)
    bright = window.apply(Image.fromarray(photo))[..., 0].astype(float)
    y, x = np.mgrid[:512, :512] + 0.5
    found = (x * bright).sum() / bright.sum(), (y * bright).sum() / bright.sum()
    np.testing.assert_allclose(found, window.to_crop([[170, 150]])[0], atol=0.1)


def test_size_of_the_crop():
    points = np.array(STANDARD_POINTS)[:, :2] * (80, -80) + (150, 140)
    assert crop_from_five_points(noise_photo(300, 300), points, size=128).shape == (128, 128, 3)


def test_pose_is_recovered_from_projected_points():
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        yaw, pitch, roll = ((torch.rand(3, generator=generator) - 0.5) * 120).tolist()
        label = look_at(yaw, pitch / 3, roll_deg=roll / 2)
        points = project(CANONICAL_POINTS, label[0], size=512)
        solved = solve_pose_from_five_points(points, size=512)
        torch.testing.assert_close(solved, label, atol=2e-5, rtol=0)


def test_pose_survives_a_pixel_of_noise():
    noise = torch.randn(5, 2, generator=torch.Generator().manual_seed(0))
    points = project(CANONICAL_POINTS, look_at(25.0, 10.0)[0], size=512) + noise
    yaw, pitch = yaw_pitch(solve_pose_from_five_points(points, size=512))
    assert abs(yaw.item() - 25) < 4 and abs(pitch.item() - 10) < 4


def test_solved_radius_is_that_of_eg3d():
    points = project(CANONICAL_POINTS, look_at(15.0, 0.0, radius=3.4)[0], size=512)
    solved = solve_pose_from_five_points(points, size=512)
    assert solved[0, [3, 7, 11]].norm().item() == pytest.approx(2.7, abs=1e-5)
    assert yaw_pitch(solved)[0].item() == pytest.approx(15.0, abs=1e-2)


def test_a_real_photo_becomes_an_image_folder(tmp_path, capsys):
    command = [str(ASTRONAUT), str(tmp_path), "--points-file", str(POINTS_FILE), "--mirror"]
    assert crop_photo.main(command) == 0
    faces = ImageFolder(tmp_path, size=128)
    assert [sample.name for sample in faces] == ["astronaut.png", "astronaut_mirror.png"]
    assert torch.equal(faces[1].image, faces[0].image.flip(-1))
    yaw, pitch = yaw_pitch(faces.labels)
    assert yaw[0].item() == pytest.approx(-yaw[1].item(), abs=1e-4)
    assert abs(yaw[0]) < 5 and abs(pitch[0]) < 15
    landed = project(CANONICAL_POINTS, faces.labels[0], size=256).numpy()
    marked = fit_crop(POINTS, width=512, height=512).to_crop(POINTS, size=256)
    assert np.abs(landed - marked).max() < 8
    with Image.open(tmp_path / "astronaut.png") as crop:
        expected = crop_from_five_points(Image.open(ASTRONAUT), POINTS)
        assert crop.size == (512, 512)
        np.testing.assert_array_equal(np.asarray(crop), expected)
    assert crop_photo.main(command) == 2
    assert "already holds astronaut.png" in capsys.readouterr().err
    assert crop_photo.main([*command, "--name", "again/a.png"]) == 0
    assert len(ImageFolder(tmp_path, size=128)) == 4


def test_points_on_the_command_line(tmp_path):
    points = [f"{x},{y}" for x, y in POINTS]
    out = tmp_path / "faces"
    assert crop_photo.main([str(ASTRONAUT), "--points", *points, str(out), "--size", "64"]) == 0
    assert ImageFolder(out, size=64)[0].image.shape == (3, 64, 64)
