import copy
from pathlib import Path

import pytest
import torch
from pytorch_optimizer import Ranger
from safetensors.torch import load_file
from torch._subclasses.fake_tensor import FakeTensorMode

from tests.parity_checks import ranger as parity
from warpgan.training.ranger import build_ranger

GOLDEN = Path(__file__).parents[1] / "golden"


def test_golden():
    results = parity.check_ranger(GOLDEN)
    assert len(results) == 16
    assert not [result for result in results if not result.ok]


def test_golden_tells_the_package_default_apart(monkeypatch):
    monkeypatch.setattr(
        parity, "build_ranger", lambda params, lr: Ranger(params, lr=lr, degenerated_to_sgd=False)
    )
    assert any(not result.ok for result in parity.check_ranger(GOLDEN))


def run(params, optimizer, steps):
    for step in steps:
        for index, param in enumerate(params):
            generator = torch.Generator().manual_seed(1000 * step + index)
            param.grad = torch.randn(param.shape, generator=generator)
        optimizer.step()


def new_params():
    generator = torch.Generator().manual_seed(0)
    shapes = [(3, 4), (5,), (2, 3, 3, 3), ()]
    return [torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in shapes]


@pytest.mark.parametrize("stop", [1, 5, 6, 8, 15])
def test_resume_is_bit_exact(tmp_path, stop):
    whole = new_params()
    run(whole, build_ranger(whole, lr=1e-2), range(20))

    first = new_params()
    optimizer = build_ranger(first, lr=1e-2)
    run(first, optimizer, range(stop))
    torch.save({"params": first, "optimizer": optimizer.state_dict()}, tmp_path / "state.pt")
    saved = torch.load(tmp_path / "state.pt", weights_only=True)
    resumed = [torch.nn.Parameter(value.detach().clone()) for value in saved["params"]]
    optimizer = build_ranger(resumed, lr=1e-2)
    optimizer.load_state_dict(saved["optimizer"])
    run(resumed, optimizer, range(stop, 20))
    for ours, expected in zip(resumed, whole, strict=True):
        assert torch.equal(ours, expected)


def test_state_dict_holds_the_slow_weights():
    params = new_params()
    start = [param.detach().clone() for param in params]
    optimizer = build_ranger(params, lr=1e-2)
    run(params, optimizer, range(5))
    state = copy.deepcopy(optimizer.state_dict())
    assert state["param_groups"][0]["step"] == 5
    for index, value in enumerate(start):
        assert torch.equal(state["state"][index]["slow_buffer"], value)
    run(params, optimizer, range(5, 6))
    for index, param in enumerate(params):
        assert torch.equal(optimizer.state_dict()["state"][index]["slow_buffer"], param)


def test_step_runs_on_fake_cuda():
    with FakeTensorMode():
        params = [
            torch.nn.Parameter(torch.empty(shape, device="cuda")) for shape in [(3, 4), (5,), ()]
        ]
        optimizer = build_ranger(params)
        for _ in range(12):
            for param in params:
                param.grad = torch.empty_like(param)
            optimizer.step()
        state = optimizer.state_dict()
        assert state["param_groups"][0]["step"] == 12
        for entry in state["state"].values():
            assert {value.device.type for value in entry.values()} == {"cuda"}


def test_golden_gradients_are_not_trivial():
    golden = load_file(GOLDEN / parity.FILE)
    assert golden["lr1e-2.grads.mat"].abs().min() > 0
