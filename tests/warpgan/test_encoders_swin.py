from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from timm.models.swin_transformer_v2 import SwinTransformerV2
from torch._subclasses.fake_tensor import FakeTensorMode

from tests.parity_checks import encoder as parity
from tests.parity_checks.recipe import recipe_tensor
from warpgan.encoders.latent_heads import LatentHeads, default_level_counts
from warpgan.encoders.official_names import (
    COMPUTED,
    export_official_state,
    load_official_state,
)
from warpgan.encoders.released import load_imagenet_trunk
from warpgan.encoders.swin import SwinPyramidEncoder
from warpgan.encoders.swin_trunk import Pyramid

GOLDEN = Path(__file__).parents[1] / "golden"
MINI = {
    "image_size": 64,
    "num_ws": 10,
    "w_dim": 64,
    "embed_dim": 16,
    "depths": (2, 2, 2, 2),
    "num_heads": (1, 2, 4, 8),
    "window": 4,
    "pretrained_windows": (0, 0, 0, 0),
}


def mini_encoder(*, seed: int = 0, **changes) -> SwinPyramidEncoder:
    """A small encoder with random post-norms: at their zero initialisation all blocks are off."""
    torch.manual_seed(seed)
    encoder = SwinPyramidEncoder(**{**MINI, **changes})
    with torch.no_grad():
        for name, value in encoder.named_parameters():
            if "norm" in name:
                value.copy_(recipe_tensor("mini", name, tuple(value.shape), lo=0.4, hi=1.2))
    return encoder


def photos(batch: int = 2, side: int = 64) -> torch.Tensor:
    return recipe_tensor("mini", "photos", (batch, 3, side, side), lo=-1, hi=1)


@pytest.mark.parametrize(
    ("file", "count"),
    [(parity.FULL_IO, 14), (parity.FULL_LIST, 3), (parity.PARTS, 13)],
)
def test_golden(file, count):
    results = parity.FILES[file](GOLDEN)
    assert len(results) == count
    assert not [result for result in results if not result.ok]


def test_golden_notices_a_wrong_pretrained_window():
    golden = load_file(GOLDEN / parity.PARTS)
    block = parity.SwinTransformerV2Block(
        32, (16, 16), 4, window_size=8, shift_size=4, pretrained_window_size=0
    ).eval()
    state = {k[len("blk1.sd.") :]: v for k, v in golden.items() if k.startswith("blk1.sd.")}
    block.load_state_dict({k: v for k, v in state.items() if not k.endswith(COMPUTED)})
    output = block(golden["blk1.input"].unflatten(1, (16, 16))).flatten(1, 2)
    assert (output - golden["blk1.output"]).abs().max() > 1e-3


def test_official_names_round_trip():
    source, target = mini_encoder(seed=1), mini_encoder(seed=2)
    official = export_official_state(source)
    assert any(name.startswith("swin_model.layers.0.downsample.") for name in official)
    assert not any("layers.3.downsample" in name for name in official)
    load_official_state(target, official)
    for name, value in source.state_dict().items():
        assert torch.equal(target.state_dict()[name], value), name
    source.eval(), target.eval()
    assert torch.equal(source(photos()), target(photos()))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("cross_att_mid.linear1.bias"), "1 missing"),
        (lambda s: s.pop("swin_model.layers.0.blocks.0.attn.relative_coords_table"), "1 missing"),
        (lambda s: s.update({"decoder.weight": torch.zeros(1)}), "1 unknown"),
        (lambda s: s.update({"swin_model.norm.bias": torch.zeros(3)}), r"\(3,\)"),
        (lambda s: s.update({"swin_model.norm.bias": "text"}), "str"),
        (lambda s: s["swin_model.norm.bias"].fill_(float("nan")), "non-finite"),
        (
            lambda s: s["swin_model.layers.0.blocks.0.attn.relative_coords_table"].mul_(1.1),
            "window",
        ),
        (
            lambda s: s["swin_model.layers.0.blocks.1.attn.relative_position_index"].add_(1),
            "window",
        ),
        (lambda s: s["swin_model.layers.0.blocks.1.attn_mask"].neg_(), "window"),
    ],
)
def test_official_import_is_strict(change, message):
    encoder = mini_encoder()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    official = {name: value.clone() for name, value in export_official_state(encoder).items()}
    change(official)
    with pytest.raises(ValueError, match=message):
        load_official_state(encoder, official)
    assert all(torch.equal(before[name], value) for name, value in encoder.state_dict().items())


