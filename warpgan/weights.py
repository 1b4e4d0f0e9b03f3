"""Every file of weights this project can use: where it goes, where it comes from, what it is for.

Two kinds. *Shipped* files lie in the package and are listed with their hashes in
`warpgan/assets/manifest.json`. All others are *external*: their licences or sizes forbid shipping
them, so you fetch them yourself and put them into one folder, `./weights` or wherever
`WARPGAN_WEIGHTS` points. Nothing here ever downloads.

    python -m warpgan.weights list              # the table
    python -m warpgan.weights verify [NAME...]  # compare files with their hashes
    python -m warpgan.weights path NAME         # where a file is, or what to do about it
    python -m warpgan.weights hash              # maintainers: register the shipped files anew
"""

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from warpgan.weight_table import EXTERNAL, SHIPPED, WeightFile

ASSETS = Path(__file__).resolve().parent / "assets"
MANIFEST = ASSETS / "manifest.json"
ROOT_VARIABLE = "WARPGAN_WEIGHTS"
DEFAULT_ROOT = "weights"

TABLE: dict[str, WeightFile] = {entry.name: entry for entry in (*SHIPPED, *EXTERNAL)}


@dataclass(frozen=True)
class Verdict:
    """What `verify` says of one file.

    Attributes:
        entry: The file's row.
        state: `ok`, `mismatch`, `absent`, or `unknown` when no hash is recorded.
        detail: The hash found, or where the file was looked for.
    """

    entry: WeightFile
    state: str
    detail: str

    @property
    def good(self) -> bool:
        """False for a wrong file and for a shipped one that is missing."""
        return self.state != "mismatch" and not (self.entry.shipped and self.state == "absent")


def weights_root(root: str | Path | None = None) -> Path:
    """The folder of external files.

    Args:
        root: An explicit folder; else `WARPGAN_WEIGHTS`, else `./weights`.

    Returns:
        The folder, which need not exist.
    """
    return Path(root or os.environ.get(ROOT_VARIABLE) or DEFAULT_ROOT).expanduser()


def entry(name: str) -> WeightFile:
    """A row of the table.

    Args:
        name: The component's name.

    Returns:
        Its row.

    Raises:
        KeyError: No such row.
    """
    if name not in TABLE:
        raise KeyError(f"no weights named {name!r}; there are {', '.join(TABLE)}")
    return TABLE[name]


def candidates(name: str, *, root: str | Path | None = None) -> list[Path]:
    """The places where a file is looked for, best first.

    Args:
        name: The component's name.
        root: Folder of external files, see `weights_root`.

    Returns:
        One path for most; torchvision's backbones are found in torch's own cache too.
    """
    row = entry(name)
    if row.shipped:
        return [ASSETS / row.file]
    places = [weights_root(root) / row.file]
    if row.torch_hub:
        places.append(Path(torch.hub.get_dir()) / "checkpoints" / row.file)
    return places


def present(name: str, *, root: str | Path | None = None) -> bool:
    """Whether a file is there.

    Args:
        name: The component's name.
        root: Folder of external files, see `weights_root`.

    Returns:
        True if `resolve` would succeed.
    """
    return any(path.is_file() for path in candidates(name, root=root))


def resolve(name: str, *, root: str | Path | None = None) -> Path:
    """The path of a file that is there.

    Args:
        name: The component's name.
        root: Folder of external files, see `weights_root`.

    Returns:
        The path.

    Raises:
        KeyError: No such row.
        FileNotFoundError: The file is absent; the message tells what it is for, where it comes
            from, where it goes, and what to use instead.
    """
    places = candidates(name, root=root)
    for path in places:
        if path.is_file():
            return path
    raise FileNotFoundError(absence(name, places[0]))


def resolve_first(names: Sequence[str], *, root: str | Path | None = None) -> Path:
    """The first file that is there, of several that serve the same purpose.

    Args:
        names: Components, best first.
        root: Folder of external files, see `weights_root`.

    Returns:
        The path.

    Raises:
        FileNotFoundError: None is there; the message is about the first and names the others.
    """
    for name in names:
        if present(name, root=root):
            return resolve(name, root=root)
    message = absence(names[0], candidates(names[0], root=root)[0])
    others = ", ".join(entry(name).file for name in names[1:])
    raise FileNotFoundError(f"{message} In its place {others} would do as well.")


