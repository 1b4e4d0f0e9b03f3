"""Mistakes in the command, the config, run folders and what they name."""

from collections.abc import Callable
from pathlib import Path

from tests.bad_input_cases import Case
from tests.warpgan.training_world import TINY, write_images
from warpgan.cli import ConfigError, compose_config
from warpgan.training.checkpoint import read_state
from warpgan.training.command import build_accelerator
from warpgan.training.runs import check_run_name, find_checkpoint, open_run_folder
from warpgan.training.start import build_encoder_training, read_config


def command_case(name: str, words: tuple[str, ...], *parts: str) -> Case:
    """A command line that cannot be composed."""
    return Case(name, lambda _: compose_config("train", words), ConfigError, parts)


def build_case(
    name: str, words: tuple[str, ...], *parts: str, expected: type[Exception] = ValueError
) -> Case:
    """A config that composes, but cannot be built; ``FOLDER`` stands for the images' folder."""

    def run(root: Path) -> None:
        images = write_images(root / "images", count=2)
        place = [f"data.path={images}", f"paths.runs={root / 'runs'}"]
        given = [word.replace("FOLDER", str(root)) for word in words]
        config = compose_config("train", [*TINY, *place, *given])
        settings = read_config(config)
        build_encoder_training(config, settings, build_accelerator(settings))

    return Case(name, run, expected, parts)


def run_case(
    name: str,
    spoil: Callable[[Path], object],
    *parts: str,
    expected: type[Exception] = ValueError,
    kept: str | None = None,
    **options,
) -> Case:
    """A run folder that must not be written into; the file ``kept`` must stay."""
    config = {"run": {"seed": 2}, "train": {"steps": 5}}

    def run(root: Path) -> None:
        spoil(root)
        chosen = {"resume": "auto", "overwrite": False} | options
        open_run_folder(root, config, **chosen).lock.release()

    def after(root: Path) -> None:
        assert kept is None or (root / kept).exists()

    return Case(name, run, expected, parts, after)


def _leave_a_run(root: Path) -> None:
    (root / "checkpoints" / "step_00000005").mkdir(parents=True)
    (root / "config.yaml").write_text("run: {seed: 1}\ntrain: {steps: 5}\n")


def _damaged_state(root: Path) -> None:
    (root / "state.pt").write_bytes(b"PK\x03\x04 not much of a checkpoint")
    read_state(root)


CASES = [
    command_case("misspelt key", ("train.stepz=3",), "train.stepz=3", "did you mean train.steps"),
    command_case("misspelt group", ("encodr=swin",), "encodr", "encoder"),
    command_case("unknown choice", ("encoder=vit",), "encoder=vit", "psp, psp_small, swin"),
    command_case("unknown preset", ("preset=big",), "preset=big", "mini, official, paper"),
    command_case("unknown ablation", ("ablation=H",), "ablation=H", "A, B, C"),
    command_case("unknown experiment", ("experiment=mine",), "experiment=mine", "example"),
    command_case("group set to nothing", ("encoder=null",), "Config group", "choice"),
    command_case("word for a number", ("train.steps=many",), "train.steps=many", "Integer"),
    command_case("number for a switch", ("data.mirror=perhaps",), "data.mirror=perhaps", "type"),
    command_case("key without value", ("train.steps",), "train.steps", "key=value"),
    command_case("unfinished list", ("eval.novel_yaws=[1,2",), "override", "key=[1,2]"),
    build_case("no steps", ("train.steps=0",), "train.steps=0", "at least 1"),
    build_case("unknown precision", ("train.mixed_precision=half",), "half", "no, bf16, fp16"),
    build_case("fp16 on a CPU", ("train.mixed_precision=fp16",), "CUDA", "bf16"),
    build_case(
        "batch that does not divide", ("train.batch_size=4", "train.accumulation=3"),
        "train.batch_size=4", "divisible", "train.batch_size=3",
    ),
    build_case(
        "data path that does not exist", ("data.path=FOLDER/nowhere",), "data.path", "nowhere",
        expected=FileNotFoundError,
    ),
    build_case(
        "validation path that does not exist", ("eval.every=1", "eval.path=FOLDER/nowhere"),
        "eval.path", "nowhere", expected=FileNotFoundError,
    ),
    build_case(
        "no data path at full size", ("data=ffhq", "data.path=null"), "data.path", "data=portraits"
    ),
    build_case("argument that the encoder lacks", ("+encoder.heads=3",), "encoder", "heads"),
    build_case(
        "generator file that is absent", ("generator=eg3d_ffhq",), "ffhq512-128.pkl",
        "WARPGAN_WEIGHTS", expected=FileNotFoundError,
    ),
    build_case(
        "generator of another size", ("scale.image_size=16",), "scale.image_size=16", "32 px"
    ),
    build_case(
        "loss net that is absent", ("losses=paper",), "alexnet", "perc_efficientnet",
        expected=FileNotFoundError,
    ),
    build_case("unknown loss net", ("losses=mini", "losses.identity=vgg"), "vgg", "id_dlib"),
    build_case("unknown loss term", ("+losses.weights.style=1",), "style", "mse"),
    build_case("unknown encoder start", ("train.encoder_start=magic",), "magic", "random"),
    build_case(
        "encoder start of another encoder", ("train.encoder_start=arcface_irse50",),
        "arcface_irse50", "psp",
    ),
    build_case(
        "encoder start that is absent", ("train.encoder_start=encoder_goae",), "goae_FFHQ_ori.pt",
        expected=FileNotFoundError,
    ),
    Case("run name with a path", lambda _: check_run_name("../other"), ValueError, ("../other",)),
    Case(
        "resume path without checkpoints", find_checkpoint, FileNotFoundError,
        ("run.resume=", "step_N"),
    ),
    Case("damaged checkpoint", _damaged_state, ValueError, ("state.pt", "truncated or foreign")),
    Case("checkpoint without its file", read_state, FileNotFoundError, ("state.pt",)),
    run_case(
        "run folder of another config", _leave_a_run, "run.seed: 1 -> 2", "run.overwrite=true",
        kept="checkpoints/step_00000005",
    ),
    run_case(
        "run folder with checkpoints, resume=never", _leave_a_run, "run.resume=never",
        "run.overwrite=true", resume="never", kept="checkpoints/step_00000005",
    ),
    run_case(
        "overwriting a folder that is no run", lambda root: (root / "thesis.tex").touch(),
        "thesis.tex", "not a run folder", overwrite=True, kept="thesis.tex",
    ),
]  # fmt: skip
