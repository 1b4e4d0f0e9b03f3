"""Builds identity and perceptual nets by name, from shipped or user-supplied files.

| name | needs | for |
|---|---|---|
| `id_dlib` | shipped | training `mini` |
| `id_faceres` | shipped | reports, never trained on |
| `arcface_irse50` | a file | training at full size, the paper's protocol |
| `arcface_onnx` | a file | reports at full size; no gradient |
| `perc_efficientnet` | shipped | training `mini` |
| `perc_vgg16hed` | shipped | reports, never trained on |
| `lpips_alex` | a file | training at full size |
| `resnet_pl` | a file | training of SVINet at full size |
| `lpips_vgg` | a file | reports at full size |
"""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from warpgan import weights
from warpgan.perception.crops import ARCFACE_TEMPLATE, AlignedCrop, LegacyCrop
from warpgan.perception.dlib_resnet import DlibResNet
from warpgan.perception.efficientnet import EfficientNetPyramid
from warpgan.perception.faceres import FaceMobileNet
from warpgan.perception.identity import IdentityNet
from warpgan.perception.perceptual import FeatureDistance, LpipsDistance, PerceptualNet
from warpgan.perception.pixels import pixel_range
from warpgan.perception.resnet_pl import DilatedResNet50, ResNetPl, load_trunk
from warpgan.perception.storage import load_into, read_state_dict
from warpgan.perception.vgg16 import Vgg16Pyramid

CropName = Literal["aligned", "legacy"]
Template = tuple[tuple[float, float], ...]

# dlib's mean face in its 150 px chip with a quarter of padding: eye centres, nose tip, mouth.
DLIB_TEMPLATE: Template = ((47.6, 46.6), (100.5, 46.6), (74.0, 76.6), (50.4, 103.0), (97.6, 103.0))


def _scaled_arcface(size: int, *, zoom: float = 1.0) -> Template:
    """ArcFace's five points in a crop of another size, zoomed about the crop's centre."""
    scale = size / 112 * zoom
    return tuple(
        ((x - 56) * scale + size / 2, (y - 56) * scale + size / 2) for x, y in ARCFACE_TEMPLATE
    )


CROPS: dict[str, tuple[int, Template]] = {
    "id_dlib": (150, DLIB_TEMPLATE),
    "id_faceres": (224, _scaled_arcface(224)),
    "arcface_irse50": (112, ARCFACE_TEMPLATE),
    "arcface_onnx": (112, ARCFACE_TEMPLATE),
}
IDENTITY_NETS = tuple(CROPS)
PERCEPTUAL_NETS = ("perc_efficientnet", "perc_vgg16hed", "lpips_alex", "lpips_vgg", "resnet_pl")


def build_identity(
    name: str,
    *,
    crop: CropName = "aligned",
    head: str = "eg3d",
    weights_dir: str | Path | None = None,
    pretrained: bool = True,
) -> IdentityNet:
    """Builds an identity net.

    Args:
        name: One of `IDENTITY_NETS`.
        crop: `aligned` (needs camera labels with the images) or `legacy`.
        head: Whose points the aligned crop projects, one of `warpgan.perception.crops.HEADS`.
        weights_dir: Folder of user-supplied weights; the configured one if None.
        pretrained: False leaves a torch net random and needs no file: for dry runs only.

    Returns:
        The frozen net on the CPU.

    Raises:
        ValueError: An unknown name, crop or head, or a net that can't be random.
        FileNotFoundError: The net's file is absent; the message says where it goes.
    """
    if name not in CROPS:
        raise ValueError(f"no identity net {name!r}; there are {', '.join(IDENTITY_NETS)}")
    size, template = CROPS[name]
    if crop == "aligned":
        cropper: nn.Module = AlignedCrop(size, template, head=head)
    elif crop == "legacy":
        cropper = LegacyCrop(size)
    else:
        raise ValueError(f"no crop {crop!r}; there are aligned, legacy")
    if name == "arcface_onnx":
        if not pretrained:
            raise ValueError("arcface_onnx is a file; it can't be built with pretrained=False")
        from warpgan.perception.arcface_onnx import OnnxArcFace

        trunk: nn.Module = OnnxArcFace(
            weights.resolve_first(("arcface_glintr100", "arcface_w600k_r50"), root=weights_dir)
        )
        return IdentityNet(name, trunk, crop=cropper, pixels=nn.Identity(), differentiable=False)
    if name == "arcface_irse50":
        from warpgan.perception.irse50 import IrSe50

        if not pretrained:
            trunk = IrSe50()
        else:
            path = weights.resolve(name, root=weights_dir)
            with torch.device("meta"):  # the file replaces every value: don't draw 44M first
                trunk = IrSe50()
            _load_strictly(trunk, path)
        return IdentityNet(name, trunk, crop=cropper, pixels=nn.Identity())
    trunk = DlibResNet() if name == "id_dlib" else FaceMobileNet()
    if pretrained:
        load_into(trunk, weights.resolve(name))
    return IdentityNet(name, trunk, crop=cropper, pixels=pixel_range(name))


def build_perceptual(
    name: str,
    *,
    weights_dir: str | Path | None = None,
    pretrained: bool = True,
) -> PerceptualNet:
    """Builds a perceptual net.

    Args:
        name: One of `PERCEPTUAL_NETS`.
        weights_dir: Folder of user-supplied weights; the configured one if None.
        pretrained: False leaves the net random and needs no file: for dry runs only.

    Returns:
        The frozen net on the CPU.

    Raises:
        ValueError: An unknown name.
        FileNotFoundError: The net's file is absent; the message says where it goes.
    """
    if name in ("lpips_alex", "lpips_vgg"):
        path = weights.resolve(name, root=weights_dir) if pretrained else None
        return LpipsDistance(name, backbone=name.removeprefix("lpips_"), weights=path)
    if name == "resnet_pl":
        if not pretrained:
            return ResNetPl(name, DilatedResNet50())
        return ResNetPl(name, load_trunk(weights.resolve(name, root=weights_dir)))
    pyramids: dict[str, Callable[[], nn.Module]] = {
        "perc_efficientnet": EfficientNetPyramid,
        "perc_vgg16hed": Vgg16Pyramid,
    }
    if name not in pyramids:
        raise ValueError(f"no perceptual net {name!r}; there are {', '.join(PERCEPTUAL_NETS)}")
    pyramid = pyramids[name]()
    if pretrained:
        load_into(pyramid, weights.resolve(name))
    return FeatureDistance(name, pyramid, pixels=pixel_range(name))


def _load_strictly(net: nn.Module, path: Path) -> None:
    """Loads a plain state dict, refusing any key that does not fit."""
    state = read_state_dict(path)
    try:
        net.load_state_dict(state, strict=True, assign=True)
    except RuntimeError as error:
        raise ValueError(
            f"{path} does not hold the weights of {type(net).__name__}; `python -m "
            f"warpgan.weights list` names the right file. {error}"
        ) from error
