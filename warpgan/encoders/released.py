"""Encoders that start from other weights: the released ones, GOAE's, ImageNet's or ArcFace's."""

from pathlib import Path

import torch
from torch import Tensor

from warpgan.checkpoint_reader import read_tensor_file, read_torch_zip
from warpgan.encoders.inversion import InversionEncoder
from warpgan.encoders.official_names import load_official_state
from warpgan.encoders.psp import PspEncoder
from warpgan.encoders.swin import SwinPyramidEncoder

STATE_KEYS = ("psp_state_dict", "state_dict")


def load_released_encoder(
    path: str | Path, encoder: SwinPyramidEncoder | None = None
) -> SwinPyramidEncoder:
    """Read the released `gan_encoder.pt`, or GOAE's file of the same names; executes nothing.

    Args:
        path: a `torch.save` zip with the weights under `psp_state_dict` or `state_dict`, or a bare
            state dict.
        encoder: the encoder to fill; a full-size one is built if not given.

    Returns:
        The filled encoder, in eval mode.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not such a checkpoint, or names, shapes or position tables that do not fit.
    """
    content = read_torch_zip(path, only=STATE_KEYS)
    if not isinstance(content, dict):
        raise ValueError(f"{path}: holds a {type(content).__name__}, a dict of weights expected")
    key = next((key for key in STATE_KEYS if key in content), None)
    state = content[key] if key else read_torch_zip(path)
    if not isinstance(state, dict) or not state:
        raise ValueError(f"{path}: no weights under {key!r}")
    if key is None and not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(
            f"{path}: no encoder inside; expected one of the keys {list(STATE_KEYS)}, found "
            f"{sorted(map(str, content))[:6]}"
        )
    encoder = SwinPyramidEncoder() if encoder is None else encoder
    try:
        load_official_state(encoder, state)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return encoder.eval()


def load_latent_average(path: str | Path) -> Tensor:
    """Read the released mean latent, a bare tensor [1, 512] in its own file.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it holds something else than one finite row of numbers.
    """
    value = read_tensor_file(path)
    if not isinstance(value, Tensor):
        raise ValueError(f"{path}: holds a {type(value).__name__}, a bare tensor [1, 512] expected")
    if value.ndim != 2 or value.shape[0] != 1 or not value.is_floating_point():
        raise ValueError(
            f"{path}: a {value.dtype} tensor of shape {tuple(value.shape)}, [1, 512] expected"
        )
    if not bool(torch.isfinite(value).all()):
        raise ValueError(f"{path}: the mean latent holds non-finite values")
    return value.to(torch.float32)


def load_released_inversion(
    path: str | Path, latent_avg_path: str | Path, *, encoder: SwinPyramidEncoder | None = None
) -> InversionEncoder:
    """Read the released encoder and its mean latent, frozen and in eval mode.

    Arguments and errors are those of `load_released_encoder` and `load_latent_average`.
    """
    latent_avg = load_latent_average(latent_avg_path)
    model = InversionEncoder(load_released_encoder(path, encoder), latent_avg)
    return model.requires_grad_(False).eval()


def load_imagenet_trunk(encoder: SwinPyramidEncoder, path: str | Path) -> None:
    """Initialise the Swin trunk from a local ImageNet checkpoint (timm or Microsoft names).

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a SwinV2 of this size.
    """
    state = read_tensor_file(path)
    for key in ("model", "state_dict"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    try:
        encoder.trunk.load_classifier_state(_tensors_only(state))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def load_arcface_trunk(encoder: PspEncoder, path: str | Path) -> None:
    """Initialise pSp's trunk from the IR-SE50 face recognition weights, as pSp does.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not IR-SE50 weights, or an encoder of another width.
    """
    try:
        encoder.load_arcface_state(_tensors_only(read_tensor_file(path)))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _tensors_only(state: object) -> dict[str, Tensor]:
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise ValueError("a state dict of tensors expected")
    return state
