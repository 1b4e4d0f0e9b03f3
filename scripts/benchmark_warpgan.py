"""Benchmarks of the warp, of novel views and of a training step; commands of ``benchmark.py``."""

import argparse
import os
import time

import torch
from benchmark_yardstick import ConvolutionRate, Timing, measure, peak_gib, report, report_head

from warpgan.cameras import look_at
from warpgan.cli import build_node, compose_config
from warpgan.data.view_pairs import RealViews, SyntheticViews
from warpgan.encoders.inversion import InversionEncoder
from warpgan.pipeline import WarpGAN
from warpgan.splat import footprint
from warpgan.training.svinet_step import (
    DiscriminatorObjective,
    InpaintingPasses,
    SVINetModules,
    svinet_turn,
)
from warpgan.warp import WarpOptions, forward_warp, soft_holes, visible_pixels

SIZE, RAYS = 512, 128


def register(commands: argparse._SubParsersAction) -> None:
    """Add the commands ``warp``, ``synthesize`` and ``train``."""
    for name, run, text in (
        ("warp", benchmark_warp, "splat, warp, hole tests and hole mask at 512 px"),
        ("synthesize", benchmark_synthesize, "views of one photo, the whole chain at 512 px"),
        ("train", benchmark_train, "one real and one synthetic turn at 512 px, batch 1"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("--threads", type=int, default=torch.get_num_threads())
        command.add_argument("--repeats", type=int, default=5)
        command.set_defaults(run=run)
    commands.choices["synthesize"].add_argument("--views", type=int, default=3)
    commands.choices["synthesize"].add_argument(
        "--mini", action="store_true", help="the shipped weights at 128 px instead"
    )
    commands.choices["train"].add_argument("--preset", choices=("paper", "official"), default=None)
    commands.choices["train"].add_argument("--checkpointing", action="store_true")


def _bumpy_depth(rays: int) -> torch.Tensor:
    """A smooth head-like ray length [1, 1, rays, rays] in front of a backdrop."""
    grid = torch.linspace(-1, 1, rays)
    radius = grid.square()[:, None] + grid.square()[None]
    return (3.1 - 0.6 * torch.exp(-4 * radius))[None, None]


@torch.inference_mode()
def benchmark_warp(arguments: argparse.Namespace) -> None:
    """Time the parts of a warp."""
    torch.manual_seed(0)
    image, ray_length = torch.rand(1, 3, SIZE, SIZE), _bumpy_depth(RAYS)
    source, target = look_at(5.0, 3.0), look_at(-25.0, 0.0)
    options = WarpOptions(visibility=True)
    convolution = ConvolutionRate()
    column, row = torch.meshgrid(*[torch.arange(SIZE).float()] * 2, indexing="xy")
    position = torch.stack([column, row]).flatten(1)[None] + torch.rand(1, 2, SIZE**2) * 4 - 2

    def spread(planes: list[torch.Tensor], weight: torch.Tensor) -> torch.Tensor:
        return footprint(position, height=SIZE, width=SIZE).sums(planes, weight)

    planes, weight = [torch.rand(1, SIZE**2) for _ in range(3)], torch.rand(1, SIZE**2)
    warped = forward_warp(image, ray_length, source, target, options=options)
    tests = {"ray_length": ray_length, "source": source, "target_ray_length": ray_length}
    visible = visible_pixels(warped, target, options=options, **tests)
    work = {
        "splat alone, 3 planes and weight": lambda: spread(planes, weight),
        "forward_warp, soft": lambda: forward_warp(
            image, ray_length, source, target, options=options
        ),
        "forward_warp, oversample 2": lambda: forward_warp(
            image, ray_length, source, target, options=WarpOptions(visibility=True, oversample=2)
        ),
        "visible_pixels, all tests": lambda: visible_pixels(
            warped, target, options=options, **tests
        ),
        "soft_holes": lambda: soft_holes(visible, options=options),
    }
    _time_all(work, convolution, repeats=4 * arguments.repeats, what="warp, 512 px, float32")


@torch.inference_mode()
def benchmark_synthesize(arguments: argparse.Namespace) -> None:
    """Time one photo's views against as many runs of the whole chain."""
    words = [] if arguments.mini else ["preset=paper", "generator=random_full", "data.path=none"]
    model, size = _build_pipeline(words, shipped=arguments.mini)
    torch.manual_seed(0)
    photo, camera = torch.rand(1, 3, size, size) * 2 - 1, look_at(0.0, 0.0)
    cameras = look_at(torch.linspace(-30, 30, arguments.views), 0.0)[None]
    orbit, chain, invert = [], [], []
    for repeat in range(arguments.repeats + 1):
        start = time.perf_counter()
        face = model.invert(photo, camera)
        inverted = time.perf_counter()
        for _ in face.stream(cameras):
            pass
        seen = time.perf_counter()
        for view in cameras[0]:
            model.invert(photo, camera).views(view[None, None])
        if repeat:
            invert.append(Timing(inverted - start, 1.0))
            orbit.append(Timing(seen - start, 1.0))
            chain.append(Timing(time.perf_counter() - seen, 1.0))
    _head(f"{arguments.views} views of one photo at {size} px, random or shipped weights")
    report("inversion, planes, source depth", None, invert)
    report("one photo, all views", None, orbit)
    report("the whole chain for every view", None, chain)
    ratio = min(t.seconds for t in chain) / min(t.seconds for t in orbit)
    per_view = min(t.seconds for t in orbit) / arguments.views
    print(f"{ratio:.2f} x faster than the whole chain every time; {per_view:.3f} s a view")
    print(f"peak memory {peak_gib():.2f} GiB")


def benchmark_train(arguments: argparse.Namespace) -> None:
    """Time a real and a synthetic turn of SVINet and discriminator at full size, batch 1."""
    for preset in [arguments.preset] if arguments.preset else ["paper", "official"]:
        words = [f"preset={preset}", "generator=random_full", "svinet_losses.pretrained=false"]
        words.append("data.path=none")
        words.append(f"train.activation_checkpointing={str(arguments.checkpointing).lower()}")
        config = compose_config("train_svinet", words)
        model, size = _build_pipeline(words)
        losses = build_node(config, "svinet_losses").eval()
        svinet = model.svinet.train().requires_grad_(True)
        discriminator = build_node(config, "discriminator").train()
        passes = InpaintingPasses(
            svinet.network, model.options, symmetry=svinet.symmetry,
            rewarped=config.train.rewarped,
        )  # fmt: skip
        modules = SVINetModules(
            passes, DiscriminatorObjective(discriminator, losses), discriminator, losses,
            model.encoder,
        )  # fmt: skip
        optimizers = [torch.optim.Adam(n.parameters()) for n in (svinet, discriminator)]
        runs: dict[str, list[Timing]] = {}
        for _ in range(max(1, arguments.repeats // 2)):
            for kind in ("real", "synthetic"):
                start = time.perf_counter()
                result = svinet_turn(modules, _random_views(kind, size))
                result.total.backward()
                optimizers[0].step()
                middle = time.perf_counter()
                modules.objective(result.real, result.fakes, result.holes)[0].backward()
                optimizers[1].step()
                for optimizer in optimizers:
                    optimizer.zero_grad(set_to_none=True)
                del result
                end = time.perf_counter()
                runs.setdefault(f"{kind}: SVINet", []).append(Timing(middle - start, 1.0))
                runs.setdefault(f"{kind}: discriminator", []).append(Timing(end - middle, 1.0))
        _head(f"preset={preset}, one step at {size} px, batch 1 + 1, random weights")
        for name, timings in runs.items():
            report(name, None, timings)
        print(f"peak memory {peak_gib():.2f} GiB of this process so far")
        del modules, model, svinet, discriminator, losses, optimizers, passes


def _time_all(work: dict, convolution: ConvolutionRate, *, repeats: int, what: str) -> None:
    _head(what)
    for name, job in work.items():
        job()
        report(name, None, [measure(job, convolution)[1] for _ in range(repeats)])


def _head(what: str) -> None:
    load = f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors"
    print(f"{what}; {torch.get_num_threads()} threads, {load}")
    report_head()


def _build_pipeline(words: list[str], *, shipped: bool = False) -> tuple[WarpGAN, int]:
    """A pipeline with random weights of a preset, or the shipped one."""
    config = compose_config("train_svinet", words)
    if shipped:
        from warpgan import weights
        from warpgan.encoders.inversion import load_encoder
        from warpgan.generators import named_generator
        from warpgan.svinet import load_svinet

        generator = named_generator("eg3d_mini")
        encoder = load_encoder(weights.resolve("encoder_mini"))
        svinet = load_svinet(weights.resolve("svinet_mini"))
    else:
        encoders = compose_config("train", [w for w in words if "svinet" not in w])
        generator = build_node(config, "generator").eval().requires_grad_(False)
        codes = {"num_ws": generator.num_ws, "w_dim": generator.w_dim}
        torch.manual_seed(0)
        encoder = build_node(encoders, "encoder", **codes)
        encoder = InversionEncoder(encoder, generator.mean_latent()).eval().requires_grad_(False)
        svinet = build_node(config, "svinet", **codes).eval()
    options = build_node(config, "geometry")
    return WarpGAN(generator, encoder, svinet, options), config.scale.image_size


def _random_views(kind: str, size: int) -> RealViews | SyntheticViews:
    def image() -> torch.Tensor:
        return torch.rand(1, 3, size, size)

    ws, depth, names = torch.randn(1, 14, 512), _bumpy_depth(RAYS), ("random",)
    first, second = look_at(5.0, 0.0), look_at(-20.0, 0.0)
    if kind == "real":
        return RealViews(image(), first, second, ws, depth, depth.clone(), image(), image(), names)
    return SyntheticViews(image(), image(), first, second, ws, depth, depth.clone(), image(), names)
