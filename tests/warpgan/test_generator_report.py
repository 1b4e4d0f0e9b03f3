import csv
import json

import numpy as np
import pytest
import torch
from PIL import Image

import eg3d
from warpgan import evaluate_generator as command
from warpgan.data.portraits import BOX_WARP, FAR, LATENT_DIM, NEAR, Portrait, sample_latents
from warpgan.metrics import generator_report
from warpgan.metrics.generator_report import METRICS, evaluate_generator, render_truth
from warpgan.warp import ray_length_from_depth_z

SIZE, RAYS = 32, 16


@pytest.fixture(scope="module")
def generator() -> eg3d.TriPlaneGenerator:
    torch.manual_seed(0)
    built = eg3d.build_generator(
        {
            "z_dim": LATENT_DIM,
            "c_dim": 25,
            "w_dim": 16,
            "img_resolution": SIZE,
            "mapping_kwargs": {"num_layers": 1},
            "channel_base": 64,
            "channel_max": 8,
            "rendering_kwargs": {
                "depth_resolution": 4,
                "depth_resolution_importance": 4,
                "ray_start": NEAR,
                "ray_end": FAR,
                "box_warp": BOX_WARP,
                "superresolution_module": "SuperresolutionGeneral",
            },
            "extensions": {
                "plane_resolution": 16,
                "plane_channels": 4,
                "decoder_hidden": 8,
                "decoder_features": 4,
                "sr_channels": [4, 4],
            },
        },
        neural_rendering_resolution=RAYS,
    )
    return built.eval()


def test_known_errors_are_reported(generator, monkeypatch):
    """A generator that draws the truth, .2 too bright, .01 too deep, with a quarter of the mask."""
    latents = sample_latents(2, 3)

    def draw_truth(G, z, labels):
        truth = render_truth(Portrait(z[0].numpy()), labels, SIZE, RAYS)
        shift = torch.where(truth.image > 0, -0.2, 0.2)
        return eg3d.Rendering(
            image=(truth.image + shift)[None],
            image_raw=truth.image_raw[None],
            features=truth.image_raw[None],
            ray_length=ray_length_from_depth_z(truth.depth_z + 0.01, labels)[None],
            opacity=(truth.mask * (torch.arange(RAYS) < RAYS // 2))[None],
        )

    monkeypatch.setattr(generator_report, "render_latents", draw_truth)
    report = evaluate_generator(generator, latents=latents, yaws=(-40.0, 0.0), size=SIZE)
    assert [(r.person, r.yaw) for r in report.rows] == [(0, -40.0), (0, 0.0), (1, -40.0), (1, 0.0)]
    labels = generator_report.view_labels((-40.0, 0.0))
    for row in report.rows:
        assert row.psnr == pytest.approx(20, abs=1e-4)
        assert row.psnr_foreground == pytest.approx(20, abs=1e-4)
        assert row.psnr_raw == 100, "equal images stop at the ceiling"
        assert row.depth_mean == pytest.approx(0.01, abs=1e-6)
        assert row.depth_median == pytest.approx(0.01, abs=1e-6)
        label = labels[int(row.yaw == 0)]
        inside = Portrait(latents[row.person]).render(label, size=RAYS).mask > 0.5
        assert row.mask_iou == pytest.approx(inside[:, : RAYS // 2].sum() / inside.sum())


def test_rays_and_image_see_the_same_scene():
    """The coarse grid's depth and mask agree with the image's, box-averaged."""
    labels = generator_report.view_labels((0.0, 45.0))
    portrait = Portrait(sample_latents(1, 4)[0])
    truth = render_truth(portrait, labels, 64, 32)
    fine = render_truth(portrait, labels, 64, 64)
    averaged = torch.nn.functional.avg_pool2d(fine.mask, 2)
    assert (averaged - truth.mask).abs().mean() < 0.01
    inside = (truth.mask == 1) & (averaged == 1)
    depth = torch.nn.functional.avg_pool2d(fine.depth_z, 2)
    assert (depth - truth.depth_z)[inside].abs().median() < 1e-3
    assert torch.equal(fine.image_raw, fine.image)


def test_means_are_of_the_rows(generator):
    report = evaluate_generator(generator, latents=sample_latents(3, 5), yaws=(0.0, 30.0))
    summary = report.summary()
    assert summary["people"] == 3 and summary["views"] == 6 and summary["rays"] == RAYS
    for name in METRICS:
        values = [getattr(row, name) for row in report.rows]
        assert summary["mean"][name] == pytest.approx(np.mean(values))
        by_yaw = [summary["by_yaw"][yaw][name] for yaw in ("0", "30")]
        assert summary["mean"][name] == pytest.approx(np.mean(by_yaw))
    assert len(report.table().splitlines()) == 4
    with pytest.raises(ValueError, match="no rows at yaw 10"):
        report.mean(10.0)


def test_latents_of_another_length_are_refused(generator):
    with pytest.raises(ValueError, match=rf"\[N, {LATENT_DIM}\]"):
        evaluate_generator(generator, latents=np.zeros((2, 5), np.float32))


def test_command_writes_report_and_sheets(generator, tmp_path, capsys):
    eg3d.save_generator(generator, tmp_path / "G.safetensors")
    command.main(
        [
            str(tmp_path / "out"),
            *("--generator", str(tmp_path / "G.safetensors")),
            *("--people", "2", "--sheet-people", "1"),
        ]
    )
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    rows = list(csv.DictReader((tmp_path / "out" / "rows.csv").open()))
    assert report["people"] == 2 and len(rows) == 10 and len(report["sha256"]) == 64
    mean = np.mean([float(row["psnr"]) for row in rows])
    assert report["mean"]["psnr"] == pytest.approx(mean)
    for name in ("truth_and_generator.png", "random_z.png"):
        assert Image.open(tmp_path / "out" / name).size[0] > 5 * SIZE
    assert "held-out people" in capsys.readouterr().out
