"""A photo's own generator: rendered from anywhere, edited by latent directions, kept in a file.

`NAME.safetensors` holds what differs from the generator that it was tuned from, as float16, and
`NAME.json` the rest: the camera, the settings, and a hash of that generator's weights.
"""

import hashlib
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from eg3d import Rendering, TriPlaneGenerator
from warpgan.described_weights import FileKind, load_described, save_described, weights_path
from warpgan.labels import validate_label
from warpgan.lifting.residual_planes import ResidualSynthesis, with_residual

KIND = FileKind(format="warpgan-lifted-face", version=1, noun="a lifted face")
LATENT, RESIDUAL, WEIGHT = "ws", "residual", "weight."
_HEADER_ALLOWANCE = 2**20


@dataclass(frozen=True)
class LiftedFace:
    """What `lift` made of a photo.

    Attributes:
        generator: a tuned copy, frozen.
        ws: ``[1, num_ws, w_dim]``, the pivot.
        planes: ``[1, 3, C, H, W]`` of the pivot.
        camera: the photo's label ``[1, 25]``.
        changed: names of the weights that differ from the original generator's.
        original: `weights_hash` of that generator.
        notes: how it was made, ready for JSON.
    """

    generator: TriPlaneGenerator
    ws: Tensor
    planes: Tensor
    camera: Tensor
    changed: tuple[str, ...]
    original: str
    notes: Mapping[str, Any] = field(default_factory=dict)

    @torch.inference_mode()
    def render(self, cameras: Tensor, *, edit: Tensor | None = None) -> Rendering:
        """Render from cameras ``[V, 25]``.

        Args:
            cameras: labels.
            edit: ``[num_ws, w_dim]`` or ``[w_dim]``, added to the pivot; None for the face itself.

        Returns:
            Maps ``[1, V, C, S, S]``; images nominally in [-1, 1].

        Raises:
            ValueError: an edit of another shape, or that is not finite.
        """
        if edit is None:
            return self.generator.render(self.planes, self.ws, cameras[None])
        ws = self.edited(edit)
        return self.generator.render(self.generator.planes(ws), ws, cameras[None])

    def edited(self, edit: Tensor) -> Tensor:
        """The pivot with an edit ``[num_ws, w_dim]`` or ``[w_dim]`` added, ``[1, num_ws, w_dim]``.

        Raises:
            ValueError: an edit of another shape, or that is not finite.
        """
        shape = tuple(self.ws.shape[1:])
        if tuple(edit.shape) not in (shape, shape[1:]):
            raise ValueError(
                f"an edit of shape {list(edit.shape)}; this generator's latents take "
                f"{list(shape)} or {list(shape[1:])}"
            )
        if not bool(torch.isfinite(edit).all()):
            raise ValueError("the edit holds numbers that are not finite")
        return self.ws + edit.to(self.ws)

    def save(self, path: str | Path) -> None:
        """Write `path`, ending in ``.safetensors``, and its description beside it."""
        own = self.generator.state_dict()
        state = {LATENT: self.ws} | {WEIGHT + name: own[name] for name in self.changed}
        if isinstance(self.generator.backbone.synthesis, ResidualSynthesis):
            state[RESIDUAL] = self.generator.backbone.synthesis.residual
        description = {
            "generator_sha256": self.original,
            "camera": self.camera[0].tolist(),
            "notes": dict(self.notes),
            "arguments": {},
        }
        save_described(path, state, description, kind=KIND, dtype=torch.float16)


