"""What a second and a third photo of a person add to views that none of them shows.

    python scripts/measure_several_photos.py
    python scripts/measure_several_photos.py --people 40 --out runs/several_photos

Held-out people of the embedded world: photo 1 is frontal, photo 2 at yaw +45, photo 3 at yaw -45.
Each target is made from the first one, two and three photos and compared with the true view, over
groups of its pixels by true visibility (backdrop included, unless said):

    a          visible in photo 1
    b          hidden in photo 1, visible in photo 2 or 3
    b person   the same, on the person
    b by 2     hidden in photo 1, visible in photo 2
    c          visible in none
    all        the whole view

PSNR is of pixels in the group, the perceptual distance is weighted by it at every level, identity
is the cosine with the true view. Means over views; differences are paired, their 95 % intervals
are bootstrapped over people. A finished person is not made again. OUT holds summary.json,
summary.md, pictures.png and people/*.json.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from warpgan import cli
from warpgan.cameras import look_at
from warpgan.data.portraits.portrait import Portrait, View
from warpgan.data.portraits.splits import person_seed, write_aside
from warpgan.data.portraits.visibility import true_visibility
from warpgan.metrics.bootstrap import Interval, mean_interval, paired_interval
from warpgan.metrics.pixel import psnr
from warpgan.perception.build import build_identity, build_perceptual
from warpgan.perception.identity import IdentityNet
from warpgan.perception.perceptual import PerceptualNet
from warpgan.pictures import contact_sheet, to_uint8, write_png
from warpgan.pipeline import WarpGAN
from warpgan.reprojection import depth_z_from_ray_length, enlarge_ray_length, reproject
from warpgan.several_photos import SeveralPhotos
from warpgan.synthesis.models import LoadedModels, load_models
from warpgan.weights import sha256_of

PHOTO_YAWS = (0.0, 45.0, -45.0)
TARGETS = ((-60.0, 0.0), (-20.0, 0.0), (20.0, 0.0), (60.0, 0.0), (0.0, 15.0))
PICTURED_TARGETS, PICTURED = (3, 0), 6
GROUPS = ("a", "b", "b person", "b by 2", "c", "all")
LEAST_PIXELS = 30
MEASURES = ("psnr", "perceptual")
COMPARED = ((2, 1), (3, 1), (3, 2))


def measure_person(
    portrait: Portrait, pipeline: WarpGAN, nets: tuple[PerceptualNet, IdentityNet]
) -> tuple[dict, list[np.ndarray]]:
    """Numbers and pictures of one person.

    Returns:
        ``views``: a row a target and number of photos, and ``misplaced``; photos 1 to 3, then for
        each pictured target the views of 1, 2 and 3 photos and the truth.
    """
    size = pipeline.generator.img_resolution
    yaws, pitches = map(list, zip(*TARGETS, strict=True))
    cameras, targets = look_at(list(PHOTO_YAWS), 0.0), look_at(yaws, pitches)
    taken = [portrait.render(camera, size=size) for camera in cameras]
    true = [portrait.render(camera, size=size) for camera in targets]
    photos, truth = (torch.stack([_image(view) for view in each]) for each in (taken, true))
    groups = pixel_groups(portrait, cameras, targets, true=true)
    perceptual, identity = nets
    with torch.inference_mode():
        theirs = identity(truth, targets)
        rows, made = [], {}
        for count in (1, 2, 3):
            person = pipeline.invert_several(photos[:count], cameras[:count])
            views = person.views(targets[None])
            image = made[count] = views.image[0]
            weights = [group.float() for group in groups.values()]
            distances = perceptual.distances(image, truth, weights=weights)
            cosine = (identity(image, targets) * theirs).sum(1)
            for place, (yaw, pitch) in enumerate(TARGETS):
                row = {"photos": count, "yaw": yaw, "pitch": pitch}
                row["identity"] = float(cosine[place])
                for (name, group), weight, distance in zip(
                    groups.items(), weights, distances, strict=True
                ):
                    pixels = int(group[place].sum())
                    enough = pixels >= LEAST_PIXELS
                    one = slice(place, place + 1)
                    ratio = psnr(image[one], truth[one], mask=weight[one])
                    row[name] = {
                        "pixels": pixels,
                        "psnr": float(ratio) if enough else None,
                        "perceptual": float(distance[place]) if enough else None,
                        "hole": float(views.hole[0, place][group[place]].mean())
                        if enough
                        else None,
                    }
                rows.append(row)
        misplaced = misplacement(person, taken, targets)
    pictures = [to_uint8(photo) for photo in photos]
    for place in PICTURED_TARGETS:
        pictures += [to_uint8(made[count][place]) for count in made] + [to_uint8(truth[place])]
    return {"views": rows, "misplaced": misplaced}, pictures


def pixel_groups(
    portrait: Portrait, cameras: Tensor, targets: Tensor, *, true: Sequence[View]
) -> dict[str, Tensor]:
    """Where each group lies, ``[T, 1, S, S]`` bool each."""
    size = true[0].image.shape[0]
    seen = [[true_visibility(portrait, c, t, size) for c in cameras] for t in targets]
    first, second, third = torch.from_numpy(np.stack(seen)).split(1, dim=1)
    person = torch.from_numpy(np.stack([view.mask for view in true]))[:, None] > 0.5
    other = second | third
    found = (first, ~first & other, ~first & other & person, ~first & second, ~(first | other))
    return dict(zip(GROUPS, (*found, torch.ones_like(first)), strict=True))


def misplacement(person: SeveralPhotos, taken: Sequence[View], targets: Tensor) -> list[float]:
    """How far the warp puts each photo's pixels of the person from where they belong.

    Returns:
        A number a photo: the median over pixels and targets, in pixels of the view.
    """
    medians = []
    for face, view in zip(person.faces, taken, strict=True):
        size, count = view.depth_z.shape[0], len(targets)
        camera = face.camera.expand(count, -1)
        own = depth_z_from_ray_length(enlarge_ray_length(face.ray_length, size, size), face.camera)
        right = torch.from_numpy(view.depth_z)[None, None]
        placed, belongs = (
            reproject(depth_z.expand(count, -1, -1, -1), camera, targets).position
            for depth_z in (own, right)
        )
        away = (placed - belongs).norm(dim=1)[:, torch.from_numpy(view.mask) > 0.5]
        medians.append(float(away.median()))
    return medians


def summarise(people: Mapping[str, dict]) -> dict:
    """Means and paired differences with intervals, by measure and group."""
    rows = [row | {"person": name} for name, kept in people.items() for row in kept["views"]]
    found = {"people": len(people), "measures": {}, "open": {}}
    for group in GROUPS:
        for measure in MEASURES:
            table = _paired([(row, row[group][measure]) for row in rows])
            if table:
                found["measures"][f"{measure}, {group}"] = _numbers(table)
    found["measures"]["identity"] = _numbers(_paired([(row, row["identity"]) for row in rows]))
    for yaw, pitch in TARGETS:
        here = [row for row in rows if (row["yaw"], row["pitch"]) == (yaw, pitch)]
        for group, measure in (("b", "psnr"), ("b person", "perceptual")):
            table = _paired([(row, row[group][measure]) for row in here])
            if table:
                key = f"{measure}, {group}, yaw {yaw:+g} pitch {pitch:+g}"
                found["measures"][key] = _numbers(table)
    found["pixels"] = {g: float(np.mean([row[g]["pixels"] for row in rows])) for g in GROUPS}
    for group in GROUPS:
        for count, views in _paired([(row, row[group]["hole"]) for row in rows]).items():
            found["open"][f"{group}, {count}"] = float(np.mean(list(views.values())))
    misplaced = np.array([kept["misplaced"] for kept in people.values()])
    found["misplaced_px"] = [float(x) for x in np.median(misplaced, axis=0)]
    return found


def _paired(values: list[tuple[dict, float | None]]) -> dict[int, dict[tuple, float]]:
    """By number of photos, then by view; a view without the group is nobody's."""
    table: dict[int, dict[tuple, float]] = {}
    for row, value in values:
        if value is not None:
            place = (row["person"], row["yaw"], row["pitch"])
            table.setdefault(row["photos"], {})[place] = value
    return table


