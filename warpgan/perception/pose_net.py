"""`pose_mini`: from where a face is seen, read off the picture alone.

A small convolutional net, trained on portraits by `python -m warpgan.train_pose`. It answers with
the *view direction*: the unit vector from the world's origin to the camera, of which yaw and pitch
are the angles (`warpgan.cameras`). Roll is not asked for: crops have none.

A picture and its mirror image are both shown, and the two answers averaged, so that the answer for
a mirrored picture is the mirrored answer. Errors of the shipped file, by yaw, stand in its JSON.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from warpgan import weights
from warpgan.cameras import yaw_pitch
from warpgan.described_weights import FileKind, check_fit, load_described, save_described
from warpgan.perception.precision import full_precision

POSE_NETS = ("pose_mini",)
KIND = FileKind(format="warpgan-pose", version=1, noun="a pose net")
SPREAD_FLOOR = 0.05
"""Added to a picture's contrast before it is divided out, so that an empty one stays empty."""


class PoseNet(nn.Module):
    """Picture to view direction; always in float32.

    Attributes:
        name: how reports call it.
        arguments: what the constructor was given, ready for JSON.
    """

    def __init__(
        self,
        *,
        image_size: int = 64,
        widths: Sequence[int] = (16, 32, 48),
        squeezed: int = 16,
        hidden: int = 48,
        groups: int = 4,
        name: str = "pose_mini",
    ) -> None:
        """Build the net with random weights.

        Args:
            image_size: side to which pictures are brought; halved once a width.
            widths: channels after each halving.
            squeezed: channels of the last map, which is read position by position.
            hidden: numbers between that map and the answer.
            groups: of the group normalisation; divide every width.
            name: how reports call the net.
        """
        super().__init__()
        self.name = name
        self.image_size = image_size
        self.arguments: dict[str, Any] = {
            "image_size": image_size,
            "widths": list(widths),
            "squeezed": squeezed,
            "hidden": hidden,
            "groups": groups,
        }
        layers: list[nn.Module] = []
        before = 3
        for width in widths:
            layers += [nn.Conv2d(before, width, 3, stride=2, padding=1)]
            layers += [nn.GroupNorm(groups, width), nn.SiLU()]
            before = width
        layers += [nn.Conv2d(before, before, 3, padding=1), nn.GroupNorm(groups, before), nn.SiLU()]
        layers += [nn.Conv2d(before, squeezed, 1), nn.SiLU(), nn.Flatten()]
        side = image_size // 2 ** len(widths)
        self.trunk = nn.Sequential(*layers)
        self.head = nn.Sequential(
            nn.Linear(squeezed * side * side, hidden), nn.SiLU(), nn.Linear(hidden, 3)
        )

    def forward(self, images: Tensor) -> Tensor:
        """Find view directions.

        Args:
            images: `[B, 3, S, S]` in [-1, 1].

        Returns:
            `[B, 3]` float32 unit vectors in world axes: x the subject's left, y up, z where the
            face looks.

        Raises:
            ValueError: The pictures are not square colour images.
        """
        if images.dim() != 4 or images.shape[1] != 3 or images.shape[2] != images.shape[3]:
            raise ValueError(
                f"{self.name}: pictures [B, 3, S, S] are needed, not {list(images.shape)}"
            )
        with full_precision(images.device):
            small = F.interpolate(images.float(), size=(self.image_size,) * 2, mode="area")
            towards, back = self.raw(small), self.raw(small.flip(-1))
            mirrored = torch.cat([-back[:, :1], back[:, 1:]], 1)
            return F.normalize(towards + mirrored, dim=1)

    def raw(self, images: Tensor) -> Tensor:
        """One look: `[B, 3, image_size, image_size]` to unit vectors `[B, 3]`."""
        centred = images - images.mean((1, 2, 3), keepdim=True)
        spread = centred.square().mean((1, 2, 3), keepdim=True).sqrt()
        return F.normalize(self.head(self.trunk(centred / (spread + SPREAD_FLOOR))), dim=1)


def build_pose_net(name: str = "pose_mini") -> PoseNet:
    """The shipped net, in eval mode with gradients off.

    Raises:
        ValueError: An unknown name.
        FileNotFoundError: The net's file is absent.
    """
    if name not in POSE_NETS:
        raise ValueError(f"no pose net {name!r}; there are {', '.join(POSE_NETS)}")
    return load_pose_net(weights.resolve(name), name=name)


def save_pose_net(net: PoseNet, path: str | Path, *, notes: dict[str, Any]) -> None:
    """Write a net in half precision to `path` (`.safetensors`) and `notes` into the JSON beside."""
    description = {"arguments": net.arguments, **notes}
    save_described(path, net.state_dict(), description, kind=KIND, dtype=torch.float16)


def load_pose_net(path: str | Path, *, name: str | None = None) -> PoseNet:
    """Rebuild a saved net, in eval mode with gradients off.

    Args:
        path: what `save_pose_net` wrote.
        name: how reports call it; the file's name if None.

    Raises:
        FileNotFoundError: The weights or the description beside them are not there.
        ValueError: Not a pose net's file, or weights that do not fit it.
    """
    description, state = load_described(path, kind=KIND)
    try:
        net = PoseNet(**description["arguments"], name=name or Path(path).stem)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{path}: arguments beside it do not fit a pose net ({error})") from error
    check_fit(path, net.state_dict(), state, kind=KIND)
    net.load_state_dict(state)
    return net.requires_grad_(False).eval()


def view_direction(cameras: Tensor) -> Tensor:
    """Unit vectors `[..., 3]` from the world's origin to cameras, labels `[..., 25]`."""
    yaw, pitch = (torch.deg2rad(angle) for angle in yaw_pitch(cameras))
    return torch.stack([pitch.cos() * yaw.sin(), pitch.sin(), pitch.cos() * yaw.cos()], dim=-1)


def direction_angles(direction: Tensor) -> tuple[Tensor, Tensor]:
    """Yaw and pitch in degrees, `[...]` each, of directions `[..., 3]`."""
    x, y, z = direction.unbind(-1)
    return torch.rad2deg(torch.atan2(x, z)), torch.rad2deg(torch.atan2(y, torch.hypot(x, z)))


def angle_between(a: Tensor, b: Tensor) -> Tensor:
    """Degrees `[...]` float64 between unit vectors `[..., 3]`; exact for small angles too."""
    a, b = a.double(), b.double()
    return torch.rad2deg(2 * torch.atan2((a - b).norm(dim=-1), (a + b).norm(dim=-1)))


@torch.no_grad()
def pose_error(
    net: PoseNet, images: Tensor, cameras: Tensor, *, targets: Tensor | None = None
) -> Tensor:
    """How far views are from the pose that was asked for.

    Args:
        net: The judge.
        images: `[N, 3, S, S]` in [-1, 1], views.
        cameras: `[N, 25]` that they were asked for.
        targets: `[N, 3, S, S]` true views from these cameras. With them the net's two answers are
            compared, so that what it gets wrong about a face or an angle cancels; without them its
            answer is compared with the camera, and the error holds the net's own.

    Returns:
        `[N]` float64, degrees.

    Raises:
        ValueError: Images and cameras, or targets, differ in number.
    """
    if len(images) != len(cameras) or (targets is not None and len(targets) != len(images)):
        raise ValueError(
            f"{net.name}: one camera and one true view a picture, got {len(images)} pictures, "
            f"{len(cameras)} cameras"
            + ("" if targets is None else f" and {len(targets)} true views")
        )
    wanted = view_direction(cameras) if targets is None else net(targets)
    return angle_between(net(images), wanted)
