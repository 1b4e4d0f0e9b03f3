"""The encoder and the generator of an evaluation, found from what the user typed."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from warpgan import weights
from warpgan.encoders.inversion import InversionEncoder
from warpgan.methods.encoder_file import find_encoder
from warpgan.training.runs import read_config

# Which generator a named encoder was trained with.
GENERATOR_OF = {
    "encoder_mini": "eg3d_mini",
    "psp_mini": "eg3d_mini",
    "encoder_warpgan": "eg3d_lpff",
}
GENERATOR_TARGET = "warpgan.generators.named_generator"


@dataclass(frozen=True)
class Found:
    """An encoder, and the node that builds its generator.

    Attributes:
        encoder: frozen, in eval mode, on the CPU; ``None`` for methods without one.
        encoder_files: what it was read from.
        generator: a node with a ``_target_``.
        generator_files: what the node reads.
    """

    encoder: InversionEncoder | None
    encoder_files: tuple[Path, ...]
    generator: dict[str, Any]
    generator_files: tuple[Path, ...]


def find_models(
    encoder: str | None, generator: Mapping[str, Any] | None, *, key: str = "evaluate.encoder"
) -> Found:
    """Load the encoder and find its generator.

    Args:
        encoder: a name of the weights table, the folder of a training run, an encoder file, or
            ``None`` for methods without one.
        generator: a node with a ``_target_``; if ``None``, the encoder's own: of its run's saved
            config, or of ``GENERATOR_OF``.
        key: what the user typed the encoder under, for messages.

    Raises:
        FileNotFoundError: if a file is absent.
        ValueError: if nothing says which generator belongs to the encoder.
    """
    model, path = (None, None) if encoder is None else find_encoder(encoder, key=key)
    node = generator or _generator_of(encoder, path, key)
    return Found(
        encoder=model,
        encoder_files=() if path is None else (path,),
        generator=dict(node),
        generator_files=_weight_files(node),
    )


def _generator_of(encoder: str | None, path: Path | None, key: str) -> Mapping[str, Any]:
    if encoder in GENERATOR_OF:
        return {"_target_": GENERATOR_TARGET, "weights": GENERATOR_OF[encoder]}
    saved = None if path is None else path.parent / "config.yaml"
    if saved is None or not saved.is_file():
        raise ValueError(
            f"which generator belongs to {key}={encoder}? There is no config.yaml of a "
            "run beside it; say generator=eg3d_mini, generator=eg3d_ffhq, ..."
        )
    node = read_config(saved).get("generator")
    if not isinstance(node, Mapping) or "_target_" not in node:
        raise ValueError(f"{saved} names no generator; say generator=eg3d_mini, ...")
    return node


def _weight_files(node: Mapping[str, Any]) -> tuple[Path, ...]:
    name = node.get("weights")
    if name is None:
        return ()
    return (weights.resolve(name) if name in weights.TABLE else Path(name),)
