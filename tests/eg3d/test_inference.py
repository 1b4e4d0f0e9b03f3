"""Where kernels run, and on how many threads."""

import pytest
import torch

from eg3d.inference import in_threads, one_thread_each
from tests.eg3d.conftest import build, cameras, with_options


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_two_threads_equal_one(two_threads):
    kwargs = with_options(
        img_resolution=128, extensions={"sr_input_resolution": 32, "sr_channels": [8, 6, 6]}
    )
    generator = build(kwargs)
    ws = torch.randn(2, generator.num_ws, 16)
    outputs = []
    for threads in (2, 1):
        torch.set_num_threads(threads)
        with torch.inference_mode():
            out = generator.render(generator.planes(ws), ws, cameras(2), resolution=40)
        assert torch.get_num_threads() == threads
        outputs.append(out)
    for name in outputs[0].__dataclass_fields__:
        torch.testing.assert_close(*(getattr(o, name) for o in outputs), atol=1e-5, rtol=1e-5)


def test_parts_cover_everything_once(two_threads):
    seen = torch.zeros(103, dtype=torch.int64)

    def work(start, stop):
        assert not torch.is_grad_enabled()
        seen[start:stop] += 1

    in_threads(work, 103, part=10)
    assert (seen == 1).all()


def test_failures_surface_and_restore_the_threads(two_threads):
    def work(start, stop):
        raise RuntimeError("part failed")

    with pytest.raises(RuntimeError, match="part failed"), one_thread_each() as threads:
        assert (threads, torch.get_num_threads()) == (2, 1)
        in_threads(work, 4, part=1, threads=threads)
    assert torch.get_num_threads() == 2