def _numbers(table: dict[int, dict[tuple, float]]) -> dict:
    groups = [person for person, _, _ in table[1]]
    columns = {count: list(values.values()) for count, values in table.items()}
    means = {c: asdict(mean_interval(v, groups=groups)) for c, v in columns.items()}
    differences = {
        f"{more} - {less}": asdict(paired_interval(columns[more], columns[less], groups=groups))
        for more, less in COMPARED
    }
    return {"mean": means, "difference": differences}


def as_markdown(found: dict) -> str:
    """The summary as a table."""
    heads = ["", "1 photo", "2 photos", "3 photos", *(f"{m} - {n}" for m, n in COMPARED), "views"]
    lines = [" | ".join(heads), " | ".join("---" for _ in heads)]
    for name, numbers in found["measures"].items():
        means = [f"{numbers['mean'][count]['estimate']:.3f}" for count in (1, 2, 3)]
        cells = []
        for each in numbers["difference"].values():
            kept = Interval(**each)
            cells.append(f"{kept.estimate:+.3f} [{kept.low:+.3f}, {kept.high:+.3f}]")
        lines.append(" | ".join([name, *means, *cells, str(numbers["mean"][1]["count"])]))
    table = "\n".join(f"| {line} |" for line in lines)
    pixels = ", ".join(f"{group} {count:.0f}" for group, count in found["pixels"].items())
    still = ", ".join(f"{name}: {share:.2f}" for name, share in found["open"].items())
    misplaced = ", ".join(f"{pixel:.2f}" for pixel in found["misplaced_px"])
    return (
        f"# One, two and three photos ({found['people']} people, portraits)\n\n"
        "PSNR in dB (higher is better), perceptual distance by perc_vgg16hed (lower is better), "
        "identity by id_faceres (higher is better); differences with 95 % intervals.\n\n"
        f"{table}\n\nPixels a view: {pixels}.\n\nStill open (mean hole) by group and number of "
        f"photos: {still}.\n\nMedian misplacement of a photo's own pixels by the generator's depth "
        f"(photos 1, 2, 3): {misplaced} px.\n"
    )


