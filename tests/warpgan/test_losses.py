import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from warpgan import cameras
from warpgan.losses import (
    EncoderLosses,
    IdentityTerm,
    LossSum,
    Reconstruction,
    build_encoder_losses,
    terms,
)
from warpgan.perception import IdentityNet

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "losses.safetensors"
MINI = {
    "size": 64,
    "perceptual": "perc_efficientnet",
    "identity": "id_dlib",
    "identity_crop": "aligned",
}


def batch(size: int = 64, *, seed: int = 0) -> Reconstruction:
    generator = torch.Generator().manual_seed(seed)
    pictures = torch.rand(2, 2, 3, size, size, generator=generator) * 2 - 1
    return Reconstruction(
        prediction=pictures[0].requires_grad_(),
        target=pictures[1],
        camera=cameras.look_at([0.0, 20.0], [5.0, 0.0]),
        ws=torch.randn(2, 6, 8, generator=generator).requires_grad_(),
        latent_avg=torch.randn(8, generator=generator),
    )


def test_latent_regularisers_equal_the_published_ones():
    golden = load_file(GOLDEN)
    codes, average = golden["w.codes"], golden["w.avg"]
    torch.testing.assert_close(
        terms.w_delta(codes), golden["w.w_delta_reg"].squeeze(), rtol=1e-5, atol=0
    )
    torch.testing.assert_close(
        terms.w_norm(codes, latent_avg=average), golden["w.w_norm"].squeeze(), rtol=1e-5, atol=0
    )


def test_latent_regularisers_by_hand():
    ws = torch.zeros(2, 3, 4)
    ws[0, 1, 0], ws[0, 2, 0] = 3.0, 4.0
    assert terms.w_delta(ws) == pytest.approx(2.5)  # (5 + 0) / 2
    assert terms.w_delta(ws + torch.randn(4)) == pytest.approx(2.5, rel=1e-5)
    assert terms.w_norm(ws, latent_avg=torch.zeros(4)) == pytest.approx(2.5)
    assert terms.w_norm(torch.ones(1, 4, 4), latent_avg=torch.zeros(4)) == pytest.approx(4.0)


def test_mse_is_the_mean_over_everything():
    a, b = torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 4, 4)
    b[0] = 2.0
    assert terms.mse(a, b) == 2.0


def test_total_is_the_weighted_sum_of_the_logged_terms():
    weights = {"mse": 1.0, "perceptual": 0.8, "identity": 0.1, "w_delta": 0.0005, "w_norm": 0.002}
    losses = build_encoder_losses(weights=weights, **MINI)
    views = batch()
    values = losses(views)
    assert set(values.terms) == set(weights)
    assert all(term.dim() == 0 and not term.requires_grad for term in values.terms.values())
    expected = sum(weights[name] * float(term) for name, term in values.terms.items())
    assert float(values.total.detach()) == pytest.approx(expected, rel=1e-5)
    values.total.backward()
    for tensor in (views.prediction, views.ws):
        assert tensor.grad.isfinite().all() and tensor.grad.abs().sum() > 0


def test_equal_pictures_cost_nothing():
    views = batch()
    same = Reconstruction(
        views.target.clone().requires_grad_(),
        views.target,
        views.camera,
        views.ws,
        views.latent_avg,
    )
    values = build_encoder_losses(weights={"mse": 1, "perceptual": 0.8, "identity": 0.1}, **MINI)(
        same
    )
    for name, term in values.terms.items():
        assert abs(float(term)) < 1e-5, name
    values.total.backward()
    assert same.prediction.grad.isfinite().all()


def test_every_term_alone_pulls_the_prediction_to_the_target():
    """A step against a term's gradient lowers that term."""
    for name in ("mse", "perceptual", "identity"):
        views = batch(seed=3)
        losses = build_encoder_losses(weights={name: 1.0}, **MINI)
        before = losses(views).total
        (gradient,) = torch.autograd.grad(before, views.prediction)
        step = 1e-3 * float(before.detach()) / float(gradient.square().sum())
        moved = Reconstruction(
            views.prediction.detach() - step * gradient,
            views.target,
            views.camera,
            views.ws,
            views.latent_avg,
        )
        assert float(losses(moved).terms[name]) < float(before.detach()), name


