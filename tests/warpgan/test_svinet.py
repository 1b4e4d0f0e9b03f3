"""SVINet: sizes, what has influence, precision, checkpointing, and its files."""

import json
import math
from dataclasses import dataclass, replace

import pytest
import torch

import eg3d
from warpgan.ffc import FourierUnit, ModulatedFourierUnit, from_spectrum, to_spectrum
from warpgan.modulation import StyledConv
from warpgan.svinet import SVINet, build_svinet, load_svinet, save_svinet
from warpgan.svinet_inference import takes_folded
from warpgan.svinet_released import (
    export_released_state,
    load_released_svinet,
    released_architecture,
    save_released_svinet,
)

INDICES = {"style_index": 2, "up_style_indices": [[2, 3, 3], [3, 4, 4], [4, 4, 4]]}
TINY = {"num_ws": 5, "w_dim": 12, "width": 4, "blocks": 2, **INDICES}


def tiny(**changes) -> SVINet:
    torch.manual_seed(0)
    return build_svinet(**TINY | changes).eval()


def random_input(svinet: SVINet, height=32, width=32, batch_size=2):
    random = torch.Generator().manual_seed(1)
    channels = torch.rand(batch_size, svinet.network.channels, height, width, generator=random)
    return channels, torch.randn(batch_size, 5, 12, generator=random)


@dataclass(frozen=True)
class SeenBranch:
    filled: torch.Tensor
    render: torch.Tensor
    hole: torch.Tensor


def random_branch(seed: int) -> SeenBranch:
    random = torch.Generator().manual_seed(seed)
    pictures = [torch.rand(1, 3, 32, 32, generator=random) * 2 - 1 for _ in range(2)]
    return SeenBranch(*pictures, torch.rand(1, 1, 32, 32, generator=random))


@pytest.mark.parametrize("modulation", ["mapping", "index", "constant", "none"])
@pytest.mark.parametrize("symmetry", [True, False])
@pytest.mark.parametrize("size", [(32, 32), (16, 40)])
def test_every_kind_makes_an_image_of_its_size(modulation, symmetry, size):
    svinet = tiny(modulation=modulation, symmetry=symmetry)
    channels, ws = random_input(svinet, *size)
    image = svinet.network(channels, ws)
    assert image.shape == (2, 3, *size)
    assert 0 <= image.min() and image.max() <= 1


@pytest.mark.parametrize("size", [(36, 32), (32, 36), (8, 32)])
def test_a_size_that_does_not_fit_is_named(size):
    svinet = tiny()
    channels, ws = random_input(svinet, *size)
    with pytest.raises(ValueError, match=rf"{size[0]} x {size[1]} pixels.*multiples of 8"):
        svinet.network(channels, ws)


def test_a_wrong_number_of_channels_is_named():
    with pytest.raises(ValueError, match=r"expected \[B, 7, H, W\]"):
        tiny(symmetry=False).network(torch.rand(1, 14, 32, 32), None)


def test_public_forward_is_the_network_in_the_other_range():
    svinet = tiny()
    main, mirrored = random_branch(0), random_branch(1)
    _, ws = random_input(svinet, batch_size=1)
    parts = [
        part for b in (main, mirrored) for part in ((b.filled + 1) / 2, (b.render + 1) / 2, b.hole)
    ]
    expected = svinet.network(torch.cat(parts, dim=1), ws) * 2 - 1
    torch.testing.assert_close(svinet(main, mirrored, ws), expected)


def test_a_missing_mirrored_branch_is_named():
    with pytest.raises(ValueError, match="mirrored=None.*symmetry=true"):
        tiny()(random_branch(0), None, torch.zeros(1, 5, 12))


def test_every_input_has_influence():
    svinet = tiny()
    branches = [random_branch(0), random_branch(1)]
    _, ws = random_input(svinet, batch_size=1)
    before = svinet(*branches, ws)
    for index in range(2):
        for name in ("filled", "render", "hole"):
            changed = list(branches)
            value = getattr(branches[index], name)
            changed[index] = replace(branches[index], **{name: value.flip(-1)})
            assert not torch.allclose(svinet(*changed, ws), before, atol=1e-6), (index, name)


