"""What every training command does around its loop: run folder, start record, exit codes."""

import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, broadcast_object_list
from omegaconf import DictConfig, OmegaConf
from torch import nn

from warpgan.cli import EXIT_USER_ERROR, plain_errors
from warpgan.denormals import flushed_denormals
from warpgan.training.checkpoint import CheckpointError, read_state
from warpgan.training.order import micro_batch_size
from warpgan.training.runs import RunFolder, check_run_name, open_run_folder, record_start
from warpgan.training.stopping import EXIT_INTERRUPTED, NonFiniteLossError

FREE_KEYS = (
    "run.resume",
    "run.overwrite",
    "paths",
    "eval",
    "train.workers",
    "train.cpu",
    "train.log_every",
    "train.image_every",
    "train.checkpoint_every",
    "train.keep_checkpoints",
)
"""Keys that may change when a run is continued: they leave the weights' path as it is."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        step: Optimiser steps done.
        interrupted_by: Name of the signal that ended it early, or None.
    """

    step: int
    interrupted_by: str | None


class Job(Protocol):
    """Everything built for a run."""

    @property
    def trained(self) -> nn.Module:
        """The network whose parameters are counted in the first line."""


@dataclass(frozen=True)
class TrainingCommand:
    """The parts in which training commands differ.

    Attributes:
        read: Composed config to checked dataclasses.
        build: (config, settings, accelerator) to the job; cheap checks first.
        loop: (job, run) to the outcome.
        result: File in the run folder that a finished run leaves.
    """

    read: Callable[[DictConfig], Any]
    build: Callable[[DictConfig, Any, Accelerator], Job]
    loop: Callable[[Any, RunFolder], Outcome]
    result: str


def run_training(command: TrainingCommand, config: DictConfig, overrides: list[str]) -> Outcome:
    """Train, or continue, one run.

    Args:
        command: What is trained.
        config: The composed config.
        overrides: What was typed.

    Returns:
        How it ended.

    Raises:
        SystemExit: 2 for a mistake in command, config or data; 75 where a signal stopped the run
            after saving; 1 for a loss that is not a number.
    """
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    with plain_errors():
        settings = command.read(config)
        check_run_name(settings.run.name)
        accelerator = build_accelerator(settings)
        run = _open_run(config, settings, accelerator)
        job = command.build(config, settings, accelerator)
        if accelerator.is_main_process:
            step = 0 if run.resume_from is None else read_state(run.resume_from)["step"]
            record_start(run, plain_config(config), overrides=overrides, step=step)
            _announce(run, settings, accelerator, job.trained)
    try:
        # Half of a training step on a CPU went into gradients that are next to nothing.
        with flushed_denormals():
            outcome = command.loop(job, run)
    except CheckpointError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(EXIT_USER_ERROR)
    except NonFiniteLossError as error:
        sys.exit(f"error: {error}")
    finally:
        if run.lock is not None:
            run.lock.release()
    if outcome.interrupted_by:
        accelerator.print(
            f"stopped by {outcome.interrupted_by} after step {outcome.step}, saved in {run.path}; "
            "the same command continues"
        )
        sys.exit(EXIT_INTERRUPTED)
    accelerator.print(f"done: {run.path / command.result}")
    return outcome


def build_accelerator(settings: Any) -> Accelerator:
    """Open the processes, device and precision of a run.

    Args:
        settings: The resolved config.

    Returns:
        The accelerator.

    Raises:
        ValueError: If the batch does not divide over the processes, or the precision is impossible.
    """
    train = settings.train
    if train.mixed_precision == "fp16" and (train.cpu or not torch.cuda.is_available()):
        raise ValueError(
            "train.mixed_precision=fp16 needs a CUDA device; use bf16 or no on this machine"
        )
    torch.backends.cuda.matmul.allow_tf32 = train.tf32
    torch.backends.cudnn.allow_tf32 = train.tf32
    handlers = [DistributedDataParallelKwargs(find_unused_parameters=train.find_unused_parameters)]
    accelerator = Accelerator(
        mixed_precision=train.mixed_precision, cpu=train.cpu, kwargs_handlers=handlers
    )
    micro_batch_size(
        train.batch_size, processes=accelerator.num_processes, accumulation=train.accumulation
    )
    return accelerator


def plain_config(config: DictConfig) -> dict[str, Any]:
    """The resolved config as plain dicts, for files."""
    return OmegaConf.to_container(config, resolve=True)


def _open_run(config: DictConfig, settings: Any, accelerator: Accelerator) -> RunFolder:
    """Open the run folder in the main process and tell the others where the run begins."""
    path = Path(settings.paths.runs) / settings.run.name
    run, start = None, [None]
    if accelerator.is_main_process:
        # A falling learning rate depends on the number of steps; a constant one does not.
        free = (*FREE_KEYS, *(["train.steps"] if settings.train.schedule == "constant" else []))
        run = open_run_folder(
            path, plain_config(config), resume=settings.run.resume,
            overwrite=settings.run.overwrite, free_keys=free,
        )  # fmt: skip
        start = [run.resume_from]
    if accelerator.num_processes > 1:
        broadcast_object_list(start)
    return run or RunFolder(path=path, resume_from=start[0], lock=None)


def _announce(run: RunFolder, settings: Any, accelerator: Accelerator, trained: nn.Module) -> None:
    for note in run.notes:
        print(note)
    parameters = sum(p.numel() for p in trained.parameters() if p.requires_grad)
    print(
        f"run {run.path}  preset {settings.run.preset}  seed {settings.run.seed}  "
        f"{accelerator.num_processes} process(es) on {accelerator.device.type}  "
        f"{torch.get_num_threads()} thread(s)  {parameters / 1e6:.2f} M parameters",
        flush=True,
    )
