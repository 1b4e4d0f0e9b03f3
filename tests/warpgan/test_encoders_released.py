import shutil
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from tests.parity_checks import encoder as parity
from tests.parity_checks.recipe import recipe_tensor
from tests.warpgan.hostile import Planted
from tests.warpgan.test_encoders_swin import mini_encoder, photos
from warpgan.encoders.official_names import export_official_state
from warpgan.encoders.released import (
    load_latent_average,
    load_released_encoder,
    load_released_inversion,
)

GOLDEN = Path(__file__).parents[1] / "golden"


def save_like_the_release(path, encoder, *, key="psp_state_dict", **more):
    state = OrderedDict(export_official_state(encoder))
    state._metadata = OrderedDict({"": {"version": 1}})
    content = {
        key: state,
        "opts": OmegaConf.create({"gan": {"encoder_type": "goae", "steps": [1, 2]}}),
        "step": 500000,
        "best_val_loss": torch.tensor(0.25),
        "psp_optimizer": {"state": {0: {"exp_avg": torch.zeros(5)}}, "param_groups": []},
        **more,
    }
    torch.save(content, path)
    return path


def photos_at_half() -> torch.Tensor:
    return photos(side=128).unflatten(2, (64, 2)).unflatten(4, (64, 2)).mean(dim=(3, 5))


@pytest.mark.parametrize("key", ["psp_state_dict", "state_dict"])
def test_release_layout_is_read(tmp_path, key):
    source = mini_encoder(seed=1).eval()
    path = save_like_the_release(tmp_path / "gan_encoder.pt", source, key=key)
    loaded = load_released_encoder(path, mini_encoder(seed=2))
    assert not loaded.training
    assert torch.equal(loaded(photos()), source(photos()))


def test_bare_state_dict_is_read(tmp_path):
    source = mini_encoder(seed=1).eval()
    torch.save(export_official_state(source), tmp_path / "bare.pt")
    loaded = load_released_encoder(tmp_path / "bare.pt", mini_encoder(seed=2))
    assert torch.equal(loaded(photos()), source(photos()))


def test_planted_call_beside_the_weights_does_not_run(tmp_path):
    target = tmp_path / "planted"
    path = save_like_the_release(
        tmp_path / "gan_encoder.pt", mini_encoder(seed=1), extra=Planted(target)
    )
    load_released_encoder(path, mini_encoder(seed=2))
    assert not target.exists()


def test_stub_is_refused_as_an_encoder():
    with pytest.raises(ValueError, match="stub.pt.*has 3 entries, .* missing"):
        load_released_encoder(GOLDEN / parity.STUB, mini_encoder())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "holds a list"),
        ({"psp_state_dict": None}, "no weights"),
        ({"psp_state_dict": {}}, "no weights"),
        ({}, "no weights"),
        ({"model": {"a": torch.zeros(1)}}, "psp_state_dict"),
        ({"psp_state_dict": {"a": torch.zeros(1)}}, "1 unknown"),
    ],
)
def test_other_contents_are_refused(tmp_path, content, message):
    path = tmp_path / "file.pt"
    torch.save(content, path)
    with pytest.raises(ValueError, match=f"file.pt.*{message}"):
        load_released_encoder(path, mini_encoder())


def test_another_size_is_refused(tmp_path):
    path = save_like_the_release(tmp_path / "gan_encoder.pt", mini_encoder(embed_dim=32))
    with pytest.raises(ValueError, match="gan_encoder.pt.*must be built with the sizes"):
        load_released_encoder(path, mini_encoder())


def test_latent_average(tmp_path):
    value = recipe_tensor("released", "latent", (1, 64), lo=-1, hi=1)
    path = tmp_path / "latent_avg.pt"
    torch.save(value, path)
    assert torch.equal(load_latent_average(path), value)
    source = mini_encoder(seed=1).eval()
    weights = save_like_the_release(tmp_path / "gan_encoder.pt", source)
    model = load_released_inversion(weights, path, encoder=mini_encoder(seed=2))
    assert not model.training and not any(p.requires_grad for p in model.parameters())
    torch.testing.assert_close(model(photos(side=128)), source(photos_at_half()) + value)
    for bad, message in [
        (torch.zeros(14, 64), r"\(14, 64\)"),
        (torch.zeros(1, 64, dtype=torch.int64), "int64"),
        (torch.full((1, 64), float("inf")), "non-finite"),
        ({"latent_avg": value}, "holds a dict"),
    ]:
        torch.save(bad, path)
        with pytest.raises(ValueError, match=message):
            load_latent_average(path)
    shutil.copy(GOLDEN / parity.STUB, path)
    with pytest.raises(ValueError, match="not a file of plain tensors"):
        load_latent_average(path)
    path.unlink()
    with pytest.raises(FileNotFoundError):
        load_latent_average(path)
