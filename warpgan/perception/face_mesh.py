"""`face_mesh`: 468 points of a face, by MediaPipe's face mesh net (2D part).

Points are numbered as MediaPipe numbers them: 33 and 263 are the outer corners of the eyes (33 on
the left of the picture), 61 and 291 the corners of the mouth, 1 the tip of the nose. In a photo
they are pixel indices, (0, 0) being the centre of the first pixel, as in `warpgan.crop`.

The net wants the face upright and filling two thirds of its 192 px, so `find_mesh` cuts out a
square of 1.5 times the points' box, turned so that the eyes are level, and repeats that with the
points it got. Padding is TensorFlow's "same", see `SameConv`. Its third coordinate is left out: it
is a guess relative to the head's centre, of no use for a camera.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from warpgan import weights
from warpgan.perception.efficientnet import SameConv
from warpgan.perception.precision import full_precision
from warpgan.perception.storage import load_into

INPUT_SIZE = 192
POINTS = 468
MARGIN = 1.5
# The net's coordinates are taken as distances from the picture's edge: half a pixel more than an
# index. Faces and their mirror images bear this out to 0.15 px of the net's picture.
HALF_PIXEL = 0.5
LEFT_EYE = (33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7)
RIGHT_EYE = (263, 466, 388, 387, 386, 385, 384, 398, 362, 382, 381, 380, 374, 373, 390, 249)
NOSE_TIP, LEFT_MOUTH, RIGHT_MOUTH = 1, 61, 291
# (channels, halved first) of the trunk's blocks
TRUNK = ((16, False),) * 2 + tuple(
    (width, first) for width in (32, 64, 128, 128) for first in (True, False, False)
)
HEAD_WIDTH = 32


class Block(nn.Module):
    """Filter each channel, mix channels, add the input (pooled and zero-padded to fit)."""

    def __init__(self, width: int, channels: int, *, halved: bool) -> None:
        """Builds the block with unset weights."""
        super().__init__()
        stride = 2 if halved else 1
        self.depthwise = SameConv(width, width, 3, stride=stride, groups=width, bias=False)
        self.pointwise = nn.Conv2d(width, channels, 1)
        self.activation = nn.PReLU(channels)
        self.halved, self.added_channels = halved, channels - width

    def forward(self, x: Tensor) -> Tensor:
        """`[B, width, H, W]` to `[B, channels, H, W]`, or half of that size."""
        y = self.pointwise(self.depthwise(x))
        x = F.max_pool2d(x, 2) if self.halved else x
        return self.activation(F.pad(x, (0, 0, 0, 0, 0, self.added_channels)) + y)


class Head(nn.Sequential):
    """From the trunk's last map to ``outputs`` numbers."""

    def __init__(self, blocks: int, outputs: int) -> None:
        """Builds the head with unset weights: ``blocks`` blocks at the full width, one narrow."""
        width = TRUNK[-1][0]
        super().__init__(
            *[Block(width, width, halved=index == 0) for index in range(blocks)],
            nn.Conv2d(width, HEAD_WIDTH, 1),
            nn.PReLU(HEAD_WIDTH),
            Block(HEAD_WIDTH, HEAD_WIDTH, halved=False),
            nn.Conv2d(HEAD_WIDTH, outputs, 3),
            nn.Flatten(),
        )


