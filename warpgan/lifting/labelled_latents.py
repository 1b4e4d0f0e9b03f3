"""Latents with labels: of the embedded world, whose people say what they look like, or of files."""

import csv
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from eg3d import TriPlaneGenerator
from warpgan.cameras import frontal_label
from warpgan.data.portraits import Portrait, sample_latents
from warpgan.data.portraits.appearance import LATENT_DIM
from warpgan.progress import progress_bar

ALIASES = {"hair": "hair_length"}
"""Short names of portraits' attributes."""
LARGEST_FILE = 2**32
_BATCH = 1000


@dataclass(frozen=True)
class LabelledLatents:
    """Samples.

    Attributes:
        latents: ``[N, num_ws, w_dim]``, or ``[N, w_dim]`` where all layers have the same.
        labels: name to ``[N]`` float64.
    """

    latents: np.ndarray
    labels: dict[str, np.ndarray]


@torch.no_grad()
def portrait_samples(
    generator: TriPlaneGenerator, *, count: int, seed: int, progress: bool = True
) -> LabelledLatents:
    """People of the embedded world; the generator was distilled from their latents.

    Raises:
        ValueError: a generator of another world.
    """
    if generator.z_dim != LATENT_DIM:
        raise ValueError(
            f"this generator's z has {generator.z_dim} numbers and portraits have {LATENT_DIM}: "
            "its attributes are not known. Give --latents and --labels"
        )
    drawn = sample_latents(count, seed)
    bar = progress_bar(range(count), title="portraits", unit="person", shown=progress)
    rows = [asdict(Portrait(drawn[place]).attributes) for place in bar]
    names = [name for name, value in rows[0].items() if isinstance(value, float)]
    labels = {name: np.array([row[name] for row in rows], np.float64) for name in names}
    labels |= {alias: labels[name] for alias, name in ALIASES.items()}
    camera = frontal_label().to(generator.mean_latent())
    latents = [
        generator.mapping(z, camera.expand(len(z), -1))[:, 0]
        for z in torch.from_numpy(drawn).to(generator.mean_latent()).split(_BATCH)
    ]
    return LabelledLatents(torch.cat(latents).double().cpu().numpy(), labels)


def read_samples(latents: Path, labels: Path, *, num_ws: int, w_dim: int) -> LabelledLatents:
    """Read ``.npy`` or ``.safetensors`` latents and a CSV with one row a latent.

    Args:
        latents: ``[N, num_ws, w_dim]`` or ``[N, w_dim]`` numbers; the only tensor of the file.
        labels: first line the names; columns that are not numbers are left out.
        num_ws: of the generator.
        w_dim: of the generator.

    Raises:
        FileNotFoundError: a file is absent.
        ValueError: a file that cannot be used.
    """
    for path in (latents, labels):
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such file")
        if path.stat().st_size > LARGEST_FILE:
            raise ValueError(f"{path} has more than {LARGEST_FILE:,} bytes")
    array = _latents(latents)
    if array.ndim not in (2, 3) or array.shape[1:] not in ((num_ws, w_dim), (w_dim,)):
        raise ValueError(
            f"{latents} has shape {list(array.shape)}; expected [N, {num_ws}, {w_dim}] or "
            f"[N, {w_dim}]"
        )
    if not np.isfinite(array).all():
        raise ValueError(f"{latents} holds numbers that are not finite")
    found = _columns(labels, len(array))
    return LabelledLatents(array.astype(np.float64), found)


def _latents(path: Path) -> np.ndarray:
    try:
        if path.suffix == ".safetensors":
            tensors = load_file(path)
            if len(tensors) != 1:
                raise ValueError(f"{len(tensors)} tensors; expected one")
            return next(iter(tensors.values())).float().numpy()
        array = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, SafetensorError) as error:
        raise ValueError(f"latents {path} cannot be read ({error})") from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
        raise ValueError(f"latents {path}: expected one array of numbers")
    return array


def _columns(path: Path, count: int) -> dict[str, np.ndarray]:
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if len(rows) != count:
        raise ValueError(f"{path} has {len(rows)} rows for {count} latents; expected one each")
    found = {}
    for name in rows[0] if rows else ():
        try:
            found[name] = np.array([float(row[name]) for row in rows])
        except (TypeError, ValueError):
            continue
    if not found:
        raise ValueError(f"{path} has no column of numbers under a name")
    return found
