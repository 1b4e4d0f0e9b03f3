"""Entry point: training of SVINet and its discriminator.

    python -m warpgan.train_svinet
    python -m warpgan.train_svinet --help

Exit codes: 0 done; 2 a mistake in the command, config or data; 75 stopped by SIGTERM or SIGINT
after saving (the same command continues); 1 anything else, e.g. a loss that is not a number.
"""

from omegaconf import DictConfig

from warpgan.cli import run_entry
from warpgan.training.command import Outcome, TrainingCommand, run_training
from warpgan.training.svinet_loop import train_svinet
from warpgan.training.svinet_start import build_svinet_training, read_svinet_config


def main() -> None:
    """Run the command line."""
    run_entry("train_svinet", train)


def train(config: DictConfig, overrides: list[str]) -> Outcome:
    """Train, or continue, one run of SVINet; see `run_training`."""
    command = TrainingCommand(
        read=read_svinet_config,
        build=build_svinet_training,
        loop=train_svinet,
        result="svinet.safetensors",
    )
    return run_training(command, config, overrides)


if __name__ == "__main__":
    main()
