"""Training of SVINet and its discriminator, top to bottom.

A step is two turns, as released: SVINet on real photos, discriminator on the same; SVINet on
synthetic pairs, discriminator on the same. The discriminator sees the predictions that were made
before SVINet's update of its turn. Ablation F has no second turn. Samples, novel cameras and pairs
come from (seed, step), so a resumed run equals an uninterrupted one.
"""

from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from warpgan.pipeline import WarpGAN
from warpgan.svinet import SVINet, save_svinet
from warpgan.svinet_config import SVINetTrainConfig
from warpgan.training.agreement import agree
from warpgan.training.checkpoint import Stateful, load_checkpoint, save_checkpoint
from warpgan.training.command import Outcome
from warpgan.training.ema import WeightAverage
from warpgan.training.logging import RunLog
from warpgan.training.order import StepOrder
from warpgan.training.progress import Progress
from warpgan.training.running_mean import RunningMean
from warpgan.training.runs import RunFolder
from warpgan.training.schedule import learning_rate_factor, set_learning_rate
from warpgan.training.seeding import fold_seed, seed_dropout
from warpgan.training.stopping import StopSignal
from warpgan.training.svinet_sources import ViewSource
from warpgan.training.svinet_step import SVINetModules, svinet_turn
from warpgan.training.svinet_validation import HeldOut, draw_passes, validate
from warpgan.training.update import gradient_norm, stop_for

RESULT = "svinet.safetensors"


@dataclass(frozen=True)
class SVINetTraining:
    """Everything built for a run of the SVINet training.

    Attributes:
        accelerator: Processes, precision, device.
        modules: Networks and losses, on the device, the trained ones prepared.
        svinet: The network that is trained, unwrapped.
        average: Weight average of it, or None.
        optimizer: Prepared optimiser of SVINet.
        discriminator_optimizer: Prepared optimiser of the discriminator.
        photos: Real views.
        pairs: Synthetic views, or None (ablation F).
        pipeline: Generator, encoder and the network that is validated and shipped.
        held_out: Photos for validation and pictures, or None.
        config: The resolved config.
        plain_config: The same as plain dicts, for the checkpoint.
    """

    accelerator: Accelerator
    modules: SVINetModules
    svinet: SVINet
    average: WeightAverage | None
    optimizer: torch.optim.Optimizer
    discriminator_optimizer: torch.optim.Optimizer
    photos: ViewSource
    pairs: ViewSource | None
    pipeline: WarpGAN
    held_out: HeldOut | None
    config: SVINetTrainConfig
    plain_config: Mapping[str, Any]

    @property
    def trained(self) -> nn.Module:
        """What the run trains."""
        return self.svinet


@dataclass(frozen=True)
class _Turn:
    """The batches of one of a step's turns: where they come from, in which order."""

    name: str
    order: StepOrder
    batches: Iterator[Any]
    source: ViewSource


def train_svinet(job: SVINetTraining, run: RunFolder) -> Outcome:
    """Train from the run's last checkpoint to ``train.steps``.

    Args:
        job: What was built.
        run: The opened run folder; only the main process writes into it.

    Returns:
        The last step and whether a signal ended the run.

    Raises:
        NonFiniteLossError: If a loss or a gradient is not a number; the last good checkpoint
            stays.
    """
    accelerator, settings = job.accelerator, job.config.train
    main = accelerator.is_main_process
    means = RunningMean()
    optimizers = (job.optimizer, job.discriminator_optimizer)
    base_rates = [[group["lr"] for group in optimizer.param_groups] for optimizer in optimizers]
    step = 0
    if run.resume_from is not None:
        step = load_checkpoint(run.resume_from, stateful_parts(job, means)).step
    turns = _open_turns(job, start=step)
    images = settings.batch_size + (0 if job.pairs is None else settings.synthetic_batch_size)
    progress = Progress(step, settings.steps, batch_size=images, visible=main)
    log = RunLog(run.path, step=step) if main else None
    every = job.config.eval.every if job.held_out is not None else 0
    if step == 0:
        _record(job, log, progress, step, numbers=every > 0, pictures=settings.image_every > 0)
    interrupted_by = None
    _set_training_mode(job)
    with StopSignal() as stop:
        while step < settings.steps and interrupted_by is None:
            factor = learning_rate_factor(
                step, schedule=settings.schedule, warmup_steps=settings.warmup_steps,
                steps=settings.steps,
            )  # fmt: skip
            for optimizer, rates in zip(optimizers, base_rates, strict=True):
                set_learning_rate(optimizer, rates, factor=factor)
            extra: dict[str, float] = {"learning_rate": job.optimizer.param_groups[0]["lr"]}
            for turn in turns:
                seen, norms = _take_turn(job, turn, run, step, stop=stop.received)
                means.add(seen)
                extra |= norms
                interrupted_by = interrupted_by or stop.received
            if accelerator.num_processes > 1:
                wish = torch.tensor([float(interrupted_by is not None)], device=accelerator.device)
                if accelerator.reduce(wish, reduction="max").item():
                    interrupted_by = interrupted_by or "a signal to another process"
            step += 1
            progress.advance(step)

            done = step == settings.steps
            if step % settings.log_every == 0 or done:
                values = means.take()
                progress.show(step, values)
                if log:
                    log.scalars(step, values | extra, split="train")
            numbers = every > 0 and (step % every == 0 or done)
            pictures = settings.image_every > 0 and (step % settings.image_every == 0 or done)
            _record(job, log, progress, step, numbers=numbers, pictures=pictures)
            _set_training_mode(job)
            if step % settings.checkpoint_every == 0 or done or interrupted_by:
                if main:
                    save_checkpoint(
                        run.checkpoints, step, stateful=stateful_parts(job, means),
                        config=job.plain_config, keep=settings.keep_checkpoints,
                    )  # fmt: skip
                accelerator.wait_for_everyone()
    if main:
        log.close()
        progress.close()
        if interrupted_by is None or step == settings.steps:
            save_svinet(job.pipeline.svinet, run.path / RESULT)
    return Outcome(step=step, interrupted_by=interrupted_by if step < settings.steps else None)