def influence_of_codes(svinet: SVINet) -> list[bool]:
    channels, ws = random_input(svinet)
    ws.requires_grad_()
    output = svinet.network(channels, ws).square().sum()
    (gradient,) = torch.autograd.grad(output, ws, allow_unused=True)
    return [False] * 5 if gradient is None else (gradient.abs().sum((0, 2)) > 0).tolist()


def test_which_codes_have_influence():
    assert influence_of_codes(tiny(modulation="index")) == [False, False, True, True, True]
    assert influence_of_codes(tiny(modulation="mapping")) == [True] * 5
    assert influence_of_codes(tiny(modulation="constant")) == [False] * 5
    assert influence_of_codes(tiny(modulation="none")) == [False] * 5


def test_every_parameter_has_a_gradient():
    for modulation in ("mapping", "index", "constant", "none"):
        svinet = tiny(modulation=modulation).train()
        channels, ws = random_input(svinet)
        svinet.network(channels, ws).square().sum().backward()
        without = [name for name, p in svinet.named_parameters() if p.grad is None]
        assert without == [], modulation


def test_the_ablation_switch_means_constant_codes():
    names = tiny(modulation="mapping", modulated=False).state_dict().keys()
    assert names == tiny(modulation="constant").state_dict().keys()
    assert tiny(modulation="none", modulated=False).network.codes is None


def test_the_mapping_starts_at_the_released_indices():
    svinet = tiny(modulation="mapping")
    ws = torch.randn(3, 5, 12)
    chosen = ws[:, [2, 2, 2, 3, 3, 4, 4, 4]]
    codes = svinet.network.codes
    rest = ws.sum(1, keepdim=True) - chosen
    torch.testing.assert_close(codes(ws, 3), 0.9 * chosen + 0.1 / 4 * rest)
    weights = codes.mixing.softmax(1)
    assert weights.argmax(1).tolist() == [2, 2, 2, 3, 3, 4, 4, 4]


def test_training_moves_statistics_once_a_branch():
    svinet = tiny().train()
    svinet.network(*random_input(svinet))
    counts = {k: v.item() for k, v in svinet.network.state_dict().items() if "num_batches" in k}
    assert {v for k, v in counts.items() if k.startswith("model_down")} == {2}
    assert {v for k, v in counts.items() if not k.startswith("model_down")} == {1}


def test_training_normalises_each_branch_by_itself():
    svinet = tiny().train()
    channels, _ = random_input(svinet)
    dim = torch.cat([channels[:, :7] * 0.1, channels[:, 7:]], dim=1)
    _, mirrored = svinet.network.encode(channels)
    _, beside_dim = svinet.network.encode(dim)
    torch.testing.assert_close(mirrored.spread, beside_dim.spread)


def test_checkpointing_changes_nothing():
    results = []
    for checkpointing in (False, True):
        svinet = tiny(checkpointing=checkpointing).train()
        channels, ws = random_input(svinet)
        channels.requires_grad_()
        svinet.network(channels, ws).square().sum().backward()
        gradients = [p.grad for p in svinet.parameters()]
        results.append([channels.grad, *gradients, *svinet.state_dict().values()])
        assert all(m.momentum == 0.1 for m in svinet.modules() if hasattr(m, "momentum"))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_checkpointing_keeps_less():
    sizes = []
    for checkpointing in (False, True):
        svinet = tiny(checkpointing=checkpointing).train()
        kept = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda t, kept=kept: (kept.append(t.numel()), t)[1], lambda t: t
        ):
            svinet.network(*random_input(svinet))
        sizes.append(sum(kept))
    assert sizes[1] < sizes[0] / 2


