"""Face crops for identity nets, from images framed as EG3D frames them.

`legacy`: a fixed window, rows 35..223 and columns 32..220 of the picture at 256 px. It was tuned
for FFHQ's alignment and puts the eyes of EG3D crops about 15 of 112 px too high; published numbers
of this family use it. `aligned`: a similarity that carries the five canonical points of the head,
projected with the known camera, onto the net's template. Unlike a detector it works at any yaw.
The points are those of a mean head (`HEADS`): EG3D's, or that of the embedded world's portraits,
whose eyes and mouth lie less deep behind the nose. Where an image's own five landmarks are known,
they can be given instead. Landmarks that are missing (not finite, or all in one place) are a
failure, as `usable` tells: such a crop shows no face, and `IdentityNet` embeds it as zero, like
nobody at all.

Pixel coordinates are continuous, centres at (i + .5), x right, y down.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from warpgan import cameras

LEGACY_SIDE = 256
LEGACY_ROWS = (35, 223)
LEGACY_COLUMNS = (32, 220)

# The five ArcFace points of a 112 px crop (eye, eye, nose, mouth corner, mouth corner; the viewer's
# left first), moved by half a pixel to this package's pixel centres.
ARCFACE_TEMPLATE = (
    (38.7946, 52.1963),
    (74.0318, 52.0014),
    (56.5252, 72.2366),
    (42.0493, 92.8655),
    (71.2299, 92.7041),
)


# In the order of `warpgan.cameras.CANONICAL_POINTS` and in its frame; the second ones are what
# `warpgan.data.portraits.landmarks` finds on the world's calm mean head.
HEADS: dict[str, Tensor] = {
    "eg3d": cameras.CANONICAL_POINTS,
    "portraits": torch.tensor(
        [
            [-0.0770, 0.0677, 0.2217],
            [0.0764, 0.0676, 0.2217],
            [0.0008, -0.0109, 0.2911],
            [-0.0624, -0.0939, 0.2319],
            [0.0619, -0.0954, 0.2319],
        ]
    ),
}


class LegacyCrop(nn.Module):
    """The fixed window of pSp and its successors.

    Attributes:
        aligns: False: landmarks play no part.
    """

    aligns = False

    def __init__(self, size: int) -> None:
        """Builds the crop.

        Args:
            size: Side of the crop handed to the net.
        """
        super().__init__()
        self.size = size

    def forward(
        self, images: Tensor, camera: Tensor | None = None, landmarks: Tensor | None = None
    ) -> Tensor:
        """Cuts the window; camera and landmarks play no part.

        Args:
            images: `[B, 3, S, S]`, any range.
            camera: Ignored.
            landmarks: Ignored.

        Returns:
            `[B, 3, size, size]`, same range.
        """
        window = resized(images, LEGACY_SIDE)
        window = window[:, :, slice(*LEGACY_ROWS), slice(*LEGACY_COLUMNS)]
        return resized(window, self.size)


class AlignedCrop(nn.Module):
    """The crop that puts five points of the face onto a template.

    Attributes:
        aligns: True: landmarks, if given, decide the crop.
    """

    aligns = True

    def __init__(
        self, size: int, template: Sequence[tuple[float, float]], *, head: str = "eg3d"
    ) -> None:
        """Builds the crop.

        Args:
            size: Side of the crop handed to the net.
            template: Five pixel positions in that crop, in the order of `CANONICAL_POINTS`.
            head: Whose points a camera projects, one of `HEADS`.

        Raises:
            ValueError: An unknown head.
        """
        super().__init__()
        if head not in HEADS:
            raise ValueError(f"no head {head!r}; there are {', '.join(HEADS)}")
        self.size = size
        self.register_buffer("points", HEADS[head].clone(), persistent=False)
        self.register_buffer("template", torch.tensor(template), persistent=False)
        centres = torch.arange(size) + 0.5
        rows, columns = torch.meshgrid(centres, centres, indexing="ij")
        self.register_buffer("pixels", torch.stack([columns, rows], dim=-1), persistent=False)

    def forward(
        self, images: Tensor, camera: Tensor | None = None, landmarks: Tensor | None = None
    ) -> Tensor:
        """Warps each face onto the template.

        Args:
            images: `[B, 3, S, S]`, any range.
            camera: Labels `[B, 25]` of the cameras the images were taken with; places the five
                canonical points of the head.
            landmarks: `[B, 5, 2]` pixels (x, y) of the images, in the order of `CANONICAL_POINTS`,
                to be used instead. Where they are not `usable`, the crop shows no face.

        Returns:
            `[B, 3, size, size]`; beyond the picture its border is repeated.

        Raises:
            ValueError: Neither camera nor landmarks, or not one per image.
        """
        side = images.shape[-1]
        if landmarks is None:
            landmarks = self._projected(images, camera)
        elif landmarks.shape != (len(images), len(self.points), 2):
            raise ValueError(
                f"landmarks must be [{len(images)}, 5, 2], x and y in pixels of each image, not "
                f"{list(landmarks.shape)}; give a face that was not found five NaN"
            )
        else:
            landmarks = landmarks.to(images.dtype)
            found = usable(landmarks)[:, None, None]
            landmarks = torch.where(found, landmarks, self.template.to(images.dtype))
        matrix, offset = fit_similarity(landmarks, self.template)
        # the inverse of a similarity is its transpose over its squared scale
        inverse = matrix.mT / matrix[:, :1].square().sum(-1, keepdim=True)
        positions = (self.pixels - offset[:, None, None]) @ inverse.mT[:, None]
        # Bilinear sampling skips pixels when it shrinks: shrink by averaging first.
        reduced = resized(images, min(side, round(1.25 * self.size)))
        grid = positions * (2.0 / side) - 1.0
        return F.grid_sample(
            reduced, grid, mode="bilinear", padding_mode="border", align_corners=False
        )

    def _projected(self, images: Tensor, camera: Tensor | None) -> Tensor:
        """The canonical points `[B, 5, 2]` in pixels of images seen with these cameras."""
        if camera is None:
            raise ValueError(
                "crop='aligned' needs the images' camera labels [B, 25] or their landmarks "
                "[B, 5, 2]; pass them, or build the net with crop='legacy'"
            )
        if camera.shape != (len(images), cameras.LABEL_LENGTH):
            raise ValueError(
                f"camera labels must be [{len(images)}, 25], one per image, not "
                f"{list(camera.shape)}"
            )
        return cameras.project(self.points, camera.to(images.dtype), size=float(images.shape[-1]))


def usable(landmarks: Tensor) -> Tensor:
    """Which faces were found.

    Args:
        landmarks: `[B, 5, 2]` pixels; not finite where a detector found nothing.

    Returns:
        `[B]` bool: all numbers finite and the points further apart than a hundredth of a pixel.
    """
    spread = (landmarks - landmarks.mean(-2, keepdim=True)).abs().amax((-2, -1))
    return landmarks.isfinite().all(-1).all(-1) & (spread > 0.01)


def fit_similarity(source: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Least-squares rotation, uniform scale and shift from one point set to another.

    With both sets centred and read as complex numbers p and q, the minimiser of |s p - q|^2 is
    s = <conj(p), q> / <conj(p), p>.

    Args:
        source: `[B, M, 2]`.
        target: `[M, 2]` or `[B, M, 2]`.

    Returns:
        `matrix [B, 2, 2]` and `offset [B, 2]` with `target ~ matrix @ source + offset`.
    """
    target = target.expand_as(source)
    source_mean, target_mean = source.mean(-2), target.mean(-2)
    p, q = source - source_mean[..., None, :], target - target_mean[..., None, :]
    power = p.square().sum((-2, -1))
    real = (p * q).sum((-2, -1)) / power
    imaginary = (p[..., 0] * q[..., 1] - p[..., 1] * q[..., 0]).sum(-1) / power
    matrix = torch.stack([real, -imaginary, imaginary, real], dim=-1).unflatten(-1, (2, 2))
    offset = target_mean - (matrix @ source_mean[..., None])[..., 0]
    return matrix, offset


def resized(images: Tensor, side: int) -> Tensor:
    """Square images of a given side: averaged over windows when shrinking, else bilinear.

    Args:
        images: `[B, C, H, W]`.
        side: The side wanted.

    Returns:
        `[B, C, side, side]`.
    """
    if tuple(images.shape[-2:]) == (side, side):
        return images
    if min(images.shape[-2:]) >= side:
        return F.adaptive_avg_pool2d(images, side)
    return F.interpolate(images, (side, side), mode="bilinear", align_corners=False)
