"""Aligned crops against the truth: the embedded world knows where every face's points are.

Distances are pixels of a 128 px image. A pixel there is 1.08 to 1.10 of a 112 px ArcFace crop, so
the bounds hold in the crop to a tenth.
"""

import numpy as np
import pytest
import torch
from skimage.transform import SimilarityTransform

from warpgan import cameras
from warpgan.data.portraits import Portrait
from warpgan.data.portraits.head import COMPONENTS, head_asset, shape_vertices
from warpgan.data.portraits.landmarks import landmarks_of
from warpgan.data.portraits.raster import Mesh, rasterise
from warpgan.perception.crops import ARCFACE_TEMPLATE, HEADS, AlignedCrop, fit_similarity

SIZE = 128
YAWS = (-60.0, -30.0, 0.0, 30.0, 60.0)
PEOPLE = 24
TEMPLATE = torch.tensor(ARCFACE_TEMPLATE)


@pytest.fixture(scope="module")
def people() -> list[Portrait]:
    return [Portrait.sample(seed) for seed in range(900, 900 + PEOPLE)]


@pytest.fixture(scope="module")
def mean_head() -> torch.Tensor:
    """Landmarks [5, 3] of the world's calm mean head."""
    return as_points(landmarks_of(shape_vertices(np.zeros(COMPONENTS), np.zeros(4))))


