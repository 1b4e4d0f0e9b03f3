"""From a photo to the generator's style codes, and the encoder's file format.

A saved encoder is two files: `NAME.safetensors` with the weights and the mean latent, and
`NAME.json` with the encoder's kind and constructor arguments, so that it can be rebuilt without a
config.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from warpgan.encoders.psp import PspEncoder
from warpgan.encoders.swin import SwinPyramidEncoder

FORMAT = "warpgan-encoder"
FORMAT_VERSION = 1
ENCODERS: dict[str, Callable[..., nn.Module]] = {
    SwinPyramidEncoder.kind: SwinPyramidEncoder,
    PspEncoder.kind: PspEncoder,
}


def resize_square(images: Tensor, size: int) -> Tensor:
    """Resize square `images` [B, C, S, S] to side `size`.

    A whole factor down is the exact box average (what the released encoder was trained on); any
    other ratio is an antialiased bilinear resize.
    """
    side = images.shape[-1]
    if side == size:
        return images
    if side % size == 0:
        return F.avg_pool2d(images, side // size)
    return F.interpolate(
        images, size=(size, size), mode="bilinear", align_corners=False, antialias=True
    )


class InversionEncoder(nn.Module):
    """An encoder and the mean latent it is relative to."""

    def __init__(
        self, encoder: nn.Module, latent_avg: Tensor, image_size: int | None = None
    ) -> None:
        """Build the module.

        Args:
            encoder: photo at `image_size` to `dw` [B, num_ws, w_dim]; has `num_ws` and `w_dim`.
            latent_avg: the generator's mean latent, [w_dim], [1, w_dim] or [num_ws, w_dim].
            image_size: side the photo is brought to; the encoder's own by default.

        Raises:
            ValueError: the mean latent has another width than the encoder.
        """
        super().__init__()
        latent_avg = torch.atleast_2d(latent_avg.detach().to(torch.float32))
        rows = {(1, encoder.w_dim), (encoder.num_ws, encoder.w_dim)}
        if tuple(latent_avg.shape) not in rows:
            raise ValueError(
                f"mean latent of shape {tuple(latent_avg.shape)}: the encoder makes "
                f"{encoder.num_ws} codes of width {encoder.w_dim}, so [{encoder.w_dim}], "
                f"[1, {encoder.w_dim}] or [{encoder.num_ws}, {encoder.w_dim}] is expected; it must "
                "come from the generator the encoder is for"
            )
        image_size = encoder.image_size if image_size is None else image_size
        if image_size != encoder.image_size:
            raise ValueError(
                f"image_size={image_size}: this encoder is built for {encoder.image_size} px"
            )
        self.encoder = encoder
        self.image_size = image_size
        self.num_ws = encoder.num_ws
        self.w_dim = encoder.w_dim
        self.register_buffer("latent_avg", latent_avg.clone())

    def forward(self, photo: Tensor) -> Tensor:
        """Invert `photo` [B, 3, S, S] in [-1, 1] to `ws` [B, num_ws, w_dim].

        Raises:
            ValueError: the photo is not a batch of square colour images.
        """
        if photo.ndim != 4 or photo.shape[1] != 3 or photo.shape[2] != photo.shape[3]:
            raise ValueError(
                f"photo of shape {tuple(photo.shape)}: expected [B, 3, S, S], square; crop it first"
            )
        return self.encoder(resize_square(photo, self.image_size)) + self.latent_avg


def save_encoder(
    model: InversionEncoder, path: str | Path, *, dtype: torch.dtype = torch.float32
) -> None:
    """Write `model` to `path` (`.safetensors`) and its description beside it (`.json`).

    Args:
        model: the encoder with its mean latent.
        path: name ending in `.safetensors`.
        dtype: how weights are stored; float16 halves the file. They load as float32.
    """
    path = _weights_path(path)
    description = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "kind": model.encoder.kind,
        "arguments": model.encoder.arguments,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {
        name: (value.to(dtype) if value.is_floating_point() else value).detach().contiguous().cpu()
        for name, value in model.state_dict().items()
    }
    partial = path.with_name(path.name + ".partial")
    save_file(state, partial, metadata={"format": FORMAT})
    beside = path.with_suffix(".json")
    partial_json = beside.with_name(beside.name + ".partial")
    partial_json.write_text(json.dumps(description, indent=1) + "\n")
    os.replace(partial, path)
    os.replace(partial_json, beside)


def load_encoder(path: str | Path, *, device: str | torch.device = "cpu") -> InversionEncoder:
    """Rebuild a saved encoder, in eval mode with gradients off.

    Raises:
        FileNotFoundError: the weights or the description beside them are not there.
        ValueError: not an encoder file, another format version, or weights that do not fit.
    """
    path = _weights_path(path)
    beside = path.with_suffix(".json")
    for needed in (path, beside):
        if not needed.is_file():
            raise FileNotFoundError(
                f"{needed}: no such file; a saved encoder is {path.name} and {beside.name} in one "
                "folder"
            )
    description = _read_description(beside)
    try:
        state = load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path}: not a readable safetensors file ({error})") from error
    if "latent_avg" not in state:
        raise ValueError(f"{path}: no mean latent inside; it was not written by save_encoder")
    try:
        encoder = ENCODERS[description["kind"]](**description["arguments"])
        model = InversionEncoder(encoder, state["latent_avg"])
    except (TypeError, ValueError) as error:
        raise ValueError(f"{beside}: arguments do not fit the encoder ({error})") from error
    own = model.state_dict()
    wrong = sorted(own.keys() ^ state.keys())
    wrong += sorted(k for k in own.keys() & state.keys() if own[k].shape != state[k].shape)
    if wrong:
        raise ValueError(
            f"{path}: {len(wrong)} tensors do not fit the encoder that {beside.name} describes, "
            f"first: {wrong[:3]}"
        )
    model.load_state_dict(state)
    return model.requires_grad_(False).eval().to(device)


def _weights_path(path: str | Path) -> Path:
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(f"{path}: expected a name ending in .safetensors")
    return path


def _read_description(path: Path) -> dict:
    try:
        description = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path}: not valid JSON ({error})") from error
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        raise ValueError(f"{path}: does not describe an encoder (format {FORMAT!r} expected)")
    if description.get("format_version") != FORMAT_VERSION:
        raise ValueError(
            f"{path}: format version {description.get('format_version')!r}, this code reads "
            f"{FORMAT_VERSION}"
        )
    if description.get("kind") not in ENCODERS:
        raise ValueError(
            f"{path}: encoder kind {description.get('kind')!r}, known: {sorted(ENCODERS)}"
        )
    if not isinstance(description.get("arguments"), dict):
        raise ValueError(f"{path}: no constructor arguments inside")
    return description
