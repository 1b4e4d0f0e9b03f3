"""Which views are made of a photo: a grid of angles and an orbit."""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from warpgan.cameras import look_at, make_label, split_label
from warpgan.pipeline import METHODS

STAGES = {
    "inversion": ("inversion",),
    "warp": ("inversion", "warp", "hole"),
    "fill": ("inversion", "warp", "hole", "fill"),
    "warpgan": ("inversion", "warp", "hole", "fill", "warpgan"),
}
"""What each method leaves behind, in the order of its making."""
TITLES = {"warpgan": "WarpGAN", "hole": "holes"}
LARGEST_PITCH = 60.0
SMALLEST_VIDEO = 256


@dataclass(frozen=True)
class ViewPlan:
    """What is made of every photo; angles in degrees.

    Attributes:
        method: one of `METHODS`.
        yaws: of the grid; > 0 puts the camera on the subject's left.
        pitches: of the grid; > 0 is above.
        sheet_yaws: those of the grid that the contact sheet shows, at the first pitch.
        orbit_frames: frames of the video; 0 for none.
        orbit_yaw: largest yaw of the orbit.
        orbit_pitch: largest pitch of the orbit.
        fps: frames a second.
        zoom: whole factor by which video frames are enlarged.
    """

    method: str
    yaws: tuple[float, ...]
    pitches: tuple[float, ...]
    sheet_yaws: tuple[float, ...]
    orbit_frames: int
    orbit_yaw: float
    orbit_pitch: float
    fps: float
    zoom: int

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn."""
        if self.method not in METHODS:
            raise ValueError(f"--method {self.method}: choose one of {', '.join(METHODS)}")
        for flag, angles, limit in (
            ("--yaw", self.yaws, 180.0),
            ("--pitch", self.pitches, LARGEST_PITCH),
            ("--orbit-yaw", (self.orbit_yaw,), 180.0),
            ("--orbit-pitch", (self.orbit_pitch,), LARGEST_PITCH),
        ):
            for angle in angles:
                if not abs(angle) <= limit:
                    raise ValueError(f"{flag} {angle:g} must be between -{limit:g} and {limit:g}")
            if len(set(angles)) < len(angles):
                raise ValueError(f"{flag} names an angle twice: {', '.join(map(_plain, angles))}")
        absent = [yaw for yaw in self.sheet_yaws if yaw not in self.yaws]
        if absent:
            raise ValueError(
                f"--sheet-yaw {absent[0]:g} is none of --yaw {' '.join(map(_plain, self.yaws))}"
            )
        if self.orbit_frames < 0 or self.orbit_frames == 1:
            raise ValueError(f"--orbit {self.orbit_frames} must be 0 or at least 2 frames")
        if not 0 < self.fps <= 100:
            raise ValueError(f"--fps {self.fps:g} must be above 0 and at most 100")

    def for_images(self, size: int) -> "ViewPlan":
        """The plan for a generator's image size, with videos of at least `SMALLEST_VIDEO` px."""
        return replace(self, zoom=max(1, SMALLEST_VIDEO // size))

    @property
    def views(self) -> dict[str, tuple[float, float]]:
        """Name of each view of the grid, e.g. ``yaw+30_pitch+0``, and its (yaw, pitch)."""
        return {view_name(yaw, pitch): (yaw, pitch) for pitch in self.pitches for yaw in self.yaws}

    def caption(self, name: str) -> str:
        """A view's name for people."""
        yaw, pitch = self.views[name]
        if len(self.pitches) == 1 and not pitch:
            return f"yaw {_plain(yaw)}"
        return f"yaw {_plain(yaw)} pitch {_plain(pitch)}"

    def grid_cameras(self, camera: Tensor) -> Tensor:
        """Labels ``[V, 25]`` of the views, with the intrinsics of the label ``camera`` [25]."""
        yaws, pitches = zip(*self.views.values(), strict=True)
        return turned(camera, yaws, pitches)

    def orbit_cameras(self, camera: Tensor) -> Tensor:
        """Labels ``[orbit_frames, 25]`` of a closed, smooth curve about the frontal camera."""
        turns = [2 * math.pi * i / self.orbit_frames for i in range(self.orbit_frames)]
        yaws = [self.orbit_yaw * math.sin(turn) for turn in turns]
        pitches = [self.orbit_pitch * math.cos(turn) for turn in turns]
        return turned(camera, yaws, pitches)


def view_name(yaw: float, pitch: float) -> str:
    """Name of a view's files."""
    return f"yaw{_plain(yaw)}_pitch{_plain(pitch)}"


def turned(
    camera: Tensor, yaws: tuple[float, ...] | list[float], pitches: tuple[float, ...] | list[float]
) -> Tensor:
    """Labels ``[V, 25]`` on the usual orbit with the intrinsics of ``camera`` [25]."""
    angles = (torch.tensor(each, dtype=torch.float64) for each in (yaws, pitches))
    cam2world, _ = split_label(look_at(*angles).to(camera))
    return make_label(cam2world, split_label(camera)[1].expand(len(yaws), 3, 3))


def _plain(angle: float) -> str:
    return f"{angle + 0.0:+g}"
