import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.parity_checks import inpainting_losses as parity
from warpgan import cameras
from warpgan.discriminator import build_discriminator
from warpgan.losses import InpaintedViews, adversarial, build_svinet_losses, terms

GOLDEN = Path(__file__).parents[1] / "golden"
NETS = {"perceptual": "perc_efficientnet", "identity": "id_dlib", "identity_crop": "aligned"}
ALL = {
    "mae": 10.0,
    "perceptual": 0.7,
    "identity": 0.1,
    "latent": 0.1,
    "adversarial": 10.0,
    "feature_matching": 100.0,
    "r1": 0.001,
}


class SmallEncoder(nn.Module):
    """Pictures to codes; keeps what it was fed."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(12, 12)
        self.fed = []

    def forward(self, images):
        self.fed.append(images.detach())
        return self.linear(F.adaptive_avg_pool2d(images, 2).flatten(1)).view(-1, 3, 4)


def losses(weights=None, **changes):
    return build_svinet_losses(weights=ALL if weights is None else weights, **NETS | changes)


def batch(size: int = 64, *, seed: int = 0) -> InpaintedViews:
    generator = torch.Generator().manual_seed(seed)
    pictures = torch.rand(3, 2, 3, size, size, generator=generator)
    hole = torch.zeros(2, 1, size, size)
    hole[:, :, 8:24, 30:50] = 1
    return InpaintedViews(
        prediction=pictures[0].requires_grad_(),
        target=pictures[1],
        camera=cameras.look_at([0.0, 20.0], [5.0, 0.0]),
        ws=torch.randn(2, 3, 4, generator=generator),
        novel_prediction=pictures[2].requires_grad_(),
        novel_hole=hole,
        hole=hole.flip(-1),
    )


def small_discriminator(**settings):
    torch.manual_seed(3)
    return build_discriminator(width=4, **settings)


@pytest.mark.parametrize(
    ("file", "count"),
    [(parity.LOSSES, 117), (parity.RESNET_IO, 14), (parity.RESNET_LIST, 3)],
)
def test_golden(file, count):
    results = parity.FILES[file](GOLDEN)
    assert len(results) == count
    assert not [result for result in results if not result.ok]


def test_total_is_the_weighted_sum_and_all_gradients_arrive():
    views = batch()
    values = losses(adversarial_novel="full").generator(
        views, discriminator=small_discriminator(), encoder=SmallEncoder()
    )
    assert set(values.terms) == set(ALL) - {"r1"}
    assert all(term.dim() == 0 and not term.requires_grad for term in values.terms.values())
    expected = sum(ALL[name] * float(term) for name, term in values.terms.items())
    assert float(values.total.detach()) == pytest.approx(expected, rel=1e-5)
    values.total.backward()
    for tensor in (views.prediction, views.novel_prediction):
        assert tensor.grad.isfinite().all() and tensor.grad.abs().sum() > 0


def test_the_generator_s_loss_leaves_no_gradient_in_judges():
    discriminator, encoder = small_discriminator(), SmallEncoder()
    views = replace(batch(), target=batch(seed=1).prediction, ws=torch.randn(2, 3, 4))
    views.ws.requires_grad_()
    built = losses(adversarial_novel="full")
    built.generator(views, discriminator=discriminator, encoder=encoder).total.backward()
    for net in (discriminator, encoder):
        assert all(p.grad is None and p.requires_grad for p in net.parameters())
    assert views.ws.grad is None
    judged_only = losses({"adversarial": 1, "feature_matching": 1, "identity": 1, "latent": 1})
    views.target.grad = None
    judged_only.generator(views, discriminator=discriminator, encoder=encoder).total.backward()
    assert views.target.grad is None


def test_a_frozen_net_stays_frozen_and_a_failure_thaws_the_others():
    discriminator, encoder = small_discriminator(), SmallEncoder().requires_grad_(False)
    with pytest.raises(ValueError, match="judges"):
        losses().generator(
            replace(batch(), target=torch.zeros(2, 4, 64, 64)),
            discriminator=discriminator,
            encoder=encoder,
        )
    assert all(p.requires_grad for p in discriminator.parameters())
    assert not any(p.requires_grad for p in encoder.parameters())


def test_the_discriminator_s_loss_stops_at_the_fakes():
    views, discriminator = batch(), small_discriminator()
    values = losses().discriminator(
        real=views.target,
        fakes=[views.prediction, views.novel_prediction],
        discriminator=discriminator,
    )
    values.total.backward()
    assert views.prediction.grad is None and views.novel_prediction.grad is None
    assert not views.target.requires_grad
    assert all(p.grad is not None for p in discriminator.parameters())
    assert set(values.terms) == {"discriminator", "r1"}
    expected = values.terms["discriminator"] + ALL["r1"] * values.terms["r1"]
    torch.testing.assert_close(values.total.detach(), expected)


def test_the_discriminator_s_loss_by_hand():
    views, discriminator = batch(), small_discriminator().eval()
    fakes = [views.prediction.detach(), views.novel_prediction.detach()]
    values = losses({"mae": 1}).discriminator(
        real=views.target, fakes=fakes, discriminator=discriminator
    )
    on_real = discriminator(views.target).logits
    on_fakes = torch.stack([discriminator(fake).logits for fake in fakes])
    expected = (1 + (-on_real).exp()).log().mean() + (1 + on_fakes.exp()).log().mean()
    torch.testing.assert_close(values.total, expected)
    assert set(values.terms) == {"discriminator"}, "R1 of weight 0 is absent"


def test_r1_equals_finite_differences_in_float64():
    discriminator = small_discriminator(layers=1).double().eval()
    real = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(1)).double()
    leaf = real.clone().requires_grad_()

    def logits(images):  # the discriminator's own are float32
        x = images
        for index in range(3):
            x = getattr(discriminator, f"model{index}")(x)
        return x

    value = adversarial.r1(logits(leaf), leaf)
    slopes = torch.zeros_like(real)
    for index in range(real[0].numel()):
        step = torch.zeros_like(real[0]).flatten()
        step[index] = 1e-6
        step = step.view_as(real[0])
        difference = logits(real + step) - logits(real - step)
        slopes.flatten(1)[:, index] = difference.flatten(1).sum(1) / 2e-6
    expected = slopes.square().flatten(1).sum(1).mean()
    torch.testing.assert_close(value, expected, rtol=1e-5, atol=0)
    weight = discriminator.model0[0].weight
    (gradient,) = torch.autograd.grad(value, weight)
    moved = []
    for sign in (1, -1):
        with torch.no_grad():
            weight[0, 0, 0, 0] += sign * 1e-5
            moved.append(adversarial_r1(logits, real))
            weight[0, 0, 0, 0] -= sign * 1e-5
    assert float(gradient[0, 0, 0, 0]) == pytest.approx((moved[0] - moved[1]) / 2e-5, rel=1e-4)


def adversarial_r1(logits, real) -> float:
    with torch.enable_grad():
        leaf = real.clone().requires_grad_()
        return float(adversarial.r1(logits(leaf), leaf).detach())


def test_r1_by_hand():
    images = torch.rand(2, 1, 4, 4).requires_grad_()
    slope = torch.tensor([2.0, 3.0]).view(2, 1, 1, 1)
    value = adversarial.r1((slope * images).mean((2, 3), keepdim=True), images)
    assert float(value) == pytest.approx((4 + 9) / 2 / 16)


def test_adversarial_terms_in_closed_form():
    zero, far = torch.zeros(2, 1, 3, 3), torch.full((2, 1, 3, 3), 50.0)
    assert float(adversarial.generator_adversarial(zero)) == pytest.approx(math.log(2))
    assert float(adversarial.generator_adversarial(far)) < 1e-12
    assert float(adversarial.generator_adversarial(-far)) == pytest.approx(50)
    assert float(adversarial.discriminator_adversarial(zero, zero)) == pytest.approx(
        2 * math.log(2)
    )
    assert float(adversarial.discriminator_adversarial(far, -far)) < 1e-12
    weight = torch.zeros(2, 1, 3, 3)
    weight[0, :, 0, 0], weight[0, :, 2, 2] = 1, 3
    logits = torch.zeros(2, 1, 3, 3)
    logits[0, :, 0, 0], logits[0, :, 2, 2], logits[0, :, 1, 1] = 50, -50, -1000
    found = adversarial.generator_adversarial(logits, weight=weight)
    assert float(found) == pytest.approx((0 * 1 + 50 * 3) / 4 / 2), "no hole in the second: 0"


def test_feature_matching():
    a = [torch.rand(2, 4, 9, 9, requires_grad=True), torch.rand(2, 8, 5, 5, requires_grad=True)]
    assert float(adversarial.feature_matching(a, a).detach()) == 0
    shifted = [level.detach() + shift for level, shift in zip(a, (1.0, 3.0), strict=True)]
    assert float(adversarial.feature_matching(shifted, a)) == pytest.approx((1 + 9) / 2)
    mask = torch.zeros(2, 1, 36, 36)
    mask[0] = 1
    masked = adversarial.feature_matching(shifted, a, mask=mask)
    assert float(masked) == pytest.approx((1 + 9) / 4)
    assert not adversarial.feature_matching(shifted, a).requires_grad, "targets pass no gradient"


def test_masked_errors_by_hand():
    prediction, target = torch.zeros(1, 3, 2, 2), torch.full((1, 3, 2, 2), 2.0)
    hole = torch.tensor([1.0, 0.5, 0.0, 0.0]).view(1, 1, 2, 2)
    weights = {"known": 10.0, "missing": 2.0}
    mean_weight = (2 + 6 + 10 + 10) / 4
    assert float(terms.masked_l1(prediction, target, hole, **weights)) == 2 * mean_weight
    assert float(terms.masked_l2(prediction, target, hole, **weights)) == 4 * mean_weight
    assert float(terms.mae(prediction, target)) == 2


def test_mae_weights_are_an_option():
    views = batch()
    found = losses({"mae": 1}, mae_weights={"known": 0, "missing": 1}).generator(views)
    inside = views.hole.expand_as(views.target) == 1
    difference = (views.prediction - views.target).abs()
    expected = difference[inside].sum() / difference.numel()
    torch.testing.assert_close(found.total, expected)
    with pytest.raises(ValueError, match="mae_weights needs the hole"):
        losses({"mae": 1}, mae_weights={"known": 0, "missing": 1}).generator(
            replace(views, hole=None)
        )


@pytest.mark.parametrize(("input_range", "low"), [("signed", -1.0), ("unit", 0.0)])
def test_judges_are_fed_the_configured_range(input_range, low):
    views, encoder = batch(), SmallEncoder()
    built = losses({"identity": 1, "latent": 1}, input_range=input_range)
    fed = []
    hook = built.losses.terms["identity"].net.crop.register_forward_pre_hook(
        lambda module, arguments: fed.append(arguments[0].detach())
    )
    built.generator(views, encoder=encoder)
    hook.remove()
    scale = 1 - low
    for found, image in zip(
        [*fed, *encoder.fed],
        [views.prediction, views.target, views.prediction, views.novel_prediction],
        strict=True,
    ):
        torch.testing.assert_close(found, image.detach() * scale + low)


def test_the_perceptual_net_gets_signed_images_whatever_the_range():
    views = batch()
    values = {
        name: losses({"perceptual": 1}, input_range=name).generator(views).total
        for name in ("signed", "unit")
    }
    assert values["signed"] == values["unit"]
    net = losses({"perceptual": 1}).losses.terms["perceptual"].net
    expected = net.distance(views.prediction * 2 - 1, views.target * 2 - 1).mean()
    torch.testing.assert_close(values["signed"], expected)


def test_latent_consistency_adds_both_views():
    views, encoder = batch(), SmallEncoder()
    both = losses({"latent": 1}).generator(views, encoder=encoder).total
    alone = losses({"latent": 1}).generator(replace(views, novel_prediction=None), encoder=encoder)
    novel = F.mse_loss(encoder(views.novel_prediction * 2 - 1), views.ws)
    torch.testing.assert_close(both, alone.total + novel)


def test_the_novel_view_counts_where_configured():
    views, discriminator = batch(), small_discriminator().eval()
    values = {
        choice: losses({"adversarial": 1}, adversarial_novel=choice).generator(
            views, discriminator=discriminator
        )
        for choice in ("none", "full", "holes")
    }
    (untouched,) = torch.autograd.grad(
        values["none"].total, views.novel_prediction, allow_unused=True
    )
    assert untouched is None
    (gradient,) = torch.autograd.grad(values["full"].total, views.novel_prediction)
    visible = (views.novel_hole == 0).expand_as(gradient)
    assert gradient[visible].abs().max() > 0
    (gradient,) = torch.autograd.grad(values["holes"].total, views.novel_prediction)
    assert gradient[visible].abs().max() == 0 and gradient[~visible].abs().max() > 0
    synthetic = replace(views, novel_prediction=None, novel_hole=None)
    found = losses({"adversarial": 1}, adversarial_novel="full").generator(
        synthetic, discriminator=discriminator
    )
    torch.testing.assert_close(found.total, values["none"].total)


def test_holes_ignore_patches_that_see_none():
    """Visible pixels out of every hole-seeing patch's sight change nothing at all."""
    discriminator = small_discriminator(layers=1).eval()
    built = losses({"adversarial": 1}, adversarial_novel="holes")
    views = batch()
    changed = views.novel_prediction.detach().clone()
    changed[:, :, 45:, :] = 0.5
    values = [
        built.generator(shown, discriminator=discriminator).total
        for shown in (views, replace(views, novel_prediction=changed))
    ]
    assert values[0] == values[1]
    with pytest.raises(ValueError, match="needs novel_hole"):
        built.generator(replace(views, novel_hole=None), discriminator=discriminator)


