"""What SVINet's losses read, and the terms of it: each a function that returns one number."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from warpgan.discriminator import Judgement
from warpgan.losses import adversarial, terms


@dataclass(frozen=True)
class InpaintedViews:
    """One batch of inpainted views.

    Attributes:
        prediction: `[B, 3, H, W]` in [0, 1].
        target: The same shape, its truth.
        camera: Labels `[B, 25]` of both.
        ws: `[B, L, C]`, the codes the photo was inverted to.
        novel_prediction: `[B, 3, H, W]` in [0, 1], a view without truth: real photos at the novel
            camera. Only the latent and, where configured, the adversarial term read it.
        novel_hole: `[B, 1, H, W]` in [0, 1], 1 where the novel view was inpainted.
        hole: `[B, 1, H, W]`, the same of `prediction`.
    """

    prediction: Tensor
    target: Tensor
    camera: Tensor
    ws: Tensor
    novel_prediction: Tensor | None = None
    novel_hole: Tensor | None = None
    hole: Tensor | None = None


@dataclass(frozen=True)
class JudgedViews:
    """The views with what the terms share: the encoder and the discriminator's judgements."""

    views: InpaintedViews
    encoder: Callable[[Tensor], Tensor]
    prediction: Judgement | None = None
    target: Judgement | None = None
    novel: Judgement | None = None


class NetTerm(nn.Module):
    """A term that owns a frozen net."""

    def __init__(self, net: nn.Module, cost: Callable[[InpaintedViews, nn.Module], Tensor]) -> None:
        """Pairs the net with the function that asks it."""
        super().__init__()
        self.net = net
        self.cost = cost

    def forward(self, judged: JudgedViews) -> Tensor:
        """The cost, a scalar."""
        return self.cost(judged.views, self.net)


def mae_cost(views: InpaintedViews, *, weights: Mapping[str, float] | None) -> Tensor:
    """Mean absolute error, of all pixels alike or weighted by the hole.

    Args:
        views: The batch.
        weights: `known` and `missing`, or None.

    Returns:
        A scalar.

    Raises:
        ValueError: Weights without a hole mask.
    """
    if weights is None:
        return terms.mae(views.prediction, views.target)
    if views.hole is None:
        raise ValueError("mae_weights needs the hole mask of the prediction; pass views.hole")
    return terms.masked_l1(views.prediction, views.target, views.hole, **weights)


def identity_cost(
    views: InpaintedViews, *, net: nn.Module, fed: Callable[[Tensor], Tensor]
) -> Tensor:
    """One minus the cosine of the faces' embeddings, a scalar."""
    return terms.identity(fed(views.prediction), fed(views.target), net=net, camera=views.camera)


def latent_cost(
    views: InpaintedViews,
    *,
    encoder: Callable[[Tensor], Tensor],
    fed: Callable[[Tensor], Tensor],
) -> Tensor:
    """Mean squared difference of a view's inverted codes from the photo's (paper, section 3.4).

    The novel view, where there is one, adds a term of its own.

    Args:
        views: The batch.
        encoder: Images at any size to codes `[B, L, C]`.
        fed: Images in [0, 1] to what the encoder is fed.

    Returns:
        A scalar.
    """
    ws = views.ws.detach()
    cost = terms.mse(encoder(fed(views.prediction)), ws)
    if views.novel_prediction is not None:
        cost = cost + terms.mse(encoder(fed(views.novel_prediction)), ws)
    return cost


def adversarial_cost(*, by_hole: bool) -> Callable[[JudgedViews], Tensor]:
    """The generator's adversarial term; a judged novel view adds one of its own.

    Args:
        by_hole: Weigh the novel view's patches by their share of the hole.

    Returns:
        The term.
    """

    def cost(judged: JudgedViews) -> Tensor:
        total = adversarial.generator_adversarial(judged.prediction.logits)
        if judged.novel is not None:
            weight = judged.novel.hole_share if by_hole else None
            total = total + adversarial.generator_adversarial(judged.novel.logits, weight=weight)
        return total

    return cost
