"""A face in the tiny random world: pipeline, photos, and files of the networks."""

from pathlib import Path

import torch
import yaml

from tests.warpgan.evaluation_world import SIZE, build_encoder, build_generator, generator_node
from tests.warpgan.training_world import write_images
from warpgan.cameras import look_at
from warpgan.encoders.inversion import save_encoder
from warpgan.pipeline import WarpGAN
from warpgan.svinet import SVINet, build_svinet, save_svinet
from warpgan.warp import WarpOptions

OPTIONS = WarpOptions(visibility=True, scale_blur=True)


def build_tiny_svinet(generator, *, symmetry: bool = True) -> SVINet:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        svinet = build_svinet(
            num_ws=generator.num_ws,
            w_dim=generator.w_dim,
            width=4,
            blocks=1,
            symmetry=symmetry,
            style_index=1,
            up_style_indices=[[1, 1, 1]] * 3,
        )
    return svinet.eval().requires_grad_(False)


def build_pipeline(*, options: WarpOptions = OPTIONS, symmetry: bool = True) -> WarpGAN:
    generator = build_generator()
    svinet = build_tiny_svinet(generator, symmetry=symmetry)
    return WarpGAN(generator, build_encoder(generator), svinet, options)


def photos(count: int, seed: int = 0) -> torch.Tensor:
    """Smooth random pictures, so that a warp changes little between neighbours."""
    coarse = torch.rand(count, 3, 5, 5, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    return torch.nn.functional.interpolate(coarse, (SIZE, SIZE), mode="bicubic").clamp(-1, 1)


def source_cameras(count: int) -> torch.Tensor:
    return look_at(torch.linspace(-12, 9, count), 3.0)


def orbit(count: int, batch: int = 1) -> torch.Tensor:
    return look_at(torch.linspace(-35, 35, count), torch.linspace(6, -6, count)).expand(
        batch, -1, -1
    )


def write_networks(folder: Path) -> tuple[Path, Path]:
    """Finished runs of the encoder and of SVINet; their folders."""
    generator = build_generator()
    encoder_run, svinet_run = folder / "encoder_run", folder / "svinet_run"
    save_encoder(build_encoder(generator), encoder_run / "encoder.safetensors")
    (encoder_run / "config.yaml").write_text(yaml.safe_dump({"generator": generator_node()}))
    save_svinet(build_tiny_svinet(generator), svinet_run / "svinet.safetensors")
    node = {"_target_": "warpgan.warp.WarpOptions", "visibility": True, "scale_blur": True}
    views = {"encoder": str(encoder_run)}
    (svinet_run / "config.yaml").write_text(yaml.safe_dump({"geometry": node, "views": views}))
    return encoder_run, svinet_run


def write_world(folder: Path, *, count: int) -> Path:
    """Photos in ``photos``, and the networks."""
    write_images(folder / "photos", count=count, size=SIZE)
    write_networks(folder)
    return folder
