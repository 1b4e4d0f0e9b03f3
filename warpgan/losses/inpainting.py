"""The losses of SVINet and of its discriminator (WarpGAN paper, section 3.4).

All images are in [0, 1]. One `SVINetLosses` serves both kinds of data: re-warped photos, whose
truth is the photo itself while the novel view has none, and synthetic pairs, whose truth is known.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from warpgan.discriminator import Judgement
from warpgan.losses import adversarial, terms
from warpgan.losses.inpainting_terms import (
    InpaintedViews,
    JudgedViews,
    NetTerm,
    adversarial_cost,
    identity_cost,
    latent_cost,
    mae_cost,
)
from warpgan.losses.total import LossSum, LossValues
from warpgan.perception import build_identity, build_perceptual
from warpgan.perception.build import CropName

__all__ = ["TERMS", "InpaintedViews", "SVINetLosses", "build_svinet_losses"]

InputRange = Literal["signed", "unit"]
AdversarialNovel = Literal["none", "full", "holes"]
TERMS = ("mae", "perceptual", "identity", "latent", "adversarial", "feature_matching", "r1")


class SVINetLosses(nn.Module):
    """The generator's weighted sum and the discriminator's loss."""

    def __init__(
        self,
        losses: LossSum[JudgedViews],
        *,
        r1_weight: float,
        adversarial_novel: AdversarialNovel,
    ) -> None:
        """Takes the built sum.

        Args:
            losses: The generator's terms.
            r1_weight: Weight of R1 in the discriminator's loss; 0 leaves it out.
            adversarial_novel: Whether the adversarial term also covers the novel view: not, all of
                it, or its holes alone.
        """
        super().__init__()
        self.losses = losses
        self.r1_weight = r1_weight
        self.adversarial_novel = adversarial_novel

    @property
    def uses_discriminator(self) -> bool:
        """Whether any term of the generator asks the discriminator."""
        return bool({"adversarial", "feature_matching"} & self.losses.terms.keys())

    @property
    def uses_encoder(self) -> bool:
        """Whether any term of the generator asks the encoder."""
        return "latent" in self.losses.terms

    def generator(
        self,
        views: InpaintedViews,
        *,
        discriminator: nn.Module | None = None,
        encoder: nn.Module | None = None,
    ) -> LossValues:
        """Computes the loss of SVINet.

        No gradient is left in the discriminator or the encoder. Hand in the discriminator itself,
        not a DistributedDataParallel wrapper of it: a wrapper would wait for gradients that never
        come.

        Args:
            views: The batch.
            discriminator: A `PatchDiscriminator`, in training mode as released; its running
                statistics follow. Needed if `uses_discriminator`.
            encoder: A frozen `InversionEncoder`; needed if `uses_encoder`.

        Returns:
            Total, and terms by name.

        Raises:
            ValueError: A net or a mask that a term needs is missing.
        """
        for needed, net, name in (
            (self.uses_discriminator, discriminator, "discriminator"),
            (self.uses_encoder, encoder, "encoder"),
        ):
            if needed and net is None:
                raise ValueError(f"these losses need the {name}; pass {name}=...")
        with _frozen(discriminator), _frozen(encoder):
            return self.losses(self._judged(views, discriminator, encoder))

    def discriminator(
        self,
        *,
        real: Tensor,
        fakes: Sequence[Tensor],
        discriminator: nn.Module,
        holes: Sequence[Tensor] | None = None,
    ) -> LossValues:
        """Computes the loss of the discriminator.

        Two forward passes precede one backward pass, so a DistributedDataParallel wrapper needs
        `broadcast_buffers=False`.

        Args:
            real: `[B, 3, H, W]` in [0, 1].
            fakes: Generated images, each `[B, 3, H, W]`; their gradient stops here. They are judged
                as one batch, whose statistics batch norm shares, as released.
            discriminator: A `PatchDiscriminator`.
            holes: The mask of each of `fakes`. A discriminator that sees holes is shown the real
                images once with each, so that the mask itself tells nothing; any other ignores
                them.

        Returns:
            Total, and the terms `discriminator` and `r1`.

        Raises:
            ValueError: No fakes, or not one mask for each.
        """
        if not fakes:
            raise ValueError("the discriminator's loss needs at least one batch of fakes")
        if holes is not None and len(holes) != len(fakes):
            raise ValueError(f"{len(holes)} hole masks for {len(fakes)} batches of fakes")
        shown = real.detach()
        hole = None
        if holes is not None and getattr(discriminator, "sees_hole", False):
            hole = torch.cat([mask.detach() for mask in holes])
            shown = shown.repeat(len(fakes), 1, 1, 1)
        if self.r1_weight:
            shown = shown.clone().requires_grad_()
        on_real = discriminator(shown, hole).logits
        penalty = adversarial.r1(on_real, shown) if self.r1_weight else None
        generated = torch.cat([fake.detach() for fake in fakes])
        on_fake = discriminator(generated, hole).logits
        total = adversarial.discriminator_adversarial(on_real, on_fake)
        logged = {"discriminator": total.detach()}
        if penalty is not None:
            logged["r1"] = penalty.detach()
            total = total + self.r1_weight * penalty
        return LossValues(total, logged)

    def _judged(
        self, views: InpaintedViews, discriminator: nn.Module | None, encoder: nn.Module | None
    ) -> JudgedViews:
        """Asks the discriminator once for all the terms that need it."""
        if not self.uses_discriminator:
            return JudgedViews(views, encoder)
        target = novel = None
        if "feature_matching" in self.losses.terms:
            with torch.no_grad():
                target = discriminator(views.target, views.hole)
        prediction = discriminator(views.prediction, views.hole)
        if self.adversarial_novel != "none" and "adversarial" in self.losses.terms:
            novel = self._judged_novel(views, discriminator)
        return JudgedViews(views, encoder, prediction, target, novel)

    def _judged_novel(self, views: InpaintedViews, discriminator: nn.Module) -> Judgement | None:
        """The judgement of the novel view, if there is one."""
        shown = views.novel_prediction
        if shown is None:
            return None
        if self.adversarial_novel == "holes":
            if views.novel_hole is None:
                raise ValueError("adversarial_novel='holes' needs novel_hole beside the novel view")
            # Seen whole, changed only where the photo shows nothing.
            shown = torch.lerp(shown.detach(), shown, views.novel_hole)
        return discriminator(shown, views.novel_hole)


def build_svinet_losses(
    *,
    weights: Mapping[str, float],
    perceptual: str,
    identity: str,
    identity_crop: CropName,
    input_range: InputRange = "signed",
    adversarial_novel: AdversarialNovel = "none",
    latent_consistency: bool = True,
    mae_weights: Mapping[str, float] | None = None,
    pretrained: bool = True,
    weights_dir: str | Path | None = None,
) -> SVINetLosses:
    """Builds SVINet's losses from config values.

    Args:
        weights: Weight by term, one of `TERMS`; a term left out counts 0, and the net of a term
            that counts 0 is not built.
        perceptual: A name of `warpgan.perception.PERCEPTUAL_NETS`.
        identity: A differentiable name of `warpgan.perception.IDENTITY_NETS`.
        identity_crop: `aligned` or `legacy`.
        input_range: What the encoder and the identity net are fed: `signed` is [-1, 1], what they
            were trained on; `unit` is [0, 1], what the released code feeds them.
        adversarial_novel: `none` (as released), `full` or `holes`: whether the adversarial term
            also covers the novel view of photos.
        latent_consistency: False drops the latent term whatever its weight.
        mae_weights: `known` and `missing`, weights of pixels outside and inside the hole in the
            MAE; None weighs every pixel 1.
        pretrained: False builds the nets with random weights, for dry runs only.
        weights_dir: Folder of user-supplied weights; the configured one if None.

    Returns:
        The losses on the CPU.

    Raises:
        ValueError: An unknown term, net, crop or choice, or a bad weight.
        FileNotFoundError: A net's file is absent.
    """
    _check_choice("input_range", input_range, get_args(InputRange))
    _check_choice("adversarial_novel", adversarial_novel, get_args(AdversarialNovel))
    for name in weights:
        _check_choice("weights", name, TERMS)
    if mae_weights is not None and set(mae_weights) != {"known", "missing"}:
        raise ValueError(
            f"mae_weights needs the keys known and missing, not {sorted(mae_weights)}; or null"
        )
    counting = {name: float(weight) for name, weight in weights.items() if weight != 0}
    r1_weight = counting.pop("r1", 0.0)
    if not 0 <= r1_weight < float("inf"):
        raise ValueError(f"weights.r1 must be finite and not negative, not {r1_weight}")
    if not latent_consistency:
        counting.pop("latent", None)
    fed = _signed if input_range == "signed" else _as_it_is

    def identity_term() -> NetTerm:
        net = build_identity(
            identity, crop=identity_crop, weights_dir=weights_dir, pretrained=pretrained
        )
        if not net.differentiable:
            raise ValueError(
                f"{net.name} passes no gradient and can't be a training loss; use arcface_irse50 "
                "or id_dlib"
            )
        return NetTerm(net, lambda views, net: identity_cost(views, net=net, fed=fed))

    builders: dict[str, Callable[[], Callable[[JudgedViews], Tensor]]] = {
        "mae": lambda: lambda judged: mae_cost(judged.views, weights=mae_weights),
        "perceptual": lambda: NetTerm(
            build_perceptual(perceptual, weights_dir=weights_dir, pretrained=pretrained),
            lambda views, net: terms.perceptual(
                _signed(views.prediction), _signed(views.target), net=net
            ),
        ),
        "identity": identity_term,
        "latent": lambda: lambda judged: latent_cost(judged.views, encoder=judged.encoder, fed=fed),
        "adversarial": lambda: adversarial_cost(by_hole=adversarial_novel == "holes"),
        "feature_matching": lambda: (
            lambda judged: adversarial.feature_matching(
                judged.prediction.features, judged.target.features
            )
        ),
    }
    built = {name: builders[name]() for name in counting}
    return SVINetLosses(
        LossSum(built, counting), r1_weight=r1_weight, adversarial_novel=adversarial_novel
    )


@contextmanager
def _frozen(net: nn.Module | None) -> Iterator[None]:
    """Keeps a net's parameters out of the graphs built meanwhile; gradients pass through it."""
    trained = [] if net is None else [p for p in net.parameters() if p.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)


def _signed(images: Tensor) -> Tensor:
    """From [0, 1] to [-1, 1]."""
    return images * 2 - 1


def _as_it_is(images: Tensor) -> Tensor:
    """The same images."""
    return images


def _check_choice(key: str, value: str, known: Sequence[str]) -> None:
    """Refuses a value that is not one of the known ones."""
    if value not in known:
        raise ValueError(f"svinet_losses.{key}: no {value!r}; there are {', '.join(known)}")
