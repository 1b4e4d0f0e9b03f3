"""The modulated convolution against a slow reference, one sample at a time."""

import math

import pytest
import torch
import torch.nn.functional as F

from warpgan.modulation import ModulatedConv, StyledConv, UpsamplingBlock


def slow_modulated(layer: ModulatedConv, x: torch.Tensor, code: torch.Tensor) -> torch.Tensor:
    """StyleGAN2's equations 1 and 3, weight by weight; upsampling by inserted zeros."""
    results = []
    for image, one in zip(x, code, strict=True):
        affine = layer.affine
        style = affine.weight @ one / math.sqrt(len(one)) + affine.bias
        weight = layer.weight[0] * layer.weight_gain * style[None, :, None, None]
        weight = weight / torch.sqrt((weight**2).sum((1, 2, 3), keepdim=True) + 1e-8)
        if layer.up == 2:
            channels, height, width = image.shape
            filled = image.new_zeros(channels, 2 * height, 2 * width)
            filled[:, ::2, ::2] = image
            taps = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=x.dtype) / 4
            y = F.conv2d(F.pad(filled[None], (3, 2, 3, 2)), weight)
            y = F.conv2d(y.transpose(0, 1), torch.outer(taps, taps)[None, None]).transpose(0, 1)
        else:
            y = F.conv2d(image[None], weight, padding=layer.weight.shape[-1] // 2)
        results.append(y)
    return torch.cat(results)


@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize(("kernel", "up"), [(1, 1), (3, 1), (3, 2)])
def test_equals_the_slow_reference(batch_size, kernel, up):
    torch.manual_seed(0)
    layer = ModulatedConv(5, 4, kernel=kernel, w_dim=6, up=up).double()
    x = torch.randn(batch_size, 5, 6, 7, dtype=torch.float64)
    code = torch.randn(batch_size, 6, dtype=torch.float64)
    torch.testing.assert_close(layer(x, code), slow_modulated(layer, x, code))


def test_every_output_channel_has_unit_weight_norm():
    torch.manual_seed(0)
    layer = ModulatedConv(16, 8, kernel=3, w_dim=4).double()
    impulse = torch.zeros(1, 16, 3, 3, dtype=torch.float64)
    energy = 0.0
    for channel in range(16):
        impulse.zero_()[0, channel, 1, 1] = 1.0
        energy = energy + layer(impulse, torch.ones(1, 4).double()).square().sum((2, 3))
    torch.testing.assert_close(energy, torch.ones_like(energy), rtol=1e-5, atol=0)


def test_the_affine_bias_starts_at_one():
    layer = ModulatedConv(3, 2, kernel=3, w_dim=4)
    styles = layer.styles(torch.zeros(1, 4))
    torch.testing.assert_close(styles, torch.full((1, 3), layer.weight_gain))


def test_samples_do_not_touch_each_other():
    torch.manual_seed(0)
    layer = StyledConv(4, 4, kernel=3, w_dim=4)
    x, code = torch.randn(3, 4, 8, 8), torch.randn(3, 4)
    together = layer(x, code)
    for index in range(3):
        one = slice(index, index + 1)
        torch.testing.assert_close(together[one], layer(x[one], code[one]), rtol=1e-4, atol=1e-5)


def test_styled_activation():
    torch.manual_seed(0)
    layer = StyledConv(4, 3, kernel=3, w_dim=4)
    torch.nn.init.normal_(layer.bias)
    x, code = torch.randn(2, 4, 8, 8), torch.randn(2, 4)
    plain = layer.conv(x, code) + layer.bias[:, None, None]
    torch.testing.assert_close(layer(x, code), F.leaky_relu(plain, 0.2) * math.sqrt(2))


def test_a_constant_image_stays_constant_when_upsampled():
    torch.manual_seed(0)
    layer = ModulatedConv(3, 3, kernel=3, w_dim=4, up=2)
    y = layer(torch.ones(1, 3, 16, 24), torch.randn(1, 4))
    assert y.shape == (1, 3, 32, 48)
    inside = y[:, :, 6:-6, 6:-6]
    torch.testing.assert_close(inside, inside[:, :, :1, :1].expand_as(inside))


def test_each_code_of_an_upsampling_block_matters():
    torch.manual_seed(0)
    block = UpsamplingBlock(4, 2, w_dim=5)
    x, codes = torch.randn(1, 4, 8, 8), torch.randn(1, 2, 5, requires_grad=True)
    block(x, codes).square().sum().backward()
    assert (codes.grad.abs().sum(-1) > 0).all()


def test_gradients_against_finite_differences():
    torch.manual_seed(0)
    for up in (1, 2):
        layer = StyledConv(2, 2, kernel=3, w_dim=3, up=up).double()
        x = torch.randn(2, 2, 3, 4, dtype=torch.float64, requires_grad=True)
        code = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(layer, (x, code))
