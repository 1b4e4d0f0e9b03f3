"""Check every golden vector in scope: ``python -m tests.parity [DIR]`` (default ``tests/golden``).

Collects ``FILES`` of every module in ``tests/parity_checks``, runs each check on the folder, lists
files and keys with their errors and tolerances, and ends with status 1 if a key is off, a file that
a check reads is missing, or a golden file of the topics in scope is read by no check.
"""

import argparse
import importlib
import pkgutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import torch

from tests import parity_checks
from tests.parity_checks import Comparison

GOLDEN = Path(__file__).parent / "golden"
IN_SCOPE = (
    "eg3d_*",
    "encoder*",
    "cameras*",
    "ranger*",
    "irse50*",
    "warp_*",
    "mask_post*",
    "pipeline_*",
    "rewarp_*",
    "disc_*",
    "losses*",
    "resnet_pl*",
    "svinet_*",
    "ckpt_inpaintor*",
    "ckpt_gan_encoder_layout_stub.pt",
)
# Not vectors: what they are and how they were made, and measurements of time.
NOT_VECTORS = ("*README*", "timings.json")

Check = Callable[[Path], list[Comparison]]


@dataclass(frozen=True)
class Verdict:
    """What was found in one golden folder.

    Attributes:
        comparisons: all keys compared, by the files that the check stands for.
        missing: what a check reads and the folder lacks.
        unread: files of the topics in scope that no check read.
        later: files of topics that are not yet in scope.
    """

    comparisons: dict[tuple[str, ...], list[Comparison]]
    missing: list[str]
    unread: list[str]
    later: list[str]

    @property
    def failed(self) -> list[Comparison]:
        return [c for found in self.comparisons.values() for c in found if not c.ok]

    @property
    def empty(self) -> list[str]:
        """Files whose check compared nothing."""
        return [", ".join(files) for files, found in self.comparisons.items() if not found]

    @property
    def ok(self) -> bool:
        found = bool(self.comparisons)
        return found and not (self.failed or self.missing or self.unread or self.empty)


class WatchedFolder(type(Path())):
    """A folder that notes which of its files are asked for with ``folder / name``."""

    asked: set[str]

    def __truediv__(self, name):
        if hasattr(self, "asked"):
            self.asked.add(str(name))
        return Path(self) / name

    def joinpath(self, *names):
        return self / str(Path(*names))


def collect_checks() -> dict[str, Check]:
    """Golden file name -> check, of all modules in ``tests/parity_checks``."""
    checks: dict[str, Check] = {}
    for module in sorted(pkgutil.iter_modules(parity_checks.__path__), key=lambda m: m.name):
        files = importlib.import_module(f"{parity_checks.__name__}.{module.name}").FILES
        twice = sorted(checks.keys() & files.keys())
        if twice:
            raise ValueError(f"{', '.join(twice)}: checked in {module.name} and in another module")
        checks.update(files)
    return checks


def in_scope(name: str) -> bool:
    """Whether a golden file belongs to a topic that must be checked."""
    return any(fnmatch(name, pattern) for pattern in IN_SCOPE)


def check_folder(
    folder: Path, checks: Mapping[str, Check], *, whole: bool, report: Callable[[str], None] = print
) -> Verdict:
    """Run the checks on one folder; a check that stands for several files runs once.

    Args:
        folder: holds the golden files.
        checks: golden file name -> check.
        whole: the folder is the complete golden set, so that every file that a check stands for
            must be there. Otherwise it is a chosen subset: the checks of the files it has are run,
            and each module of checks must have one file at least.
        report: called with each line of text.
    """
    names = sorted(p.name for p in folder.iterdir() if p.is_file())
    names = [n for n in names if not any(fnmatch(n, pattern) for pattern in NOT_VECTORS)]
    if whole:
        missing = checks.keys() - set(names)
    else:
        present = {checks[name].__module__ for name in names if name in checks}
        absent = {check.__module__ for check in checks.values()} - present
        missing = {f"every file of {module}" for module in absent}
    watched = WatchedFolder(folder)
    watched.asked = set()
    comparisons: dict[tuple[str, ...], list[Comparison]] = {}
    for check in dict.fromkeys(checks[name] for name in names if name in checks):
        files = tuple(name for name in names if checks.get(name) is check)
        start = time.perf_counter()
        try:
            found = check(watched)
        except FileNotFoundError as error:
            missing |= {n for n in watched.asked if not (folder / n).exists()} or {str(error)}
            report(f"{', '.join(files)}: NOT CHECKED, {error}")
            continue
        comparisons[files] = found
        seconds = time.perf_counter() - start
        report(f"{', '.join(files)}: {len(found)} keys, {seconds:.1f} s")
        for comparison in found:
            report("  " + describe(comparison))
    missing |= {name for name in watched.asked if not (folder / name).exists()}
    others = [name for name in names if name not in checks and name not in watched.asked]
    return Verdict(
        comparisons=comparisons,
        missing=sorted(missing),
        unread=[name for name in others if in_scope(name)],
        later=[name for name in others if not in_scope(name)],
    )


def describe(comparison: Comparison) -> str:
    """One line: verdict, key, errors and what is allowed."""
    c = comparison
    return (
        f"{'ok  ' if c.ok else 'FAIL'} {c.key:<48} max {c.max_error:.2e} (<= {c.max_tolerance:.0e})"
        f"  mean {c.mean_error:.2e} (<= {c.mean_tolerance:.0e})"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.parity", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=GOLDEN, metavar="DIR")
    parser.add_argument(
        "--subset",
        action="store_true",
        help="the folder is a subset chosen on purpose; implied for tests/golden",
    )
    options = parser.parse_args(arguments)
    if not options.folder.is_dir():
        print(f"no such folder of golden vectors: {options.folder}", file=sys.stderr)
        return 1
    whole = not (options.subset or options.folder.resolve() == GOLDEN.resolve())
    torch.manual_seed(0)
    verdict = check_folder(options.folder, collect_checks(), whole=whole)
    keys = sum(map(len, verdict.comparisons.values()))
    files = sum(map(len, verdict.comparisons))
    print(f"\n{files} files, {keys} keys compared, {len(verdict.failed)} off")
    for title, names in (
        ("missing", verdict.missing),
        ("in scope but read by no check", verdict.unread),
        ("nothing compared in", verdict.empty),
        ("not yet in scope", verdict.later),
    ):
        if names:
            print(f"{title}: {', '.join(names)}")
    for comparison in verdict.failed:
        print(f"off: {comparison.file} {describe(comparison)}")
    print("parity holds" if verdict.ok else "parity does NOT hold")
    return 0 if verdict.ok else 1


if __name__ == "__main__":
    sys.exit(main())
