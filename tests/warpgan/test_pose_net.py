"""The pose net: what it answers, how well the shipped one reads portraits, how one is trained."""

import json
import math
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from tests.warpgan.device_proof import fake_cuda, move_to_fake_cuda
from warpgan import train_pose, weights
from warpgan.cameras import look_at, mirror_label
from warpgan.data.portraits import Portrait
from warpgan.data.portraits.splits import SplitSettings, write_split
from warpgan.holes import gaussian_blur
from warpgan.perception.pose_net import (
    PoseNet,
    angle_between,
    build_pose_net,
    direction_angles,
    load_pose_net,
    pose_error,
    save_pose_net,
    view_direction,
)
from warpgan.training import pose_views
from warpgan.training.pose_views import PoseViews, changed, draw_batch, to_unit, wide_views

HELD_OUT, FIRST_SEED = 50, 4_000_000
MEDIAN_BOUND, TAIL_BOUND = 2.2, 6.0
"""Degrees; measured on these fifty people: 1.52 and 4.14."""


@pytest.fixture(scope="module")
def net() -> PoseNet:
    return build_pose_net()


@pytest.fixture(scope="module")
def held_out() -> tuple[torch.Tensor, torch.Tensor]:
    """Fifty people of no split, yaw -60 to 60, and their cameras."""
    yaws = np.linspace(-60, 60, HELD_OUT)
    pitches = np.resize([-9.0, 0.0, 7.0], HELD_OUT)
    cameras = look_at(yaws.tolist(), pitches.tolist())
    images = [
        Portrait.sample(FIRST_SEED + person).render(camera, size=64).image
        for person, camera in enumerate(cameras)
    ]
    return to_unit(torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)), cameras


def test_directions_are_those_of_the_cameras():
    yaw, pitch = torch.tensor([-60.0, 0.0, 35.0, 10.0]), torch.tensor([0.0, 12.0, -20.0, 5.0])
    direction = view_direction(look_at(yaw, pitch))
    assert direction[0].tolist() == pytest.approx([-math.sqrt(0.75), 0.0, 0.5], abs=1e-6)
    torch.testing.assert_close(direction.norm(dim=1), torch.ones(4))
    for found, given in zip(direction_angles(direction), (yaw, pitch), strict=True):
        torch.testing.assert_close(found, given, atol=1e-4, rtol=0)


def test_small_and_large_angles_are_exact():
    degrees = torch.tensor([0.0, 1e-5, 1.0, 90.0, 179.0, 180.0]).double()
    turn = torch.deg2rad(degrees)
    turned = torch.stack([turn.sin(), torch.zeros_like(turn), turn.cos()], 1)
    ahead = torch.tensor([0.0, 0.0, 1.0]).double().expand_as(turned)
    torch.testing.assert_close(angle_between(turned, ahead), degrees, atol=1e-9, rtol=1e-9)


def test_the_shipped_net_reads_held_out_portraits(net, held_out):
    images, cameras = held_out
    error = pose_error(net, images, cameras)
    assert error.dtype == torch.float64 and error.shape == (HELD_OUT,)
    assert error.median() < MEDIAN_BOUND
    assert error.quantile(0.95) < TAIL_BOUND


@pytest.mark.parametrize(
    "draw",
    [
        lambda x: gaussian_blur(x, size=9, sigma=1.2),
        lambda x: (0.6 * x - 0.2).clamp(-1, 1),
        lambda x: torch.nn.functional.interpolate(x, scale_factor=2.0, mode="bilinear"),
    ],
    ids=["soft", "dark", "large"],
)
def test_the_shipped_net_reads_what_methods_draw(net, held_out, draw):
    images, cameras = held_out
    assert pose_error(net, draw(images), cameras).median() < 1.5 * MEDIAN_BOUND


def test_a_wrong_pose_is_told(net, held_out):
    images, cameras = held_out
    shown = pose_error(net, images.flip(0), cameras, targets=images)
    between = angle_between(view_direction(cameras.flip(0)), view_direction(cameras))
    assert (shown - between).abs().median() < 2 * MEDIAN_BOUND
    assert shown[0] > 100


