"""Methods that optimise for each photo: a latent (SG2), then the weights (PTI, HFGI3D).

Photos of a batch are worked on one after the other. What is drawn at random depends on the seed and
on the photo's pixels, never on its place.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from eg3d import TriPlaneGenerator
from warpgan.methods.base import Inversion, Method, Stopwatch, Views
from warpgan.methods.hfgi3d import TeacherSettings, teacher_views
from warpgan.methods.latent import LatentInversion
from warpgan.methods.noise_maps import paint
from warpgan.methods.projector import (
    LatentStatistics,
    Projection,
    ProjectorSettings,
    latent_statistics,
    project,
)
from warpgan.methods.true_latent import photo_key
from warpgan.methods.tuning import Teachers, Tuned, TuningSettings, tune
from warpgan.perception import PerceptualNet
from warpgan.warp import WarpOptions


@dataclass(frozen=True)
class Fitted:
    """One photo's result.

    Attributes:
        generator: that renders it, with its own weights or with the photo's.
        ws: ``[1, num_ws, w_dim]``.
        planes: ``[1, 3, C, H, W]``, painted.
        steps: optimisation steps that were made, of all stages.
    """

    generator: TriPlaneGenerator
    ws: Tensor
    planes: Tensor
    steps: int


class FittedInversion(Inversion):
    """A batch of photos, each with its own generator."""

    def __init__(self, fits: Sequence[Fitted], *, seconds: float) -> None:
        """Keep the results.

        Args:
            fits: one a photo.
            seconds: what they took together.
        """
        self.parts = [
            LatentInversion(fit.generator, fit.ws, seconds=0.0, planes=fit.planes) for fit in fits
        ]
        self.steps = [fit.steps for fit in fits]
        self.seconds = seconds

    def render(self, cameras: Tensor) -> Views:
        """Render from cameras ``[B, V, 25]``."""
        views = [part.render(cameras[i : i + 1]) for i, part in enumerate(self.parts)]
        return Views(
            image=torch.cat([view.image for view in views]),
            depth_z=torch.cat([view.depth_z for view in views]),
            seconds=sum(view.seconds for view in views),
        )


class SG2(Method):
    """StyleGAN2's projector: the generator's render of an optimised latent."""

    one_at_a_time = True

    def __init__(
        self,
        generator: TriPlaneGenerator,
        *,
        projector: ProjectorSettings,
        projector_net: PerceptualNet,
        name: str,
        seed: int = 0,
        files: Sequence[Path] = (),
        note: str = "",
        progress: bool = True,
    ) -> None:
        """Take what all photos share.

        Args:
            generator: frozen, in eval mode; it is never changed.
            projector: how the latent is found.
            projector_net: judge of the projector, on the generator's device.
            name: how tables call the method.
            seed: of everything drawn at random.
            files: what generator and nets were read from.
            note: what a table must declare.
            progress: show bars with the time left.
        """
        self.generator = generator
        self.projector = projector
        self.projector_net = projector_net
        self.name = name
        self.seed = seed
        self.files = tuple(files)
        self.note = note
        self.progress = progress
        self.image_size = generator.img_resolution
        self.device = generator.mean_latent().device
        self._statistics: LatentStatistics | None = None

    def invert(self, photo: Tensor, camera: Tensor) -> FittedInversion:
        """Invert photos ``[B, 3, S, S]`` with labels ``[B, 25]``, one after the other."""
        with Stopwatch().running(photo.device) as watch:
            fits = [
                self.fit(one, label, photo_seed(self.seed, one[0]))
                for one, label in zip(photo.split(1), camera.split(1), strict=True)
            ]
        return FittedInversion(fits, seconds=watch.seconds)

    def fit(self, photo: Tensor, camera: Tensor, seed: int) -> Fitted:
        """Invert one photo ``[1, 3, S, S]`` with its label ``[1, 25]``."""
        found = self.project(photo, camera, seed)
        with torch.no_grad():
            planes = paint(self.generator, found.ws, found.noise)
        return Fitted(self.generator, found.ws, planes, self.projector.steps)

    def project(self, photo: Tensor, camera: Tensor, seed: int) -> Projection:
        """Find the latent of one photo."""
        if self.projector.conditioning == "frontal" and self._statistics is None:
            self._statistics = latent_statistics(self.generator, camera, self.projector)
        return project(
            self.generator,
            photo,
            camera,
            settings=self.projector,
            perceptual=self.projector_net,
            seed=seed,
            statistics=self._statistics,
            progress=self.progress,
        )


class PTI(SG2):
    """Pivotal tuning of the generator about the projector's latent."""

    def __init__(
        self,
        generator: TriPlaneGenerator,
        *,
        tuning: TuningSettings,
        tuning_net: PerceptualNet,
        **common: Any,
    ) -> None:
        """Take what all photos share; further arguments as for `SG2`.

        Args:
            generator: frozen, in eval mode; it is never changed.
            tuning: how a copy of it is tuned.
            tuning_net: judge of the tuning, on the generator's device.
            **common: those of `SG2`.
        """
        super().__init__(generator, **common)
        self.tuning = tuning
        self.tuning_net = tuning_net

    def fit(self, photo: Tensor, camera: Tensor, seed: int) -> Fitted:
        """Invert one photo ``[1, 3, S, S]`` with its label ``[1, 25]``."""
        pivot = self.project(photo, camera, seed)
        tuned = self.tune(pivot, photo, camera, seed)
        with torch.no_grad():
            planes = tuned.generator.planes(pivot.ws)
        return Fitted(tuned.generator, pivot.ws, planes, self.projector.steps + tuned.steps)

    def tune(self, pivot: Projection, photo: Tensor, camera: Tensor, seed: int) -> Tuned:
        """Tune a copy of the generator to one photo."""
        return self.tune_to(pivot, photo, camera, seed=seed, settings=self.tuning)

    def tune_to(
        self,
        pivot: Projection,
        photo: Tensor,
        camera: Tensor,
        *,
        seed: int,
        settings: TuningSettings,
        teachers: Teachers | None = None,
    ) -> Tuned:
        """Tune a copy of the original generator to one photo and, if given, further views."""
        return tune(
            self.generator,
            pivot.ws,
            photo,
            camera=camera,
            settings=settings,
            perceptual=self.tuning_net,
            seed=seed,
            noise=pivot.noise,
            teachers=teachers,
            progress=self.progress,
        )


