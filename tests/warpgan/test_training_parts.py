"""Parts of the training loop against closed forms and slow references."""

import json
import math

import pytest
import torch
from torch import nn

from warpgan.training.checkpoint import (
    Stateful,
    list_checkpoints,
    load_checkpoint,
    read_state,
    save_checkpoint,
)
from warpgan.training.ema import WeightAverage
from warpgan.training.logging import RunLog, drop_records_after
from warpgan.training.order import StepOrder, micro_batch_size
from warpgan.training.progress import Progress, spell_time
from warpgan.training.ranger import build_ranger
from warpgan.training.running_mean import RunningMean
from warpgan.training.runs import differing_keys, find_checkpoint, package_versions
from warpgan.training.schedule import learning_rate_factor, set_learning_rate
from warpgan.training.seeding import fold_seed, sample_generator, seed_dropout


def order(**changes) -> StepOrder:
    settings = {"count": 10, "batch_size": 4, "seed": 1, "start": 0, "stop": 5} | changes
    return StepOrder(settings.pop("count"), settings.pop("batch_size"), **settings)


def test_an_epoch_sees_every_sample_once():
    seen = [index for batch in order() for index in batch]
    assert sorted(seen[:10]) == sorted(seen[10:]) == list(range(10))
    assert seen[:10] != seen[10:]


def test_the_order_does_not_depend_on_where_a_run_starts():
    assert list(order())[3:] == list(order(start=3))
    assert len(order(start=3)) == 2


@pytest.mark.parametrize("processes,accumulation", [(2, 1), (1, 2), (2, 2), (4, 1)])
def test_processes_and_micro_batches_share_the_global_batch(processes, accumulation):
    whole = list(order())
    shares = [
        list(order(process=process, processes=processes, accumulation=accumulation))
        for process in range(processes)
    ]
    for step, batch in enumerate(whole):
        parts = [
            shares[process][step * accumulation + micro]
            for micro in range(accumulation)
            for process in range(processes)
        ]
        assert sum(parts, []) == batch


def test_the_first_index_of_a_micro_batch_names_its_samples():
    share = order(process=1, processes=2, accumulation=2)
    assert [share.first_index(micro) for micro in (0, 1)] == [1, 3]


def test_another_seed_gives_another_order():
    assert list(order(seed=2)) != list(order())


@pytest.mark.parametrize("batch_size,processes,accumulation", [(4, 3, 1), (4, 1, 3), (0, 1, 1)])
def test_a_batch_that_does_not_divide_is_refused(batch_size, processes, accumulation):
    with pytest.raises(ValueError, match=f"train.batch_size={batch_size}"):
        micro_batch_size(batch_size, processes=processes, accumulation=accumulation)


def test_an_empty_data_set_is_refused():
    with pytest.raises(ValueError, match="data.path"):
        order(count=0)


def test_seeds_are_stable_and_distinct():
    # Frozen numbers: a change would make every resumed run another run.
    assert fold_seed(2107, "order", 0) == 902711054561547913
    assert fold_seed(2107, "dropout", 3, 0) == 7865739988271608303
    parts = [(seed, step, index) for seed in range(3) for step in range(20) for index in range(20)]
    assert len({fold_seed(*part) for part in parts}) == len(parts)
    assert all(0 <= fold_seed(*part) < 2**63 for part in parts)
    assert fold_seed(1, 23) != fold_seed(12, 3)


def test_a_draw_belongs_to_seed_step_sample_and_purpose():
    def draw(seed=1, step=2, index=3, purpose="noise"):
        return torch.randn(4, generator=sample_generator(seed, step, index=index, purpose=purpose))

    assert torch.equal(draw(), draw())
    others = [draw(seed=9), draw(step=9), draw(index=9), draw(purpose="view")]
    assert not any(torch.equal(draw(), other) for other in others)


def test_dropout_repeats_for_the_same_samples():
    def mask(step, index):
        seed_dropout(1, step, index=index)
        return nn.functional.dropout(torch.ones(64), 0.5)

    assert torch.equal(mask(3, 0), mask(3, 0))
    assert not torch.equal(mask(3, 0), mask(3, 2))
    assert not torch.equal(mask(3, 0), mask(4, 0))


def test_the_average_follows_its_recurrence():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)).double()
    average = WeightAverage(network, 0.9)
    expected = [p.detach().clone() for p in network.parameters()]
    for _ in range(5):
        with torch.no_grad():
            for p in network.parameters():
                p.add_(torch.randn_like(p))
        network(torch.randn(4, 3, dtype=torch.double))
        average.update(network)
        expected = [
            0.9 * e + 0.1 * p.detach() for e, p in zip(expected, network.parameters(), strict=True)
        ]
    for a, e in zip(average.network.parameters(), expected, strict=True):
        torch.testing.assert_close(a, e)
    assert torch.equal(average.network[1].running_mean, network[1].running_mean)
    assert not any(p.requires_grad for p in average.network.parameters())
    with pytest.raises(ValueError, match="ema_decay=1.0"):
        WeightAverage(network, 1.0)


def test_the_learning_rate_is_a_function_of_the_step():
    def factor(step, schedule="cosine"):
        return learning_rate_factor(step, schedule=schedule, warmup_steps=4, steps=104)

    assert [factor(step) for step in range(4)] == [0.2, 0.4, 0.6, 0.8]
    assert factor(4) == 1.0 and factor(54) == pytest.approx(0.5) and factor(104) == 0.0
    assert factor(79) == pytest.approx(0.5 * (1 + math.cos(0.75 * math.pi)))
    assert factor(79, "constant") == 1.0
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=3.0)
    set_learning_rate(optimizer, [3.0], factor=0.5)
    set_learning_rate(optimizer, [3.0], factor=0.5)
    assert optimizer.param_groups[0]["lr"] == 1.5


