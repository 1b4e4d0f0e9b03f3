"""Names of the released encoder's state dict, to and from ours.

Released (545 names at full size): the Swin backbone under `swin_model.`, patch merging at the *end*
of stages 0-2, position tables and shift masks stored; the heads without a prefix. Ours: timm's
names under `trunk.swin.`, merging at the *start* of stages 1-3, tables and masks computed by the
constructor; the heads under `heads.` with unchanged names. Nothing is split or reordered.
"""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from warpgan.encoders.swin import SwinPyramidEncoder

BACKBONE = "swin_model."
COMPUTED = ("relative_coords_table", "relative_position_index", "attn_mask")
TABLE_TOLERANCE = 1e-5


def export_official_state(encoder: SwinPyramidEncoder) -> dict[str, Tensor]:
    """Return the weights and stored buffers of `encoder` under the released names."""
    swin = encoder.trunk.swin
    entries = dict(swin.state_dict())
    entries.update(_computed_buffers(encoder))
    official = {BACKBONE + _shift_merges(name, -1): value for name, value in entries.items()}
    official.update(encoder.heads.state_dict())
    return official


def load_official_state(encoder: SwinPyramidEncoder, state: Mapping[str, Tensor]) -> None:
    """Load a state dict under the released names; every name must be present and known.

    The stored position tables and masks are compared with the encoder's own before they are
    dropped: they alone tell a wrong window or pretrained window, which no parameter's shape shows.

    Raises:
        ValueError: missing, unknown or misshapen entries, or tables of another window.
    """
    expected = export_official_state(encoder)
    missing = [name for name in expected if name not in state]
    extra = [name for name in state if name not in expected]
    if missing or extra:
        raise ValueError(
            f"the encoder checkpoint has {len(state)} entries, {len(expected)} expected: "
            f"{len(missing)} missing {missing[:3]}, {len(extra)} unknown {extra[:3]}"
        )
    for name, own in expected.items():
        given = state[name]
        if not isinstance(given, Tensor) or given.shape != own.shape:
            shape = tuple(given.shape) if isinstance(given, Tensor) else type(given).__name__
            raise ValueError(
                f"the encoder checkpoint's {name!r} is {shape}, {tuple(own.shape)} expected; the "
                "encoder must be built with the sizes of the checkpoint"
            )
        if given.is_floating_point() != own.is_floating_point():
            raise ValueError(
                f"the encoder checkpoint's {name!r} is {given.dtype}, {own.dtype} expected"
            )
        if name.endswith(COMPUTED):
            difference = (given.double() - own.double()).abs().max()
            if not bool(difference <= TABLE_TOLERANCE):
                raise ValueError(
                    f"the encoder checkpoint's {name!r} differs from this encoder's by "
                    f"{float(difference):.3g}: window or pretrained_windows are not those it was "
                    "trained with"
                )
    unusable = [name for name in expected if not bool(torch.isfinite(state[name]).all())]
    if unusable:
        raise ValueError(f"the encoder checkpoint has non-finite values in {unusable[:3]}")
    own_state = {}
    for name in expected:
        if name.endswith(COMPUTED):
            continue
        if name.startswith(BACKBONE):
            timm_name = _shift_merges(name.removeprefix(BACKBONE), 1)
            own_state[f"trunk.swin.{timm_name}"] = state[name]
        else:
            own_state[f"heads.{name}"] = state[name]
    encoder.load_state_dict(own_state)


def _computed_buffers(encoder: SwinPyramidEncoder) -> dict[str, Tensor]:
    buffers = encoder.trunk.swin.named_buffers()
    return {name: value for name, value in buffers if name.endswith(COMPUTED)}


def _shift_merges(name: str, by: int) -> str:
    return re.sub(
        r"^layers\.(\d+)\.downsample\.", lambda m: f"layers.{int(m[1]) + by}.downsample.", name
    )
