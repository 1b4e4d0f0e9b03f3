"""What a checkpoint file is, told from its first bytes, and the error every bad one gives."""

from pathlib import Path

_SIGNATURES = (
    (b"PK\x03\x04", "a zip archive (torch.save writes one: those end in .pt or .pth)"),
    (b"PK\x05\x06", "an empty zip archive"),
    (b"\x1f\x8b", "gzip-compressed (decompress it first: gunzip FILE.gz)"),
    (b"BZh", "bzip2-compressed"),
    (b"\xfd7zXZ", "xz-compressed"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.", "a torch.save file of the old, unzipped kind"),
    (b"version https://git-lfs", "a Git LFS pointer (the real file was not fetched: git lfs pull)"),
)


class CheckpointError(ValueError):
    """A generator file that cannot be used; the message says why and what to do."""

    def __init__(self, path: Path, problem: str, *, expected: str, fix: str) -> None:
        """Word the error.

        Args:
            path: the file given.
            problem: what is wrong with it.
            expected: what would have been right.
            fix: what the user can do.
        """
        super().__init__(f"{path}: {problem}. Expected {expected}. {fix}.")


def require_file(path: str | Path, *, expected: str) -> Path:
    """Return the path of an existing file that is not empty.

    Raises:
        FileNotFoundError: nothing is there.
        CheckpointError: a folder, or an empty file.
    """
    path = Path(path)
    if path.is_dir():
        raise CheckpointError(
            path, "it is a folder", expected=expected, fix="Give the path of the file itself"
        )
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: no such file. Expected {expected}. Check the path; weights are never "
            "downloaded automatically."
        )
    if path.stat().st_size == 0:
        raise CheckpointError(
            path, "the file is empty", expected=expected, fix="Download or convert it again"
        )
    return path


def describe_content(head: bytes) -> str:
    """Name the kind of a file from its first bytes (64 or more are enough).

    Returns:
        A phrase that continues "the file is ...".
    """
    for signature, name in _SIGNATURES:
        if head.startswith(signature):
            return name
    start = head.lstrip().lower()
    if start.startswith((b"<!doctype", b"<html", b"<head", b"<?xml")):
        return "an HTML page (the download gave a web page instead of the file)"
    if len(head) > 9 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 27:
        return "a safetensors file (those end in .safetensors)"
    if head[:1] == b"\x80" and len(head) > 1 and 2 <= head[1] <= 5:
        return "a Python pickle (official EG3D pickles end in .pkl)"
    if all(byte in b"\t\n\r\f" or 32 <= byte < 127 for byte in head):
        return "a text file"
    return "of an unknown kind"


def read_head(path: Path) -> bytes:
    """The first bytes of a file, enough for `describe_content`."""
    with path.open("rb") as file:
        return file.read(256)
