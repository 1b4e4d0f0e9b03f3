"""Whole tiny runs of SVINet's training: resume, kill, signals, refusals, processes, ablations."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.warpgan.svinet_world import run_training, words
from tests.warpgan.training_world import assert_same_tensors, records, run_in_child
from warpgan.svinet import load_svinet
from warpgan.training import svinet_loop
from warpgan.training.checkpoint import list_checkpoints
from warpgan.training.stopping import EXIT_INTERRUPTED

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    return run_training(tmp_path_factory.mktemp("whole"))


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "svinet.safetensors")


def last_checkpoint(run: Path) -> dict[str, torch.Tensor]:
    """Every weight of the last checkpoint, the discriminator's too."""
    folder = list_checkpoints(run / "checkpoints")[-1]
    return {
        f"{path.stem}.{key}": value
        for path in folder.glob("*.safetensors")
        for key, value in load_file(path).items()
    }


def patch_turn(monkeypatch, action, *, turn: int) -> None:
    """Do ``action`` with the result of the ``turn``-th turn (two a step) after its forward pass."""
    real, seen = svinet_loop.svinet_turn, []

    def patched(modules, views):
        result = real(modules, views)
        seen.append(1)
        return action(result) if len(seen) == turn + 1 else result

    monkeypatch.setattr(svinet_loop, "svinet_turn", patched)


def test_a_run_folder_is_complete(uninterrupted):
    names = {path.name for path in uninterrupted.iterdir()}
    assert {
        "config.yaml", "metrics.jsonl", "tensorboard", "checkpoints", "svinet.safetensors",
        "svinet.json",
    } <= names  # fmt: skip
    assert [record["step"] for record in records(uninterrupted)] == [2, 4, 6]
    terms = records(uninterrupted)[0].keys()
    for turn in ("real", "synthetic"):
        for term in ("loss", "mae", "latent", "adversarial", "discriminator_loss"):
            assert f"{turn}/{term}" in terms
    svinet = load_svinet(uninterrupted / "svinet.safetensors")
    assert not svinet.training and svinet.symmetry
    folder = list_checkpoints(uninterrupted / "checkpoints")[-1]
    assert {path.stem for path in folder.glob("*.safetensors")} == {
        "svinet", "svinet_average", "discriminator",
    }  # fmt: skip


def test_every_trained_part_moves(uninterrupted):
    first, last = (
        {
            name: load_file(folder / f"{name}.safetensors")
            for name in ("svinet", "svinet_average", "discriminator")
        }
        for folder in (
            list_checkpoints(uninterrupted / "checkpoints")[0],
            list_checkpoints(uninterrupted / "checkpoints")[-1],
        )
    )
    for name in first:
        moved = [not torch.equal(first[name][key], last[name][key]) for key in first[name]]
        assert sum(moved) > 0.8 * len(moved), name


def test_two_runs_give_the_same_bytes(uninterrupted, tmp_path):
    again = run_training(tmp_path)
    for name in ("svinet.safetensors", "metrics.jsonl"):
        assert (again / name).read_bytes() == (uninterrupted / name).read_bytes()


@pytest.mark.parametrize("turn", [6, 7], ids=["real", "synthetic"])
def test_killed_in_a_turn_and_resumed_equals_uninterrupted(
    uninterrupted, tmp_path, monkeypatch, turn
):
    with monkeypatch.context() as patch:
        patch_turn(patch, lambda result: os.kill(os.getpid(), signal.SIGKILL), turn=turn)
        assert run_in_child(lambda: run_training(tmp_path)) == -signal.SIGKILL
    run = tmp_path / "runs" / "run"
    assert list_checkpoints(run / "checkpoints")[-1].name == "step_00000002"
    run_training(tmp_path)
    assert_same_tensors(weights(run), weights(uninterrupted))
    assert_same_tensors(last_checkpoint(run), last_checkpoint(uninterrupted))
    assert (run / "metrics.jsonl").read_bytes() == (uninterrupted / "metrics.jsonl").read_bytes()