def test_the_running_mean_weighs_and_survives_a_checkpoint():
    mean = RunningMean()
    mean.add({"loss": 1.0}, weight=1)
    copy = RunningMean()
    copy.load_state_dict(mean.state_dict())
    for one in (mean, copy):
        one.add({"loss": 4.0}, weight=2)
        assert one.take() == {"loss": 3.0}
    mean.add({"loss": 7.0})
    assert mean.take() == {"loss": 7.0}


def trained(steps: int, network=None, optimizer=None):
    if network is None:
        torch.manual_seed(0)
        network = nn.Linear(4, 3)
        optimizer = build_ranger(network.parameters(), lr=0.1)
    for _ in range(steps):
        optimizer.zero_grad()
        network(torch.ones(2, 4)).square().sum().backward()
        optimizer.step()
    return network, optimizer


def test_a_checkpoint_brings_back_networks_and_ranger_bit_for_bit(tmp_path):
    network, optimizer = trained(7)
    means = RunningMean()
    means.add({"loss": 0.1})
    stateful = Stateful({"net": network}, {"net": optimizer}, {"means": means})
    save_checkpoint(tmp_path, 7, stateful=stateful, config={"a": [1, None, "x"]})
    fresh = nn.Linear(4, 3)
    other = build_ranger(fresh.parameters(), lr=0.1)
    restored_means = RunningMean()
    restored = load_checkpoint(
        find_checkpoint(tmp_path),
        Stateful({"net": fresh}, {"net": other}, {"means": restored_means}),
    )
    assert restored.step == 7 and restored.config == {"a": [1, None, "x"]}
    assert restored_means.state_dict() == means.state_dict()
    trained(7, network, optimizer)
    trained(7, fresh, other)
    assert all(
        torch.equal(a, b) for a, b in zip(network.parameters(), fresh.parameters(), strict=True)
    )


def test_a_checkpoint_of_other_sizes_or_version_is_refused(tmp_path):
    network, optimizer = trained(1)
    folder = save_checkpoint(
        tmp_path, 1, stateful=Stateful({"net": network}, {"net": optimizer}), config={}
    )
    with pytest.raises(ValueError, match="does not fit the configured network"):
        load_checkpoint(folder, Stateful({"net": nn.Linear(4, 5)}, {}))
    with pytest.raises(FileNotFoundError, match="other.safetensors"):
        load_checkpoint(folder, Stateful({"other": network}, {}))
    with pytest.raises(ValueError, match="no state of optimiser 'b'"):
        load_checkpoint(folder, Stateful({"net": network}, {"b": optimizer}))
    two_groups = build_ranger([{"params": [p]} for p in network.parameters()])
    with pytest.raises(ValueError, match="does not fit optimiser"):
        load_checkpoint(folder, Stateful({"net": network}, {"net": two_groups}))
    torch.save(
        torch.load(folder / "state.pt", weights_only=True) | {"format_version": 9},
        folder / "state.pt",
    )
    with pytest.raises(ValueError, match="format_version 9"):
        read_state(folder)
    (folder / "net.safetensors").write_bytes(b"short")
    torch.save({"format_version": 1, "optimizers": {}, "records": {}}, folder / "state.pt")
    with pytest.raises(ValueError, match="truncated"):
        load_checkpoint(folder, Stateful({"net": network}, {}))


def test_old_checkpoints_go_and_half_ones_do_not_count(tmp_path):
    network, optimizer = trained(1)
    stateful = Stateful({"net": network}, {"net": optimizer})
    for step in (1, 20, 3):
        save_checkpoint(tmp_path, step, stateful=stateful, config={}, keep=2)
    (tmp_path / ".writing_step_00000099").mkdir()
    (tmp_path / "step_x").mkdir()
    assert [path.name for path in list_checkpoints(tmp_path)] == ["step_00000003", "step_00000020"]
    assert list_checkpoints(tmp_path / "absent") == []


def test_records_beyond_a_checkpoint_are_dropped(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n{"ste')
    drop_records_after(path, step=2)
    assert path.read_text() == '{"step": 1}\n{"step": 2}\n'
    log = RunLog(tmp_path, step=1)
    log.scalars(2, {"loss": 0.5}, split="train")
    log.close()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines == [{"step": 1}, {"step": 2, "split": "train", "loss": 0.5}]


def test_progress_tells_steps_images_and_time_left(capsys):
    progress = Progress(10, 20, batch_size=4)
    progress.advance(11)
    progress.show(11, {"loss": 0.25})
    Progress(0, 5, batch_size=1, visible=False).show(1, {})
    progress.close()
    out = capsys.readouterr().out
    assert "step 11/20" in out and "images 44" in out and "loss 0.25" in out and "left 0:00" in out
    assert spell_time(3725.4) == "1:02:05" and spell_time(-3) == "0:00:00"


def test_differing_keys_names_both_values_and_respects_freedom():
    saved = {"a": {"x": 1, "y": [1, 2]}, "b": {"free": 1}, "gone": 1}
    now = {"a": {"x": 2, "y": [1, 2]}, "b": {"free": 2}, "new": {}}
    assert differing_keys(saved, now, free_keys=("b",)) == [
        "a.x: 1 -> 2", "gone: 1 -> (absent)", "new: (absent) -> {}",
    ]  # fmt: skip


def test_package_versions_name_what_decides_the_numbers():
    versions = package_versions()
    assert versions["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert all(versions[name] for name in ("timm", "pytorch-optimizer", "warpgan"))
