"""``evaluate.camera_refine`` and the wrapper around methods that it puts."""

import json
from pathlib import Path

import pytest
import torch

from tests.warpgan.evaluation_world import (
    SIZE,
    build_encoder,
    build_generator,
    write_photos,
    write_run,
)
from warpgan import evaluate as entry
from warpgan.cameras import look_at
from warpgan.cli import compose_config
from warpgan.methods.base import Inversion, Method
from warpgan.methods.build import Models
from warpgan.methods.refined import CameraRefiner, WithRefinedCamera


class Listener(Method):
    """Remembers the cameras that it was told."""

    name, image_size, note = "listener", SIZE, "a note"

    def __init__(self) -> None:
        self.told: list[torch.Tensor] = []

    def invert(self, photo, camera):
        self.told.append(camera)

        class Nothing(Inversion):
            seconds = 1.0

            def render(self, cameras):
                raise NotImplementedError

        return Nothing()


@pytest.fixture(scope="module")
def models() -> Models:
    generator = build_generator().eval().requires_grad_(False)
    return Models(generator=generator, encoder=build_encoder(generator))


def test_methods_are_told_the_same_corrected_cameras(models):
    photos = torch.rand(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0)) * 2 - 1
    cameras = look_at([5.0, -9.0], [0.0, 3.0])
    refiner, listeners = CameraRefiner(models, steps=2), (Listener(), Listener())
    for listener in listeners:
        wrapped = WithRefinedCamera(listener, refiner)
        assert wrapped.note == "a note; source cameras refined in up to 2 steps"
        assert [path.stem for path in wrapped.files] == ["perc_efficientnet"]
        assert wrapped.invert(photos, cameras).seconds > 1
    told = listeners[0].told[0]
    assert told is not cameras and torch.equal(told, listeners[1].told[0])
    alone, _ = CameraRefiner(models, steps=2).refined(photos[1:], cameras[1:])
    assert torch.equal(alone, told[1:])


def test_an_encoder_is_needed(models):
    with pytest.raises(ValueError, match="needs an encoder"):
        CameraRefiner(Models(generator=models.generator, encoder=None), steps=2)


def settings_of(world: Path, name: str, *words: str) -> dict:
    given = [
        f"paths.runs={world / 'runs'}",
        f"data.path={world / 'photos'}",
        f"evaluate.encoder={world / 'runs' / 'trained'}",
        f"run.name={name}",
        "method=[encoder]",
        "metrics=pixels",
        "evaluate.resamples=200",
        "evaluate.pictures=0",
        "evaluate.device=cpu",
        "evaluate.count=2",
        *words,
    ]
    entry.evaluate(compose_config("evaluate", given), given)
    return json.loads((world / "runs" / name / "encoder" / "settings.json").read_text())


def test_only_refined_evaluations_have_other_settings(tmp_path):
    write_photos(tmp_path / "photos", people=1)
    write_run(tmp_path / "runs" / "trained")
    plain = settings_of(tmp_path, "plain")
    assert "camera" not in str(plain["note"]) and "perc_efficientnet" not in str(plain["files"])
    refined = settings_of(tmp_path, "refined", "evaluate.camera_refine=1")
    assert refined["note"] == "source cameras refined in up to 1 steps"
    changed = {key for key in plain if plain[key] != refined[key]}
    assert plain.keys() == refined.keys() and changed == {"note", "files"}
    with pytest.raises(SystemExit):
        settings_of(tmp_path, "plain", "evaluate.camera_refine=1")
    with pytest.raises(SystemExit):
        settings_of(tmp_path, "other", "evaluate.camera_refine=-1")
