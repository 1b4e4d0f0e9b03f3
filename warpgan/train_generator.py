"""Distil ``eg3d_mini`` from the embedded world: ``python -m warpgan.train_generator``.

Renders the training views once (``views.*``), then trains; the same command continues an
interrupted run. The result is ``runs/NAME/eg3d_mini.safetensors``; judge it with
``python -m warpgan.evaluate_generator OUT --generator runs/NAME/eg3d_mini.safetensors``.
"""

from pathlib import Path

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

import eg3d
from warpgan import cli
from warpgan.data import portraits
from warpgan.distillation.config import GeneratorTrainConfig
from warpgan.distillation.loop import distill
from warpgan.distillation.views import ViewRecipe, build_views
from warpgan.training.checkpoint import read_state
from warpgan.training.runs import check_run_name, open_run_folder, record_start
from warpgan.training.stopping import EXIT_INTERRUPTED

FREE_KEYS = ("run.resume", "run.overwrite", "paths", "views.workers", "threads")


def build_mini_generator(config: GeneratorTrainConfig) -> eg3d.TriPlaneGenerator:
    """Random weights, with the limits and the backdrop of the embedded world."""
    kwargs = OmegaConf.to_container(config.architecture, resolve=True)
    kwargs["z_dim"] = portraits.LATENT_DIM
    kwargs["rendering_kwargs"] |= {
        "ray_start": portraits.NEAR,
        "ray_end": portraits.FAR,
        "box_warp": portraits.BOX_WARP,
    }
    kwargs["extensions"] |= {
        "box_centre": list(portraits.BOX_CENTRE),
        "backdrop_radius": portraits.BACKDROP_RADIUS,
        "backdrop_centre": list(portraits.BACKDROP_CENTRE),
    }
    torch.manual_seed(config.run.seed)
    return eg3d.build_generator(kwargs, neural_rendering_resolution=config.rays, plane_axes="fixed")


def main(config: DictConfig, overrides: list[str]) -> None:
    """Run the distillation that ``config`` describes."""
    with cli.plain_errors():
        check_run_name(config.run.name)
        resolved = OmegaConf.to_container(config, resolve=True)
        schedule, batch, weights = (
            instantiate(config[part]) for part in ("schedule", "batch", "weights")
        )
        run = open_run_folder(
            Path(config.paths.runs) / config.run.name,
            resolved,
            resume=config.run.resume,
            overwrite=config.run.overwrite,
            free_keys=FREE_KEYS,
        )
    try:
        for note in run.notes:
            print(note)
        torch.set_num_threads(config.threads)
        recipe = ViewRecipe(
            people=config.views.people,
            views=config.views.views,
            size=config.architecture.img_resolution,
            seed=config.views.seed,
        )
        folder = Path(config.paths.cache) / f"generator_views_{recipe.people}x{recipe.views}"
        with cli.plain_errors():
            views = build_views(recipe, folder, workers=config.views.workers)
        step = read_state(run.resume_from)["step"] if run.resume_from else 0
        record_start(run, resolved, overrides=overrides, step=step)
        file = distill(
            build_mini_generator(config),
            views,
            run,
            recipe=batch,
            weights=weights,
            schedule=schedule,
            seed=config.run.seed,
            bfloat16=config.bfloat16,
            config=resolved,
        )
    finally:
        run.lock.release()
    if file is None:
        print(f"stopped; state saved in {run.checkpoints}. The same command continues.")
        raise SystemExit(EXIT_INTERRUPTED)
    print(f"written: {file}")


if __name__ == "__main__":
    cli.SCHEMAS["train_generator_schema"] = GeneratorTrainConfig
    cli.run_entry("train_generator", main)