@pytest.mark.parametrize("modulation", ["mapping", "none"])
def test_spectra_stay_in_float32_under_autocast(modulation):
    svinet = tiny(modulation=modulation)
    seen = []
    for module in svinet.modules():
        if isinstance(module, (FourierUnit, ModulatedFourierUnit)):
            module.conv_layer.register_forward_hook(
                lambda m, inputs, out: seen.append((inputs[0].dtype, out.dtype))
            )
    channels, ws = random_input(svinet)
    with eg3d.kernels("torch"):
        exact = svinet.network(channels, ws)
        seen.clear()
        with torch.autocast("cpu", torch.bfloat16):
            lower = svinet.network(channels, ws)
    assert set(seen) == {(torch.float32, torch.float32)}
    assert decibels(lower, exact) > 40


def decibels(image, reference):
    return -10 * math.log10((image.float() - reference).square().mean().item())


@torch.no_grad()
@pytest.mark.parametrize("symmetry", [True, False])
@pytest.mark.parametrize("modulation", ["mapping", "index", "constant"])
def test_the_folded_path_equals_the_modules(modulation, symmetry):
    svinet = worn(tiny(modulation=modulation, symmetry=symmetry))
    channels, ws = random_input(svinet, 48, 80, batch_size=3)
    with eg3d.kernels("torch"):
        expected = svinet.network(channels, ws)
        with torch.autocast("cpu", torch.bfloat16):
            lower = svinet.network(channels, ws)
    with eg3d.kernels("numba"):
        image = svinet.network(channels, ws)
        with torch.autocast("cpu", torch.bfloat16):
            folded_lower = svinet.network(channels, ws)
    torch.testing.assert_close(image, expected, rtol=0, atol=3e-6)
    assert folded_lower.dtype == torch.float32
    assert decibels(folded_lower, expected) > max(40, decibels(lower, expected) - 3)


def worn(svinet: SVINet) -> SVINet:
    """Give batch norms statistics, scales and signs that are not those of the start."""
    for module in svinet.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.weight)
            torch.nn.init.normal_(module.bias, std=0.1)
            torch.nn.init.normal_(module.running_mean, std=0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
        elif isinstance(module, StyledConv):
            torch.nn.init.normal_(module.bias, std=0.1)
    return svinet


def test_which_path_is_taken():
    svinet = worn(tiny())
    channels, ws = random_input(svinet)
    assert not takes_folded(svinet.network, channels, ws), "parameters need gradients"
    with torch.no_grad():
        assert takes_folded(svinet.network, channels, ws)
        assert not takes_folded(svinet.network, channels.double(), ws)
        assert not takes_folded(svinet.network.train(), channels, ws)
        assert not takes_folded(tiny(modulation="none").network, channels, ws)
    frozen = tiny().requires_grad_(False).network
    assert takes_folded(frozen, channels, ws)
    assert not takes_folded(frozen, channels.requires_grad_(), ws)


@torch.no_grad()
def test_the_folded_path_follows_changed_weights():
    svinet = worn(tiny())
    channels, ws = random_input(svinet)
    before = svinet.network(channels, ws)
    svinet.network.model_res[0].conv1.ffc.convl2g.conv.weight.neg_()
    after = svinet.network(channels, ws)
    assert not torch.allclose(before, after, atol=1e-4)


def test_the_spectrum_and_back():
    for size in ((8, 8), (6, 10), (5, 7)):
        x = torch.randn(2, 3, *size, dtype=torch.float64)
        parts = to_spectrum(x)
        assert parts.shape == (2, 6, size[0], size[1] // 2 + 1)
        torch.testing.assert_close(from_spectrum(parts, size), x)
        torch.testing.assert_close(parts[:, 1::2][:, :, 0, 0], torch.zeros(2, 3).double())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_saved_and_loaded(tmp_path, dtype):
    svinet = tiny(film="one_plus_scale", modulated=False)
    save_svinet(svinet, tmp_path / "net.safetensors", dtype=dtype)
    loaded = load_svinet(tmp_path / "net.safetensors")
    assert not loaded.training and loaded.network.cond.film == "one_plus_scale"
    channels, ws = random_input(svinet)
    tolerance = 1e-6 if dtype == torch.float32 else 1e-2
    a, b = svinet.network(channels, ws), loaded.network(channels, ws)
    torch.testing.assert_close(a, b, rtol=0, atol=tolerance)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["net.json", "net.safetensors"]


def test_files_that_do_not_fit_are_named(tmp_path):
    path = tmp_path / "net.safetensors"
    with pytest.raises(ValueError, match="ending in .safetensors"):
        save_svinet(tiny(), tmp_path / "net.pt")
    with pytest.raises(FileNotFoundError, match=r"net\.safetensors"):
        load_svinet(path)
    save_svinet(tiny(), path)
    description = json.loads(path.with_suffix(".json").read_text())
    description["arguments"]["blocks"] = 3
    path.with_suffix(".json").write_text(json.dumps(description))
    with pytest.raises(ValueError, match="tensors do not fit"):
        load_svinet(path)
    description["format_version"] = 7
    path.with_suffix(".json").write_text(json.dumps(description))
    with pytest.raises(ValueError, match="format version 7"):
        load_svinet(path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"modulation": "film"}, "modulation='film'.*mapping"),
        ({"style_index": 5}, "hold 5.*num_ws=5"),
        ({"up_style_indices": [[0, 1], [2, 9], [0, 0]]}, "hold 9"),
        ({"up_style_indices": [[0, 1]]}, "expected 3 lists"),
        ({"width": 0}, "width=0"),
    ],
)
def test_arguments_that_do_not_fit_are_named(changes, words):
    with pytest.raises(ValueError, match=words):
        tiny(**changes)


