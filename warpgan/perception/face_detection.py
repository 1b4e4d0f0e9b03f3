"""Faces in a photo: their boxes and five points each.

Points are in the order and the convention of `warpgan.crop`: the eye on the left of the picture,
the eye on its right, nose tip, left and right corner of the mouth; pixel indices, (0, 0) being the
centre of the first pixel. MTCNN's own numbers are taken as such indices without any shift, as EG3D
takes them. They are not quite symmetric: a photo and its mirror image show that the points lie
about half a pixel of the last net's 48 px crop too far right, 1.2 % of the face's width. The points
of `warpgan.perception.face_mesh` do not have that.

MTCNN was made for upright faces. On the embedded world it still finds most faces rolled by 45
degrees, but the points of those rolled beyond 20 are two to four times as far off. If the photo as
it is holds no certain face, it is also looked at turned about its centre by each of `TURNS`; what
is found there is mapped back and joined with the rest. A photo with one certain face is not
searched for others that only show when turned, unless asked.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torchvision.ops import nms

from warpgan import weights
from warpgan.perception.mtcnn import Mtcnn
from warpgan.perception.storage import load_into

MAX_SIDE = 1600
MINIMUM_FACE = 20.0
MINIMUM_SHARE = 1 / 40
CERTAIN = 0.98
TURNS = (35.0, -35.0)
SAME_FACE = 0.4


@dataclass(frozen=True)
class DetectedFace:
    """One face of a photo.

    Attributes:
        box: Left, top, right, bottom; pixel indices of the upright photo, possibly beyond its edge.
        confidence: The last net's probability, in [0, 1].
        points: [5, 2] float64, see the module.
    """

    box: tuple[float, float, float, float]
    confidence: float
    points: np.ndarray

    @property
    def size(self) -> float:
        """Width and height together, pixels."""
        left, top, right, bottom = self.box
        return right - left + bottom - top


@dataclass(frozen=True)
class _Turned:
    """A photo turned about its centre onto a canvas that holds all of it.

    Attributes:
        size: Width and height of the photo.
        turn_deg: Counter-clockwise as seen, degrees.
    """

    size: tuple[int, int]
    turn_deg: float

    @property
    def matrix(self) -> np.ndarray:
        """[2, 2] from offsets on the canvas to offsets in the photo (y down)."""
        cos, sin = np.cos(np.deg2rad(self.turn_deg)), np.sin(np.deg2rad(self.turn_deg))
        return np.array([[cos, -sin], [sin, cos]])

    @property
    def canvas(self) -> tuple[int, int]:
        """Width and height of the canvas."""
        width, height = np.ceil(np.abs(self.matrix) @ self.size - 1e-6).astype(int)
        return int(width), int(height)

    def apply(self, photo: Image.Image) -> Image.Image:
        """The turned photo, black around it."""
        centre = np.array(self.size) / 2 - self.matrix @ (np.array(self.canvas) / 2)
        (a, b), (d, e) = self.matrix
        return photo.transform(
            self.canvas,
            Image.Transform.AFFINE,
            (a, b, centre[0], d, e, centre[1]),
            resample=Image.Resampling.BILINEAR,
        )

    def to_photo(self, points: np.ndarray) -> np.ndarray:
        """Canvas points [..., 2] (pixel indices) as photo points."""
        offset = points + 0.5 - np.array(self.canvas) / 2
        return offset @ self.matrix.T + np.array(self.size) / 2 - 0.5


class FaceDetector:
    """MTCNN with the shipped weights."""

    def __init__(self, *, device: torch.device | str = "cpu") -> None:
        """Loads the nets.

        Args:
            device: Where they run.

        Raises:
            FileNotFoundError: The nets' file is absent.
        """
        self.device = torch.device(device)
        net = load_into(Mtcnn(), weights.resolve("face_mtcnn")).to(self.device)
        assert isinstance(net, Mtcnn)
        self.net = net

    def detect(
        self,
        image: np.ndarray,
        *,
        minimum_face: float | None = None,
        turns: Sequence[float] | None = None,
    ) -> list[DetectedFace]:
        """Finds the faces of a photo.

        A photo with a side above `MAX_SIDE` is reduced first; memory stays bounded.

        Args:
            image: [H, W, 3] uint8, upright.
            minimum_face: Side of the smallest face looked for, photo pixels; by default a 40th of
                the photo's longer side, and never below 20 px of what the nets see.
            turns: Degrees to turn the photo by as well; by default `TURNS` if the photo as it is
                holds no face above `CERTAIN`.

        Returns:
            The faces, the largest (width + height) first; empty if there is none.

        Raises:
            ValueError: An image of another shape or kind.
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
            raise ValueError(f"image is {image.dtype} {image.shape}; expected uint8 [H, W, 3]")
        photo = Image.fromarray(image)
        longest = max(photo.size)
        if longest > MAX_SIDE:
            ratio = MAX_SIDE / longest
            size = (max(1, round(photo.width * ratio)), max(1, round(photo.height * ratio)))
            photo = photo.resize(size, Image.Resampling.BOX)
        scale = np.array([image.shape[1], image.shape[0]]) / photo.size
        wanted = longest * MINIMUM_SHARE if minimum_face is None else minimum_face
        smallest = max(MINIMUM_FACE, wanted / float(scale.max()))
        faces = self._look(photo, 0.0, smallest)
        if turns is None:
            certain = any(face.confidence >= CERTAIN for face in faces)
            turns = () if certain else TURNS
        for turn in turns:
            faces += self._look(photo, turn, smallest)
        faces = [_scaled(face, scale) for face in _best_of_each(faces)]
        return sorted(faces, key=lambda face: -face.size)

    def _look(self, photo: Image.Image, turn_deg: float, smallest: float) -> list[DetectedFace]:
        """The faces of the photo turned by an angle, in the photo's own pixels."""
        turned = _Turned(photo.size, turn_deg)
        seen = photo if turn_deg == 0 else turned.apply(photo)
        pixels = torch.from_numpy(np.array(seen)).permute(2, 0, 1).to(self.device)
        found = self.net(pixels, minimum_size=smallest)
        boxes, points = (x.double().cpu().numpy() for x in (found.boxes, found.points))
        faces = []
        for box, score, five in zip(boxes, found.scores.tolist(), points, strict=True):
            # a turned box keeps its size: what matters is where it is
            centre, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2
            middle = turned.to_photo(centre) if turn_deg else centre
            five = turned.to_photo(five) if turn_deg else five
            if ((middle >= -0.5) & (middle < np.array(photo.size) - 0.5)).all():
                faces.append(DetectedFace((*(middle - half), *(middle + half)), score, five))
        return faces


def _best_of_each(faces: list[DetectedFace]) -> list[DetectedFace]:
    """Of faces found at the same place under several turns, the most certain one."""
    if len(faces) < 2:
        return faces
    boxes = torch.tensor([face.box for face in faces], dtype=torch.float64)
    scores = torch.tensor([face.confidence for face in faces], dtype=torch.float64)
    return [faces[index] for index in nms(boxes, scores, SAME_FACE).tolist()]


def _scaled(face: DetectedFace, scale: np.ndarray) -> DetectedFace:
    """A face of the reduced photo in the pixels of the photo itself."""
    corners = (np.array(face.box).reshape(2, 2) + 0.5) * scale - 0.5
    left, top, right, bottom = corners.ravel().tolist()
    return DetectedFace(
        (left, top, right, bottom), face.confidence, (face.points + 0.5) * scale - 0.5
    )