def test_a_discriminator_that_sees_holes_is_shown_them_with_real_and_fake():
    views, discriminator = batch(), small_discriminator(sees_hole=True)
    shown = []
    discriminator.model0.register_forward_pre_hook(lambda module, x: shown.append(x[0].detach()))
    built = losses(adversarial_novel="full")
    built.generator(views, discriminator=discriminator, encoder=SmallEncoder())
    assert [x.shape[1] for x in shown] == [4, 4, 4]
    shown.clear()
    built.discriminator(
        real=views.target,
        fakes=[views.novel_prediction, views.prediction],
        holes=[views.novel_hole, views.hole],
        discriminator=discriminator,
    )
    masks = torch.cat([views.novel_hole, views.hole])
    assert all(torch.equal(x[:, 3:], masks) for x in shown) and len(shown) == 2
    assert torch.equal(shown[0][:, :3], views.target.repeat(2, 1, 1, 1))
    with pytest.raises(ValueError, match="1 hole masks for 2"):
        built.discriminator(
            real=views.target,
            fakes=[views.prediction] * 2,
            holes=[views.hole],
            discriminator=discriminator,
        )


def test_a_blind_discriminator_is_shown_the_real_images_once_whatever_the_masks():
    views, discriminator, sizes = batch(), small_discriminator().eval(), []
    discriminator.model0.register_forward_pre_hook(lambda module, x: sizes.append(len(x[0])))
    fakes = [views.prediction, views.novel_prediction]
    built = losses()
    values = [
        built.discriminator(
            real=views.target, fakes=fakes, holes=holes, discriminator=discriminator
        ).total
        for holes in (None, [views.hole, views.novel_hole])
    ]
    assert sizes == [2, 4, 2, 4] and values[0] == values[1]


