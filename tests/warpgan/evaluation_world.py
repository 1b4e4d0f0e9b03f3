"""A world in which a whole evaluation takes a second: tiny random nets and a few portraits."""

import json
from pathlib import Path

import torch
import yaml
from PIL import Image

from warpgan.cameras import look_at
from warpgan.cli import compose_config
from warpgan.data.portraits import Portrait, sample_latents
from warpgan.encoders.inversion import InversionEncoder, save_encoder
from warpgan.encoders.swin import SwinPyramidEncoder
from warpgan.generators import random_generator

SIZE = 32
YAWS = (-50.0, -20.0, 4.0, 31.0)


def generator_node() -> dict:
    """The tiny random generator of ``configs/generator/random_tiny.yaml``."""
    config = compose_config("train", ["generator=random_tiny", "scale=tiny"])
    from omegaconf import OmegaConf

    return OmegaConf.to_container(config.generator, resolve=True)


def build_generator():
    node = {k: v for k, v in generator_node().items() if k != "_target_"}
    return random_generator(**node)


def build_encoder(generator, *, seed: int = 0) -> InversionEncoder:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = SwinPyramidEncoder(
            SIZE,
            generator.num_ws,
            w_dim=generator.w_dim,
            embed_dim=8,
            depths=(1, 1, 1, 1),
            num_heads=(1, 1, 2, 2),
            window=4,
            pretrained_windows=(0, 0, 0, 0),
            drop_path=0.1,
            dropout=0.1,
        )
        # Released encoders start from zero gains; this one must tell photos apart.
        for parameter in encoder.parameters():
            parameter.data += 0.2 * torch.randn_like(parameter)
    return InversionEncoder(encoder, generator.mean_latent()).eval().requires_grad_(False)


def write_run(folder: Path) -> Path:
    """A finished training run: ``encoder.safetensors`` and its config."""
    save_encoder(build_encoder(build_generator()), folder / "encoder.safetensors")
    (folder / "config.yaml").write_text(yaml.safe_dump({"generator": generator_node()}))
    return folder


def write_photos(folder: Path, *, people: int, yaws=YAWS) -> Path:
    """A folder a person, a file a view, ``dataset.json``."""
    labels = []
    for person, latent in enumerate(sample_latents(people, 11)):
        portrait = Portrait(latent, detail_seed=person)
        for place, yaw in enumerate(yaws):
            camera = look_at(yaw, 0.0)[0]
            name = f"person_{person}/{place}.png"
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(portrait.render(camera, size=SIZE).image).save(folder / name)
            labels.append([name, camera.tolist()])
    (folder / "dataset.json").write_text(json.dumps({"labels": labels}))
    return folder