class FaceMesh(nn.Module):
    """The net; differentiable."""

    def __init__(self) -> None:
        """Builds the net with unset weights."""
        super().__init__()
        self.stem = SameConv(3, TRUNK[0][0], 3, stride=2)
        self.activation = nn.PReLU(TRUNK[0][0])
        widths = [TRUNK[0][0], *(channels for channels, _ in TRUNK)]
        self.trunk = nn.Sequential(
            *[
                Block(width, channels, halved=halved)
                for width, (channels, halved) in zip(widths, TRUNK, strict=False)
            ]
        )
        self.mesh = Head(3, 3 * POINTS)
        self.presence = Head(1, 1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Finds the points of faces that fill about two thirds of their pictures.

        Args:
            images: `[B, 3, 192, 192]` in [-1, 1], upright.

        Returns:
            Points `[B, 468, 2]`, continuous coordinates of the picture in [0, 192]; and whether
            there is a face, `[B]` in (0, 1).

        Raises:
            ValueError: Pictures of another size.
        """
        if images.dim() != 4 or tuple(images.shape[1:]) != (3, INPUT_SIZE, INPUT_SIZE):
            raise ValueError(
                f"face_mesh needs pictures [B, 3, {INPUT_SIZE}, {INPUT_SIZE}], not "
                f"{list(images.shape)}"
            )
        with full_precision(images.device):
            x = self.trunk(self.activation(self.stem(images.float() / 2 + 0.5)))
            points = self.mesh(x).view(-1, POINTS, 3)[..., :2]
            return points, self.presence(x).sigmoid().flatten()


@dataclass(frozen=True)
class MeshLandmarks:
    """A face's points in a photo.

    Attributes:
        points: [468, 2] float64, pixel indices of the photo.
        presence: The net's own score that there is a face, in [0, 1].
    """

    points: np.ndarray
    presence: float

    def five(self) -> np.ndarray:
        """[5, 2]: eye centres, nose tip, mouth corners, in the order of `warpgan.crop`."""
        return five_of(self.points)


def five_of(points: np.ndarray) -> np.ndarray:
    """Five points [5, 2] of 468 points [468, 2], in the order of `warpgan.crop`."""
    eyes = [points[list(eye)].mean(axis=0) for eye in (LEFT_EYE, RIGHT_EYE)]
    return np.stack([*eyes, points[NOSE_TIP], points[LEFT_MOUTH], points[RIGHT_MOUTH]])


def build_face_mesh() -> FaceMesh:
    """The shipped net, frozen and in evaluation mode.

    Raises:
        FileNotFoundError: The net's file is absent.
    """
    net = load_into(FaceMesh(), weights.resolve("face_mesh"))
    assert isinstance(net, FaceMesh)
    return net


@dataclass(frozen=True)
class _Square:
    """A square window of a photo: centre [2] (continuous), side, and its two axes [2, 2]."""

    centre: np.ndarray
    side: float
    axes: np.ndarray  # rows: where the window's x and y point in the photo

    def to_photo(self, points: np.ndarray) -> np.ndarray:
        """Window coordinates in [0, 1] to continuous coordinates of the photo."""
        return self.centre + (points - 0.5) * self.side @ self.axes


def _window(points: np.ndarray, box: np.ndarray, margin: float) -> _Square:
    """The square around ``box`` [N, 2], with the eyes of the five ``points`` level."""
    across = points[1] - points[0]
    across = across / max(float(np.linalg.norm(across)), 1e-9)
    axes = np.stack([across, (-across[1], across[0])])
    turned = box @ axes.T
    low, high = turned.min(axis=0), turned.max(axis=0)
    return _Square((low + high) / 2 @ axes, margin * float((high - low).max()), axes)


def _first_window(points: np.ndarray) -> _Square:
    """A window for five points, which lie in the middle of the face's lower half."""
    eyes, mouth = points[:2].mean(axis=0), points[3:].mean(axis=0)
    down = mouth - eyes
    size = max(float(np.linalg.norm(points[1] - points[0])), 0.95 * float(np.linalg.norm(down)))
    across = points[1] - points[0]
    across = across / max(float(np.linalg.norm(across)), 1e-9)
    axes = np.stack([across, (-across[1], across[0])])
    return _Square(eyes + 0.42 * down, MARGIN * 2.6 * size, axes)


def _cut(image: Tensor, window: _Square) -> Tensor:
    """The window `[3, 192, 192]` out of a photo `[3, H, W]`; black beyond its edges."""
    height, width = image.shape[1:]
    corners = window.to_photo(np.array([[0, 0], [1, 0], [0, 1], [1, 1]], np.float64))
    low = np.floor(corners.min(axis=0) - 2).clip(0, (width, height)).astype(int)
    high = np.ceil(corners.max(axis=0) + 2).clip(0, (width, height)).astype(int)
    shrink = max(1, int(window.side / INPUT_SIZE))
    part = image[None, :, low[1] : high[1], low[0] : high[0]].float()
    if 0 in part.shape:
        return image.new_zeros(3, INPUT_SIZE, INPUT_SIZE, dtype=torch.float32)
    if shrink > 1:
        # averages of whole blocks first, so that bilinear sampling skips nothing
        part = F.avg_pool2d(part, shrink, ceil_mode=True)
    steps = (np.arange(INPUT_SIZE) + 0.5) / INPUT_SIZE
    grid = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    at = (window.to_photo(grid) - low) / shrink
    size = np.array([part.shape[3], part.shape[2]])
    at = torch.from_numpy(2 * at / size - 1).to(part).view(1, INPUT_SIZE, INPUT_SIZE, 2)
    return F.grid_sample(part, at, mode="bilinear", padding_mode="zeros", align_corners=False)[0]


@torch.no_grad()
def find_meshes(
    net: FaceMesh,
    image: np.ndarray,
    faces: Sequence[np.ndarray],
    *,
    rounds: int = 3,
    minimum_presence: float = 0.5,
) -> list[MeshLandmarks | None]:
    """Points of all faces of a photo; the net sees all of them at once.

    Args:
        net: See `build_face_mesh`.
        image: [H, W, 3] uint8.
        faces: Five points [5, 2] a face, pixel indices.
        rounds: How often the window is cut; the second and later ones are those of the points.
        minimum_presence: Below this score the answer is None.

    Returns:
        Points of each face, or None where the net sees none.

    Raises:
        ValueError: An image or points of another shape or kind.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f"image is {image.dtype} {image.shape}; expected uint8 [H, W, 3]")
    fives = [np.asarray(face, dtype=np.float64) + HALF_PIXEL for face in faces]
    for five in fives:
        if five.shape != (5, 2) or not np.isfinite(five).all():
            raise ValueError(f"expected five finite points [5, 2] a face, got {five.shape}")
    if not fives:
        return []
    device = net.stem.weight.device
    photo = torch.from_numpy(np.array(image)).permute(2, 0, 1).to(device)
    windows = [_first_window(five) for five in fives]
    for turn in range(rounds):
        crops = torch.stack([_cut(photo, window) for window in windows]) / 127.5 - 1
        found, presence = net(crops)
        meshes = [
            window.to_photo(points / INPUT_SIZE)
            for window, points in zip(windows, found.double().cpu().numpy(), strict=True)
        ]
        if turn < rounds - 1:
            windows = [_window(five_of(mesh), mesh, MARGIN) for mesh in meshes]
    return [
        MeshLandmarks(mesh - HALF_PIXEL, score) if score >= minimum_presence else None
        for mesh, score in zip(meshes, presence.tolist(), strict=True)
    ]


def find_mesh(
    net: FaceMesh,
    image: np.ndarray,
    points: np.ndarray,
    *,
    rounds: int = 3,
    minimum_presence: float = 0.5,
) -> MeshLandmarks | None:
    """`find_meshes` for one face."""
    return find_meshes(net, image, [points], rounds=rounds, minimum_presence=minimum_presence)[0]
