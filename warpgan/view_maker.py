"""The views SVINet is trained on, made from a frozen generator and encoder.

Everything is deterministic: what is drawn for a synthetic pair depends on its seed alone, and is
drawn on the CPU, so that every device and every batch split sees the same pairs. Inputs are in
[-1, 1], the range of the encoder; the views that come out are in [0, 1], clamped.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from eg3d import TriPlaneGenerator
from warpgan.cameras import RADIUS, from_eg3d_offsets, frontal_label, look_at
from warpgan.data.view_pairs import RealViews, SyntheticViews


class PoseLaw(Protocol):
    """A distribution of cameras; `warpgan.pose.PoseDistribution` is one."""

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw labels [n, 25]."""


@dataclass(frozen=True)
class UniformPoses:
    """EG3D's offsets drawn evenly, as the released code draws its synthetic pairs.

    Attributes:
        yaw: Largest yaw offset in radians.
        pitch: Largest pitch offset in radians on EG3D's equal-area scale; .5 is 18.6 degrees.
        radius: Distance of the cameras from the origin.
    """

    yaw: float = 0.5
    pitch: float = 0.5
    radius: float = RADIUS

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw labels [n, 25] on the generator's device."""
        draws = torch.rand(n, 2, generator=generator, device=generator.device) * 2 - 1
        angles = from_eg3d_offsets(self.yaw * draws[:, 0], self.pitch * draws[:, 1])
        return look_at(*angles, radius=self.radius)


class ViewMaker:
    """Makes training views; see the module.

    Args:
        generator: Frozen, in eval mode.
        encoder: Photo [B, 3, S, S] in [-1, 1] to ws [B, L, C]; frozen, in eval mode.
        synthetic_poses: Where both cameras of a synthetic pair come from.
        synthetic_psi: Truncation of the synthetic latents.
        invert_synthetic: Take codes, ray lengths and the fill of a synthetic pair from the
            encoder's inversion of its source, as released; else from the true latent.

    Raises:
        ValueError: A network is in training mode, or the encoder makes other codes than the
            generator takes.
    """

    def __init__(
        self,
        generator: TriPlaneGenerator,
        encoder: nn.Module,
        *,
        synthetic_poses: PoseLaw | None = None,
        synthetic_psi: float = 0.7,
        invert_synthetic: bool = True,
    ) -> None:
        """Take the networks; see the class."""
        for name, network in (("generator", generator), ("encoder", encoder)):
            if network.training:
                raise ValueError(f"the {name} is in training mode; call {name}.eval() first")
        codes, expected = (encoder.num_ws, encoder.w_dim), (generator.num_ws, generator.w_dim)
        if codes != expected:
            raise ValueError(
                f"the encoder makes {codes[0]} codes of width {codes[1]}, the generator takes "
                f"{expected[0]} of width {expected[1]}; give the encoder trained for this generator"
            )
        self.generator = generator
        self.encoder = encoder
        self.synthetic_poses = synthetic_poses or UniformPoses()
        self.synthetic_psi = synthetic_psi
        self.invert_synthetic = invert_synthetic

    @torch.no_grad()
    def real(
        self, photo: Tensor, camera: Tensor, *, novel_camera: Tensor, names: Sequence[str]
    ) -> RealViews:
        """Invert photos and render them at their own and at novel cameras.

        Args:
            photo: [B, 3, S, S] in [-1, 1].
            camera: [B, 25] of the photos.
            novel_camera: [B, 25], or [B, V, 25] for V novel views of each photo.
            names: B names, for messages.

        Returns:
            The views; with V novel cameras, the ``novel_`` tensors have an axis V after B.
        """
        single = novel_camera.ndim == 2
        novel = novel_camera.unsqueeze(1) if single else novel_camera
        ws = self.encoder(photo)
        cameras = torch.cat([camera.unsqueeze(1), novel], dim=1)
        rendering = self.generator.render(self.generator.planes(ws), ws, cameras)
        images, lengths = _unit_range(rendering.image), rendering.ray_length.float()
        first = 1 if single else slice(1, None)
        return RealViews(
            photo=_unit_range(photo),
            camera=camera,
            novel_camera=novel_camera,
            ws=ws.float(),
            ray_length=lengths[:, 0],
            novel_ray_length=lengths[:, first],
            render=images[:, 0],
            novel_render=images[:, first],
            names=tuple(names),
        )

    @torch.no_grad()
    def synthetic(self, seeds: Sequence[int]) -> SyntheticViews:
        """Make pairs of views of random people.

        Args:
            seeds: One a pair, in [0, 2**63); the only source of randomness.

        Returns:
            The pairs, on the generator's device.
        """
        reference = self.generator.mean_latent()
        z, cameras = self._draw(seeds)
        z, cameras = z.to(reference), cameras.to(reference)
        ws = self.generator.mapping(
            z,
            frontal_label().to(reference).expand(len(z), -1),
            truncation_psi=self.synthetic_psi,
        )
        rendering = self.generator.render(self.generator.planes(ws), ws, cameras)
        truth = rendering.image.clamp(-1, 1)
        if self.invert_synthetic:
            ws = self.encoder(truth[:, 0])
            rendering = self.generator.render(self.generator.planes(ws), ws, cameras)
        lengths = rendering.ray_length.float()
        return SyntheticViews(
            source=_unit_range(truth[:, 0]),
            target=_unit_range(truth[:, 1]),
            camera=cameras[:, 0],
            target_camera=cameras[:, 1],
            ws=ws.float(),
            ray_length=lengths[:, 0],
            target_ray_length=lengths[:, 1],
            target_render=_unit_range(rendering.image[:, 1]),
            names=tuple(f"seed {seed}" for seed in seeds),
        )

    def fingerprint(self) -> dict[str, str]:
        """What the views depend on in the networks: sha-256 of weights and of render settings."""
        generator = self.generator
        rendering = {
            "options": asdict(generator.options),
            "extensions": asdict(generator.extensions),
            "plane_axes": generator.plane_axes,
            "rays": generator.neural_rendering_resolution,
        }
        text = json.dumps(rendering, sort_keys=True, default=str)
        return {
            "generator": _weights_sha256(generator),
            "encoder": _weights_sha256(self.encoder),
            "rendering": hashlib.sha256(text.encode()).hexdigest(),
        }

    def ray_range(self) -> tuple[float, float]:
        """Ray lengths between which everything lies that a camera on the usual orbit sees."""
        options, extensions = self.generator.options, self.generator.extensions
        reach = 3**0.5 / 2 * options.box_warp
        near = RADIUS - reach if options.ray_start == "auto" else float(options.ray_start)
        far = RADIUS + reach if options.ray_end == "auto" else float(options.ray_end)
        if extensions.backdrop_radius is not None:
            far = max(far, RADIUS + extensions.backdrop_radius)
        return near, far

    def _draw(self, seeds: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Latents [B, z_dim] and cameras [B, 2, 25] on the CPU."""
        latents, cameras = [], []
        for seed in seeds:
            stream = torch.Generator().manual_seed(seed)
            latents.append(torch.randn(self.generator.z_dim, generator=stream))
            cameras.append(self.synthetic_poses.sample(2, stream))
        return torch.stack(latents), torch.stack(cameras)


def _weights_sha256(network: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def _unit_range(images: Tensor) -> Tensor:
    """[-1, 1] to [0, 1], clamped."""
    return ((images.float() + 1) / 2).clamp(0, 1)
