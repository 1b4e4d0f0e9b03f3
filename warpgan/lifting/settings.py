"""How a photo is lifted."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import yaml

from warpgan.config import CONFIG_DIR

DEFAULT_CHOICE = "mini"
PARAMETERS = ("planes", "generator")


@dataclass(frozen=True)
class LiftSettings:
    """Of the tuning; the defaults are those of ``configs/lifting/mini.yaml``.

    Attributes:
        parameters: ``planes``: a rest added to the tri-planes, and the decoder; ``generator``: all
            weights but the mapping's, as in the paper's editing section.
        steps: of Adam; each sees the photo and one of WarpGAN's views.
        planes_rate: learning rate of the planes' rest; it falls to 0 along a cosine, as the next.
        decoder_rate: of the decoder beside it, and of the backdrop, which no plane reaches.
        weights_rate: of all weights for ``generator``, constant as in pivotal tuning.
        mse_weight: of the mean squared error.
        perceptual: name of the perceptual net.
        perceptual_weight: of its distance.
        loss_size: side in pixels to which larger pictures are averaged for the perceptual net.
        orbit_frames: WarpGAN's views on the paper's orbit; 0 for none.
        orbit_yaw: the orbit's half width, EG3D's offset in radians.
        orbit_pitch: its half height, likewise.
        orbit_pitch_middle: its middle, likewise; below 0 is above the face.
        wide_yaws: degrees; further views of WarpGAN at pitch 0.
        seed: of the order of the views.
    """

    parameters: str = "planes"
    steps: int = 75
    planes_rate: float = 0.2
    decoder_rate: float = 3e-3
    weights_rate: float = 3e-4
    mse_weight: float = 1.0
    perceptual: str = "perc_efficientnet"
    perceptual_weight: float = 0.3
    loss_size: int = 128
    orbit_frames: int = 30
    orbit_yaw: float = 0.35
    orbit_pitch: float = 0.25
    orbit_pitch_middle: float = -0.05
    wide_yaws: tuple[float, ...] = (-60.0, -45.0, -30.0, 30.0, 45.0, 60.0)
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ValueError: a choice that is not known, or a number out of range.
        """
        object.__setattr__(self, "wide_yaws", tuple(float(yaw) for yaw in self.wide_yaws))
        if self.parameters not in PARAMETERS:
            raise ValueError(
                f"lift.parameters={self.parameters} is not known; choose one of "
                f"{', '.join(PARAMETERS)}"
            )
        for name, least in (("steps", 1), ("loss_size", 1), ("orbit_frames", 0), ("seed", 0)):
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise ValueError(f"lift.{name}={value} must be a whole number, at least {least}")
        for name in (
            "planes_rate",
            "decoder_rate",
            "weights_rate",
            "mse_weight",
            "perceptual_weight",
        ):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"lift.{name}={getattr(self, name)} must be 0 or more")
        for yaw in self.wide_yaws:
            if not abs(yaw) <= 180:
                raise ValueError(f"lift.wide_yaws: {yaw:g} must be between -180 and 180 degrees")
        if not self.orbit_frames and not self.wide_yaws:
            raise ValueError(
                "lift: orbit_frames=0 and no wide_yaws: there is no view to learn from"
            )


def find_settings(words: Sequence[str] | None) -> LiftSettings:
    """Settings from a choice of ``configs/lifting`` and ``key=value`` changes.

    Args:
        words: e.g. ``["mini", "steps=200"]``; None: ``mini``.

    Raises:
        ValueError: if a choice or key is not known, or a value out of range.
    """
    choice, *changes = words or [DEFAULT_CHOICE]
    path = CONFIG_DIR / "lifting" / f"{choice}.yaml"
    if not path.is_file():
        known = sorted(each.stem for each in path.parent.glob("*.yaml"))
        raise ValueError(f"--settings {choice} is not known; choose one of {', '.join(known)}")
    values = dict(yaml.safe_load(path.read_text()))
    del values["_target_"]
    for change in changes:
        key, equals, value = change.partition("=")
        if not equals or key not in values:
            raise ValueError(
                f"--settings {choice} {change}: write key=value; the keys are {', '.join(values)}"
            )
        values[key] = yaml.safe_load(value)
    try:
        return LiftSettings(**values)
    except TypeError as error:
        raise ValueError(f"--settings {' '.join([choice, *changes])}: {error}") from error
