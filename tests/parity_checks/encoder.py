"""Golden checks of the Swin pyramid encoder, its parts and the reader of its checkpoint."""

import re
from pathlib import Path

import torch
from safetensors.torch import load_file
from timm.models.swin_transformer_v2 import (
    PatchMerging,
    SwinTransformerV2Block,
    WindowAttention,
)
from torch import Tensor

from tests.parity_checks import Comparison, compare
from tests.parity_checks.recipe import check_state_dict, recipe_state
from warpgan.checkpoint_reader import read_torch_zip
from warpgan.encoders.latent_heads import CrossAttention
from warpgan.encoders.official_names import COMPUTED, export_official_state, load_official_state
from warpgan.encoders.swin import SwinPyramidEncoder

FULL_IO = "encoder_full_recipe_io.safetensors"
FULL_LIST = "encoder_full_state_dict.json"
SMALL = "encoder_small.safetensors"
PARTS = "encoder_parts.safetensors"
STUB = "ckpt_gan_encoder_layout_stub.pt"


def small_encoder() -> SwinPyramidEncoder:
    """Build the encoder of `encoder_small.safetensors`."""
    return SwinPyramidEncoder(
        image_size=128,
        num_ws=14,
        w_dim=64,
        embed_dim=16,
        depths=(2, 2, 4, 2),
        num_heads=(2, 4, 8, 16),
        window=8,
        pretrained_windows=(6, 6, 6, 3),
    )


def check_full(folder: Path) -> list[Comparison]:
    """Full size, recipe weights through the official importer."""
    golden = load_file(folder / FULL_IO)
    encoder = SwinPyramidEncoder().eval()
    own = export_official_state(encoder)
    load_official_state(encoder, recipe_state(folder / FULL_LIST, own))
    return _check_outputs(FULL_IO, encoder, golden, tolerance=2e-4)


def check_full_list(folder: Path) -> list[Comparison]:
    """The 545 official names against what we export, and the tables our constructor computes."""
    return check_state_dict(folder / FULL_LIST, export_official_state(SwinPyramidEncoder()))


def check_small(folder: Path) -> list[Comparison]:
    """An eighth of the width, stored weights."""
    golden = load_file(folder / SMALL)
    encoder = small_encoder().eval()
    load_official_state(encoder, {k[3:]: v for k, v in golden.items() if k.startswith("sd.")})
    return _check_outputs(SMALL, encoder, golden, tolerance=1e-4)


@torch.no_grad()
def _check_outputs(
    file: str, encoder: SwinPyramidEncoder, golden: dict[str, Tensor], *, tolerance: float
) -> list[Comparison]:
    images = golden["input_u8"] / 127.5 - 1
    pyramid = encoder.trunk(images)
    ws = encoder(images)
    ours = {f"pyramid.{name}": getattr(pyramid, name) for name in ("fine", "mid", "coarse")}
    ours |= {f"pyramid.{name}": getattr(pyramid, name).mT for name in ("query", "base")}
    ours |= {"ws": ws, "ws_f64": ws, "codes": ws + golden["latent_avg"]}
    for stage in range(3):
        ours[f"ws_stage{stage}"] = encoder.heads(pyramid, stage=stage)
    ours |= {f"head.{name}": value for name, value in _head_values(encoder, pyramid).items()}
    results = []
    for key, expected in golden.items():
        if key.startswith("sd.") or key in ("input_u8", "latent_avg"):
            continue
        cut = re.fullmatch(r"(.+)_ch(\d+):(\d+)", key)
        value = ours[cut[1]][..., int(cut[2]) : int(cut[3])] if cut else ours[key]
        value = value[: len(expected)]
        results.append(compare(file, key, value, expected, max_tolerance=tolerance))
    return results


def _head_values(encoder: SwinPyramidEncoder, pyramid) -> dict[str, Tensor]:
    """Collect the output of every head module, and the keys and values they add up to."""
    values: dict[str, Tensor] = {}
    hooks = []
    for name, module in encoder.heads.named_children():
        hooks.append(
            module.register_forward_hook(lambda m, i, out, name=name: values.update({name: out}))
        )
        if name.startswith("cross_att_"):
            level = name.removeprefix("cross_att_")
            hooks.append(
                module.register_forward_pre_hook(
                    lambda m, args, level=level: values.update({f"kv_{level}": args[1]})
                )
            )
    encoder.heads(pyramid)
    for hook in hooks:
        hook.remove()
    return values


@torch.no_grad()
def check_parts(folder: Path) -> list[Comparison]:
    """timm's attention, block and merge and our cross-attention against the official ones."""
    golden = load_file(folder / PARTS)

    def state(part: str) -> dict[str, Tensor]:
        prefix = f"{part}.sd."
        return {k.removeprefix(prefix): v for k, v in golden.items() if k.startswith(prefix)}

    def load(part: str, module: torch.nn.Module) -> torch.nn.Module:
        buffers = dict(module.named_buffers())
        for name, value in state(part).items():
            if name.endswith(COMPUTED):
                key = f"{part}.sd.{name}"
                tables.append(compare(PARTS, key, buffers[name], value, max_tolerance=1e-6))
        weights = {k: v for k, v in state(part).items() if not k.endswith(COMPUTED)}
        module.load_state_dict(weights)
        return module.eval()

    tables: list[Comparison] = []
    window = load("wa", WindowAttention(32, (8, 8), 4, pretrained_window_size=(6, 6)))
    outputs = {
        "wa.output": window(golden["wa.input"]),
        "wa.output_masked": window(golden["wa.input"], mask=golden["wa.mask"]),
    }
    for part, shift in (("blk0", 0), ("blk1", 4)):
        block = SwinTransformerV2Block(
            32, (16, 16), 4, window_size=8, shift_size=shift, pretrained_window_size=6
        )
        maps = golden[f"{part}.input"].unflatten(1, (16, 16))
        outputs[f"{part}.output"] = load(part, block)(maps).flatten(1, 2)
    merge = load("pm", PatchMerging(32))
    outputs["pm.output"] = merge(golden["pm.input"].unflatten(1, (16, 16))).flatten(1, 2)
    attention = load("ca", CrossAttention(64, 4, hidden=128, dropout=0.1))
    outputs["ca.output"] = attention(golden["ca.tgt"], golden["ca.memory"])
    return tables + [
        compare(PARTS, key, value, golden[key], max_tolerance=1e-5)
        for key, value in outputs.items()
    ]


def check_stub(folder: Path) -> list[Comparison]:
    """The three placeholder tensors of the checkpoint that pickles OmegaConf objects."""
    content = read_torch_zip(folder / STUB)
    state = content["psp_state_dict"]
    expected = {
        "swin_model.norm.weight": torch.ones(8),
        "swin_model.layers.0.blocks.1.attn_mask": torch.zeros(2, 4, 4),
        "cross_att_fine.linear1.bias": torch.arange(4.0),
    }
    wrong = len(expected.keys() ^ state.keys()) + (content["step"] != 7)
    results = [Comparison(STUB, "keys and step", float(wrong), float(wrong), 0.0)]
    for key, value in expected.items():
        given = state.get(key, torch.empty(0))
        results.append(compare(STUB, key, given, value, max_tolerance=0.0))
    return results


FILES = {
    FULL_IO: check_full,
    FULL_LIST: check_full_list,
    SMALL: check_small,
    PARTS: check_parts,
    STUB: check_stub,
}
