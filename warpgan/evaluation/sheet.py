"""The picture of an evaluation: what each method made of the first few photos."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from warpgan.cameras import RADIUS, look_at, make_label, split_label, yaw_pitch
from warpgan.data.folder import ImageFolder
from warpgan.evaluation.items import Item
from warpgan.evaluation.photos import Photos
from warpgan.methods.base import Method
from warpgan.pictures import contact_sheet, depth_picture, to_uint8

# Depth shown: the head and the nearest backdrop.
NEAR, FAR = RADIUS - 0.4, RADIUS + 0.5
OCCLUDED_COLOUR = np.array([214, 39, 160], np.float64)


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


def listed_view_sheet(
    methods: Sequence[Method], dataset: ImageFolder, items: Sequence[Item], *, title: str
) -> np.ndarray:
    """For each item and method the photo and its views from the cameras of the list.

    Args:
        methods: drawn one below the other.
        dataset: of the photos.
        items: shown; their views have no truth.
        title: above the sheet.
    """
    rows, names = [], []
    for item in items:
        source = dataset[item.source]
        for method in methods:
            inversion = method.invert(
                source.image[None].to(method.device), source.camera[None].to(method.device)
            )
            views = inversion.render(item.cameras[None].to(method.device))
            rows.append([to_uint8(source.image), *(to_uint8(image) for image in views.image[0])])
            names.append(method.name)
    columns = ["photo", *items[0].views]
    return contact_sheet(rows, row_captions=names, column_captions=columns, title=title)


def novel_view_sheet(
    methods: Sequence[Method], photos: Photos, items: Sequence[Item], *, title: str
) -> np.ndarray:
    """For each item the photo and the true views, what the photo never showed, and the methods'.

    Args:
        methods: drawn one below the other.
        photos: the data set; where visibility is known, a row of true views has the occluded
            pixels in one colour.
        items: shown, a column a view; of several targets in one view, the first.
        title: above the sheet.
    """
    first_of_view = [
        dict(reversed(list(zip(item.views, item.targets, strict=True)))) for item in items
    ]
    yaws = yaw_pitch(photos.dataset.labels.double())[0].tolist()
    yaw_of = {view: yaws[place] for chosen in first_of_view for view, place in chosen.items()}
    columns = sorted(yaw_of, key=yaw_of.get)
    rows, names = [], []
    for item, chosen in zip(items, first_of_view, strict=True):
        source = photos.dataset[item.source]
        truth = {view: to_uint8(photos.dataset[place].image) for view, place in chosen.items()}
        rows.append([to_uint8(source.image), *(truth.get(view) for view in columns)])
        names.append(f"{item.person} truth")
        if photos.has_visibility:
            seen = photos.true_visibility([(item.source, place) for place in chosen.values()])
            marked = {
                view: _mark(truth[view], ~mask[0].numpy())
                for view, mask in zip(chosen, seen, strict=True)
            }
            rows.append([None, *(marked.get(view) for view in columns)])
            names.append("occluded")
        cameras = photos.dataset.labels[list(chosen.values())][None]
        for method in methods:
            inversion = method.invert(
                source.image[None].to(method.device), source.camera[None].to(method.device)
            )
            images = inversion.render(cameras.to(method.device)).image[0]
            drawn = {view: to_uint8(image) for view, image in zip(chosen, images, strict=True)}
            rows.append([None, *(drawn.get(view) for view in columns)])
            names.append(method.name)
    captions = ["photo", *columns]
    return contact_sheet(rows, row_captions=names, column_captions=captions, title=title)


def _mark(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Blend the pixels of a mask ``[H, W]`` with the colour of what is occluded."""
    blend = np.where(mask[..., None], 0.35 * image + 0.65 * OCCLUDED_COLOUR, image)
    return blend.round().astype(np.uint8)


def _turned(camera: Tensor, yaws: Sequence[float]) -> Tensor:
    """Cameras ``[len(yaws), 25]`` on the usual orbit with the intrinsics of ``camera``."""
    if not yaws:
        return camera.new_zeros(0, 25)
    cam2world, _ = split_label(look_at(torch.tensor(yaws, dtype=torch.float64), 0.0).to(camera))
    intrinsics = split_label(camera)[1].expand(len(yaws), 3, 3)
    return make_label(cam2world, intrinsics)
