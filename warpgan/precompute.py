"""Entry point: inversions, renders and ray lengths for SVINet's training, made once.

    python -m warpgan.precompute
    python -m warpgan.precompute --help

Writes WebDataset shards into ``cache_dir``; the same command continues an interrupted run and
rebuilds damaged shards. Exit codes: 0 done; 2 a mistake in the command, config or data; 75 stopped
by SIGTERM or SIGINT with whole shards kept.
"""

import multiprocessing
import os
import shlex
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from warpgan import cli
from warpgan.data.view_settings import (
    PrecomputeConfig,
    check_precompute_config,
    needs_photos,
)
from warpgan.data.view_shards import claim_cache
from warpgan.evaluation.load import find_models
from warpgan.pose import PoseDistribution, rebalance_by_yaw
from warpgan.training.lock import RunLock
from warpgan.training.progress import spell_time
from warpgan.training.runs import check_run_name
from warpgan.training.sources import open_training_images
from warpgan.training.stopping import EXIT_INTERRUPTED, StopSignal
from warpgan.training.view_writing import ViewJob, find_work, make_shard
from warpgan.view_maker import UniformPoses, ViewMaker

cli.SCHEMAS["precompute_schema"] = PrecomputeConfig

_SECONDS_BETWEEN_LINES = 15.0


class Interrupted(Exception):
    """A signal arrived; its name is the argument."""


def main() -> None:
    """Run the command line."""
    cli.run_entry("precompute", precompute)


def precompute(config: DictConfig, overrides: list[str]) -> Path:
    """Write, continue or repair a cache of views.

    Args:
        config: The composed config.
        overrides: What was typed.

    Returns:
        The cache's folder.

    Raises:
        SystemExit: With the exit codes of the module's docstring.
    """
    process, processes = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    with cli.plain_errors():
        settings: PrecomputeConfig = OmegaConf.to_object(config)
        check_precompute_config(settings, processes=processes)
        check_run_name(settings.run.name)
        folder = Path(settings.cache_dir).expanduser()
        job = build_job(config, settings)
        command = "python -m warpgan.precompute " + shlex.join(overrides)
        claim_cache(folder, job.settings(), command=command.strip())
        lock = RunLock(folder) if process == 0 else None
        try:
            todo, notes = find_work(job, folder, process=process, processes=processes)
            for note in notes:
                print(f"{note}; it is made anew", flush=True)
            if settings.views.workers > 1 and len(todo) > 1:
                _work_in_processes(config, folder, todo, count=_count_samples(job, todo))
            else:
                progress = _Progress(_count_samples(job, todo), visible=process == 0)
                work(job, folder, todo, after_batch=progress.advance)
        except Interrupted as stop:
            print(
                f"stopped by {stop}; finished shards are kept in {folder}, the same command "
                "continues",
                flush=True,
            )
            sys.exit(EXIT_INTERRUPTED)
        finally:
            if lock is not None:
                lock.release()
    kept = sum(len(plan.names) for plan in job.plans) - len(todo)
    if process == 0:
        size = sum(shard.stat().st_size for shard in folder.glob("*.tar"))
        print(
            f"done: {folder}  {len(job.rows)} photos, {job.pairs} pairs, {size / 1e6:.1f} MB; "
            f"{len(todo)} shards made{'' if processes > 1 else f', {kept} kept'}",
            flush=True,
        )
    return folder


def build_job(config: DictConfig, settings: PrecomputeConfig) -> ViewJob:
    """Open networks, photos and cameras.

    Args:
        config: The composed config.
        settings: The same, checked, as dataclasses.

    Raises:
        FileNotFoundError: Data or a weights file is absent.
        ValueError: Parts do not fit together.
    """
    views, device = settings.views, _choose_device(settings.views.device)
    if device.type == "cpu":
        # More cores are used by more workers: the result must not depend on the number of threads.
        torch.set_num_threads(1)
    found = find_models(views.encoder, settings.generator, key="views.encoder")
    generator = cli.build_node(config, "generator").eval().requires_grad_(False).to(device)
    if generator.img_resolution != settings.scale.image_size:
        raise ValueError(
            f"the generator makes {generator.img_resolution} px, scale.image_size="
            f"{settings.scale.image_size}; choose scale= and generator= that fit"
        )
    photos = open_training_images(settings) if needs_photos(views) else None
    if views.pose_labels is not None:
        poses = PoseDistribution.from_dataset_json(views.pose_labels)
    elif photos is not None:
        poses = PoseDistribution(photos.labels[rebalance_by_yaw(photos.labels)])
    else:
        poses = None
    rows = () if photos is None else _first_photos(photos.names, views.photos)
    return ViewJob(
        maker=ViewMaker(
            generator,
            found.encoder.eval().to(device),
            synthetic_poses=UniformPoses() if views.poses == "uniform" else poses,
            synthetic_psi=views.truncation_psi,
            invert_synthetic=views.synthetic_codes == "encoder",
        ),
        photos=photos,
        rows=rows,
        poses=poses,
        mirror_poses=views.mirror_poses,
        novel_views=views.novel_views,
        pairs=views.synthetic_pairs,
        seed=settings.run.seed,
        shard_size=views.shard_size,
        batch_size=views.batch_size,
    )