def stateful_parts(job: SVINetTraining, means: RunningMean) -> Stateful:
    """Name what a checkpoint of this training holds."""
    networks = {"svinet": job.svinet, "discriminator": job.modules.discriminator}
    if job.average is not None:
        networks["svinet_average"] = job.average.network
    optimizers = {"svinet": job.optimizer, "discriminator": job.discriminator_optimizer}
    scaler = job.accelerator.scaler
    return Stateful(
        networks=networks,
        optimizers={name: getattr(o, "optimizer", o) for name, o in optimizers.items()},
        records={"means": means} | ({} if scaler is None else {"scaler": scaler}),
    )


def _open_turns(job: SVINetTraining, *, start: int) -> list[_Turn]:
    settings, accelerator = job.config.train, job.accelerator
    sources = {"real": (job.photos, settings.batch_size)}
    if job.pairs is not None:
        sources["synthetic"] = (job.pairs, settings.synthetic_batch_size)
    turns = []
    for name, (source, batch_size) in sources.items():
        order = StepOrder(
            source.count, batch_size, seed=fold_seed(job.config.run.seed, name), start=start,
            stop=settings.steps, accumulation=settings.accumulation,
            process=accelerator.process_index, processes=accelerator.num_processes,
        )  # fmt: skip
        batches = source.stream(
            order, workers=settings.workers, pin_memory=accelerator.device.type == "cuda"
        )
        turns.append(_Turn(name, order, batches, source))
    return turns


def _take_turn(
    job: SVINetTraining, turn: _Turn, run: RunFolder, step: int, *, stop: str | None
) -> tuple[dict[str, float], dict[str, float]]:
    """SVINet's update on a batch, then the discriminator's; returns terms and gradient norms."""
    accelerator, modules, settings = job.accelerator, job.modules, job.config.train
    parts = settings.accumulation
    results, names, seen = [], [], RunningMean()

    def backward(total: Tensor, values: dict[str, Tensor]) -> None:
        found = agree(accelerator, {f"{turn.name}/{k}": v for k, v in values.items()}, stop=stop)
        if not found.finite:
            stop_for("the loss", run, names=names, terms=found.local, step=step)
        accelerator.backward(total / parts)
        seen.add(found.means)

    def update(network: nn.Module, optimizer: torch.optim.Optimizer) -> float:
        norm = gradient_norm(accelerator, network, limit=settings.gradient_clip)
        if settings.mixed_precision != "fp16" and not torch.isfinite(norm):
            stop_for("the gradient", run, names=names, terms={}, step=step)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return float(norm)

    modules.discriminator.requires_grad_(False)
    for micro_step in range(parts):
        views = turn.source.finish(next(turn.batches), accelerator.device)
        names.extend(views.names)
        seed_dropout(job.config.run.seed, step, index=turn.order.first_index(micro_step))
        with _synchronised(accelerator, modules.passes, last=micro_step == parts - 1):
            with accelerator.autocast():
                result = svinet_turn(modules, views)
            backward(result.total, {"loss": result.total, **result.terms})
        results.append((result.real, result.fakes, result.holes))
    norms = {f"gradient_norm/{turn.name}": update(job.svinet, job.optimizer)}
    if job.average is not None:
        job.average.update(job.svinet)

    modules.discriminator.requires_grad_(True)
    for micro_step, (real, fakes, holes) in enumerate(results):
        with _synchronised(accelerator, modules.objective, last=micro_step == parts - 1):
            with accelerator.autocast():
                total, terms = modules.objective(real, fakes, holes)
            backward(total, {**terms, "discriminator_loss": total})
    norm = update(modules.discriminator, job.discriminator_optimizer)
    norms[f"gradient_norm/{turn.name}_discriminator"] = norm
    return seen.take(), norms


def _set_training_mode(job: SVINetTraining) -> None:
    """Train mode, with batch norms left in eval mode where so configured."""
    for network in (job.svinet, job.modules.discriminator):
        network.train()
        if job.config.train.freeze_batch_norm:
            for module in network.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()


def _synchronised(accelerator: Accelerator, wrapped: nn.Module, *, last: bool):
    return nullcontext() if last else accelerator.no_sync(wrapped)


def _record(
    job: SVINetTraining,
    log: RunLog | None,
    progress: Progress,
    step: int,
    *,
    numbers: bool,
    pictures: bool,
) -> None:
    """Validate and draw where asked; every process takes part in the numbers."""
    if numbers:
        values = validate(
            job.accelerator, job.pipeline, job.held_out,
            count=job.config.eval.count, batch_size=job.config.eval.batch_size,
        )  # fmt: skip
        text = " ".join(f"{name} {value:.4g}" for name, value in values.items())
        progress.say(f"step {step}  held out: {text}")
        if log is not None:
            log.scalars(step, values, split="validation")
    if pictures and log is not None and job.held_out is not None and job.config.eval.pictures:
        sheet = draw_passes(
            job.pipeline, job.held_out, count=job.config.eval.pictures,
            yaws=job.config.eval.novel_yaws, rewarped=job.config.train.rewarped,
        )  # fmt: skip
        log.picture(step, "views", sheet)
