"""One portrait: a head of a latent and a detail seed, seen through any EG3D camera."""

from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import torch
from torch import Tensor

from warpgan.cameras import split_label
from warpgan.data.portraits.appearance import (
    Appearance,
    Cloth,
    appearance_of,
    sample_latents,
)
from warpgan.data.portraits.detail import CLEAN, Detail, draw_detail
from warpgan.data.portraits.glasses import build_glasses
from warpgan.data.portraits.hair import build_hair, hair_distance
from warpgan.data.portraits.head import (
    PUPIL_BULGE,
    body_vertices,
    head_asset,
    lash_coordinates,
    shape_vertices,
)
from warpgan.data.portraits.landmarks import landmarks_of
from warpgan.data.portraits.noise import STRANDS, VOLUME
from warpgan.data.portraits.paint import beard_amount, clothed_vertices
from warpgan.data.portraits.raster import LASH, Mesh, rasterise, vertex_normals
from warpgan.data.portraits.shading import resolve, shade

NEAR, FAR = 2.3, 3.46
"""Ray lengths between which everything visible lies, for cameras at radius 2.7."""
BACKDROP_CENTRE = (0.0, 0.0, 0.0)
BACKDROP_RADIUS = 0.75
BOX_CENTRE = (0.0, -0.06, 0.0)
BOX_WARP = 1.0
"""Side of the cube round `BOX_CENTRE` that holds head, hair and shoulders in view."""

_SHADOW_SIZE = 192
_SHADOW_HALF = 0.62


@dataclass(frozen=True)
class View:
    """A rendered view.

    Attributes:
        image: [H, W, 3] uint8 RGB.
        depth_z: [H, W] float32, camera z of the nearest surface, backdrop included.
        mask: [H, W] float32 in [0, 1], coverage by the person.
        camera: [25] float32 label it was seen with.
    """

    image: np.ndarray
    depth_z: np.ndarray
    mask: np.ndarray
    camera: np.ndarray

    @property
    def ray_length(self) -> np.ndarray:
        """[H, W] float32: Euclidean length along each pixel's ray."""
        size = self.depth_z.shape[0]
        lens = self.camera[16:].reshape(3, 3).astype(np.float64)
        centre = (np.arange(size) + 0.5) / size
        y = ((centre - lens[1, 2]) / lens[1, 1])[:, None]
        x = (centre[None] - lens[0, 2] - lens[0, 1] * y) / lens[0, 0]
        return (self.depth_z * np.sqrt(1 + x * x + y * y)).astype(np.float32)


