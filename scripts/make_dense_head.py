"""Make the dense head: ``python scripts/make_dense_head.py [--out FILE]``.

People of the embedded world (split train, a seed of their own) are drawn from known cameras, the
face mesh net finds its 468 points in each view, and each point is triangulated over a person's
views: the point nearest to its rays in least squares, repeated with less weight for rays that pass
far away, and with less weight for views that see the point from the side. People are averaged, left
and right made equal, and the first principal directions of shape kept.

A point's sigma joins how far one view is off the person's triangulated point, and what of the
person's shape the kept directions do not explain.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from warpgan import cli
from warpgan.cameras import CANONICAL_POINTS, FOCAL, RADIUS, look_at, project, split_label
from warpgan.data.portraits.portrait import Portrait
from warpgan.data.portraits.splits import person_seed
from warpgan.described_weights import save_described
from warpgan.perception.face_mesh import FaceMesh, build_face_mesh, find_mesh, five_of
from warpgan.preparation.dense_head import KIND
from warpgan.weights import ASSETS

VIEWS = (
    (0.0, 0.0), (-18.0, 0.0), (18.0, 0.0), (-35.0, 4.0), (35.0, -4.0), (-50.0, 0.0), (50.0, 0.0),
    (-8.0, 15.0), (8.0, -15.0),
)  # fmt: skip
"""Yaw and pitch in degrees."""
SIZE = 256
LEAST_VIEWS = 6
AXIS_Z = -0.02
"""Depth of the vertical axis from which a face's normals roughly point away."""
OUTLIER = 0.006
"""Reprojection error, share of the side, at which a ray counts half."""


