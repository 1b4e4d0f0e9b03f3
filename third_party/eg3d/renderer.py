"""Volume renderer: a coarse pass, importance sampling, one march over all samples.

Point tensors inside have their channels first, `[B, C, M, S]` for M rays of S samples: neither
the look-up nor the compositing needs a transpose.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .decoder import Decoder
from .fused_renderer import march_with_kernel, unsupported
from .inference import use_kernel
from .marching import Marched, march
from .options import Extensions, RenderingOptions
from .sampling import box_limits, fill_missed_limits, importance_depths, stratified_depths
from .triplane import sample_planes, to_box

SAMPLES_PER_CHUNK = 2**18
DEFAULT_JITTER = 0.5


@dataclass(frozen=True)
class RayBundle:
    """Rendered rays.

    Attributes:
        features: `[B, M, C]` in [-1, 1]; the first three channels are red, green, blue.
        ray_length: `[B, M, 1]` mean distance along the unit ray.
        opacity: `[B, M, 1]` in [0, 1].
        weights: `[B, M, S - 1]` share of each interval.
        midpoints: `[B, M, S - 1]` distances of the intervals' middles.
    """

    features: Tensor
    ray_length: Tensor
    opacity: Tensor
    weights: Tensor
    midpoints: Tensor


@dataclass(frozen=True)
class PointSamples:
    """The volume at points.

    Attributes:
        density: `[B, M, 1]` raw, before its activation.
        colour: `[B, M, C]` in [-0.001, 1.001].
    """

    density: Tensor
    colour: Tensor


@dataclass(frozen=True)
class Volume:
    """A scene to march through.

    Attributes:
        planes: `[B, 3, C, H, W]`.
        decoder: Features to density and colour.
        plane_axes: ``"released"`` or ``"fixed"``.
        options: Rendering options.
        extensions: Density gain and bias, box centre.
    """

    planes: Tensor
    decoder: Decoder
    plane_axes: str
    options: RenderingOptions
    extensions: Extensions

    def at(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Raw density `[B, N]` and colour `[B, C, N]` at world points `[B, N, 3]`."""
        boxed = to_box(
            points, box_warp=self.options.box_warp, box_centre=self.extensions.box_centre
        )
        sampled = sample_planes(self.planes, boxed, plane_axes=self.plane_axes)
        return self.decoder(sampled.mean(1))

    def along(
        self, origins: Tensor, directions: Tensor, depths: Tensor, noise: Callable | None
    ) -> tuple[Tensor, Tensor]:
        """Raw density `[B, M, S]` and colour `[B, C, M, S]` at distances `[B, M, S]`."""
        points = origins[:, :, None] + depths[..., None] * directions[:, :, None]
        density, colour = self.at(points.flatten(1, 2))
        density = density.unflatten(1, depths.shape[1:])
        if noise is not None:
            density = density + noise(density)
        return density, colour.unflatten(2, depths.shape[1:])

    def march(self, depths: Tensor, density: Tensor, colour: Tensor) -> Marched:
        """Composite with this scene's density activation."""
        return march(
            depths,
            density,
            colour,
            clamp_mode=self.options.clamp_mode,
            density_gain=self.extensions.density_gain,
            density_bias=self.extensions.density_bias,
        )


@dataclass(frozen=True)
class SampleDraws:
    """Where on the rays to sample.

    Attributes:
        jitter: Number in [0, 1), or tensor broadcastable to `[B, M, S]`; None: 0.5.
        u: Tensor broadcastable to `[B, M, F]` in [0, 1]; None: (i + 0.5) / F.
        generator: Draws both (and density noise) where they are None; on the rays' device.
    """

    jitter: float | Tensor | None = None
    u: Tensor | None = None
    generator: torch.Generator | None = None

    def coarse(self, rays: Tensor, count: int) -> Tensor:
        """Jitter `[B, M, count]` for rays `[B, M, 3]`."""
        shape = (*rays.shape[:2], count)
        if self.jitter is None and self.generator is not None:
            return torch.rand(shape, generator=self.generator, device=rays.device, dtype=rays.dtype)
        jitter = DEFAULT_JITTER if self.jitter is None else self.jitter
        if not isinstance(jitter, Tensor):
            jitter = rays.new_full((), float(jitter))
        return jitter.expand(shape)

    def fine(self, rays: Tensor, count: int) -> Tensor:
        """Numbers `[B, M, count]` for the inverse distribution."""
        shape = (*rays.shape[:2], count)
        if self.u is not None:
            return self.u.expand(shape)
        if self.generator is not None:
            return torch.rand(shape, generator=self.generator, device=rays.device, dtype=rays.dtype)
        middle = torch.arange(count, device=rays.device, dtype=rays.dtype) + 0.5
        return (middle / count).expand(shape)

    def density_noise(self, sigma: float) -> Callable[[Tensor], Tensor] | None:
        """Noise on the raw density; none without a generator."""
        if sigma == 0 or self.generator is None:
            return None

        def draw(density: Tensor) -> Tensor:
            return sigma * torch.randn(
                density.shape,
                generator=self.generator,
                device=density.device,
                dtype=density.dtype,
            )

        return draw


@dataclass(frozen=True)
class MarchedRays:
    """A march and the range of its sample distances, `[B, M]` each."""

    marched: Marched
    nearest: Tensor
    farthest: Tensor


def ray_limits(
    origins: Tensor, directions: Tensor, options: RenderingOptions, extensions: Extensions
) -> tuple[Tensor, Tensor]:
    """Near and far distance of every ray, each `[B, M, 1]` or broadcastable to it."""
    if options.automatic_limits:
        centre = torch.stack([origins.new_full((), c) for c in extensions.box_centre])
        limits = box_limits(origins - centre, directions, side=options.box_warp)
        return fill_missed_limits(*limits)
    shape = (*origins.shape[:2], 1)
    return (
        origins.new_full((), float(options.ray_start)).expand(shape),
        origins.new_full((), float(options.ray_end)).expand(shape),
    )


