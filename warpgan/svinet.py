"""SVINet, the style-based novel-view inpainting network (paper, section 3.3), and its files.

A saved SVINet is two files: `NAME.safetensors` with the weights and `NAME.json` with the arguments
of `build_svinet`, so that it can be rebuilt without a config.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from warpgan.described_weights import FileKind, check_fit, load_described, save_described
from warpgan.style_codes import ConstantCodes, IndexedCodes, MappedCodes
from warpgan.svinet_network import (
    DOWNSAMPLINGS,
    InpaintingNetwork,
    slot_count,
    split_channels,
)
from warpgan.symmetry import SymmetryRefinement

if TYPE_CHECKING:
    from warpgan.initial_fill import Branch

KIND = FileKind("warpgan-svinet", 1, "an SVINet")
OUTPUTS = ("view", "residual")
MODULATIONS = ("mapping", "index", "constant", "none")
RELEASED_UP_INDICES = ((9, 10, 11), (11, 12, 13), (13, 13, 13))


class SVINet(nn.Module):
    """The network between images in [-1, 1]; `network` is the one in [0, 1]."""

    def __init__(self, network: InpaintingNetwork, *, arguments: dict | None = None) -> None:
        """Build the module.

        Args:
            network: works in [0, 1].
            arguments: those of `build_svinet` that made it; needed for saving only.
        """
        super().__init__()
        self.network = network
        self.arguments = arguments

    @property
    def symmetry(self) -> bool:
        """Whether it wants the mirrored branch."""
        return self.network.cond is not None

    def forward(self, main: "Branch", mirrored: "Branch | None", ws: Tensor | None) -> Tensor:
        """Inpaint a view.

        Args:
            main: the photo's branch, images in [-1, 1].
            mirrored: the mirror image's branch; not read without symmetry.
            ws: `[B, num_ws, w_dim]` the codes the photo was inverted to; see
                `InpaintingNetwork.forward`.

        Returns:
            `[B, 3, H, W]` in [-1, 1].

        Raises:
            ValueError: no mirrored branch where one is needed, or a size that does not divide by 8.
        """
        return self.network(self.channels(main, mirrored), ws) * 2 - 1

    def channels(self, main: "Branch", mirrored: "Branch | None") -> Tensor:
        """What `network` reads, `[B, 7 or 14, H, W]` in [0, 1]; arguments as for `forward`."""
        if not self.symmetry:
            return _unit_channels(main)
        if mirrored is None:
            raise ValueError(
                "mirrored=None: this SVINet was built with symmetry=true and needs the mirrored "
                "branch; make it with warpgan.initial_fill.both_branches"
            )
        return torch.cat([_unit_channels(main), _unit_channels(mirrored)], dim=1)


def build_svinet(
    *,
    num_ws: int,
    w_dim: int,
    width: int = 64,
    blocks: int = 9,
    symmetry: bool = True,
    modulation: str = "mapping",
    modulated: bool = True,
    film: str = "scale",
    style_index: int = 9,
    up_style_indices: Sequence[Sequence[int]] = RELEASED_UP_INDICES,
    output: str = "view",
    checkpointing: bool = False,
) -> SVINet:
    """Build an SVINet with random weights.

    Args:
        num_ws: codes of the generator.
        w_dim: length of a code.
        width: channels at full resolution (64 as released).
        blocks: residual blocks (9 as released).
        symmetry: whether there is a mirrored branch that refines the photo's.
        modulation: where style codes come from: ``"mapping"`` (paper), ``"index"`` (released: fixed
            indices into w+), ``"constant"`` (learned, the latent code is not read), or ``"none"``
            (released LaMa variant: no modulated convolutions).
        modulated: False turns ``"mapping"`` and ``"index"`` into ``"constant"`` (Table 2).
        film: ``"scale"`` (paper) or ``"one_plus_scale"`` (released).
        style_index: code of the residual blocks.
        up_style_indices: codes of the three upsampling blocks: two, or three as released, where
            the third belongs to a layer without influence.
        output: what the last layer paints: the whole ``"view"`` (paper and release), or the
            ``"residual"`` that is added to the initial fill, zero at the start.
        checkpointing: recompute activations in the backward pass, to save memory.

    Raises:
        ValueError: an unknown choice, sizes below 1, or an index beyond the codes.
    """
    arguments = {
        "num_ws": num_ws,
        "w_dim": w_dim,
        "width": width,
        "blocks": blocks,
        "symmetry": symmetry,
        "modulation": modulation,
        "modulated": modulated,
        "film": film,
        "style_index": style_index,
        "up_style_indices": [list(indices) for indices in up_style_indices],
        "output": output,
    }
    for name in ("num_ws", "w_dim", "width", "blocks"):
        if arguments[name] < 1:
            raise ValueError(f"{name}={arguments[name]}: must be at least 1")
    if modulation not in MODULATIONS:
        raise ValueError(
            f"modulation={modulation!r} is not known; choose one of {', '.join(MODULATIONS)}"
        )
    if output not in OUTPUTS:
        raise ValueError(f"output={output!r} is not known; choose one of {', '.join(OUTPUTS)}")
    if not modulated and modulation in ("mapping", "index"):
        modulation = "constant"
    network = InpaintingNetwork(
        width=width,
        blocks=blocks,
        w_dim=w_dim,
        symmetry=SymmetryRefinement(split_channels(width), film=film) if symmetry else None,
        codes=_style_codes(modulation, arguments),
        residual=output == "residual",
        checkpointing=checkpointing,
    )
    return SVINet(network, arguments=arguments)


def save_svinet(svinet: SVINet, path: str | Path, *, dtype: torch.dtype = torch.float32) -> None:
    """Write `svinet` to `path` (`.safetensors`) and its description beside it (`.json`).

    Args:
        svinet: made by `build_svinet`.
        path: name ending in `.safetensors`.
        dtype: how weights are stored; float16 halves the file, int8 quarters it. They load as
            float32.

    Raises:
        ValueError: another ending, or an SVINet without the arguments that rebuild it.
    """
    if svinet.arguments is None:
        raise ValueError("this SVINet does not know its arguments; make it with build_svinet")
    description = {"arguments": svinet.arguments}
    save_described(path, svinet.network.state_dict(), description, kind=KIND, dtype=dtype)


def load_svinet(path: str | Path, *, device: str | torch.device = "cpu") -> SVINet:
    """Rebuild a saved SVINet, in eval mode with gradients off.

    Raises:
        FileNotFoundError: the weights or the description beside them are not there.
        ValueError: not an SVINet file, another format version, or weights that do not fit.
    """
    description, state = load_described(path, kind=KIND)
    try:
        svinet = build_svinet(**description["arguments"])
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: arguments beside it do not fit SVINet ({error})") from error
    check_fit(path, svinet.network.state_dict(), state, kind=KIND)
    svinet.network.load_state_dict(state)
    return svinet.requires_grad_(False).eval().to(device)


def _unit_channels(branch: "Branch") -> Tensor:
    return torch.cat([(branch.filled + 1) / 2, (branch.render + 1) / 2, branch.hole], dim=1)


def _style_codes(modulation: str, arguments: dict) -> nn.Module | None:
    if modulation == "none":
        return None
    blocks, num_ws, w_dim = (arguments[name] for name in ("blocks", "num_ws", "w_dim"))
    if modulation == "constant":
        return ConstantCodes(slot_count(blocks), w_dim=w_dim)
    ups = arguments["up_style_indices"]
    if len(ups) != DOWNSAMPLINGS or any(len(indices) not in (2, 3) for indices in ups):
        raise ValueError(
            f"up_style_indices={ups}: expected {DOWNSAMPLINGS} lists of 2 or 3 indices"
        )
    indices = [arguments["style_index"]] * blocks + [i for block in ups for i in block[:2]]
    beyond = [i for i in indices if not 0 <= i < num_ws]
    if beyond:
        raise ValueError(
            f"style_index or up_style_indices hold {beyond[0]}, but the generator has num_ws="
            f"{num_ws} codes: expected 0 to {num_ws - 1}"
        )
    if modulation == "index":
        return IndexedCodes(indices)
    return MappedCodes(indices, num_ws=num_ws, w_dim=w_dim)
