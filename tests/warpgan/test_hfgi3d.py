from dataclasses import replace

import pytest
import torch

from tests.warpgan.evaluation_world import build_generator
from tests.warpgan.test_projector import QUICK, sample, weights_of
from tests.warpgan.test_tuning import SETTINGS
from warpgan import cli
from warpgan.cameras import eg3d_offsets, frontal_label, look_at, split_label, yaw_pitch
from warpgan.evaluation.config import EvaluateConfig
from warpgan.generators import named_generator
from warpgan.methods import build_optimised
from warpgan.methods.build import Models
from warpgan.methods.hfgi3d import (
    TeacherSettings,
    orbit_cameras,
    teacher_mask,
    teacher_views,
    trusted_pixels,
)
from warpgan.methods.optimised import HFGI3D, PTI
from warpgan.methods.projector import ProjectorSettings
from warpgan.methods.tuning import TuningSettings
from warpgan.perception import build_perceptual
from warpgan.warp import WarpOptions

OPTIONS = WarpOptions(visibility=True, oversample=2)
PLAIN = TeacherSettings(erosion=1, contour_erosion=1, blur_size=1)


@pytest.fixture(scope="module")
def mini():
    return named_generator("eg3d_mini")


@pytest.fixture(scope="module")
def net():
    return build_perceptual("perc_efficientnet")


def test_the_orbit_is_eg3d_s():
    camera = look_at(10.0, 5.0, focal=3.9)
    cameras = orbit_cameras(camera, TeacherSettings())
    assert cameras.shape == (30, 25)
    yaw, pitch = eg3d_offsets(*yaw_pitch(cameras))
    turns = torch.arange(30, dtype=torch.float64) / 30 * 2 * torch.pi
    assert torch.allclose(yaw, 0.35 * turns.sin(), atol=1e-5)
    assert torch.allclose(pitch, -0.05 + 0.25 * turns.cos(), atol=1e-5)
    assert torch.equal(split_label(cameras)[1], split_label(camera)[1].expand(30, -1, -1))


@torch.no_grad()
def test_what_the_photo_shows_shrinks_as_the_camera_turns_away(mini):
    ws = mini.mean_latent().expand(1, mini.num_ws, -1)
    planes = mini.planes(ws)
    yaws = [0.0, 10.0, 20.0, 35.0, 50.0]
    for side in (1, -1):
        cameras = look_at([side * yaw for yaw in yaws], 0.0)
        drawn = mini.render(planes, ws, cameras[None])
        count = len(yaws)
        warped, mask = teacher_mask(
            drawn.ray_length[0, :1].expand(count, -1, -1, -1),
            cameras[:1].expand(count, -1),
            cameras,
            target_ray_length=drawn.ray_length[0],
            photo=drawn.image[0, :1].expand(count, -1, -1, -1),
            options=OPTIONS,
            settings=PLAIN,
        )
        seen = mask.mean((1, 2, 3))
        assert seen[0] > 0.9
        assert (seen[1:] < seen[:-1] - 0.01).all()
        error = ((warped - drawn.image[0]).abs() * mask).sum((1, 2, 3)) / (3 * mask.sum((1, 2, 3)))
        assert error[0] < 0.02 and error.max() < 0.1


def test_holes_grow_and_their_rims_are_soft_but_nothing_unseen_is_trusted():
    visible = torch.ones(1, 1, 512, 512)
    visible[..., :, 300:] = 0  # open to the picture's border
    visible[..., 100:104, 100:104] = 0  # enclosed
    mask = trusted_pixels(visible, TeacherSettings())
    assert (mask[visible == 0] == 0).all()
    row = mask[0, 0, 400]
    # The contour retreats by 25 pixels, where the blur is half of 1.
    assert row[274] == pytest.approx(0.5, abs=0.1) and row[275] == pytest.approx(0.5, abs=0.1)
    assert row[286:].max() == 0 and row[:263].min() == 1
    # A hole inside grows by one pixel only.
    sharp = trusted_pixels(visible, TeacherSettings(blur_size=1))
    assert sharp[0, 0, 98, 101] == 1 and sharp[0, 0, 99, 101] == 0
    assert trusted_pixels(torch.ones(1, 1, 64, 64), TeacherSettings()).min() == 1


def test_windows_follow_the_size():
    visible = torch.ones(1, 1, 128, 128)
    visible[..., 80:] = 0
    mask = trusted_pixels(visible, TeacherSettings(blur_size=1))
    # 51 px at 512 are 13 at 128: the contour retreats by 6.
    assert mask[0, 0, 64, 73] == 1 and mask[0, 0, 64, 74] == 0


