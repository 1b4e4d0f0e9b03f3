"""Entry point: training of the inversion encoder.

    python -m warpgan.train encoder=swin
    python -m warpgan.train --help

Exit codes: 0 done; 2 a mistake in the command, config or data; 75 stopped by SIGTERM or SIGINT
after saving (the same command continues); 1 anything else, e.g. a loss that is not a number.
"""

from omegaconf import DictConfig

from warpgan.cli import run_entry
from warpgan.training.command import Outcome, TrainingCommand, run_training
from warpgan.training.encoder_loop import train_encoder
from warpgan.training.start import build_encoder_training, read_config


def main() -> None:
    """Run the command line."""
    run_entry("train", train)


def train(config: DictConfig, overrides: list[str]) -> Outcome:
    """Train, or continue, one run of the encoder; see `run_training`."""
    command = TrainingCommand(
        read=read_config,
        build=build_encoder_training,
        loop=train_encoder,
        result="encoder.safetensors",
    )
    return run_training(command, config, overrides)


if __name__ == "__main__":
    main()
