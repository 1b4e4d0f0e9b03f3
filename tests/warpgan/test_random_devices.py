"""Every random number is drawn where it lands: a generator's device equals its output's device.

All of torch's random calls are replaced by ones that compare the two. Everything runs once on the
CPU and once on fake CUDA, where no generator exists: a stand-in claims that device, so that a draw
from a CPU generator onto a GPU, the mistake that only a GPU would show, is seen here.
"""

import ast
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from eg3d.renderer import SampleDraws
from tests.warpgan.device_proof import move_to_fake_cuda
from tests.warpgan.evaluation_world import build_encoder, build_generator
from warpgan.cameras import look_at
from warpgan.methods.noise_maps import normal_numbers
from warpgan.methods.tuning import Teachers
from warpgan.pose import PoseDistribution
from warpgan.training.order import epoch_permutation
from warpgan.training.svinet_sources import CachedDraws, Draw
from warpgan.view_maker import UniformPoses, ViewMaker

ROOT = Path(__file__).parents[2]
SOURCES = [*(ROOT / "warpgan").rglob("*.py"), *(ROOT / "third_party" / "eg3d").rglob("*.py")]
FACTORIES = (
    "rand",
    "randn",
    "randint",
    "randperm",
    "normal",
    "bernoulli",
    "multinomial",
    "poisson",
)
LIKE = ("rand_like", "randn_like", "randint_like")
METHODS = (
    "normal_", "uniform_", "random_", "bernoulli_", "bernoulli", "multinomial", "exponential_",
    "cauchy_", "geometric_", "log_normal_",
)  # fmt: skip
INITIALISERS = ("normal_", "uniform_", "trunc_normal_")
Site = tuple[str, int]


class StandInGenerator:
    """What a ``torch.Generator`` on a device that is not there would be."""

    def __init__(self, device: str) -> None:
        self.device = torch.device(device)


class Watch:
    """What the replaced calls saw.

    Attributes:
        sites: file and line of each call that gave a generator.
        calls: number of random calls.
    """

    def __init__(self) -> None:
        self.sites: set[Site] = set()
        self.calls = 0


def _guard(function: Callable, watch: Watch) -> Callable:
    def watched(*args, **kwargs):
        watch.calls += 1
        generator = kwargs.get("generator")
        if isinstance(generator, StandInGenerator):
            kwargs = {**kwargs, "generator": None}
        out = function(*args, **kwargs)
        if generator is not None:
            frame = sys._getframe(1)
            watch.sites.add((frame.f_code.co_filename, frame.f_lineno))
            if generator.device.type != out.device.type:
                raise AssertionError(
                    f"{function.__name__} draws from a generator on {generator.device} "
                    f"for an output on {out.device}"
                )
        return out

    return watched


@contextmanager
def watched_random_calls() -> Iterator[Watch]:
    """Replace every random call of torch."""
    watch = Watch()
    with pytest.MonkeyPatch.context() as patch:
        for name in (*FACTORIES, *LIKE):
            patch.setattr(torch, name, _guard(getattr(torch, name), watch))
        for name in METHODS:
            patch.setattr(torch.Tensor, name, _guard(getattr(torch.Tensor, name), watch))
        for name in INITIALISERS:
            patch.setattr(torch.nn.init, name, _guard(getattr(torch.nn.init, name), watch))
        yield watch


def draws_with_a_generator() -> dict[Site, range]:
    """Call sites in our sources that pass ``generator=`` to a random call, with their lines."""
    names = {*FACTORIES, *LIKE, *METHODS}
    found = {}
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            keywords = {keyword.arg for keyword in node.keywords}
            owner = ast.unparse(node.func.value)
            if node.func.attr in names and "generator" in keywords and owner not in ("rng", "np"):
                lines = range(node.lineno, node.end_lineno + 1)
                found[(str(path), node.lineno)] = lines
    return found


def build_noisy_generator():
    """A tiny generator all of whose noises count."""
    G = build_generator()
    G.rendering_kwargs["density_noise"] = 0.1
    G.rendering_kwargs["superresolution_noise_mode"] = "none"
    for block in G.backbone.synthesis.modules():
        if hasattr(block, "noise_strength"):
            block.noise_strength.data.fill_(1.0)
    return G


def some_poses() -> PoseDistribution:
    return PoseDistribution(look_at([0.0, 10.0], 0.0))