@torch.no_grad()
def test_teachers_show_the_photo_where_it_can_be_and_the_generator_elsewhere(mini):
    ws = mini.mean_latent().expand(1, mini.num_ws, -1)
    planes, camera = mini.planes(ws), frontal_label()
    photo = (mini.render(planes, ws, camera).image + 0.5).clamp(-1, 1)
    views = teacher_views(
        mini,
        ws,
        photo,
        camera=camera,
        options=OPTIONS,
        settings=TeacherSettings(count=4),
    )
    rendered = mini.render(planes, ws, views.camera[None]).image[0].clamp(-1, 1)
    assert views.image.shape == (4, 3, 128, 128) and views.image.abs().max() <= 1
    brighter = (views.image - rendered).mean(1)
    assert brighter[:, 48:80, 48:80].mean() > 0.4
    unseen = (brighter == 0).float().mean((1, 2))
    assert unseen.min() > 0.02 and unseen.max() < 0.6


def hfgi3d(generator, net, **values) -> HFGI3D:
    parts = dict(
        projector=QUICK,
        projector_net=net,
        tuning=SETTINGS,
        tuning_net=net,
        multi_view_tuning=replace(SETTINGS, steps=6),
        teachers=TeacherSettings(count=3),
        geometry=OPTIONS,
        name="hfgi3d",
        progress=False,
    )
    return HFGI3D(generator, **{**parts, **values})


def test_hfgi3d_starts_again_from_the_original_generator(net, monkeypatch):
    generator = build_generator()
    before = weights_of(generator)
    calls = []
    import warpgan.methods.optimised as module

    def watched(start, *arguments, **words):
        calls.append((start, words.get("teachers"), words["settings"].steps))
        return module_tune(start, *arguments, **words)

    module_tune = module.tune
    monkeypatch.setattr(module, "tune", watched)
    photo, camera = sample(generator, 3), look_at(5.0, 0.0)
    inversion = hfgi3d(generator, net).invert(photo, camera)
    assert [start is generator for start, *_ in calls] == [True, True]
    assert calls[0][1:] == (None, 4)
    assert calls[1][1].image.shape == (3, 3, 32, 32) and calls[1][2] == 6
    assert inversion.steps == [3 + 4 + 6]
    assert all(map(torch.equal, before, weights_of(generator)))
    again = hfgi3d(generator, net).invert(photo, camera)
    assert torch.equal(again.render(camera[None]).image, inversion.render(camera[None]).image)
    plain = PTI(
        generator,
        projector=QUICK,
        projector_net=net,
        tuning=SETTINGS,
        tuning_net=net,
        name="pti",
        progress=False,
    ).invert(photo, camera)
    assert not torch.equal(plain.render(camera[None]).image, inversion.render(camera[None]).image)


@pytest.mark.parametrize("baselines", ["mini", "full"])
def test_every_baseline_composes(baselines):
    cli.SCHEMAS["evaluate_schema"] = EvaluateConfig
    names = ("sg2_w", "sg2_wplus", "pti", "hfgi3d", "psp")
    config = cli.compose_config(
        "evaluate", [f"method=[{','.join(names)}]", f"baselines={baselines}"]
    )
    built = {name: cli.build_node(config.method, name).keywords for name in names}
    steps = {name: built[name]["projector"].steps for name in names[:4]}
    assert steps == {"sg2_w": 500, "sg2_wplus": 500, "pti": 450, "hfgi3d": 500}
    assert [built[name]["projector"].space for name in names[:2]] == ["w", "w_plus"]
    assert built["hfgi3d"]["teachers"] == TeacherSettings()
    assert built["hfgi3d"]["multi_view_tuning"].stop_below is None
    if baselines == "full":
        assert built["hfgi3d"]["projector"] == ProjectorSettings()
        assert built["pti"]["tuning"] == TuningSettings()
        assert built["pti"]["step_scale"] == 1.0


def test_mini_baselines_declare_what_differs(mini):
    cli.SCHEMAS["evaluate_schema"] = EvaluateConfig
    config = cli.compose_config("evaluate", ["method=[sg2_w,pti,hfgi3d]"])
    models = Models(mini, None)
    method = cli.build_node(config.method, "hfgi3d")(models, name="hfgi3d")
    assert method.projector.steps == 100 and method.multi_view_tuning.steps == 200
    assert method.note.startswith("0.2x the published steps; perceptual perc_efficientnet;")
    assert "pixel weight 3 in the projector" in method.note and "not a mesh" in method.note
    assert [path.name for path in method.files] == ["perc_efficientnet.safetensors"]
    sg2 = cli.build_node(config.method, "sg2_w")(models, name="sg2_w")
    assert "tuning" not in sg2.note and sg2.projector.steps == 100


def test_wrong_builds_are_refused(mini):
    common = dict(projector=replace(QUICK, perceptual="perc_efficientnet"))
    with pytest.raises(ValueError, match="step_scale=0"):
        build_optimised.sg2(Models(mini, None), step_scale=0, **common)
    with pytest.raises(ValueError, match="give both the same net"):
        build_optimised.hfgi3d(
            Models(mini, None),
            tuning=SETTINGS,
            multi_view_tuning=replace(SETTINGS, perceptual="lpips_alex"),
            teachers=PLAIN,
            geometry=OPTIONS,
            **common,
        )
    with pytest.raises(ValueError, match="teachers.blur_size=4"):
        TeacherSettings(blur_size=4)