def march_rays(
    volume: Volume,
    origins: Tensor,
    directions: Tensor,
    draws: SampleDraws,
    *,
    depths: Tensor | None = None,
    chunk: int | None = None,
) -> MarchedRays:
    """March M rays, a chunk of them at a time.

    Args:
        volume: The scene.
        origins: `[B, M, 3]`.
        directions: `[B, M, 3]`, unit.
        draws: Random or fixed numbers for the sampling; ignored where `depths` is given.
        depths: `[B, M, S]` ascending: march exactly these, without an importance pass.
        chunk: Rays at once; None: as many as make `SAMPLES_PER_CHUNK` samples. The result does
            not depend on it (beyond the order in which a generator's numbers are drawn).
    """
    options = volume.options
    count, rays = origins.shape[:2]
    coarse_count, fine_count = options.depth_resolution, options.depth_resolution_importance
    noise = draws.density_noise(options.density_noise)
    if depths is None:
        near, far = ray_limits(origins, directions, options, volume.extensions)
        jitter = draws.coarse(origins, coarse_count)
        u = draws.fine(origins, fine_count) if fine_count else None
        widest = max(coarse_count, fine_count)
    else:
        widest = depths.shape[-1]
    coarse_given = coarse_count if depths is None else depths.shape[-1]
    if noise is None and use_kernel(
        volume.planes,
        origins,
        directions,
        *volume.decoder.parameters(),
        *([] if depths is None else [depths]),
        refusal=unsupported(volume.planes, coarse_given),
    ):
        if depths is None:
            disparity = options.disparity_space_sampling
            depths = stratified_depths(near, far, jitter, disparity=disparity)
        else:
            u = None
        return MarchedRays(
            *march_with_kernel(
                volume.planes,
                volume.decoder,
                origins,
                directions,
                depths,
                u,
                plane_axes=volume.plane_axes,
                box_warp=options.box_warp,
                box_centre=volume.extensions.box_centre,
                clamp_mode=options.clamp_mode,
                density_gain=volume.extensions.density_gain,
                density_bias=volume.extensions.density_bias,
            )
        )
    if chunk is None:
        chunk = max(64, SAMPLES_PER_CHUNK // (count * widest))

    parts = []
    for start in range(0, rays, chunk):
        part = slice(start, start + chunk)
        o, d = origins[:, part], directions[:, part]
        if depths is not None:
            z = depths[:, part]
            density, colour = volume.along(o, d, z, noise)
        else:
            z = stratified_depths(
                near[:, part],
                far[:, part],
                jitter[:, part],
                disparity=options.disparity_space_sampling,
            )
            density, colour = volume.along(o, d, z, noise)
            if u is not None:
                with torch.no_grad():
                    weights = volume.march(z, density, colour[:, :0]).weights
                    z_fine = importance_depths(z, weights, u[:, part])
                fine_density, fine_colour = volume.along(o, d, z_fine, noise)
                z, density, colour = _merge(
                    (z, density, colour), (z_fine, fine_density, fine_colour)
                )
        parts.append(
            MarchedRays(volume.march(z, density, colour), z.amin(-1).detach(), z.amax(-1).detach())
        )
    return parts[0] if len(parts) == 1 else _join(parts)


def _merge(
    coarse: tuple[Tensor, Tensor, Tensor], fine: tuple[Tensor, Tensor, Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    """Concatenate depths, densities and colours of both passes and sort them by depth."""
    z, order = torch.sort(torch.cat([coarse[0], fine[0]], -1), -1)
    density = torch.cat([coarse[1], fine[1]], -1).gather(-1, order)
    colour = torch.cat([coarse[2], fine[2]], -1)
    return z, density, colour.gather(-1, order[:, None].expand_as(colour))


def _join(parts: list[MarchedRays]) -> MarchedRays:
    def cat(read: Callable, dim: int) -> Tensor:
        return torch.cat([read(part) for part in parts], dim)

    return MarchedRays(
        Marched(
            colour=cat(lambda p: p.marched.colour, 2),
            opacity=cat(lambda p: p.marched.opacity, 1),
            weighted_length=cat(lambda p: p.marched.weighted_length, 1),
            weights=cat(lambda p: p.marched.weights, 1),
            midpoints=cat(lambda p: p.marched.midpoints, 1),
        ),
        nearest=cat(lambda p: p.nearest, 1),
        farthest=cat(lambda p: p.farthest, 1),
    )


def mean_length(rays: MarchedRays, *, depth_clamp: str, rays_per_image: int) -> Tensor:
    """Mean distance along each ray, `[B, M]`, limited to the range of the samples.

    An empty ray has no mean; it gets the farthest sample. ``"batch"`` takes the range over all
    rays as the official code does, ``"sample"`` over the `rays_per_image` rays of one image.
    """
    opacity = rays.marched.opacity
    seen = opacity > 0
    length = rays.marched.weighted_length / torch.where(seen, opacity, 1.0)
    length = torch.where(seen, length, float("inf"))
    if depth_clamp == "batch":
        return length.clamp(rays.nearest.amin(), rays.farthest.amax())
    images = length.unflatten(1, (-1, rays_per_image))
    nearest = rays.nearest.unflatten(1, (-1, rays_per_image)).amin(-1, keepdim=True)
    farthest = rays.farthest.unflatten(1, (-1, rays_per_image)).amax(-1, keepdim=True)
    return images.clamp(nearest, farthest).flatten(1)
