"""What an estimated camera costs, and what refining it wins back: on people of the MEAD-like split.

    python scripts/measure_estimated_cameras.py OUT [--people 20]

Every held-out person is photographed once from the front, by EG3D's crop of 128 px, and WarpGAN's
views at yaw -60, -30, 30 and 60 degrees are compared with the true ones. Only the camera that the
photo is said to have changes from row to row:

* ``true``: the one that it was drawn from;
* ``five_points``, ``dense``, ``regressor``, ``combined``: estimated by `warpgan.preparation` in
  that very crop, drawn at 512 px and continued by reflection, so that the detector sees a border;
* ``perturbed``: the true one turned by 3 to 8 degrees on its orbit, up to 2 degrees about its view
  axis and up to 6 px (of 512) of shift;
* ``prepared``: another photo: the person's wide picture through `FaceReader`, which crops as
  ``python -m warpgan.prepare`` does, so crop and camera are both estimated;
* ``... + refined``: the same after `warpgan.camera_refinement`.

Two ways to compare. ``absolute``: the views are asked for at the true target cameras, which is what
a wrong source camera does to a user who types an angle. ``relative``: the estimate is followed by
the true motion from photo to target, so that a wrong frontal direction alone costs nothing.

Intervals are paired bootstraps over people. OUT gets ``people.jsonl`` (one line a person; the same
command goes on where it stopped), ``cameras.json`` and ``cameras.md``.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from warpgan import cli
from warpgan.camera_refinement import RefinementOptions, refine_photos
from warpgan.camera_turns import angles_between, turn_cameras
from warpgan.cameras import FOCAL, intrinsics_from_focal, look_at, make_label, project, split_label
from warpgan.data.portraits import Portrait
from warpgan.data.portraits.splits import MEAD_YAWS, SplitSettings, views_of, write_aside
from warpgan.metrics.bootstrap import paired_interval
from warpgan.metrics.pixel import psnr
from warpgan.perception import IdentityNet, build_identity
from warpgan.perception.face_mesh import find_mesh
from warpgan.pipeline import WarpGAN
from warpgan.preparation.camera import (
    combine,
    from_dense_points,
    from_direction,
    from_five_points,
)
from warpgan.preparation.face_reader import FaceReader, UnusableFace
from warpgan.progress import progress_bar
from warpgan.synthesis.models import load_models

CROP, CANVAS, WIDE = 512, 768, 0.55
TARGETS = tuple(yaw for yaw in MEAD_YAWS if yaw)
ESTIMATED = ("five_points", "dense", "regressor", "combined")
REFINED = ("true", "combined", "perturbed", "prepared")
ROWS = tuple(
    row
    for name in ("true", *ESTIMATED, "perturbed", "prepared")
    for row in (name, f"{name} + refined")
    if row == name or name in REFINED
)
PROTOCOLS = ("absolute", "relative")
PAIRS = (
    *((row, "true") for row in ROWS[1:]),
    *((f"{name} + refined", name) for name in REFINED[1:]),
)


def estimates_in_crop(crop: np.ndarray, reader: FaceReader) -> dict[str, Tensor]:
    """Cameras [25] of a crop [S, S, 3] that stays as it is, by name.

    Raises:
        UnusableFace: there is no face in it.
    """
    size, border = len(crop), len(crop) // 4
    wide = np.pad(crop, ((border, border), (border, border), (0, 0)), mode="reflect")
    middle = wide.shape[0] / 2
    faces = [
        face
        for face in reader.detect(wide)
        if np.abs(face.points.mean(0) - middle).max() < size / 4
    ]
    mesh = find_mesh(reader.mesh_net, wide, faces[0].points) if faces else None
    if mesh is None:
        raise UnusableFace("no face", "the detector or the landmark net sees none in the crop")
    five, points = (at + 0.5 - border for at in (faces[0].points, mesh.points))
    dense = from_dense_points(points, reader.head, size=size)
    small = torch.from_numpy(crop.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
    direction = reader.pose_net(small)[0].double().numpy()
    found = {
        "five_points": from_five_points(five, size=size),
        "dense": dense.estimate,
        "regressor": from_direction(
            direction, points, reader.head, start=dense.estimate.camera, size=size
        ),
    }
    combined = combine(found, points, reader.head, size=size).combined
    return {name: estimate.camera for name, estimate in (found | {"combined": combined}).items()}


def prepared(person: Portrait, reader: FaceReader) -> tuple[np.ndarray, Tensor]:
    """Crop and camera as ``python -m warpgan.prepare`` makes them of a wide picture.

    Raises:
        UnusableFace: no face is found in it.
    """
    cam2world, _ = split_label(look_at(0.0, 0.0))
    wide = make_label(cam2world, intrinsics_from_focal(FOCAL * WIDE))
    photo = person.render(wide, size=CANVAS).image
    faces = reader.detect(photo)
    if not faces:
        raise UnusableFace("no face", "the detector sees none in the wide picture")
    read = reader.read(photo, faces[0], size=CROP)
    return read.crop, read.camera


def perturbed(camera: Tensor, rng: np.random.Generator) -> Tensor:
    """A camera [1, 25] off by as much as the module says."""
    angle, towards = np.deg2rad(rng.uniform(3, 8)), rng.uniform(0, 2 * np.pi)
    shift = rng.uniform(-1, 1, 2) * 6 / CROP / FOCAL
    roll = np.deg2rad(rng.uniform(-2, 2))
    turn = [angle * np.cos(towards), angle * np.sin(towards), *shift, roll]
    return turn_cameras(camera, torch.tensor([turn]))


def composed(estimate: Tensor, source: Tensor, targets: Tensor) -> Tensor:
    """Targets [V, 25] moved with the error of the source's estimate: E S^-1 T."""
    (guess, _), (true, _) = split_label(estimate.double()), split_label(source.double())
    poses, lens = split_label(targets.double())
    return make_label(guess @ torch.linalg.inv(true) @ poses, lens).float()


