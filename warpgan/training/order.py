"""Which sample is seen when: a pure function of (seed, step).

The global batch of step ``s`` holds the samples at positions ``s * B ... s * B + B - 1`` of an
endless sequence of shuffled epochs. Micro-batch ``m`` of process ``p`` is the contiguous slice
``(m * processes + p) * b ... + b`` of it, so that the union over processes and micro-batches is the
same whatever their number. A resumed run needs no loader state.
"""

from collections.abc import Iterator

import torch
from torch.utils.data import Sampler

from warpgan.training.seeding import fold_seed


def micro_batch_size(batch_size: int, *, processes: int, accumulation: int) -> int:
    """Share a global batch among processes and accumulated micro-batches.

    Args:
        batch_size: Global batch of one optimiser step.
        processes: Number of processes.
        accumulation: Micro-batches a process works through before one optimiser step.

    Returns:
        Samples of one micro-batch.

    Raises:
        ValueError: If the global batch does not divide evenly.
    """
    parts = processes * accumulation
    if batch_size < 1 or accumulation < 1:
        raise ValueError(
            f"train.batch_size={batch_size} and train.accumulation={accumulation} must be at "
            "least 1"
        )
    if batch_size % parts:
        raise ValueError(
            f"train.batch_size={batch_size} is the global batch and must be divisible by "
            f"{processes} process(es) x train.accumulation={accumulation} = {parts}; "
            f"use e.g. train.batch_size={parts * max(1, round(batch_size / parts))}"
        )
    return batch_size // parts


class StepOrder(Sampler[list[int]]):
    """Yields the dataset indices of this process's micro-batches, step after step.

    Args:
        count: Samples in the data set.
        batch_size: Global batch of one optimiser step.
        seed: The run's seed.
        start: First step (the step a resumed run continues with).
        stop: One past the last step.
        accumulation: Micro-batches per step and process.
        process: Index of this process.
        processes: Number of processes.
    """

    def __init__(
        self,
        count: int,
        batch_size: int,
        *,
        seed: int,
        start: int,
        stop: int,
        accumulation: int = 1,
        process: int = 0,
        processes: int = 1,
    ) -> None:
        """Check the sizes; see the class."""
        if count < 1:
            raise ValueError("the data set holds no image; give a folder with images in data.path")
        self.count = count
        self.batch_size = batch_size
        self.seed = seed
        self.start = start
        self.stop = stop
        self.accumulation = accumulation
        self.process = process
        self.processes = processes
        self.micro = micro_batch_size(batch_size, processes=processes, accumulation=accumulation)

    def __len__(self) -> int:
        """Number of micro-batches of this process."""
        return max(0, self.stop - self.start) * self.accumulation

    def first_index(self, micro_step: int) -> int:
        """Global index, within a step's batch, of a micro-batch's first sample."""
        return (micro_step * self.processes + self.process) * self.micro

    def __iter__(self) -> Iterator[list[int]]:
        """Yield lists of ``micro`` dataset indices."""
        epoch, permutation = -1, torch.empty(0, dtype=torch.long)
        for step in range(self.start, self.stop):
            for micro_step in range(self.accumulation):
                first = step * self.batch_size + self.first_index(micro_step)
                indices = []
                for position in range(first, first + self.micro):
                    if position // self.count != epoch:
                        epoch = position // self.count
                        permutation = epoch_permutation(self.seed, epoch, count=self.count)
                    indices.append(int(permutation[position % self.count]))
                yield indices


def epoch_permutation(seed: int, epoch: int, *, count: int) -> torch.Tensor:
    """Shuffle one epoch.

    Args:
        seed: The run's seed.
        epoch: Epoch, from 0.
        count: Samples in the data set.

    Returns:
        A permutation of ``range(count)`` [count] int64.
    """
    generator = torch.Generator().manual_seed(fold_seed(seed, "order", epoch))
    return torch.randperm(count, generator=generator)
