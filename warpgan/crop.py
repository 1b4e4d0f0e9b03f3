"""A photo and five points of the face to EG3D's crop and camera.

The five points are, in this order: the eye on the left *of the picture*, the eye on its right, the
tip of the nose, the left and the right corner of the mouth (the order of MTCNN and InsightFace).
In a photo they are pixel indices as detectors give them, (0, 0) being the centre of the first
pixel; in a crop they are continuous coordinates as in `warpgan.cameras`.

The crop follows EG3D's preparation of photos number by number, truncations included: a scaled
orthographic fit of the standard face, a resize so that one unit of it is 300 px, 1024 px around its
origin, the 700 px in the middle of those, and 512 px of that. It does not turn the photo.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from warpgan.cameras import (
    CANONICAL_POINTS,
    FOCAL,
    RADIUS,
    STANDARD_POINTS,
    intrinsics_from_focal,
    look_at,
    make_label,
    split_label,
)

UNIT_PIXELS = 300.0
TARGET_SIZE = 1024
CENTRE_SIZE = 700
CROP_SIZE = 512
MAX_RESIZED_PIXELS = 400_000_000
MAX_RESIDUAL = 0.05
START_YAWS = (0.0, -35.0, 35.0, -70.0, 70.0)

Points = Sequence[Sequence[float]] | np.ndarray | Tensor


@dataclass(frozen=True)
class FaceCrop:
    """Where EG3D's crop lies: the photo is resized, then a window is cut out of it.

    Attributes:
        photo_size: Width and height of the photo.
        resized_size: Width and height it is resized to.
        left: Left edge of the 1024 px window in the resized photo; may be negative.
        top: Its upper edge.
    """

    photo_size: tuple[int, int]
    resized_size: tuple[int, int]
    left: int
    top: int

    def apply(self, photo: Image.Image, *, size: int = CROP_SIZE) -> np.ndarray:
        """The crop [size, size, 3] uint8 of an RGB photo; black where the photo ends."""
        window = (self.left, self.top, self.left + TARGET_SIZE, self.top + TARGET_SIZE)
        margin = (TARGET_SIZE - CENTRE_SIZE) // 2
        centre = (margin, margin, margin + CENTRE_SIZE, margin + CENTRE_SIZE)
        resized = photo.resize(self.resized_size, Image.Resampling.BICUBIC)
        crop = resized.crop(window).crop(centre)
        return np.asarray(crop.resize((size, size), Image.Resampling.LANCZOS))

    def to_crop(self, points: Points, *, size: int = CROP_SIZE) -> np.ndarray:
        """Photo points [M, 2] (pixel indices) as continuous coordinates of the crop."""
        scale = np.divide(self.resized_size, self.photo_size)
        margin = (TARGET_SIZE - CENTRE_SIZE) // 2
        resized = (np.asarray(points, dtype=np.float64) + 0.5) * scale
        return (resized - (self.left + margin, self.top + margin)) * (size / CENTRE_SIZE)


def fit_crop(points: Points, *, width: int, height: int) -> FaceCrop:
    """EG3D's crop of a photo of ``width`` x ``height`` for five points [5, 2] in it.

    Raises:
        ValueError: Not five finite points, points outside of the photo, in a wrong order or too
            close together.
    """
    points = _five_points(points)
    middle = points.mean(axis=0)
    if not ((middle > -0.5) & (middle < (width - 0.5, height - 0.5))).all():
        raise ValueError(
            f"the five points lie about ({middle[0]:.4g}, {middle[1]:.4g}), outside of the photo "
            f"of {width} x {height}; expected pixels of this very photo, turned upright"
        )
    upright = np.stack([points[:, 0], height - 1 - points[:, 1]], axis=1)
    design = np.concatenate([np.array(STANDARD_POINTS), np.ones((5, 1))], axis=1)
    solution = np.linalg.lstsq(design, upright, rcond=None)[0]
    (row_x, row_y), (shift_x, shift_y) = solution[:3].T, solution[3]
    unit = (np.linalg.norm(row_x) + np.linalg.norm(row_y)) / 2
    if not unit > 1e-6:
        raise ValueError(f"the five points {points.tolist()} are all the same")
    if row_x[0] * row_y[1] - row_x[1] * row_y[0] < -0.2 * unit**2:
        raise ValueError(
            "the five points are mirrored; expected the eye on the left of the picture, the eye on "
            "its right, nose tip, left and right corner of the mouth"
        )
    scale = UNIT_PIXELS / unit
    resized = (int(width * scale), int(height * scale))
    if min(resized) < 1 or resized[0] * resized[1] > MAX_RESIZED_PIXELS:
        raise ValueError(
            f"the eyes are {np.linalg.norm(points[1] - points[0]):.3g} px apart in a photo of "
            f"{width} x {height}; the photo would have to be resized to "
            f"{resized[0]} x {resized[1]}: cut out the face roughly first"
        )
    left = int(resized[0] / 2 - TARGET_SIZE / 2 + (shift_x - width / 2) * scale)
    top = int(resized[1] / 2 - TARGET_SIZE / 2 + (height / 2 - shift_y) * scale)
    return FaceCrop((width, height), resized, left, top)


def crop_from_five_points(
    image: Image.Image | np.ndarray, points: Points, *, size: int = CROP_SIZE
) -> np.ndarray:
    """EG3D's crop [size, size, 3] uint8 of a photo, from five points [5, 2] (pixel indices).

    Args:
        image: RGB photo, PIL or [H, W, 3] uint8.
        points: The five points; see the module.
        size: Side of the crop; 512 is EG3D's.

    Raises:
        ValueError: Points or image are not usable.
    """
    if isinstance(image, np.ndarray):
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise ValueError(f"image is {image.dtype} {image.shape}; expected uint8 [H, W, 3]")
        image = Image.fromarray(image)
    image = image.convert("RGB")
    return fit_crop(points, width=image.width, height=image.height).apply(image, size=size)


def solve_pose_from_five_points(
    points: Points, *, size: int = CROP_SIZE, focal: float = FOCAL
) -> Tensor:
    """Camera label [1, 25] of a crop, from its five points [5, 2] (continuous crop coordinates).

    Levenberg-Marquardt on the reprojection error of `CANONICAL_POINTS` under the fixed focal
    length, from several yaws; then, as EG3D does, the position is scaled to 2.7 from the origin.
    Exact for a face of average shape. Noses and smiles that are not average turn the result: by
    about 6 degrees (standard deviation) of yaw and of pitch over the heads of the embedded world.

    Args:
        points: The five points; see the module.
        size: Side of the crop in the points' pixels.
        focal: Focal length divided by the image size.

    Raises:
        ValueError: No camera in front of the face explains the points.
    """
    points = _five_points(points) / size - 0.5
    fits = [_fit_pose(points, focal, yaw) for yaw in START_YAWS]
    residual, rotation, translation = min(fits, key=lambda fit: fit[0])
    position = -rotation.T @ translation
    if residual > MAX_RESIDUAL or position[2] < 0:
        raise ValueError(
            f"the five points {np.round((points + 0.5) * size, 1).tolist()} are not those of a "
            f"face in a {size} px crop (off by {residual * size:.1f} px); expected the eye on the "
            "left of the picture, the eye on its right, nose tip, left and right corner of the "
            "mouth"
        )
    cam2world = torch.eye(4, dtype=torch.float64)
    cam2world[:3, :3] = torch.from_numpy(rotation.T)
    cam2world[:3, 3] = torch.from_numpy(position * (RADIUS / np.linalg.norm(position)))
    return make_label(cam2world, intrinsics_from_focal(focal)).float()


def _five_points(points: Points) -> np.ndarray:
    try:
        array = np.asarray(points, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"five points {points!r:.80} are not pairs of numbers") from error
    if array.shape != (5, 2) or not np.isfinite(array).all():
        raise ValueError(
            f"expected five finite points [5, 2], got {list(array.shape)}: {array.tolist()!s:.120}"
        )
    return array


def _fit_pose(
    points: np.ndarray, focal: float, start_yaw: float, *, steps: int = 60
) -> tuple[float, np.ndarray, np.ndarray]:
    """RMS error, world-to-camera rotation and translation nearest to one start."""
    cam2world, _ = split_label(look_at(start_yaw, 0.0)[0].double())
    rotation = cam2world[:3, :3].T.numpy()
    translation = -rotation @ cam2world[:3, 3].numpy()
    world = CANONICAL_POINTS.double().numpy()
    error, jacobian = _reprojection(world, points, focal, rotation, translation)
    damping = 1e-3
    for _ in range(steps):
        normal = jacobian.T @ jacobian
        step = np.linalg.solve(
            normal + damping * np.diag(np.diag(normal)) + 1e-15 * np.eye(6), -jacobian.T @ error
        )
        turn = _rotation_of(step[:3])
        trial = (turn @ rotation, turn @ translation + step[3:])
        trial_error, trial_jacobian = _reprojection(world, points, focal, *trial)
        if trial_error @ trial_error < error @ error:
            (rotation, translation), error, jacobian = trial, trial_error, trial_jacobian
            damping = max(damping / 10, 1e-12)
        else:
            damping = min(damping * 10, 1e12)
    return float(np.sqrt((error**2).sum() / len(points))), rotation, translation


def _reprojection(
    world: np.ndarray,
    points: np.ndarray,
    focal: float,
    rotation: np.ndarray,
    translation: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Errors [10] and their Jacobian [10, 6] by a turn in the camera's frame and a shift."""
    camera = world @ rotation.T + translation
    x, y, depth_z = camera.T
    if (depth_z < 1e-3).any():
        return np.full(10, 1e6), np.zeros((10, 6))
    zero = np.zeros_like(x)
    by_camera = (focal / depth_z)[:, None, None] * np.stack(
        [
            np.stack([zero + 1, zero, -x / depth_z], axis=-1),
            np.stack([zero, zero + 1, -y / depth_z], axis=-1),
        ],
        axis=1,
    )
    # d(turn(w) c)/dw = -[c]x
    by_turn = np.stack(
        [
            np.stack([zero, depth_z, -y], axis=-1),
            np.stack([-depth_z, zero, x], axis=-1),
            np.stack([y, -x, zero], axis=-1),
        ],
        axis=1,
    )
    jacobian = np.concatenate([by_camera @ by_turn, by_camera], axis=-1)
    error = focal * camera[:, :2] / depth_z[:, None] - points
    return error.ravel(), jacobian.reshape(10, 6)


def _rotation_of(vector: np.ndarray) -> np.ndarray:
    """Rodrigues' formula."""
    angle = np.linalg.norm(vector)
    if angle < 1e-12:
        return np.eye(3)
    x, y, z = vector / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
