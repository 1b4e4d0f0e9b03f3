"""Training of the inversion encoder, top to bottom.

Every optimiser step: learning rate from the step, the step's samples from (seed, step), forward and
losses of each micro-batch, one look over all processes at whether the loss is a number and whether
to stop, backward, optimiser, weight average. Numbers, pictures, validation and checkpoints follow
at their own intervals. Nothing depends on how many times the run was interrupted.
"""

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn
from torch.utils.data import DataLoader, Dataset

from warpgan.config import TrainConfig
from warpgan.encoders.inversion import save_encoder
from warpgan.training.agreement import agree
from warpgan.training.batch import stack_samples
from warpgan.training.checkpoint import Stateful, load_checkpoint, save_checkpoint
from warpgan.training.command import Outcome
from warpgan.training.ema import WeightAverage
from warpgan.training.encoder_step import EncoderModules, train_step
from warpgan.training.encoder_validation import draw_inversions, validate
from warpgan.training.logging import RunLog
from warpgan.training.order import StepOrder
from warpgan.training.progress import Progress
from warpgan.training.running_mean import RunningMean
from warpgan.training.runs import RunFolder
from warpgan.training.schedule import learning_rate_factor, set_learning_rate
from warpgan.training.seeding import seed_dropout
from warpgan.training.stopping import StopSignal
from warpgan.training.update import gradient_norm, stop_for


@dataclass(frozen=True)
class EncoderTraining:
    """Everything built for a run of the encoder training.

    Attributes:
        accelerator: Processes, precision, device.
        modules: The networks and losses, on the device; the encoder is prepared.
        average: Weight average of the encoder, or None.
        optimizer: The prepared optimiser.
        images: Training images.
        held_out: Images for validation and pictures, or None.
        config: The resolved config.
        plain_config: The same as plain dicts, for the checkpoint.
    """

    accelerator: Accelerator
    modules: EncoderModules
    average: WeightAverage | None
    optimizer: torch.optim.Optimizer
    images: Dataset
    held_out: Dataset | None
    config: TrainConfig
    plain_config: Mapping[str, Any]

    @property
    def trained(self) -> nn.Module:
        """What the run trains."""
        return self.encoder

    @property
    def encoder(self) -> nn.Module:
        """The encoder without what several processes wrap it in."""
        return self.accelerator.unwrap_model(self.modules.encoder)

    @property
    def best_encoder(self) -> nn.Module:
        """The encoder that is validated and shipped: the average where there is one."""
        return self.encoder if self.average is None else self.average.network