def test_wrong_pretrained_window_is_refused_though_all_shapes_fit():
    official = export_official_state(mini_encoder(pretrained_windows=(3, 3, 3, 3)))
    with pytest.raises(ValueError, match="pretrained_windows"):
        load_official_state(mini_encoder(), official)


@pytest.mark.parametrize("num_ws", range(4, 19))
def test_default_level_counts(num_ws):
    counts = default_level_counts(num_ws)
    assert sum(counts) == num_ws - 1 and min(counts) >= 1
    assert default_level_counts(14) == (3, 3, 7)


def test_levels_move_their_own_codes_only():
    encoder = mini_encoder().eval()
    counts = default_level_counts(10)
    start = 1
    for level, count in zip(("coarse", "mid", "fine"), counts, strict=True):
        before = encoder(photos())
        with torch.no_grad():
            getattr(encoder.heads, f"cross_att_{level}").linear2.bias.add_(1)
        changed = (encoder(photos()) - before).abs().amax(dim=(0, 2)) > 0.5
        expected = torch.zeros(10, dtype=torch.bool)
        expected[start : start + count] = True
        assert torch.equal(changed, expected)
        start += count


def test_stages_unlock_level_by_level():
    encoder = mini_encoder().eval()
    complete = encoder(photos())
    unlocked = 1
    for stage, count in enumerate((0, *default_level_counts(10))):
        unlocked += count
        encoder.stage = stage
        ws = encoder(photos())
        assert ws.shape == complete.shape
        torch.testing.assert_close(ws[:, :unlocked], complete[:, :unlocked])
        rest = ws[:, unlocked:]
        assert torch.equal(rest, ws[:, :1].expand_as(rest))
    assert unlocked == 10


def test_heads_equal_a_token_by_token_reference():
    torch.manual_seed(0)
    heads = LatentHeads(4, 8, num_ws=6, base_tokens=4, level_counts=(1, 2, 2), dropout=0.0).eval()
    sizes = {"fine": (256, 4), "mid": (64, 8), "coarse": (16, 16), "query": (4, 32)}
    maps = {name: torch.randn(1, *size) for name, size in sizes.items()}
    pyramid = Pyramid(**maps, base=torch.randn(1, 4, 32))
    with torch.no_grad():
        ws = heads(pyramid)[0]
        mixed = torch.stack([heads.mapper_base_spatial(row) for row in pyramid.base[0].T])[:, 0]
        base = heads.mapper_base_channel(mixed + pyramid.base[0].max(dim=0).values)
        memory = torch.stack([heads.mapper_coarse_channel(row) for row in maps["coarse"][0]])
        column = torch.stack([heads.mapper_query_spatial_coarse(r) for r in maps["query"][0].T])
        query = heads.mapper_query_channel_coarse(column[:, 0] + maps["query"][0].max(0).values)
        attention = heads.cross_att_coarse.multihead_attn
        q, k, v = (
            torch.nn.functional.linear(
                value,
                attention.in_proj_weight[i * 8 : i * 8 + 8],
                attention.in_proj_bias[i * 8 : i * 8 + 8],
            )
            for i, value in enumerate((query[None], memory, memory))
        )
        parts = []
        for head in range(4):
            s = slice(2 * head, 2 * head + 2)
            weights = torch.softmax(q[:, s] @ k[:, s].T / 2**0.5, dim=-1)
            parts.append(weights @ v[:, s])
        after = query + attention.out_proj(torch.cat(parts, dim=1))[0]
        after = (after - after.mean()) / (after.var(unbiased=False) + 1e-5).sqrt()
        block = heads.cross_att_coarse
        offset = after + block.linear2(block.linear1(after).clamp(min=0))
    torch.testing.assert_close(ws[0], base, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ws[1], base + offset, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("side, window", [(32, 4), (64, 8), (128, 8), (96, 4)])
def test_other_sizes(side, window):
    encoder = SwinPyramidEncoder(**{**MINI, "image_size": side, "window": window}).eval()
    assert encoder(photos(1, side)).shape == (1, 10, 64)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_size": 100}, "multiple of 32"),
        ({"num_ws": 3, "level_counts": None}, "num_ws=3"),
        ({"level_counts": (3, 3, 7)}, "level_counts"),
        ({"level_counts": (0, 2, 7)}, "level_counts"),
        ({"w_dim": 30}, "w_dim=30"),
        ({"depths": (2, 2, 2)}, "depths"),
        ({"num_heads": (3, 2, 4, 8)}, "num_heads"),
        ({"pretrained_windows": (0,)}, "pretrained_windows"),
    ],
)
def test_wrong_sizes_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        SwinPyramidEncoder(**{**MINI, **changes})


