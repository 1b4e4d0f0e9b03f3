"""The Hydra tree: everything composes and instantiates, wrong words are refused in one sentence."""

import itertools
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from hydra.utils import instantiate
from omegaconf import OmegaConf

from warpgan.cli import ConfigError, build_node, compose_config
from warpgan.config import CONFIG_DIR, check_config, flatten
from warpgan.training.start import read_config

PRESETS = ("mini", "paper", "official")
ENCODERS = ("swin", "psp")
ABLATIONS = ("null", *"ABCDEFG")
# Generators and nets of the paper's sizes without their files.
DRY = ("losses.pretrained=false",)


def composed(*overrides: str):
    return compose_config("train", overrides)


@pytest.mark.parametrize("preset,encoder", list(itertools.product(PRESETS, ENCODERS)))
def test_every_preset_encoder_and_ablation_composes_and_instantiates(preset, encoder):
    generator = "random_tiny" if preset == "mini" else "random_full"
    nodes = set()
    for ablation in ABLATIONS:
        config = composed(f"preset={preset}", f"encoder={encoder}", f"ablation={ablation}", *DRY)
        settings = read_config(config)
        assert settings.run.preset == preset
        assert settings.ablation.row == ("G" if ablation == "null" else ablation)
        assert settings.run.name == f"encoder_{encoder}_{preset}"
        nodes.add(json.dumps([settings.encoder, settings.losses, settings.optimizer]))
    assert len(nodes) == 1, "an ablation of SVINet must leave the encoder training alone"
    built = composed(f"preset={preset}", f"encoder={encoder}", f"generator={generator}", *DRY)
    with torch.device("meta"):
        network = build_node(built, "encoder", num_ws=14, w_dim=512)
        photo = torch.empty(1, 3, built.scale.encoder_size, built.scale.encoder_size)
        assert network(photo).shape == (1, 14, 512)
    assert build_node(built, "generator").img_resolution == (32 if preset == "mini" else 512)
    losses = build_node(built, "losses")
    assert losses.size == built.scale.loss_size
    optimizer = build_node(built, "optimizer")([torch.nn.Parameter(torch.zeros(2))])
    assert optimizer.param_groups[0]["lr"] == built.train.learning_rate


def test_the_papers_values():
    paper, official, mini = (
        read_config(composed(f"preset={preset}")) for preset in PRESETS[1:] + PRESETS[:1]
    )
    for settings in (paper, official):
        assert settings.train.steps == 500_000 and settings.train.batch_size == 4
        assert settings.train.learning_rate == 1e-4 and settings.train.schedule == "constant"
        assert settings.train.ema_decay is None and settings.train.gradient_clip is None
        assert settings.scale.image_size == 512 and settings.scale.loss_size == 256
        weights = settings.losses["weights"]
        assert (weights["mse"], weights["perceptual"], weights["identity"]) == (1.0, 0.8, 0.1)
        assert settings.run.seed == 2107
    assert paper.losses["weights"]["w_delta"] == 0
    assert official.losses["weights"]["w_delta"] == 0.0005
    assert official.generator["plane_axes"] == "fixed"
    assert paper.generator["plane_axes"] == "released"
    assert (paper.train.encoder_start, official.train.encoder_start) == ("random", "encoder_goae")
    assert mini.losses["perceptual"] == "perc_efficientnet"
    assert mini.losses["identity"] == "id_dlib"
    assert not {"id_faceres", "perc_vgg16hed"} & {
        mini.losses["perceptual"],
        mini.losses["identity"],
    }


def test_the_ablation_rows():
    rows = {row: read_config(composed(f"ablation={row}")).ablation for row in "ABCDEFG"}
    off = {
        row: {key for key, value in vars(switches).items() if value is False}
        for row, switches in rows.items()
    }
    assert off["G"] == set()
    assert off["B"] == off["A"] - {"warp"}
    assert (off["C"], off["D"]) == ({"modulation"}, {"latent_consistency"})
    assert (off["E"], off["F"]) == ({"symmetry"}, {"synthetic_pairs"})


