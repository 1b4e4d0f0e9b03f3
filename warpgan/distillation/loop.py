"""The distillation run, top to bottom: one process, one optimiser, resumed bit for bit.

Every batch is a pure function of (seed, step) and nothing else is random after initialisation, so a
resumed run equals an uninterrupted one.
"""

import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

import eg3d
from warpgan.data.portraits import FAR, NEAR, sample_latents
from warpgan.distillation.batches import BatchRecipe, draw_batch
from warpgan.distillation.objective import DistillationWeights, distillation_terms, weighted_sum
from warpgan.distillation.views import Views
from warpgan.metrics.generator_report import evaluate_generator
from warpgan.training.checkpoint import Stateful, load_checkpoint, save_checkpoint
from warpgan.training.ema import WeightAverage
from warpgan.training.logging import RunLog
from warpgan.training.progress import Progress
from warpgan.training.runs import RunFolder
from warpgan.training.stopping import NonFiniteLossError, StopSignal

HELD_OUT_SEED = 990_001


@dataclass(frozen=True, kw_only=True)
class DistillationSchedule:
    """Length of the run and what happens when.

    Attributes:
        steps: optimiser steps.
        cycles: ends of learning-rate cycles as steps; each cycle holds its peak for ``hold`` of its
            length and then falls by a cosine to ``final`` of the peak. The last one is ``steps``.
        peaks: peak learning rate of each cycle.
        warmup: steps of linear warm-up of the run.
        clip: limit of the gradient norm.
        ema_window: the average's window is ``step / ema_window`` steps, its decay at most
            ``ema_decay``.
        log_every, checkpoint_every, validate_every: steps.
        validation_people: held-out people of a validation, five yaws each.
    """

    steps: int
    cycles: tuple[int, ...]
    peaks: tuple[float, ...]
    warmup: int = 100
    hold: float = 0.3
    final: float = 0.03
    clip: float = 1.0
    ema_window: float = 5.0
    ema_decay: float = 0.998
    log_every: int = 50
    checkpoint_every: int = 500
    validate_every: int = 1000
    validation_people: int = 12

    def __post_init__(self) -> None:
        """Check that the cycles fill the run."""
        if len(self.cycles) != len(self.peaks) or list(self.cycles) != sorted(set(self.cycles)):
            raise ValueError(
                f"schedule.cycles {self.cycles} must rise and have as many entries as "
                f"schedule.peaks {self.peaks}"
            )
        if not self.cycles or self.cycles[-1] != self.steps:
            raise ValueError(
                f"the last of schedule.cycles {self.cycles} must be schedule.steps {self.steps}"
            )

    def learning_rate(self, step: int) -> float:
        """Learning rate of ``step``, counted from 0."""
        cycle = bisect_right(self.cycles, step)
        begin = self.cycles[cycle - 1] if cycle else 0
        end, peak = self.cycles[cycle], self.peaks[cycle]
        done = (step - begin) / (end - begin)
        fall = max(0.0, (done - self.hold) / (1 - self.hold))
        factor = self.final + (1 - self.final) * 0.5 * (1 + math.cos(math.pi * fall))
        return peak * factor * min(1.0, (step + 1) / self.warmup)

    def average_decay(self, step: int) -> float:
        """Decay of the weight average at ``step``, counted from 0."""
        return min(self.ema_decay, max(0.0, 1 - self.ema_window / (step + 1)))


def distill(
    generator: eg3d.TriPlaneGenerator,
    views: Views,
    run: RunFolder,
    *,
    recipe: BatchRecipe,
    weights: DistillationWeights,
    schedule: DistillationSchedule,
    seed: int,
    bfloat16: bool,
    config: Mapping[str, Any],
) -> Path | None:
    """Train ``generator`` on ``views``; the averaged weights end in ``run/eg3d_mini.safetensors``.

    Returns:
        The file, or None if a signal stopped the run (state saved; run again to continue).

    Raises:
        NonFiniteLossError: naming the step, with the last good checkpoint kept.
    """
    optimizer = torch.optim.Adam(generator.parameters(), lr=schedule.peaks[0], betas=(0.9, 0.99))
    average = WeightAverage(generator, 0.0)
    stateful = Stateful({"generator": generator, "average": average.network}, {"adam": optimizer})
    step = load_checkpoint(run.resume_from, stateful).step if run.resume_from else 0
    log = RunLog(run.path, step=step)
    progress = Progress(step, schedule.steps, batch_size=recipe.heads)
    held_out = sample_latents(schedule.validation_people, HELD_OUT_SEED)

    with StopSignal() as stop:
        while step < schedule.steps and not stop.received:
            learning_rate = schedule.learning_rate(step)
            for group in optimizer.param_groups:
                group["lr"] = learning_rate
            batch = draw_batch(views, recipe, near=NEAR, far=FAR, seed=seed, step=step)
            terms = distillation_terms(
                generator, batch, surface_width=weights.surface_width, bfloat16=bfloat16
            )
            loss = weighted_sum(terms, weights)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            norm = nn.utils.clip_grad_norm_(generator.parameters(), schedule.clip)
            if not torch.isfinite(norm):
                raise NonFiniteLossError(
                    step,
                    "the gradient",
                    terms={name: value.item() for name, value in terms.items()},
                    names=["portraits"],
                    last_good=f"the last good checkpoint is in {run.checkpoints}",
                )
            optimizer.step()
            average.decay = schedule.average_decay(step)
            average.update(generator)
            step += 1

            progress.advance(step)
            if step % schedule.log_every == 0 or step == schedule.steps:
                numbers = {name: value.item() for name, value in terms.items()}
                numbers |= {"loss": loss.item(), "gradient_norm": norm.item(), "lr": learning_rate}
                log.scalars(step, numbers, split="train")
                progress.show(step, {"loss": loss.item(), "image": numbers["image"]})
            at_end = step in schedule.cycles
            if step % schedule.validate_every == 0 or at_end:
                report = evaluate_generator(average.network, latents=held_out)
                log.scalars(step, report.mean(), split="validation")
                progress.say(f"held-out people after step {step}\n{report.table()}")
            if step % schedule.checkpoint_every == 0 or at_end or stop.received:
                save_checkpoint(run.checkpoints, step, stateful=stateful, config=config, keep=2)
            if at_end:
                _save(average.network, run.path / f"eg3d_mini_step_{step}.safetensors")
    log.close()
    progress.close()
    if step < schedule.steps:
        return None
    return _save(average.network, run.path / "eg3d_mini.safetensors")


@torch.no_grad()
def measure_mean_latent(generator: eg3d.TriPlaneGenerator, *, count: int = 10_000) -> None:
    """Set ``w_avg`` to the mean over ``count`` latents of the world, seed 123 as the release."""
    latents = torch.from_numpy(sample_latents(count, 123))
    camera = latents.new_zeros(1, 25)
    total = sum(
        generator.mapping(part, camera.expand(len(part), -1))[:, 0].double().sum(0)
        for part in latents.split(1000)
    )
    generator.backbone.mapping.w_avg.copy_((total / count).float())


def _save(generator: eg3d.TriPlaneGenerator, path: Path) -> Path:
    measure_mean_latent(generator)
    eg3d.save_generator(generator, path)
    return path
