"""Cameras: 25-number labels, look-at poses, mirroring, projection.

Conventions, written once here and tested in ``tests/warpgan/test_cameras.py``:

* World: y up, the face looks along +z, +x is the subject's left (the viewer's right).
* Camera: OpenCV axes, x right, y down, z forward. ``cam2world`` maps camera to world coordinates.
* Label, 25 floats: ``cam2world`` 4x4 row-major, then the 3x3 intrinsics divided by the image size
  (``[[fx, skew, cx], [0, fy, cy], [0, 0, 1]]``; EG3D's faces have f 4.2647, centre .5).
* Pixel coordinates are continuous: the centre of pixel i of N is at (i + .5), of an image N wide.
* Angles for people are degrees: yaw > 0 puts the camera at +x, pitch > 0 above the face, as true
  elevation. EG3D's own offsets are radians on an equal-area scale whose + is below; only
  `eg3d_offsets` and `from_eg3d_offsets` know them.
* EG3D cameras orbit the origin at radius 2.7; the pivot (0, 0, .2) only turns the view.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from warpgan.labels import LABEL_LENGTH, ORBIT_RADIUS
from warpgan.labels import validate_label as validate_label

FOCAL = 4.2647
RADIUS = ORBIT_RADIUS
PIVOT = (0.0, 0.0, 0.2)

Angle = float | Sequence[float] | Tensor


def look_at(
    yaw_deg: Angle,
    pitch_deg: Angle,
    *,
    radius: Angle = RADIUS,
    pivot: Sequence[float] = PIVOT,
    roll_deg: Angle = 0.0,
    focal: Angle = FOCAL,
) -> Tensor:
    """Labels of cameras on a sphere about the origin that look at ``pivot``.

    Args:
        yaw_deg: Azimuth in degrees, a number or [N]; 0 is in front of the face, 90 at +x.
        pitch_deg: Elevation in degrees in (-90, 90), a number or [N]; > 0 is above.
        radius: Distance from the origin, a number or [N].
        pivot: World point in the middle of the view.
        roll_deg: Turn about the view axis in degrees, a number or [N]; > 0 turns the camera
            clockwise seen from behind it, so the picture's content turns counter-clockwise.
        focal: Focal length divided by the image size, a number or [N].

    Returns:
        Labels [N, 25] float32, N = 1 for plain numbers, on the device of the first tensor given.

    Raises:
        ValueError: An angle given as plain number is not finite, or a pitch is not in (-90, 90).
    """
    _check_angles(yaw_deg, "yaw_deg", math.inf)
    _check_angles(pitch_deg, "pitch_deg", 90.0)
    given = (yaw_deg, pitch_deg, radius, roll_deg, focal)
    yaw, pitch, distance, roll, focal = torch.broadcast_tensors(*_as_float64(*given))
    yaw, pitch, roll = (torch.deg2rad(angle) for angle in (yaw, pitch, roll))
    position = torch.stack(
        [
            distance * pitch.cos() * yaw.sin(),
            distance * pitch.sin(),
            distance * pitch.cos() * yaw.cos(),
        ],
        dim=-1,
    )
    to_pivot = torch.stack([pivot[axis] - position[..., axis] for axis in range(3)], dim=-1)
    forward = to_pivot / to_pivot.norm(dim=-1, keepdim=True)
    # forward x (0, 1, 0), written out so that no constant has to be put on a device
    sideways = torch.stack(
        [-forward[..., 2], torch.zeros_like(yaw), forward[..., 0]],
        dim=-1,
    )
    right = sideways / sideways.norm(dim=-1, keepdim=True)
    down = torch.linalg.cross(forward, right)
    cos, sin = roll.cos().unsqueeze(-1), roll.sin().unsqueeze(-1)
    right, down = cos * right + sin * down, cos * down - sin * right
    rotation_position = torch.stack([right, down, forward, position], dim=-1)
    last_row = torch.zeros_like(rotation_position[..., :1, :])
    last_row[..., 3] = 1.0
    cam2world = torch.cat([rotation_position, last_row], dim=-2)
    return make_label(cam2world, intrinsics_from_focal(focal)).float()


def frontal_label() -> Tensor:
    """The camera straight in front of the face, [1, 25]: EG3D's conditioning camera."""
    return look_at(0.0, 0.0)


