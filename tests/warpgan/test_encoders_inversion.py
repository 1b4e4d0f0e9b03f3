import json

import pytest
import torch

from tests.parity_checks.recipe import recipe_tensor
from warpgan.encoders.inversion import (
    InversionEncoder,
    load_encoder,
    resize_square,
    save_encoder,
)
from warpgan.encoders.psp import PspEncoder
from warpgan.encoders.swin import SwinPyramidEncoder


def small_swin() -> SwinPyramidEncoder:
    return SwinPyramidEncoder(
        image_size=32,
        num_ws=6,
        w_dim=16,
        embed_dim=8,
        depths=(1, 1, 1, 1),
        num_heads=(1, 1, 2, 2),
        window=4,
        pretrained_windows=(0, 0, 0, 0),
        drop_path=0.1,
    )


def small_psp() -> PspEncoder:
    return PspEncoder(image_size=32, num_ws=6, w_dim=16, widths=(4, 4, 8, 8, 16), units=(1,) * 4)


def latent() -> torch.Tensor:
    return recipe_tensor("inversion", "latent", (16,), lo=-2, hi=2)


def photo(side: int = 64) -> torch.Tensor:
    return recipe_tensor("inversion", "photo", (2, 3, side, side), lo=-1, hi=1)


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_whole_factors_are_box_averages(factor):
    images = photo(16 * factor)
    boxes = images.double().unflatten(2, (16, factor)).unflatten(4, (16, factor)).mean(dim=(3, 5))
    torch.testing.assert_close(resize_square(images, 16).double(), boxes, atol=1e-6, rtol=0)


def test_other_ratios_keep_the_mean_and_the_own_size_is_untouched():
    images = photo(48)
    assert resize_square(images, 48) is images
    ramp = torch.linspace(-1, 1, 48).expand(1, 3, 48, 48)
    small = resize_square(ramp, 32)
    assert small.shape == (1, 3, 32, 32)
    torch.testing.assert_close(small.mean(), ramp.mean(), atol=1e-6, rtol=0)
    assert bool((small.diff(dim=-1) > 0).all())


@pytest.mark.parametrize("rows", [None, 1, 6])
def test_mean_latent_is_added(rows):
    encoder = small_swin().eval()
    value = (
        latent() if rows is None else latent().expand(rows, 16) * torch.arange(1, rows + 1)[:, None]
    )
    model = InversionEncoder(encoder, value).eval()
    small = resize_square(photo(), 32)
    torch.testing.assert_close(model(photo()), encoder(small) + value)


def test_wrong_latents_and_photos_are_refused():
    with pytest.raises(ValueError, match="mean latent"):
        InversionEncoder(small_swin(), torch.zeros(8))
    with pytest.raises(ValueError, match="mean latent"):
        InversionEncoder(small_swin(), torch.zeros(5, 16))
    with pytest.raises(ValueError, match="image_size=64"):
        InversionEncoder(small_swin(), latent(), image_size=64)
    model = InversionEncoder(small_swin(), latent())
    for shape in [(3, 64, 64), (1, 1, 64, 64), (1, 3, 64, 32)]:
        with pytest.raises(ValueError, match="expected \\[B, 3, S, S\\]"):
            model(torch.zeros(shape))


@pytest.mark.parametrize("build", [small_swin, small_psp])
def test_save_and_load(tmp_path, build):
    torch.manual_seed(0)
    model = InversionEncoder(build(), latent())
    model.train()
    model(photo())
    model.eval()
    path = tmp_path / "folder" / "encoder.safetensors"
    save_encoder(model, path)
    assert sorted(p.name for p in path.parent.iterdir()) == [
        "encoder.json",
        "encoder.safetensors",
    ]
    loaded = load_encoder(path)
    assert type(loaded.encoder) is type(model.encoder)
    assert loaded.encoder.arguments == model.encoder.arguments
    assert not loaded.training and not any(p.requires_grad for p in loaded.parameters())
    for name, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name
    # Frozen like the loaded one: torch folds a batched product by whether it could need a gradient.
    model.requires_grad_(False)
    assert torch.equal(loaded(photo()), model(photo()))


def saved(tmp_path):
    path = tmp_path / "encoder.safetensors"
    save_encoder(InversionEncoder(small_swin(), latent()), path)
    return path, path.with_suffix(".json")


def edit(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_bad_files_are_refused(tmp_path):
    path, beside = saved(tmp_path)
    with pytest.raises(ValueError, match="safetensors"):
        load_encoder(tmp_path / "encoder.pt")
    with pytest.raises(FileNotFoundError, match="other.safetensors"):
        load_encoder(tmp_path / "other.safetensors")
    edit(beside, format_version=2)
    with pytest.raises(ValueError, match="format version 2"):
        load_encoder(path)
    edit(beside, format_version=1, kind="resnet")
    with pytest.raises(ValueError, match="kind 'resnet'"):
        load_encoder(path)
    edit(beside, kind="swin", arguments={"sides": 3})
    with pytest.raises(ValueError, match="arguments"):
        load_encoder(path)
    beside.write_text("{")
    with pytest.raises(ValueError, match="JSON"):
        load_encoder(path)
    beside.write_text("{}")
    with pytest.raises(ValueError, match="does not describe an encoder"):
        load_encoder(path)
    beside.unlink()
    with pytest.raises(FileNotFoundError, match="encoder.json"):
        load_encoder(path)


def test_weights_that_do_not_fit_are_refused(tmp_path):
    path, beside = saved(tmp_path)
    arguments = json.loads(beside.read_text())["arguments"]
    edit(beside, arguments={**arguments, "embed_dim": 16})
    with pytest.raises(ValueError, match="do not fit the encoder"):
        load_encoder(path)
    edit(beside, arguments=arguments)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="not a readable safetensors"):
        load_encoder(path)


def test_half_precision_storage_halves_the_file_and_loads_as_float32(tmp_path):
    model = InversionEncoder(small_swin(), latent()).eval()
    save_encoder(model, tmp_path / "full.safetensors")
    save_encoder(model, tmp_path / "half.safetensors", dtype=torch.float16)
    sizes = [(tmp_path / f"{name}.safetensors").stat().st_size for name in ("full", "half")]
    assert sizes[1] < 0.6 * sizes[0]
    loaded = load_encoder(tmp_path / "half.safetensors").state_dict()
    for name, value in model.state_dict().items():
        assert loaded[name].dtype == value.dtype
        torch.testing.assert_close(loaded[name], value, atol=1e-3, rtol=1e-3)
