"""WarpGAN's views of a photo become one generator state: any view is then a plain render.

Pivotal tuning (Roich et al. 2021) from the encoder's latent. Each step compares the photo and one
of WarpGAN's views of it, its teachers, with what the generator renders from their cameras. Unlike
the views themselves, the result is one volume: nothing flickers, and latent directions edit it.
"""

import math
from collections.abc import Callable
from dataclasses import asdict

import torch
from torch import Tensor

from eg3d import TriPlaneGenerator
from warpgan.cameras import look_at, make_label, split_label
from warpgan.denormals import flushed_denormals
from warpgan.lifting.lifted_face import LiftedFace, finished_face, weights_hash
from warpgan.lifting.residual_planes import with_residual
from warpgan.lifting.settings import LiftSettings
from warpgan.losses.encoder import pooled
from warpgan.methods.hfgi3d import TeacherSettings, orbit_cameras
from warpgan.methods.tuning import Teachers, TuningSettings, tune
from warpgan.perception import PerceptualNet, build_perceptual
from warpgan.pipeline import Face

Progress = Callable[[int, int], None]
"""Called with the steps done and their number."""


def lift(
    face: Face,
    settings: LiftSettings | None = None,
    progress: Progress | None = None,
    *,
    perceptual: PerceptualNet | None = None,
) -> LiftedFace:
    """Tune a copy of the generator to a photo and WarpGAN's views of it.

    Args:
        face: of one photo.
        settings: the defaults if None.
        progress: told after every step; for ``parameters=generator`` at both ends only.
        perceptual: the judge, on the generator's device; the one that the settings name if None.

    Raises:
        FileNotFoundError: if the perceptual net's file is absent.
        ValueError: for several photos.
    """
    settings = settings or LiftSettings()
    if len(face.photo) != 1:
        raise ValueError(f"{len(face.photo)} photos: lift them one by one")
    generator = face.model.generator
    if perceptual is None:
        perceptual = build_perceptual(settings.perceptual).to(face.photo.device)
    # The pivot as the file will hold it. Clones, as the pipeline's tensors know no gradients.
    ws = face.ws.clone().to(torch.float16).to(face.ws.dtype)
    tuning = _tune_weights if settings.parameters == "generator" else _tune_planes
    tuned = tuning(
        face,
        ws,
        teachers=teacher_views(face, settings),
        settings=settings,
        perceptual=perceptual,
        progress=progress,
    )
    own = generator.state_dict()
    changed = [
        name
        for name, value in tuned.state_dict().items()
        if name in own and not torch.equal(value, own[name])
    ]
    return finished_face(
        tuned,
        ws,
        face.camera.clone(),
        changed=tuple(sorted(changed)),
        original=weights_hash(generator),
        notes={"settings": asdict(settings)},
    )


def teacher_cameras(camera: Tensor, settings: LiftSettings) -> Tensor:
    """Labels ``[N, 25]`` of the views learnt from, with the lens of ``camera`` ``[1, 25]``."""
    found = []
    if settings.orbit_frames:
        orbit = TeacherSettings(
            count=settings.orbit_frames,
            yaw_range=settings.orbit_yaw,
            pitch_middle=settings.orbit_pitch_middle,
            pitch_range=settings.orbit_pitch,
        )
        found.append(orbit_cameras(camera, orbit))
    if settings.wide_yaws:
        cam2world, _ = split_label(look_at(list(settings.wide_yaws), 0.0).to(camera))
        found.append(make_label(cam2world, split_label(camera)[1]))
    return torch.cat(found)


def teacher_views(face: Face, settings: LiftSettings) -> Teachers:
    """WarpGAN's views of a photo; the warped and filled ones where there is no SVINet."""
    cameras = teacher_cameras(face.camera, settings)
    method = "fill" if face.model.svinet is None else "warpgan"
    views = face.views(cameras[None], method)
    return Teachers(views.image[0].clone(), cameras.clone())


@torch.enable_grad()
def _tune_planes(
    face: Face,
    ws: Tensor,
    *,
    teachers: Teachers,
    settings: LiftSettings,
    perceptual: PerceptualNet,
    progress: Progress | None,
) -> TriPlaneGenerator:
    """A copy with a rest of the planes and a decoder of its own."""
    generator, photo, camera = face.model.generator, face.photo.clone(), face.camera.clone()
    tuned = with_residual(generator)
    residual = tuned.backbone.synthesis.residual.requires_grad_(True)
    # The backdrop colours what no plane reaches.
    decoders = [part for part in (tuned.decoder, tuned.backdrop) if part is not None]
    decoder = [weight for part in decoders for weight in part.requires_grad_(True).parameters()]
    rates = (settings.planes_rate, settings.decoder_rate)
    optimiser = torch.optim.Adam(
        [{"params": [residual], "lr": rates[0]}, {"params": decoder, "lr": rates[1]}],
        betas=(0.9, 0.99),
    )
    with torch.no_grad():
        painted = generator.planes(ws)
    random = torch.Generator().manual_seed(settings.seed)
    with flushed_denormals():
        for step in range(settings.steps):
            falling = (1 + math.cos(math.pi * step / settings.steps)) / 2
            for group, rate in zip(optimiser.param_groups, rates, strict=True):
                group["lr"] = rate * falling
            image, label = teachers.draw(random)
            wanted, cameras = torch.cat([photo, image]), torch.cat([camera, label])
            planes = painted + residual.unflatten(0, (3, -1))
            drawn = tuned.render(planes, ws, cameras[None]).image[0]
            distance = perceptual.distance(
                pooled(drawn, settings.loss_size), pooled(wanted, settings.loss_size)
            )
            loss = settings.mse_weight * (drawn - wanted).square().mean((1, 2, 3))
            loss = (loss + settings.perceptual_weight * distance).sum()
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            if progress is not None:
                progress(step + 1, settings.steps)
    tuned.requires_grad_(False).zero_grad(set_to_none=True)
    return tuned


def _tune_weights(
    face: Face,
    ws: Tensor,
    *,
    teachers: Teachers,
    settings: LiftSettings,
    perceptual: PerceptualNet,
    progress: Progress | None,
) -> TriPlaneGenerator:
    """A copy with all weights tuned but the mapping's."""
    if progress is not None:
        progress(0, settings.steps)
    tuned = tune(
        face.model.generator,
        ws,
        face.photo.clone(),
        camera=face.camera.clone(),
        settings=TuningSettings(
            steps=settings.steps,
            learning_rate=settings.weights_rate,
            mse_weight=settings.mse_weight,
            perceptual=settings.perceptual,
            perceptual_weight=settings.perceptual_weight,
            stop_below=None,
            loss_size=settings.loss_size,
        ),
        perceptual=perceptual,
        seed=settings.seed,
        teachers=teachers,
    )
    if progress is not None:
        progress(settings.steps, settings.steps)
    return tuned.generator
