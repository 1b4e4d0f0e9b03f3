"""Latent directions: how W+ moves when an attribute grows by one standard deviation.

Files are ``NAME.npy``, ``[num_ws, w_dim]`` float32, the public layout ([14, 512] for EG3D at 512
px); ours have ``NAME.json`` beside them that says how they were found. Those of `eg3d_mini` are
shipped. Nothing in a file is executed: no pickled arrays.
"""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from warpgan.data.portraits.splits import write_aside
from warpgan.weights import ASSETS

SHIPPED = ASSETS / "directions"
SUFFIX = ".npy"
LARGEST_HEADER = 4096
FORMAT = "warpgan-direction"


@dataclass(frozen=True)
class Direction:
    """One direction.

    Attributes:
        name: for people and files.
        delta: ``[num_ws, w_dim]`` float32, for strength 1.
        notes: of the JSON beside it; empty without one.
    """

    name: str
    delta: Tensor
    notes: Mapping[str, Any]


def shipped_names() -> list[str]:
    """Directions that come with the package."""
    return sorted(path.stem for path in SHIPPED.glob(f"*{SUFFIX}"))


def find_direction(
    word: str, *, num_ws: int, w_dim: int, generator: str | None = None
) -> Direction:
    """A shipped direction by name, or any ``.npy`` file.

    Args:
        word: such as ``glasses`` or ``age.npy``.
        num_ws: of the generator.
        w_dim: of the generator.
        generator: `weights_hash` of the generator; a shipped direction must be of the same.

    Returns:
        The `Direction`.

    Raises:
        FileNotFoundError: no such name or file.
        ValueError: a file that cannot be used, or a shipped direction of another generator.
    """
    if word in shipped_names():
        path = SHIPPED / f"{word}{SUFFIX}"
        if generator not in (None, _notes(path.with_suffix(".json")).get("generator_sha256")):
            raise ValueError(
                f"direction {word}: the shipped one is of eg3d_mini; find your generator's with "
                "python -m warpgan.find_directions, or name a .npy file"
            )
        return read_direction(path, num_ws=num_ws, w_dim=w_dim)
    path = Path(word).expanduser()
    if not path.is_file():
        raise FileNotFoundError(
            f"direction {word}: no such file, and none of {', '.join(shipped_names())}; give a "
            ".npy file, such as python -m warpgan.find_directions writes"
        )
    return read_direction(path, num_ws=num_ws, w_dim=w_dim)


def read_direction(path: str | Path, *, num_ws: int, w_dim: int) -> Direction:
    """Read a ``.npy`` file of ``[num_ws, w_dim]``, ``[1, num_ws, w_dim]`` or ``[w_dim]`` numbers.

    Raises:
        FileNotFoundError: no such file.
        ValueError: another kind of file, another shape, or numbers that are not finite.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"direction {path}: no such file")
    wanted = f"[{num_ws}, {w_dim}], [1, {num_ws}, {w_dim}] or [{w_dim}] numbers in a .npy file"
    most = 8 * num_ws * w_dim + LARGEST_HEADER
    if path.stat().st_size > most:
        raise ValueError(
            f"direction {path} has {path.stat().st_size:,} bytes, more than {most:,}; expected "
            f"{wanted}"
        )
    array = _read_array(path, wanted)
    if array.shape not in ((num_ws, w_dim), (1, num_ws, w_dim), (w_dim,)):
        raise ValueError(f"direction {path} has shape {list(array.shape)}; expected {wanted}")
    if not np.isfinite(array).all():
        raise ValueError(f"direction {path} holds numbers that are not finite")
    delta = np.broadcast_to(array.astype(np.float32), (1, num_ws, w_dim))[0]
    return Direction(path.stem, torch.from_numpy(delta.copy()), _notes(path.with_suffix(".json")))


def write_direction(folder: Path, direction: Direction) -> Path:
    """Write ``NAME.npy`` and ``NAME.json``; returns the first."""
    path = folder / f"{direction.name}{SUFFIX}"
    stream = io.BytesIO()
    np.save(stream, direction.delta.cpu().numpy().astype(np.float32), allow_pickle=False)
    content = {"format": FORMAT, "format_version": 1, **direction.notes}
    write_aside(path.with_suffix(".json"), (json.dumps(content, indent=1) + "\n").encode())
    write_aside(path, stream.getvalue())
    return path


def _read_array(path: Path, wanted: str) -> np.ndarray:
    content = io.BytesIO(path.read_bytes())
    try:
        array = np.lib.format.read_array(
            content, allow_pickle=False, max_header_size=LARGEST_HEADER
        )
    except (ValueError, EOFError, MemoryError, OverflowError, SyntaxError, TypeError) as error:
        raise ValueError(f"direction {path} cannot be read ({error}); expected {wanted}") from error
    if array.dtype.kind not in "fiu":
        raise ValueError(f"direction {path} holds {array.dtype}; expected {wanted}")
    return array


def _notes(path: Path) -> dict[str, Any]:
    if not path.is_file() or path.stat().st_size > 2**20:
        return {}
    try:
        content = json.loads(path.read_text())
    except ValueError:
        return {}
    return content if isinstance(content, dict) and content.get("format") == FORMAT else {}
