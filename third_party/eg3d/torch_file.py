"""Plain `torch.save` files, read with `weights_only=True` and their sizes checked first."""

import pickle
import zipfile
from pathlib import Path

import torch

from .checkpoint_file import CheckpointError, describe_content, read_head


def read_torch_file(path: Path, *, expected: str) -> object:
    """Load a `torch.save` file onto the CPU; code in it is refused, not run.

    Args:
        path: an existing, non-empty file.
        expected: what the caller wants, for the error.

    Raises:
        CheckpointError: another kind of file, truncated, holding more than tensors and plain
            containers, or inflating beyond its own size.
    """
    content = describe_content(read_head(path))
    if "torch.save" not in content:
        raise CheckpointError(
            path,
            f"the file is {content}",
            expected=expected,
            fix="Give the suffix of the content, or download it again",
        )
    if zipfile.is_zipfile(path):
        _check_archive(path, expected)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            path,
            "it holds objects other than tensors and plain containers, or is damaged; nothing in "
            "it was run",
            expected=expected,
            fix="Save the state dict alone where the file was made",
        ) from error
    # Whatever a damaged file makes the reader raise, the user's answer is the same.
    except Exception as error:
        raise CheckpointError(
            path,
            f"truncated or damaged ({type(error).__name__})",
            expected=expected,
            fix="Download or save it again",
        ) from error


def _check_archive(path: Path, expected: str) -> None:
    """torch.save stores without compression, so what it holds is never larger than the file."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, ValueError, EOFError, OSError) as error:
        raise CheckpointError(
            path,
            f"a damaged zip archive ({error})",
            expected=expected,
            fix="Download or save it again",
        ) from error
    inflated = sum(entry.file_size for entry in entries)
    packed = any(entry.compress_type != zipfile.ZIP_STORED for entry in entries)
    if packed or inflated > path.stat().st_size:
        raise CheckpointError(
            path,
            f"the archive is compressed and would inflate to {inflated} bytes",
            expected=expected,
            fix="Unpack it first if it is an ordinary zip with the checkpoint inside",
        )