RELEASED = {
    "num_ws": 14,
    "w_dim": 12,
    "width": 4,
    "blocks": 2,
    "modulation": "index",
    "film": "one_plus_scale",
}


@pytest.mark.parametrize("kind", [{}, {"symmetry": False}, {"modulation": "none"}])
def test_released_layout_round_trip(tmp_path, kind):
    torch.manual_seed(0)
    svinet = build_svinet(**RELEASED | kind).eval()
    path = tmp_path / "inpaintor.pt"
    discriminator = {"model0.0.weight": torch.randn(2, 3)}
    save_released_svinet(svinet, path, discriminator=discriminator)
    read = load_released_svinet(path)
    assert read.svinet.symmetry == svinet.symmetry
    own, loaded = svinet.network.state_dict(), read.svinet.network.state_dict()
    assert own.keys() == loaded.keys() and all(torch.equal(own[k], loaded[k]) for k in own)
    assert torch.equal(read.discriminator["model0.0.weight"], discriminator["model0.0.weight"])
    dead = kind.get("modulation") != "none"
    assert len(read.dropped) == (18 if dead else 0)
    assert all("toRGB" in name for name in read.dropped)
    assert ("18 entries" in read.report()) == dead
    # What was dropped can be written back.
    kept = {name: torch.full_like(value, 3.0) for name, value in read.dropped.items()}
    save_released_svinet(read.svinet, path, dropped=kept)
    again = load_released_svinet(path).dropped
    assert all(torch.equal(again[name], kept[name]) for name in kept)


def test_released_layout_is_strict(tmp_path):
    svinet = build_svinet(**RELEASED)
    state = export_released_state(svinet)
    path = tmp_path / "inpaintor.pt"

    def attempt(changed):
        torch.save({"inpaintor_state_dict": changed}, path)
        load_released_svinet(path)

    with pytest.raises(ValueError, match=r"1 entries missing.*toRGB\.bias"):
        attempt({k: v for k, v in state.items() if k != "model_up.1.toRGB.bias"})
    with pytest.raises(ValueError, match="1 unknown.*'extra'"):
        attempt(state | {"extra": torch.zeros(1)})
    with pytest.raises(ValueError, match=r"shape \(4,\), \(3,\) expected"):
        attempt(state | {"model_out.1.bias": torch.zeros(4)})
    with pytest.raises(ValueError, match="reads 11 channels"):
        attempt(state | {"model_down.1.ffc.convl2l.weight": torch.zeros(4, 11, 7, 7)})
    with pytest.raises(ValueError, match="not the weights of an SVINet"):
        attempt({"weight": torch.zeros(3)})
    torch.save({"psp_state_dict": state}, path)
    with pytest.raises(ValueError, match="no 'inpaintor_state_dict' inside"):
        load_released_svinet(path)