def test_five_degrees_are_read_as_five(net):
    errors = []
    for person in range(12):
        portrait, yaw = Portrait.sample(FIRST_SEED + 100 + person), -50.0 + 8 * person
        asked, off = look_at([yaw, yaw + 5.0], 0.0)
        truth, view = (
            to_unit(torch.from_numpy(portrait.render(camera, size=64).image).permute(2, 0, 1))
            for camera in (asked, off)
        )
        errors.append(pose_error(net, view[None], asked[None], targets=truth[None]).item())
    assert abs(np.median(errors) - 5) < 0.7 and 3 < min(errors) and max(errors) < 7


def test_with_a_true_view_the_nets_own_error_cancels(net, held_out):
    images, cameras = held_out
    assert pose_error(net, images, cameras, targets=images).max() == 0
    soft = gaussian_blur(images, size=9, sigma=0.7)
    with_truth = pose_error(net, soft, cameras, targets=images)
    assert with_truth.median() < 0.7 * pose_error(net, soft, cameras).median()


def test_a_mirrored_picture_has_the_mirrored_pose(net, held_out):
    images, cameras = held_out
    mirrored = net(images.flip(-1))
    expected = net(images) * torch.tensor([-1.0, 1.0, 1.0])
    torch.testing.assert_close(mirrored, expected, atol=1e-5, rtol=0)
    wanted = view_direction(mirror_label(cameras))
    torch.testing.assert_close(
        wanted, view_direction(cameras) * torch.tensor([-1.0, 1.0, 1.0]), atol=1e-6, rtol=0
    )


def test_batches_do_not_matter(net, held_out):
    images = held_out[0][:7]
    one_by_one = torch.cat([net(image[None]) for image in images])
    torch.testing.assert_close(net(images), one_by_one, atol=1e-5, rtol=1e-5)


def test_the_shipped_file_is_small_and_says_how_it_was_made(net):
    path = weights.resolve("pose_mini")
    assert path.stat().st_size <= 250_000
    assert sum(parameter.numel() for parameter in net.parameters()) <= 120_000
    assert {tensor.dtype for tensor in load_file(path).values()} == {torch.float16}
    told = json.loads(path.with_suffix(".json").read_text())
    assert told["training"].keys() >= {"command", "seed", "minutes"}
    for errors in told["degrees_on_held_out"].values():
        assert errors["all"]["median"] < MEDIAN_BOUND
        assert errors["all"]["percentile_95"] < TAIL_BOUND
        assert any(part.startswith("yaw ") for part in errors)
    assert not net.training and not any(p.requires_grad for p in net.parameters())


def test_it_runs_where_its_inputs_are():
    net = PoseNet().requires_grad_(False)
    with fake_cuda():
        move_to_fake_cuda(net)
        images, cameras = (torch.empty(2, *s, device="cuda") for s in ((3, 128, 128), (25,)))
        assert pose_error(net, images, cameras).device.type == "cuda"


def test_a_saved_net_comes_back(tmp_path):
    torch.manual_seed(3)
    net = PoseNet(image_size=32, widths=(4, 8), squeezed=4, hidden=8, groups=2)
    for parameter in net.parameters():
        parameter.data = parameter.data.half().float()
    save_pose_net(net, tmp_path / "own.safetensors", notes={"training": {"seed": 3}})
    again = load_pose_net(tmp_path / "own.safetensors")
    images = torch.linspace(-1, 1, 2 * 3 * 40 * 40).view(2, 3, 40, 40)
    assert again.name == "own" and torch.equal(again(images), net(images))
    beside = tmp_path / "own.json"
    beside.write_text(beside.read_text().replace('"hidden": 8', '"hidden": 9'))
    with pytest.raises(ValueError, match="do not fit"):
        load_pose_net(tmp_path / "own.safetensors")
    beside.write_text(beside.read_text().replace('"hidden"', '"height"'))
    with pytest.raises(ValueError, match="arguments beside it"):
        load_pose_net(tmp_path / "own.safetensors")


