"""Small generators and cameras for the tests of eg3d."""

import pytest
import torch

import eg3d
from eg3d.poses import intrinsics_from_fov, orbit_pose

MINI = {
    "z_dim": 8,
    "c_dim": 25,
    "w_dim": 16,
    "img_resolution": 32,
    "img_channels": 3,
    "mapping_kwargs": {"num_layers": 2, "layer_features": 16},
    "sr_num_fp16_res": 0,
    "rendering_kwargs": {
        "depth_resolution": 6,
        "depth_resolution_importance": 5,
        "ray_start": 2.25,
        "ray_end": 3.3,
        "box_warp": 1,
        "c_scale": 1.0,
        "superresolution_module": "SuperresolutionGeneral",
    },
    "extensions": {
        "plane_resolution": 16,
        "plane_channels": 8,
        "backbone_channels": [12, 10, 8],
        "decoder_hidden": 10,
        "decoder_features": 6,
        "sr_input_resolution": 16,
        "sr_channels": [8, 6],
    },
}


def with_options(*, rendering=None, extensions=None, **top):
    """MINI with some values replaced."""
    return {
        **MINI,
        **top,
        "rendering_kwargs": {**MINI["rendering_kwargs"], **(rendering or {})},
        "extensions": {**MINI["extensions"], **(extensions or {})},
    }


def build(kwargs=MINI, *, seed=0, **options):
    torch.manual_seed(seed)
    generator = eg3d.build_generator(kwargs, neural_rendering_resolution=8, **options)
    for name, parameter in generator.named_parameters():
        if name.endswith("noise_strength"):
            torch.nn.init.constant_(parameter, 0.3)
        elif name.endswith("bias") and "affine" not in name:
            torch.nn.init.normal_(parameter, std=0.3)
    return generator.eval()


def cameras(count):
    yaw = torch.linspace(-0.5, 0.5, count)
    pose = orbit_pose(yaw, yaw.flip(0) * 0.3).flatten(1)
    return torch.cat([pose, intrinsics_from_fov(18.837).flatten().expand(count, 9)], 1)


@pytest.fixture
def generator():
    return build()
