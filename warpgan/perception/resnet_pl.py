"""ResNet-PL: a perceptual distance by features of scene parsing (LaMa, section 2.2).

The trunk is the dilated ResNet-50 that MIT CSAIL trained on ADE20K: three 3x3 convolutions as the
stem, and dilation instead of stride in the last two groups, so that their large field of view keeps
the resolution. Module names are those of its `encoder_epoch_20.pth`.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from warpgan.perception.perceptual import PerceptualNet, weighted_average
from warpgan.perception.storage import read_state_dict

STEM = (64, 64, 128)
# Bottleneck width, units, stride of the first unit, dilation of its 3x3, dilation of the others.
GROUPS = ((64, 3, 1, 1, 1), (128, 4, 2, 1, 1), (256, 6, 1, 1, 2), (512, 3, 1, 2, 4))
EXPANSION = 4
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Bottleneck(nn.Module):
    """1x1, dilated 3x3, 1x1, with a residual connection."""

    def __init__(self, in_channels: int, width: int, *, stride: int, dilation: int) -> None:
        """Builds the unit; `width * 4` channels leave it."""
        super().__init__()
        out = width * EXPANSION
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(
            width, width, 3, stride, padding=dilation, dilation=dilation, bias=False
        )
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out)
        self.downsample: nn.Module | None = None
        if stride > 1 or in_channels != out:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, out, 1, stride, bias=False), nn.BatchNorm2d(out)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Maps `[B, in, H, W]` to `[B, 4 width, H / stride, W / stride]`."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.relu(self.bn2(self.conv2(x)))
        return F.relu(self.bn3(self.conv3(x)) + shortcut)


class DilatedResNet50(nn.Module):
    """The trunk; returns the last activation of every group."""

    def __init__(self) -> None:
        """Builds the net with random weights."""
        super().__init__()
        channels = 3
        for index, width in enumerate(STEM, start=1):
            stride = 2 if index == 1 else 1
            self.add_module(f"conv{index}", nn.Conv2d(channels, width, 3, stride, 1, bias=False))
            self.add_module(f"bn{index}", nn.BatchNorm2d(width))
            channels = width
        for index, (width, units, stride, first, others) in enumerate(GROUPS, start=1):
            group = nn.Sequential()
            for unit in range(units):
                group.append(
                    Bottleneck(
                        channels,
                        width,
                        stride=stride if unit == 0 else 1,
                        dilation=first if unit == 0 else others,
                    )
                )
                channels = width * EXPANSION
            self.add_module(f"layer{index}", group)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Computes the pyramid.

        Args:
            x: `[B, 3, H, W]` in ImageNet's normalisation.

        Returns:
            Four maps of 256, 512, 1024 and 2048 channels at strides 4, 8, 8 and 8.
        """
        for index in range(1, len(STEM) + 1):
            x = F.relu(self.get_submodule(f"bn{index}")(self.get_submodule(f"conv{index}")(x)))
        x = F.max_pool2d(x, 3, stride=2, padding=1)
        levels = []
        for index in range(1, len(GROUPS) + 1):
            x = self.get_submodule(f"layer{index}")(x)
            levels.append(x)
        return levels


class ResNetPl(PerceptualNet):
    """Sum over the four maps of the mean squared difference; the published weight of it is 30."""

    def __init__(self, name: str, trunk: DilatedResNet50) -> None:
        """Assembles the distance.

        Args:
            name: The net's name.
            trunk: The built trunk.
        """
        super().__init__(name)
        self.trunk = trunk
        for key, values in (("mean", IMAGENET_MEAN), ("std", IMAGENET_STD)):
            constant = torch.tensor(values).view(1, 3, 1, 1)
            self.register_buffer(key, constant, persistent=False)
        self.requires_grad_(False)
        self.train(False)

    def levels(self, images: Tensor) -> list[Tensor]:
        """The trunk's maps of pictures `[B, 3, H, W]` in [-1, 1]."""
        return self.trunk(((images + 1) / 2 - self.mean) / self.std)

    def compare(self, a: Tensor, b: Tensor, weights: Sequence[Tensor | None]) -> tuple[Tensor, ...]:
        """Adds the levels' distances, `[B]` for each weight."""
        totals = [a.new_zeros(len(a)) for _ in weights]
        for level_a, level_b in zip(self.levels(a), self.levels(b), strict=True):
            difference = (level_a - level_b).square().mean(1)
            totals = [
                total + weighted_average(difference, weight)
                for total, weight in zip(totals, weights, strict=True)
            ]
        return tuple(totals)


def load_trunk(path: Path) -> DilatedResNet50:
    """Reads the published encoder without executing anything in it.

    Counters and scratch buffers of the batch norms of its time, and a classifier, may be inside and
    are not kept.

    Args:
        path: `encoder_epoch_20.pth`.

    Returns:
        The trunk in evaluation mode.

    Raises:
        ValueError: The file is damaged or holds another net.
    """
    state = read_state_dict(path)
    with torch.device("meta"):  # the file replaces every value: don't draw 24M first
        trunk = DilatedResNet50()
    own = trunk.state_dict()
    counters = {key for key in own if key.endswith(".num_batches_tracked")}
    wrong = [key for key in own.keys() - counters if key not in state]
    wrong += [key for key in state.keys() - own.keys() if _is_weight(key)]
    wrong += [
        key
        for key in own.keys() & state.keys() - counters
        if state[key].shape != own[key].shape or not state[key].is_floating_point()
    ]
    if wrong:
        raise ValueError(
            f"{path} does not hold ADE20K's resnet50dilated encoder: {len(wrong)} entries are "
            f"missing, too many or of another shape, first {sorted(wrong)[0]}; `python -m "
            "warpgan.weights list` names the right file"
        )
    kept = {key: state[key].float() for key in own.keys() - counters}
    kept |= {key: torch.zeros((), dtype=torch.int64) for key in counters}
    trunk.load_state_dict(kept, strict=True, assign=True)
    return trunk.eval()


def _is_weight(key: str) -> bool:
    """Whether an entry is a weight of the trunk, not batch-norm bookkeeping or a classifier."""
    return key.endswith((".weight", ".bias")) and not key.startswith("fc.")
