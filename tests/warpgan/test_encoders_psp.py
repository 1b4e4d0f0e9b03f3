import pytest
import torch
from safetensors.torch import save_file

from tests.parity_checks.recipe import recipe_tensor
from warpgan.encoders.psp import PspEncoder, ScaledLinear, default_style_counts
from warpgan.encoders.released import load_arcface_trunk
from warpgan.perception.irse50 import IrSe50

MINI = {
    "image_size": 64,
    "num_ws": 10,
    "w_dim": 16,
    "widths": (4, 4, 8, 8, 16),
    "units": (1, 2, 2, 1),
}


def photos(side: int = 64) -> torch.Tensor:
    return recipe_tensor("psp", "photos", (2, 3, side, side), lo=-1, hi=1)


@pytest.mark.parametrize("num_ws", range(3, 19))
def test_default_style_counts(num_ws):
    counts = default_style_counts(num_ws)
    assert sum(counts) == num_ws and min(counts) >= 1
    assert default_style_counts(14) == (3, 4, 7)


@pytest.mark.parametrize("side", [32, 64, 128])
def test_shapes_and_gradients(side):
    encoder = PspEncoder(**{**MINI, "image_size": side})
    ws = encoder(photos(side))
    assert ws.shape == (2, 10, 16)
    ws.square().sum().backward()
    assert all(value.grad is not None for value in encoder.parameters())


def test_full_size_has_psp_dimensions():
    with torch.device("meta"):
        encoder = PspEncoder()
    assert encoder(torch.empty(1, 3, 256, 256, device="meta")).shape == (1, 14, 512)
    assert [len(level) for level in encoder.styles] == [3, 4, 7]
    # Coarse heads start at 16 pixels, middle at 32, fine at 64: 4, 5 and 6 halvings.
    assert [len(level[0].convs) // 2 for level in encoder.styles] == [4, 5, 6]


def test_each_level_sees_its_map_and_the_coarser_ones():
    torch.manual_seed(0)
    encoder = PspEncoder(**MINI).eval()
    before = encoder(photos())
    with torch.no_grad():
        encoder.lateral_fine.bias.add_(1)
    changed = (encoder(photos()) - before).abs().amax(dim=(0, 2)) > 0
    assert changed.tolist() == [False] * 5 + [True] * 5
    with torch.no_grad():
        encoder.lateral_middle.bias.add_(1)
    changed = (encoder(photos()) - before).abs().amax(dim=(0, 2)) > 0
    assert changed.tolist() == [False] * 2 + [True] * 8


def test_scaled_linear_has_unit_gain_at_start():
    torch.manual_seed(0)
    layer = ScaledLinear(256)
    output = layer(torch.randn(512, 256))
    assert 0.9 < output.std() < 1.1
    torch.testing.assert_close(output[:0], torch.zeros(0, 256))


def test_backward_on_meta():
    encoder = PspEncoder(**MINI).to("meta")
    encoder(photos().to("meta")).sum().backward()
    assert all(value.grad is not None for value in encoder.parameters())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_size": 96}, "power of two"),
        ({"image_size": 16}, "power of two"),
        ({"widths": (4, 4, 8)}, "widths"),
        ({"units": (1, 1, 0, 1)}, "units"),
        ({"style_counts": (3, 4, 7)}, "style_counts"),
        ({"num_ws": 2}, "num_ws=2"),
    ],
)
def test_wrong_sizes_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        PspEncoder(**{**MINI, **changes})


def test_arcface_file_fills_the_trunk_only(tmp_path):
    torch.manual_seed(0)
    net = IrSe50()
    path = tmp_path / "model_ir_se50.pth"
    torch.save(net.state_dict(), path)
    encoder = PspEncoder(image_size=32, num_ws=3, w_dim=8)
    heads = {k: v.clone() for k, v in encoder.state_dict().items() if k.startswith("styles.")}
    load_arcface_trunk(encoder, path)
    state = encoder.state_dict()
    for name, value in net.state_dict().items():
        if not name.startswith("output_layer."):
            assert torch.equal(state[name], value), name
    assert all(torch.equal(state[name], value) for name, value in heads.items())
    with pytest.raises(ValueError, match="model_ir_se50.pth.*do not fit"):
        load_arcface_trunk(PspEncoder(**MINI), path)
    other = tmp_path / "other.safetensors"
    save_file({"fc.weight": torch.zeros(2)}, other)
    with pytest.raises(ValueError, match="do not fit"):
        load_arcface_trunk(encoder, other)