@pytest.mark.parametrize("path", sorted(CONFIG_DIR.rglob("*.yaml")), ids=lambda path: path.name)
def test_every_file_is_yaml_and_says_how_to_choose_it(path):
    text = path.read_text()
    assert isinstance(yaml.safe_load(text), dict)
    comments = [line for line in text.splitlines() if line.startswith("# ")]
    assert [line for line in comments if line != "# @package _global_"]


@pytest.mark.parametrize(
    "group",
    ["preset", "scale", "generator", "encoder", "data", "losses", "optimizer", "experiment"],
)
def test_every_choice_of_every_group_composes(group):
    for path in sorted((CONFIG_DIR / group).glob("*.yaml")):
        settings = read_config(composed(f"{group}={path.stem}"))
        assert settings.train.steps > 0


def test_the_command_line_wins_over_the_preset():
    config = composed("preset=official", "losses=mini", "scale=mini", "train.steps=7")
    assert config.losses.perceptual == "perc_efficientnet"
    assert config.scale.image_size == 128 and config.train.steps == 7
    assert config.generator.weights == "eg3d_lpff"


def test_an_experiment_wins_over_the_preset(tmp_path):
    assert composed("experiment=example", "preset=paper").train.learning_rate == 5e-4


def test_an_experiment_names_its_run_unless_the_command_line_does():
    assert compose_config("train", ["experiment=quickstart"]).run.name == "quickstart"
    named = compose_config("train", ["experiment=quickstart", "run.name=mine"])
    assert named.run.name == "mine"


def test_a_misspelt_key_in_an_experiment_file_is_refused():
    file = CONFIG_DIR / "experiment" / "misspelt_for_a_test.yaml"
    file.write_text("# @package _global_\ntrain:\n  stepz: 3\n")
    try:
        with pytest.raises(ConfigError, match="stepz"):
            composed("experiment=misspelt_for_a_test")
    finally:
        file.unlink()


def test_values_survive_the_way_through_yaml():
    plain = OmegaConf.to_container(composed(), resolve=True)
    assert yaml.safe_load(yaml.safe_dump(plain)) == plain
    assert "train.steps" in flatten(plain)


def test_a_config_without_faults_passes_and_each_bound_bites():
    for key, value in {
        "train.steps": 0, "train.batch_size": 0, "train.accumulation": 0, "train.ema_decay": 1.0,
        "train.gradient_clip": 0.0, "train.render_samples": "[8]", "scale.loss_size": 60,
        "train.schedule": "linear", "train.supervise": "both", "eval.batch_size": 0,
        "train.keep_checkpoints": 0, "train.learning_rate": -1.0,
    }.items():  # fmt: skip
        settings = OmegaConf.to_object(composed(f"{key}={value}"))
        with pytest.raises(ValueError, match=re.escape(f"{key}=")):
            check_config(settings)


def test_instantiate_stands_at_the_entry_only():
    users = {
        path.relative_to(CONFIG_DIR.parent).as_posix()
        for path in (CONFIG_DIR.parent / "warpgan").rglob("*.py")
        if re.search(r"\binstantiate\(", path.read_text())
    }
    assert instantiate is not None
    assert not any(
        re.match(r"warpgan/(losses|encoders|perception|data|metrics)/", user) for user in users
    )


@pytest.mark.parametrize("word", ["train.stepz=3", "encoder=vit"])
def test_the_command_line_ends_in_one_message(word, tmp_path):
    finished = subprocess.run(
        [sys.executable, "-m", "warpgan.train", word],
        cwd=Path(__file__).parents[2], capture_output=True, text=True,
    )  # fmt: skip
    assert finished.returncode == 2
    assert len(finished.stderr.strip().splitlines()) == 1
    assert "Traceback" not in finished.stderr and word in finished.stderr


def test_help_names_groups_and_exit_codes():
    finished = subprocess.run(
        [sys.executable, "-m", "warpgan.train", "--help"],
        cwd=Path(__file__).parents[2], capture_output=True, text=True,
    )  # fmt: skip
    assert finished.returncode == 0
    for part in ("encoder=swin", "preset: mini, official, paper", "75", "batch_size: 4"):
        assert part in finished.stdout, part
