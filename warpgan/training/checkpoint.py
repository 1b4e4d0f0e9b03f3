"""Checkpoints that survive a kill at any instant.

A checkpoint is a folder ``step_00000123`` with one ``<name>.safetensors`` per network and one
``state.pt`` (optimisers, records, RNG, config; read with ``weights_only=True``). It is written
into ``.writing_*``, flushed to the disk, and renamed; a folder is removed by being renamed to
``.removing_*`` first. So whatever is called ``step_*`` is complete. No class is ever pickled.
"""

import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

FORMAT_VERSION = 1
_STEP_FOLDER = re.compile(r"step_(\d{8,})")


class CheckpointError(ValueError):
    """A checkpoint that is damaged, foreign, or of another network."""


@dataclass(frozen=True)
class Stateful:
    """Everything that a checkpoint holds and restores.

    Attributes:
        networks: File name -> network (trained ones and their averages).
        optimizers: Name -> optimiser.
        records: Name -> anything else with a ``state_dict`` of plain numbers and tensors, e.g.
            running means or the gradient scaler of fp16 training.
    """

    networks: Mapping[str, nn.Module]
    optimizers: Mapping[str, torch.optim.Optimizer]
    records: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Restored:
    """What is read back beside the networks and optimisers.

    Attributes:
        step: Optimiser steps done when the checkpoint was written.
        config: The resolved config of the run that wrote it.
    """

    step: int
    config: dict[str, Any]


def step_folder(root: Path, step: int) -> Path:
    """Name the folder of the checkpoint after ``step`` optimiser steps."""
    return root / f"step_{step:08d}"


def list_checkpoints(root: Path) -> list[Path]:
    """List the complete checkpoints in ``root``, oldest first."""
    if not root.is_dir():
        return []
    folders = [path for path in root.iterdir() if _STEP_FOLDER.fullmatch(path.name)]
    return sorted(folders, key=lambda path: int(path.name.removeprefix("step_")))


def save_checkpoint(
    root: Path,
    step: int,
    *,
    stateful: Stateful,
    config: Mapping[str, Any],
    keep: int | None = None,
) -> Path:
    """Write a checkpoint beside its final place and rename it.

    Args:
        root: Folder of the run's checkpoints.
        step: Optimiser steps done.
        stateful: What is stored.
        config: The resolved config, plain numbers, strings, lists and dicts.
        keep: Checkpoints that stay, newest first; None keeps all.

    Returns:
        The checkpoint's folder.
    """
    root.mkdir(parents=True, exist_ok=True)
    final = step_folder(root, step)
    if not final.exists():
        _write_aside_and_rename(final, step, stateful=stateful, config=config)
    if keep is not None:
        for old in list_checkpoints(root)[: -max(1, keep)]:
            _remove(old)
    return final


def _write_aside_and_rename(
    final: Path, step: int, *, stateful: Stateful, config: Mapping[str, Any]
) -> None:
    aside = final.with_name(f".writing_{final.name}")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    for name, network in stateful.networks.items():
        tensors = {key: value.contiguous() for key, value in network.state_dict().items()}
        save_file(tensors, aside / f"{name}.safetensors")
    state = {
        "format_version": FORMAT_VERSION,
        "step": step,
        "config": dict(config),
        "optimizers": {name: opt.state_dict() for name, opt in stateful.optimizers.items()},
        "records": {name: record.state_dict() for name, record in stateful.records.items()},
        "rng": torch.get_rng_state(),
    }
    torch.save(state, aside / "state.pt")
    for path in aside.iterdir():
        flush_to_disk(path)
    flush_to_disk(aside)
    os.rename(aside, final)
    flush_to_disk(final.parent)


