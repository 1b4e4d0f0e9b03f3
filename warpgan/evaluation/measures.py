"""The metrics of one comparison, with the nets that they need.

Where it is known which pixels of the target the photo saw, ``NAME_visible`` and ``NAME_occluded``
are the metric over the pixels of each kind, backdrop included. An image without a pixel of a kind
has no number there: NaN. Identity is of the whole face only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from warpgan import weights
from warpgan.metrics.depth import depth_error
from warpgan.metrics.pixel import PSNR_CEILING, psnr, ssim
from warpgan.perception import IdentityNet, PerceptualNet, build_identity, build_perceptual

ARCFACE_FILES = ("arcface_glintr100", "arcface_w600k_r50")


DEPTH_COLUMNS = ("depth_mean", "depth_median")
PIXEL_KINDS = ("visible", "occluded")


@dataclass(frozen=True)
class DepthPair:
    """Depth of ``N`` views and the truth, ``[N, 1, S, S]`` each; the mask in [0, 1]."""

    depth_z: Tensor
    true_depth_z: Tensor
    mask: Tensor


@dataclass(frozen=True)
class Measured:
    """Numbers of ``N`` comparisons.

    Attributes:
        values: metric to ``[N]`` float64, in the order of the suite's columns.
        embeddings: identity metric to ``[N, 2, D]`` float32: of the image, of the photo.
    """

    values: Mapping[str, np.ndarray]
    embeddings: Mapping[str, np.ndarray]


class MetricSuite:
    """PSNR, SSIM, perceptual distances and identity cosines.

    Attributes:
        columns: names of the metrics, in order.
        identity: names of those that are identity cosines.
        partial: names of those over pixels of one kind, which an image may have none of.
        training_nets: names of those whose net was also a training loss: the paper's protocol,
            printed for comparison, never what a ranking rests on.
    """

    def __init__(
        self,
        *,
        perceptual: Sequence[PerceptualNet] = (),
        identity: Mapping[str, IdentityNet] | None = None,
        training_nets: Sequence[str] = (),
        files: Sequence[Path] = (),
        depth: bool = False,
        visibility: bool = False,
    ) -> None:
        """Take built nets.

        Args:
            perceptual: compared pairwise.
            identity: name of the metric to its net.
            training_nets: see the class.
            files: weight files of the nets.
            depth: whether the photos' true depth is known; errors are absolute, of ``depth_z`` on
                the person, in scene units.
            visibility: whether it is known which pixels of the photos the source saw.
        """
        self._perceptual = {net.name: net for net in perceptual}
        self._identity = dict(identity or {})
        self.identity = tuple(self._identity)
        self.depth = depth
        self.columns = ("psnr", "ssim", *self._perceptual, *self._identity)
        self.visibility = visibility
        masked = ("psnr", *self._perceptual) if visibility else ()
        self.partial = tuple(f"{name}_{kind}" for name in masked for kind in PIXEL_KINDS)
        self.columns += (*self.partial, *(DEPTH_COLUMNS if depth else ()))
        self.files = tuple(files)
        unknown = sorted(set(training_nets) - set(self.columns))
        if unknown:
            raise ValueError(
                f"training_nets names {unknown[0]}, which is none of {', '.join(self.columns)}"
            )
        self.training_nets = tuple(training_nets)

    def to(self, device: torch.device) -> "MetricSuite":
        """Move the nets."""
        for net in (*self._perceptual.values(), *self._identity.values()):
            net.to(device)
        return self

    def lower_is_better(self, column: str) -> bool:
        """Whether a metric is a distance."""
        return base_metric(column) in self._perceptual or column in DEPTH_COLUMNS

    def with_depth(self) -> "MetricSuite":
        """The same suite for photos whose true depth is known."""
        return self._changed(depth=True)

    def with_visibility(self) -> "MetricSuite":
        """The same suite for targets of which it is known what their source saw."""
        return self._changed(visibility=True)

    def _changed(self, **known: bool) -> "MetricSuite":
        return MetricSuite(
            perceptual=tuple(self._perceptual.values()),
            identity=self._identity,
            training_nets=self.training_nets,
            files=self.files,
            **{"depth": self.depth, "visibility": self.visibility, **known},
        )

    @torch.no_grad()
    def measure(
        self,
        images: Tensor,
        photos: Tensor,
        cameras: Tensor,
        *,
        depth: DepthPair | None = None,
        visible: Tensor | None = None,
    ) -> Measured:
        """Compare images with photos.

        Args:
            images: ``[N, 3, S, S]``; clamped to [-1, 1] before anything else.
            photos: the same shape, in [-1, 1].
            cameras: labels ``[N, 25]`` of both.
            depth: of both, for a suite with depth.
            visible: ``[N, 1, S, S]`` bool, for a suite with visibility.
        """
        images = images.float().clamp(-1, 1)
        values = {
            "psnr": psnr(images, photos).clamp(max=PSNR_CEILING),
            "ssim": ssim(images, photos),
        }
        masks = (visible.float(), 1 - visible.float()) if self.visibility else ()
        for name, net in self._perceptual.items():
            values[name], *by_kind = net.distances(images, photos, weights=[None, *masks])
            for kind, value in zip(PIXEL_KINDS, by_kind, strict=self.visibility):
                values[f"{name}_{kind}"] = value
        embeddings = {}
        for name, net in self._identity.items():
            pair = torch.stack([net(images, cameras), net(photos, cameras)], 1)
            values[name] = (pair[:, 0].double() * pair[:, 1].double()).sum(1)
            embeddings[name] = pair.float().cpu().numpy()
        for kind, mask in zip(PIXEL_KINDS, masks, strict=self.visibility):
            values[f"psnr_{kind}"] = psnr(images, photos, mask=mask).clamp(max=PSNR_CEILING)
        if self.depth:
            error = depth_error(depth.depth_z, depth.true_depth_z, mask=depth.mask)
            values |= {"depth_mean": error.mean, "depth_median": error.median}
        return Measured(
            values={name: values[name].double().cpu().numpy() for name in self.columns},
            embeddings=embeddings,
        )


def base_metric(column: str) -> str:
    """The metric that a column is of: ``psnr`` of ``psnr_occluded``."""
    for kind in PIXEL_KINDS:
        column = column.removesuffix(f"_{kind}")
    return column


def build_suite(
    *,
    perceptual: Sequence[str] = (),
    identity: Sequence[Mapping[str, str]] = (),
    training_nets: Sequence[str] = (),
    weights_dir: str | Path | None = None,
) -> MetricSuite:
    """Build the nets by name.

    Args:
        perceptual: names of ``warpgan.perception.PERCEPTUAL_NETS``.
        identity: mappings ``{net: NAME, crop: aligned or legacy}``; a metric with the legacy crop
            is called ``NAME_legacy``.
        training_nets: names of the metrics whose net was also a training loss.
        weights_dir: folder of external weights; the configured one if ``None``.

    Raises:
        FileNotFoundError: if the file of a net is absent; the message says where it goes.
        ValueError: for an unknown name.
    """
    nets = {}
    for choice in identity:
        name, crop = choice["net"], choice.get("crop", "aligned")
        column = name if crop == "aligned" else f"{name}_{crop}"
        nets[column] = build_identity(name, crop=crop, weights_dir=weights_dir)
    files = []
    for name in dict.fromkeys([*perceptual, *(choice["net"] for choice in identity)]):
        if name == "arcface_onnx":
            files.append(weights.resolve_first(ARCFACE_FILES, root=weights_dir))
        else:
            files.append(weights.resolve(name, root=weights_dir))
    return MetricSuite(
        perceptual=[build_perceptual(name, weights_dir=weights_dir) for name in perceptual],
        identity=nets,
        training_nets=training_nets,
        files=files,
    )