def test_terms_of_weight_0_are_absent():
    built = losses({**ALL, "perceptual": 0, "feature_matching": 0, "adversarial": 0, "r1": 0})
    assert set(built.losses.terms) == {"mae", "identity", "latent"}
    assert not built.uses_discriminator and built.uses_encoder and built.r1_weight == 0
    built = losses(latent_consistency=False)
    assert "latent" not in built.losses.terms and not built.uses_encoder
    assert not list(losses({"mae": 1, "perceptual": 0, "identity": 0}).parameters())


def test_feature_matching_of_weight_0_spares_the_discriminator_the_target():
    views, calls = batch(), []
    discriminator = small_discriminator()
    discriminator.model0.register_forward_pre_hook(lambda module, x: calls.append(len(x[0])))
    losses({"adversarial": 1}).generator(views, discriminator=discriminator)
    assert len(calls) == 1
    losses({"feature_matching": 1}).generator(views, discriminator=discriminator)
    assert len(calls) == 3


def test_equal_pictures_cost_nothing_but_the_game():
    views = batch()
    equal = replace(views, prediction=views.target, novel_prediction=None)
    values = losses({**ALL, "latent": 0}).generator(equal, discriminator=small_discriminator())
    for name in ("mae", "perceptual", "identity", "feature_matching"):
        assert abs(float(values.terms[name])) < 1e-5, name


