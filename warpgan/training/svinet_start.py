"""Everything that SVINet's training builds before step 0, cheap checks first."""

from pathlib import Path

import torch
from accelerate import Accelerator
from omegaconf import DictConfig, OmegaConf
from torch import nn

from warpgan.cli import build_node
from warpgan.data.folder import ImageFolder
from warpgan.data.view_cache import open_pair_views, open_photo_views
from warpgan.encoders.inversion import InversionEncoder
from warpgan.evaluation.load import find_models
from warpgan.pipeline import WarpGAN
from warpgan.pose import PoseDistribution, rebalance_by_yaw
from warpgan.svinet_config import SVINetTrainConfig, check_svinet_config
from warpgan.training.command import plain_config
from warpgan.training.ema import WeightAverage
from warpgan.training.order import micro_batch_size
from warpgan.training.seeding import fold_seed
from warpgan.training.sources import (
    check_paths,
    open_held_out_images,
    open_training_images,
)
from warpgan.training.svinet_loop import SVINetTraining
from warpgan.training.svinet_sources import (
    ViewSource,
    from_cache,
    pairs_on_the_fly,
    photos_on_the_fly,
)
from warpgan.training.svinet_step import (
    DiscriminatorObjective,
    InpaintingPasses,
    SVINetModules,
)
from warpgan.training.svinet_validation import HeldOut, pair_held_out
from warpgan.view_maker import UniformPoses, ViewMaker

RANDOM = "random"


def read_svinet_config(config: DictConfig) -> SVINetTrainConfig:
    """Turn a composed config into plain dataclasses and check its values.

    Args:
        config: As Hydra composed it.

    Returns:
        The resolved config; nodes with a ``_target_`` are plain dicts.

    Raises:
        ValueError: If a value is out of range.
    """
    settings = OmegaConf.to_object(config)
    check_svinet_config(settings)
    return settings