def test_sizes_are_read_off_the_shapes():
    state = export_released_state(build_svinet(**RELEASED | {"blocks": 3, "width": 8}))
    arguments = released_architecture(state).arguments
    assert (arguments["blocks"], arguments["width"], arguments["w_dim"]) == (3, 8, 12)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"film": "scale"}, "one_plus_scale"),
        ({"modulation": "mapping"}, "no place in the released layout"),
        ({"style_index": 8}, "fixed in the released code"),
    ],
)
def test_what_the_released_code_cannot_hold_is_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        export_released_state(build_svinet(**RELEASED | changes))


def residual_network(**changes):
    torch.manual_seed(0)
    return build_svinet(
        num_ws=4, w_dim=8, width=4, blocks=1, style_index=1, up_style_indices=[[1, 1]] * 3,
        output="residual", **changes,
    )  # fmt: skip


@pytest.mark.parametrize("modulation", ["mapping", "none"])
def test_a_residual_network_starts_with_the_fill_itself(modulation):
    svinet = residual_network(modulation=modulation)
    channels, ws = torch.rand(2, 14, 16, 24), torch.randn(2, 4, 8)
    for network in (svinet.network.train(), svinet.network.eval()):
        torch.testing.assert_close(network(channels, ws), channels[:, :3], atol=1e-6, rtol=0)


def test_a_residual_network_learns_at_the_ends_of_the_range_and_stays_inside_it():
    network = residual_network().network.train()
    channels, ws = torch.zeros(1, 14, 16, 16), torch.randn(1, 4, 8)
    loss = (network(channels, ws) - 0.5).square().mean()
    loss.backward()
    assert network.model_out[1].bias.grad.abs().min() > 0
    with torch.no_grad():
        network.model_out[1].bias.fill_(-3.0)
    assert network(channels, ws).min() < 0
    assert network.eval()(channels, ws).min() == 0


def test_a_residual_network_comes_back_and_is_no_released_one(tmp_path):
    svinet = residual_network(modulation="index", film="one_plus_scale").eval()
    save_svinet(svinet, tmp_path / "net.safetensors")
    assert load_svinet(tmp_path / "net.safetensors").network.residual
    with pytest.raises(ValueError, match="output='residual'"):
        export_released_state(svinet)


def test_stored_as_int8_a_network_is_nearly_the_same_and_a_quarter_as_large(tmp_path):
    torch.manual_seed(0)
    svinet = build_svinet(num_ws=5, w_dim=12, width=8, blocks=2, **INDICES).eval()
    sizes = {}
    for dtype in (torch.float32, torch.int8):
        save_svinet(svinet, tmp_path / "net.safetensors", dtype=dtype)
        sizes[dtype] = (tmp_path / "net.safetensors").stat().st_size
    assert sizes[torch.int8] < 0.45 * sizes[torch.float32]
    back = load_svinet(tmp_path / "net.safetensors").network.state_dict()
    for name, value in svinet.network.state_dict().items():
        if value.ndim > 1 and value.numel() >= 1024:
            rows = value.squeeze(0).flatten(1) if value.shape[0] == 1 else value.flatten(1)
            error = (back[name].reshape(rows.shape) - rows).abs().amax(1)
            assert (error <= 0.005 * rows.abs().amax(1)).all(), name
        else:
            torch.testing.assert_close(back[name].double(), value.double(), atol=1e-3, rtol=1e-3)
