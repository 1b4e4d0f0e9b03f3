"""The picture of an evaluation: what each method made of the first few photos."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from warpgan.cameras import RADIUS, look_at, make_label, split_label
from warpgan.data.folder import ImageFolder
from warpgan.evaluation.items import Item
from warpgan.methods.base import Method
from warpgan.pictures import contact_sheet, depth_picture, to_uint8

# Depth shown: the head and the nearest backdrop.
NEAR, FAR = RADIUS - 0.4, RADIUS + 0.5


def evaluation_sheet(
    methods: Sequence[Method],
    dataset: ImageFolder,
    items: Sequence[Item],
    *,
    novel_yaws: Sequence[float],
    title: str,
) -> np.ndarray:
    """One row an item and method: photo, target, the method's view of it, depth, novel views.

    Args:
        methods: drawn one below the other.
        dataset: of the photos.
        items: shown; of several targets, the first.
        novel_yaws: degrees, at the photo's pitch 0 and with its intrinsics.
        title: above the sheet.
    """
    rows, names = [], []
    for item in items:
        source, target = dataset[item.source], dataset[item.targets[0]]
        for method in methods:
            cameras = torch.cat([target.camera[None], _turned(source.camera, novel_yaws)])
            inversion = method.invert(
                source.image[None].to(method.device), source.camera[None].to(method.device)
            )
            views = inversion.render(cameras[None].to(method.device))
            drawn = [to_uint8(image) for image in views.image[0]]
            depth = depth_picture(views.depth_z[0, 0], near=NEAR, far=FAR)
            rows.append([to_uint8(source.image), to_uint8(target.image), drawn[0], depth])
            rows[-1] += drawn[1:]
            names.append(method.name)
    columns = ["photo", "target", "view", "depth", *(f"yaw {yaw:+g}" for yaw in novel_yaws)]
    return contact_sheet(rows, row_captions=names, column_captions=columns, title=title)


def _turned(camera: Tensor, yaws: Sequence[float]) -> Tensor:
    """Cameras ``[len(yaws), 25]`` on the usual orbit with the intrinsics of ``camera``."""
    if not yaws:
        return camera.new_zeros(0, 25)
    cam2world, _ = split_label(look_at(torch.tensor(yaws, dtype=torch.float64), 0.0).to(camera))
    intrinsics = split_label(camera)[1].expand(len(yaws), 3, 3)
    return make_label(cam2world, intrinsics)
