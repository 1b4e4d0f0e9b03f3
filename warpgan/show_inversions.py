"""One picture of what encoders make of photos: ``python -m warpgan.show_inversions DATA OUT.png``.

A row a photo; for every encoder the inversion, its depth and novel views. Prints the PSNR of each
encoder's inversions over the photos shown.

    python -m warpgan.show_inversions photos/ out.png \
        --encoder shipped=encoder_mini --encoder mine=runs/my_run/encoder.safetensors
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from warpgan import cameras, cli, weights
from warpgan.data.folder import ImageFolder
from warpgan.encoders.inversion import load_encoder
from warpgan.generators import named_generator
from warpgan.methods.inversion import EncoderInversion
from warpgan.metrics.pixel import psnr
from warpgan.pictures import Picture, contact_sheet, depth_picture, to_uint8, write_png


def encoder_path(text: str) -> Path:
    """A path as it is; a bare name from the weights table."""
    return Path(text) if "/" in text or text.endswith(".safetensors") else weights.resolve(text)


@torch.no_grad()
def inversion_rows(
    methods: dict[str, EncoderInversion],
    photos: torch.Tensor,
    labels: torch.Tensor,
    *,
    yaws: list[float],
) -> tuple[list[list[Picture]], dict[str, float]]:
    """Rows of pictures and the mean PSNR (decibels) by method.

    Args:
        methods: by the name shown above their columns.
        photos: ``[B, 3, S, S]`` in [-1, 1].
        labels: ``[B, 25]``.
        yaws: of the novel views, degrees, pitch 0.
    """
    novel = cameras.look_at(torch.tensor(yaws, dtype=torch.float64), 0.0).float()
    views = torch.cat([labels[:, None], novel[None].expand(len(labels), -1, -1)], 1)
    rows: list[list[Picture]] = [[photo] for photo in photos]
    quality = {}
    for name, method in methods.items():
        drawn = method.invert(photos, labels).render(views)
        quality[name] = psnr(drawn.image[:, 0].clamp(-1, 1), photos).mean().item()
        options = method.generator.options
        near, far = float(options.ray_start), float(options.ray_end)
        for row, image, depth_z in zip(rows, drawn.image, drawn.depth_z, strict=True):
            depth = depth_picture(depth_z[0], near=near, far=far)
            row += [image[0], depth, *image[1:]]
    return rows, quality


def main() -> None:
    """Command line; see the module's text."""
    parser = argparse.ArgumentParser(
        prog="python -m warpgan.show_inversions",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("data", type=Path, help="folder or zip of photos with dataset.json")
    parser.add_argument("out", type=Path, help="the picture, *.png")
    parser.add_argument(
        "--encoder",
        action="append",
        metavar="NAME=PATH",
        help="a name to show and an encoder file or table entry (default: shipped=encoder_mini)",
    )
    parser.add_argument("--generator", default="eg3d_mini", help="file or table entry")
    parser.add_argument("--count", type=int, default=6, help="photos, spread over the data")
    parser.add_argument("--yaws", type=float, nargs="+", default=[-30.0, 30.0], help="degrees")
    options = parser.parse_args()
    with cli.plain_errors():
        generator = named_generator(options.generator)
        methods = {}
        for text in options.encoder or ["shipped=encoder_mini"]:
            name, equals, path = text.partition("=")
            if not equals:
                raise ValueError(
                    f"--encoder {text}: write NAME=PATH, e.g. mine=runs/x/encoder.safetensors"
                )
            methods[name] = EncoderInversion(load_encoder(encoder_path(path)), generator, name=name)
        folder = ImageFolder(options.data, size=generator.img_resolution)
        chosen = np.unique(np.linspace(0, len(folder) - 1, options.count).astype(int))
        samples = [folder[i] for i in chosen]
    photos = torch.stack([sample.image for sample in samples])
    labels = torch.stack([sample.camera for sample in samples])
    rows, quality = inversion_rows(methods, photos, labels, yaws=options.yaws)
    columns = ["photo"]
    for name in methods:
        columns += [f"{name}: inversion", "depth", *(f"{yaw:+g} degrees" for yaw in options.yaws)]
    rows = [[to_uint8(cell) for cell in row] for row in rows]
    write_png(options.out, contact_sheet(rows, column_captions=columns))
    for name, value in quality.items():
        print(f"{name}: inversion PSNR {value:.2f} dB over {len(samples)} photos")
    print(f"picture: {options.out}")


if __name__ == "__main__":
    main()