def test_the_same_command_after_kill_9_continues(uninterrupted, tmp_path):
    command = [sys.executable, "-m", "warpgan.train_svinet", *words(tmp_path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    )
    for line in process.stdout:
        if line.startswith("step 2/"):
            process.kill()
            break
    process.wait()
    process.stdout.close()
    assert process.returncode == -signal.SIGKILL
    finished = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    assert_same_tensors(weights(tmp_path / "runs" / "run"), weights(uninterrupted))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_exits(uninterrupted, tmp_path, monkeypatch, number):
    def interrupt(result):
        os.kill(os.getpid(), number)
        return result

    with monkeypatch.context() as patch:
        patch_turn(patch, interrupt, turn=4)
        assert run_in_child(lambda: run_training(tmp_path)) == EXIT_INTERRUPTED
    run = tmp_path / "runs" / "run"
    assert list_checkpoints(run / "checkpoints")[-1].name == "step_00000003"
    assert not (run / "svinet.safetensors").exists()
    run_training(tmp_path)
    assert_same_tensors(last_checkpoint(run), last_checkpoint(uninterrupted))


def test_a_loss_that_is_not_a_number_stops_and_names_the_batch(tmp_path, monkeypatch):
    patch_turn(
        monkeypatch, lambda result: replace(result, total=result.total * float("nan")), turn=6
    )
    with pytest.raises(SystemExit) as stop:
        run_training(tmp_path)
    message = str(stop.value)
    assert "the loss is not finite at step 3" in message and "step_00000002" in message
    assert message.count(".png") == 2
    assert not (tmp_path / "runs" / "run" / "svinet.safetensors").exists()


def test_accumulation_equals_one_batch_with_still_batch_norms(tmp_path):
    still = ("train.freeze_batch_norm=true", "train.steps=2")
    one = weights(run_training(tmp_path, *still, name="one"))
    two = weights(run_training(tmp_path, *still, "train.accumulation=2", name="two"))
    assert relative_difference(one, two) < 1e-5


def relative_difference(a, b) -> float:
    square = sum((a[key].double() - b[key].double()).square().sum() for key in a)
    scale = sum(a[key].double().square().sum() for key in a)
    return float((square / scale).sqrt())


def test_two_processes_average_the_gradients_of_one(tmp_path):
    """SVINet and discriminator, batch norm in eval mode; both turns of a step from one start."""
    still = (
        "train.freeze_batch_norm=true", "train.steps=1", "train.checkpoint_every=1",
        "train.learning_rate=0", "train.discriminator_learning_rate=0", "svinet.output=view",
    )  # fmt: skip
    alone = run_training(tmp_path, *still, name="alone")
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
        "-m", "warpgan.train_svinet", *words(tmp_path, *still, name="both"),
    ]  # fmt: skip
    finished = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stderr[-3000:]
    assert "2 process(es)" in finished.stdout
    both = tmp_path / "runs" / "both"
    for name in ("svinet", "discriminator"):
        one, two = (first_moments(run, name) for run in (alone, both))
        assert one.keys() == two.keys() and one
        for key in one:
            scale = one[key].abs().max().clamp(min=1e-12)
            assert ((one[key] - two[key]).abs().max() / scale) < 1e-4, f"{name} {key}"


def first_moments(run: Path, name: str) -> dict[int, torch.Tensor]:
    """Adam's first moments, a fixed mix of the gradients of the run's updates."""
    folder = list_checkpoints(run / "checkpoints")[-1]
    state = torch.load(folder / "state.pt", weights_only=True)["optimizers"][name]["state"]
    return {key: entry["exp_avg"] for key, entry in state.items()}


@pytest.mark.parametrize("row", ["C", "D", "E", "F"])
def test_every_ablated_row_trains(tmp_path, row):
    run = run_training(tmp_path, f"ablation={row}", "train.steps=2")
    svinet = load_svinet(run / "svinet.safetensors")
    terms = records(run)[-1].keys()
    assert svinet.symmetry == (row != "E")
    assert ("real/latent" in terms) == (row != "D")
    assert any(name.startswith("synthetic/") for name in terms) == (row != "F")


def test_the_released_plain_network_trains(tmp_path):
    run = run_training(tmp_path, "svinet=nostyle", "train.steps=1")
    assert load_svinet(run / "svinet.safetensors").symmetry


@pytest.mark.parametrize("row", ["A", "B"])
def test_rows_without_svinet_are_refused(tmp_path, row, capsys):
    with pytest.raises(SystemExit) as stop:
        run_training(tmp_path, f"ablation={row}")
    assert stop.value.code == 2
    assert f"ablation={row} has no SVINet" in capsys.readouterr().err


def test_the_released_order_of_what_is_warped_back_differs(uninterrupted, tmp_path):
    run = run_training(tmp_path, "train.rewarped=fill")
    assert relative_difference(weights(run), weights(uninterrupted)) > 1e-6


def test_validation_and_pictures(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = run_training(
        tmp_path, "train.steps=2", "train.image_every=2", f"eval.path={tmp_path / 'images'}",
        "eval.every=2", "eval.count=3", "eval.batch_size=2", "eval.pictures=2",
    )  # fmt: skip
    assert [record["step"] for record in records(run, "validation")] == [0, 2]
    assert {"psnr_rewarped", "l1_rewarped"} <= records(run, "validation")[0].keys()
    board = EventAccumulator(str(run / "tensorboard"), size_guidance={"images": 0})
    board.Reload()
    assert [event.step for event in board.Images("views")] == [0, 2]


def test_another_config_is_refused_and_shown(uninterrupted, capsys):
    with pytest.raises(SystemExit) as stop:
        run_training(uninterrupted.parents[1], "train.rewarped=fill")
    assert stop.value.code == 2
    assert "train.rewarped: prediction -> fill" in capsys.readouterr().err


def test_a_checkpoint_of_another_network_is_refused(uninterrupted, tmp_path, capsys):
    with pytest.raises(SystemExit):
        run_training(tmp_path, f"run.resume={uninterrupted}", "ablation=E", name="other")
    assert "does not fit the configured network" in capsys.readouterr().err
