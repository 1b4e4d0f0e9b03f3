"""Typed views of the two dictionaries that configure a generator.

`rendering_kwargs` keeps the official names, and their defaults where a key is missing;
`extensions` is ours and empty for official weights.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from .marching import CLAMP_MODES

DEPTH_CLAMPS = ("sample", "batch")
TRAINING_ONLY_KEYS = (
    "avg_camera_radius",
    "avg_camera_pivot",
    "image_resolution",
    "density_reg",
    "density_reg_p_dist",
    "reg_type",
    "gpc_reg_prob",
)


@dataclass(frozen=True)
class RenderingOptions:
    """What the renderer reads of `rendering_kwargs`.

    Attributes:
        depth_resolution: Coarse samples a ray.
        depth_resolution_importance: Fine samples a ray; 0 keeps the coarse result.
        ray_start: Nearest distance, or ``"auto"`` for both limits from the box.
        ray_end: Farthest distance, or ``"auto"``.
        box_warp: Side of the box that the planes span.
        disparity_space_sampling: Space coarse samples evenly in inverse distance.
        clamp_mode: Activation of the density.
        white_back: Add white where light is left.
        density_noise: Standard deviation of noise on the raw density, drawn only where a
            `torch.Generator` is passed.
        superresolution_module: Class name, with any dotted prefix.
        superresolution_noise_mode: Noise mode of the super-resolution.
        sr_antialias: Antialias the resize in front of the super-resolution.
        c_gen_conditioning_zero: Ignore the conditioning camera.
        c_scale: Factor on the conditioning camera (0 where the key is missing, as official).
        decoder_lr_mul: Equalised learning rate of the decoder.
        depth_clamp: Limit ray lengths to the range of samples of the same image
            (``"sample"``) or of the whole batch (``"batch"``, the official behaviour).
    """

    depth_resolution: int = 48
    depth_resolution_importance: int = 48
    ray_start: float | str = 2.25
    ray_end: float | str = 3.3
    box_warp: float = 1.0
    disparity_space_sampling: bool = False
    clamp_mode: str = "softplus"
    white_back: bool = False
    density_noise: float = 0.0
    superresolution_module: str = "SuperresolutionHybrid8XDC"
    superresolution_noise_mode: str = "none"
    sr_antialias: bool = True
    c_gen_conditioning_zero: bool = False
    c_scale: float = 0.0
    decoder_lr_mul: float = 1.0
    depth_clamp: str = "sample"

    def __post_init__(self) -> None:
        """Check the values that the renderer branches on."""
        _expect("clamp_mode", self.clamp_mode, CLAMP_MODES)
        _expect("depth_clamp", self.depth_clamp, DEPTH_CLAMPS)
        if (self.ray_start == "auto") != (self.ray_end == "auto"):
            raise ValueError(
                f"ray_start is {self.ray_start!r}, ray_end {self.ray_end!r}; "
                "'auto' takes both limits from the box: set both or none"
            )
        for name in ("ray_start", "ray_end"):
            value = getattr(self, name)
            if isinstance(value, str) and value != "auto":
                raise ValueError(f"{name} is {value!r}; expected a number or 'auto'")
        if self.depth_resolution < 4:
            raise ValueError(f"depth_resolution is {self.depth_resolution}; expected 4 or more")
        if self.depth_resolution_importance < 0:
            raise ValueError(
                f"depth_resolution_importance is {self.depth_resolution_importance}; "
                "expected 0 (coarse only) or more"
            )

    @classmethod
    def from_kwargs(cls, rendering_kwargs: Mapping[str, Any]) -> "RenderingOptions":
        """Read the official dictionary.

        Raises:
            KeyError: For a key that is neither a rendering nor a known training option.
        """
        known = {field.name for field in fields(cls)}
        unknown = set(rendering_kwargs) - known - set(TRAINING_ONLY_KEYS)
        if unknown:
            raise KeyError(
                f"rendering_kwargs has unknown keys {sorted(unknown)}; known are "
                f"{sorted(known | set(TRAINING_ONLY_KEYS))}"
            )
        return cls(**{key: rendering_kwargs[key] for key in known & set(rendering_kwargs)})

    @property
    def automatic_limits(self) -> bool:
        """Whether near and far come from the box."""
        return self.ray_start == "auto"


@dataclass(frozen=True)
class Extensions:
    """Additions to the official generator; the defaults are the official architecture.

    Attributes:
        learned_maps: A trainable additive map in every layer of the backbone.
        const_resolution: Side of the learned constant.
        mapping_skip: Linear path from z to w beside the mapping layers.
        plane_resolution: Side of the feature planes.
        plane_channels: Channels of a plane.
        backbone_channels: Width of each backbone block, coarse to fine; None: from
            `channel_base` and `channel_max`.
        decoder_hidden: Hidden width of the decoder.
        decoder_features: Colour features.
        density_gain: Factor on the activated density.
        density_bias: Added to the raw density before its activation.
        box_centre: Centre of the box in world coordinates.
        backdrop_radius: Radius of a sphere whose inside is the background, or None.
        backdrop_centre: Its centre in world coordinates.
        sr_input_resolution: Side at which the general super-resolution starts; None: half of
            the output.
        sr_channels: Width of each block of the general super-resolution.
    """

    learned_maps: bool = False
    const_resolution: int = 4
    mapping_skip: bool = False
    plane_resolution: int = 256
    plane_channels: int = 32
    backbone_channels: tuple[int, ...] | None = None
    decoder_hidden: int = 64
    decoder_features: int = 32
    density_gain: float = 1.0
    density_bias: float = 0.0
    box_centre: tuple[float, float, float] = (0.0, 0.0, 0.0)
    backdrop_radius: float | None = None
    backdrop_centre: tuple[float, float, float] = (0.0, 0.0, 0.0)
    sr_input_resolution: int | None = None
    sr_channels: tuple[int, ...] | None = None

    @classmethod
    def from_dict(cls, extensions: Mapping[str, Any] | None) -> "Extensions":
        """Read a plain dictionary (lists become tuples).

        Raises:
            KeyError: For an unknown key.
        """
        given = dict(extensions or {})
        known = {field.name for field in fields(cls)}
        if set(given) - known:
            raise KeyError(
                f"extensions has unknown keys {sorted(set(given) - known)}; "
                f"known are {sorted(known)}"
            )
        values = {k: tuple(v) if isinstance(v, list | tuple) else v for k, v in given.items()}
        return cls(**values)


def _expect(name: str, value: Any, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{name} is {value!r}; expected one of {allowed}")
