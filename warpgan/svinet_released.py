"""The released `inpaintor.pt`: read safely and strictly, and written back.

The released network computes RGB images in its up path and drops them; those layers have no
influence on the result or on any gradient. Their entries are the only ones that are read and not
part of `SVINet`; `ReleasedSVINet.dropped` holds and names them.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from eg3d.resampling import FIR_TAPS, fir_matrix
from warpgan.checkpoint_reader import read_torch_zip
from warpgan.svinet import RELEASED_UP_INDICES, SVINet, build_svinet
from warpgan.svinet_network import BRANCH_CHANNELS

SVINET_KEY = "inpaintor_state_dict"
DISCRIMINATOR_KEY = "discriminator_state_dict"
RELEASED_INDEX = 9
_FIRST = "model_down.1.ffc.convl2l.weight"
_LAST = "model_out.1.weight"
_AFFINE = "model_res.0.conv1.ffc.convl2l.conv.affine.weight"


@dataclass(frozen=True)
class ReleasedSVINet:
    """What a released checkpoint holds.

    Attributes:
        svinet: the network with the released weights, frozen and in eval mode.
        discriminator: its discriminator's state dict, empty if there is none.
        dropped: entries of the dead RGB layers, by their released names.
    """

    svinet: SVINet
    discriminator: dict[str, Tensor]
    dropped: dict[str, Tensor]

    def report(self) -> str:
        """One paragraph: what was kept and what was not."""
        kept = self.svinet.network.state_dict()
        text = f"{len(kept)} entries kept"
        if self.dropped:
            numbers = sum(value.numel() for value in self.dropped.values())
            text += (
                f"; {len(self.dropped)} entries ({numbers} numbers) of layers without influence "
                "not kept: " + ", ".join(self.dropped)
            )
        return text


def load_released_svinet(path: str | Path, *, num_ws: int = 14) -> ReleasedSVINet:
    """Read a file laid out like the released `inpaintor.pt`; executes nothing that is in it.

    Width, number of blocks, symmetry and modulation are read off the shapes.

    Args:
        path: a `torch.save` zip with the weights under `inpaintor_state_dict`.
        num_ws: codes of the generator the network was trained with; at least 14 where it is
            modulated, as the released indices reach 13.

    Returns:
        The network, the discriminator's weights, and what was not kept.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not such a checkpoint, a variant of another input, or names or shapes that are
            not those of the released network.
    """
    content = read_torch_zip(path, only=(SVINET_KEY, DISCRIMINATOR_KEY))
    if not isinstance(content, dict) or SVINET_KEY not in content:
        found = sorted(map(str, content))[:6] if isinstance(content, dict) else type(content)
        raise ValueError(f"{path}: no {SVINET_KEY!r} inside, found {found}")
    state = _tensors(content[SVINET_KEY], path, SVINET_KEY)
    discriminator = _tensors(content.get(DISCRIMINATOR_KEY) or {}, path, DISCRIMINATOR_KEY)
    try:
        svinet = released_architecture(state, num_ws=num_ws)
        dropped = load_released_state(svinet, state)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return ReleasedSVINet(svinet.requires_grad_(False).eval(), discriminator, dropped)


def released_architecture(state: Mapping[str, Tensor], *, num_ws: int = 14) -> SVINet:
    """Build the SVINet, with random weights, that a released state dict is of.

    Raises:
        ValueError: entries that tell the sizes are missing or of another kind.
    """
    missing = [name for name in (_FIRST, _LAST) if name not in state or state[name].ndim != 4]
    if missing:
        raise ValueError(f"no convolution {missing[0]!r} inside; not the weights of an SVINet")
    if state[_FIRST].shape[1] != BRANCH_CHANNELS:
        raise ValueError(
            f"{_FIRST!r} reads {state[_FIRST].shape[1]} channels; only the released variants with "
            f"{BRANCH_CHANNELS} channels a branch (input_mirror condition or null, cat_inv True) "
            "are read"
        )
    found = [re.match(r"model_res\.(\d+)\.", name) for name in state]
    blocks = 1 + max((int(match[1]) for match in found if match), default=-1)
    if blocks < 1:
        raise ValueError("no residual block 'model_res.0' inside; not the weights of an SVINet")
    modulated = _AFFINE in state and state[_AFFINE].ndim == 2
    return build_svinet(
        num_ws=num_ws,
        w_dim=state[_AFFINE].shape[1] if modulated else 512,
        width=state[_LAST].shape[1],
        blocks=blocks,
        symmetry=any(name.startswith("cond.") for name in state),
        modulation="index" if modulated else "none",
        film="one_plus_scale",
        style_index=RELEASED_INDEX,
        up_style_indices=RELEASED_UP_INDICES,
    )


def load_released_state(svinet: SVINet, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Load a released state dict; names and shapes must be exactly the released ones.

    Returns:
        The entries that `svinet` does not keep.

    Raises:
        ValueError: a name is missing or unknown, or a shape differs.
    """
    own = export_released_state(svinet)
    missing, unknown = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    if missing or unknown:
        raise ValueError(
            f"{len(missing)} entries missing {missing[:3]}, {len(unknown)} unknown {unknown[:3]}; "
            f"expected the {len(own)} of the released network of this size"
        )
    for name, value in own.items():
        if state[name].shape != value.shape:
            raise ValueError(
                f"{name!r} has shape {tuple(state[name].shape)}, {tuple(value.shape)} expected"
            )
    kept = svinet.network.state_dict().keys()
    svinet.network.load_state_dict({name: state[name] for name in kept})
    return {name: value for name, value in state.items() if name not in kept}


