"""Golden checks of the IR-SE50 face network and its landmark-free crop."""

from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from tests.parity_checks import Comparison, compare
from tests.parity_checks.recipe import check_state_dict, recipe_state
from warpgan.perception.crops import LegacyCrop
from warpgan.perception.irse50 import FACE_SIDE, IrSe50

IO = "irse50_recipe_io.safetensors"
LIST = "irse50_state_dict.json"


@torch.no_grad()
def check_irse50(folder: Path) -> list[Comparison]:
    """Crop, embeddings in both value ranges, and the mean of 1 - cosine."""
    golden = load_file(folder / IO)
    net = IrSe50()
    net.load_state_dict(recipe_state(folder / LIST, net.state_dict()))
    net.eval()
    crop = LegacyCrop(FACE_SIDE)
    photos = {"m1p1": golden["input_u8"] / 127.5 - 1, "x01": golden["input_u8"] / 255.0}
    ours = {"m1p1.crop112": crop(photos["m1p1"])}
    for name, photo in photos.items():
        embedding = net(crop(photo))
        ours[f"{name}.embedding"] = embedding
        ours[f"{name}.id_loss_flip_vs_x"] = (1 - (embedding.flip(0) * embedding).sum(1)).mean()[
            None
        ]
    large = F.interpolate(photos["m1p1"], size=(512, 512), mode="bilinear", align_corners=False)
    ours["m1p1.embedding_from_bilinear512"] = net(crop(large))
    return [
        compare(IO, key, ours[key], value, max_tolerance=1e-5)
        for key, value in golden.items()
        if key != "input_u8"
    ]


def check_irse50_list(folder: Path) -> list[Comparison]:
    """The 397 official names and shapes."""
    return check_state_dict(folder / LIST, IrSe50().state_dict())


FILES = {IO: check_irse50, LIST: check_irse50_list}