def test_everything_runs_on_meta():
    built = losses(adversarial_novel="holes").to("meta")
    with torch.device("meta"):
        discriminator, encoder = build_discriminator(width=4), SmallEncoder()
    views = InpaintedViews(
        **{
            name: value.detach().to("meta").requires_grad_(name.endswith("prediction"))
            for name, value in vars(batch()).items()
        }
    )
    values = built.generator(views, discriminator=discriminator, encoder=encoder)
    values.total.backward()
    assert values.total.device.type == "meta" and views.novel_prediction.grad is not None
    found = built.discriminator(
        real=views.target, fakes=[views.prediction], discriminator=discriminator
    )
    found.total.backward()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"weights": {"lpips": 1}}, "weights: no 'lpips'; there are mae, perceptual"),
        ({"weights": {"mae": -1}}, "finite and not negative"),
        ({"weights": {"mae": 1, "r1": -1}}, "weights.r1 must be finite and not negative, not -1"),
        ({"weights": {"mae": 1, "r1": float("nan")}}, "weights.r1 must be finite"),
        ({"weights": {"r1": 1}}, "at least one term"),
        ({"input_range": "01"}, "input_range: no '01'; there are signed, unit"),
        ({"adversarial_novel": "all"}, "adversarial_novel: no 'all'; there are none, full, holes"),
        ({"mae_weights": {"known": 1}}, "mae_weights needs the keys known and missing"),
        ({"perceptual": "lpips"}, "no perceptual net 'lpips'"),
        ({"identity": "id_dlip"}, "no identity net 'id_dlip'"),
        ({"identity_crop": "tight"}, "no crop 'tight'"),
    ],
)
def test_mistakes_in_the_config_are_explained(settings, message):
    with pytest.raises(ValueError, match=message):
        build_svinet_losses(**{"weights": ALL, **NETS, **settings})


def test_missing_nets_are_explained():
    with pytest.raises(ValueError, match="need the discriminator"):
        losses({"adversarial": 1}).generator(batch())
    with pytest.raises(ValueError, match="need the encoder"):
        losses({"latent": 1}).generator(batch())
    with pytest.raises(ValueError, match="at least one batch of fakes"):
        losses({"mae": 1}).discriminator(
            real=batch().target, fakes=[], discriminator=small_discriminator()
        )
