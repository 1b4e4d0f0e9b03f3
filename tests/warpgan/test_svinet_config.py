"""SVINet's side of the Hydra tree: presets, ablation rows and switches compose and instantiate."""

import itertools
import re

import pytest
import torch

from warpgan.cli import build_node, compose_config
from warpgan.svinet_config import check_svinet_config
from warpgan.training.svinet_start import read_svinet_config
from warpgan.warp import WarpOptions

PRESETS = ("mini", "paper", "official")
DRY = ("svinet_losses.pretrained=false",)


def composed(*overrides: str):
    return compose_config("train_svinet", [*overrides, *DRY])


@pytest.mark.parametrize("preset,row", list(itertools.product(PRESETS, "CDEFG")))
def test_every_preset_and_row_composes_and_instantiates(preset, row):
    config = composed(f"preset={preset}", f"ablation={row}")
    settings = read_svinet_config(config)
    assert settings.run.name == f"svinet_{preset}_{row}"
    sizes = config.scale.svinet
    codes = {"num_ws": 8, "w_dim": 256} if preset == "mini" else {"num_ws": 14, "w_dim": 512}
    with torch.device("meta"):
        svinet = build_node(config, "svinet", **codes)
        discriminator = build_node(config, "discriminator")
        channels = torch.empty(1, 7 if row == "E" else 14, 64, 64)
        ws = torch.empty(1, *codes.values())
        assert svinet.network(channels, ws).shape == (1, 3, 64, 64)
        assert len(discriminator(torch.empty(1, 3, 64, 64)).features) == 5
    assert svinet.symmetry == (row != "E")
    assert sizes.width == (16 if preset == "mini" else 64)
    assert isinstance(build_node(config, "geometry"), WarpOptions)
    assert settings.ablation.synthetic_pairs == (row != "F")


@pytest.mark.parametrize("preset", PRESETS)
def test_the_losses_of_a_preset_instantiate_with_and_without_the_latent_term(preset):
    with_term = build_node(composed(f"preset={preset}"), "svinet_losses")
    without = build_node(composed(f"preset={preset}", "ablation=D"), "svinet_losses")
    assert with_term.uses_encoder and not without.uses_encoder


def test_the_papers_and_the_released_values():
    mini, paper, official = (read_svinet_config(composed(f"preset={p}")) for p in PRESETS)
    for settings in (paper, official):
        assert settings.train.steps == 300_000
        assert (settings.train.batch_size, settings.train.synthetic_batch_size) == (2, 2)
        assert settings.train.learning_rate == 1e-3
        assert settings.train.discriminator_learning_rate == 1e-4
        assert settings.train.schedule == "constant" and settings.train.ema_decay is None
        assert settings.views.synthetic_pairs == 100_000 and settings.views.truncation_psi == 0.7
        weights = settings.svinet_losses["weights"]
        assert (weights["mae"], weights["perceptual"], weights["adversarial"]) == (10, 30, 10)
        assert weights["latent"] == 0.1 and weights["r1"] == 0.001
        assert settings.svinet_losses["perceptual"] == "resnet_pl"
    assert paper.svinet_losses["weights"]["identity"] == 0.1
    assert official.svinet_losses["weights"]["identity"] == 0.5
    assert paper.svinet_losses["weights"]["feature_matching"] == 0
    assert official.svinet_losses["weights"]["feature_matching"] == 100
    assert (paper.train.rewarped, official.train.rewarped) == ("prediction", "fill")
    assert (paper.views.poses, official.views.poses) == ("labels", "uniform")
    assert paper.svinet_losses["adversarial_novel"] == "full"
    assert official.svinet_losses["adversarial_novel"] == "none"
    assert official.svinet_losses["input_range"] == "unit"
    geometry = {s.run.preset: build_node(composed(f"preset={s.run.preset}"), "geometry")
                for s in (mini, paper, official)}  # fmt: skip
    assert (geometry["official"].depth, geometry["official"].pixel_grid) == ("ray", "integer")
    assert geometry["official"].hole_test == "black"
    assert (geometry["paper"].depth, geometry["paper"].visibility) == ("z", False)
    assert geometry["mini"].visibility and geometry["mini"].scale_blur
    film = {p: composed(f"preset={p}").svinet.film for p in PRESETS}
    assert film == {"mini": "scale", "paper": "scale", "official": "one_plus_scale"}
    assert {"id_faceres", "perc_vgg16hed"}.isdisjoint(
        {mini.svinet_losses["perceptual"], mini.svinet_losses["identity"]}
    )


def test_a_config_without_faults_passes_and_each_bound_bites():
    check_svinet_config(read_svinet_config(composed()))
    for key, value in {
        "train.steps": 0, "train.batch_size": 0, "train.synthetic_batch_size": 0,
        "train.rewarped": "both", "train.schedule": "linear", "train.ema_decay": 1.0,
        "train.gradient_clip": 0.0, "views.poses": "frontal", "views.synthetic_codes": "none",
        "views.synthetic_pairs": 0, "eval.protocol": "two_view", "eval.batch_size": 0,
        "scale.image_size": 60, "train.keep_checkpoints": 0,
    }.items():  # fmt: skip
        with pytest.raises(ValueError, match=re.escape(f"{key}=")):
            read_svinet_config(composed(f"{key}={value}"))