def load_lifted(path: str | Path, generator: TriPlaneGenerator) -> LiftedFace:
    """Read what `LiftedFace.save` wrote.

    Args:
        path: ending in ``.safetensors``.
        generator: the one that the face was lifted from; it is not changed.

    Raises:
        FileNotFoundError: a file is absent.
        ValueError: damaged files, or a face lifted from another generator.
    """
    path = weights_path(path)
    _check_size(path, generator)
    description, stored = load_described(path, kind=KIND)
    original = weights_hash(generator)
    if description.get("generator_sha256") != original:
        raise ValueError(
            f"{path} was lifted from another generator (weights "
            f"{str(description.get('generator_sha256'))[:12]}, these are {original[:12]}); give "
            "the one it was made with: --generator"
        )
    camera = description.get("camera")
    try:
        validate_label(camera)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path.with_suffix('.json')}: {error}") from error
    for name, value in stored.items():
        if not bool(torch.isfinite(value).all()):
            raise ValueError(f"{path}: {name} holds numbers that are not finite")
    shape = (1, generator.num_ws, generator.w_dim)
    if LATENT not in stored or tuple(stored[LATENT].shape) != shape:
        raise ValueError(f"{path}: no latent {list(shape)} inside")
    reference = generator.mean_latent()
    stored = {name: value.to(reference) for name, value in stored.items()}
    ws = stored.pop(LATENT)
    residual = stored.pop(RESIDUAL, None)
    tuned = deepcopy(generator) if residual is None else with_residual(generator, residual)
    own = tuned.state_dict()
    changed = tuple(sorted(name.removeprefix(WEIGHT) for name in stored))
    wrong = [name for name in changed if name not in own or WEIGHT + name not in stored]
    wrong += [n for n in changed if n in own and own[n].shape != stored[WEIGHT + n].shape]
    if wrong:
        raise ValueError(f"{path}: {wrong[0]} is no weight of this generator, or of another shape")
    tuned.load_state_dict({name: stored[WEIGHT + name] for name in changed}, strict=False)
    notes = description.get("notes")
    return finished_face(
        tuned,
        ws,
        torch.tensor([camera]).to(reference),
        changed=changed,
        original=original,
        notes=notes if isinstance(notes, dict) else {},
    )


@torch.no_grad()
def finished_face(
    generator: TriPlaneGenerator,
    ws: Tensor,
    camera: Tensor,
    *,
    changed: tuple[str, ...],
    original: str,
    notes: Mapping[str, Any],
) -> LiftedFace:
    """Freeze a tuned generator and paint its planes; arguments as in `LiftedFace`.

    Numbers are rounded to what the file holds, so that a face read back renders the same bytes.
    """
    generator.requires_grad_(False).eval()
    own = generator.state_dict()
    for name in changed:
        own[name].copy_(_stored(own[name]))
    if isinstance(generator.backbone.synthesis, ResidualSynthesis):
        residual = generator.backbone.synthesis.residual
        residual.copy_(_stored(residual))
    ws = _stored(ws)
    return LiftedFace(
        generator=generator,
        ws=ws,
        planes=generator.planes(ws),
        camera=camera,
        changed=changed,
        original=original,
        notes=notes,
    )


def weights_hash(generator: TriPlaneGenerator) -> str:
    """SHA-256 of a generator's weights, whatever file they came from."""
    found = hashlib.sha256()
    for name, value in sorted(generator.state_dict().items()):
        found.update(f"{name} {value.dtype} {list(value.shape)}\n".encode())
        found.update(value.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()


def _stored(value: Tensor) -> Tensor:
    """A number as float16 holds it."""
    return value.to(torch.float16).to(value.dtype)


def _check_size(path: Path, generator: TriPlaneGenerator) -> None:
    """Refuse a file that no face of this generator can fill, before it is read."""
    numbers = sum(value.numel() for value in generator.state_dict().values())
    sizes = generator.extensions
    numbers += 3 * sizes.plane_channels * sizes.plane_resolution**2
    most = 4 * (numbers + generator.num_ws * generator.w_dim) + _HEADER_ALLOWANCE
    for part, limit in ((path, most), (path.with_suffix(".json"), _HEADER_ALLOWANCE)):
        if part.is_file() and part.stat().st_size > limit:
            raise ValueError(
                f"{part} has {part.stat().st_size:,} bytes; a face of this generator takes at "
                f"most {limit:,}"
            )
