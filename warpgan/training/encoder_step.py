"""One training step of the inversion encoder, as a plain function of (modules, batch, step).

photo -> encoder -> ws -> frozen generator -> render at the photo's own camera -> losses against the
photo; no novel view enters (paper, section 3.2). The function has no branch on data, so that it
runs on fake and meta devices; the check for a loss that is not a number lives in the loop.
"""

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from eg3d import ray_directions
from warpgan.encoders.inversion import resize_square
from warpgan.losses import EncoderLosses, Reconstruction
from warpgan.training.batch import Batch


@dataclass(frozen=True)
class EncoderModules:
    """What the step works with.

    Attributes:
        encoder: Photo [B, 3, S, S] -> ws [B, num_ws, w_dim]; possibly wrapped for several
            processes.
        generator: The frozen tri-plane generator; gradients run through it to ws.
        losses: Named terms and their weighted sum, at their own size.
        latent_avg: [1 or num_ws, w_dim] the mean latent that the encoder adds.
        render_rays: Rays a side of the training render; None for the generator's own.
        raw: Supervise the render before super-resolution, which is cheaper; the super-resolution
            is frozen and starts from it.
        ray_stride: Only every so many-th row and column of rays of a raw render carries a gradient,
            the others only their values; which ones goes round with the step.
        activation_checkpointing: Recompute the generator in the backward pass to save memory.
    """

    encoder: nn.Module
    generator: nn.Module
    losses: EncoderLosses
    latent_avg: Tensor
    render_rays: int | None = None
    raw: bool = False
    ray_stride: int = 1
    activation_checkpointing: bool = False


@dataclass(frozen=True)
class StepResult:
    """What a step gives.

    Attributes:
        total: Weighted sum of the terms, a scalar with gradient.
        terms: Name -> unweighted scalar of every term.
        image: [B, 3, S, S] the rendered inversion, or [B, 3, R, R] where it is raw.
    """

    total: Tensor
    terms: dict[str, Tensor]
    image: Tensor


def train_step(modules: EncoderModules, batch: Batch, step: int) -> StepResult:
    """Forward pass and losses of one micro-batch.

    Args:
        modules: Networks and losses.
        batch: Photos and cameras on the networks' device.
        step: Optimiser step, from 0; tells which rays of a strided raw render carry a gradient.

    Returns:
        Total, terms and the rendered inversion.
    """
    ws = modules.encoder(batch.photo)
    view = partial(render_raw_view, stride=modules.ray_stride, step=step)
    view = view if modules.raw else render_view
    arguments = (modules.generator, ws, batch.camera, modules.render_rays)
    if modules.activation_checkpointing:
        image = checkpoint(view, *arguments, use_reentrant=False, preserve_rng_state=False)
    else:
        image = view(*arguments)
    losses = modules.losses(
        Reconstruction(
            prediction=image,
            target=batch.photo,
            camera=batch.camera,
            ws=ws,
            latent_avg=modules.latent_avg,
        )
    )
    return StepResult(total=losses.total, terms=dict(losses.terms), image=image)


def render_view(
    generator: nn.Module, ws: Tensor, camera: Tensor, rays: int | None = None
) -> Tensor:
    """Render codes at one camera each, deterministically.

    Args:
        generator: The tri-plane generator.
        ws: [B, num_ws, w_dim].
        camera: [B, 25].
        rays: Rays a side; None for the generator's own.

    Returns:
        [B, 3, S, S], nominally in [-1, 1].
    """
    planes = generator.planes(ws, noise_mode="const")
    return generator.render(planes, ws, camera, resolution=rays).image


def render_raw_view(
    generator: nn.Module,
    ws: Tensor,
    camera: Tensor,
    rays: int | None = None,
    *,
    stride: int = 1,
    step: int = 0,
) -> Tensor:
    """Render codes without super-resolution, deterministically.

    With a stride k > 1 all pixels have their exact values, but a gradient runs only through every
    k-th row and column, k^2 times as strong. The offset goes round with the step, so that k^2
    successive gradients add up to the full one; the cost of the backward pass falls by k^2.

    Args:
        generator: The tri-plane generator.
        ws: [B, num_ws, w_dim].
        camera: [B, 25].
        rays: Rays a side R; None for the generator's own.
        stride: k, a divisor of R.
        step: Optimiser step, from 0.

    Returns:
        [B, 3, R, R], nominally in [-1, 1].
    """
    side = generator.neural_rendering_resolution if rays is None else rays
    planes = generator.planes(ws, noise_mode="const")
    origins, directions = ray_directions(camera, side)

    def colours(origins: Tensor, directions: Tensor, side: int) -> Tensor:
        features = generator.render_rays(planes, origins, directions, ws=ws).features
        return features[..., :3].mT.unflatten(2, (side, side))

    if stride == 1:
        return colours(origins, directions, side)
    row, column = divmod(step % stride**2, stride)
    picked = (slice(None), slice(row, None, stride), slice(column, None, stride))
    some = [x.unflatten(1, (side, side))[picked].flatten(1, 2) for x in (origins, directions)]
    traced = colours(*some, side // stride)
    with torch.no_grad():
        image = colours(origins, directions, side)
    strong = stride**2 * traced - (stride**2 - 1) * traced.detach()
    padded = torch.zeros_like(image)
    padded[..., picked[1], picked[2]] = strong - traced.detach()
    return image + padded


@torch.no_grad()
def squared_error(image: Tensor, photo: Tensor) -> Tensor:
    """Mean squared error of each inversion, clamped to [-1, 1], at the photo's size.

    Args:
        image: [B, 3, S, S] rendered inversions.
        photo: [B, 3, S', S'] in [-1, 1].

    Returns:
        [B] float32.
    """
    image = resize_square(image.float(), photo.shape[-1]).clamp(-1, 1)
    return (image - photo.float()).square().mean(dim=(1, 2, 3))
