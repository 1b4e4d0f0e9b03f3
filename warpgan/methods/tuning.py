"""Pivotal tuning: the generator's weights bent until a fixed latent gives the photo.

Roich et al. 2021, here on EG3D: Adam on all weights but the mapping's, which a fixed latent does
not reach, with MSE + perceptual distance at the photo's camera. Geometry is free, so a view from
elsewhere may fall apart. `Teachers` add views that it is held to (HFGI3D).
"""

import math
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor
from tqdm import trange

from eg3d import TriPlaneGenerator
from warpgan.cameras import frontal_label
from warpgan.denormals import flushed_denormals
from warpgan.losses.encoder import pooled
from warpgan.methods.noise_maps import NoiseMaps, noise_maps, normal_numbers
from warpgan.perception import PerceptualNet


@dataclass(frozen=True)
class Locality:
    """Keeps faces near the pivot as they were; published, and off by default.

    Attributes:
        distance: how far from the pivot, towards a random latent, the face lies that is kept.
        mse_weight: of the squared difference from the original generator's picture of it.
        perceptual_weight: of the perceptual one.
    """

    distance: float = 30.0
    mse_weight: float = 0.1
    perceptual_weight: float = 0.1


@dataclass(frozen=True)
class TuningSettings:
    """How the weights are tuned; the defaults are PTI's.

    Attributes:
        steps: of Adam, at most.
        learning_rate: constant.
        mse_weight: of the mean squared error.
        perceptual: name of the perceptual net.
        perceptual_weight: of its distance.
        stop_below: the photo's perceptual distance at which tuning stops, before the step; None
            for never. Published for LPIPS with AlexNet: it means nothing for another net.
        loss_size: side in pixels to which larger pictures are averaged for the perceptual net.
        locality: None for none.
    """

    steps: int = 350
    learning_rate: float = 3e-4
    mse_weight: float = 1.0
    perceptual: str = "lpips_alex"
    perceptual_weight: float = 1.0
    stop_below: float | None = 0.06
    loss_size: int = 512
    locality: Locality | None = None

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ValueError: a number out of range.
        """
        for name in ("steps", "loss_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"tuning.{name}={getattr(self, name)} must be at least 1")
        for name in ("learning_rate", "mse_weight", "perceptual_weight"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"tuning.{name}={getattr(self, name)} must be 0 or more")


@dataclass(frozen=True)
class Teachers:
    """Further views to be held to, one drawn at every step.

    Attributes:
        image: ``[N, 3, S, S]`` in [-1, 1].
        camera: labels ``[N, 25]``.
    """

    image: Tensor
    camera: Tensor

    def draw(self, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """One view ``[1, 3, S, S]`` and its camera ``[1, 25]``, chosen on the CPU."""
        chosen = int(torch.randint(len(self.image), (), generator=random))
        return self.image[chosen : chosen + 1], self.camera[chosen : chosen + 1]


@dataclass(frozen=True)
class Tuned:
    """What `tune` made.

    Attributes:
        generator: a tuned copy, frozen.
        steps: updates that were made.
        distances: ``[steps or steps + 1]`` float32 on the CPU, the photo's perceptual distance
            before each update; the last of them made the tuning stop, where it did.
    """

    generator: TriPlaneGenerator
    steps: int
    distances: Tensor


@torch.enable_grad()
def tune(
    generator: TriPlaneGenerator,
    ws: Tensor,
    photo: Tensor,
    *,
    camera: Tensor,
    settings: TuningSettings,
    perceptual: PerceptualNet,
    seed: int,
    noise: NoiseMaps | None = None,
    teachers: Teachers | None = None,
    progress: bool = True,
) -> Tuned:
    """Tune a copy of the generator to a photo.

    Args:
        generator: in eval mode; it is not changed.
        ws: ``[1, num_ws, w_dim]``, the pivot.
        photo: ``[1, 3, S, S]`` in [-1, 1].
        camera: its label ``[1, 25]``.
        settings: of the optimisation.
        perceptual: the judge, on the generator's device.
        seed: of the teachers' order and of locality's latents, drawn on the CPU.
        noise: maps that the copy gets, see `noise_maps`; its own if None.
        teachers: further views; None for the photo alone.
        progress: show a bar with the time left.

    Returns:
        The copy and how it went.
    """
    tuned = deepcopy(generator)
    with torch.no_grad():
        for name, own in noise_maps(tuned).items():
            own.copy_(own if noise is None else noise[name])
    tuned.requires_grad_(True).backbone.mapping.requires_grad_(False)
    weights = [parameter for parameter in tuned.parameters() if parameter.requires_grad]
    optimiser = torch.optim.Adam(weights, lr=settings.learning_rate)
    random = torch.Generator().manual_seed(seed)
    distances = []
    title = "tune" if teachers is None else "tune, teachers"
    bar = trange(settings.steps, desc=title, leave=False, disable=None if progress else True)
    steps = 0
    with flushed_denormals():
        for _ in bar:
            wanted, cameras = photo, camera
            if teachers is not None:
                image, label = teachers.draw(random)
                wanted, cameras = torch.cat([photo, image]), torch.cat([camera, label])
            image = tuned.render(tuned.planes(ws), ws, cameras[None]).image[0]
            squared = (image - wanted).square().mean((1, 2, 3))
            distance = perceptual.distance(
                pooled(image, settings.loss_size), pooled(wanted, settings.loss_size)
            )
            distances.append(distance[0].detach())
            if settings.stop_below is not None and bool(distance[0] <= settings.stop_below):
                break
            loss = settings.mse_weight * squared + settings.perceptual_weight * distance
            loss = loss.sum()
            if settings.locality is not None:
                loss = loss + _locality_loss(
                    tuned,
                    generator,
                    ws,
                    camera=camera,
                    settings=settings,
                    perceptual=perceptual,
                    random=random,
                )
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            steps += 1
    bar.close()
    tuned.requires_grad_(False).zero_grad(set_to_none=True)
    return Tuned(tuned, steps, torch.stack(distances).float().cpu())


def _locality_loss(
    tuned: TriPlaneGenerator,
    original: TriPlaneGenerator,
    ws: Tensor,
    *,
    camera: Tensor,
    settings: TuningSettings,
    perceptual: PerceptualNet,
    random: torch.Generator,
) -> Tensor:
    """How far the tuned picture of a latent near the pivot is from the original one, a scalar."""
    locality = settings.locality
    with torch.no_grad():
        z = normal_numbers((1, original.z_dim), random, like=ws)
        towards = original.mapping(z, frontal_label().to(ws)) - ws
        near = ws + locality.distance * towards / towards.norm()
        before = original.render(original.planes(near), near, camera).image
    after = tuned.render(tuned.planes(near), near, camera).image
    squared = (after - before).square().mean()
    distance = perceptual.distance(
        pooled(after, settings.loss_size), pooled(before, settings.loss_size)
    )
    return locality.mse_weight * squared + locality.perceptual_weight * distance.sum()
