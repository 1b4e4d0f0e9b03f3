"""The run folder: what it holds, and when a run may write into it.

```
runs/NAME/config.yaml      the resolved config            starts.jsonl    one line a start: step,
     overrides.txt         what was typed                                 revision, versions, seed
     metrics.jsonl         numbers, one line a record     tensorboard/    the same and image grids
     checkpoints/step_N/   complete checkpoints           <network>.safetensors   final weights
```
"""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

from warpgan.config import flatten
from warpgan.training.checkpoint import list_checkpoints, read_state, remove_leftovers
from warpgan.training.lock import RunLock

VERSIONED_PACKAGES = (
    "warpgan torch torchvision numpy timm accelerate safetensors hydra-core omegaconf "
    "pytorch-optimizer pillow numba"
).split()


@dataclass(frozen=True)
class RunFolder:
    """An opened run folder.

    Attributes:
        path: The folder.
        resume_from: Checkpoint to continue from, or None to start anew.
        lock: The right to write, held until released; None in processes that do not write.
        notes: Remarks for the user about how the run starts.
    """

    path: Path
    resume_from: Path | None
    lock: RunLock | None
    notes: tuple[str, ...] = ()

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.path / "checkpoints"


def check_run_name(name: str) -> None:
    """Refuse a run name that is not one plain folder name.

    Raises:
        ValueError: If it is empty, hidden, or holds a path separator.
    """
    if not name or name.startswith(".") or "/" in name or "\\" in name:
        raise ValueError(
            f"run.name={name!r} must be one plain folder name such as run.name=swin_first_try; "
            "the folder above it is paths.runs"
        )


def open_run_folder(
    path: Path,
    config: Mapping[str, Any],
    *,
    resume: str,
    overwrite: bool,
    free_keys: Collection[str] = (),
) -> RunFolder:
    """Take the lock and decide where the run begins.

    Args:
        path: The run folder; made if missing.
        config: The resolved config.
        resume: ``auto`` continues the newest checkpoint here if the config matches; ``never``
            refuses a folder with checkpoints; a path is the checkpoint (``step_N``, or a run
            folder: its newest) that a folder without checkpoints begins from, whatever its
            config.
        overwrite: Empty the run folder and start anew.
        free_keys: Dotted keys that may differ from the folder's config (a key covers those below).

    Returns:
        The opened folder.

    Raises:
        ValueError: If the folder belongs to another config or to something else, or is being
            written.
        FileNotFoundError: If ``resume`` is a path without a checkpoint.
    """
    path.mkdir(parents=True, exist_ok=True)
    lock = RunLock(path)
    try:
        if overwrite:
            _empty(path)
        remove_leftovers(path / "checkpoints")
        resume_from, notes = _choose_start(
            path, config, resume=resume, overwrite=overwrite, free_keys=free_keys
        )
    except BaseException:
        lock.release()
        raise
    return RunFolder(path=path, resume_from=resume_from, lock=lock, notes=tuple(notes))


def _choose_start(
    path: Path,
    config: Mapping[str, Any],
    *,
    resume: str,
    overwrite: bool,
    free_keys: Collection[str],
) -> tuple[Path | None, list[str]]:
    own = list_checkpoints(path / "checkpoints")
    if resume == "never":
        if own:
            raise ValueError(
                f"run.resume=never, but {path} holds {len(own)} checkpoint(s) up to "
                f"{own[-1].name}; choose another run.name, or delete them with run.overwrite=true"
            )
        return None, []
    if own:
        saved = read_config(path / "config.yaml")
        differing = differing_keys(saved, config, free_keys=free_keys)
        if differing:
            raise ValueError(
                f"{path} holds a run with another config, so it is not continued:\n"
                + "\n".join(f"  {line}" for line in differing)
                + "\nSet these keys back, choose another run.name, or start anew with "
                "run.overwrite=true"
            )
        return own[-1], [f"continuing {path} from {own[-1].name}"]
    if resume == "auto":
        return None, []
    start = find_checkpoint(Path(resume))
    lines = differing_keys(read_state(start)["config"], config, free_keys=free_keys)
    return start, [f"beginning from {start}", *(f"differs from it: {line}" for line in lines)]


