"""Golden checks of SVINet: outputs, activations, gradients, running statistics, names, files."""

import json
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

import eg3d
from tests.parity_checks import Comparison, compare
from tests.parity_checks.recipe import check_state_dict, recipe_state
from warpgan.ffc import Features
from warpgan.svinet import SVINet, build_svinet
from warpgan.svinet_network import InpaintingNetwork
from warpgan.svinet_released import (
    export_released_state,
    load_released_state,
    load_released_svinet,
)

FULL_IO = "svinet_full_recipe_io.safetensors"
FULL_LIST = "svinet_full_state_dict.json"
VARIANTS = "svinet_full_variants.json"
TINY = "ckpt_inpaintor_tiny.pt"
TINY_IO = "ckpt_inpaintor_tiny_io.safetensors"
SMALL = ("condition", "nomirror", "nostyle")
ARGUMENTS = {
    "condition": {"blocks": 3},
    "nomirror": {"blocks": 1, "symmetry": False},
    "nostyle": {"blocks": 1, "modulation": "none"},
}
GRADIENT_TOLERANCE = 1e-4


def released_svinet(**changes) -> SVINet:
    """Build an SVINet of the released kind, of full size where not changed."""
    return build_svinet(
        **{"num_ws": 14, "w_dim": 512, "modulation": "index", "film": "one_plus_scale"} | changes
    )


def small_svinet(name: str) -> SVINet:
    """Build the network of `svinet_small_<name>.safetensors`."""
    return released_svinet(width=8, **ARGUMENTS[name])


def check_small(name: str) -> Callable[[Path], list[Comparison]]:
    """Make the check of one of the small networks."""

    def check(folder: Path) -> list[Comparison]:
        file = f"svinet_small_{name}.safetensors"
        golden = load_file(folder / file)
        listed = json.loads((folder / f"svinet_small_{name}_grads.json").read_text())["grads"]
        svinet = small_svinet(name)
        state = {k.removeprefix("sd."): v for k, v in golden.items() if k.startswith("sd.")}
        load_released_state(svinet, state)
        results = _check_eval(file, svinet.network.eval(), golden)
        load_released_state(svinet, state)
        results += _check_train(file, svinet.network.train(), golden, listed)
        unread = golden.keys() - {c.key for c in results} - {"input", "ws", "train.probe"}
        unread = [k for k in unread if not (k.startswith("sd.") or _is_dead(k, svinet.network))]
        return [*results, _count(file, "golden tensors left out", len(unread))]

    check.__name__ = f"check_small_{name}"
    return check


@torch.no_grad()
def _check_eval(file: str, network: InpaintingNetwork, golden: dict) -> list[Comparison]:
    values = record_activations(network, golden["input"], golden["ws"])
    results = [
        compare(file, key + note, values[name], golden[key], max_tolerance=1e-5)
        for key in ("output", "output_f64")
        for name, note in (("output", ""), ("folded", " (folded)"))
    ]
    for key, expected in golden.items():
        if not key.startswith("act.") or _is_dead(key, network):
            continue
        value = values[key.removeprefix("act.").removesuffix(".first4ch")]
        if key.endswith(".first4ch"):
            value = value[:, :4]
        scale = 1e-4 * max(1.0, expected.abs().max().item())
        value = value[: len(expected)]
        results.append(compare(file, key, value, expected, max_tolerance=scale))
    return results


def _is_dead(key: str, network: InpaintingNetwork) -> bool:
    """Whether a key is an image of the RGB layers that the released code drops."""
    return network.codes is not None and key.startswith("act.up.") and key.endswith(".1")


def record_activations(
    network: InpaintingNetwork, channels: Tensor, ws: Tensor
) -> dict[str, Tensor]:
    """Intermediate maps by their golden names, the output, and that of the folded path."""
    values: dict[str, Tensor] = {}

    def keep(name: str, module: nn.Module) -> None:
        def hook(_module, _inputs, output) -> None:
            if isinstance(output, Features):
                values[f"{name}.0"], values[f"{name}.1"] = output.local, output.spread
            else:
                values[name] = values[f"{name}.0"] = output

        hooks.append(module.register_forward_hook(hook))

    hooks: list = []
    if network.cond is not None:
        keep("film_out", network.cond)
        keep("film_scale", network.cond.condition_scale)
        keep("film_shift", network.cond.condition_shift)
    for kind, modules in (("res", network.model_res), ("up", network.model_up)):
        for index, module in enumerate(modules):
            keep(f"{kind}.{index}", module)
    keep("out_pre_sigmoid", network.model_out[1])
    with eg3d.kernels("torch"):
        values["output"] = network(channels, ws)
    for hook in hooks:
        hook.remove()
    values["folded"] = network(channels, ws)
    last = f"res.{network.blocks - 1}"
    values["concat"] = torch.cat([values[f"{last}.0"], values[f"{last}.1"]], dim=1)
    for index, branch in enumerate(network.encode(channels)):
        if branch is not None:
            values[f"down_branch{index}.local"] = branch.local
            values[f"down_branch{index}.global"] = branch.spread
    return values


def _check_train(
    file: str, network: InpaintingNetwork, golden: dict, listed: dict
) -> list[Comparison]:
    channels = golden["input"].clone().requires_grad_()
    ws = golden["ws"].clone().requires_grad_()
    output = network(channels, ws)
    loss = (output * golden["train.probe"]).sum()
    loss.backward()
    ours = {
        "train.output": output.detach(),
        "train.loss": loss.detach()[None],
        "train.grad_input": channels.grad,
    }
    tolerances = {"train.output": 1e-5, "train.loss": 1e-5 * abs(golden["train.loss"].item())}
    if "train.grad_ws" in golden:
        ours["train.grad_ws"] = ws.grad
    results = []
    for key, value in ours.items():
        relative = GRADIENT_TOLERANCE * golden[key].abs().max().item()
        tolerance = tolerances.get(key, relative)
        results.append(compare(file, key, value, golden[key], max_tolerance=tolerance))
    after = network.state_dict()
    for key, expected in golden.items():
        if key.startswith("train.sd_after."):
            value = after[key.removeprefix("train.sd_after.")].float()
            scale = 1e-5 * max(1.0, expected.abs().max().item())
            results.append(compare(file, key, value, expected.float(), max_tolerance=scale))
    return results + _check_gradients(file.replace(".safetensors", "_grads.json"), network, listed)