def draw_everything(G, poses: PoseDistribution, generator, device: str) -> None:
    """Run each of our functions that takes a generator, with all else on ``device``."""
    camera = torch.zeros(1, 25, device=device)
    ws = G.mapping(torch.zeros(1, G.z_dim, device=device), camera)
    planes = G.planes(ws, noise_mode="random", generator=generator)
    assert planes.device.type == device
    drawn = G.render(planes, ws, camera, generator=generator)
    assert drawn.image.device.type == device
    rays = torch.zeros(1, 4, 3, device=device)
    draws = SampleDraws(generator=generator)
    assert draws.coarse(rays, 3).device.type == draws.fine(rays, 3).device.type == device
    assert poses.sample(3, generator, mirror=True).device.type == device
    assert UniformPoses().sample(3, generator).device.type == device


def draw_on_the_cpu_alone() -> None:
    """Order of samples, synthetic people, stored views, optimising baselines: equal everywhere."""
    epoch_permutation(0, 0, count=5)
    G = build_generator().eval()
    ViewMaker(G, build_encoder(G).eval(), synthetic_poses=UniformPoses()).synthetic([1])
    cache = SimpleNamespace(novel_views=2, sample=lambda index, novel: novel)
    assert CachedDraws(cache, seed=0)[Draw(index=0, step=0, place=0)] in (0, 1)
    random = torch.Generator().manual_seed(0)
    assert normal_numbers((2, 3), random, like=torch.zeros(1)).shape == (2, 3)
    assert Teachers(torch.zeros(2, 3, 8, 8), torch.zeros(2, 25)).draw(random)[1].shape == (1, 25)


def draw_on_fake_cuda(generator) -> None:
    G, poses = build_noisy_generator(), some_poses()
    with torch.no_grad(), FakeTensorMode():
        move_to_fake_cuda(G)
        # Their constructor checks numbers, which fake tensors have none of; they stay on the CPU.
        object.__setattr__(poses, "labels", torch.empty(poses.labels.shape))
        draw_everything(G, poses, generator, "cuda")


def test_draws_stay_on_their_device_and_every_call_site_is_reached():
    with watched_random_calls() as watch:
        cpu = torch.Generator().manual_seed(0)
        draw_everything(build_noisy_generator(), some_poses(), cpu, "cpu")
        draw_on_the_cpu_alone()
        on_cpu, watch.sites = watch.sites, set()
        draw_on_fake_cuda(StandInGenerator("cuda"))
        # What `draw_on_the_cpu_alone` draws is not drawn elsewhere.
        assert len(watch.sites) == len(on_cpu) - 5
        watch.sites |= on_cpu
    sites = draws_with_a_generator()
    assert len(sites) >= 6
    reached = {
        site
        for site, lines in sites.items()
        if any(file == site[0] and line in lines for file, line in watch.sites)
    }
    assert set(sites) - reached == set(), "a draw with a generator that this test never runs"


def test_a_draw_from_the_wrong_device_is_seen():
    """A generator on the CPU and everything else elsewhere, as a careless caller has it."""
    with watched_random_calls(), pytest.raises(AssertionError, match="generator on cpu"):
        draw_on_fake_cuda(StandInGenerator("cpu"))
    with watched_random_calls(), pytest.raises(AssertionError, match="for an output on meta"):
        torch.rand(3, generator=StandInGenerator("cpu"), device="meta")
    with watched_random_calls(), pytest.raises(AssertionError, match="generator on meta"):
        torch.empty(3).normal_(generator=StandInGenerator("meta"))


def test_without_a_generator_a_forward_pass_draws_nothing():
    """Renders, inversions and losses in eval mode are deterministic: no random call at all."""
    G = build_generator()
    encoder = build_encoder(G)
    camera = look_at(0.0, 0.0)
    photo = torch.zeros(1, 3, 32, 32)
    with watched_random_calls() as watch, torch.no_grad():
        ws = encoder(photo)
        G.render(G.planes(ws), ws, camera)
    assert watch.calls == 0


def test_random_calls_of_the_sources_name_a_generator_or_initialise():
    """Outside constructors of modules nothing draws from the global generator."""
    bad = []
    for path in SOURCES:
        tree = ast.parse(path.read_text())
        constructors = [
            node
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef) and node.name == "__init__"
        ]
        inside = {id(inner) for node in constructors for inner in ast.walk(node)}
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            if ast.unparse(node.func.value) != "torch" or id(node) in inside:
                continue
            keywords = {keyword.arg for keyword in node.keywords}
            if node.func.attr in (*FACTORIES, *LIKE) and "generator" not in keywords:
                bad.append(f"{path.relative_to(ROOT)}:{node.lineno} torch.{node.func.attr}")
    assert bad == []