class HFGI3D(PTI):
    """PTI, whose generator then makes the pseudo views for a second tuning from the start."""

    def __init__(
        self,
        generator: TriPlaneGenerator,
        *,
        multi_view_tuning: TuningSettings,
        teachers: TeacherSettings,
        geometry: WarpOptions,
        **common: Any,
    ) -> None:
        """Take what all photos share; further arguments as for `PTI`.

        Args:
            generator: frozen, in eval mode; it is never changed.
            multi_view_tuning: how the original generator is tuned to photo and pseudo views.
            teachers: how these are made.
            geometry: of their warp.
            **common: those of `PTI`.
        """
        super().__init__(generator, **common)
        self.multi_view_tuning = multi_view_tuning
        self.teachers = teachers
        self.geometry = geometry

    def tune(self, pivot: Projection, photo: Tensor, camera: Tensor, seed: int) -> Tuned:
        """Tune to the photo, make pseudo views, tune the original generator to both."""
        first = super().tune(pivot, photo, camera, seed)
        views = teacher_views(
            first.generator,
            pivot.ws,
            photo,
            camera=camera,
            options=self.geometry,
            settings=self.teachers,
        )
        second = self.tune_to(
            pivot, photo, camera, seed=seed, settings=self.multi_view_tuning, teachers=views
        )
        return Tuned(second.generator, first.steps + second.steps, second.distances)


def photo_seed(seed: int, photo: Tensor) -> int:
    """Seed of one photo ``[3, S, S]``, from the run's seed and the photo's 8-bit pixels."""
    digest = hashlib.sha256(f"{seed} {photo_key(photo)}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
