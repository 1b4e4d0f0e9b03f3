import math

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity

from warpgan.metrics.depth import depth_error, mask_iou
from warpgan.metrics.pixel import psnr, ssim


def noisy_pair(seed: int, shape=(3, 3, 48, 40)) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    a = torch.rand(shape, generator=generator) * 2 - 1
    b = (a + 0.3 * torch.randn(shape, generator=generator)).clamp(-1, 1)
    return a, b


def test_ssim_equals_scikit_image():
    a, b = noisy_pair(0)
    b[2] = torch.nn.functional.avg_pool2d(a[2:], 3, 1, 1)[0]
    ours = ssim(a, b)
    for row in range(3):
        x, y = (((t[row].double() + 1) / 2).permute(1, 2, 0).numpy() for t in (a, b))
        theirs = structural_similarity(
            x,
            y,
            channel_axis=2,
            data_range=1.0,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        assert abs(ours[row].item() - theirs) < 1e-9
    assert ours.dtype == torch.float64


def test_ssim_of_equal_images_is_one_and_falls_with_noise():
    a, b = noisy_pair(1)
    assert torch.allclose(ssim(a, a), torch.ones(3, dtype=torch.float64), atol=1e-12)
    half = (a + b) / 2
    assert (ssim(a, b) < ssim(a, half)).all()


def test_psnr_closed_form():
    a = torch.zeros(2, 3, 8, 8)
    b = a.clone()
    b[0] += 0.2  # .1 of the unit range: 20 dB
    assert psnr(a, b)[0].item() == pytest.approx(20, abs=1e-5)
    assert psnr(a, b)[1].item() == math.inf


def test_psnr_mask_counts_only_its_pixels():
    a = torch.zeros(1, 3, 4, 4)
    b = a.clone()
    b[..., :2] = 0.2
    b[..., 2:] = 2.0
    mask = torch.zeros(1, 1, 4, 4)
    mask[..., :2] = 1
    assert psnr(a, b, mask=mask).item() == pytest.approx(20, abs=1e-5)
    assert math.isnan(psnr(a, b, mask=torch.zeros(1, 1, 4, 4)).item())


def test_pixel_metrics_clamp_what_lies_outside():
    a, b = noisy_pair(2)
    assert torch.equal(psnr(a * 3, b), psnr((a * 3).clamp(-1, 1), b))
    assert torch.equal(ssim(a * 3, b), ssim((a * 3).clamp(-1, 1), b))


def test_batch_size_changes_nothing():
    a, b = noisy_pair(3)
    for metric in (psnr, ssim):
        single = torch.cat([metric(a[i : i + 1], b[i : i + 1]) for i in range(3)])
        assert torch.allclose(metric(a, b), single, rtol=1e-12)


@pytest.mark.parametrize("shape", [(1, 3, 8, 9), (3, 8, 8)])
def test_pixel_metrics_name_both_shapes(shape):
    with pytest.raises(ValueError, match=r"\(1, 3, 8, 8\)"):
        psnr(torch.zeros(1, 3, 8, 8), torch.zeros(shape))


def test_ssim_refuses_images_smaller_than_its_window():
    with pytest.raises(ValueError, match="11 pixels"):
        ssim(torch.zeros(1, 3, 8, 32), torch.zeros(1, 3, 8, 32))


def test_depth_error_against_a_loop():
    rng = np.random.default_rng(0)
    depth, true = torch.from_numpy(rng.uniform(2.3, 3.2, (2, 2, 1, 9, 7)))
    mask = torch.from_numpy(rng.choice([0.0, 0.5, 1.0], (2, 1, 9, 7)))
    result = depth_error(depth, true, mask=mask)
    for row in range(2):
        errors = [
            abs(d - t)
            for d, t, m in zip(
                depth[row].ravel(), true[row].ravel(), mask[row].ravel(), strict=True
            )
            if m == 1.0
        ]
        assert result.mean[row].item() == pytest.approx(np.mean(errors), rel=1e-12)
        assert result.median[row].item() == pytest.approx(np.median(errors), rel=1e-12)
        assert result.count[row].item() == len(errors)


def test_depth_error_of_an_empty_mask_is_not_a_number():
    depth = torch.ones(1, 1, 4, 4)
    result = depth_error(depth, depth, mask=torch.zeros(1, 1, 4, 4))
    assert math.isnan(result.mean.item()) and math.isnan(result.median.item())
    assert result.count.item() == 0


def test_mask_iou_closed_form():
    a = torch.zeros(3, 1, 4, 4)
    b = torch.zeros(3, 1, 4, 4)
    a[0, :, :2], b[0, :, 1:3] = 1, 0.9
    a[1] = 1
    assert mask_iou(a, b).tolist() == [1 / 3, 0.0, 1.0]
