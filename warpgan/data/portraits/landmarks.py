"""True positions of the five points of a face on the mesh, in EG3D's frame.

Unlike `Portrait.five_points`, whose eyes lie in a plane a fixed distance behind the pupils because
the framing of a photo wants them there, these are where a picture shows them at any yaw: the middle
of the painted pupil on the eyeball, the tip of the nose, the corners of the lips. Each is a fixed
mixture of three vertices, so it follows identity and expression.
"""

from functools import cache

import numpy as np

from warpgan.data.portraits.head import head_asset
from warpgan.data.portraits.raster import EYE

MOUTH_CORNERS = (425, 2879)
"""Vertices of the outer corners of the lips, the viewer's left first, mirror images of each other.
`HeadAsset.five_points` has the same left one; its right one lies 4.6 mm deeper, inside the lips."""


def landmarks_of(vertices: np.ndarray) -> np.ndarray:
    """The five points of a head.

    Args:
        vertices: [V, 3] float, a head's vertices in any frame.

    Returns:
        [5, 3] float64 in the order of `warpgan.cameras.CANONICAL_POINTS`: eyes (the viewer's left
        first), nose tip, corners of the mouth.

    Raises:
        ValueError: Another number of vertices than the head has.
    """
    expected = head_asset().mean.shape
    if np.shape(vertices) != expected:
        raise ValueError(
            f"landmarks need a head's vertices {list(expected)}, not {list(np.shape(vertices))}; "
            "pass Portrait.head_vertices, without hair and glasses"
        )
    corners, weights = _anchors()
    return np.einsum("pcx,pc->px", np.asarray(vertices, np.float64)[corners], weights)


@cache
def _anchors() -> tuple[np.ndarray, np.ndarray]:
    """Ids [5, 3] and weights [5, 3] of the vertices that a point is a mixture of."""
    asset = head_asset()
    points = [_pupil(centre) for centre in asset.eye_centres]
    for vertex in (asset.five_points[2], *MOUTH_CORNERS):
        points.append((np.full(3, vertex), np.array([1.0, 0.0, 0.0])))
    corners, weights = (np.stack(part) for part in zip(*points, strict=True))
    return corners, weights


def _pupil(centre: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Triangle and barycentric weights of the eyeball's point straight in front of its centre."""
    asset = head_asset()
    faces = asset.faces[asset.kinds == EYE]
    offset = asset.mean[faces] - centre
    faces, offset = faces[(offset[..., 2] > 0).all(1)], offset[(offset[..., 2] > 0).all(1)]
    x, y = offset[..., 0], offset[..., 1]
    # twice the areas of the triangles that the origin makes with each opposite edge
    areas = np.roll(x, -1, 1) * np.roll(y, -2, 1) - np.roll(x, -2, 1) * np.roll(y, -1, 1)
    weights = areas / areas.sum(1, keepdims=True)
    inside = weights.min(1).argmax()
    return faces[inside], weights[inside]