def _check_gradients(file: str, network: InpaintingNetwork, listed: dict) -> list[Comparison]:
    """Norm and sum of every parameter's gradient."""
    given = dict(network.named_parameters())
    dead = [name for name, figures in listed.items() if figures is None]
    odd = {name for name in dead if "toRGB" not in name} | (
        listed.keys() - set(dead)
    ) ^ given.keys()
    results = [_count(file, "parameters that have a gradient", len(odd))]
    # A bias before batch norm has none but rounding errors, hence the floor.
    floor = 1e-3 * max(figures[0] for figures in listed.values() if figures)
    worst = {"norm": 0.0, "sum": 0.0}
    for name, parameter in given.items():
        norm, total = listed[name]
        gradient = parameter.grad.double()
        scale = max(norm, floor)
        worst["norm"] = max(worst["norm"], abs(gradient.norm().item() - norm) / scale)
        # A sum cancels: it is measured by the largest sum that a gradient of this norm can have.
        spread = scale * gradient.numel() ** 0.5
        worst["sum"] = max(worst["sum"], abs(gradient.sum().item() - total) / spread)
    return results + [
        Comparison(file, f"worst relative {key} of a gradient", value, value, GRADIENT_TOLERANCE)
        for key, value in worst.items()
    ]


@torch.no_grad()
def check_full(folder: Path) -> list[Comparison]:
    """Full size, recipe weights through the released names."""
    golden = load_file(folder / FULL_IO)
    svinet = released_svinet()
    own = export_released_state(svinet)
    load_released_state(svinet, recipe_state(folder / FULL_LIST, own))
    network = svinet.network.eval()
    values = record_activations(network, golden["input"], golden["ws"])
    results = []
    for key, expected in golden.items():
        if key in ("input", "ws"):
            continue
        if key.startswith("output"):
            for name, note in (("output", ""), ("folded", " (folded)")):
                c = compare(FULL_IO, key + note, values[name], expected, max_tolerance=2e-5)
                results.append(c)
            continue
        scale = 1e-4 * expected.abs().max().item()
        value = values[key.removeprefix("act.")]
        results.append(compare(FULL_IO, key, value, expected, max_tolerance=scale))
    return results


def check_full_list(folder: Path) -> list[Comparison]:
    """The 904 official names, shapes and types, in their order."""
    state = export_released_state(released_svinet())
    names = [e["name"] for e in json.loads((folder / FULL_LIST).read_text())["entries"]]
    wrong = sum(a != b for a, b in zip(names, state, strict=False))
    return [
        *check_state_dict(folder / FULL_LIST, state),
        _count(FULL_LIST, "order of names", wrong),
    ]


def check_variants(folder: Path) -> list[Comparison]:
    """Parameters and names of the variants without mirror and without style."""
    listed = json.loads((folder / VARIANTS).read_text())
    shipped = _shapes(released_svinet())
    results = []
    for name in ("nomirror", "nostyle"):
        changes = {k: v for k, v in ARGUMENTS[name].items() if k != "blocks"}
        svinet = released_svinet(**changes)
        own = _shapes(svinet)
        differences = listed[name]["vs_shipped"]
        wrong = len((shipped.keys() - own.keys()) ^ set(differences["missing"]))
        wrong += len((own.keys() - shipped.keys()) ^ set(differences["added"]))
        results.append(_count(VARIANTS, f"{name}: names", wrong))
        exported = export_released_state(svinet)
        buffers = ("running_mean", "running_var", "num_batches_tracked", "resample_filter")
        total = sum(v.numel() for k, v in exported.items() if not k.endswith(buffers))
        off = abs(total - listed[name]["params"])
        results.append(_count(VARIANTS, f"{name}: number of parameters", off))
    return results


@torch.no_grad()
def check_tiny(folder: Path) -> list[Comparison]:
    """The released layout with OmegaConf objects inside: output, discriminator, written back."""
    golden = load_file(folder / TINY_IO)
    released = load_released_svinet(folder / TINY)
    output = released.svinet.network(golden["input"], golden["ws"])
    wrong = sum("toRGB" not in name for name in released.dropped) + (len(released.dropped) != 18)
    wrong += not any(name.startswith("model5") for name in released.discriminator)
    return [
        compare(TINY_IO, "output", output, golden["output"], max_tolerance=1e-5),
        _count(TINY, "what is dropped, and the discriminator", wrong),
    ]


def _shapes(svinet: SVINet) -> dict[str, tuple[int, ...]]:
    return {k: tuple(v.shape) for k, v in export_released_state(svinet).items()}


def _count(file: str, key: str, wrong: int) -> Comparison:
    return Comparison(file, key, float(wrong), float(wrong), 0.0)


_CHECKS = {name: check_small(name) for name in SMALL}
FILES = (
    {f"svinet_small_{name}.safetensors": check for name, check in _CHECKS.items()}
    | {f"svinet_small_{name}_grads.json": check for name, check in _CHECKS.items()}
    | {FULL_IO: check_full, FULL_LIST: check_full_list, VARIANTS: check_variants}
    | {TINY: check_tiny, TINY_IO: check_tiny}
)
