"""How well warping reproduces the true view, in the embedded world.

    python scripts/measure_warp.py
    python scripts/measure_warp.py --geometry mini --geometry mini,occlusion=soft,oversample=2

Held-out people (split mead) are warped from yaw 0 to +-30 and +-60 degrees, with the true depth and
with the depth of the generator's inversion, and compared with the true view on the pixels that the
source truly sees. A line a yaw, medians over people:

    PSNR all     on all truly visible pixels, before the hole tests; nothing fills what is open
    PSNR kept    on those that are also called visible
    lost         truly visible pixels called holes, % of the truly visible
    false        truly occluded pixels called visible, % of the truly occluded
    PSNR filled  on all truly visible pixels, the soft holes filled by the inversion's render
    PSNR whole   the same on the whole image
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from omegaconf import OmegaConf
from torch import Tensor

from eg3d import TriPlaneGenerator
from warpgan import cli, weights
from warpgan.cameras import look_at
from warpgan.data.portraits.portrait import Portrait, View
from warpgan.data.portraits.splits import person_seed
from warpgan.data.portraits.visibility import true_visibility
from warpgan.encoders.inversion import InversionEncoder, load_encoder
from warpgan.generators import named_generator
from warpgan.metrics.pixel import psnr
from warpgan.pictures import Picture, contact_sheet, to_uint8, write_png
from warpgan.warp import WarpOptions, forward_warp, soft_holes, visible_pixels

YAWS = (-60.0, -30.0, 30.0, 60.0)
GEOMETRIES = Path(__file__).parents[1] / "configs" / "geometry"
MAGENTA = (255, 0, 255)
PICTURED = 4
COLUMNS = ("PSNR all", "PSNR kept", "lost %", "false %", "PSNR filled", "PSNR whole")
Models = tuple[TriPlaneGenerator, InversionEncoder]


@dataclass(frozen=True)
class Person:
    """One person from the source camera and the targets.

    Attributes:
        photo: ``[3, S, S]`` in [0, 1].
        views: ``[T, 3, S, S]`` in [0, 1].
        seen: ``[T, 1, S, S]`` bool, what the source truly sees.
        ray_length: ``[1, S, S]`` true one of the source.
        target_ray_length: ``[T, 1, S, S]``.
        renders: ``[T, 3, S, S]`` in [0, 1], the generator's inversion from the targets.
    """

    photo: Tensor
    views: Tensor
    seen: Tensor
    ray_length: Tensor
    target_ray_length: Tensor
    renders: Tensor


@torch.no_grad()
def load_person(
    index: int, source: Tensor, targets: Tensor, *, seed: int, models: Models
) -> tuple[Person, Person]:
    """Render a person of the split mead; the same with the depth of the generator's inversion."""
    generator, encoder = models
    size = generator.img_resolution
    portrait = Portrait.sample(person_seed("mead", seed, index))
    drawn = [portrait.render(camera, size=size) for camera in [source, *targets]]
    seen = [true_visibility(portrait, source, target, size) for target in targets]
    images = torch.stack([_unit_image(view) for view in drawn])
    lengths = torch.stack([torch.from_numpy(view.ray_length)[None] for view in drawn])
    ws = encoder(images[:1] * 2 - 1)
    inverted = generator.render(generator.planes(ws), ws, torch.cat([source[None], targets])[None])
    truth = Person(
        photo=images[0],
        views=images[1:],
        seen=torch.from_numpy(np.stack(seen))[:, None],
        ray_length=lengths[0],
        target_ray_length=lengths[1:],
        renders=((inverted.image[0, 1:] + 1) / 2).clamp(0, 1),
    )
    length = inverted.ray_length[0]
    return truth, replace(truth, ray_length=length[0], target_ray_length=length[1:])


@torch.no_grad()
def warp_person(
    person: Person, source: Tensor, targets: Tensor, *, options: WarpOptions
) -> tuple[Tensor, Tensor]:
    """Warped views ``[T, 3, S, S]`` in [0, 1] and what is called visible ``[T, 1, S, S]`` bool."""
    count = len(targets)
    sources, length = source.expand(count, -1), person.ray_length.expand(count, -1, -1, -1)
    photos = person.photo.expand(count, -1, -1, -1)
    warped = forward_warp(photos, length, sources, targets, options=options)
    visible = visible_pixels(
        warped,
        targets,
        options=options,
        ray_length=length,
        source=sources,
        target_ray_length=person.target_ray_length,
    )
    return warped.colour, visible.bool()


