"""Nets for distances between *sets* of pictures (Frechet and kernel distance), built by name.

| name | needs | distances are called |
|---|---|---|
| `fid_inception` | a file | `fid`, `kid`: what papers print |
| `kid_nsfw` | shipped | `fd_nsfw`, `kid_nsfw`: a stand-in, compared only with itself |

Pictures are rounded to the 8 bits of an image file first, so that a picture counts the same before
and after it was written, and go in as [0, 1]. Each net then resizes to 299 pixels as its source
does: both bilinear without antialiasing, `fid_inception` with pixel areas aligned (pytorch-fid),
`kid_nsfw` with corner pixels aligned (nsfwjs).
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from warpgan import weights
from warpgan.perception.nsfw_inception import NsfwInception
from warpgan.perception.precision import full_precision
from warpgan.perception.storage import load_into, read_state_dict

_METRIC_NAMES = {"fid_inception": ("fid", "kid"), "kid_nsfw": ("fd_nsfw", "kid_nsfw")}
SET_NETS = tuple(_METRIC_NAMES)
DIM = 2048


def metric_names(net: str) -> tuple[str, str]:
    """What the distances of a net's features are called.

    Args:
        net: One of `SET_NETS`.

    Returns:
        The Frechet distance's name and the kernel distance's.

    Raises:
        ValueError: An unknown name.
    """
    if net not in _METRIC_NAMES:
        raise ValueError(f"no set net {net!r}; there are {', '.join(SET_NETS)}")
    return _METRIC_NAMES[net]


class SetFeatureNet(nn.Module):
    """A frozen net that turns pictures into the features of set distances.

    Always in evaluation mode and always in float32, whatever surrounds it.

    Attributes:
        name: The net's name; `metric_names` says what its numbers are called.
        dim: Length of a feature vector.
    """

    def __init__(self, name: str, trunk: nn.Module, *, dim: int) -> None:
        """Assembles the net.

        Args:
            name: The net's name.
            trunk: Pictures in [0, 1] of any size to features `[B, dim]`.
            dim: Length of a feature vector.
        """
        super().__init__()
        self.name = name
        self.dim = dim
        # a third faster on CPUs than planes
        self.trunk = trunk.to(memory_format=torch.channels_last)
        self.requires_grad_(False)
        self.train(False)

    def train(self, mode: bool = True) -> "SetFeatureNet":
        """Stays in evaluation mode: batch norm of a frozen judge never trains."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Computes features; rounding leaves no gradient.

        Args:
            images: `[B, 3, S, S]` RGB in [-1, 1]; what lies outside is clamped.

        Returns:
            `[B, dim]` float32.

        Raises:
            ValueError: The images are not square RGB.
        """
        if images.dim() != 4 or images.shape[1] != 3 or images.shape[2] != images.shape[3]:
            raise ValueError(f"{self.name}: images must be [B, 3, S, S], not {list(images.shape)}")
        with full_precision(images.device):
            levels = ((images.float().clamp(-1, 1) + 1) * 127.5).round()
            return self.trunk((levels / 255).contiguous(memory_format=torch.channels_last))


class FidInception(nn.Module):
    """The Inception of FID (2015-12-05) out of pytorch-fid's blocks, without its downloader."""

    def __init__(self) -> None:
        """Builds the net with random weights; its parts are named as in the published file."""
        super().__init__()
        import torchvision
        from pytorch_fid import inception

        net = torchvision.models.inception_v3(weights=None, aux_logits=False, init_weights=False)
        net.Mixed_5b = inception.FIDInceptionA(192, pool_features=32)
        net.Mixed_5c = inception.FIDInceptionA(256, pool_features=64)
        net.Mixed_5d = inception.FIDInceptionA(288, pool_features=64)
        net.Mixed_6b = inception.FIDInceptionC(768, channels_7x7=128)
        net.Mixed_6c = inception.FIDInceptionC(768, channels_7x7=160)
        net.Mixed_6d = inception.FIDInceptionC(768, channels_7x7=160)
        net.Mixed_6e = inception.FIDInceptionC(768, channels_7x7=192)
        net.Mixed_7b = inception.FIDInceptionE_1(1280)
        net.Mixed_7c = inception.FIDInceptionE_2(2048)
        net.fc = nn.Identity()
        self.net = net

    def load(self, path: Path) -> "FidInception":
        """Fills the net.

        Args:
            path: pytorch-fid's file; the classifier in it is left out.

        Returns:
            Itself.

        Raises:
            ValueError: The file is damaged or holds another net.
        """
        state = read_state_dict(path)
        state = {key: value for key, value in state.items() if not key.startswith("fc.")}
        try:
            self.net.load_state_dict(state, strict=True)
        except RuntimeError as error:
            raise ValueError(
                f"{path} does not hold the weights of FID's Inception; `python -m warpgan.weights "
                f"list` names the right file. {error}"
            ) from error
        return self

    def forward(self, x: Tensor) -> Tensor:
        """`[B, 3, H, W]` RGB in [0, 1] to `[B, 2048]`, as pytorch-fid computes them."""
        x = F.interpolate(x, (299, 299), mode="bilinear", align_corners=False)
        return self.net(2 * x - 1)


def build_set_net(
    name: str, weights_dir: str | Path | None = None, pretrained: bool = True
) -> SetFeatureNet:
    """Builds a net for distances between sets of pictures.

    Args:
        name: One of `SET_NETS`.
        weights_dir: Folder of user-supplied weights; the configured one if None.
        pretrained: False leaves the net random and needs no file: for dry runs only.

    Returns:
        The frozen net on the CPU.

    Raises:
        ValueError: An unknown name.
        FileNotFoundError: The net's file is absent; the message says where it goes.
    """
    metric_names(name)  # refuses unknown names
    if name == "kid_nsfw":
        trunk: nn.Module = NsfwInception()
        if pretrained:
            load_into(trunk, weights.resolve(name))
        return SetFeatureNet(name, trunk, dim=DIM)
    if not pretrained:
        return SetFeatureNet(name, FidInception(), dim=DIM)
    path = weights.resolve(name, root=weights_dir)
    return SetFeatureNet(name, FidInception().load(path), dim=DIM)
