"""The generator: latent and cameras in, images, depth and volume out.

```
z, camera --mapping--> ws --planes--> planes --render(camera)--> image, raw image, ray length
```
Planes are computed once and rendered from any number of cameras. Images are nominally in
[-1, 1], not clamped. Rendering is deterministic unless a `torch.Generator` is passed.
"""

import math
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .backbone import Backbone, SynthesisNetwork
from .backdrop import Backdrop
from .decoder import Decoder
from .mapping import MappingNetwork
from .options import Extensions, RenderingOptions
from .precision import at_least_float32, full_precision
from .rays import ray_directions
from .renderer import (
    PointSamples,
    RayBundle,
    SampleDraws,
    Volume,
    march_rays,
    mean_length,
)
from .superresolution import HALF_PRECISION_CLAMP, SuperResolution, select_variant
from .triplane import PLANE_AXES

DEFAULT_RAW_RESOLUTION = 64
PIXELS_PER_SUPERRESOLUTION = 2**18
IGNORED_KWARGS = ("fused_modconv_default", "num_fp16_res")


@dataclass(frozen=True)
class Rendering:
    """Images of one or V cameras; with V cameras every tensor has an axis V after B.

    Attributes:
        image: `[B, 3, S, S]`, nominally in [-1, 1].
        image_raw: `[B, 3, R, R]`, the first three features.
        features: `[B, C, R, R]`.
        ray_length: `[B, 1, R, R]`, Euclidean distance from the camera, not its z.
        opacity: `[B, 1, R, R]` in [0, 1].
    """

    image: Tensor
    image_raw: Tensor
    features: Tensor
    ray_length: Tensor
    opacity: Tensor


