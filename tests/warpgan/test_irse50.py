from pathlib import Path

import pytest
import torch

from tests.parity_checks import irse50 as parity
from tests.parity_checks.recipe import recipe_tensor
from warpgan.perception.crops import LegacyCrop
from warpgan.perception.irse50 import IrSe50, IrSeBlock, SqueezeExcite

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.mark.parametrize(("file", "count"), [(parity.IO, 6), (parity.LIST, 3)])
def test_golden(file, count):
    results = parity.FILES[file](GOLDEN)
    assert len(results) == count
    assert not [result for result in results if not result.ok]


def test_legacy_crop_equals_a_slow_reference():
    images = recipe_tensor("crop", "images", (1, 1, 512, 512), lo=-1, hi=1)
    boxes = images[0, 0].double().unflatten(0, (256, 2)).unflatten(2, (256, 2)).mean(dim=(1, 3))
    face = boxes[35:223, 32:220]
    expected = torch.empty(112, 112, dtype=torch.float64)
    for row in range(112):
        top, bottom = row * 188 // 112, -(-(row + 1) * 188 // 112)
        for column in range(112):
            left, right = column * 188 // 112, -(-(column + 1) * 188 // 112)
            expected[row, column] = face[top:bottom, left:right].mean()
    found = LegacyCrop(112)(images)[0, 0].double()
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


def test_embeddings_are_unit_and_differentiable():
    torch.manual_seed(0)
    net = IrSe50().eval()
    faces = recipe_tensor("face", "faces", (2, 3, 112, 112), lo=-1, hi=1).requires_grad_()
    embedding = net(faces)
    torch.testing.assert_close(embedding.norm(dim=1), torch.ones(2))
    (embedding[0] * embedding[1].detach()).sum().backward()
    assert faces.grad[0].abs().max() > 0 and faces.grad[1].abs().max() == 0


def test_block_is_a_subsampling_when_its_residual_is_off():
    block = IrSeBlock(6, 6, stride=2).eval()
    torch.nn.init.zeros_(block.res_layer[4].weight)
    maps = recipe_tensor("block", "maps", (1, 6, 8, 8), lo=-1, hi=1)
    assert torch.equal(block(maps), maps[:, :, ::2, ::2])


def test_squeeze_excite_gates_by_channel_means():
    gate = SqueezeExcite(32)
    maps = recipe_tensor("gate", "maps", (2, 32, 3, 5), lo=-1, hi=1)
    shuffled = maps.flatten(2)[:, :, torch.randperm(15)].view(2, 32, 3, 5)
    ratio, other = gate(maps) / maps, gate(shuffled) / shuffled
    torch.testing.assert_close(ratio.amin((2, 3)), ratio.amax((2, 3)))
    torch.testing.assert_close(ratio.mean((2, 3)), other.mean((2, 3)))


def test_forward_and_backward_on_meta():
    with torch.device("meta"):
        net = IrSe50()
    embedding = net(LegacyCrop(112)(torch.empty(2, 3, 256, 256, device="meta")))
    assert embedding.shape == (2, 512)
    embedding.sum().backward()
    assert net.input_layer[0].weight.grad is not None
