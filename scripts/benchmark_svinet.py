"""Speed and accuracy of the full-size SVINet, on the yardstick of `scripts/benchmark.py`."""

import argparse
import os
import statistics

import torch
from benchmark_yardstick import ConvolutionRate, measure, peak_gib
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import eg3d
from warpgan.svinet import build_svinet
from warpgan.svinet_network import InpaintingNetwork

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def register(commands: argparse._SubParsersAction) -> None:
    """Add the subcommand `svinet`."""
    command = commands.add_parser("svinet", help="the full-size inpainting network")
    command.add_argument("--threads", type=int, default=torch.get_num_threads())
    command.add_argument("--repeats", type=int, default=5)
    command.add_argument("--size", type=int, default=512, help="side of the picture in pixels")
    command.add_argument("--kernels", choices=eg3d.KERNEL_CHOICES, default="auto")
    command.set_defaults(run=benchmark_svinet)


def convolution_flop(network: InpaintingNetwork, channels: Tensor, ws: Tensor) -> int:
    """FLOP of all convolutions and linear layers as the modules write them; no FFT, no filters."""
    counter = FlopCounterMode(display=False)
    filters = 0

    def count_filter(module: nn.Module, inputs: tuple, output: Tensor) -> None:
        # The depthwise filter after a transposed convolution; counted as if it had two images.
        nonlocal filters
        filters += 2 * 16 * output.numel()

    hooks = [block.conv0.conv.register_forward_hook(count_filter) for block in network.model_up]
    with torch.no_grad(), eg3d.kernels("torch"), counter:
        network(channels, ws)
    for hook in hooks:
        hook.remove()
    return counter.get_total_flops() - filters


def calibrate(network: InpaintingNetwork, channels: Tensor, ws: Tensor) -> None:
    """Set the running statistics of random weights to those of one batch, as training would."""
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        network.train()(channels, ws)
    network.eval()
    for norm in norms:
        norm.momentum = 0.1


def benchmark_svinet(arguments: argparse.Namespace) -> None:
    """Time the forward pass in both precisions, and compare the images they make."""
    torch.manual_seed(0)
    network = build_svinet(
        num_ws=14, w_dim=512, modulation="index", film="one_plus_scale"
    ).network.requires_grad_(False)
    side = arguments.size
    channels, ws = torch.rand(1, network.channels, side, side), torch.randn(1, 14, 512)
    calibrate(network, channels, ws)
    flop = convolution_flop(network, channels, ws)
    with torch.inference_mode(), eg3d.kernels("torch"):
        reference = network(channels, ws)
    convolution = ConvolutionRate()
    convolution()
    print(f"SVINet, width 64, 9 blocks, batch 1, {side} x {side} px: ", end="")
    print(f"{flop / 1e9:.0f} GFLOP in convolutions; kernels: {arguments.kernels}; ", end="")
    print(f"{torch.get_num_threads()} threads, load {os.getloadavg()[0]:.1f}")
    print(f"{'':10s} {'median s':>9s} {'least s':>8s} {'efficiency':>10s}  against the modules")
    medians, images = {}, {}

    def run(dtype: torch.dtype) -> Tensor:
        lower = torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16)
        with torch.inference_mode(), eg3d.kernels(arguments.kernels), lower:
            return network(channels, ws)

    for name, dtype in DTYPES.items():
        timings = []
        for _ in range(arguments.repeats + 1):
            images[name], timing = measure(lambda dtype=dtype: run(dtype), convolution)
            timings.append(timing)
        timings = timings[1:]
        efficiency = statistics.median(flop / t.seconds / t.convolution_rate for t in timings)
        # In units of the float32 convolution: comparable though the machine's speed changes.
        medians[name] = statistics.median(t.seconds * t.convolution_rate for t in timings)
        seconds = [t.seconds for t in timings]
        print(
            f"{name:10s} {statistics.median(seconds):9.3f} {min(seconds):8.3f} {efficiency:10.3f}  "
            f"greatest difference {(images[name] - reference).abs().max():.1e}"
        )
    error = (images["bfloat16"] - images["float32"]).double().square().mean().log10().item()
    speed_up = medians["float32"] / medians["bfloat16"]
    print(f"bfloat16 against float32: {speed_up:.2f} times as fast, {-10 * error:.1f} dB")
    print(f"peak memory {peak_gib():.2f} GiB")
