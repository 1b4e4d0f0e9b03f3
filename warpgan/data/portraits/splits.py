"""The data sets of the embedded world, written in the ordinary folder layout.

| split | people | views of a person | side files |
|---|---|---|---|
| train | its own | 1, FFHQ-like poses | latents; depth with `depth=True` |
| celebahq | held out | 1, FFHQ-like poses | latents, depth |
| mead | held out | 5, yaw 0, +-30, +-60, same light | latents, depth |
| pairs | its own | 2, FFHQ-like source, any target | latents, depth |

Images and `dataset.json` are what `warpgan.data.folder.ImageFolder` reads. Truth it ignores:
`portraits.json` (people, attributes, poses), `truth/latents.npz` and `truth/<image>.npz`
(`depth_z` uint16 over [near, far], `mask` uint8). The same settings write the same bytes, with
any number of workers, interrupted or not. Every file is written aside and renamed.
"""

import io
import json
import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from warpgan.cameras import look_at
from warpgan.data.portraits.portrait import FAR, NEAR, Portrait, View
from warpgan.processes import is_alive
from warpgan.progress import progress_bar

FORMAT_VERSION = 1
MEAD_YAWS = (-60.0, -30.0, 0.0, 30.0, 60.0)
YAW_LIMIT, PITCH_LIMIT = 65.0, 25.0
DEPTH_STEPS = 65535
NAMES_FILE, LABELS_FILE, LATENTS_FILE = "portraits.json", "dataset.json", "truth/latents.npz"

_CODES = {"train": 1, "celebahq": 2, "mead": 3, "pairs": 4}
SPLITS = tuple(_CODES)
_SEED_LIMIT, _COUNT_LIMIT = 2**20, 2**24


@dataclass(frozen=True)
class SplitSettings:
    """What determines every byte of a data set.

    Attributes:
        split: one of `SPLITS`.
        count: people (images: 1, 1, 5 or 2 times as many).
        seed: 0 .. 2**20 - 1.
        size: image side in pixels.
        supersample: samples a pixel side.
        depth: write depth and mask of every view.
    """

    split: str
    count: int
    seed: int
    size: int = 128
    supersample: int = 2
    depth: bool = True

    def __post_init__(self) -> None:
        """Refuse impossible settings."""
        if self.split not in _CODES:
            raise ValueError(f"split is {self.split!r}; expected one of {', '.join(SPLITS)}")
        for name, low, high in (
            ("count", 1, _COUNT_LIMIT), ("seed", 0, _SEED_LIMIT), ("size", 8, 4096),
            ("supersample", 1, 9),
        ):  # fmt: skip
            value = getattr(self, name)
            if not low <= value < high:
                raise ValueError(f"{name} is {value}; expected {low} to {high - 1}")


@dataclass(frozen=True)
class PersonViews:
    """A person of a split and the poses it is seen from.

    Attributes:
        person_seed: `Portrait.sample(person_seed)` is the person.
        names: relative image paths.
        yaw_deg, pitch_deg: one a view.
    """

    person_seed: int
    names: tuple[str, ...]
    yaw_deg: tuple[float, ...]
    pitch_deg: tuple[float, ...]


def person_seed(split: str, seed: int, index: int) -> int:
    """The seed of a person: no two (split, seed, index) share one, so splits share no people."""
    return (_CODES[split] * _SEED_LIMIT + seed) * _COUNT_LIMIT + index


def ffhq_like_pose(rng: np.random.Generator) -> tuple[float, float]:
    """Yaw and pitch in degrees as FFHQ has them: N(0, 17) with tails, N(0, 8)."""
    spread = 17.0 if rng.random() < 0.9 else 34.0
    yaw = float(np.clip(rng.normal(0.0, spread), -YAW_LIMIT, YAW_LIMIT))
    return yaw, float(np.clip(rng.normal(0.0, 8.0), -PITCH_LIMIT, PITCH_LIMIT))


def views_of(settings: SplitSettings, index: int) -> PersonViews:
    """Names and poses of person `index`."""
    split, own_seed = settings.split, person_seed(settings.split, settings.seed, index)
    rng = np.random.default_rng([own_seed, 104729])
    if split == "mead":
        names = tuple(f"person_{index:05d}/yaw_{yaw:+03.0f}.png" for yaw in MEAD_YAWS)
        return PersonViews(own_seed, names, MEAD_YAWS, (0.0,) * len(MEAD_YAWS))
    yaw, pitch = ffhq_like_pose(rng)
    if split != "pairs":
        return PersonViews(own_seed, (f"{index // 1000:05d}/{index:08d}.png",), (yaw,), (pitch,))
    target_yaw = rng.uniform(-YAW_LIMIT, YAW_LIMIT)
    target_pitch = float(np.clip(rng.normal(0.0, 8.0), -PITCH_LIMIT, PITCH_LIMIT))
    names = tuple(f"{index // 1000:05d}/{index:08d}_{role}.png" for role in ("source", "target"))
    return PersonViews(own_seed, names, (yaw, target_yaw), (pitch, target_pitch))


def quantise_depth(depth_z: np.ndarray) -> np.ndarray:
    """depth_z [H, W] as uint16 over [NEAR, FAR] (a step is 18 micro-units)."""
    scaled = (depth_z.astype(np.float64) - NEAR) / (FAR - NEAR) * DEPTH_STEPS
    return np.clip(np.rint(scaled), 0, DEPTH_STEPS).astype(np.uint16)


