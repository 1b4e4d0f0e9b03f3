"""The training command on a folder of real photographs: only ``data.path`` changes."""

import json
from pathlib import Path

import skimage

from warpgan.cli import compose_config
from warpgan.data import crop_photo
from warpgan.encoders.inversion import load_encoder
from warpgan.train import train

ASTRONAUT = Path(skimage.__file__).parent / "data" / "astronaut.png"
POINTS_FILE = Path(__file__).parents[1] / "data" / "astronaut_points.json"


def test_the_encoder_trains_on_a_cropped_photograph(tmp_path):
    photos = tmp_path / "photos"
    command = [str(ASTRONAUT), str(photos), "--points-file", str(POINTS_FILE), "--mirror"]
    assert crop_photo.main(command) == 0
    words = [
        "encoder=swin", f"data.path={photos}", f"paths.runs={tmp_path}", "run.name=photos",
        "train.steps=2", "train.batch_size=2", "train.warmup_steps=0", "train.log_every=1",
        "eval.every=0", "train.image_every=1", "train.cpu=true",
    ]  # fmt: skip
    outcome = train(compose_config("train", words), words)
    assert outcome.step == 2
    records = [json.loads(line) for line in (tmp_path / "photos" / "metrics.jsonl").open()]
    assert [record["step"] for record in records] == [1, 2]
    assert all(record["loss"] > 0 for record in records)
    encoder = load_encoder(tmp_path / "photos" / "encoder.safetensors")
    assert encoder.num_ws == 8
    assert any((tmp_path / "photos" / "tensorboard").iterdir())