def train_encoder(job: EncoderTraining, run: RunFolder) -> Outcome:
    """Train from the run's last checkpoint to ``train.steps``.

    Args:
        job: What was built.
        run: The opened run folder; only the main process writes into it.

    Returns:
        The last step and whether a signal ended the run.

    Raises:
        NonFiniteLossError: If the loss or its gradient is not a number; the last good checkpoint
            stays.
    """
    accelerator, modules, settings = job.accelerator, job.modules, job.config.train
    seed, main = job.config.run.seed, accelerator.is_main_process
    means = RunningMean()
    stateful = stateful_parts(job, means)
    base_rates = [group["lr"] for group in job.optimizer.param_groups]
    step = 0 if run.resume_from is None else load_checkpoint(run.resume_from, stateful).step
    order = StepOrder(
        len(job.images), settings.batch_size, seed=seed, start=step, stop=settings.steps,
        accumulation=settings.accumulation, process=accelerator.process_index,
        processes=accelerator.num_processes,
    )  # fmt: skip
    loader = DataLoader(
        job.images, batch_sampler=order, collate_fn=stack_samples, num_workers=settings.workers,
        pin_memory=accelerator.device.type == "cuda",
    )  # fmt: skip
    batches = iter(loader)
    progress = Progress(step, settings.steps, batch_size=settings.batch_size, visible=main)
    log = RunLog(run.path, step=step) if main else None
    every = job.config.eval.every if job.held_out is not None else 0
    if step == 0 and every:
        _record_validation(job, log, progress, step)
    if step == 0 and log and settings.image_every:
        _record_pictures(job, log, step)
    modules.encoder.train()
    interrupted_by = None
    with StopSignal() as stop:
        while step < settings.steps and interrupted_by is None:
            factor = learning_rate_factor(
                step, schedule=settings.schedule, warmup_steps=settings.warmup_steps,
                steps=settings.steps,
            )  # fmt: skip
            set_learning_rate(job.optimizer, base_rates, factor=factor)
            for micro_step in range(settings.accumulation):
                batch = next(batches).to(accelerator.device)
                seed_dropout(seed, step, index=order.first_index(micro_step))
                last = micro_step == settings.accumulation - 1
                with nullcontext() if last else accelerator.no_sync(modules.encoder):
                    with accelerator.autocast():
                        result = train_step(modules, batch, step)
                    seen = agree(
                        accelerator, {"loss": result.total, **result.terms}, stop=stop.received
                    )
                    if not seen.finite:
                        stop_for("the loss", run, names=batch.names, terms=seen.local, step=step)
                    accelerator.backward(result.total / settings.accumulation)
                means.add(seen.means)
                interrupted_by = interrupted_by or seen.stop
            norm = gradient_norm(accelerator, job.encoder, limit=settings.gradient_clip)
            if settings.mixed_precision != "fp16" and not torch.isfinite(norm):
                stop_for("the gradient", run, names=batch.names, terms=seen.local, step=step)
            job.optimizer.step()
            job.optimizer.zero_grad(set_to_none=True)
            if job.average is not None:
                job.average.update(job.encoder)
            step += 1
            progress.advance(step)

            done = step == settings.steps
            if step % settings.log_every == 0 or done:
                values = means.take()
                progress.show(step, values)
                rate = job.optimizer.param_groups[0]["lr"]
                if log:
                    extra = {"gradient_norm": float(norm), "learning_rate": rate}
                    log.scalars(step, values | extra, split="train")
            if every and (step % every == 0 or done):
                _record_validation(job, log, progress, step)
                modules.encoder.train()
            if log and settings.image_every and (step % settings.image_every == 0 or done):
                _record_pictures(job, log, step)
                modules.encoder.train()
            if step % settings.checkpoint_every == 0 or done or interrupted_by:
                if main:
                    save_checkpoint(
                        run.checkpoints, step, stateful=stateful, config=job.plain_config,
                        keep=settings.keep_checkpoints,
                    )  # fmt: skip
                accelerator.wait_for_everyone()
    if main:
        log.close()
        progress.close()
        if interrupted_by is None or step == settings.steps:
            save_encoder(job.best_encoder, run.path / "encoder.safetensors")
    return Outcome(step=step, interrupted_by=interrupted_by if step < settings.steps else None)


def stateful_parts(job: EncoderTraining, means: RunningMean) -> Stateful:
    """Name what a checkpoint of this training holds."""
    networks = {"encoder": job.encoder}
    if job.average is not None:
        networks["encoder_average"] = job.average.network
    optimizer = getattr(job.optimizer, "optimizer", job.optimizer)
    scaler = job.accelerator.scaler
    records = {"means": means} | ({} if scaler is None else {"scaler": scaler})
    return Stateful(networks=networks, optimizers={"encoder": optimizer}, records=records)


def _record_validation(
    job: EncoderTraining, log: RunLog | None, progress: Progress, step: int
) -> None:
    values = validate(
        job.accelerator,
        job.modules,
        encoder=job.best_encoder,
        images=job.held_out,
        count=job.config.eval.count,
        batch_size=job.config.eval.batch_size,
    )
    numbers = " ".join(f"{name} {value:.4g}" for name, value in values.items())
    progress.say(f"step {step}  held out: {numbers}")
    if log is not None:
        log.scalars(step, values, split="validation")


def _record_pictures(job: EncoderTraining, log: RunLog, step: int) -> None:
    source = job.images if job.held_out is None else job.held_out
    count = min(job.config.eval.pictures, len(source))
    if count:
        batch = stack_samples([source[i] for i in range(count)]).to(job.accelerator.device)
        yaws = job.config.eval.novel_yaws
        sheet = draw_inversions(job.modules, job.best_encoder, batch, yaws=yaws)
        log.picture(step, "inversions", sheet)
