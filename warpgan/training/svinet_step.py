"""One turn of SVINet's training, as plain functions of (modules, views).

```
real:       photo -> novel camera -> fill -> SVINet -> prediction -> warped back -> fill -> SVINet
            -> compared with the photo                       (paper, section 3.3; losses/rewarp.py)
synthetic:  source -> target camera -> fill -> SVINet -> compared with the generator's true view
```
All images are in [0, 1]. The functions have no branch on data, so that they run on fake and meta
devices.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from warpgan.data.view_pairs import RealViews, SyntheticViews
from warpgan.initial_fill import Branch, both_branches
from warpgan.losses.inpainting import InpaintedViews, SVINetLosses
from warpgan.losses.rewarp import rewarp_branches, rewarped_image
from warpgan.warp import WarpOptions


@dataclass(frozen=True)
class Passes:
    """What SVINet made of a batch.

    Attributes:
        prediction: [B, 3, H, W], compared with `target`; the second pass of a real batch.
        hole: [B, 1, H, W] of the prediction's input.
        novel_prediction: [B, 3, H, W] the first pass of a real batch, or None.
        novel_hole: [B, 1, H, W] of the first pass, or None.
        first: The main branch of the first pass.
    """

    prediction: Tensor
    hole: Tensor
    novel_prediction: Tensor | None
    novel_hole: Tensor | None
    first: Branch


class InpaintingPasses(nn.Module):
    """Warps, fills and inpaints a batch; the one call that several processes synchronise."""

    def __init__(
        self,
        network: nn.Module,
        options: WarpOptions,
        *,
        symmetry: bool,
        rewarped: str,
    ) -> None:
        """Take the network and how its inputs are made.

        Args:
            network: SVINet's inner network: channels [B, 7 or 14, H, W] and ws -> [B, 3, H, W].
            options: Geometry and hole tests.
            symmetry: Whether there is a mirrored branch.
            rewarped: ``prediction`` (paper) or ``fill`` (released): what is warped back.
        """
        super().__init__()
        self.network = network
        self.options = options
        self.symmetry = symmetry
        self.rewarped = rewarped

    def forward(self, views: RealViews | SyntheticViews) -> Passes:
        """Run both passes of a real batch, or the one of a synthetic batch."""
        if isinstance(views, SyntheticViews):
            branches = self._fill(
                views.source, views.ray_length, views.camera,
                target=views.target_camera, render=views.target_render,
                target_ray_length=views.target_ray_length,
            )  # fmt: skip
            prediction = self._inpaint(branches, views.ws)
            return Passes(prediction, branches[0].hole, None, None, branches[0])
        first = self._fill(
            views.photo, views.ray_length, views.camera,
            target=views.novel_camera, render=views.novel_render,
            target_ray_length=views.novel_ray_length,
        )  # fmt: skip
        novel_prediction = self._inpaint(first, views.ws)
        back = rewarped_image(self.rewarped, prediction=novel_prediction, fill=first[0].filled)
        second = rewarp_branches(
            back,
            novel_ray_length=views.novel_ray_length,
            novel_camera=views.novel_camera,
            camera=views.camera,
            render=views.render,
            ray_length=views.ray_length,
            options=self.options,
            symmetry=self.symmetry,
        )
        prediction = self._inpaint(second, views.ws)
        return Passes(prediction, second[0].hole, novel_prediction, first[0].hole, first[0])

    def _fill(self, image: Tensor, ray_length: Tensor, source: Tensor, **target: Tensor):
        return both_branches(
            image, ray_length, source, options=self.options, empty=0.0, symmetry=self.symmetry,
            **target,
        )  # fmt: skip

    def _inpaint(self, branches: tuple[Branch, Branch | None], ws: Tensor) -> Tensor:
        channels = torch.cat([b.channels() for b in branches if b is not None], dim=1)
        return self.network(channels, ws).float()


class DiscriminatorObjective(nn.Module):
    """The discriminator's loss as one call that several processes synchronise."""

    def __init__(self, discriminator: nn.Module, losses: SVINetLosses) -> None:
        """Take the discriminator, which is trained, and the losses, which are not owned."""
        super().__init__()
        self.discriminator = discriminator
        self._losses = (losses,)  # in a tuple, so that it is not registered as a part

    def forward(
        self, real: Tensor, fakes: list[Tensor], holes: list[Tensor]
    ) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Total with gradient, and the detached terms.

        Args:
            real: [B, 3, H, W] in [0, 1].
            fakes: Detached predictions of the same shape.
            holes: [B, 1, H, W], the hole mask of each fake.
        """
        values = self._losses[0].discriminator(
            real=real, fakes=fakes, discriminator=self.discriminator, holes=holes
        )
        return values.total, dict(values.terms)


@dataclass(frozen=True)
class SVINetModules:
    """What the turns work with.

    Attributes:
        passes: `InpaintingPasses`, possibly wrapped for several processes.
        objective: `DiscriminatorObjective`, possibly wrapped.
        discriminator: The discriminator itself, unwrapped.
        losses: Named terms and their weighted sums.
        encoder: The frozen inversion encoder, for the latent-consistency term.
    """

    passes: nn.Module
    objective: nn.Module
    discriminator: nn.Module
    losses: SVINetLosses
    encoder: nn.Module


@dataclass(frozen=True)
class TurnResult:
    """What SVINet's half of a turn gives.

    Attributes:
        total: Weighted sum of the terms, a scalar with gradient.
        terms: Name -> unweighted scalar.
        real: [B, 3, H, W] what the discriminator is shown as real.
        fakes: Detached predictions for the discriminator, made before SVINet's update.
        holes: The hole mask of each.
        passes: The predictions with their inputs.
    """

    total: Tensor
    terms: dict[str, Tensor]
    real: Tensor
    fakes: list[Tensor]
    holes: list[Tensor]
    passes: Passes


def svinet_turn(modules: SVINetModules, views: RealViews | SyntheticViews) -> TurnResult:
    """SVINet's half of a turn: passes and losses.

    The discriminator must not require gradients meanwhile; the caller sees to it.

    Args:
        modules: Networks and losses.
        views: A real or a synthetic batch on the networks' device.

    Returns:
        The loss, and what the discriminator's half needs.
    """
    passes = modules.passes(views)
    real = isinstance(views, RealViews)
    values = modules.losses.generator(
        InpaintedViews(
            prediction=passes.prediction,
            target=views.photo if real else views.target,
            camera=views.camera if real else views.target_camera,
            ws=views.ws,
            novel_prediction=passes.novel_prediction,
            novel_hole=passes.novel_hole,
            hole=passes.hole,
        ),
        discriminator=modules.discriminator,
        encoder=modules.encoder,
    )
    shown = [(passes.novel_prediction, passes.novel_hole), (passes.prediction, passes.hole)]
    shown = [(image.detach(), hole.detach()) for image, hole in shown if image is not None]
    return TurnResult(
        total=values.total,
        terms=dict(values.terms),
        # Released: beside a synthetic prediction, the source view is what is shown as real.
        real=views.photo if real else views.source,
        fakes=[image for image, _ in shown],
        holes=[hole for _, hole in shown],
        passes=passes,
    )