def test_activation_checkpointing_changes_no_gradient():
    gradients = []
    for recompute in (False, True):
        encoder = mini_encoder(activation_checkpointing=recompute, drop_path=0.3, dropout=0.1)
        encoder.train()
        torch.manual_seed(7)
        encoder(photos()).square().mean().backward()
        gradients.append({name: value.grad for name, value in encoder.named_parameters()})
    for name, value in gradients[0].items():
        assert value is not None and torch.equal(value, gradients[1][name]), name


def test_drop_path_and_dropout_act_in_training_only():
    encoder = mini_encoder(drop_path=0.5, dropout=0.5)
    encoder.train()
    assert not torch.equal(encoder(photos()), encoder(photos()))
    encoder.eval()
    assert torch.equal(encoder(photos()), encoder(photos()))
    still = mini_encoder(drop_path=0.0, dropout=0.0).train()
    assert torch.equal(still(photos()), still(photos()))


def test_backward_on_meta_and_bfloat16():
    encoder = mini_encoder().to("meta")
    encoder(photos().to("meta")).sum().backward()
    assert all(value.grad is not None for value in encoder.parameters())
    encoder = mini_encoder()
    with torch.autocast("cpu", torch.bfloat16):
        loss = encoder(photos()).float().square().mean()
    loss.backward()
    assert all(torch.isfinite(value.grad).all() for value in encoder.parameters())


def test_forward_on_fake_cuda():
    encoder = mini_encoder()
    mode = FakeTensorMode()
    with mode:
        for module in encoder.modules():
            for name, value in module._parameters.items():
                if value is not None:
                    fake = torch.empty(value.shape, device="cuda")
                    module._parameters[name] = torch.nn.Parameter(fake, requires_grad=False)
            for name, value in module._buffers.items():
                if value is not None:
                    module._buffers[name] = torch.empty(
                        value.shape, dtype=value.dtype, device="cuda"
                    )
        for training in (True, False):
            encoder.train(training)
            ws = encoder(torch.empty(2, 3, 64, 64, device="cuda"))
            assert ws.device.type == "cuda" and ws.shape == (2, 10, 64)


def imagenet_model(**changes) -> SwinTransformerV2:
    torch.manual_seed(5)
    sizes = {
        "img_size": 64,
        "embed_dim": 16,
        "depths": (2, 2, 2, 2),
        "num_heads": (1, 2, 4, 8),
        "window_size": 4,
        "num_classes": 7,
    }
    return SwinTransformerV2(**{**sizes, **changes})


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_imagenet_file_fills_the_trunk(tmp_path, suffix):
    model = imagenet_model()
    path = tmp_path / f"swinv2{suffix}"
    if suffix == ".pth":
        renamed = {}
        for name, value in model.state_dict().items():
            for stage in (1, 2, 3):
                old = f"layers.{stage}.downsample"
                if name.startswith(old):
                    name = name.replace(old, f"layers.{stage - 1}.downsample")
                    break
            renamed[name.replace("head.fc", "head")] = value
        renamed["layers.0.blocks.0.attn.relative_position_index"] = torch.zeros(1)
        torch.save({"model": renamed}, path)
    else:
        save_file(model.state_dict(), path)
    encoder = mini_encoder()
    load_imagenet_trunk(encoder, path)
    state = encoder.trunk.swin.state_dict()
    assert len(state) > 100
    for name, value in state.items():
        assert torch.equal(value, model.state_dict()[name]), name


def test_imagenet_file_of_another_size_is_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file(imagenet_model(embed_dim=32).state_dict(), path)
    with pytest.raises(ValueError, match="other.safetensors.*SwinV2 of this size"):
        load_imagenet_trunk(mini_encoder(), path)
    with pytest.raises(FileNotFoundError, match="absent"):
        load_imagenet_trunk(mini_encoder(), tmp_path / "absent.pth")
