"""Held-out numbers and pictures of the inversion encoder during training."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Subset

from warpgan.cameras import look_at
from warpgan.pictures import contact_sheet, depth_picture
from warpgan.training.batch import Batch, stack_samples
from warpgan.training.encoder_step import EncoderModules, squared_error, train_step


@torch.no_grad()
def validate(
    accelerator: Accelerator,
    modules: EncoderModules,
    *,
    encoder: nn.Module,
    images: Dataset,
    count: int,
    batch_size: int,
) -> dict[str, float]:
    """Losses and PSNR on held-out images, the same whatever the number of processes.

    Args:
        accelerator: The processes; each takes its share of the images.
        modules: Generator and losses.
        encoder: The encoder to judge; left in eval mode.
        images: Images with cameras.
        count: Use the first ``count`` of them at most.
        batch_size: Images at a time in each process.

    Returns:
        Name -> mean over the images; ``psnr`` in dB is the mean of per-image values at the photo's
        size, range [-1, 1] clamped.
    """
    encoder.eval()
    modules = replace(modules, encoder=encoder, raw=False, activation_checkpointing=False)
    count = min(count, len(images))
    mine = list(range(accelerator.process_index, count, accelerator.num_processes))
    # A process without images still takes part in the sum, with weight 0.
    loader = DataLoader(
        Subset(images, mine or [0]), batch_size=batch_size, collate_fn=stack_samples
    )
    sums: dict[str, Tensor] = {}
    for batch in loader:
        batch = batch.to(accelerator.device)
        with accelerator.autocast():
            result = train_step(modules, batch, 0)
        decibel = -10 * torch.log10(squared_error(result.image, batch.photo).double() / 4)
        found = {"loss": result.total, **result.terms, "psnr": decibel.mean()}
        for name, value in found.items():
            part = value.double() * (len(batch.names) if mine else 0)
            sums[name] = sums.get(name, torch.zeros_like(part)) + part
    total = accelerator.reduce(torch.stack(list(sums.values())), reduction="sum").tolist()
    return {name: value / count for name, value in zip(sums, total, strict=True)}


@torch.no_grad()
def draw_inversions(
    modules: EncoderModules, encoder: nn.Module, batch: Batch, *, yaws: Sequence[float]
) -> np.ndarray:
    """Draw photo | inversion | ray length | novel views, one row a photo.

    Args:
        modules: Generator and render settings.
        encoder: Photo -> ws; left in eval mode.
        batch: Photos and cameras on the networks' device.
        yaws: Novel views, degrees.

    Returns:
        A picture [H, W, 3] uint8.
    """
    encoder.eval()
    generator, rows = modules.generator, []
    for photo, camera in zip(batch.photo.split(1), batch.camera.split(1), strict=True):
        ws = encoder(photo)
        planes = generator.planes(ws, noise_mode="const")
        views = [generator.render(planes, ws, camera, resolution=modules.render_rays)]
        for yaw in yaws:
            novel = look_at(yaw, 0.0).to(camera)
            views.append(generator.render(planes, ws, novel, resolution=modules.render_rays))
        length = views[0].ray_length[0].float()
        near, far = length.min().item(), length.max().item()
        depth = depth_picture(length, near=near, far=max(far, near + 1e-6))
        rows.append([photo[0], views[0].image[0], depth, *(view.image[0] for view in views[1:])])
    captions = ["photo", "inversion", "ray length", *(f"yaw {yaw:+.0f}" for yaw in yaws)]
    return contact_sheet(rows, column_captions=captions)