def measure(arguments: argparse.Namespace) -> None:
    """Measure people, then write the summary."""
    if arguments.people < 2:
        raise ValueError(f"--people {arguments.people}: intervals over people need at least 2")
    models = load_models(
        method="warpgan", encoder=arguments.encoder, svinet=arguments.svinet, generator=None,
        geometry=None, device=torch.device("cpu"),
    )  # fmt: skip
    settings = _settings(models, arguments)
    folder = arguments.out / "people"
    nets = build_perceptual("perc_vgg16hed"), build_identity("id_faceres")
    people, rows = {}, []
    for index in tqdm(range(arguments.people), unit="person"):
        path = folder / f"{index:04d}.json"
        strip = path.with_suffix(".png")
        kept = json.loads(path.read_text()) if path.is_file() and strip.is_file() else None
        if kept is not None and kept["settings"] != settings:
            raise ValueError(f"{path} was made with other settings; choose another --out")
        if kept is None:
            portrait = Portrait.sample(person_seed(arguments.split, arguments.seed, index))
            found, pictures = measure_person(portrait, models.pipeline, nets)
            kept = json.loads(json.dumps({"settings": settings, **found}))
            write_png(strip, np.concatenate(pictures, axis=1))
            write_aside(path, (json.dumps(kept, indent=1) + "\n").encode())
        people[path.stem] = kept
        if index < PICTURED:
            with Image.open(strip) as picture:
                row = np.asarray(picture.convert("RGB"))
            rows.append(
                [np.ascontiguousarray(c) for c in np.split(row, row.shape[1] // len(row), 1)]
            )
    found = {"settings": settings, **summarise(people)}
    write_aside(arguments.out / "summary.json", (json.dumps(found, indent=1) + "\n").encode())
    text = as_markdown(found)
    write_aside(arguments.out / "summary.md", text.encode())
    heads = [f"photo {i + 1}" for i in range(3)]
    for place in PICTURED_TARGETS:
        views = ("1 photo", "2 photos", "3 photos", "truth")
        heads += [f"{view} yaw {TARGETS[place][0]:+g}" for view in views]
    write_png(arguments.out / "pictures.png", contact_sheet(rows, column_captions=heads))
    print(text)


def _settings(models: LoadedModels, arguments: argparse.Namespace) -> dict:
    return {
        "format_version": 1,
        "split": arguments.split,
        "seed": arguments.seed,
        "photo_yaws": list(PHOTO_YAWS),
        "targets": [list(target) for target in TARGETS],
        "weights": {path.name: sha256_of(path) for path in models.files},
        "geometry": asdict(models.pipeline.options),
    }


def _image(view: View) -> Tensor:
    return torch.from_numpy(view.image).permute(2, 0, 1).float() / 127.5 - 1


def main() -> None:
    """Command line; see the module's text."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--people", type=int, default=24)
    parser.add_argument("--split", choices=("mead", "celebahq"), default="mead")
    parser.add_argument("--seed", type=int, default=1, help="of the split")
    parser.add_argument("--encoder", help="as for warpgan.synthesize")
    parser.add_argument("--svinet", help="as for warpgan.synthesize")
    parser.add_argument("--out", type=Path, default=Path("runs/several_photos"))
    arguments = parser.parse_args()
    with cli.plain_errors():
        measure(arguments)


if __name__ == "__main__":
    main()