def absence(name: str, place: Path) -> str:
    """What to tell someone whose file is missing.

    Args:
        name: The component's name.
        place: Where the file should be.

    Returns:
        A few sentences.
    """
    row = entry(name)
    if row.shipped:
        return (
            f"{name} ({row.used_for}): the shipped file {place} is missing. Restore it with git or "
            f"make it anew: {row.source}. Instead: {row.alternative}"
        )
    return (
        f"{name} ({row.used_for}): {place} is not there. Get {row.file} from {row.source} "
        f"(licence: {row.licence}) and put it there, or let {ROOT_VARIABLE} point to the folder "
        f"that holds it. Instead: {row.alternative}"
    )


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def recorded_sha256(name: str) -> str | None:
    """The hash a file should have.

    Args:
        name: The component's name.

    Returns:
        64 hexadecimal digits, or the leading ones where only those are known, or None.
    """
    row = entry(name)
    if not row.shipped:
        return row.sha256
    record = read_manifest().get(row.file)
    return record["sha256"] if record else None


def read_manifest() -> dict[str, dict]:
    """The shipped files' hashes and sizes by path within the assets; empty before the first."""
    if not MANIFEST.is_file():
        return {}
    return json.loads(MANIFEST.read_text(encoding="utf-8"))


def write_manifest() -> dict[str, dict]:
    """Hashes every shipped file that is there and writes the manifest.

    Returns:
        The manifest: path within the assets to `sha256` and `bytes`.
    """
    files = [path for row in SHIPPED if (path := ASSETS / row.file).is_file()]
    files += [beside for path in files if (beside := path.with_suffix(".json")).is_file()]
    manifest = {
        path.relative_to(ASSETS).as_posix(): {
            "sha256": sha256_of(path),
            "bytes": path.stat().st_size,
        }
        for path in sorted(files)
    }
    MANIFEST.write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    return manifest


def verify(name: str, *, root: str | Path | None = None) -> Verdict:
    """Compares a file with its recorded hash.

    Args:
        name: The component's name.
        root: Folder of external files, see `weights_root`.

    Returns:
        The verdict.
    """
    row = entry(name)
    if not present(name, root=root):
        return Verdict(row, "absent", str(candidates(name, root=root)[0]))
    found = sha256_of(resolve(name, root=root))
    expected = recorded_sha256(name)
    if expected is None:
        return Verdict(row, "unknown", f"no hash recorded; sha256 {found}")
    if not found.startswith(expected):
        return Verdict(row, "mismatch", f"sha256 {found}, expected {expected}")
    return Verdict(row, "ok", f"sha256 {found[:16]}")


def _print_table(root: str | Path | None) -> None:
    """Prints every row with its state."""
    print(f"external files go to {weights_root(root).resolve()} ({ROOT_VARIABLE})\n")
    for row in TABLE.values():
        state = "present" if present(row.name, root=root) else "absent"
        kind = "shipped" if row.shipped else "external"
        digest = recorded_sha256(row.name)
        print(f"{row.name}  [{kind}, {state}]  {row.file}")
        print(f"    used for  {row.used_for}")
        print(f"    from      {row.source}")
        print(f"    licence   {row.licence}")
        print(f"    sha-256   {digest or 'not known'}")
        if state == "absent":
            print(f"    instead   {row.alternative}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        arguments: Words after the program's name; those of the process if None.

    Returns:
        The exit status: 0, or 1 if a file is wrong or missing.
    """
    parser = argparse.ArgumentParser(
        prog="python -m warpgan.weights",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--root", help=f"folder of external files; default ${ROOT_VARIABLE}")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="the table")
    checking = commands.add_parser("verify", help="compare files with their hashes")
    checking.add_argument("names", nargs="*", metavar="NAME")
    commands.add_parser("path", help="where a file is").add_argument("name", metavar="NAME")
    commands.add_parser("hash", help="write the manifest of the shipped files")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.command == "list":
            _print_table(chosen.root)
        elif chosen.command == "path":
            print(resolve(chosen.name, root=chosen.root))
        elif chosen.command == "hash":
            for file, record in write_manifest().items():
                print(f"{record['sha256']}  {record['bytes']:>10}  {file}")
        else:
            verdicts = [verify(name, root=chosen.root) for name in chosen.names or TABLE]
            for verdict in verdicts:
                print(f"{verdict.state:9} {verdict.entry.name:24} {verdict.detail}")
            return 0 if all(verdict.good for verdict in verdicts) else 1
    except (KeyError, FileNotFoundError) as error:
        print(error.args[0], file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