class TriPlaneGenerator(nn.Module):
    """EG3D's generator. Build it with `build_generator`."""

    def __init__(
        self,
        backbone: Backbone,
        decoder: Decoder,
        *,
        superresolution: SuperResolution,
        backdrop: Backdrop | None,
        init_kwargs: dict[str, Any],
        rendering_kwargs: dict[str, Any],
        neural_rendering_resolution: int,
        plane_axes: str,
        extensions: Extensions,
    ) -> None:
        """Take the parts.

        Args:
            backbone: Mapping and synthesis network.
            decoder: Plane features to density and colour.
            superresolution: Feature image to image.
            backdrop: Extension: background sphere, or None.
            init_kwargs: What the generator was built from.
            rendering_kwargs: Official rendering options; may be edited between calls.
            neural_rendering_resolution: Default rays a side.
            plane_axes: ``"released"`` or ``"fixed"``.
            extensions: See `Extensions`.
        """
        super().__init__()
        self.backbone = backbone
        self.superresolution = superresolution
        self.decoder = decoder
        self.backdrop = backdrop
        self.init_kwargs = init_kwargs
        self.rendering_kwargs = rendering_kwargs
        self.neural_rendering_resolution = neural_rendering_resolution
        self.plane_axes = plane_axes
        self.extensions = extensions
        self.z_dim = backbone.mapping.z_dim
        self.c_dim = backbone.mapping.c_dim
        self.w_dim = backbone.synthesis.w_dim
        self.num_ws = backbone.num_ws
        self.img_resolution = superresolution.variant.output_resolution

    @property
    def options(self) -> RenderingOptions:
        """Current rendering options, read from `rendering_kwargs`."""
        return RenderingOptions.from_kwargs(self.rendering_kwargs)

    def mean_latent(self) -> Tensor:
        """Running mean of w over training, `[w_dim]`."""
        return self.backbone.mapping.w_avg

    def mapping(
        self,
        z: Tensor,
        camera: Tensor,
        *,
        truncation_psi: float = 1.0,
        truncation_cutoff: int | None = None,
        update_average: bool = False,
    ) -> Tensor:
        """Map a latent to `ws` `[B, num_ws, w_dim]`.

        Args:
            z: `[B, z_dim]`.
            camera: `[B, 25]` camera to condition on (a fixed frontal one keeps the identity).
            truncation_psi: 1 leaves w alone, 0 gives the mean latent.
            truncation_cutoff: Truncate only the first so many ws (None: all).
            update_average: Training: update the mean latent from this batch.
        """
        options = self.options
        if options.c_gen_conditioning_zero:
            camera = torch.zeros_like(camera)
        return self.backbone.mapping(
            z,
            camera * options.c_scale,
            truncation_psi=truncation_psi,
            truncation_cutoff=truncation_cutoff,
            update_average=update_average,
        )

    def planes(
        self,
        ws: Tensor,
        *,
        noise_mode: str = "const",
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Paint the feature planes.

        Args:
            ws: `[B, num_ws, w_dim]`.
            noise_mode: ``"const"``, ``"random"`` or ``"none"``.
            generator: For ``"random"``, on the device of `ws`.

        Returns:
            `[B, 3, C, H, W]`.
        """
        if ws.dim() != 3 or ws.shape[1:] != (self.num_ws, self.w_dim):
            raise ValueError(
                f"ws has shape {tuple(ws.shape)}; expected [B, {self.num_ws}, {self.w_dim}]"
            )
        painted = self.backbone.synthesis(ws, noise_mode=noise_mode, generator=generator)
        return painted.unflatten(1, (3, -1))

    def render(
        self,
        planes: Tensor,
        ws: Tensor,
        camera: Tensor,
        *,
        resolution: int | None = None,
        jitter: float | Tensor | None = None,
        u: Tensor | None = None,
        generator: torch.Generator | None = None,
        chunk: int | None = None,
    ) -> Rendering:
        """Render planes from one or more cameras.

        Args:
            planes: `[B, 3, C, H, W]` from `planes`.
            ws: `[B, num_ws, w_dim]`, for the super-resolution.
            camera: `[B, 25]`, or `[B, V, 25]` for V cameras of each item.
            resolution: R, rays a side (default `neural_rendering_resolution`).
            jitter: Coarse jitter in steps: a number or tensor that broadcasts to
                `[B, V * R * R, S]`; default 0.5.
            u: Numbers for importance sampling that broadcast to `[B, V * R * R, F]`; default
                (i + 0.5) / F.
            generator: Draws jitter and u where they are not given; on the planes' device.
            chunk: Rays at once for each item; None chooses. Memory depends on it, the result
                does not.
        """
        if camera.dim() not in (2, 3) or camera.shape[-1] != 25:
            raise ValueError(
                f"camera has shape {tuple(camera.shape)}; expected [B, 25] or [B, V, 25]"
            )
        if camera.shape[0] != planes.shape[0]:
            raise ValueError(
                f"{planes.shape[0]} planes and cameras of shape {tuple(camera.shape)}: "
                "the first axes must be equal"
            )
        side = self.neural_rendering_resolution if resolution is None else resolution
        views = camera.shape[1] if camera.dim() == 3 else 1
        batch = planes.shape[0]
        with full_precision(planes):
            flat = at_least_float32(camera).reshape(-1, 25)
            origins, directions = ray_directions(flat, side)
            rays = self._march(
                planes,
                origins.reshape(batch, -1, 3),
                directions.reshape(batch, -1, 3),
                SampleDraws(jitter, u, generator),
                ws=ws,
                chunk=chunk,
                rays_per_image=side * side,
            )

        def as_images(x: Tensor) -> Tensor:
            return x.mT.unflatten(2, (views, side, side)).transpose(1, 2).flatten(0, 1)

        features = as_images(rays.features)
        ray_length, opacity = as_images(rays.ray_length), as_images(rays.opacity)
        # The weights of all intervals are the largest part of it, and not needed any more.
        del rays
        image_raw = features[:, :3]
        last_ws = ws[:, -1:].repeat_interleave(views, 0)
        image = self.super_resolve(image_raw, features, last_ws)
        maps = (image, image_raw, features, ray_length, opacity)
        if camera.dim() == 3:
            maps = tuple(x.unflatten(0, (batch, views)) for x in maps)
        return Rendering(*maps)

    def render_rays(
        self,
        planes: Tensor,
        origins: Tensor,
        directions: Tensor,
        *,
        depths: Tensor | None = None,
        ws: Tensor | None = None,
        jitter: float | Tensor | None = None,
        u: Tensor | None = None,
        generator: torch.Generator | None = None,
        chunk: int | None = None,
    ) -> RayBundle:
        """Render single rays.

        Args:
            planes: `[B, 3, C, H, W]`.
            origins: `[B, M, 3]`.
            directions: `[B, M, 3]`, unit.
            depths: `[B, M, S]` ascending distances to sample, instead of the coarse and the
                importance pass.
            ws: `[B, num_ws, w_dim]`; needed by the backdrop extension only.
            jitter: See `render`.
            u: See `render`.
            generator: See `render`.
            chunk: See `render`.
        """
        with full_precision(planes):
            return self._march(
                planes,
                origins,
                directions,
                SampleDraws(jitter, u, generator),
                depths=depths,
                ws=ws,
                chunk=chunk,
                rays_per_image=origins.shape[1],
            )

    def query(self, planes: Tensor, points: Tensor, *, chunk: int | None = None) -> PointSamples:
        """Raw density and colour at world points `[B, M, 3]`, `chunk` points at a time."""
        step = max(1, points.shape[1]) if chunk is None else chunk
        with full_precision(planes):
            volume = self._volume(planes)
            parts = [
                volume.at(at_least_float32(points[:, start : start + step]))
                for start in range(0, max(1, points.shape[1]), step)
            ]
        density = torch.cat([part[0] for part in parts], 1)
        colour = torch.cat([part[1] for part in parts], 2)
        return PointSamples(density[..., None], colour.mT)

    def super_resolve(
        self, image_raw: Tensor, features: Tensor, ws: Tensor, *, patch: bool = False
    ) -> Tensor:
        """Enlarge rendered features.

        Args:
            image_raw: `[B, 3, R, R]` in [-1, 1].
            features: `[B, C, R, R]` in [-1, 1].
            ws: `[B, num_ws, w_dim]`; only the last is used.
            patch: The input is a cut-out, see `SuperResolution.forward`; S follows its size.

        Returns:
            `[B, 3, S, S]`.
        """
        noise_mode = self.options.superresolution_noise_mode
        step = image_raw.shape[0]
        if not torch.is_grad_enabled():
            step = max(1, PIXELS_PER_SUPERRESOLUTION // self.img_resolution**2)
        images = [
            self.superresolution(
                image_raw[start : start + step],
                features[start : start + step],
                ws[start : start + step],
                noise_mode=noise_mode,
                patch=patch,
            )
            for start in range(0, image_raw.shape[0], step)
        ]
        return images[0] if len(images) == 1 else torch.cat(images)

    def forward(
        self,
        z: Tensor,
        camera: Tensor,
        *,
        conditioning: Tensor | None = None,
        truncation_psi: float = 1.0,
        truncation_cutoff: int | None = None,
        noise_mode: str = "const",
    ) -> Rendering:
        """Latent to images in one call.

        Args:
            z: `[B, z_dim]`.
            camera: `[B, 25]` or `[B, V, 25]` to render from.
            conditioning: `[B, 25]` for the mapping (default: the first camera).
            truncation_psi: See `mapping`.
            truncation_cutoff: See `mapping`.
            noise_mode: See `planes`.
        """
        if conditioning is None:
            conditioning = camera if camera.dim() == 2 else camera[:, 0]
        ws = self.mapping(
            z,
            conditioning,
            truncation_psi=truncation_psi,
            truncation_cutoff=truncation_cutoff,
        )
        return self.render(self.planes(ws, noise_mode=noise_mode), ws, camera)

    def _volume(self, planes: Tensor) -> Volume:
        return Volume(
            at_least_float32(planes), self.decoder, self.plane_axes, self.options, self.extensions
        )

    def _march(
        self,
        planes: Tensor,
        origins: Tensor,
        directions: Tensor,
        draws: SampleDraws,
        *,
        ws: Tensor | None,
        chunk: int | None,
        rays_per_image: int,
        depths: Tensor | None = None,
    ) -> RayBundle:
        volume = self._volume(planes)
        rays = march_rays(volume, origins, directions, draws, depths=depths, chunk=chunk)
        colour, opacity = rays.marched.colour, rays.marched.opacity
        if self.backdrop is not None:
            if ws is None:
                raise ValueError("this generator has a backdrop: pass ws to render_rays")
            behind, distance = self.backdrop(at_least_float32(ws[:, -1]), origins, directions)
            colour = colour + (1 - opacity)[:, None] * behind
            length = rays.marched.weighted_length + (1 - opacity) * distance
        else:
            if volume.options.white_back:
                colour = colour + (1 - opacity)[:, None]
            length = mean_length(
                rays,
                depth_clamp=volume.options.depth_clamp,
                rays_per_image=rays_per_image,
            )
        return RayBundle(
            features=(colour * 2 - 1).mT,
            ray_length=length[..., None],
            opacity=opacity[..., None],
            weights=rays.marched.weights,
            midpoints=rays.marched.midpoints,
        )


def build_generator(
    init_kwargs: Mapping[str, Any],
    *,
    rendering_kwargs: Mapping[str, Any] | None = None,
    neural_rendering_resolution: int | None = None,
    plane_axes: str = "released",
) -> TriPlaneGenerator:
    """Build a generator with random weights from the official init kwargs.

    Args:
        init_kwargs: z_dim, c_dim, w_dim, img_resolution, mapping_kwargs, channel_base, ... as
            checkpoints store them; optionally ``"extensions"`` (see `Extensions`).
        rendering_kwargs: Replaces ``init_kwargs["rendering_kwargs"]``.
        neural_rendering_resolution: Rays a side; default 64, as after official construction.
        plane_axes: ``"released"`` for NVIDIA's weights, ``"fixed"`` for corrected ones.

    Raises:
        KeyError: A key is missing or unknown.
        ValueError: Sizes do not fit together.
    """
    kwargs = deepcopy(dict(init_kwargs))
    stored = kwargs.pop("rendering_kwargs", {})
    rendering = deepcopy(dict(stored if rendering_kwargs is None else rendering_kwargs))
    options = RenderingOptions.from_kwargs(rendering)
    extensions = Extensions.from_dict(kwargs.pop("extensions", None))
    if plane_axes not in PLANE_AXES:
        raise ValueError(f"plane_axes is {plane_axes!r}; expected one of {tuple(PLANE_AXES)}")
    missing = {"z_dim", "c_dim", "w_dim", "img_resolution"} - set(kwargs)
    if missing:
        raise KeyError(f"init_kwargs lacks {sorted(missing)}")
    z_dim, c_dim, w_dim = (kwargs.pop(key) for key in ("z_dim", "c_dim", "w_dim"))
    img_resolution = kwargs.pop("img_resolution")
    if kwargs.pop("img_channels", 3) != 3:
        raise ValueError("img_channels must be 3")
    mapping_kwargs = kwargs.pop("mapping_kwargs", {})
    channel_base, channel_max = kwargs.pop("channel_base", 32768), kwargs.pop("channel_max", 512)
    conv_clamp = kwargs.pop("conv_clamp", None)
    sr_clamp = HALF_PRECISION_CLAMP if kwargs.pop("sr_num_fp16_res", 0) > 0 else None
    kwargs.pop("sr_kwargs", None)
    for key in IGNORED_KWARGS:
        kwargs.pop(key, None)
    if kwargs:
        raise KeyError(f"init_kwargs has unknown keys {sorted(kwargs)}")

    channels = extensions.backbone_channels
    if channels is None:
        steps = round(math.log2(extensions.plane_resolution / extensions.const_resolution))
        sides = [extensions.const_resolution * 2**i for i in range(steps + 1)]
        channels = tuple(min(channel_base // side, channel_max) for side in sides)
    synthesis = SynthesisNetwork(
        w_dim,
        extensions.plane_resolution,
        img_channels=3 * extensions.plane_channels,
        channels=channels,
        const_resolution=extensions.const_resolution,
        conv_clamp=conv_clamp,
        learned_maps=extensions.learned_maps,
    )
    mapping = MappingNetwork(
        z_dim,
        c_dim,
        w_dim=w_dim,
        num_ws=synthesis.num_ws,
        skip=extensions.mapping_skip,
        **mapping_kwargs,
    )
    decoder = Decoder(
        extensions.plane_channels,
        hidden=extensions.decoder_hidden,
        out_features=extensions.decoder_features,
        lr_multiplier=options.decoder_lr_mul,
    )
    superresolution = SuperResolution(
        extensions.decoder_features,
        select_variant(
            options.superresolution_module,
            img_resolution,
            general_channels=extensions.sr_channels,
            general_input=extensions.sr_input_resolution,
        ),
        w_dim=w_dim,
        conv_clamp=sr_clamp,
        antialias=options.sr_antialias,
    )
    backdrop = None
    if extensions.backdrop_radius is not None:
        backdrop = Backdrop(
            w_dim,
            features=extensions.decoder_features,
            radius=extensions.backdrop_radius,
            centre=extensions.backdrop_centre,
        )
    return TriPlaneGenerator(
        Backbone(synthesis, mapping),
        decoder,
        superresolution=superresolution,
        backdrop=backdrop,
        init_kwargs=deepcopy(dict(init_kwargs)),
        rendering_kwargs=rendering,
        neural_rendering_resolution=(
            DEFAULT_RAW_RESOLUTION
            if neural_rendering_resolution is None
            else neural_rendering_resolution
        ),
        plane_axes=plane_axes,
        extensions=extensions,
    )
