"""Methods that optimise for each photo; ``configs/method`` names these."""

from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from warpgan import weights
from warpgan.methods.build import Models
from warpgan.methods.hfgi3d import TeacherSettings
from warpgan.methods.optimised import HFGI3D, PTI, SG2
from warpgan.methods.projector import ProjectorSettings
from warpgan.methods.tuning import TuningSettings
from warpgan.perception import PerceptualNet, build_perceptual
from warpgan.warp import WarpOptions

Settings = TypeVar("Settings", ProjectorSettings, TuningSettings)


def sg2(
    models: Models,
    *,
    projector: ProjectorSettings,
    step_scale: float = 1.0,
    seed: int = 0,
    weights_dir: str | None = None,
    name: str = "sg2",
) -> SG2:
    """StyleGAN2's projector.

    Args:
        models: of the evaluation.
        projector: its settings, with the published number of steps.
        step_scale: share of the published steps that is made.
        seed: of everything drawn at random.
        weights_dir: folder of user-supplied weights; the configured one if None.
        name: how tables call the method.

    Raises:
        FileNotFoundError: if the perceptual net's file is absent.
        ValueError: if a value is out of range.
    """
    parts = _parts(models, projector, scale=step_scale, weights_dir=weights_dir)
    return SG2(models.generator, **parts, name=name, seed=seed)


def pti(
    models: Models,
    *,
    projector: ProjectorSettings,
    tuning: TuningSettings,
    step_scale: float = 1.0,
    seed: int = 0,
    weights_dir: str | None = None,
    name: str = "pti",
) -> PTI:
    """Projector and pivotal tuning; further arguments and errors as for `sg2`.

    Args:
        models: of the evaluation.
        projector: settings of the first stage, with the published number of steps.
        tuning: of the second, likewise.
        step_scale: as for `sg2`.
        seed: as for `sg2`.
        weights_dir: as for `sg2`.
        name: how tables call the method.
    """
    parts = _parts(models, projector, tuning, scale=step_scale, weights_dir=weights_dir)
    return PTI(models.generator, **parts, name=name, seed=seed)


def hfgi3d(
    models: Models,
    *,
    projector: ProjectorSettings,
    tuning: TuningSettings,
    multi_view_tuning: TuningSettings,
    teachers: TeacherSettings,
    geometry: WarpOptions,
    step_scale: float = 1.0,
    seed: int = 0,
    weights_dir: str | None = None,
    name: str = "hfgi3d",
) -> HFGI3D:
    """Projector, pivotal tuning, and tuning on photo and pseudo views.

    Args:
        models: of the evaluation.
        projector: settings of the first stage, with the published number of steps.
        tuning: of the second, likewise.
        multi_view_tuning: of the third, likewise; it has the second's perceptual net.
        teachers: how the pseudo views are made.
        geometry: of their warp.
        step_scale: as for `sg2`.
        seed: as for `sg2`.
        weights_dir: as for `sg2`.
        name: how tables call the method.

    Raises:
        FileNotFoundError: if a perceptual net's file is absent.
        ValueError: if a value is out of range, or the tunings name different perceptual nets.
    """
    if multi_view_tuning.perceptual != tuning.perceptual:
        raise ValueError(
            f"method.{name}: multi_view_tuning.perceptual={multi_view_tuning.perceptual} and "
            f"tuning.perceptual={tuning.perceptual}; give both the same net"
        )
    parts = _parts(models, projector, tuning, scale=step_scale, weights_dir=weights_dir)
    parts["note"] += "; pseudo views by our splat and visibility tests, not a mesh"
    return HFGI3D(
        models.generator,
        **parts,
        multi_view_tuning=_scaled(multi_view_tuning, step_scale),
        teachers=teachers,
        geometry=geometry,
        name=name,
        seed=seed,
    )


def _parts(
    models: Models,
    projector: ProjectorSettings,
    tuning: TuningSettings | None = None,
    *,
    scale: float,
    weights_dir: str | None,
) -> dict[str, Any]:
    """Constructor arguments: scaled settings of each stage with its net, files, and the note."""
    stages = {"projector": projector} | ({} if tuning is None else {"tuning": tuning})
    found: dict[str, Any] = {"note": _note(scale, projector, tuning)}
    files = list(models.generator_files)
    for stage, settings in stages.items():
        net, path = _perceptual(models, settings.perceptual, weights_dir)
        found |= {stage: _scaled(settings, scale), f"{stage}_net": net}
        files.append(path)
    return {**found, "files": tuple(dict.fromkeys(files))}


def _perceptual(models: Models, name: str, weights_dir: str | None) -> tuple[PerceptualNet, Path]:
    net = build_perceptual(name, weights_dir=weights_dir)
    path = weights.resolve(name, root=weights_dir)
    return net.to(models.generator.mean_latent().device), path


def _scaled(settings: Settings, step_scale: float) -> Settings:
    """Settings with a share of the steps, at least one."""
    if not step_scale > 0:
        raise ValueError(f"step_scale={step_scale} must be above 0; 1 makes the published steps")
    return replace(settings, steps=max(1, round(settings.steps * step_scale)))


def _note(
    step_scale: float, projector: ProjectorSettings, tuning: TuningSettings | None = None
) -> str:
    """What a table must declare."""
    nets = [projector.perceptual, *([] if tuning is None else [tuning.perceptual])]
    words = [f"perceptual {' and '.join(dict.fromkeys(nets))}"]
    if step_scale != 1:
        words.insert(0, f"{step_scale:g}x the published steps")
    if projector.pixel_weight:
        words.append(f"pixel weight {projector.pixel_weight:g} in the projector")
    if tuning is not None and tuning.perceptual_weight != 1:
        words.append(f"perceptual weight {tuning.perceptual_weight:g} in the tuning")
    if tuning is not None and tuning.stop_below is None:
        words.append("no early stop")
    return "; ".join(words)
