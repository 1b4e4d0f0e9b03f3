"""Speed and memory of the parts, each measured beside a convolution on the same machine.

    python scripts/benchmark.py generator --threads 2
    python scripts/benchmark.py svinet --threads 1        warp, synthesize, train: --help tells more
    python scripts/benchmark.py metrics --threads 1       loading and feature nets of an evaluation

Seconds depend on the machine and on what else runs there. Efficiency does so less: it is the
arithmetic of a stage over its time, relative to the rate of a 3x3 convolution of 256 to 256
channels at 128 x 128 (channels-last, float32) that is timed right before and after.
"""

import argparse
import os
import statistics
from collections.abc import Callable

import benchmark_metrics
import benchmark_svinet
import benchmark_warpgan
import torch
from benchmark_yardstick import (
    ConvolutionRate,
    Timing,
    measure,
    peak_gib,
    report,
    report_head,
    sum_of,
)
from torch import nn

import eg3d
from eg3d.backbone import SynthesisBlock
from eg3d.layers import FullyConnected
from eg3d.poses import intrinsics_from_fov, orbit_pose

FFHQ_512 = {
    "z_dim": 512,
    "c_dim": 25,
    "w_dim": 512,
    "img_resolution": 512,
    "img_channels": 3,
    "mapping_kwargs": {"num_layers": 2},
    "channel_base": 32768,
    "channel_max": 512,
    "num_fp16_res": 0,
    "sr_num_fp16_res": 4,
    "conv_clamp": None,
    "rendering_kwargs": {
        "depth_resolution": 48,
        "depth_resolution_importance": 48,
        "ray_start": 2.25,
        "ray_end": 3.3,
        "box_warp": 1,
        "c_scale": 1.0,
        "superresolution_module": "SuperresolutionHybrid8XDC",
        "superresolution_noise_mode": "none",
        "sr_antialias": True,
    },
}


def linear_flop(module: nn.Module) -> int:
    """FLOP of the fully connected layers, once each."""
    layers = [m for m in module.modules() if isinstance(m, FullyConnected)]
    return sum(2 * layer.weight.numel() for layer in layers)


def synthesis_flop(module: nn.Module) -> int:
    """FLOP of the convolutions of all blocks for one sample, without filters and activations."""
    total = linear_flop(module)
    for block in module.modules():
        if not isinstance(block, SynthesisBlock):
            continue
        pixels = block.conv1.resolution**2
        total += 2 * pixels * (block.conv1.weight.numel() + block.torgb.weight.numel())
        if not block.starts:
            total += 2 * (pixels // block.up**2) * block.conv0.weight.numel()
    return total


def render_flop(generator: eg3d.TriPlaneGenerator, resolution: int) -> int:
    """FLOP of the plane look-ups and of the decoder, for one camera."""
    options = generator.options
    samples = options.depth_resolution + options.depth_resolution_importance
    look_up = 2 * 3 * 4 * generator.extensions.plane_channels
    return resolution**2 * samples * (look_up + linear_flop(generator.decoder))


def frontal_cameras(offsets: list[float]) -> torch.Tensor:
    """Labels `[N, 25]` at the given yaw offsets."""
    yaw = torch.tensor(offsets)
    pose = orbit_pose(yaw, torch.zeros_like(yaw)).flatten(1)
    return torch.cat([pose, intrinsics_from_fov(18.837).flatten().expand(len(offsets), 9)], 1)


@torch.inference_mode()
def benchmark_generator(arguments: argparse.Namespace) -> None:
    """Time mapping, backbone, rendering and super-resolution of the full-size generator."""
    torch.manual_seed(0)
    start_gib = peak_gib()
    rays = arguments.rays
    generator = eg3d.build_generator(FFHQ_512, neural_rendering_resolution=rays)
    generator.eval().requires_grad_(False)
    built_gib = peak_gib()
    z, cameras = torch.randn(1, 512), frontal_cameras([0.2, -0.4])
    convolution = ConvolutionRate()
    runs: dict[str, list[Timing]] = {}

    def stage(name: str, work: Callable) -> object:
        result, timing = measure(work, convolution)
        runs.setdefault(name, []).append(timing)
        return result

    def views(planes: torch.Tensor, ws: torch.Tensor, camera: torch.Tensor, label: str) -> None:
        origins, directions = eg3d.ray_directions(camera, rays)
        bundle = stage(f"render{label}", lambda: generator.render_rays(planes, origins, directions))
        features = bundle.features.mT.unflatten(2, (rays, rays))
        del bundle
        stage(
            f"super-resolution{label}",
            lambda: generator.super_resolve(features[:, :3], features, ws),
        )

    with eg3d.kernels(arguments.kernels):
        for repeat in range(arguments.repeats + 1):
            ws = stage("mapping", lambda: generator.mapping(z, cameras[:1]))
            planes = stage("backbone", lambda ws=ws: generator.planes(ws))
            views(planes, ws, cameras[:1], "")
            views(planes, ws, cameras[1:], " (2nd camera)")
            del planes
            if repeat == 0:
                # The first round compiles kernels and warms caches up.
                runs.clear()

    flop = {
        "mapping": linear_flop(generator.backbone.mapping),
        "backbone": synthesis_flop(generator.backbone.synthesis),
        "render": render_flop(generator, rays),
        "super-resolution": synthesis_flop(generator.superresolution),
    }
    print(f"{rays} x {rays} rays, 48 + 48 samples, 512 x 512 px, float32, kernels: ", end="")
    print(f"{arguments.kernels}; {torch.get_num_threads()} threads, ", end="")
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    report_head()
    for name, timings in runs.items():
        report(name, flop[name.split(" (")[0]], timings)
    once = [timings for name, timings in runs.items() if name in flop]
    report("all of the first camera", sum(flop.values()), sum_of(once))
    again = [timings for name, timings in runs.items() if name not in flop]
    report("all of a second camera", flop["render"] + flop["super-resolution"], sum_of(again))
    rates = [t.convolution_rate for timings in runs.values() for t in timings]
    print(f"convolution: median {statistics.median(rates) / 1e9:.0f} GFLOP/s")
    print(
        f"peak memory {peak_gib():.2f} GiB "
        f"(after imports {start_gib:.2f}, with the model {built_gib:.2f})"
    )


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    generator = commands.add_parser("generator", help="the full-size EG3D generator")
    generator.add_argument("--threads", type=int, default=torch.get_num_threads())
    generator.add_argument("--repeats", type=int, default=5)
    generator.add_argument("--rays", type=int, default=128, help="rays a side")
    generator.add_argument("--kernels", choices=eg3d.KERNEL_CHOICES, default="auto")
    generator.set_defaults(run=benchmark_generator)
    benchmark_metrics.register(commands)
    benchmark_svinet.register(commands)
    benchmark_warpgan.register(commands)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    arguments.run(arguments)


if __name__ == "__main__":
    main()
