"""The metrics of one comparison, with the nets that they need.

Where it is known which pixels of the target the photo saw, ``NAME_visible`` and ``NAME_occluded``
are the metric over the pixels of each kind, backdrop included. An image without a pixel of a kind
has no number there: NaN. ``NAME_registered`` is the metric after the 2-D similarity that best lays
the view on its target: what is left when a small shift is forgiven. Identity is of the whole face
only. Views without a true view (``novel_view``) are compared with the photo that went in, by
identity and by the features of set distances.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from warpgan.evaluation.feature_cache import FeatureCache
from warpgan.metrics.depth import depth_error
from warpgan.metrics.face_mask import masked
from warpgan.metrics.pixel import PSNR_CEILING, psnr, ssim
from warpgan.metrics.registration import register
from warpgan.perception import IdentityNet, PerceptualNet
from warpgan.perception.pose_net import PoseNet, pose_error
from warpgan.perception.set_features import SetFeatureNet, metric_names

DEPTH_COLUMNS = ("depth_mean", "depth_median")
POSE_COLUMN = "pose_error"
PIXEL_KINDS = ("visible", "occluded")
REGISTERED = "registered"
FACE = "_face"


@dataclass(frozen=True)
class DepthPair:
    """Depth of ``N`` views and the truth, ``[N, 1, S, S]`` each; the mask in [0, 1]."""

    depth_z: Tensor
    true_depth_z: Tensor
    mask: Tensor


@dataclass(frozen=True)
class Compared:
    """``N`` views and the ``R`` photos they are compared with.

    Attributes:
        images: ``[N, 3, S, S]``; clamped to [-1, 1] before anything else.
        cameras: ``[N, 25]`` of the views.
        references: ``[R, 3, S, S]`` in [-1, 1]: true views, or the photos that went in.
        reference_cameras: ``[R, 25]``.
        reference_of: ``[N]`` int64, the reference of each view.
        failed: ``[N]`` bool, views that the method did not give: identity 0.
        depth: of views and truth, where the truth is known.
        visible: ``[N, 1, S, S]`` bool, where known.
    """

    images: Tensor
    cameras: Tensor
    references: Tensor
    reference_cameras: Tensor
    reference_of: Tensor
    failed: Tensor
    depth: DepthPair | None = None
    visible: Tensor | None = None


@dataclass(frozen=True)
class Measured:
    """Numbers of ``N`` comparisons.

    Attributes:
        values: metric to ``[N]`` float64, in the order of the suite's columns.
        features: net to ``[N, 2, D]`` float32: of the view, of its reference.
    """

    values: Mapping[str, np.ndarray]
    features: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Known:
    """What the data set knows.

    Attributes:
        true_views: each view has a photo of the same person from the same camera.
        depth: the true depth of the photos; errors are absolute, of ``depth_z`` on the person, in
            scene units.
        visibility: which pixels of the photos the source saw.
        portraits: the photos are of the embedded world, which the pose net was trained on.
    """

    true_views: bool = True
    depth: bool = False
    visibility: bool = False
    portraits: bool = False


@dataclass(frozen=True)
class MetricSuite:
    """Metrics and their nets.

    Attributes:
        perceptual: nets that compare pairs.
        identity_nets: name of the metric to its net.
        set_nets: of set distances; each also sees the pictures with all but the face in grey.
        pose_net: reads the direction of a view.
        training_nets: names of the metrics whose net was also a training loss: the paper's
            protocol, printed for comparison, never what a ranking rests on.
        files: weight files of the nets.
        registered: whether pixels and perceptual distance are also taken after registration.
        caches: set net to where features of references are kept between methods and runs.
        known: of the data.
    """

    perceptual: Sequence[PerceptualNet] = ()
    identity_nets: Mapping[str, IdentityNet] = field(default_factory=dict)
    set_nets: Sequence[SetFeatureNet] = ()
    pose_net: PoseNet | None = None
    training_nets: Sequence[str] = ()
    files: Sequence[Path] = ()
    registered: bool = False
    caches: Mapping[str, FeatureCache] = field(default_factory=dict)
    known: Known = Known()

    def __post_init__(self) -> None:
        """Refuse names that nothing measures.

        Raises:
            ValueError: if there is nothing to measure, or ``training_nets`` names what is not.
        """
        if not self.columns:
            raise ValueError(
                "views without a true view need an identity net: give metrics=mini or metrics=full"
            )
        # A protocol without true views has fewer columns than the config may name.
        every = self.columns if self.known.true_views else replace(self, known=Known()).columns
        unknown = sorted(set(self.training_nets) - set(every))
        if unknown:
            raise ValueError(
                f"training_nets names {unknown[0]}, which is none of {', '.join(every)}"
            )

    @property
    def pairwise(self) -> tuple[str, ...]:
        """Metrics of a view and its true view, over all pixels."""
        return ("psnr", "ssim", *(net.name for net in self.perceptual))

    @property
    def identity(self) -> tuple[str, ...]:
        """Metrics that are identity cosines."""
        return tuple(self.identity_nets)

    @property
    def sets(self) -> tuple[str, ...]:
        """Names of the features of set distances."""
        return tuple(net.name + part for net in self.set_nets for part in ("", FACE))

    @property
    def features(self) -> tuple[str, ...]:
        """Names of all features that are kept."""
        return (*self.identity, *self.sets)

    @property
    def partial(self) -> tuple[str, ...]:
        """Metrics over pixels of one kind, which an image may have none of."""
        split = self._split if self.known.true_views and self.known.visibility else ()
        return tuple(f"{name}_{kind}" for name in split for kind in PIXEL_KINDS)

    @property
    def columns(self) -> tuple[str, ...]:
        """All metrics of a row, in order."""
        pose = (POSE_COLUMN,) if self.pose_net is not None and self.known.portraits else ()
        if not self.known.true_views:
            return (*self.identity, *pose)
        moved = self._split if self.registered else ()
        return (
            *self.pairwise,
            *self.identity,
            *(f"{name}_{REGISTERED}" for name in moved),
            *self.partial,
            *(DEPTH_COLUMNS if self.known.depth else ()),
            *pose,
        )

    @property
    def _split(self) -> tuple[str, ...]:
        return ("psnr", *(net.name for net in self.perceptual))

    def to(self, device: torch.device) -> "MetricSuite":
        """Move the nets, in the memory layout that is faster for their convolutions."""
        poses = () if self.pose_net is None else (self.pose_net,)
        for net in (*self.perceptual, *self.identity_nets.values(), *self.set_nets, *poses):
            net.to(device, memory_format=torch.channels_last)
        return self

    def lower_is_better(self, column: str) -> bool:
        """Whether a metric is a distance; also knows the names of set distances."""
        distances = {net.name for net in self.perceptual} | {*DEPTH_COLUMNS, POSE_COLUMN}
        distances |= {name for net in self.sets for name in set_metric_names(net)}
        return base_metric(column) in distances

    def for_data(self, known: Known) -> "MetricSuite":
        """The same suite for a data set."""
        return replace(self, known=known)

    @torch.no_grad()
    def measure(self, compared: Compared) -> Measured:
        """Take all metrics of some views."""
        compared = replace(compared, images=compared.images.float().clamp(-1, 1))
        values, features = {}, {}
        if self.known.true_views:
            values |= self._pixels(compared)
        for name, net in self.identity_nets.items():
            views = net(compared.images, compared.cameras) * ~compared.failed[:, None]
            own = net(compared.references, compared.reference_cameras)[compared.reference_of]
            values[name] = (views.double() * own.double()).sum(1)
            features[name] = torch.stack([views, own], 1)
        for net in self.set_nets:
            for part in ("", FACE):
                views, references = compared.images, compared.references
                if part:
                    views = masked(views, compared.cameras)
                    references = masked(references, compared.reference_cameras)
                own = self._reference_features(net, references)[compared.reference_of]
                features[net.name + part] = torch.stack([net(views), own.to(views)], 1)
        if POSE_COLUMN in self.columns:
            truth = compared.references[compared.reference_of] if self.known.true_views else None
            values[POSE_COLUMN] = pose_error(
                self.pose_net, compared.images, compared.cameras, targets=truth
            )
        if self.known.depth and self.known.true_views:
            pair = compared.depth
            error = depth_error(pair.depth_z, pair.true_depth_z, mask=pair.mask)
            values |= {"depth_mean": error.mean, "depth_median": error.median}
        return Measured(
            values={name: values[name].double().cpu().numpy() for name in self.columns},
            features={name: features[name].float().cpu().numpy() for name in self.features},
        )

    def _pixels(self, compared: Compared) -> dict[str, Tensor]:
        images, photos = compared.images, compared.references[compared.reference_of]
        visible = compared.visible.float() if self.known.visibility else None
        masks = () if visible is None else (visible, 1 - visible)
        values = {"psnr": _psnr(images, photos), "ssim": ssim(images, photos)}
        for kind, mask in zip(PIXEL_KINDS, masks, strict=visible is not None):
            values[f"psnr_{kind}"] = _psnr(images, photos, mask)
        for net in self.perceptual:
            name = net.name
            values[name], *by_kind = net.distances(images, photos, weights=[None, *masks])
            for kind, value in zip(PIXEL_KINDS, by_kind, strict=visible is not None):
                values[f"{name}_{kind}"] = value
        if self.registered:
            laid = register(images, photos)
            values[f"psnr_{REGISTERED}"] = _psnr(laid.images, photos, laid.valid)
            for net in self.perceptual:
                (found,) = net.distances(laid.images.float(), photos, weights=[laid.valid.float()])
                values[f"{net.name}_{REGISTERED}"] = found
        return values

    def _reference_features(self, net: SetFeatureNet, images: Tensor) -> Tensor:
        if net.name not in self.caches:
            return net(images)
        return self.caches[net.name].get_or_compute(images, net)


def base_metric(column: str) -> str:
    """The metric that a column is of: ``psnr`` of ``psnr_occluded``."""
    for kind in (*PIXEL_KINDS, REGISTERED):
        column = column.removesuffix(f"_{kind}")
    return column


def set_metric_names(features: str) -> tuple[str, str]:
    """Names of the Frechet and the kernel distance of some features: ``fid_face, kid_face``."""
    part = FACE if features.endswith(FACE) else ""
    frechet, kernel = metric_names(features.removesuffix(FACE))
    return frechet + part, kernel + part


def _psnr(images: Tensor, photos: Tensor, mask: Tensor | None = None) -> Tensor:
    return psnr(images, photos, mask=mask).clamp(max=PSNR_CEILING)
