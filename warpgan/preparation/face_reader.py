"""`FaceReader`: a photo and one of its faces to an upright crop and the crop's camera.

    reader = FaceReader()
    for face in reader.detect(photo):
        prepared = reader.read(photo, face)

The face is turned upright (`alignment`), cropped as EG3D crops, and its camera estimated in several
ways (`camera`). A face that no honest camera can be given to is refused: `UnusableFace`, whose
``kind`` is one of `KINDS`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from warpgan.cameras import CANONICAL_POINTS
from warpgan.crop import CROP_SIZE
from warpgan.perception.face_detection import DetectedFace, FaceDetector
from warpgan.perception.face_mesh import build_face_mesh, find_mesh, five_of
from warpgan.perception.pose_net import build_pose_net
from warpgan.preparation.alignment import Alignment, align, cut, eye_roll_deg, outside_share
from warpgan.preparation.camera import (
    ESTIMATES,
    Agreement,
    DenseEstimate,
    PoseEstimate,
    combine,
    from_dense_points,
    from_direction,
    from_five_points,
    label_framing,
)
from warpgan.preparation.dense_head import dense_head
from warpgan.preparation.label_fit import PointModel
from warpgan.preparation.refusals import KINDS as KINDS
from warpgan.preparation.refusals import (
    UnusableFace,
    check_inside,
    check_outside,
    check_pose,
    check_size,
)

FRAMINGS = ("eg3d", "label")
LEAST_CONFIDENCE = 0.95
"""A face in which the landmark net sees none needs a detector that sure."""
ROLL_TOLERANCE_DEG = 1.0
TURNS = 3
"""At most so many alignments: by the eyes, then by the roll of the camera found."""
REGRESSOR_SIZE = 128


@dataclass(frozen=True)
class PreparedFace:
    """A crop that is ready for the networks.

    Attributes:
        crop: [size, size, 3] uint8.
        camera: [25] float32 label of the crop, the combined estimate.
        points: [5, 2] float64 in the crop, continuous coordinates, as the detector gave them.
        mesh: [468, 2] float64 in the crop, or None if the mesh net saw no face.
        to_crop: [2, 3] float64, photo pixel indices to continuous crop coordinates.
        estimates: By name, see `warpgan.preparation.camera.ESTIMATES`.
        confidence: 0..1, from the agreement of dense points and regressor.
        agreement_deg: Angle between their view directions.
        turned_deg: Camera roll that the alignment took out.
        outside: Share of the crop beyond the photo's edge, 0..1.
    """

    crop: np.ndarray
    camera: Tensor
    points: np.ndarray
    mesh: np.ndarray | None
    to_crop: np.ndarray
    estimates: Mapping[str, PoseEstimate]
    confidence: float
    agreement_deg: float
    turned_deg: float
    outside: float


class FaceReader:
    """All nets of the preparation, loaded once."""

    def __init__(
        self, *, device: torch.device | str = "cpu", heads: str = "portraits", framing: str = "eg3d"
    ) -> None:
        """Loads the nets.

        Args:
            device: Where they run.
            heads: Build of the dense head, see `warpgan.preparation.dense_head`.
            framing: ``eg3d``: EG3D's crop of the five points. ``label``: moved and zoomed to where
                the label with its fixed distance has the head; `warpgan.preparation.camera`.

        Raises:
            FileNotFoundError: A net's file is absent.
            ValueError: An unknown build or framing.
        """
        if framing not in FRAMINGS:
            raise ValueError(f"framing {framing!r} is unknown; choose one of {', '.join(FRAMINGS)}")
        self.device = torch.device(device)
        self.framing = framing
        self.head = dense_head(heads)
        self.five_model = PointModel.rigid(CANONICAL_POINTS.double().numpy())
        self.detector = FaceDetector(device=self.device)
        self.mesh_net = build_face_mesh().to(self.device)
        self.pose_net = build_pose_net().to(self.device)

    def detect(self, photo: np.ndarray) -> list[DetectedFace]:
        """The faces of a photo [H, W, 3] uint8, upright, the largest first."""
        return self.detector.detect(photo)

    def read(
        self,
        photo: np.ndarray,
        face: DetectedFace,
        *,
        size: int = CROP_SIZE,
        roll_align: bool = True,
        border: str = "reflect",
        min_confidence: float = 0.0,
    ) -> PreparedFace:
        """Crop a face and estimate its camera.

        Args:
            photo: [H, W, 3] uint8, upright.
            face: One that `detect` found.
            size: Side of the crop.
            roll_align: Turn the photo so that the camera has no roll; else it has the photo's.
            border: What lies beyond the photo's edge, see `warpgan.preparation.alignment`.
            min_confidence: Below it the face is refused as ``pose not certain``.

        Raises:
            UnusableFace: See `KINDS`.
            ValueError: An unknown border, or a size below 1.
        """
        height, width = photo.shape[:2]
        five = np.asarray(face.points, np.float64)
        check_size(five)
        found = find_mesh(self.mesh_net, photo, five)
        mesh = None if found is None else found.points
        if mesh is None and face.confidence < LEAST_CONFIDENCE:
            raise UnusableFace(
                "no face",
                f"the detector is {100 * face.confidence:.0f} % sure of a face, and the landmark "
                "net sees none",
            )
        check_inside(five if mesh is None else mesh, width, height)
        turned = 0.0
        if roll_align:
            turned = eye_roll_deg(five if mesh is None else five_of(mesh))
        for _ in range(TURNS):
            read = self._estimated(photo, five, mesh, turned_deg=turned, size=size, border=border)
            left = read.agreement.combined.roll
            if not roll_align or abs(left) <= ROLL_TOLERANCE_DEG:
                break
            turned += left
        alignment, agreement = read.alignment, read.agreement
        if agreement.confidence < min_confidence:
            raise UnusableFace(
                "pose not certain",
                f"the estimates differ by {agreement.agreement_deg:.0f} degrees (confidence "
                f"{agreement.confidence:.2f}, at least {min_confidence:.2f} was asked for)",
            )
        outside = outside_share(alignment, width=width, height=height)
        check_outside(outside)
        return PreparedFace(
            crop=cut(photo, alignment, border=border),
            camera=agreement.combined.camera,
            points=alignment.map(five),
            mesh=None if mesh is None else alignment.map(mesh),
            to_crop=alignment.to_crop,
            estimates=_with_five_points(read, five),
            confidence=agreement.confidence,
            agreement_deg=agreement.agreement_deg,
            turned_deg=alignment.turned_deg,
            outside=outside,
        )

    def _estimated(
        self,
        photo: np.ndarray,
        five: np.ndarray,
        mesh: np.ndarray | None,
        *,
        turned_deg: float,
        size: int,
        border: str,
    ) -> "_Reading":
        """The crop of a photo turned by ``turned_deg``, and all estimates of its camera."""
        height, width = photo.shape[:2]
        try:
            alignment = align(five, width=width, height=height, size=size, turned_deg=turned_deg)
        except ValueError as error:
            raise UnusableFace("five points make no face", str(error)) from error
        estimates: dict[str, PoseEstimate] = {}
        framed = alignment
        if mesh is not None:
            dense = from_dense_points(alignment.map(mesh), self.head, size=size)
            if self.framing == "label":
                alignment = self._framed(alignment, mesh, dense, upright=False)
                dense = from_dense_points(alignment.map(mesh), self.head, size=size)
            framed = self._framed(alignment, mesh, dense, upright=True)
            estimates["dense"] = dense.estimate
        if mesh is None:
            try:
                estimates["five_points"] = from_five_points(alignment.map(five), size=size)
            except ValueError as error:
                raise UnusableFace("five points make no face", str(error)) from error
        trusted = estimates["five_points" if mesh is None else "dense"]
        check_pose(trusted, dense=mesh is not None)
        points = alignment.map(five if mesh is None else mesh)
        model = self.five_model if mesh is None else self.head
        estimates["regressor"] = from_direction(
            self._regressed(photo, framed, border), points, model, start=trusted.camera, size=size
        )
        agreement = combine(estimates, points, model, size=size)
        return _Reading(alignment, agreement, estimates | {"combined": agreement.combined})

    def _framed(
        self, alignment: Alignment, mesh: np.ndarray, dense: DenseEstimate, *, upright: bool
    ) -> Alignment:
        size = alignment.size
        framing = label_framing(alignment.map(mesh), dense, self.head, size=size, upright=upright)
        return alignment.reframed(
            scale=framing.scale, shift=framing.shift, turn_deg=framing.turn_deg
        )

    @torch.no_grad()
    def _regressed(self, photo: np.ndarray, alignment: Alignment, border: str) -> np.ndarray:
        """View direction [3] that the pose net reads off the crop."""
        ratio = REGRESSOR_SIZE / alignment.size
        small = Alignment(alignment.to_crop * ratio, REGRESSOR_SIZE, alignment.turned_deg)
        pixels = cut(photo, small, border=border)
        image = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].to(self.device)
        direction = self.pose_net(image.float() / 127.5 - 1)[0]
        return direction.double().cpu().numpy()


@dataclass(frozen=True)
class _Reading:
    alignment: Alignment
    agreement: Agreement
    estimates: Mapping[str, PoseEstimate]


def _with_five_points(read: _Reading, five: np.ndarray) -> dict[str, PoseEstimate]:
    """All estimates in order; that of the five points is left out where they make no face."""
    estimates = dict(read.estimates)
    if "five_points" not in estimates:
        try:
            points = read.alignment.map(five)
            estimates["five_points"] = from_five_points(points, size=read.alignment.size)
        except ValueError:
            # the dense points have a camera: the detector's own five were merely misplaced
            pass
    return {name: estimates[name] for name in ESTIMATES if name in estimates}