def export_released_state(
    svinet: SVINet, dropped: Mapping[str, Tensor] | None = None
) -> dict[str, Tensor]:
    """State dict with the released names, in the released order.

    Args:
        svinet: of a kind the released code has: style codes by index or no modulation, and FiLM
            ``"one_plus_scale"``.
        dropped: entries of the dead RGB layers, as `load_released_svinet` returns them; zeros if
            not given.

    Raises:
        ValueError: the released code cannot hold this network.
    """
    network = svinet.network
    if network.residual:
        raise ValueError(
            "output='residual': the released code paints the whole view; only output='view' can "
            "be written in its layout"
        )
    if network.cond is not None and network.cond.film != "one_plus_scale":
        raise ValueError(
            f"film={network.cond.film!r}: the released code computes (1 + scale) * F + shift; only "
            "film='one_plus_scale' can be written in its layout"
        )
    state = network.state_dict()
    foreign = [name for name in state if name.startswith("codes.")]
    if foreign:
        raise ValueError(
            f"{foreign[0]!r} has no place in the released layout; only modulation='index' (or "
            "'none') can be written in it"
        )
    if network.codes is None:
        return dict(state)
    slots = network.codes.indices.tolist()
    released = [RELEASED_INDEX] * network.blocks
    released += [index for block in RELEASED_UP_INDICES for index in block[:2]]
    if slots != released:
        raise ValueError(
            f"style indices {slots} are fixed in the released code as {released}; this network "
            "cannot be written in its layout"
        )
    return _with_rgb_layers(state, dropped or {})


def _with_rgb_layers(
    state: Mapping[str, Tensor], dropped: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Insert the dead layers' entries after each upsampling block's own."""
    exported: dict[str, Tensor] = {}
    names = list(state)
    for name, following in zip(names, [*names[1:], ""], strict=True):
        exported[name] = state[name]
        block = re.match(r"model_up\.\d+\.", name)
        if block and not following.startswith(block[0]):
            weight = state[f"{block[0]}conv1.conv.weight"]
            channels, w_dim = weight.shape[1], state[f"{block[0]}conv1.conv.affine.weight"].shape[1]
            dead = {
                "bias": weight.new_zeros(3),
                "resample_filter": fir_matrix(FIR_TAPS),
                "conv.weight": weight.new_zeros(1, 3, channels, 1, 1),
                "conv.resample_filter": fir_matrix(FIR_TAPS),
                "conv.affine.weight": weight.new_zeros(channels, w_dim),
                "conv.affine.bias": weight.new_zeros(channels),
            }
            for key, value in dead.items():
                full = f"{block[0]}toRGB.{key}"
                exported[full] = dropped.get(full, value)
    return exported


def save_released_svinet(
    svinet: SVINet,
    path: str | Path,
    *,
    dropped: Mapping[str, Tensor] | None = None,
    discriminator: Mapping[str, Tensor] | None = None,
) -> None:
    """Write a file that the released code's loading of weights reads; plain tensors only.

    Args:
        svinet: see `export_released_state`.
        path: the file to write.
        dropped: see `export_released_state`.
        discriminator: the discriminator's state dict, if it is to be written too.

    Raises:
        ValueError: the released code cannot hold this network.
    """
    content = {SVINET_KEY: _stored(export_released_state(svinet, dropped))}
    if discriminator:
        content[DISCRIMINATOR_KEY] = _stored(discriminator)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    torch.save(content, partial)
    os.replace(partial, path)


def _stored(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone() for name, value in state.items()}


def _tensors(state: object, path: str | Path, key: str) -> dict[str, Tensor]:
    if not isinstance(state, Mapping) or not all(isinstance(v, Tensor) for v in state.values()):
        raise ValueError(f"{path}: {key!r} is not a dict of tensors")
    return dict(state)