def intrinsics_from_focal(focal: Angle) -> Tensor:
    """Intrinsics [..., 3, 3] of ``focal`` = f / image size [...] ([1, 3, 3] for a number).

    The principal point is the middle of the image.
    """
    (focal,) = _as_float64(focal)
    zero, half, one = torch.zeros_like(focal), torch.full_like(focal, 0.5), torch.ones_like(focal)
    rows = [focal, zero, half, zero, focal, half, zero, zero, one]
    return torch.stack(rows, dim=-1).unflatten(-1, (3, 3))


def focal_from_fov(fov_deg: float) -> float:
    """EG3D's focal length / image size for its ``fov_deg``, the *diagonal* field of view.

    Literal constants as released (3.14159 and 1.414): 18.837 gives 4.2634, not the 4.2647 of the
    labels.
    """
    return 1.0 / (math.tan(fov_deg * 3.14159 / 360.0) * 1.414)


def split_label(label: Tensor) -> tuple[Tensor, Tensor]:
    """Split labels [..., 25] into ``cam2world`` [..., 4, 4] and normalised intrinsics [..., 3, 3].

    Raises:
        ValueError: The last axis is not 25 long.
    """
    if label.shape[-1:] != (LABEL_LENGTH,):
        raise ValueError(
            f"camera label has shape {list(label.shape)}; expected [..., 25]: cam2world 4x4 "
            "row-major, then intrinsics 3x3 divided by the image size"
        )
    return label[..., :16].unflatten(-1, (4, 4)), label[..., 16:].unflatten(-1, (3, 3))


def make_label(cam2world: Tensor, intrinsics: Tensor) -> Tensor:
    """Join ``cam2world`` [..., 4, 4] and normalised intrinsics [..., 3, 3] to labels [..., 25].

    Leading axes are broadcast against each other.

    Raises:
        ValueError: Not 4x4 and 3x3 matrices.
    """
    if cam2world.shape[-2:] != (4, 4) or intrinsics.shape[-2:] != (3, 3):
        raise ValueError(
            f"expected cam2world [..., 4, 4] and intrinsics [..., 3, 3], got "
            f"{list(cam2world.shape)} and {list(intrinsics.shape)}"
        )
    pose, lens = cam2world.flatten(-2), intrinsics.flatten(-2)
    lead = torch.broadcast_shapes(pose.shape[:-1], lens.shape[:-1])
    return torch.cat([pose.expand(*lead, 16), lens.expand(*lead, 9)], dim=-1)


def mirror_label(label: Tensor) -> Tensor:
    """Labels [..., 25] of the cameras that see the mirrored world as a flipped image.

    Pose S M S with S = diag(-1, 1, 1, 1); cx -> 1 - cx, skew -> -skew.
    """
    split_label(label)
    mirrored = label.clone()
    mirrored[..., 1:5] = -label[..., 1:5]
    mirrored[..., 8] = -label[..., 8]
    mirrored[..., 17] = -label[..., 17]
    mirrored[..., 18] = 1 - label[..., 18]
    return mirrored


def to_camera(points: Tensor, label: Tensor) -> Tensor:
    """World points [..., M, 3] in camera coordinates [..., M, 3]; the last number is ``depth_z``.

    Args:
        points: World points [..., M, 3].
        label: Labels [..., 25]; leading axes are broadcast against those of ``points``.
    """
    cam2world, _ = split_label(label)
    offset = points - cam2world[..., None, :3, 3]
    # R^T offset as an elementwise sum: a matrix product could lose digits to TF32 or autocast
    return (offset.unsqueeze(-1) * cam2world[..., None, :3, :3]).sum(dim=-2)


def project(points: Tensor, label: Tensor, *, size: float | tuple[float, float] = 1.0) -> Tensor:
    """Pixel coordinates [..., M, 2] (x right, y down) of world points.

    Args:
        points: World points [..., M, 3], in front of the camera.
        label: Labels [..., 25]; leading axes are broadcast against those of ``points``.
        size: Image side, or (width, height); 1 gives coordinates in [0, 1].
    """
    x, y, depth_z = to_camera(points, label).unbind(-1)
    x, y = x / depth_z, y / depth_z
    lens = label[..., 16:].unsqueeze(-1)
    width, height = size if isinstance(size, tuple) else (size, size)
    u = lens[..., 0, :] * x + lens[..., 1, :] * y + lens[..., 2, :]
    v = lens[..., 4, :] * y + lens[..., 5, :]
    return torch.stack([u * width, v * height], dim=-1)


