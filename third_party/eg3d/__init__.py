"""EG3D: a generator of 3-D heads and the means to render it.

An independent implementation, number- and weight-compatible with NVIDIA's; see ORIGIN.md.
"""

from .checkpoint_file import CheckpointError
from .generator import Rendering, TriPlaneGenerator, build_generator
from .inference import CHOICES as KERNEL_CHOICES
from .inference import kernels
from .loading import load_generator, save_generator
from .rays import ray_directions
from .renderer import PointSamples, RayBundle

__all__ = [
    "KERNEL_CHOICES",
    "CheckpointError",
    "PointSamples",
    "RayBundle",
    "Rendering",
    "TriPlaneGenerator",
    "build_generator",
    "kernels",
    "load_generator",
    "ray_directions",
    "save_generator",
]
