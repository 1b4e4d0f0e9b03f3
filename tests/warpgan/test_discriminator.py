from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.parity_checks import inpainting_losses as parity
from warpgan.discriminator import PatchDiscriminator, build_discriminator

GOLDEN = Path(__file__).parents[1] / "golden"


def pictures(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("file", "count"), [(parity.DISC_SMALL, 24), (parity.DISC_IO, 2), (parity.DISC_LIST, 3)]
)
def test_golden(file, count):
    results = parity.FILES[file](GOLDEN)
    assert len(results) == count
    assert not [result for result in results if not result.ok]


def test_sizes_are_the_released_ones():
    with torch.device("meta"):
        net = build_discriminator()
        judgement = net(torch.empty(1, 3, 512, 512))
    assert sum(p.numel() for p in net.parameters()) == 6_962_369
    assert [f.shape[-1] for f in judgement.features] == [257, 129, 65, 33, 34]
    assert judgement.logits.shape == (1, 1, 35, 35)
    assert judgement.hole_share is None


@pytest.mark.parametrize(("height", "width", "layers"), [(64, 64, 4), (40, 72, 3), (33, 50, 1)])
def test_any_size_and_depth(height, width, layers):
    net = build_discriminator(width=4, layers=layers)
    judgement = net(pictures(2, 3, height, width), torch.ones(2, 1, height, width))
    assert len(judgement.features) == layers + 1
    assert judgement.logits.shape == judgement.hole_share.shape


def test_the_hole_is_seen_only_where_configured():
    images, hole = pictures(2, 3, 64, 64), torch.zeros(2, 1, 64, 64)
    other = hole.clone()
    other[:, :, 20:40, 20:40] = 1
    blind = build_discriminator(width=4).eval()
    assert torch.equal(blind(images, hole).logits, blind(images, other).logits)
    seeing = build_discriminator(width=4, sees_hole=True).eval()
    assert not torch.equal(seeing(images, hole).logits, seeing(images, other).logits)
    assert seeing.model0[0].in_channels == 4
    with pytest.raises(ValueError, match="sees_hole=true"):
        seeing(images)


def test_hole_share_is_what_constant_convolutions_would_see():
    net = PatchDiscriminator(1, 1, 3)
    hole = (pictures(1, 1, 40, 56) > 0.6).float()
    slow = hole.double()
    box = torch.full((1, 1, 4, 4), 1 / 16, dtype=torch.float64)
    for stage in (getattr(net, f"model{i}") for i in range(5)):
        convolution = stage[0]
        slow = F.conv2d(slow, box, stride=convolution.stride, padding=convolution.padding)
    share = net(torch.zeros(1, 1, 40, 56), hole).hole_share
    torch.testing.assert_close(share.double(), slow, atol=1e-6, rtol=0)
    assert float(share.max()) <= 1


def test_hole_share_is_zero_exactly_where_no_hole_can_be_seen():
    net = build_discriminator(width=2, layers=2).eval()
    hole = torch.zeros(1, 1, 64, 64)
    hole[:, :, 50:, :] = 1
    images = pictures(1, 3, 64, 64).requires_grad_()
    judgement = net(images, hole)
    unseen = judgement.hole_share == 0
    assert unseen.any() and not unseen.all()
    (gradient,) = torch.autograd.grad(judgement.logits[unseen].sum(), images)
    assert gradient[:, :, 50:].abs().max() == 0 and gradient[:, :, :50].abs().max() > 0


def test_batch_norm_stands_between_the_first_stage_and_the_logits():
    net = build_discriminator(width=4)
    stages = [getattr(net, f"model{index}") for index in range(6)]
    found = [any(isinstance(part, nn.BatchNorm2d) for part in stage) for stage in stages]
    assert found == [False, True, True, True, True, False]
    widths = [stage[0].out_channels for stage in build_discriminator(width=128).children()]
    assert widths == [128, 256, 512, 512, 512, 1]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: build_discriminator(width=0), "discriminator.width must be positive, not 0"),
        (lambda: build_discriminator(layers=-1), "discriminator.layers must be positive, not -1"),
        (
            lambda: build_discriminator(width=2)(torch.zeros(1, 4, 64, 64)),
            r"judges \[B, 3, H, W\], not \[1, 4, 64, 64\]",
        ),
        (
            lambda: build_discriminator(width=2)(
                torch.zeros(1, 3, 64, 64), torch.zeros(1, 1, 32, 32)
            ),
            r"\[1, 1, 64, 64\] is needed, not \[1, 1, 32, 32\]",
        ),
    ],
)
def test_mistakes_are_explained(call, message):
    with pytest.raises(ValueError, match=message):
        call()
