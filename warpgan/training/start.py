"""Everything that is built before step 0, cheap checks first."""

import torch
from accelerate import Accelerator
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from warpgan import weights
from warpgan.cli import build_node
from warpgan.config import TrainConfig, check_config
from warpgan.encoders.inversion import InversionEncoder, load_encoder
from warpgan.encoders.psp import PspEncoder
from warpgan.encoders.released import (
    load_arcface_trunk,
    load_imagenet_trunk,
    load_released_encoder,
)
from warpgan.encoders.swin import SwinPyramidEncoder
from warpgan.generators import sampled_mean_latent
from warpgan.training.command import plain_config
from warpgan.training.ema import WeightAverage
from warpgan.training.encoder_loop import EncoderTraining
from warpgan.training.encoder_step import EncoderModules
from warpgan.training.seeding import fold_seed
from warpgan.training.sources import check_paths, open_held_out_images, open_training_images


def read_config(config: DictConfig) -> TrainConfig:
    """Turn a composed config into plain dataclasses and check its values.

    Args:
        config: As Hydra composed it.

    Returns:
        The resolved config; nodes with a ``_target_`` are plain dicts.

    Raises:
        ValueError: If a value is out of range.
    """
    settings = OmegaConf.to_object(config)
    check_config(settings)
    return settings


def build_encoder_training(
    config: DictConfig, settings: TrainConfig, accelerator: Accelerator
) -> EncoderTraining:
    """Build networks, losses, optimiser and data of the encoder training.

    Args:
        config: The composed config, for the nodes with a ``_target_``.
        settings: The same, checked, as dataclasses.
        accelerator: Processes, device and precision.

    Returns:
        Everything the loop works with.

    Raises:
        FileNotFoundError: If data or a weights file is absent.
        ValueError: If parts do not fit together.
    """
    train = settings.train
    check_paths(settings)
    generator = build_generator(config, settings)
    losses = build_node(config, "losses")
    # The main process writes portraits first; the others find them.
    with accelerator.main_process_first():
        images = open_training_images(settings)
        held_out = open_held_out_images(settings)
    device = accelerator.device
    generator, losses = generator.to(device), losses.to(device).eval()
    encoder = build_inversion_encoder(config, settings, generator)
    encoder = encoder.to(device)
    if sum(p.requires_grad for p in encoder.parameters()) == 0:
        raise ValueError("the encoder has no trainable parameter")
    optimizer = build_node(config, "optimizer")(list(encoder.parameters()))
    average = None if train.ema_decay is None else WeightAverage(encoder, train.ema_decay)
    latent_avg = encoder.latent_avg
    encoder, optimizer = accelerator.prepare(encoder, optimizer)
    modules = EncoderModules(
        encoder=encoder,
        generator=generator,
        losses=losses,
        latent_avg=latent_avg,
        render_rays=train.render_rays,
        raw=train.supervise == "raw",
        ray_stride=train.ray_stride,
        activation_checkpointing=train.activation_checkpointing,
    )
    return EncoderTraining(
        accelerator=accelerator,
        modules=modules,
        average=average,
        optimizer=optimizer,
        images=images,
        held_out=held_out,
        config=settings,
        plain_config=plain_config(config),
    )


def build_generator(config: DictConfig, settings: TrainConfig) -> nn.Module:
    """Build the frozen generator and adjust how training renders it.

    Raises:
        FileNotFoundError: If its file is absent.
        ValueError: If it makes images of another size than ``scale.image_size``.
    """
    generator = build_node(config, "generator").eval().requires_grad_(False)
    if generator.img_resolution != settings.scale.image_size:
        raise ValueError(
            f"scale.image_size={settings.scale.image_size}, but the generator makes "
            f"{generator.img_resolution} px; choose scale and generator that belong together "
            "(scale=mini generator=eg3d_mini, scale=full generator=eg3d_ffhq)"
        )
    if settings.train.render_samples is not None:
        coarse, fine = settings.train.render_samples
        generator.rendering_kwargs["depth_resolution"] = coarse
        generator.rendering_kwargs["depth_resolution_importance"] = fine
    return generator


def build_inversion_encoder(
    config: DictConfig, settings: TrainConfig, generator: nn.Module
) -> InversionEncoder:
    """Build the encoder for a generator and give it its first weights.

    Args:
        config: The composed config.
        settings: The same as dataclasses.
        generator: The generator whose codes it predicts.

    Returns:
        The encoder with the generator's mean latent.

    Raises:
        FileNotFoundError: If the file of ``train.encoder_start`` is absent.
        ValueError: If it does not fit the encoder.
    """
    torch.manual_seed(fold_seed(settings.run.seed, "initialisation"))
    encoder = build_node(config, "encoder", num_ws=generator.num_ws, w_dim=generator.w_dim)
    latent_avg = mean_latent(generator, kind=settings.train.latent_average)
    inversion = InversionEncoder(encoder, latent_avg)
    start_encoder(inversion, settings.train.encoder_start)
    return inversion


def mean_latent(generator: nn.Module, *, kind: str) -> Tensor:
    """Mean latent [w_dim] on the CPU.

    Args:
        generator: The generator.
        kind: ``sampled`` (10,000 draws at the frontal camera) or ``tracked`` (its own ``w_avg``).
    """
    value = generator.mean_latent() if kind == "tracked" else sampled_mean_latent(generator)
    return value.detach().cpu()


def start_encoder(inversion: InversionEncoder, start: str) -> None:
    """Give an encoder its first weights.

    Args:
        inversion: A freshly built encoder, changed in place.
        start: ``random``; a name of the weights table (``swinv2_imagenet``, ``arcface_irse50``,
            ``encoder_goae``, ``encoder_warpgan``); or the path of a saved ``.safetensors`` encoder.

    Raises:
        FileNotFoundError: If the file is absent.
        ValueError: If the start is unknown or does not fit the encoder.
    """
    encoder = inversion.encoder
    if start == "random":
        return
    if start.endswith(".safetensors"):
        saved = load_encoder(start)
        if saved.encoder.arguments != encoder.arguments or saved.encoder.kind != encoder.kind:
            raise ValueError(
                f"train.encoder_start={start} is a {saved.encoder.kind} encoder of other sizes "
                f"({saved.encoder.arguments}) than the configured {encoder.kind} encoder "
                f"({encoder.arguments}); choose the encoder and scale that it was trained with"
            )
        inversion.load_state_dict(saved.state_dict())
        return
    loaders = {
        "swinv2_imagenet": (SwinPyramidEncoder, lambda path: load_imagenet_trunk(encoder, path)),
        "encoder_goae": (SwinPyramidEncoder, lambda path: load_released_encoder(path, encoder)),
        "encoder_warpgan": (SwinPyramidEncoder, lambda path: load_released_encoder(path, encoder)),
        "arcface_irse50": (PspEncoder, lambda path: load_arcface_trunk(encoder, path)),
    }
    if start not in loaders:
        raise ValueError(
            f"train.encoder_start={start} is not known; use random, {', '.join(loaders)}, or the "
            "path of an encoder saved as .safetensors"
        )
    kind, load = loaders[start]
    if not isinstance(encoder, kind):
        raise ValueError(
            f"train.encoder_start={start} fits a {kind.kind} encoder, not {encoder.kind}; use "
            "train.encoder_start=random or the other encoder"
        )
    load(weights.resolve(start))
    inversion.train()
