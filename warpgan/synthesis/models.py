"""The networks of a synthesis, found from what the user typed; what is not given follows SVINet."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
import yaml
from omegaconf import OmegaConf

from eg3d import TriPlaneGenerator
from warpgan import cli, weights
from warpgan.config import CONFIG_DIR
from warpgan.encoders.inversion import InversionEncoder
from warpgan.evaluation.load import find_models
from warpgan.methods.svinet_file import find_svinet, svinet_path
from warpgan.pipeline import WarpGAN
from warpgan.svinet import build_svinet
from warpgan.training.runs import read_config
from warpgan.warp import WarpOptions

DEFAULT_ENCODER, DEFAULT_SVINET, DEFAULT_GEOMETRY = "encoder_mini", "svinet_mini", "mini"
SCALES = ("full", "tiny")
_GENERATOR_TARGET = "warpgan.generators.named_generator"


@dataclass(frozen=True)
class LoadedModels:
    """The pipeline and the files that it was read from."""

    pipeline: WarpGAN
    files: tuple[Path, ...]


def load_models(
    *,
    method: str,
    encoder: str | None,
    svinet: str | None,
    generator: str | None,
    geometry: Sequence[str] | None,
    device: torch.device,
) -> LoadedModels:
    """Load what a method needs.

    Args:
        method: one of `warpgan.pipeline.METHODS`; only ``warpgan`` loads SVINet.
        encoder: a name of the weights table, a run folder or a file; None: the one that SVINet
            was trained with, if its run says so, else the shipped one.
        svinet: likewise.
        generator: a choice of ``configs/generator``, a name of the weights table or a file; None:
            the encoder's.
        geometry: a choice of ``configs/geometry``, then ``key=value`` changes; None: SVINet's.
        device: where they go.

    Raises:
        FileNotFoundError: if a file is absent.
        ValueError: if a name is not known or the parts do not fit.
    """
    run: Mapping[str, Any] = {}
    if method == "warpgan" or svinet is not None:
        svinet = svinet or DEFAULT_SVINET
        run = _run_config(svinet_path(svinet))
    options = find_geometry(geometry, run.get("geometry"))
    views = run.get("views")
    trained_with = views.get("encoder") if isinstance(views, Mapping) else None
    encoder = encoder or trained_with or DEFAULT_ENCODER
    _check_reference("--encoder", encoder, needed="encoder.safetensors")
    found = find_models(encoder, None if generator is None else _generator_node(generator))
    node = OmegaConf.create({"generator": found.generator})
    built = cli.build_node(node, "generator").eval().requires_grad_(False).to(device)
    network, files = None, (*found.encoder_files, *found.generator_files)
    if method == "warpgan":
        network, path = find_svinet(svinet, generator=built)
        files = (path, *files)
    return LoadedModels(WarpGAN(built, found.encoder.to(device), network, options), files)


def random_models(
    scale: str, *, geometry: Sequence[str] | None, device: torch.device
) -> LoadedModels:
    """Networks with random weights: what a synthesis costs at a scale, without any file.

    Args:
        scale: ``full``, the paper's 512 px, or ``tiny``, for tests.
        geometry: as for `load_models`.
        device: where they go.

    Raises:
        ValueError: if a name is not known.
    """
    if scale not in SCALES:
        raise ValueError(
            f"--random-weights {scale} is not known; choose one of {', '.join(SCALES)}"
        )
    config = cli.compose_config("train", [f"scale={scale}", f"generator=random_{scale}"])
    generator = cli.build_node(config, "generator").eval().requires_grad_(False)
    latents = {"num_ws": generator.num_ws, "w_dim": generator.w_dim}
    sizes = OmegaConf.to_container(config.scale.svinet)
    del sizes["discriminator_width"]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        encoder = InversionEncoder(
            cli.build_node(config, "encoder", **latents), generator.mean_latent()
        )
        svinet = build_svinet(**latents, **sizes)
    for network in (generator, encoder, svinet):
        network.requires_grad_(False).eval().to(device)
    return LoadedModels(WarpGAN(generator, encoder, svinet, find_geometry(geometry, None)), ())


def find_geometry(
    words: Sequence[str] | None, trained_with: Mapping[str, Any] | None
) -> WarpOptions:
    """Options of the warp from a choice of ``configs/geometry`` and ``key=value`` changes.

    Args:
        words: e.g. ``["official", "depth=z"]``; None: those that SVINet was trained with.
        trained_with: the geometry node of SVINet's run; None: the default.

    Raises:
        ValueError: if a choice or key is not known.
    """
    if words is None and trained_with is not None:
        return _warp_options(trained_with, source="the geometry that SVINet was trained with")
    choice, *changes = words or [DEFAULT_GEOMETRY]
    path = CONFIG_DIR / "geometry" / f"{choice}.yaml"
    if not path.is_file():
        known = sorted(each.stem for each in path.parent.glob("*.yaml"))
        raise ValueError(f"--geometry {choice} is not known; choose one of {', '.join(known)}")
    values = dict(yaml.safe_load(path.read_text()))
    for change in changes:
        key, equals, value = change.partition("=")
        if not equals:
            raise ValueError(f"--geometry {choice} {change}: write key=value, e.g. depth=ray")
        values[key] = yaml.safe_load(value)
    return _warp_options(values, source=f"--geometry {' '.join([choice, *changes])}")


def _warp_options(values: Mapping[str, Any], *, source: str) -> WarpOptions:
    values = {key: value for key, value in values.items() if key != "_target_"}
    known = [field.name for field in fields(WarpOptions)]
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise ValueError(f"{source}: {unknown[0]} is no key; the keys are {', '.join(known)}")
    return WarpOptions(**values)


def find_generator(name: str) -> TriPlaneGenerator:
    """A frozen generator on the CPU.

    Args:
        name: a choice of ``configs/generator``, a name of the weights table or a file.

    Raises:
        FileNotFoundError: if it is none of these, or its file is absent.
    """
    node = OmegaConf.create({"generator": _generator_node(name)})
    return cli.build_node(node, "generator").eval().requires_grad_(False)


def _run_config(weights_file: Path) -> Mapping[str, Any]:
    saved = weights_file.parent / "config.yaml"
    return read_config(saved) if saved.is_file() else {}


def _generator_node(name: str) -> dict[str, Any]:
    if (CONFIG_DIR / "generator" / f"{name}.yaml").is_file():
        config = cli.compose_config("train", [f"generator={name}"])
        return OmegaConf.to_container(config.generator)
    _check_reference("--generator", name)
    return {"_target_": _GENERATOR_TARGET, "weights": name}


def _check_reference(flag: str, name: str, *, needed: str | None = None) -> None:
    path = Path(name).expanduser()
    if name in weights.TABLE or path.is_file() or (needed and (path / needed).is_file()):
        return
    runs = f", a finished run (runs/NAME with {needed})" if needed else ""
    raise FileNotFoundError(
        f"{flag} {name}: there is no such file{runs} or name of the weights table "
        "(python -m warpgan.weights list)"
    )