def find_checkpoint(path: Path) -> Path:
    """Find the checkpoint that a path names.

    Args:
        path: A ``step_N`` folder, a run folder, or its ``checkpoints``.

    Returns:
        The checkpoint's folder, the newest where there are several.

    Raises:
        FileNotFoundError: If there is none.
    """
    if (path / "state.pt").is_file():
        return path
    for root in (path, path / "checkpoints"):
        found = list_checkpoints(root)
        if found:
            return found[-1]
    raise FileNotFoundError(
        f"run.resume={path} names no checkpoint; give auto, never, a folder "
        ".../checkpoints/step_N, or the folder of a run that has checkpoints"
    )


def differing_keys(
    saved: Mapping[str, Any], now: Mapping[str, Any], *, free_keys: Collection[str] = ()
) -> list[str]:
    """List the keys in which two configs differ.

    Args:
        saved: The config of the run folder.
        now: The config of this start.
        free_keys: Dotted keys that are not compared; a key covers those below it.

    Returns:
        Lines ``key: saved -> now``, sorted.
    """
    before, after = flatten(saved), flatten(now)
    absent = "(absent)"
    lines = []
    for key in sorted(before.keys() | after.keys()):
        if any(key == free or key.startswith(f"{free}.") for free in free_keys):
            continue
        if before.get(key, absent) != after.get(key, absent):
            lines.append(f"{key}: {before.get(key, absent)} -> {after.get(key, absent)}")
    return lines


def read_config(path: Path) -> dict[str, Any]:
    """Read a run's resolved config.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If it is not a mapping in YAML.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; the folder is not a run of this project")
    try:
        config = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not readable YAML: {error}") from error
    if not isinstance(config, dict):
        raise ValueError(f"{path} must hold a mapping of config keys, not {type(config).__name__}")
    return config


def _empty(path: Path) -> None:
    """Empty a run folder; refuse one that holds files but was not made by a run."""
    entries = [entry for entry in path.iterdir() if entry.name != ".lock"]
    if entries and not (path / "config.yaml").is_file():
        raise ValueError(
            f"run.overwrite=true, but {path} holds files and no config.yaml, so it is not a run "
            f"folder (found {sorted(entry.name for entry in entries)[:3]}); choose another run.name"
        )
    for entry in entries:
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def record_start(
    run: RunFolder, config: Mapping[str, Any], *, overrides: Sequence[str], step: int
) -> None:
    """Write config, overrides and one line about this start into the run folder.

    Args:
        run: The opened folder.
        config: The resolved config.
        overrides: What the user typed.
        step: The step that the run begins with.
    """
    text = yaml.safe_dump(dict(config), sort_keys=False)
    aside = run.path / ".config.yaml.part"
    aside.write_text(text)
    aside.replace(run.path / "config.yaml")
    (run.path / "overrides.txt").write_text("".join(f"{line}\n" for line in overrides))
    start = {
        "step": step,
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "resumed_from": None if run.resume_from is None else str(run.resume_from),
        "seed": flatten(config).get("run.seed"),
        "git": git_revision(),
        "python": sys.version.split()[0],
        "packages": package_versions(),
        "overrides": list(overrides),
    }
    with open(run.path / "starts.jsonl", "a") as file:
        file.write(json.dumps(start) + "\n")


def git_revision() -> str | None:
    """Revision of the source tree, with ``+changes`` if files differ; None outside a repository."""
    folder = Path(__file__).resolve().parent

    def ask(*words: str) -> str | None:
        try:
            answer = subprocess.run(
                ["git", *words], cwd=folder, capture_output=True, text=True, timeout=20, check=True
            )
        except (OSError, subprocess.SubprocessError):
            return None
        return answer.stdout.strip()

    revision = ask("rev-parse", "HEAD")
    if not revision:
        return None
    changed = ask("status", "--porcelain", "--untracked-files=no")
    return f"{revision}+changes" if changed else revision


def package_versions() -> dict[str, str | None]:
    """Installed versions of the packages that decide a run's numbers."""
    versions: dict[str, str | None] = {}
    for name in VERSIONED_PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = None
    return versions
