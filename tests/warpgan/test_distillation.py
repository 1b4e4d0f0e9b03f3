"""Distillation of the mini generator: data, schedule, and a tiny run that resumes bit for bit."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import eg3d
from warpgan.data.portraits import (
    BACKDROP_CENTRE,
    BACKDROP_RADIUS,
    FAR,
    LATENT_DIM,
    NEAR,
    Portrait,
)
from warpgan.distillation.batches import BatchRecipe, draw_batch
from warpgan.distillation.loop import DistillationSchedule, distill
from warpgan.distillation.objective import DistillationWeights, distillation_terms
from warpgan.distillation.views import (
    ViewRecipe,
    build_views,
    half_grid_depth,
    training_cameras,
)
from warpgan.training.runs import open_run_folder

SIZE = 32
RECIPE = BatchRecipe(heads=2, rays=40, patches=1, patch=8, coarse=6, guided=3)


@pytest.fixture(scope="module")
def views(tmp_path_factory):
    recipe = ViewRecipe(people=3, views=2, size=SIZE, seed=4)
    return build_views(recipe, tmp_path_factory.mktemp("views"))


def tiny_generator():
    torch.manual_seed(0)
    return eg3d.build_generator(
        {
            "z_dim": LATENT_DIM,
            "c_dim": 25,
            "w_dim": 16,
            "img_resolution": SIZE,
            "mapping_kwargs": {"num_layers": 2, "lr_multiplier": 1.0},
            "rendering_kwargs": {
                "depth_resolution": 6,
                "depth_resolution_importance": 6,
                "ray_start": NEAR,
                "ray_end": FAR,
                "superresolution_module": "SuperresolutionGeneral",
                "c_gen_conditioning_zero": True,
                "c_scale": 1.0,
            },
            "extensions": {
                "learned_maps": True,
                "const_resolution": 8,
                "plane_resolution": 16,
                "plane_channels": 4,
                "backbone_channels": [8, 8],
                "decoder_hidden": 8,
                "decoder_features": 4,
                "density_gain": 30.0,
                "density_bias": -2.5,
                "backdrop_radius": BACKDROP_RADIUS,
                "backdrop_centre": list(BACKDROP_CENTRE),
                "sr_channels": [4, 4],
            },
        },
        neural_rendering_resolution=SIZE // 2,
        plane_axes="fixed",
    )


def test_depth_of_a_ray_is_that_of_the_front_surface():
    depth = np.array([[2.0, 2.02, 3.0, 3.0], [2.9, 2.9, 3.0, 3.0], *[[2.5] * 4] * 2])
    expected = np.array([[2.01, 3.0], [2.5, 2.5]])
    np.testing.assert_allclose(half_grid_depth(depth), expected)


def test_views_show_the_portraits_and_continue_after_an_interruption(views, tmp_path):
    view = Portrait(views.latents[1], detail_seed=None).render(views.cameras[1, 0], size=SIZE)
    np.testing.assert_array_equal(views.images[1, 0], view.image)
    assert abs(views.mask[1, 0].mean() / 255 - view.mask.mean()) < 2e-3
    recipe = ViewRecipe(people=3, views=2, size=SIZE, seed=4)
    again = build_views(recipe, tmp_path)
    np.testing.assert_array_equal(again.images, views.images)
    (tmp_path / "complete").unlink()
    np.testing.assert_array_equal(build_views(recipe, tmp_path).depth_z, views.depth_z)
    with pytest.raises(ValueError, match="holds views of"):
        build_views(replace(recipe, seed=5), tmp_path)


def test_training_cameras_spread():
    labels = training_cameras(400, 2, 0)
    assert labels.shape == (400, 2, 25)
    np.testing.assert_allclose(np.linalg.norm(labels[..., [3, 7, 11]], axis=-1), 2.7, rtol=1e-5)
    np.testing.assert_array_equal(labels, training_cameras(400, 2, 0))
    yaw = np.degrees(np.arctan2(labels[..., 3], labels[..., 11]))
    assert 60 < np.abs(yaw).max() < 66 and abs(yaw.mean()) < 3


def test_a_batch_is_a_function_of_seed_and_step(views):
    draw = lambda step: draw_batch(views, RECIPE, near=NEAR, far=FAR, seed=1, step=step)  # noqa: E731
    one, same, other = draw(5), draw(5), draw(6)
    assert torch.equal(one.rays.depths, same.rays.depths)
    assert not torch.equal(one.rays.depths, other.rays.depths)
    assert one.rays.depths.shape == (2, 40, 9) and one.patch_image.shape == (1, 3, 16, 16)
    assert (one.rays.depths.diff(dim=-1) >= 0).all()
    assert one.rays.depths.min() >= NEAR and one.rays.depths.max() <= FAR
    torch.testing.assert_close(one.rays.directions.norm(dim=-1), torch.ones(2, 40))


def test_true_rays_end_on_the_surface_seen_in_the_image(views):
    batch = draw_batch(views, RECIPE, near=NEAR, far=FAR, seed=1, step=0)
    away = batch.rays.mask == 0
    points = batch.rays.origins + batch.rays.ray_length[..., None] * batch.rays.directions
    centre = torch.tensor(BACKDROP_CENTRE)
    radius = (points[away] - centre).norm(dim=-1)
    assert (radius - BACKDROP_RADIUS).abs().max() < 5e-3  # float16 depth
    solid = batch.rays.mask > 0.99
    assert (points[solid] - centre).norm(dim=-1).max() < BACKDROP_RADIUS


def test_terms_have_gradients_for_every_parameter(views):
    generator = tiny_generator()
    batch = draw_batch(views, RECIPE, near=NEAR, far=FAR, seed=1, step=0)
    terms = distillation_terms(generator, batch, surface_width=0.035, bfloat16=False)
    assert set(terms) <= set(DistillationWeights.__annotations__)
    sum(terms.values()).backward()
    silent = {n for n, p in generator.named_parameters() if p.grad is None}
    # Super-resolution runs without noise; the blocks' noise strength there has no effect.
    assert all("superresolution" in name and "noise_strength" in name for name in silent)


def test_learning_rate_follows_the_cycles():
    schedule = DistillationSchedule(
        steps=300, cycles=(100, 300), peaks=(1.0, 0.5), warmup=10, hold=0.25, final=0.1
    )
    rate = schedule.learning_rate
    assert rate(0) == pytest.approx(0.1) and rate(20) == 1.0
    assert rate(99) == pytest.approx(0.1, abs=0.01) and rate(100) == 0.5
    middle = 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * (0.5 - 0.25) / 0.75))
    assert rate(200) == pytest.approx(0.5 * middle)
    assert schedule.average_decay(0) == 0 and schedule.average_decay(10**6) == 0.998


@pytest.mark.parametrize("cycles", [(), (200,), (300, 100), (100, 300, 300)])
def test_cycles_must_fill_the_run(cycles):
    with pytest.raises(ValueError, match="cycles"):
        DistillationSchedule(steps=300, cycles=cycles, peaks=(0.1,) * len(cycles))


def run_tiny(views, path, *, stop_after=None, monkeypatch=None):
    schedule = DistillationSchedule(
        steps=4, cycles=(2, 4), peaks=(0.01, 0.01), log_every=1, checkpoint_every=1,
        validate_every=4, validation_people=1,
    )  # fmt: skip
    if stop_after is not None:
        calls = []

        def fail_later(*args, **kwargs):
            if len(calls) == stop_after:
                raise KeyboardInterrupt
            calls.append(1)
            return draw_batch(*args, **kwargs)

        monkeypatch.setattr("warpgan.distillation.loop.draw_batch", fail_later)
    run = open_run_folder(path, {"a": 1}, resume="auto", overwrite=False)
    (path / "config.yaml").write_text("a: 1\n")
    try:
        return distill(
            tiny_generator(), views, run, recipe=RECIPE, weights=DistillationWeights(),
            schedule=schedule, seed=3, bfloat16=True, config={"a": 1},
        )  # fmt: skip
    finally:
        run.lock.release()


def test_a_resumed_run_equals_an_uninterrupted_one(views, tmp_path, monkeypatch):
    whole = run_tiny(views, tmp_path / "whole")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        run_tiny(views, tmp_path / "parts", stop_after=3, monkeypatch=patch)
    parts = run_tiny(views, tmp_path / "parts")
    assert whole.name == parts.name == "eg3d_mini.safetensors"
    one, two = load_file(whole), load_file(parts)
    assert one.keys() == two.keys()
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert (tmp_path / "whole" / "eg3d_mini_step_2.safetensors").exists()
    assert len((tmp_path / "parts" / "metrics.jsonl").read_text().splitlines()) == 6