def camera_arrays(camera: Tensor | np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Label [25] float32, cam2world [4, 4] and intrinsics [3, 3] float64 of a label."""
    label = torch.as_tensor(camera, dtype=torch.float32).detach().cpu().reshape(-1)
    cam2world, intrinsics = split_label(label)
    return label.numpy(), cam2world.double().numpy(), intrinsics.double().numpy()


@dataclass(frozen=True)
class Attributes:
    """What a person looks like, in plain words and numbers.

    Amounts are 0..1 unless said; `age` is in years (a rough reading of the body model's scale).
    """

    age: float
    male: float
    african: float
    asian: float
    caucasian: float
    smile: float
    anger: float
    brow_raise: float
    jaw_open: float
    beard: float
    glasses: float
    hair_length: float
    fringe: float
    curl: float
    bald: float
    makeup: float
    details: tuple[str, ...]


class Portrait:
    """A person: geometry, paint, light and backdrop, ready to be seen from anywhere.

    Args:
        z: [LATENT_DIM] what a latent can say; see `sample_latents`.
        detail_seed: what it cannot (marks, patterns, style of the glasses); None is clean.

    Raises:
        ValueError: z has another shape or is not finite.
    """

    def __init__(self, z: np.ndarray, *, detail_seed: int | None = None) -> None:
        """Decode the latent; geometry is built when first asked for."""
        self.z = np.asarray(z, np.float32)
        self.detail_seed = detail_seed
        self.look: Appearance = appearance_of(self.z)
        self.detail: Detail = CLEAN
        if detail_seed is not None:
            self.detail = draw_detail(detail_seed, self.look.skin.base)

    @classmethod
    def sample(cls, seed: int, *, detail: bool = True) -> "Portrait":
        """The person of a seed, with details of the same seed unless `detail` is false."""
        return cls(sample_latents(1, seed)[0], detail_seed=seed if detail else None)

    @property
    def attributes(self) -> Attributes:
        """What the person looks like."""
        look, traits = self.look, self.look.traits
        tags = self.detail.tags
        if look.glasses > 0.5:
            tags += ("sun glasses" if self.detail.glasses.tint > 0 else "glasses",)
        smile, anger, brow, jaw = map(float, look.expression)
        return Attributes(
            age=float(np.interp(traits["age"], (0.6, 0.67, 1.0), (18.0, 25.0, 80.0))),
            male=traits["gender"],
            african=traits["african"],
            asian=traits["asian"],
            caucasian=traits["caucasian"],
            smile=smile,
            anger=anger,
            brow_raise=brow,
            jaw_open=jaw,
            beard=look.skin.beard_amount,
            glasses=look.glasses,
            hair_length=look.cut.length,
            fringe=look.cut.fringe,
            curl=look.cut.curl,
            bald=look.cut.bald,
            makeup=look.makeup,
            details=tags,
        )

    @cached_property
    def head_vertices(self) -> np.ndarray:
        """[V, 3] float64: the bare head in the EG3D frame."""
        return shape_vertices(self.look.identity, self.look.expression)

    def five_points(self) -> np.ndarray:
        """Eyes (viewer's left first), nose tip, mouth corners [5, 3] float32, world.

        An eye is where a landmark detector sees it: at the pupil, in the plane of its lids'
        corners.
        """
        points = self.head_vertices[head_asset().five_points].astype(np.float32)
        points[:2, 2] -= PUPIL_BULGE
        return points

    def landmarks(self) -> np.ndarray:
        """[5, 3] float32, world: where pictures show pupils, nose tip and mouth corners."""
        return landmarks_of(self.head_vertices).astype(np.float32)

    def render(self, camera: Tensor | np.ndarray, *, size: int = 128, supersample: int = 2) -> View:
        """See the person.

        Args:
            camera: label [25] (or [1, 25]); any pose and intrinsics.
            size: image side in pixels.
            supersample: samples a pixel side.

        Raises:
            ValueError: size or supersample below 1, or a label of another length.
        """
        if size < 1 or supersample < 1:
            raise ValueError(
                f"render: size {size} and supersample {supersample} must both be 1 or more"
            )
        label, cam2world, intrinsics = camera_arrays(camera)
        raster = size * supersample
        seen = rasterise(self.mesh, cam2world, intrinsics, size=raster)
        asset, look, detail, mesh = head_asset(), self.look, self.detail, self.mesh
        paints = (
            look.light, look.skin, look.brow, look.hair, look.cloth, look.backdrop,
            detail.cloth, detail.backdrop, detail.freckles, detail.glasses.colour,
        )  # fmt: skip
        shadow, shadow_frame = self._shadow
        samples = np.empty((raster, raster, 3), np.float32)
        shade(
            cam2world, intrinsics, mesh.faces, mesh.kinds, mesh.normals, mesh.vertices, mesh.rest,
            mesh.occlusion, mesh.cut, asset.mask_uv, asset.masks, VOLUME, STRANDS,
            asset.eye_centres, detail.marks, paints, shadow, shadow_frame,
            np.array([*BACKDROP_CENTRE, BACKDROP_RADIUS]), seen.face, seen.weights, seen.depth_z,
            samples,
        )  # fmt: skip
        image = np.empty((size, size, 3), np.uint8)
        depth_z = np.empty((size, size), np.float32)
        mask = np.empty((size, size), np.float32)
        resolve(samples, seen.depth_z, seen.face, supersample, image, depth_z, mask)
        return View(image, depth_z, mask, label)

    @cached_property
    def mesh(self) -> Mesh:
        """Everything the person consists of."""
        asset, static, look = head_asset(), _static(), self.look
        normals = vertex_normals(self.head_vertices, asset.faces)
        clothed = static.clothed(look.cloth)
        lift = 0.012 * clothed + 0.013 * look.skin.beard_amount**2 * static.beard
        distance = hair_distance(asset.mean, look.cut)
        distance[~static.scalp] = -1.0
        vertices = self.head_vertices + normals * lift[:, None]
        body = Mesh(
            vertices=vertices,
            normals=vertex_normals(vertices, asset.faces),
            rest=static.rest,
            occlusion=asset.occlusion,
            cut=distance,
            faces=asset.faces,
            kinds=asset.kinds,
        )
        parts = [body, *build_hair(self.head_vertices, look.cut)]
        if look.glasses > 0:
            parts += build_glasses(self.head_vertices, self.detail.glasses, look.glasses)
        return Mesh.join(parts)

    @cached_property
    def _shadow(self) -> tuple[np.ndarray, np.ndarray]:
        """Depth map along the key light [S, S] and the map [4, 4] from world to it."""
        light = self.look.light
        towards = np.array([light.x, light.y, light.z])
        right = np.cross([0.0, 1.0, 0.0], towards)
        right /= np.linalg.norm(right)
        up = np.cross(towards, right)
        far = 40.0
        cam2world = np.eye(4)
        cam2world[:3, :3] = np.stack([right, -up, -towards], 1)
        cam2world[:3, 3] = towards * far
        focal = far / (2 * _SHADOW_HALF)
        lens = np.array([[focal, 0.0, 0.5], [0.0, focal, 0.5], [0.0, 0.0, 1.0]])
        seen = rasterise(self.mesh, cam2world, lens, size=_SHADOW_SIZE)
        scale = _SHADOW_SIZE / (2 * _SHADOW_HALF)
        frame = np.zeros((4, 4))
        frame[0, :3], frame[0, 3] = right * scale, _SHADOW_SIZE / 2
        frame[1, :3], frame[1, 3] = -up * scale, _SHADOW_SIZE / 2
        frame[2, :3], frame[2, 3] = -towards, far
        return seen.depth_z, frame


@dataclass(frozen=True)
class _Static:
    """Per-vertex fields of the mean head."""

    rest: np.ndarray
    scalp: np.ndarray
    beard: np.ndarray
    body: np.ndarray

    def clothed(self, cloth: Cloth) -> np.ndarray:
        """[V] coverage by clothes, of body vertices only."""
        return clothed_vertices(cloth, head_asset().mean) * self.body


@cache
def _static() -> _Static:
    asset = head_asset()
    body = body_vertices()
    rest = asset.mean.copy()
    lashes = asset.vertex_kind == LASH
    rest[lashes, :2] = lash_coordinates()[lashes]
    flat = np.zeros_like(STRANDS)
    beard = np.array([beard_amount(flat, abs(p[0]), *p, 0.0) for p in asset.mean]) * body
    return _Static(rest, body & (asset.ear < 0.35), beard, body)
