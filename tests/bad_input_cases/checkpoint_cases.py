"""Wrong, damaged and hostile encoder checkpoints, mean latents and saved encoders."""

import json
import pickle
from pathlib import Path

import torch

from tests.bad_input_cases import Case
from tests.warpgan.hostile import Planted, pickled_state, write_zip
from warpgan.checkpoint_reader import read_torch_zip
from warpgan.encoders.inversion import InversionEncoder, load_encoder, save_encoder
from warpgan.encoders.official_names import export_official_state
from warpgan.encoders.psp import PspEncoder
from warpgan.encoders.released import (
    load_arcface_trunk,
    load_imagenet_trunk,
    load_latent_average,
    load_released_encoder,
)
from warpgan.encoders.swin import SwinPyramidEncoder


def _encoder(**changes) -> SwinPyramidEncoder:
    sizes = {
        "image_size": 32,
        "num_ws": 6,
        "w_dim": 16,
        "embed_dim": 8,
        "depths": (1, 1, 1, 1),
        "num_heads": (1, 1, 2, 2),
        "window": 4,
        "pretrained_windows": (0, 0, 0, 0),
    }
    return SwinPyramidEncoder(**{**sizes, **changes})


def _released(folder: Path, state: dict) -> Path:
    path = folder / "gan_encoder.pt"
    torch.save({"psp_state_dict": state, "step": 1}, path)
    return path


def _absent(folder: Path):
    load_released_encoder(folder / "gan_encoder.pt", _encoder())


def _web_page(folder: Path):
    path = folder / "gan_encoder.pt"
    path.write_text("<html>Download quota exceeded</html>")
    load_released_encoder(path, _encoder())


def _truncated(folder: Path):
    path = _released(folder, export_official_state(_encoder()))
    path.write_bytes(path.read_bytes()[:-1000])
    load_released_encoder(path, _encoder())


def _missing_name(folder: Path):
    state = export_official_state(_encoder())
    del state["swin_model.norm.weight"]
    load_released_encoder(_released(folder, state), _encoder())


def _unknown_name(folder: Path):
    state = export_official_state(_encoder()) | {"decoder.weight": torch.zeros(2)}
    load_released_encoder(_released(folder, state), _encoder())


def _other_width(folder: Path):
    state = export_official_state(_encoder(embed_dim=16))
    load_released_encoder(_released(folder, state), _encoder())


def _other_window(folder: Path):
    state = export_official_state(_encoder(pretrained_windows=(2, 2, 2, 2)))
    load_released_encoder(_released(folder, state), _encoder())


def _another_checkpoint(folder: Path):
    path = folder / "inpaintor.pt"
    torch.save({"inpaintor_state_dict": {"a": torch.zeros(1)}}, path)
    load_released_encoder(path, _encoder())


def _planted(folder: Path):
    path = folder / "gan_encoder.pt"
    write_zip(path, pickle.dumps({"opts": Planted(folder / "planted")}, protocol=2))
    load_released_encoder(path, _encoder())


def _nothing_ran(folder: Path):
    assert not (folder / "planted").exists()


def _outside_name(folder: Path):
    path = folder / "gan_encoder.pt"
    write_zip(path, pickle.dumps({}, protocol=2), extra={"../../outside": b"x"})
    read_torch_zip(path)


def _impossible_tensor(folder: Path):
    stream = pickled_state(lambda storage, tensor: [tensor(storage("0", 4), 0, (1 << 40,), (1,))])
    read_torch_zip(write_zip(folder / "gan_encoder.pt", stream, storages={"0": bytes(16)}))


def _wrong_latent(folder: Path):
    torch.save(torch.zeros(14, 512), folder / "latent_avg.pt")
    load_latent_average(folder / "latent_avg.pt")


def _foreign_latent(folder: Path):
    InversionEncoder(_encoder(), torch.zeros(1, 512))


def _imagenet_of_another_net(folder: Path):
    torch.save({"conv1.weight": torch.zeros(2)}, folder / "resnet50.pth")
    load_imagenet_trunk(_encoder(), folder / "resnet50.pth")


def _arcface_of_another_net(folder: Path):
    torch.save({"conv1.weight": torch.zeros(2)}, folder / "model_ir_se50.pth")
    encoder = PspEncoder(image_size=32, num_ws=3, w_dim=8, widths=(4,) * 5, units=(1,) * 4)
    load_arcface_trunk(encoder, folder / "model_ir_se50.pth")


def _saved(folder: Path) -> Path:
    path = folder / "encoder.safetensors"
    save_encoder(InversionEncoder(_encoder(), torch.zeros(16)), path)
    return path


def _without_description(folder: Path):
    path = _saved(folder)
    path.with_suffix(".json").unlink()
    load_encoder(path)


def _newer_format(folder: Path):
    path = _saved(folder)
    beside = path.with_suffix(".json")
    beside.write_text(json.dumps({**json.loads(beside.read_text()), "format_version": 99}))
    load_encoder(path)


def _truncated_weights(folder: Path):
    path = _saved(folder)
    path.write_bytes(path.read_bytes()[:500])
    load_encoder(path)


CASES = [
    Case("encoder checkpoint: no such file", _absent, FileNotFoundError, ("gan_encoder.pt",)),
    Case("encoder checkpoint: a web page", _web_page, ValueError, ("gan_encoder.pt", "web page")),
    Case("encoder checkpoint: truncated", _truncated, ValueError, ("truncated", "again")),
    Case(
        "encoder checkpoint: a name missing",
        _missing_name,
        ValueError,
        ("1 missing", "swin_model.norm.weight"),
    ),
    Case(
        "encoder checkpoint: an unknown name",
        _unknown_name,
        ValueError,
        ("1 unknown", "decoder.weight"),
    ),
    Case("encoder checkpoint: other width", _other_width, ValueError, ("expected", "sizes")),
    Case(
        "encoder checkpoint: other pretrained window",
        _other_window,
        ValueError,
        ("relative_coords_table", "pretrained_windows"),
    ),
    Case(
        "encoder checkpoint: another network's",
        _another_checkpoint,
        ValueError,
        ("inpaintor.pt", "psp_state_dict", "inpaintor_state_dict"),
    ),
    Case(
        "encoder checkpoint: planted call",
        _planted,
        ValueError,
        ("no encoder inside",),
        after=_nothing_ran,
    ),
    Case("checkpoint: entry outside the archive", _outside_name, ValueError, ("outside",)),
    Case(
        "checkpoint: tensor larger than its storage",
        _impossible_tensor,
        ValueError,
        ("does not fit", "4 elements"),
    ),
    Case("mean latent: wrong shape", _wrong_latent, ValueError, ("(14, 512)", "[1, 512]")),
    Case(
        "mean latent: another generator's",
        _foreign_latent,
        ValueError,
        ("(1, 512)", "[1, 16]", "generator"),
    ),
    Case(
        "ImageNet file: another network",
        _imagenet_of_another_net,
        ValueError,
        ("resnet50.pth", "swinv2_base_window12to16_192to256"),
    ),
    Case(
        "ArcFace file: another network",
        _arcface_of_another_net,
        ValueError,
        ("model_ir_se50.pth", "IR-SE50"),
    ),
    Case(
        "saved encoder: description lost",
        _without_description,
        FileNotFoundError,
        ("encoder.json",),
    ),
    Case("saved encoder: newer format", _newer_format, ValueError, ("99", "this code reads 1")),
    Case(
        "saved encoder: truncated weights",
        _truncated_weights,
        ValueError,
        ("encoder.safetensors", "safetensors"),
    ),
]
