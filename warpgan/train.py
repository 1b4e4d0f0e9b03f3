"""Entry point: training of the inversion encoder.

    python -m warpgan.train encoder=swin
    python -m warpgan.train --help

Exit codes: 0 done; 2 a mistake in the command, config or data; 75 stopped by SIGTERM or SIGINT
after saving (the same command continues); 1 anything else, e.g. a loss that is not a number.
"""

import logging
import sys
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from omegaconf import DictConfig

from warpgan.cli import plain_errors, run_entry
from warpgan.config import TrainConfig
from warpgan.training.checkpoint import read_state
from warpgan.training.encoder_loop import Outcome, train_encoder
from warpgan.training.runs import RunFolder, check_run_name, open_run_folder, record_start
from warpgan.training.start import (
    build_accelerator,
    build_encoder_training,
    plain_config,
    read_config,
)
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


def main() -> None:
    """Run the command line."""
    run_entry("train", train)


def train(config: DictConfig, overrides: list[str]) -> Outcome:
    """Train, or continue, one run.

    Args:
        config: The composed config.
        overrides: What was typed.

    Returns:
        How it ended.

    Raises:
        SystemExit: With the exit codes of the module's docstring.
    """
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    with plain_errors():
        settings = read_config(config)
        check_run_name(settings.run.name)
        accelerator = build_accelerator(settings)
        run = _open_run(config, settings, accelerator)
        job = build_encoder_training(config, settings, accelerator)
        if accelerator.is_main_process:
            step = 0 if run.resume_from is None else read_state(run.resume_from)["step"]
            record_start(run, plain_config(config), overrides=overrides, step=step)
            _announce(run, settings, accelerator, parameters=_count(job.encoder))
    try:
        outcome = train_encoder(job, run)
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
    accelerator.print(f"done: {run.path / 'encoder.safetensors'}")
    return outcome


def _open_run(config: DictConfig, settings: TrainConfig, accelerator: Accelerator) -> RunFolder:
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


def _count(network: object) -> int:
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


def _announce(
    run: RunFolder, settings: TrainConfig, accelerator: Accelerator, *, parameters: int
) -> None:
    for note in run.notes:
        print(note)
    print(
        f"run {run.path}  preset {settings.run.preset}  seed {settings.run.seed}  "
        f"{accelerator.num_processes} process(es) on {accelerator.device.type}  "
        f"{torch.get_num_threads()} thread(s)  {parameters / 1e6:.2f} M parameters",
        flush=True,
    )


if __name__ == "__main__":
    main()