def yaw_pitch(label: Tensor) -> tuple[Tensor, Tensor]:
    """Yaw and pitch in degrees, each [...], of the camera *positions* of labels [..., 25]."""
    cam2world, _ = split_label(label)
    x, y, z = cam2world[..., :3, 3].unbind(-1)
    return torch.rad2deg(torch.atan2(x, z)), torch.rad2deg(torch.atan2(y, torch.hypot(x, z)))


def eg3d_offsets(yaw_deg: Angle, pitch_deg: Angle) -> tuple[Tensor, Tensor]:
    """EG3D's (yaw, pitch) offsets in radians for true angles in degrees.

    EG3D's look-at sampler takes pi/2 + offset for both. Its pitch is equal-area, the height of the
    camera being -2 pitch / pi of the radius: + is below, and .2 is 7.3 degrees.
    """
    yaw, pitch = _as_float64(yaw_deg, pitch_deg)
    return torch.deg2rad(yaw), -math.pi / 2 * torch.deg2rad(pitch).sin()


def from_eg3d_offsets(yaw_offset: Angle, pitch_offset: Angle) -> tuple[Tensor, Tensor]:
    """True (yaw_deg, pitch_deg) of EG3D's offsets in radians; the inverse of `eg3d_offsets`.

    As in EG3D, pi/2 + pitch_offset is clamped to [1e-5, pi - 1e-5].
    """
    yaw, pitch = _as_float64(yaw_offset, pitch_offset)
    pitch = pitch.clamp(1e-5 - math.pi / 2, math.pi / 2 - 1e-5)
    return torch.rad2deg(yaw), torch.rad2deg(torch.asin(-2 * pitch / math.pi))


def _as_float64(*values: Angle) -> list[Tensor]:
    """Values as float64 tensors of at least one axis, on the device of the first tensor."""
    devices = [value.device for value in values if isinstance(value, Tensor)]
    device = devices[0] if devices else torch.device("cpu")
    tensors = (torch.as_tensor(value, dtype=torch.float64, device=device) for value in values)
    return [tensor if tensor.ndim else tensor.unsqueeze(0) for tensor in tensors]


def _check_angles(angle: Angle, name: str, limit: float) -> None:
    if isinstance(angle, Tensor):
        return
    for value in np.asarray(angle, dtype=np.float64).ravel():
        if not abs(value) < limit:
            raise ValueError(
                f"{name} {value:g} must be a finite number of degrees"
                + (f" between -{limit:g} and {limit:g}" if limit < math.inf else "")
            )


def _canonical_points() -> Tensor:
    """Unproject `CANONICAL_PIXELS` to the depths of the standard face, its eyes at z .19."""
    pixels = torch.tensor(CANONICAL_PIXELS, dtype=torch.float64) / 256 - 0.5
    standard = torch.tensor(STANDARD_POINTS, dtype=torch.float64)
    eye_depth = RADIUS - 0.19
    scale = eye_depth / FOCAL * (pixels[1, 0] - pixels[0, 0]) / (standard[1, 0] - standard[0, 0])
    eyes, nose, mouth = standard[:2, 2].mean(), standard[2, 2], standard[3:, 2].mean()
    forward = torch.stack([eyes, eyes, nose, mouth, mouth]) - eyes
    depth_z = eye_depth - scale * forward
    x, y = (pixels * depth_z.unsqueeze(-1) / FOCAL).unbind(-1)
    return torch.stack([x, -y, RADIUS - depth_z], dim=-1).float()


CANONICAL_PIXELS = ((93.8, 96.1), (162.0, 96.2), (128.4, 133.1), (100.3, 169.8), (155.3, 169.8))
"""Five points of a frontal EG3D crop of 256 px: the viewer's left eye, right eye, nose tip, left
and right corner of the mouth."""

STANDARD_POINTS = (
    (-0.311487, 0.290361, 0.133780),
    (0.309799, 0.289720, 0.131795),
    (0.003253, -0.046179, 0.552442),
    (-0.252169, -0.381339, 0.224057),
    (0.248466, -0.381282, 0.222358),
)
"""The same five points of Deep3DFaceRecon's mean face (x right, y up, z to the viewer), to which
EG3D's crop is fitted."""

CANONICAL_POINTS: Tensor = _canonical_points()
"""[5, 3] float32: the world points that the frontal label projects to `CANONICAL_PIXELS`."""
