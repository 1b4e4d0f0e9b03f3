"""Whole tiny runs: resume, kill, signals, a loss that is not a number, locks, refusals."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tests.warpgan.training_world import (
    assert_same_tensors,
    final_weights,
    records,
    run_in_child,
    run_training,
    words,
)
from warpgan.encoders.inversion import load_encoder
from warpgan.training import checkpoint, encoder_loop
from warpgan.training.checkpoint import list_checkpoints, read_state
from warpgan.training.stopping import EXIT_INTERRUPTED

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    return run_training(tmp_path_factory.mktemp("whole"))


def patched_step(action, at_step: int):
    """A train_step that does ``action`` after the forward pass of one step."""
    real = encoder_loop.train_step

    def step_function(modules, batch, step):
        result = real(modules, batch, step)
        return action(result) if step == at_step and modules.encoder.training else result

    return step_function


def kill_in_step(monkeypatch, at_step: int) -> None:
    def die(result):
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(encoder_loop, "train_step", patched_step(die, at_step))


def test_a_run_folder_is_complete(uninterrupted):
    names = {path.name for path in uninterrupted.iterdir()}
    assert {
        "config.yaml", "overrides.txt", "starts.jsonl", "metrics.jsonl", "tensorboard",
        "checkpoints", "encoder.safetensors", "encoder.json",
    } <= names  # fmt: skip
    assert [path.name for path in list_checkpoints(uninterrupted / "checkpoints")] == [
        "step_00000002", "step_00000004", "step_00000006",
    ]  # fmt: skip
    assert [record["step"] for record in records(uninterrupted)] == [2, 4, 6]
    encoder = load_encoder(uninterrupted / "encoder.safetensors")
    assert torch.isfinite(encoder(torch.zeros(1, 3, 32, 32))).all()
    state = read_state(uninterrupted / "checkpoints" / "step_00000006")
    assert state["step"] == 6 and state["config"]["run"]["seed"] == 2107


def test_training_lowers_the_loss(tmp_path):
    run = run_training(tmp_path, "train.steps=40", "train.log_every=10", "train.ema_decay=null")
    losses = [record["loss"] for record in records(run)]
    assert losses[-1] < 0.97 * losses[0]


def test_two_runs_give_the_same_bytes(uninterrupted, tmp_path):
    again = run_training(tmp_path)
    for name in ("encoder.safetensors", "metrics.jsonl"):
        assert (again / name).read_bytes() == (uninterrupted / name).read_bytes()


def test_killed_in_a_step_and_resumed_equals_uninterrupted(uninterrupted, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        kill_in_step(patch, at_step=3)
        assert run_in_child(lambda: run_training(tmp_path)) == -signal.SIGKILL
    run = tmp_path / "runs" / "run"
    assert list_checkpoints(run / "checkpoints")[-1].name == "step_00000002"
    run_training(tmp_path)
    assert_same_tensors(final_weights(run), final_weights(uninterrupted))
    assert (run / "metrics.jsonl").read_bytes() == (uninterrupted / "metrics.jsonl").read_bytes()
    assert len((run / "starts.jsonl").read_text().splitlines()) == 2


def test_the_same_command_after_kill_9_continues(uninterrupted, tmp_path):
    command = [sys.executable, "-m", "warpgan.train", *words(tmp_path)]
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
    assert_same_tensors(final_weights(tmp_path / "runs" / "run"), final_weights(uninterrupted))


@pytest.mark.parametrize("moment", ["save_file", "torch.save", "os.rename"])
def test_a_kill_while_a_checkpoint_is_written_loses_nothing(
    uninterrupted, tmp_path, monkeypatch, moment
):
    real = {"save_file": checkpoint.save_file, "torch.save": torch.save, "os.rename": os.rename}

    def die_at_second_checkpoint(*arguments, **named):
        if any("step_00000004" in str(argument) for argument in arguments):
            os.kill(os.getpid(), signal.SIGKILL)
        return real[moment](*arguments, **named)

    target = {"save_file": checkpoint, "torch.save": torch, "os.rename": os}[moment]
    with monkeypatch.context() as patch:
        patch.setattr(target, moment.rpartition(".")[2], die_at_second_checkpoint)
        assert run_in_child(lambda: run_training(tmp_path)) == -signal.SIGKILL
    root = tmp_path / "runs" / "run" / "checkpoints"
    assert [path.name for path in list_checkpoints(root)] == ["step_00000002"]
    assert list(root.glob(".writing_*"))
    run = run_training(tmp_path)
    assert not list(root.glob(".*_step_*"))
    assert_same_tensors(final_weights(run), final_weights(uninterrupted))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_exits(uninterrupted, tmp_path, monkeypatch, number):
    def interrupt(result):
        os.kill(os.getpid(), number)
        return result

    with monkeypatch.context() as patch:
        patch.setattr(encoder_loop, "train_step", patched_step(interrupt, at_step=2))
        assert run_in_child(lambda: run_training(tmp_path)) == EXIT_INTERRUPTED
    run = tmp_path / "runs" / "run"
    assert list_checkpoints(run / "checkpoints")[-1].name == "step_00000003"
    run_training(tmp_path)
    assert_same_tensors(final_weights(run), final_weights(uninterrupted))
    assert (run / "metrics.jsonl").read_bytes() == (uninterrupted / "metrics.jsonl").read_bytes()


@pytest.mark.parametrize("broken", ["loss", "gradient"])
def test_a_loss_that_is_not_a_number_stops_and_names_the_batch(tmp_path, monkeypatch, broken):
    from dataclasses import replace

    def spoil(result):
        if broken == "loss":
            return replace(result, total=result.total * float("nan"))
        zero = result.total - result.total
        return replace(result, total=result.total + zero.sqrt())

    monkeypatch.setattr(encoder_loop, "train_step", patched_step(spoil, at_step=3))
    with pytest.raises(SystemExit) as stop:
        run_training(tmp_path)
    message = str(stop.value)
    assert f"the {broken} is not finite at step 3" in message
    assert len(re.findall(r"p\d\d\.png", message)) == 4
    assert "step_00000002" in message
    run = tmp_path / "runs" / "run"
    assert [path.name for path in list_checkpoints(run / "checkpoints")] == ["step_00000002"]
    assert not (run / "encoder.safetensors").exists()


def test_keep_checkpoints_removes_the_oldest(tmp_path):
    run = run_training(tmp_path, "train.keep_checkpoints=1")
    assert [path.name for path in list_checkpoints(run / "checkpoints")] == ["step_00000006"]


def test_accumulation_equals_one_batch(uninterrupted, tmp_path):
    run = run_training(tmp_path, "train.accumulation=2")
    one, two = final_weights(uninterrupted), final_weights(run)
    assert relative_difference(one, two) < 1e-5


def relative_difference(a, b) -> float:
    square = sum((a[key].double() - b[key].double()).square().sum() for key in a)
    scale = sum(a[key].double().square().sum() for key in a)
    return float((square / scale).sqrt())


def test_two_processes_equal_one(uninterrupted, tmp_path):
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
        "-m", "warpgan.train", *words(tmp_path),
        f"eval.path={tmp_path / 'images'}", "eval.every=3", "eval.count=5", "eval.batch_size=2",
    ]  # fmt: skip
    finished = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stderr[-3000:]
    run = tmp_path / "runs" / "run"
    assert "2 process(es)" in finished.stdout
    assert relative_difference(final_weights(uninterrupted), final_weights(run)) < 1e-5
    for one, two in zip(records(uninterrupted), records(run), strict=True):
        assert two["loss"] == pytest.approx(one["loss"], rel=1e-5)
    alone = run_training(
        tmp_path, f"eval.path={tmp_path / 'images'}", "eval.every=3", "eval.count=5",
        "eval.batch_size=5", name="alone",
    )  # fmt: skip
    for one, two in zip(records(alone, "validation"), records(run, "validation"), strict=True):
        assert {"loss", "mse", "psnr"} <= one.keys()
        for key, value in one.items():
            assert (
                two[key] == value
                if isinstance(value, str)
                else two[key] == pytest.approx(value, rel=1e-5)
            )


def test_pictures_and_scalars_reach_tensorboard(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = run_training(
        tmp_path, "train.steps=2", "train.image_every=2", f"eval.path={tmp_path / 'images'}",
        "eval.every=2", "eval.pictures=2",
    )  # fmt: skip
    board = EventAccumulator(str(run / "tensorboard"), size_guidance={"images": 0})
    board.Reload()
    assert [event.step for event in board.Images("inversions")] == [0, 2]
    assert {"train/loss", "train/mse", "train/gradient_norm", "validation/psnr"} <= set(
        board.Tags()["scalars"]
    )


def test_a_second_writer_is_refused_while_the_first_lives(tmp_path, capsys):
    import fcntl

    run = tmp_path / "runs" / "run"
    run.mkdir(parents=True)
    with open(run / ".lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(f"process {os.getpid()} on {os.uname().nodename}")
        file.flush()
        with pytest.raises(SystemExit) as stop:
            run_training(tmp_path)
    assert stop.value.code == 2
    assert f"process {os.getpid()}" in capsys.readouterr().err
    assert run_training(tmp_path, "train.steps=2") == run


def test_the_lock_of_a_dead_process_is_taken_over(tmp_path):
    run = tmp_path / "runs" / "run"
    run.mkdir(parents=True)
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    child.wait()
    (run / ".lock").write_text(f"process {child.pid} on {os.uname().nodename}")
    started = time.monotonic()
    assert run_training(tmp_path, "train.steps=2") == run
    assert time.monotonic() - started < 60


def test_another_config_is_refused_and_shown(uninterrupted, capsys):
    folder = uninterrupted.parents[1]
    before = final_weights(uninterrupted)
    with pytest.raises(SystemExit) as stop:
        run_training(folder, "run.seed=7", "train.ema_decay=0.5")
    message = capsys.readouterr().err
    assert stop.value.code == 2
    assert "run.seed: 2107 -> 7" in message and "train.ema_decay: 0.9 -> 0.5" in message
    assert "run.overwrite=true" in message
    assert_same_tensors(final_weights(uninterrupted), before)


def test_more_steps_and_other_intervals_continue(tmp_path):
    whole = run_training(tmp_path, "train.steps=8", name="whole")
    run_training(tmp_path)
    longer = run_training(tmp_path, "train.steps=8", "train.checkpoint_every=8")
    assert_same_tensors(final_weights(longer), final_weights(whole))


def test_steps_are_not_free_on_a_falling_learning_rate(tmp_path, capsys):
    run_training(tmp_path, "train.schedule=cosine")
    with pytest.raises(SystemExit):
        run_training(tmp_path, "train.schedule=cosine", "train.steps=8")
    assert "train.steps: 6 -> 8" in capsys.readouterr().err


def test_never_refuses_and_overwrite_starts_anew(tmp_path, capsys):
    run = run_training(tmp_path, "train.steps=2")
    with pytest.raises(SystemExit):
        run_training(tmp_path, "train.steps=2", "run.resume=never")
    assert "run.overwrite=true" in capsys.readouterr().err
    run_training(tmp_path, "train.steps=2", "run.overwrite=true", "run.seed=7")
    assert read_state(list_checkpoints(run / "checkpoints")[-1])["config"]["run"]["seed"] == 7


def test_a_run_begins_from_another_runs_checkpoint(tmp_path):
    first = run_training(tmp_path, "train.steps=2", name="first")
    source = first / "checkpoints" / "step_00000002"
    second = run_training(tmp_path, f"run.resume={source}", name="second")
    whole = run_training(tmp_path, name="whole")
    assert_same_tensors(final_weights(second), final_weights(whole))


def test_overwrite_spares_a_folder_that_is_no_run(tmp_path, capsys):
    folder = tmp_path / "runs" / "run"
    folder.mkdir(parents=True)
    (folder / "thesis.tex").write_text("years of work")
    with pytest.raises(SystemExit):
        run_training(tmp_path, "run.overwrite=true")
    assert "not a run folder" in capsys.readouterr().err
    assert (folder / "thesis.tex").read_text() == "years of work"