def as_points(points: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(points.astype(np.float32))


def calm_landmarks(people: list[Portrait]) -> torch.Tensor:
    """[N, 5, 3] with the expressions taken off."""
    heads = [shape_vertices(person.look.identity, np.zeros(4)) for person in people]
    return torch.stack([as_points(landmarks_of(head)) for head in heads])


def misses(points: torch.Tensor, yaw: float, reference: torch.Tensor) -> torch.Tensor:
    """Distances [..., 5] in pixels between true points [..., 5, 3] and a head's [5, 3]."""
    label = cameras.look_at(yaw, 0.0)[0]
    seen = cameras.project(points, label, size=float(SIZE))
    return (seen - cameras.project(reference, label, size=float(SIZE))).norm(dim=-1)


def test_canonical_points_of_a_frontal_crop_land_on_the_template():
    label = cameras.frontal_label()
    points = cameras.project(cameras.CANONICAL_POINTS, label, size=256.0)
    matrix, offset = fit_similarity(points, TEMPLATE)
    landed = points @ matrix.mT + offset[:, None]
    assert (landed[0] - TEMPLATE).norm(dim=1).max() < 2.0


@pytest.mark.parametrize("yaw", YAWS)
def test_landmarks_are_where_the_picture_shows_them(people, yaw):
    """The nearest rastered surface point to each landmark: no projection of ours in between."""
    asset = head_asset()
    raster, seen = 512, 0
    label = cameras.look_at(yaw, 0.0)[0]
    cam2world, intrinsics = (x.double().numpy() for x in cameras.split_label(label))
    for person in people[:4]:
        vertices = person.head_vertices
        bare = Mesh(
            vertices=vertices,
            normals=np.zeros_like(vertices),
            rest=asset.mean,
            occlusion=asset.occlusion,
            cut=np.full(len(vertices), -1.0),
            faces=asset.faces,
            kinds=asset.kinds,
        )
        found = rasterise(bare, cam2world, intrinsics, size=raster)
        corners = vertices[asset.faces[np.maximum(found.face, 0)]]
        surface = (corners * found.weights[..., None]).sum(-2)
        surface[found.face < 0] = np.inf
        points = person.landmarks()
        projected = cameras.project(as_points(points), label, size=float(SIZE)).numpy()
        for point, pixel in zip(points, projected, strict=True):
            distance = np.linalg.norm(surface - point, axis=-1)
            row, column = np.unravel_index(distance.argmin(), distance.shape)
            if distance.min() > 0.004:  # behind the nose or the cheek
                continue
            seen += 1
            shown = (np.array([column, row]) + 0.5) * SIZE / raster
            assert np.linalg.norm(shown - pixel) < 0.4
    assert seen >= (20 if yaw == 0 else 12)


def test_landmarks_follow_the_head_s_mirror_and_refuse_other_meshes(mean_head):
    mirrored = mean_head[[1, 0, 2, 4, 3]] * torch.tensor([-1.0, 1.0, 1.0])
    assert (mirrored - mean_head).abs().max() < 0.003
    with pytest.raises(ValueError, match="without hair and glasses"):
        landmarks_of(np.zeros((7, 3)))


def test_canonical_points_fit_frontal_calm_faces(people, mean_head):
    assert misses(mean_head, 0.0, cameras.CANONICAL_POINTS).max() < 1.2
    distances = misses(calm_landmarks(people), 0.0, cameras.CANONICAL_POINTS)
    assert distances.median() < 1.2
    assert distances.quantile(0.95) < 2.5


@pytest.mark.parametrize(("yaw", "eyes", "mouth"), [(30.0, 4.2, 2.4), (60.0, 6.6, 3.9)])
def test_canonical_points_of_turned_heads_miss_by_their_depth(mean_head, yaw, eyes, mouth):
    """EG3D's mean face has eyes and mouth further behind the nose than the world's mean head.

    Slid along the frontal camera's rays to this head's depths, the same points are right.
    """
    frontal = cameras.frontal_label()[0]
    position = cameras.split_label(frontal)[0][:3, 3]
    rays = cameras.CANONICAL_POINTS - position
    depth = cameras.to_camera(cameras.CANONICAL_POINTS, frontal)[:, 2:]
    wanted = cameras.to_camera(mean_head, frontal)[:, 2:]
    slid = position + rays * wanted / depth
    for side in (yaw, -yaw):
        off = misses(mean_head, side, cameras.CANONICAL_POINTS)
        assert off[2] < 1.0
        assert 2.0 < off[:2].min() and off[:2].max() < eyes
        assert 2.0 < off[3:].min() and off[3:].max() < mouth
        assert misses(mean_head, side, slid).max() < 1.2


def test_the_portraits_head_is_the_world_s_mean_head(mean_head):
    assert (HEADS["portraits"] - mean_head).abs().max() < 1e-4
    assert torch.equal(HEADS["eg3d"], cameras.CANONICAL_POINTS)


@pytest.mark.parametrize("yaw", YAWS)
def test_points_of_the_portraits_head_fit_at_every_yaw(people, mean_head, yaw):
    """The mean head is met exactly, calm people and smiling ones as far as they differ from it."""
    assert misses(mean_head, yaw, HEADS["portraits"]).max() < 0.05
    calm = misses(calm_landmarks(people), yaw, HEADS["portraits"])
    assert calm.median() < 1.1 and calm.quantile(0.95) < 4.0
    smiling = torch.stack([as_points(person.landmarks()) for person in people])
    own, other = (misses(smiling, yaw, HEADS[head]) for head in ("portraits", "eg3d"))
    assert own.median() < 1.4
    if yaw:
        assert other.median() > 2.5 * own.median()


def test_expression_moves_the_mouth_only(people):
    """A smile takes mouth corners up to 9 px from where the calm face has them."""
    moved = torch.stack([as_points(person.landmarks()) for person in people])
    calm = calm_landmarks(people)
    smiles = np.array([person.attributes.smile for person in people])
    for yaw in (0.0, 60.0):
        label = cameras.look_at(yaw, 0.0)[0]
        shift = cameras.project(moved, label, size=float(SIZE))
        shift = (shift - cameras.project(calm, label, size=float(SIZE))).norm(dim=-1)
        assert shift[:, :3].max() < 0.5
        assert 2.0 < shift[:, 3:].max() < 9.0
        assert np.corrcoef(smiles, shift[:, 3:].mean(1))[0, 1] > 0.7


@pytest.mark.parametrize("yaw", YAWS)
def test_similarity_is_the_least_squares_one(people, yaw):
    label = cameras.look_at(yaw, 0.0)[0]
    points = torch.stack([as_points(person.landmarks()) for person in people])
    points = cameras.project(points, label, size=float(SIZE))
    matrix, offset = fit_similarity(points, TEMPLATE)
    for index, found in enumerate(points.double().numpy()):
        # u = a x - b y + c, v = b x + a y + d: ten equations for four unknowns
        x, y = found.T
        zero, one = np.zeros(5), np.ones(5)
        system = np.stack([np.r_[x, y], np.r_[-y, x], np.r_[one, zero], np.r_[zero, one]], 1)
        a, b, c, d = np.linalg.lstsq(system, TEMPLATE.double().numpy().T.ravel())[0]
        np.testing.assert_allclose(matrix[index], [[a, -b], [b, a]], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(offset[index], [c, d], rtol=1e-4, atol=1e-3)
        umeyama = SimilarityTransform.from_estimate(found, TEMPLATE.double().numpy())
        np.testing.assert_allclose(matrix[index], umeyama.params[:2, :2], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(offset[index], umeyama.params[:2, 2], rtol=1e-4, atol=1e-3)


def test_landmarks_and_their_camera_make_the_same_crop(people):
    """Given the canonical points as landmarks, the crop is the camera's, bit for bit."""
    labels = cameras.look_at(list(YAWS), 0.0)
    pictures = torch.stack(
        [torch.from_numpy(people[0].render(label, size=SIZE).image) for label in labels]
    )
    pictures = pictures.permute(0, 3, 1, 2).float() / 127.5 - 1
    crop = AlignedCrop(112, ARCFACE_TEMPLATE)
    points = cameras.project(cameras.CANONICAL_POINTS, labels, size=float(SIZE))
    assert torch.equal(crop(pictures, labels), crop(pictures, landmarks=points))
    own = cameras.project(as_points(people[0].landmarks()), labels, size=float(SIZE))
    assert not torch.equal(crop(pictures, labels), crop(pictures, landmarks=own))


@pytest.mark.filterwarnings("ignore:.estimate. is deprecated:FutureWarning")
def test_crop_by_landmarks_equals_insightface_s(people):
    """Its detectors call the middle of the first pixel (0, 0), this package (.5, .5)."""
    from insightface.utils import face_align

    labels = cameras.look_at(list(YAWS), 0.0)
    crop = AlignedCrop(112, ARCFACE_TEMPLATE)
    for person, label in zip(people, labels, strict=False):
        image = person.render(label, size=SIZE).image
        points = cameras.project(as_points(person.landmarks()), label, size=float(SIZE))
        picture = torch.from_numpy(image).permute(2, 0, 1)[None].float()
        found = crop(picture, landmarks=points[None])[0].permute(1, 2, 0).numpy()
        expected = face_align.norm_crop(image, points.numpy() - 0.5).astype(np.float32)
        inside = expected.any(-1)  # the package fills with black where the picture ends
        assert inside.mean() > 0.8
        assert np.abs(found - expected)[inside].mean() < 0.4
        moved = face_align.norm_crop(image, points.numpy()).astype(np.float32)
        assert np.abs(found - moved)[inside].mean() > 2 * np.abs(found - expected)[inside].mean()
