"""EG3D: a generator of 3-D heads and the means to render it.

An independent implementation, number- and weight-compatible with NVIDIA's; see ORIGIN.md.
"""

from .generator import Rendering, TriPlaneGenerator, build_generator
from .rays import ray_directions
from .renderer import PointSamples, RayBundle

__all__ = [
    "PointSamples",
    "RayBundle",
    "Rendering",
    "TriPlaneGenerator",
    "build_generator",
    "ray_directions",
]
