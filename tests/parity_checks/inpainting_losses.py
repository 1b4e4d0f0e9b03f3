"""Golden checks of the discriminator, of SVINet's loss terms and of ResNet-PL."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from tests.parity_checks import Comparison, compare
from tests.parity_checks.recipe import check_state_dict, recipe_state
from warpgan.discriminator import Judgement, PatchDiscriminator, build_discriminator
from warpgan.losses import SVINetLosses, adversarial, build_svinet_losses, terms
from warpgan.perception.resnet_pl import DilatedResNet50, ResNetPl

DISC_SMALL = "disc_small.safetensors"
DISC_IO = "disc_full_recipe_io.safetensors"
DISC_LIST = "disc_full_state_dict.json"
LOSSES = "losses.safetensors"
LOSS_GRADS = "losses_param_grads.json"
RESNET_IO = "resnet_pl_recipe_io.safetensors"
RESNET_LIST = "resnet_pl_state_dict.json"
TOLERANCE = 1e-5
GRADIENT = 1e-4
# Batch norm cancels the biases before it: their gradient is rounding, small beside the largest one.
NEGLIGIBLE = 1e-6
MODES = ("eval", "train")


def released_small(folder: Path) -> PatchDiscriminator:
    """The width-8 discriminator with the weights of the golden file."""
    golden = load_file(folder / DISC_SMALL)
    net = build_discriminator(width=8)
    net.load_state_dict({k.removeprefix("sd."): v for k, v in golden.items() if k[:3] == "sd."})
    return net


def discriminator_losses(*, r1: float) -> SVINetLosses:
    """Losses of which only the discriminator's side is asked."""
    return build_svinet_losses(
        weights={"mae": 1, "r1": r1},
        perceptual="perc_efficientnet",
        identity="id_dlib",
        identity_crop="aligned",
    )


def judged(judgement: Judgement, mode: str) -> dict[str, Tensor]:
    """A judgement under golden names."""
    named = {f"{mode}.feat.{i}": feature for i, feature in enumerate(judgement.features)}
    return named | {f"{mode}.logits": judgement.logits}


def check_discriminator(folder: Path) -> list[Comparison]:
    """Activations in both modes, and the running statistics after one pass in training mode."""
    golden = load_file(folder / DISC_SMALL)
    ours: dict[str, Tensor] = {}
    for mode in MODES:
        net = released_small(folder).train(mode == "train")
        with torch.no_grad():
            ours |= judged(net(golden["input"]), mode)
    ours |= {f"train.sd_after.{key}": value for key, value in net.state_dict().items()}
    return [
        compare(DISC_SMALL, key, ours[key], value, max_tolerance=TOLERANCE)
        for key, value in golden.items()
        if key != "input" and not key.startswith("sd.")
    ]


@torch.no_grad()
def check_full_discriminator(folder: Path) -> list[Comparison]:
    """The full width, filled by the recipe; of the last activations the file holds 64 channels."""
    golden = load_file(folder / DISC_IO)
    net = build_discriminator()
    net.load_state_dict(recipe_state(folder / DISC_LIST, net.state_dict()))
    ours = judged(net.eval()(golden["input"]), "eval")
    ours["eval.feat.4"] = ours["eval.feat.4"][:, : golden["eval.feat.4"].shape[1]]
    return [
        compare(DISC_IO, key, ours[key], value, max_tolerance=TOLERANCE)
        for key, value in golden.items()
        if key != "input"
    ]


def check_discriminator_list(folder: Path) -> list[Comparison]:
    """The official names and shapes at full width."""
    return check_state_dict(folder / DISC_LIST, build_discriminator().state_dict())


def check_losses(folder: Path) -> list[Comparison]:
    """Every value and gradient of the loss vectors."""
    golden = load_file(folder / LOSSES)
    ours = latent_terms(golden) | masked_terms(golden)
    listed = json.loads((folder / LOSS_GRADS).read_text())
    results = []
    for mode in MODES:
        ours |= generator_side(folder, golden, mode)
        for key, r1, inner in (("d_loss", 0.001, "d.grad"), ("r1_only", 1.0, "d.r1_only.grad")):
            values, gradients = discriminator_side(folder, golden, mode, r1=r1)
            ours |= values
            named = {f"{mode}.{inner}.{name}": value for name, value in gradients.items()}
            ours |= {name: value for name, value in named.items() if name in golden}
            results += listed_gradients(
                f"{mode}.{key}", listed[mode][f"{key}_param_grads"], gradients
            )
    given = {"real", "fake", "mask", "w.avg", "w.codes", "l1.mask", "l1.pred", "l1.target"}
    for key, value in golden.items():
        if key not in given:
            share = GRADIENT if "grad" in key else TOLERANCE
            allowed = share * value.abs().max().item()
            results.append(
                compare(LOSSES, key, ours[key].view_as(value), value, max_tolerance=allowed)
            )
    return results


def latent_terms(golden: dict[str, Tensor]) -> dict[str, Tensor]:
    """The regularisers of codes; the latent term compares the codes with their reversed batch."""
    codes = golden["w.codes"]
    return {
        "w.latent_mse": terms.mse(codes, codes.flip(0)),
        "w.w_delta_reg": terms.w_delta(codes),
        "w.w_norm": terms.w_norm(codes, latent_avg=golden["w.avg"]),
    }


