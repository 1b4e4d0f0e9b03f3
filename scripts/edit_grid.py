"""Edits after lifting, PTI and HFGI3D, one picture grid, with what each edit moved.

    python scripts/edit_grid.py OUT --people 2

The paper's editing figure in the embedded world: glasses, anger, older, younger, added to the
latents of three inversions of the same held-out people. OUT/grid.png shows them; OUT/edits.json and
OUT/edits.md hold, mean over people and views: the move of the edited attribute in its standard
deviations, read off the pictures by a line fitted on true portraits, and the identity's cosine with
the unedited view. Inversions are kept in OUT/fits; the same command continues. Minutes a person.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from attribute_readout import ReadOut, fit_readout, kept_readout
from omegaconf import OmegaConf
from safetensors.torch import load_file, save_file
from torch import Tensor

from warpgan import cli
from warpgan.cameras import look_at
from warpgan.data.portraits import Portrait
from warpgan.data.portraits.splits import SplitSettings, views_of
from warpgan.evaluate import EvaluateConfig
from warpgan.evaluation.load import find_models
from warpgan.evaluation.photos import open_photos
from warpgan.lifting.directions import find_direction
from warpgan.lifting.residual_planes import with_residual
from warpgan.methods.build import Models
from warpgan.methods.latent import LatentInversion
from warpgan.perception import build_identity, build_perceptual
from warpgan.pictures import contact_sheet, write_png

VIEWS = (-20.0, 0.0, 20.0)
SHOWN = 2
PEOPLE = 20
TITLES = {
    "lift": "lift",
    "lift_generator": "lift, whole generator",
    "pti": "PTI",
    "hfgi3d": "HFGI3D",
}


class Edit(NamedTuple):
    """A direction and how much of it."""

    title: str
    direction: str
    strength: float


EDITS = (
    Edit("glasses", "glasses", 1.5),
    Edit("anger", "anger", 2.0),
    Edit("older", "age", 1.5),
    Edit("younger", "age", -1.5),
)


def inversions(
    methods: Sequence[str], people: int, out: Path
) -> tuple[list[Tensor], dict[str, list[LatentInversion]]]:
    """The people's photos, and each method's inversion of each; read back where they are kept."""
    words = ["method=[lift,pti,hfgi3d]", "evaluate.protocol=multi_view", f"data.portraits={PEOPLE}"]
    config = cli.compose_config("evaluate", words)
    settings: EvaluateConfig = OmegaConf.to_object(config)
    found = find_models("encoder_mini", None)
    node = OmegaConf.create({"generator": found.generator})
    generator = cli.build_node(node, "generator").eval().requires_grad_(False)
    photos = open_photos(
        settings.data, settings.paths, protocol="multi_view", size=generator.img_resolution
    )
    names = photos.dataset.names
    chosen = people_without_glasses(people)
    frontal = [place for place, name in enumerate(names) if "yaw_+00" in name]
    sources = {person: photos.dataset[frontal[person]] for person in chosen}
    models = Models(generator=generator, encoder=found.encoder)
    kept: dict[str, list[LatentInversion]] = {}
    for method in methods:
        built = None
        kept[method] = []
        for person, sample in sources.items():
            path = out / "fits" / f"{method}_{person}.safetensors"
            if not path.is_file():
                if built is None:
                    key = "lift" if method == "lift_generator" else method
                    if method == "lift_generator":
                        config.method.lift.settings.parameters = "generator"
                        config.method.lift.settings.weights_rate = 1e-3
                    built = cli.build_node(config.method, key)(models, name=method)
                part = built.invert(sample.image[None], sample.camera[None]).parts[0]
                path.parent.mkdir(parents=True, exist_ok=True)
                state = {k: v.contiguous() for k, v in part.generator.state_dict().items()}
                save_file(state | {"pivot": part.ws.contiguous()}, path)
                print(f"{method}, person {person}: inverted", flush=True)
            kept[method].append(_read(path, generator))
    return [sample.image for sample in sources.values()], kept


def people_without_glasses(count: int) -> list[int]:
    """The first held-out people to whom glasses can be added."""
    found = []
    for person in range(PEOPLE):
        seed = views_of(SplitSettings("mead", PEOPLE, 1), person).person_seed
        if Portrait.sample(seed).attributes.glasses < 0.5:
            found.append(person)
    return found[:count]


def _read(path: Path, generator) -> LatentInversion:
    state = load_file(path)
    ws = state.pop("pivot")
    residual = "backbone.synthesis.residual" in state
    tuned = with_residual(generator)
    if not residual:
        tuned.backbone.synthesis = tuned.backbone.synthesis.synthesis
    tuned.load_state_dict(state)
    return LatentInversion(tuned.requires_grad_(False), ws, seconds=0.0)


@torch.inference_mode()
def edited_views(part: LatentInversion, delta: Tensor, cameras: Tensor) -> Tensor:
    """Views ``[V, 3, S, S]`` in [-1, 1] of an edited latent."""
    ws = part.ws + delta
    planes = part.generator.planes(ws)
    return part.generator.render(planes, ws, cameras[None]).image[0].clamp(-1, 1)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--people", type=int, default=2)
    parser.add_argument("--methods", nargs="+", default=list(TITLES), choices=list(TITLES))
    parser.add_argument("--readout-people", type=int, default=800)
    options = parser.parse_args()
    with cli.plain_errors():
        photos, parts = inversions(options.methods, options.people, options.out)
        judge = build_perceptual("perc_vgg16hed")
        names = tuple(dict.fromkeys(edit.direction for edit in EDITS))
        readout = kept_readout(
            options.out / f"readout_{options.readout_people}.safetensors",
            lambda: fit_readout(judge, names, people=options.readout_people),
            judge,
            names,
        )
        measure(photos, parts, readout, options.out)


def measure(
    photos: Sequence[Tensor],
    parts: dict[str, list[LatentInversion]],
    readout: ReadOut,
    out: Path,
) -> None:
    """Edit, measure, draw and write."""
    identity = build_identity("id_faceres")
    cameras = look_at(list(VIEWS), 0.0)
    one = next(iter(parts.values()))[0]
    shape = {"num_ws": one.ws.shape[1], "w_dim": one.ws.shape[2]}
    deltas = {edit: find_direction(edit.direction, **shape).delta * edit.strength for edit in EDITS}
    rows, captions, numbers = [], [], {}
    for person, photo in enumerate(photos):
        for method, inverted in parts.items():
            plain = edited_views(inverted[person], torch.zeros(()), cameras)
            row = [photo, plain[SHOWN]]
            for edit, delta in deltas.items():
                views = edited_views(inverted[person], delta, cameras)
                before, after = readout(plain), readout(views)
                moves = {n: float((after[n] - before[n]).mean()) for n in readout.names}
                with torch.no_grad():
                    kept = 1 - identity.distance(plain, views, cameras_a=cameras).mean().item()
                numbers.setdefault(method, {}).setdefault(edit.title, []).append(
                    {"moves": moves, "identity": kept}
                )
                row.append(views[SHOWN])
            rows.append(row)
            captions.append(TITLES[method])
    columns = ["photo", "inverted", *(f"{edit.title} {edit.strength:+g}" for edit in EDITS)]
    write_png(out / "grid.png", contact_sheet(rows, row_captions=captions, column_captions=columns))
    lines = [f"Read-out's R2 on held-out portraits: {readout.r2}", ""]
    lines += ["| method | edit | strength | attribute moved | asked | identity |", "|---" * 6 + "|"]
    for method, found in numbers.items():
        for edit in EDITS:
            each = found[edit.title]
            move = np.mean([one["moves"][edit.direction] for one in each])
            kept = np.mean([one["identity"] for one in each])
            lines.append(
                f"| {TITLES[method]} | {edit.title} | {edit.strength:+g} | {move:+.2f} | "
                f"{edit.strength:+g} | {kept:.3f} |"
            )
    (out / "edits.md").write_text("\n".join(lines) + "\n")
    content = {"readout_r2": readout.r2, "views": VIEWS, "people": len(photos), "edits": numbers}
    (out / "edits.json").write_text(json.dumps(content, indent=1) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
