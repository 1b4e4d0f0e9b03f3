"""The benchmark's arithmetic, counted by torch itself."""

import importlib.util
import sys
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

import eg3d

SCRIPT = Path(__file__).parents[2] / "scripts" / "benchmark.py"


def load_script():
    if str(SCRIPT.parent) not in sys.path:  # it imports its neighbours, as a script does
        sys.path.insert(0, str(SCRIPT.parent))
    spec = importlib.util.spec_from_file_location("benchmark_script", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_flop_counts():
    benchmark = load_script()
    with torch.device("meta"), torch.no_grad():
        generator = eg3d.build_generator(benchmark.FFHQ_512)
        ws = torch.empty(1, 14, 512)
        features = torch.empty(1, 32, 128, 128)
        origins = torch.empty(1, 128 * 128, 3)
        with FlopCounterMode(display=False) as counter:
            planes = generator.planes(ws)
        backbone = counter.get_total_flops()
        with FlopCounterMode(display=False) as counter:
            generator.super_resolve(features[:, :3], features, ws)
        enlarging = counter.get_total_flops()
        with FlopCounterMode(display=False) as counter:
            generator.render_rays(planes, origins, origins)
        rendering = counter.get_total_flops()
    # torch also counts the filters (about 1 %), and compositing, but no look-ups.
    for ours, counted in (
        (benchmark.synthesis_flop(generator.backbone.synthesis), backbone),
        (benchmark.synthesis_flop(generator.superresolution), enlarging),
        (benchmark.render_flop(generator, 128), rendering),
    ):
        assert abs(ours / counted - 1) < 0.1
    total = (
        benchmark.synthesis_flop(generator.backbone.synthesis)
        + benchmark.synthesis_flop(generator.superresolution)
        + benchmark.render_flop(generator, 128)
    )
    assert 295e9 < total < 310e9