def to_images(pixels: np.ndarray, size: int) -> Tensor:
    """[S, S, 3] uint8 as [1, 3, size, size] in [-1, 1]."""
    image = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
    return torch.nn.functional.interpolate(image, (size, size), mode="area")


@torch.no_grad()
def measure_person(
    index: int, *, model: WarpGAN, reader: FaceReader, net: IdentityNet, steps: int
) -> dict[str, Any]:
    """All rows of one person."""
    size = model.generator.img_resolution
    views = views_of(SplitSettings("mead", index + 1, 1), index)
    person = Portrait.sample(views.person_seed)
    source, targets = look_at(0.0, 0.0), look_at(list(TARGETS), [0.0] * len(TARGETS))
    truth = torch.cat([to_images(person.render(t, size=size).image, size) for t in targets])
    photo = to_images(person.render(source, size=size).image, size)
    large = person.render(source, size=CROP).image
    rows: dict[str, tuple[Tensor, Tensor]] = {"true": (photo, source)}
    for name, camera in estimates_in_crop(large, reader).items():
        rows[name] = (photo, camera[None])
    rng = np.random.default_rng([views.person_seed, 31])
    rows["perturbed"] = (photo, perturbed(source, rng))
    crop, camera = prepared(person, reader)
    rows["prepared"] = (to_images(crop, size), camera[None])
    record: dict[str, Any] = {"person": index, "rows": {}}
    known = net(truth, targets)
    for name in ROWS:
        base = name.removesuffix(" + refined")
        (image, camera), renders = rows[base], 0
        if name != base:
            found = refine_photos(
                model.generator, model.encoder, image, camera,
                options=RefinementOptions(steps=steps),
            )  # fmt: skip
            camera, renders = found.cameras, int(found.renders)
        asked = {"absolute": targets, "relative": composed(camera, source, targets)}
        if base == "prepared":  # its crop is another window: no motion is known to be true
            del asked["relative"]
        face = model.invert(image, camera)
        seen = face.views(torch.cat(list(asked.values()))[None], "warpgan").image[0].clone()
        marks = torch.from_numpy(person.landmarks())
        off = project(marks, camera[0], size=CROP) - project(marks, source[0], size=CROP)
        position, orientation = angles_between(camera, source)
        entry: dict[str, Any] = {
            "direction_deg": float(position),
            "orientation_deg": float(orientation),
            "renders": renders,
            "landmarks_px": float(off.square().sum(-1).mean().sqrt()),
        }
        for protocol, shown in zip(asked, seen.split(len(targets)), strict=True):
            entry[protocol] = {
                "psnr": psnr(shown, truth).tolist(),
                "identity": (net(shown, targets) * known).sum(1).tolist(),
            }
        record["rows"][name] = entry
    return record


