"""One generator state for a photo: what it learns, keeps in a file, and how edits act on it."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.warpgan.synthesis_world import build_pipeline, orbit, photos, source_cameras
from warpgan.cameras import yaw_pitch
from warpgan.lifting import LiftSettings, lift, load_lifted
from warpgan.lifting.lifted_face import weights_hash
from warpgan.lifting.optimise import teacher_cameras, teacher_views
from warpgan.lifting.residual_planes import residual_shape, with_residual
from warpgan.perception import build_perceptual

QUICK = LiftSettings(
    steps=6, planes_rate=0.1, orbit_frames=3, wide_yaws=(-40.0, 40.0), loss_size=32
)


@pytest.fixture(scope="module")
def net():
    return build_perceptual("perc_efficientnet")


@pytest.fixture(scope="module")
def face():
    return build_pipeline().invert(photos(1), source_cameras(1))


@pytest.fixture(scope="module")
def lifted(face, net):
    return lift(face, QUICK, perceptual=net)


@pytest.fixture
def saved(lifted, tmp_path):
    lifted.save(tmp_path / "lifted.safetensors")
    return tmp_path / "lifted.safetensors"


@pytest.fixture(scope="module")
def edit(face):
    random = torch.Generator().manual_seed(5)
    return torch.randn(face.ws.shape[1:], generator=random)


def error(image, wanted) -> float:
    return (image - wanted).square().mean().item()


def test_lifting_comes_nearer_to_photo_and_views_and_leaves_the_generator(face, lifted, net):
    before = weights_hash(face.model.generator)
    teachers = teacher_views(face, QUICK)
    cameras = torch.cat([face.camera, teachers.camera])
    wanted = torch.cat([face.photo, teachers.image])
    plain = face.model.generator.render(face.planes, face.ws, cameras[None]).image[0]
    assert error(lifted.render(cameras).image[0], wanted) < 0.95 * error(plain, wanted)
    lift(face, replace(QUICK, steps=1), perceptual=net)
    assert weights_hash(face.model.generator) == before


def test_only_planes_and_decoder_change_by_default(lifted, face):
    assert lifted.changed and all(name.startswith("decoder.") for name in lifted.changed)
    own, original = lifted.generator.state_dict(), face.model.generator.state_dict()
    assert all(
        torch.equal(own[k], v) for k, v in original.items() if k in own and k not in lifted.changed
    )
    assert lifted.generator.backbone.synthesis.residual.abs().max() > 0
    assert not any(p.requires_grad for p in lifted.generator.parameters())


def test_the_whole_generator_may_be_tuned(face, net, tmp_path):
    whole = lift(
        face, replace(QUICK, parameters="generator", steps=2, weights_rate=1e-2), perceptual=net
    )
    parts = {name.split(".")[0] for name in whole.changed}
    assert parts == {"backbone", "decoder", "superresolution"}
    assert not any("mapping" in name for name in whole.changed)
    whole.save(tmp_path / "a.safetensors")
    again = load_lifted(tmp_path / "a.safetensors", face.model.generator)
    assert torch.equal(again.render(orbit(3)[0]).image, whole.render(orbit(3)[0]).image)


def test_lifting_is_repeatable_and_tells_its_progress(face, lifted, net):
    told = []
    again = lift(face, QUICK, lambda step, steps: told.append((step, steps)), perceptual=net)
    assert told == [(step, 6) for step in range(1, 7)]
    assert torch.equal(again.planes, lifted.planes)
    other = lift(face, replace(QUICK, seed=1), perceptual=net)
    assert not torch.equal(other.planes, lifted.planes)


def test_a_face_read_back_renders_the_same_bytes(lifted, saved, face, edit):
    again = load_lifted(saved, face.model.generator)
    cameras = orbit(4)[0]
    for change in (None, edit):
        one, other = lifted.render(cameras, edit=change), again.render(cameras, edit=change)
        assert torch.equal(one.image, other.image) and torch.equal(one.ray_length, other.ray_length)
    assert again.notes == json.loads(json.dumps(lifted.notes))
    assert torch.equal(again.camera, lifted.camera) and again.changed == lifted.changed
    weights = load_file(saved)
    assert set(weights) == {"ws", "residual", *(f"weight.{name}" for name in lifted.changed)}
    assert all(value.dtype == torch.float16 for value in weights.values())


def test_an_edit_of_nothing_is_the_face_itself(lifted, edit):
    cameras = orbit(2)[0]
    assert torch.equal(lifted.render(cameras, edit=0 * edit).image, lifted.render(cameras).image)


def test_edits_act_and_the_rest_stays(lifted, face, edit):
    ws = lifted.edited(edit)
    residual = lifted.generator.backbone.synthesis.residual.unflatten(0, (3, -1))
    painted = face.model.generator.planes(ws)
    assert torch.allclose(lifted.generator.planes(ws), painted + residual, atol=1e-5)
    moved = lifted.render(orbit(2)[0], edit=edit).image - lifted.render(orbit(2)[0]).image
    assert moved.abs().max() > 1e-3
    same = lifted.render(orbit(2)[0], edit=edit[0]).image
    assert torch.equal(same, lifted.render(orbit(2)[0], edit=edit[:1].expand_as(edit)).image)


def test_a_rest_of_zeros_paints_the_same(face):
    generator = face.model.generator
    ws = face.ws.clone()
    assert torch.equal(with_residual(generator).planes(ws), generator.planes(ws))
    with pytest.raises(ValueError, match="residual of shape"):
        with_residual(generator, torch.zeros(3, 4, 4))
    assert generator.planes(ws).flatten(1, 2).shape[1:] == residual_shape(generator)


def test_teachers_stand_on_the_paper_s_orbit_with_the_photo_s_lens(face):
    settings = replace(QUICK, orbit_frames=30, wide_yaws=(-60.0, 60.0))
    camera = face.camera.clone()
    camera[0, 16] = 4.0
    cameras = teacher_cameras(camera, settings)
    yaw, pitch = yaw_pitch(cameras.double())
    assert cameras.shape == (32, 25) and bool((cameras[:, 16] == 4.0).all())
    assert yaw[:30].abs().max().item() == pytest.approx(0.35 * 180 / torch.pi, rel=0.01)
    assert yaw[30:].tolist() == pytest.approx([-60, 60], abs=1e-4)
    assert pitch[0].item() == pytest.approx(-7.3, abs=0.1)


def test_several_photos_are_refused(net):
    faces = build_pipeline().invert(photos(2), source_cameras(2))
    with pytest.raises(ValueError, match="one by one"):
        lift(faces, QUICK, perceptual=net)


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"parameters": "all"}, "choose one of planes, generator"),
        ({"steps": 0}, "lift.steps=0"),
        ({"planes_rate": float("nan")}, "lift.planes_rate=nan"),
        ({"wide_yaws": (200.0,)}, "between -180 and 180"),
        ({"orbit_frames": 0, "wide_yaws": ()}, "no view to learn from"),
    ],
)
def test_wrong_settings_are_refused(values, problem):
    with pytest.raises(ValueError, match=problem):
        LiftSettings(**values)


def test_another_generator_and_damaged_files_are_refused(lifted, saved, face):
    generator = face.model.generator
    other = build_pipeline().generator
    other.decoder.net[0].bias += 1
    with pytest.raises(ValueError, match="another generator"):
        load_lifted(saved, other)
    with pytest.raises(ValueError, match="an edit of shape"):
        lifted.render(orbit(1)[0], edit=torch.zeros(3))
    with pytest.raises(ValueError, match="not finite"):
        lifted.render(orbit(1)[0], edit=torch.full((generator.w_dim,), float("nan")))
    whole = load_file(saved)
    for change, problem in (
        ({"residual": torch.zeros(1, 2, 3)}, "residual of shape"),
        ({"ws": torch.zeros(1, 2, 3)}, "no latent"),
        ({"weight.decoder.other": torch.zeros(1)}, "is no weight"),
        ({"extra": torch.zeros(1)}, "is no weight"),
        ({"ws": whole["ws"] * float("nan")}, "not finite"),
        ({"huge": torch.zeros(10_000_000)}, "at most"),
    ):
        save_file(whole | change, saved)
        with pytest.raises(ValueError, match=problem):
            load_lifted(saved, generator)
    save_file(whole, saved)
    saved.with_suffix(".json").unlink()
    with pytest.raises(FileNotFoundError):
        load_lifted(saved, generator)
