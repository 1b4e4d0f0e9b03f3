"""A SVINet training of seconds: the pictures, generator and encoder are tiny and random."""

import torch

from tests.warpgan.training_world import write_images
from warpgan.cli import build_node, compose_config
from warpgan.encoders.inversion import InversionEncoder, save_encoder
from warpgan.train_svinet import train

TINY = (
    "generator=random_tiny",
    "scale=tiny",
    "geometry=mini",
    "svinet_losses.weights.perceptual=0",
    "svinet_losses.weights.identity=0",
    "train.cpu=true",
    "train.schedule=constant",
    "train.warmup_steps=0",
    "train.batch_size=2",
    "train.synthetic_batch_size=2",
    "train.steps=6",
    "train.log_every=2",
    "train.image_every=0",
    "train.checkpoint_every=2",
    "train.ema_decay=0.9",
    "views.synthetic_pairs=5",
    "eval.every=0",
    "eval.protocol=same_view",
)


def write_encoder(path):
    """Save a random encoder for the tiny generator."""
    config = compose_config("train", ["generator=random_tiny", "scale=tiny"])
    generator = build_node(config, "generator")
    torch.manual_seed(0)
    encoder = build_node(config, "encoder", num_ws=generator.num_ws, w_dim=generator.w_dim)
    save_encoder(InversionEncoder(encoder, generator.mean_latent()), path)
    return path


def words(folder, *more, name="run"):
    """The command line of a tiny run whose images, encoder and runs lie in ``folder``."""
    if not (folder / "images").is_dir():
        write_images(folder / "images")
        write_encoder(folder / "encoder.safetensors")
    place = (
        f"paths.runs={folder / 'runs'}",
        f"data.path={folder / 'images'}",
        f"views.encoder={folder / 'encoder.safetensors'}",
        f"run.name={name}",
    )
    return [*TINY, *place, *more]


def run_training(folder, *more, name="run"):
    """Train in this process; returns the run folder."""
    torch.set_num_threads(1)
    overrides = words(folder, *more, name=name)
    train(compose_config("train_svinet", overrides), overrides)
    return folder / "runs" / name