def build_svinet_training(
    config: DictConfig, settings: SVINetTrainConfig, accelerator: Accelerator
) -> SVINetTraining:
    """Build networks, losses, optimisers and views of SVINet's training.

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
    train, device = settings.train, accelerator.device
    check_paths(settings)
    micro_batch_size(
        train.synthetic_batch_size, processes=accelerator.num_processes,
        accumulation=train.accumulation,
    )  # fmt: skip
    encoder = None
    if settings.views.encoder != RANDOM:
        found = find_models(settings.views.encoder, settings.generator, key="views.encoder")
        encoder = found.encoder
    generator = build_node(config, "generator").eval().requires_grad_(False)
    if generator.img_resolution != settings.scale.image_size:
        raise ValueError(
            f"scale.image_size={settings.scale.image_size}, but the generator makes "
            f"{generator.img_resolution} px; choose scale and generator that belong together "
            "(scale=mini generator=eg3d_mini, scale=full generator=eg3d_ffhq)"
        )
    if encoder is None:
        torch.manual_seed(fold_seed(settings.run.seed, "random encoder"))
        codes = {"num_ws": generator.num_ws, "w_dim": generator.w_dim}
        encoder = InversionEncoder(build_node(config, "encoder", **codes), generator.mean_latent())
        encoder.eval().requires_grad_(False)
    options = build_node(config, "geometry")
    losses = build_node(config, "svinet_losses").to(device).eval()
    # The main process writes portraits first; the others find them.
    with accelerator.main_process_first():
        images = open_training_images(settings)
        held_out = open_held_out_views(settings)
    generator, encoder = generator.to(device), encoder.to(device)
    torch.manual_seed(fold_seed(settings.run.seed, "initialisation"))
    svinet = build_node(config, "svinet", num_ws=generator.num_ws, w_dim=generator.w_dim)
    discriminator = build_node(config, "discriminator")
    if train.sync_batch_norm:
        svinet, discriminator = map(
            nn.SyncBatchNorm.convert_sync_batchnorm, (svinet, discriminator)
        )
    svinet, discriminator = svinet.to(device), discriminator.to(device)
    average = None if train.ema_decay is None else WeightAverage(svinet, train.ema_decay)
    optimizer = torch.optim.Adam(svinet.parameters(), lr=train.learning_rate)
    discriminator_optimizer = torch.optim.Adam(
        discriminator.parameters(), lr=train.discriminator_learning_rate
    )
    passes = InpaintingPasses(
        svinet.network, options, symmetry=svinet.symmetry, rewarped=train.rewarped
    )
    objective = DiscriminatorObjective(discriminator, losses)
    passes, objective, optimizer, discriminator_optimizer = accelerator.prepare(
        passes, objective, optimizer, discriminator_optimizer
    )
    photos, pairs = open_views(
        settings, images, generator=generator, encoder=encoder, verify=accelerator.is_main_process
    )
    judged = svinet if average is None else average.network
    return SVINetTraining(
        accelerator=accelerator,
        modules=SVINetModules(passes, objective, discriminator, losses, encoder),
        svinet=svinet,
        average=average,
        optimizer=optimizer,
        discriminator_optimizer=discriminator_optimizer,
        photos=photos,
        pairs=pairs,
        pipeline=WarpGAN(generator, encoder, judged, options),
        held_out=held_out,
        config=settings,
        plain_config=plain_config(config),
    )


def open_views(
    settings: SVINetTrainConfig,
    images: ImageFolder,
    *,
    generator: nn.Module,
    encoder: nn.Module,
    verify: bool = True,
) -> tuple[ViewSource, ViewSource | None]:
    """Open the sources of real and synthetic views.

    Args:
        settings: The resolved config.
        images: The training photos.
        generator: Frozen, on the device of the run.
        encoder: Frozen, on the same device.
        verify: Compare the cache's shards with their checksums; once for all processes is enough.

    Returns:
        Photos, and pairs (None for ablation F).

    Raises:
        FileNotFoundError: If the cache is absent.
        ValueError: If the cache was made from other networks or photos, or is damaged.
    """
    views, seed = settings.views, settings.run.seed
    poses = pose_distribution(settings, images)
    maker = ViewMaker(
        generator,
        encoder,
        synthetic_poses=UniformPoses() if views.poses == "uniform" else poses,
        synthetic_psi=views.truncation_psi,
        invert_synthetic=views.synthetic_codes == "encoder",
    )
    if views.cache is not None:
        cache = Path(views.cache).expanduser()
        checks = {"expected": {"networks": maker.fingerprint()}, "verify": verify}
        photos = from_cache(open_photo_views(cache, images, **checks), seed=seed)
        if not settings.ablation.synthetic_pairs:
            return photos, None
        return photos, from_cache(open_pair_views(cache, **checks), seed=seed)
    photos = photos_on_the_fly(images, poses, maker, seed=seed, mirror=views.mirror_poses)
    if not settings.ablation.synthetic_pairs:
        return photos, None
    return photos, pairs_on_the_fly(maker, count=views.synthetic_pairs, seed=seed)


def pose_distribution(settings: SVINetTrainConfig, images: ImageFolder) -> PoseDistribution:
    """Where novel cameras come from: ``views.pose_labels``, or the photos' labels, rebalanced.

    Raises:
        FileNotFoundError: If the label file is absent.
        ValueError: If it holds labels that are no cameras.
    """
    if settings.views.pose_labels is not None:
        return PoseDistribution.from_dataset_json(settings.views.pose_labels)
    return PoseDistribution(images.labels[rebalance_by_yaw(images.labels)])


def open_held_out_views(settings: SVINetTrainConfig) -> HeldOut | None:
    """Open ``eval.path``, or held-out people of the embedded world seen from five cameras.

    Returns:
        The photos, or None where ``eval.every=0`` or there are none.

    Raises:
        ValueError: If anything is wrong with the photos.
    """
    protocol = settings.eval.protocol
    split = "mead" if protocol == "multi_view" else "celebahq"
    photos = open_held_out_images(settings, split=split)
    return None if photos is None else pair_held_out(photos, protocol=protocol)
