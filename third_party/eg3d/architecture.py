"""The construction arguments of an official generator, worked out from its state dict's shapes.

For plain state dicts, which carry no settings. What shapes cannot tell (ray limits, samples a ray,
camera scale, plane axes) is taken from NVIDIA's FFHQ release.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from .superresolution import OFFICIAL_VARIANTS

PLANE_RESOLUTIONS = (4, 8, 16, 32, 64, 128, 256)

FFHQ_RENDERING = {
    "depth_resolution": 48,
    "depth_resolution_importance": 48,
    "ray_start": 2.25,
    "ray_end": 3.3,
    "box_warp": 1,
    "avg_camera_radius": 2.7,
    "avg_camera_pivot": [0, 0, 0.2],
    "disparity_space_sampling": False,
    "clamp_mode": "softplus",
    "c_gen_conditioning_zero": False,
    "c_scale": 1.0,
    "superresolution_noise_mode": "none",
    "density_reg": 0.25,
    "density_reg_p_dist": 0.004,
    "reg_type": "l1",
    "decoder_lr_mul": 1.0,
    "sr_antialias": True,
}


@dataclass(frozen=True)
class Architecture:
    """Arguments of `build_generator` that fit a state dict.

    Attributes:
        init_kwargs: sizes read from the shapes, without `rendering_kwargs`.
        rendering_kwargs: the FFHQ release's settings with the super-resolution found.
        neural_rendering_resolution: rays a side at the super-resolution's own input size.
    """

    init_kwargs: dict
    rendering_kwargs: dict
    neural_rendering_resolution: int


def infer_architecture(tensors: Mapping[str, Tensor]) -> Architecture:
    """Work out the construction arguments of an official generator.

    Args:
        tensors: its state dict.

    Raises:
        ValueError: a tensor every generator has is missing, or the sizes are not official ones.
    """

    def shape(name: str, dimensions: int) -> tuple[int, ...]:
        if name not in tensors or tensors[name].dim() != dimensions:
            raise ValueError(f"it has no {dimensions}-dimensional tensor {name!r}")
        return tuple(tensors[name].shape)

    layers = 0
    while f"backbone.mapping.fc{layers}.weight" in tensors:
        layers += 1
    layer_features, mapping_input = shape("backbone.mapping.fc0.weight", 2)
    w_dim = shape(f"backbone.mapping.fc{layers - 1}.weight", 2)[0]
    embed_features, c_dim = shape("backbone.mapping.embed.weight", 2)
    mapping_kwargs = {"num_layers": layers}
    if embed_features != w_dim:
        mapping_kwargs["embed_features"] = embed_features
    if layers > 1 and layer_features != w_dim:
        mapping_kwargs["layer_features"] = layer_features

    widths = {
        side: shape(f"backbone.synthesis.b{side}.conv1.weight", 4)[0] for side in PLANE_RESOLUTIONS
    }
    channel_max = max(widths.values())
    narrowed = [width * side for side, width in widths.items() if width < channel_max]
    channel_base = max(narrowed, default=channel_max * PLANE_RESOLUTIONS[-1])
    if any(min(channel_base // side, channel_max) != width for side, width in widths.items()):
        raise ValueError(f"backbone widths {widths} do not follow from a channel base and maximum")

    channels = tuple(shape(f"superresolution.block{k}.conv1.weight", 4)[0] for k in (0, 1))
    img_resolution = shape("superresolution.block1.conv1.noise_const", 2)[0]
    matching = [
        name
        for name, variant in OFFICIAL_VARIANTS.items()
        if variant.channels == channels and variant.output_resolution == img_resolution
    ]
    if not matching:
        raise ValueError(
            f"a super-resolution of widths {channels} to {img_resolution} px is not official"
        )
    (superresolution,) = matching
    return Architecture(
        init_kwargs={
            "z_dim": mapping_input - embed_features,
            "c_dim": c_dim,
            "w_dim": w_dim,
            "img_resolution": img_resolution,
            "img_channels": 3,
            "mapping_kwargs": mapping_kwargs,
            "channel_base": channel_base,
            "channel_max": channel_max,
            "num_fp16_res": 0,
            "sr_num_fp16_res": 4,
            "conv_clamp": None,
        },
        rendering_kwargs=FFHQ_RENDERING
        | {
            "image_resolution": img_resolution,
            "superresolution_module": f"training.superresolution.{superresolution}",
        },
        neural_rendering_resolution=OFFICIAL_VARIANTS[superresolution].input_resolution,
    )