def test_mistakes_are_named(net):
    with pytest.raises(ValueError, match="no pose net 'other'"):
        build_pose_net("other")
    with pytest.raises(ValueError, match=r"\[B, 3, S, S\]"):
        net(torch.zeros(2, 3, 8, 9))
    with pytest.raises(ValueError, match="2 pictures, 1 cameras"):
        pose_error(net, torch.zeros(2, 3, 8, 8), look_at(0.0, 0.0))


def test_a_drawn_picture_keeps_its_direction(monkeypatch):
    """A picture bright on the side that its camera is on is so when mirrored too."""
    monkeypatch.setattr(pose_views, "changed", lambda images, rng: images)
    images = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)
    images[0, ..., 4:], images[1, ..., :4] = 255, 255
    views = PoseViews(images, view_direction(look_at([40.0, -40.0], [5.0, 5.0])))
    drawn, directions = draw_batch(views, batch_size=40, seed=1, step=2)
    bright_right = drawn[..., 4:].mean((1, 2, 3)) > drawn[..., :4].mean((1, 2, 3))
    assert torch.equal(bright_right, directions[:, 0] > 0)
    assert 0 < bright_right.sum() < 40 and (directions[:, 1] > 0).all()


def test_draws_depend_on_seed_and_step_only():
    views = wide_views(2, seed=0, size=16)
    first = draw_batch(views, batch_size=8, seed=3, step=5)
    draw_batch(views, batch_size=8, seed=3, step=6)
    again = draw_batch(views, batch_size=8, seed=3, step=5)
    other = draw_batch(views, batch_size=8, seed=4, step=5)
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])
    assert not torch.equal(first[0], other[0])
    images = changed(first[0], np.random.default_rng(0))
    assert images.shape == first[0].shape and images.abs().max() <= 1


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("pose") / "train"
    write_split(root, SplitSettings(split="train", count=6, seed=9, size=64, depth=False))
    return root


def test_training_is_repeatable_and_told(folder, tmp_path, capsys):
    for name in ("a", "b"):
        train_pose.main(
            f"{tmp_path / name}.safetensors --data {folder} --held-out {folder} --wide 3 "
            "--steps 3 --batch-size 4".split()
        )
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    told = json.loads((tmp_path / "a.json").read_text())
    assert told["training"]["pictures"] == 9 and "--steps 3" in told["training"]["command"]
    assert told["degrees_on_held_out"]["train"]["all"]["images"] == 6
    assert "median" in capsys.readouterr().out


def test_training_learns():
    views = wide_views(12, seed=1, size=64)
    recipe = train_pose.PoseRecipe(steps=60, batch_size=16, warmup_steps=5)
    before = train_pose.measure_errors(PoseNet().eval(), views)["all"]["median"]
    after = train_pose.measure_errors(train_pose.train_pose_net(views, recipe), views)
    assert after["all"]["median"] < 0.6 * before


@pytest.mark.parametrize(
    ("words", "match"),
    [
        ("OUT.safetensors --data FOLDER/none", "none"),
        ("OUT.pt --data FOLDER", "safetensors"),
        ("OUT.safetensors --data FOLDER --steps 0", "--steps must be 1"),
    ],
)
def test_a_wrong_command_ends_with_code_2(folder, tmp_path, capsys, words, match):
    words = words.replace("OUT", str(tmp_path / "out")).replace("FOLDER", str(folder))
    with pytest.raises(SystemExit) as stop:
        train_pose.main(words.split())
    assert stop.value.code == 2 and match in capsys.readouterr().err


def test_a_damaged_photo_is_named(folder, tmp_path, capsys):
    broken = shutil.copytree(folder, tmp_path / "broken")
    victim = next(broken.rglob("*.png"))
    Image.new("RGB", (64, 48)).save(victim)
    with pytest.raises(SystemExit) as stop:
        train_pose.main([str(tmp_path / "x.safetensors"), "--data", str(broken)])
    assert stop.value.code == 2 and victim.name in capsys.readouterr().err