def figures(person: Person, colour: Tensor, visible: Tensor, *, options: WarpOptions) -> Tensor:
    """``[T, 6]``: `COLUMNS`, described above."""
    filled = torch.lerp(colour, person.renders, soft_holes(visible.float(), options=options))
    truth, seen = person.views * 2 - 1, person.seen
    quality = [
        psnr(image * 2 - 1, truth, mask=mask.float())
        for image, mask in (
            (colour, seen),
            (colour, seen & visible),
            (filled, seen),
            (filled, torch.ones_like(seen)),
        )
    ]
    lost, false = (
        100 * (wrong.sum((1, 2, 3)) / among.sum((1, 2, 3))).double()
        for wrong, among in ((seen & ~visible, seen), (~seen & visible, ~seen))
    )
    return torch.stack([*quality[:2], lost, false, *quality[2:]], dim=1)


def picture_row(person: Person, warps: Sequence[tuple[Tensor, Tensor]]) -> list[Picture]:
    """Photo, then for each target the true view (unseen magenta) and each warp (holes magenta)."""
    row: list[Picture] = [to_uint8(person.photo * 2 - 1)]
    for target in range(len(person.views)):
        shown = [(person.views[target], person.seen[target])]
        for image, mask in shown + [(colour[target], seen[target]) for colour, seen in warps]:
            pixels = to_uint8(image * 2 - 1).copy()
            pixels[~mask[0].numpy()] = MAGENTA
            row.append(pixels)
    return row


def read_geometry(text: str) -> WarpOptions:
    """A name in ``configs/geometry``, with changes: ``mini,oversample=2``."""
    name, *changes = text.split(",")
    path = GEOMETRIES / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in GEOMETRIES.glob("*.yaml")))
        raise ValueError(f"no geometry {name!r}; there are {known}")
    values = OmegaConf.merge(OmegaConf.load(path), OmegaConf.from_dotlist(changes))
    del values["_target_"]
    return WarpOptions(**values)


def _unit_image(view: View) -> Tensor:
    return torch.from_numpy(view.image).permute(2, 0, 1).float() / 255


def main() -> None:
    """Command line; see the module's text."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--geometry", action="append", metavar="NAME[,KEY=VALUE...]")
    parser.add_argument("--people", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0, help="of the split mead")
    parser.add_argument("--picture", type=Path, help="write a contact sheet of the first people")
    arguments = parser.parse_args()
    with cli.plain_errors():
        measure(arguments)


def measure(arguments: argparse.Namespace) -> None:
    """Measure and print."""
    names = arguments.geometry or ["mini", "paper", "official"]
    geometries = {name: read_geometry(name) for name in names}
    source, targets = look_at(0.0, 0.0)[0], look_at(list(YAWS), 0.0)
    models = named_generator("eg3d_mini"), load_encoder(weights.resolve("encoder_mini"))
    found = {(depth, name): [] for depth in ("true", "generator") for name in geometries}
    rows, captions = [], []
    for index in range(arguments.people):
        both = load_person(index, source, targets, seed=arguments.seed, models=models)
        for depth, person in zip(("true", "generator"), both, strict=True):
            warps = []
            for name, options in geometries.items():
                colour, visible = warp_person(person, source, targets, options=options)
                found[depth, name].append(figures(person, colour, visible, options=options))
                warps.append((colour, visible))
            if index < PICTURED:
                rows.append(picture_row(person, warps))
                captions.append(f"{index} {depth}")
    for (depth, name), people in found.items():
        print(f"\n{depth} depth, geometry={name}, {len(people)} people, medians")
        print("  yaw " + " ".join(f"{column:>11}" for column in COLUMNS))
        for yaw, medians in zip(YAWS, torch.stack(people).median(0).values, strict=True):
            print(f"{yaw:>+5.0f} " + " ".join(f"{value:>11.2f}" for value in medians))
    if arguments.picture:
        heads = ["photo"] + [
            caption for yaw in YAWS for caption in (f"true {yaw:+.0f}", *geometries)
        ]
        write_png(
            arguments.picture,
            contact_sheet(rows, row_captions=captions, column_captions=heads),
        )
        print(f"\n{arguments.picture}")


if __name__ == "__main__":
    main()