def masked_terms(golden: dict[str, Tensor]) -> dict[str, Tensor]:
    """The masked L1 and L2, by the weights in their names."""
    ours = {}
    pair = golden["l1.pred"], golden["l1.target"]
    for order, term in (("l1", terms.masked_l1), ("l2", terms.masked_l2)):
        for mask in ("softmask", "zeromask"):
            hole = golden["l1.mask"] * (mask == "softmask")
            for missing in (0, 2):
                value = term(*pair, hole, known=10, missing=missing)
                ours[f"{order}.{mask}_known10_missing{missing}"] = value
    return ours


def generator_side(folder: Path, golden: dict[str, Tensor], mode: str) -> dict[str, Tensor]:
    """The adversarial term and feature matching, and their gradient in the fake."""
    net = released_small(folder).train(mode == "train")
    fake = golden["fake"].clone().requires_grad_()
    real, on_fake = net(golden["real"]), net(fake)
    cost = 10 * adversarial.generator_adversarial(on_fake.logits)
    matching = adversarial.feature_matching(on_fake.features, real.features)
    masked = adversarial.feature_matching(on_fake.features, real.features, mask=golden["mask"])
    total = cost + 100 * matching
    (gradient,) = torch.autograd.grad(total, fake)
    ours = {
        "adv_weighted10": cost,
        "fm_unweighted": matching,
        "fm_masked_unweighted": masked,
        "total_adv10_fm100": total,
        "grad_fake": gradient,
    }
    return {f"{mode}.g.{key}": value for key, value in ours.items()}


def discriminator_side(
    folder: Path, golden: dict[str, Tensor], mode: str, *, r1: float
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The discriminator's loss and the gradients of its parameters; those of R1 alone for r1=1."""
    net = released_small(folder).train(mode == "train")
    if r1 == 1.0:
        real = golden["real"].clone().requires_grad_()
        penalty = adversarial.r1(net(real).logits, real)
        penalty.backward()
        values = {"r1_only": penalty}
    else:
        found = discriminator_losses(r1=r1).discriminator(
            real=golden["real"], fakes=[golden["fake"]], discriminator=net
        )
        found.total.backward()
        values = {"loss": found.total, "r1_unweighted": found.terms["r1"]}
        probe = released_small(folder).train(mode == "train")
        real = golden["real"].clone().requires_grad_()
        on_real, on_fake = probe(real).logits, probe(golden["fake"]).logits
        values["softplus_real_mean"] = adversarial.generator_adversarial(on_real)
        values["softplus_fake_mean"] = adversarial.generator_adversarial(-on_fake)
        (values["grad_real"],) = torch.autograd.grad(on_real.sum(), real)
    gradients = {
        name: torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        for name, parameter in net.named_parameters()
    }
    return {f"{mode}.d.{key}": value for key, value in values.items()}, gradients


def listed_gradients(
    prefix: str, listed: dict[str, list[float] | None], gradients: dict[str, Tensor]
) -> list[Comparison]:
    """Norm and sum of every parameter's gradient, within 1e-4 of its norm."""
    results = []
    largest = max(norm for norm, _ in filter(None, listed.values()))
    for name in sorted(listed.keys() | gradients.keys()):
        norm, total = listed[name] or (0.0, 0.0)
        found = gradients[name].double()
        figures = torch.stack([found.norm(), found.sum()])
        wanted = torch.tensor([norm, total], dtype=torch.float64)
        allowed = GRADIENT * norm + NEGLIGIBLE * largest
        key = f"{prefix}.{name}"
        results.append(compare(LOSS_GRADS, key, figures, wanted, max_tolerance=allowed))
    return results


def check_resnet_pl(folder: Path) -> list[Comparison]:
    """Maps and distance in float32; the gradient in float64.

    The file's network was fed [0, 1] and ours converts from [-1, 1], which moves pixels by one unit
    in the last place. That flips an activation at its kink: visible in a float32 gradient only.
    """
    golden = load_file(folder / RESNET_IO)
    trunk = DilatedResNet50()
    trunk.load_state_dict(recipe_state(folder / RESNET_LIST, trunk.state_dict()))
    net = ResNetPl("resnet_pl", trunk)
    prediction, target = (golden[f"{name}_u8"].double() / 127.5 - 1 for name in ("pred", "target"))
    ours: dict[str, Tensor] = {}
    with torch.no_grad():
        levels = net.levels(prediction.float())
        for index, (a, b) in enumerate(zip(levels, net.levels(target.float()), strict=True)):
            ours[f"mse.{index}"] = terms.mse(a, b)
            ours[f"pred.feat.{index}.ch0:32"] = a[:, :32]
            ours[f"pred.feat.{index}.shape"] = torch.tensor(a.shape)
        ours["resnet_pl_weight30"] = 30 * net.distance(prediction, target).mean()
    fed = prediction.requires_grad_()
    (30 * net.double().compare(fed, target, [None])[0].mean()).backward()
    ours["grad_pred"] = 2 * fed.grad
    return [
        compare(
            RESNET_IO,
            key,
            ours[key].view_as(value),
            value,
            max_tolerance=GRADIENT * value.abs().max().item(),
        )
        for key, value in golden.items()
        if not key.endswith("_u8")
    ]


def check_resnet_pl_list(folder: Path) -> list[Comparison]:
    """The 330 official names and shapes."""
    return check_state_dict(folder / RESNET_LIST, DilatedResNet50().state_dict())


FILES = {
    DISC_SMALL: check_discriminator,
    DISC_IO: check_full_discriminator,
    DISC_LIST: check_discriminator_list,
    LOSSES: check_losses,
    LOSS_GRADS: check_losses,
    RESNET_IO: check_resnet_pl,
    RESNET_LIST: check_resnet_pl_list,
}
