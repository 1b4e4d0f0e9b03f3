"""From a photo to the generator's style codes, and the encoder's file format.

A saved encoder is two files: `NAME.safetensors` with the weights and the mean latent, and
`NAME.json` with the encoder's kind and constructor arguments, so that it can be rebuilt without a
config.
"""

from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from warpgan.described_weights import FileKind, check_fit, load_described, save_described
from warpgan.encoders.psp import PspEncoder
from warpgan.encoders.swin import SwinPyramidEncoder

KIND = FileKind("warpgan-encoder", 1, "an encoder")
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
        dtype: how weights are stored; float16 halves the file, int8 quarters it. They load as
            float32.
    """
    description = {"kind": model.encoder.kind, "arguments": model.encoder.arguments}
    save_described(path, model.state_dict(), description, kind=KIND, dtype=dtype)


def load_encoder(path: str | Path, *, device: str | torch.device = "cpu") -> InversionEncoder:
    """Rebuild a saved encoder, in eval mode with gradients off.

    Raises:
        FileNotFoundError: the weights or the description beside them are not there.
        ValueError: not an encoder file, another format version, or weights that do not fit.
    """
    description, state = load_described(path, kind=KIND)
    kind = description.get("kind")
    if kind not in ENCODERS:
        raise ValueError(f"{path}: encoder kind {kind!r} beside it, known: {sorted(ENCODERS)}")
    if "latent_avg" not in state:
        raise ValueError(f"{path}: no mean latent inside; it was not written by save_encoder")
    try:
        encoder = ENCODERS[kind](**description["arguments"])
        model = InversionEncoder(encoder, state["latent_avg"])
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: arguments beside it do not fit the encoder ({error})") from error
    check_fit(path, model.state_dict(), state, kind=KIND)
    model.load_state_dict(state)
    return model.requires_grad_(False).eval().to(device)