def load_checkpoint(folder: Path, stateful: Stateful) -> Restored:
    """Restore networks, optimisers, records and RNG in place.

    Args:
        folder: A folder that ``save_checkpoint`` wrote.
        stateful: What is restored; names, keys and shapes must match exactly.

    Returns:
        The step and config of the checkpoint.

    Raises:
        FileNotFoundError: If the folder or one of its files is missing.
        ValueError: If a file is damaged, foreign, of another version, or does not fit the model.
    """
    state = read_state(folder)
    for name, network in stateful.networks.items():
        tensors = read_weights(folder / f"{name}.safetensors")
        _load_strictly(network, tensors, source=folder / f"{name}.safetensors")
    for name, optimizer in stateful.optimizers.items():
        if name not in state["optimizers"]:
            raise CheckpointError(
                f"{folder / 'state.pt'} holds no state of optimiser {name!r}; "
                f"it holds {sorted(state['optimizers'])}"
            )
        try:
            optimizer.load_state_dict(state["optimizers"][name])
        except (ValueError, KeyError) as error:
            raise CheckpointError(
                f"{folder / 'state.pt'} does not fit optimiser {name!r} ({error}); resume with the "
                "optimizer of that run, or start anew with run.resume=never"
            ) from error
    for name, record in stateful.records.items():
        if name in state["records"]:
            record.load_state_dict(state["records"][name])
    torch.set_rng_state(state["rng"])
    return Restored(step=state["step"], config=state["config"])


def read_state(folder: Path) -> dict[str, Any]:
    """Read ``state.pt`` of a checkpoint without executing anything.

    Args:
        folder: A checkpoint folder.

    Returns:
        The stored dict, its version checked.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged, foreign, or of another version.
    """
    path = folder / "state.pt"
    if not path.is_file():
        raise FileNotFoundError(
            f"{folder} is not a checkpoint: {path.name} is missing; give a folder step_N of a run"
        )
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise CheckpointError(
            f"{path} cannot be read as a checkpoint of this project ({type(error).__name__}); it "
            "is truncated or foreign. Resume from an older step_N folder with run.resume=PATH"
        ) from error
    version = state.get("format_version") if isinstance(state, dict) else None
    if version != FORMAT_VERSION:
        raise CheckpointError(
            f"{path} has format_version {version!r}, this code reads {FORMAT_VERSION}; "
            "use the code version that wrote it"
        )
    return state


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Read a safetensors file.

    Args:
        path: The file.

    Returns:
        Tensors by name, on the CPU.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged or not a safetensors file.
    """
    if not path.is_file():
        raise FileNotFoundError(f"weights file {path} does not exist")
    try:
        return load_file(path)
    except Exception as error:
        raise CheckpointError(
            f"{path} cannot be read as safetensors ({error}); it is truncated or another format"
        ) from error


def _load_strictly(
    network: nn.Module, tensors: Mapping[str, torch.Tensor], *, source: Path
) -> None:
    expected = network.state_dict()
    missing = sorted(expected.keys() - tensors.keys())
    foreign = sorted(tensors.keys() - expected.keys())
    shapes = [
        f"{key}: file {tuple(tensors[key].shape)}, model {tuple(expected[key].shape)}"
        for key in expected.keys() & tensors.keys()
        if tensors[key].shape != expected[key].shape
    ]
    if missing or foreign or shapes:
        raise CheckpointError(
            f"{source} does not fit the configured network: {len(missing)} keys missing "
            f"{missing[:3]}, {len(foreign)} unknown {foreign[:3]}, {len(shapes)} of another shape "
            f"{sorted(shapes)[:3]}; use the network and scale of the run that wrote it"
        )
    network.load_state_dict(dict(tensors), strict=True)


def _remove(folder: Path) -> None:
    doomed = folder.with_name(f".removing_{folder.name}")
    shutil.rmtree(doomed, ignore_errors=True)
    os.rename(folder, doomed)
    shutil.rmtree(doomed)


def remove_leftovers(root: Path) -> None:
    """Delete what a killed process left half written or half removed. Needs the run's lock."""
    if not root.is_dir():
        return
    for path in root.iterdir():
        if path.name.startswith((".writing_", ".removing_")):
            shutil.rmtree(path)


def flush_to_disk(path: Path) -> None:
    """Ask the system to put a file or folder on the disk before going on."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