def summarise(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Means of every row, and paired differences with their intervals."""
    people = np.repeat([record["person"] for record in records], len(TARGETS))

    def values(row: str, protocol: str, measure: str) -> np.ndarray:
        return np.concatenate([r["rows"][row][protocol][measure] for r in records])

    summary: dict[str, Any] = {"people": len(records), "targets_yaw": TARGETS, "rows": {}}
    for row in ROWS:
        entries = [record["rows"][row] for record in records]
        shown: dict[str, Any] = {}
        for name in ("direction_deg", "orientation_deg", "landmarks_px"):
            off = [entry[name] for entry in entries]
            shown[name] = {"median": float(np.median(off)), "mean": float(np.mean(off))}
        for protocol in (p for p in PROTOCOLS if p in entries[0]):
            shown[protocol] = {
                measure: float(values(row, protocol, measure).mean())
                for measure in ("psnr", "identity")
            }
        summary["rows"][row] = shown
    summary["pairs"] = []
    for first, second in PAIRS:
        for protocol in PROTOCOLS:
            if protocol not in records[0]["rows"][first]:
                continue
            for measure in ("psnr", "identity"):
                found = paired_interval(
                    values(first, protocol, measure),
                    values(second, protocol, measure),
                    groups=people,
                )
                summary["pairs"].append(
                    {
                        "first": first, "second": second, "protocol": protocol,
                        "measure": measure, "difference": found.estimate,
                        "low": found.low, "high": found.high,
                    }
                )  # fmt: skip
    return summary


def as_markdown(summary: dict[str, Any]) -> str:
    """Both tables."""
    lines = [
        f"{summary['people']} people, targets at yaw {summary['targets_yaw']}.",
        "",
        "| camera | direction off, median (mean) | landmarks off, px of 512 | PSNR absolute | "
        "identity | PSNR relative | identity |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in summary["rows"].items():
        cells = [
            name,
            "{median:.2f} ({mean:.2f})".format(**row["direction_deg"]),
            "{median:.1f} ({mean:.1f})".format(**row["landmarks_px"]),
        ]
        for protocol in PROTOCOLS:
            found = row.get(protocol)
            cells += [f"{found['psnr']:.2f}", f"{found['identity']:.4f}"] if found else ["-", "-"]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "| difference | views | PSNR | identity |", "|---|---|---|---|"]
    pairs = summary["pairs"]
    for a, b in zip(pairs[::2], pairs[1::2], strict=True):
        shown = [
            f"{x['difference']:+.{n}f} [{x['low']:+.{n}f}, {x['high']:+.{n}f}]"
            for x, n in ((a, 2), (b, 4))
        ]
        lines.append(f"| {a['first']} - {a['second']} | {a['protocol']} | {' | '.join(shown)} |")
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, help="folder to write")
    parser.add_argument("--people", type=int, default=20)
    parser.add_argument("--steps", type=int, default=20, help="of the refinement")
    options = parser.parse_args(arguments)
    with cli.plain_errors():
        if options.people < 2:
            raise ValueError(f"--people {options.people} must be at least 2")
        _measure_all(options)
    return 0


def _measure_all(options: argparse.Namespace) -> None:
    path = options.out / "people.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    records = [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []
    others = {record.get("steps") for record in records} - {options.steps}
    if others:
        raise ValueError(
            f"{path} was measured with other --steps than {options.steps}; choose another folder"
        )
    model = load_models(
        method="warpgan", encoder=None, svinet=None, generator=None, geometry=None,
        device=torch.device("cpu"),
    ).pipeline  # fmt: skip
    reader, net = FaceReader(), build_identity("id_faceres")
    done = {record["person"] for record in records}
    todo = [index for index in range(options.people) if index not in done]
    for index in progress_bar(todo, title="people", unit="person"):
        try:
            record = measure_person(index, model=model, reader=reader, net=net, steps=options.steps)
        except UnusableFace as error:
            record = {"person": index, "refused": f"{error.kind}: {error}"}
        records.append(record | {"steps": options.steps})
        write_aside(path, "".join(json.dumps(r) + "\n" for r in records).encode())
    records = sorted(
        (r for r in records if r["person"] < options.people), key=lambda record: record["person"]
    )
    used = [record for record in records if "rows" in record]
    summary = summarise(used)
    summary["refused"] = {r["person"]: r["refused"] for r in records if "refused" in r}
    summary["steps"] = options.steps
    write_aside(options.out / "cameras.json", (json.dumps(summary, indent=1) + "\n").encode())
    text = as_markdown(summary)
    if summary["refused"]:
        text += f"\nRefused: {summary['refused']}\n"
    write_aside(options.out / "cameras.md", text.encode())
    print(text)


if __name__ == "__main__":
    sys.exit(main())