def test_pictures_are_averaged_down_to_the_loss_size():
    views = batch(128)
    quarter = torch.nn.functional.avg_pool2d
    small = Reconstruction(
        quarter(views.prediction, 2),
        quarter(views.target, 2),
        views.camera,
        views.ws,
        views.latent_avg,
    )
    losses = build_encoder_losses(weights={"mse": 1.0, "perceptual": 0.8}, **MINI)
    torch.testing.assert_close(losses(views).total, losses(small).total)
    unpooled = build_encoder_losses(weights={"mse": 1.0}, **{**MINI, "size": 256})
    torch.testing.assert_close(unpooled(views).total, terms.mse(views.prediction, views.target))


def test_identity_sees_the_camera():
    views = batch()
    losses = build_encoder_losses(weights={"identity": 1.0}, **MINI)
    turned = Reconstruction(
        views.prediction,
        views.target,
        cameras.look_at([0.0, -30.0], [5.0, 0.0]),
        views.ws,
        views.latent_avg,
    )
    assert not torch.isclose(losses(views).total, losses(turned).total)


def test_terms_of_weight_zero_are_neither_built_nor_logged(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    settings = {**MINI, "perceptual": "lpips_alex", "weights_dir": tmp_path}
    losses = build_encoder_losses(weights={"mse": 1, "perceptual": 0, "w_delta": 0}, **settings)
    assert set(losses(batch()).terms) == {"mse"}
    with pytest.raises(FileNotFoundError, match="alexnet-owt-7be5be79.pth"):
        build_encoder_losses(weights={"mse": 1, "perceptual": 0.8}, **settings)


def test_dry_run_needs_no_files(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    losses = build_encoder_losses(
        weights={"mse": 1, "perceptual": 0.8, "identity": 0.1},
        size=256,
        perceptual="lpips_alex",
        identity="arcface_irse50",
        identity_crop="legacy",
        weights_dir=tmp_path,
        pretrained=False,
    )
    values = losses(batch(64))
    assert all(math.isfinite(float(term)) for term in values.terms.values())


def test_nets_move_with_the_losses_and_never_train():
    losses = build_encoder_losses(weights={"perceptual": 1, "identity": 1}, **MINI)
    assert sum(1 for _ in losses.parameters()) > 50
    assert not any(parameter.requires_grad for parameter in losses.parameters())
    losses.train()
    nets = [module for module in losses.modules() if hasattr(module, "distance")]
    assert len(nets) == 2 and not any(net.training for net in nets)
    assert {p.device.type for p in losses.to("meta").parameters()} == {"meta"}


def test_a_net_without_gradient_is_no_loss():
    net = IdentityNet(
        "arcface_onnx",
        torch.nn.Flatten(),
        crop=torch.nn.Identity(),
        pixels=torch.nn.Identity(),
        differentiable=False,
    )
    with pytest.raises(ValueError, match="arcface_onnx passes no gradient"):
        IdentityTerm(net)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"mse": -1.0}, "finite and not negative"),
        ({"mse": float("nan")}, "finite and not negative"),
        ({"mse": float("inf")}, "finite and not negative"),
        ({"mse": 0.0}, "at least one term"),
        ({}, "at least one term"),
        ({"lpips": 0.8}, "no loss term 'lpips'; there are mse, perceptual"),
    ],
)
def test_bad_weights_are_explained(weights, message):
    with pytest.raises(ValueError, match=message):
        build_encoder_losses(weights=weights, **MINI)


def test_names_and_size_are_checked():
    with pytest.raises(ValueError, match="same names"):
        LossSum({"a": lambda views: views}, {"b": 1.0})
    with pytest.raises(ValueError, match="positive number of pixels, not 0"):
        EncoderLosses(LossSum({"a": lambda views: views}, {"a": 1.0}), size=0)