def observe(net: FaceMesh, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A person's points in all views [V, 468, 2] (shares of the side), and where found [V]."""
    portrait = Portrait.sample(seed)
    labels = look_at(*zip(*VIEWS, strict=True))
    five = project(torch.from_numpy(portrait.landmarks()), labels, size=SIZE).numpy() - 0.5
    points, found = np.zeros((len(VIEWS), 468, 2)), np.zeros(len(VIEWS), bool)
    for view, label in enumerate(labels):
        mesh = find_mesh(net, portrait.render(label, size=SIZE).image, five[view])
        if mesh is not None:
            points[view], found[view] = (mesh.points + 0.5) / SIZE, True
    return points, found


def triangulate(
    points: np.ndarray, labels: Tensor, rough: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points [M, 3] nearest to their rays, reprojection errors [V, M, 2], visibility [V, M].

    Args:
        points: [V, M, 2], shares of the side.
        labels: [V, 25].
        rough: [M, 3] where they lie about, for the visibility; None takes all as seen.
    """
    cam2world = split_label(labels.double())[0].numpy()
    rotation, position = cam2world[:, :3, :3], cam2world[:, :3, 3]
    offset = (points - 0.5) / FOCAL
    ray = np.concatenate([offset, np.ones_like(offset[..., :1])], axis=-1)
    ray = np.einsum("vij,vmj->vmi", rotation, ray / np.linalg.norm(ray, axis=-1, keepdims=True))
    projector = np.eye(3) - ray[..., :, None] * ray[..., None, :]
    visible = np.ones(points.shape[:2])
    if rough is not None:
        normal = (rough - np.array([0.0, 0.0, AXIS_Z])) * (1, 0.5, 1)
        normal /= np.linalg.norm(normal, axis=1, keepdims=True)
        visible = np.clip(position / RADIUS @ normal.T, 0.15, 1) ** 2
    weight = visible
    for _ in range(5):
        joined = np.einsum("vm,vmij->mij", weight, projector)
        right = np.einsum("vm,vmij,vj->mi", weight, projector, position)
        world = np.linalg.solve(joined, right[..., None])[..., 0]
        error = project(torch.from_numpy(world), labels.double()).numpy() - points
        weight = visible / (1 + (np.linalg.norm(error, axis=-1) / OUTLIER) ** 2)
    return world, error, visible


def mirror_partners(mean: np.ndarray) -> np.ndarray:
    """[M] index of each point's mirror image, its own on the middle line.

    Nearest pairs are settled first, so that each point is the partner of its partner.
    """
    distance = np.linalg.norm(mean[:, None] * (-1, 1, 1) - mean[None], axis=-1)
    cost = distance + distance.T
    partner = np.full(len(mean), -1)
    for place in np.argsort(cost, axis=None, kind="stable"):
        one, other = divmod(int(place), len(mean))
        if partner[one] < 0 and partner[other] < 0:
            partner[one], partner[other] = other, one
    return partner


def observe_all(people: int, seed: int, cache: Path | None) -> list[tuple[np.ndarray, np.ndarray]]:
    """`observe` of all people; kept in ``cache`` (npz), and read from there if they are."""
    if cache is not None and cache.is_file():
        with np.load(cache, allow_pickle=False) as kept:
            if int(kept["seed"]) == seed and len(kept["points"]) >= people:
                return list(zip(kept["points"][:people], kept["found"][:people], strict=True))
    net = build_face_mesh()
    progress = tqdm(range(people), desc="people", unit="person")
    seen = [observe(net, person_seed("train", seed, index)) for index in progress]
    if cache is not None:
        points, found = (np.stack(part) for part in zip(*seen, strict=True))
        np.savez_compressed(cache, seed=seed, points=points, found=found)
    return seen


def build(
    observed: list[tuple[np.ndarray, np.ndarray]], modes: int
) -> tuple[dict[str, np.ndarray], dict]:
    """The asset's arrays, and numbers about them."""
    labels = look_at(*zip(*VIEWS, strict=True))
    seen = [
        (points[found], labels[torch.from_numpy(found)])
        for points, found in observed
        if found.sum() >= LEAST_VIEWS
    ]
    rough = np.mean([triangulate(*one, None)[0] for one in seen], axis=0)
    solved = [triangulate(*one, rough) for one in seen]
    heads = np.stack([world for world, _, _ in solved])
    partner = mirror_partners(heads.mean(0))
    heads = np.concatenate([heads, heads[:, partner] * (-1, 1, 1)])
    mean = heads.mean(0)
    centred = (heads - mean).reshape(len(heads), -1)
    _, strength, directions = np.linalg.svd(centred, full_matrices=False)
    spread = strength / np.sqrt(len(heads) - 1)
    kept = (directions[:modes] * spread[:modes, None]).reshape(modes, *mean.shape)
    left = centred - centred @ directions[:modes].T @ directions[:modes]
    shape_variance = (left.reshape(heads.shape) ** 2).mean((0, 2)) * (FOCAL / (RADIUS - 0.2)) ** 2
    views = sum((visible[..., None] * error**2).sum((0, 2)) for _, error, visible in solved)
    counted = sum(2 * visible.sum(0) for _, _, visible in solved)
    noise_variance = views / counted
    noise_variance = (noise_variance + noise_variance[partner]) / 2
    sigma = np.sqrt(shape_variance + noise_variance)
    explained = (spread[:modes] ** 2).sum() / (spread**2).sum()
    five = five_of(mean)
    notes = {
        "people": len(seen),
        "views_a_person": len(VIEWS),
        "modes": modes,
        "variance_explained": round(float(explained), 4),
        "rms_shape_deviation": round(float(np.sqrt((centred**2).mean() * 3)), 5),
        "sigma_px_at_512_median": round(float(np.median(sigma)) * 512, 2),
        "view_noise_px_at_512_median": round(float(np.median(np.sqrt(noise_variance))) * 512, 2),
        "five_points": np.round(five, 4).tolist(),
        "five_points_minus_canonical": np.round(five - CANONICAL_POINTS.numpy(), 4).tolist(),
    }
    return {"mean": mean, "modes": kept, "sigma": sigma}, notes


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=ASSETS / "dense_head.safetensors")
    parser.add_argument("--people", type=int, default=60)
    parser.add_argument("--seed", type=int, default=468)
    parser.add_argument("--modes", type=int, default=12)
    parser.add_argument("--observations", type=Path, help="npz to keep the found points in")
    options = parser.parse_args(arguments)
    with cli.plain_errors():
        if options.modes < 1 or options.people <= options.modes:
            raise ValueError(
                f"--people {options.people} must be more than --modes {options.modes}, and both "
                "at least 1"
            )
        observed = observe_all(options.people, options.seed, options.observations)
        arrays, notes = build(observed, options.modes)
        command = "python scripts/make_dense_head.py"
        command += f" --people {options.people} --seed {options.seed} --modes {options.modes}"
        description = {"arguments": {}, "command": command, "seed": options.seed, **notes}
        tensors = {
            name: torch.from_numpy(np.ascontiguousarray(value)).float()
            for name, value in arrays.items()
        }
        save_described(options.out, tensors, description, kind=KIND)
        for name, value in notes.items():
            print(f"{name}: {value}")
        print(f"wrote {options.out}, {options.out.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
