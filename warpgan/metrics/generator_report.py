"""How well a generator distilled from the embedded world draws people it never saw.

Each person's true latent is rendered by the generator and by the world at the same cameras. Colour
is compared at the image size, depth and mask on the generator's own grid of rays, where the world
is rendered anew. Numbers belong to the data set ``portraits``.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor

from eg3d import Rendering, TriPlaneGenerator
from warpgan import cameras
from warpgan.data.portraits import Portrait
from warpgan.metrics.bootstrap import mean_interval
from warpgan.metrics.depth import depth_error, mask_iou
from warpgan.metrics.pixel import PSNR_CEILING, psnr, ssim
from warpgan.warp import depth_z_from_ray_length

YAWS = (-60.0, -30.0, 0.0, 30.0, 60.0)


@dataclass(frozen=True)
class Truth:
    """What the world shows at ``V`` cameras, as the generator's outputs are laid out.

    Attributes:
        image: ``[V, 3, S, S]`` in [-1, 1].
        image_raw: ``[V, 3, R, R]`` in [-1, 1].
        depth_z: ``[V, 1, R, R]``.
        mask: ``[V, 1, R, R]`` in [0, 1].
    """

    image: Tensor
    image_raw: Tensor
    depth_z: Tensor
    mask: Tensor


@dataclass(frozen=True)
class GeneratorRow:
    """Errors of one person at one yaw; decibels, scene units, shares.

    Attributes:
        person: index into the latents.
        yaw: degrees.
        psnr: of the whole image.
        psnr_foreground: of the person's pixels.
        psnr_raw: of the image before super-resolution.
        ssim: of the whole image.
        depth_mean: mean absolute error of ``depth_z`` on the person.
        depth_median: its median.
        mask_iou: of accumulated opacity and the true mask, both cut at one half.
    """

    person: int
    yaw: float
    psnr: float
    psnr_foreground: float
    psnr_raw: float
    ssim: float
    depth_mean: float
    depth_median: float
    mask_iou: float


METRICS = tuple(name for name in GeneratorRow.__annotations__ if name not in ("person", "yaw"))


@dataclass(frozen=True)
class GeneratorReport:
    """All rows, and their means overall and by yaw.

    Attributes:
        rows: one a person and yaw, in this order.
        size: side of the compared image in pixels.
        rays: side of the grid on which depth and mask are compared.
    """

    rows: tuple[GeneratorRow, ...]
    size: int
    rays: int

    def mean(self, yaw: float | None = None) -> dict[str, float]:
        """Mean of each metric over all rows, or over those of one yaw."""
        rows = [row for row in self.rows if yaw is None or row.yaw == yaw]
        if not rows:
            raise ValueError(f"the report has no rows at yaw {yaw}")
        return {name: float(np.mean([getattr(row, name) for row in rows])) for name in METRICS}

    def summary(self) -> dict:
        """Means, intervals (95 %, bootstrap over people) and means by yaw, ready for JSON."""
        people = [row.person for row in self.rows]
        return {
            "data": "portraits, held-out people, true latents",
            "people": len(set(people)),
            "views": len(self.rows),
            "size": self.size,
            "rays": self.rays,
            "mean": self.mean(),
            "interval": {
                name: asdict(mean_interval([getattr(r, name) for r in self.rows], groups=people))
                for name in METRICS
            },
            "by_yaw": {f"{yaw:g}": self.mean(yaw) for yaw in sorted({r.yaw for r in self.rows})},
        }

    def table(self) -> str:
        """A text table: one line a yaw and one for all."""
        lines = ["yaw   " + " ".join(f"{name:>15}" for name in METRICS)]
        for yaw in (*sorted({row.yaw for row in self.rows}), None):
            mean = self.mean(yaw)
            name = "all" if yaw is None else f"{yaw:+g}"
            lines.append(f"{name:<6}" + " ".join(f"{mean[m]:15.4f}" for m in METRICS))
        return "\n".join(lines)


def evaluate_generator(
    G: TriPlaneGenerator,
    *,
    latents: np.ndarray | Tensor,
    yaws: Sequence[float] = YAWS,
    size: int | None = None,
) -> GeneratorReport:
    """Compare ``G`` with the embedded world, person by person.

    Args:
        G: a generator whose ``z`` is the world's latent. Its mode and gradients are untouched.
        latents: ``[N, z_dim]``, people that it was not trained on.
        yaws: degrees, at pitch 0.
        size: side of the compared image; the generator's own if ``None``. The generator's image
            is scaled to it (bilinear, antialiased) where they differ.
    """
    size = size or G.img_resolution
    rays = G.neural_rendering_resolution
    latents = torch.as_tensor(np.asarray(latents), dtype=torch.float32)
    if latents.ndim != 2 or latents.shape[1] != G.z_dim or not len(latents):
        raise ValueError(
            f"expected latents [N, {G.z_dim}] for this generator, got {tuple(latents.shape)}"
        )
    device = G.mean_latent().device
    labels = view_labels(yaws)
    rows = []
    for person, latent in enumerate(latents):
        rendering = render_latents(G, latent[None].to(device), labels.to(device))
        truth = render_truth(Portrait(latent.numpy(), detail_seed=None), labels, size, rays)
        depth_z = depth_z_from_ray_length(rendering.ray_length, labels[None].to(device))[0].cpu()
        image = _resize(rendering.image[0].cpu(), size)
        mask_full = torch.nn.functional.interpolate(truth.mask, (size, size), mode="nearest")
        error = depth_error(depth_z, truth.depth_z, mask=truth.mask)
        columns = {
            "psnr": psnr(image, truth.image),
            "psnr_foreground": psnr(image, truth.image, mask=mask_full),
            "psnr_raw": psnr(rendering.image_raw[0].cpu(), truth.image_raw),
            "ssim": ssim(image, truth.image),
            "depth_mean": error.mean,
            "depth_median": error.median,
            "mask_iou": mask_iou(rendering.opacity[0].cpu(), truth.mask),
        }
        for view, yaw in enumerate(yaws):
            values = {name: column[view].item() for name, column in columns.items()}
            for name in ("psnr", "psnr_foreground", "psnr_raw"):
                values[name] = min(values[name], PSNR_CEILING)
            rows.append(GeneratorRow(person=person, yaw=float(yaw), **values))
    return GeneratorReport(rows=tuple(rows), size=size, rays=rays)


def view_labels(yaws: Sequence[float]) -> Tensor:
    """Cameras ``[V, 25]`` at the given yaws in degrees and pitch 0."""
    return cameras.look_at(torch.tensor(yaws, dtype=torch.float64), 0.0).float()


@torch.no_grad()
def render_latents(G: TriPlaneGenerator, latents: Tensor, labels: Tensor) -> Rendering:
    """Render each latent ``[B, z_dim]`` at each camera ``[V, 25]``; the outputs are [B, V, ...].

    The mapping is conditioned on the frontal camera if the generator has a conditioned mapping.
    """
    frontal = cameras.frontal_label().to(latents).reshape(1, 25).expand(len(latents), 25)
    ws = G.mapping(latents, frontal)
    planes = G.planes(ws)
    return G.render(planes, ws, labels[None].expand(len(latents), -1, -1))


def render_truth(portrait: Portrait, labels: Tensor, size: int, rays: int) -> Truth:
    """Render a person of the world at cameras ``[V, 25]``."""
    full = [portrait.render(label, size=size) for label in labels]
    coarse = [portrait.render(label, size=rays) for label in labels]
    image = _stack([view.image for view in full]) / 127.5 - 1
    return Truth(
        image=image,
        image_raw=_resize(image, rays),
        depth_z=_stack([view.depth_z[..., None] for view in coarse]),
        mask=_stack([view.mask[..., None] for view in coarse]),
    )


def _stack(images: list[np.ndarray]) -> Tensor:
    """``[H, W, C]`` arrays to ``[V, C, H, W]`` float32."""
    return torch.from_numpy(np.stack(images).astype(np.float32)).permute(0, 3, 1, 2)


def _resize(image: Tensor, size: int) -> Tensor:
    """To ``size`` a side: exact box mean for whole factors, else bilinear with antialiasing."""
    side = image.shape[-1]
    if side == size:
        return image
    if side % size == 0:
        return torch.nn.functional.avg_pool2d(image, side // size)
    return torch.nn.functional.interpolate(
        image, (size, size), mode="bilinear", antialias=True, align_corners=False
    )