def read_truth(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """depth_z [H, W] float32 and mask [H, W] float32 in [0, 1] of a `truth/<image>.npz`."""
    with np.load(path, allow_pickle=False) as data:
        depth_z = data["depth_z"].astype(np.float64) / DEPTH_STEPS * (FAR - NEAR) + NEAR
        return depth_z.astype(np.float32), (data["mask"] / 255.0).astype(np.float32)


def truth_path(root: Path, name: str) -> Path:
    """Where depth and mask of an image are kept."""
    return root / "truth" / Path(name).with_suffix(".npz")


def write_aside(path: Path, content: bytes) -> None:
    """Write a file under another name, then rename it: a reader never sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.write_bytes(content)
    aside.replace(path)


def _sweep(root: Path) -> None:
    """Remove half-written files of processes that are gone."""
    for aside in root.rglob(".*"):
        process = aside.suffix[1:]
        if aside.is_file() and process.isdigit() and not is_alive(int(process)):
            aside.unlink(missing_ok=True)


def write_split(root: Path, settings: SplitSettings, *, workers: int = 1) -> None:
    """Write (or finish) a data set.

    Args:
        root: folder, made if missing.
        settings: what to write.
        workers: processes; the bytes do not depend on it.

    Raises:
        ValueError: the folder holds a data set of other settings, or other files.
    """
    if workers < 1:
        raise ValueError(f"workers is {workers}; expected 1 or more")
    _claim(root, settings)
    _sweep(root)
    jobs = [(root, settings, index) for index in range(settings.count)]
    done = map(_write_person, jobs) if workers == 1 else _in_processes(jobs, workers)
    people = list(
        progress_bar(done, total=len(jobs), unit="person", title=f"portraits {settings.split}")
    )
    labels = []
    for index in range(settings.count):
        views = views_of(settings, index)
        for name, label in zip(views.names, _labels(views), strict=True):
            labels.append([name, [float(f"{value:.9g}") for value in label.tolist()]])
    latents = np.stack([Portrait.sample(person["seed"]).z for person in people])
    seeds = np.array([person["seed"] for person in people], np.int64)
    write_aside(root / LATENTS_FILE, _npz(z=latents, detail_seed=seeds))
    described = _header(settings) | {"complete": True, "people": people}
    write_aside(root / NAMES_FILE, json.dumps(described, indent=1).encode())
    write_aside(root / LABELS_FILE, json.dumps({"labels": labels}).encode())


def _header(settings: SplitSettings) -> dict:
    return {
        "format_version": FORMAT_VERSION,
        "settings": asdict(settings),
        "depth_z_range": [NEAR, FAR],
    }


def _claim(root: Path, settings: SplitSettings) -> None:
    """Mark a folder as this data set's, or refuse."""
    described = root / NAMES_FILE
    wanted = _header(settings)
    if described.is_file():
        try:
            found = json.loads(described.read_text())
            same = {name: found[name] for name in wanted} == wanted
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise ValueError(f"{described} is not readable as a portraits description") from error
        if not same:
            raise ValueError(
                f"{root} holds another data set ({found['settings']}); wanted "
                f"{wanted['settings']}: choose another folder"
            )
        return
    if root.is_dir() and any(root.iterdir()):
        raise ValueError(f"{root} is not empty and holds no {NAMES_FILE}: choose another folder")
    write_aside(described, json.dumps(wanted | {"complete": False}, indent=1).encode())


def _in_processes(jobs: list, workers: int) -> Iterator[dict]:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        yield from pool.map(_write_person, jobs, chunksize=max(1, min(32, len(jobs) // workers)))


def _labels(views: PersonViews):
    return look_at(list(views.yaw_deg), list(views.pitch_deg))


def _write_person(job: tuple[Path, SplitSettings, int]) -> dict:
    """Write the missing files of a person; returns its entry of `portraits.json`."""
    root, settings, index = job
    views = views_of(settings, index)
    portrait = Portrait.sample(views.person_seed)
    for name, label in zip(views.names, _labels(views), strict=True):
        image, truth = root / name, truth_path(root, name)
        if image.is_file() and (truth.is_file() or not settings.depth):
            continue
        view = portrait.render(label, size=settings.size, supersample=settings.supersample)
        if settings.depth:
            write_aside(truth, _truth(view))
        stream = io.BytesIO()
        Image.fromarray(view.image).save(stream, "PNG")
        write_aside(image, stream.getvalue())
    attributes = {
        name: round(value, 5) if isinstance(value, float) else value
        for name, value in asdict(portrait.attributes).items()
    }
    return {
        "seed": views.person_seed,
        "images": list(views.names),
        "yaw_deg": [round(yaw, 5) for yaw in views.yaw_deg],
        "pitch_deg": [round(pitch, 5) for pitch in views.pitch_deg],
        "attributes": attributes,
    }


def _truth(view: View) -> bytes:
    mask = np.rint(view.mask * 255).astype(np.uint8)
    return _npz(depth_z=quantise_depth(view.depth_z), mask=mask)


def _npz(**arrays: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()


def image_count(settings: SplitSettings) -> int:
    """Images a data set holds."""
    return settings.count * len(views_of(settings, 0).names)


def default_depth(split: str) -> bool:
    """Whether a split writes depth unless told otherwise: all but the plain training photos."""
    return split != "train"