def work(
    job: ViewJob, folder: Path, names: list[str], *, after_batch: Callable[[int], Any]
) -> None:
    """Make shards one after the other.

    Raises:
        Interrupted: After SIGTERM or SIGINT; the shard under way is left out.
    """
    with StopSignal() as stop:

        def report(samples: int) -> None:
            after_batch(samples)
            if stop.received:
                raise Interrupted(stop.received)

        for name in names:
            make_shard(job, folder, name, after_batch=report)


def _work_in_processes(config: DictConfig, folder: Path, names: list[str], *, count: int) -> None:
    """Share shards out over ``views.workers`` processes of this machine."""
    context = multiprocessing.get_context("spawn")
    done = context.Value("q", 0)
    workers = min(config.views.workers, len(names))
    plain = OmegaConf.to_container(config, resolve=True)
    processes = [
        context.Process(target=_worker, args=(plain, str(folder), names[i::workers], done))
        for i in range(workers)
    ]
    with StopSignal() as stop:
        for process in processes:
            process.start()
        progress = _Progress(count)
        while any(process.is_alive() for process in processes):
            time.sleep(0.2)
            progress.show(done.value)
            failed = any(process.exitcode not in (None, 0) for process in processes)
            if stop.received or failed:
                break
        for process in processes:
            if stop.received or any(p.exitcode not in (None, 0) for p in processes):
                process.terminate()
        for process in processes:
            process.join()
    if stop.received:
        raise Interrupted(stop.received)
    ended_by_us = {0, EXIT_INTERRUPTED, -signal.SIGTERM}
    codes = {process.exitcode for process in processes} - ended_by_us
    if codes:
        print(f"error: a worker ended with code {min(codes)}; see its message", file=sys.stderr)
        sys.exit(2 if codes == {2} else 1)


def _worker(config: dict[str, Any], folder: str, names: list[str], done: Any) -> None:
    merged = OmegaConf.merge(OmegaConf.structured(PrecomputeConfig), config)

    def count(samples: int) -> None:
        with done.get_lock():
            done.value += samples

    with cli.plain_errors():
        job = build_job(merged, OmegaConf.to_object(merged))
        try:
            work(job, Path(folder), names, after_batch=count)
        except Interrupted:
            sys.exit(EXIT_INTERRUPTED)


class _Progress:
    """A line now and then, with the time left."""

    def __init__(self, total: int, *, visible: bool = True) -> None:
        self._total, self._visible, self._done = total, visible, 0
        self._began = self._shown = time.monotonic()

    def advance(self, samples: int) -> None:
        self.show(self._done + samples)

    def show(self, done: int) -> None:
        changed, self._done = done != self._done, done
        now = time.monotonic()
        wait = 0.0 if done == self._total else _SECONDS_BETWEEN_LINES
        if not (self._visible and changed) or now - self._shown < wait:
            return
        self._shown = now
        elapsed = now - self._began
        left = elapsed / done * (self._total - done)
        print(
            f"{done}/{self._total} samples  {done / elapsed:.2f} a second  "
            f"elapsed {spell_time(elapsed)}  left {spell_time(left)}",
            flush=True,
        )


def _count_samples(job: ViewJob, names: list[str]) -> int:
    plans = {plan.kind: plan for plan in job.plans}
    return sum(len(plans[name.partition("-")[0]].samples(name)) for name in names)


def _first_photos(names: tuple[str, ...], count: int | None) -> tuple[int, ...]:
    """The first so many different photos; label lists may repeat them."""
    first: dict[str, int] = {}
    for row, name in enumerate(names):
        first.setdefault(name, row)
    rows = tuple(first.values())
    if count is not None and count > len(rows):
        raise ValueError(
            f"views.photos={count}, but the data set holds {len(rows)} different photos; use "
            "views.photos=null for all"
        )
    return rows if count is None else rows[:count]


def _choose_device(name: str) -> torch.device:
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise ValueError("views.device=cuda, but torch sees no CUDA device; use auto or cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))


if __name__ == "__main__":
    main()
