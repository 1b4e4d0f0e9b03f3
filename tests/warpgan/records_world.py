"""A method and nets of a few lines, to see what an evaluation records of a method."""

from pathlib import Path

import torch

from tests.warpgan.evaluation_world import SIZE
from warpgan.data.folder import ImageFolder
from warpgan.evaluation import run as loop
from warpgan.evaluation.items import build_items
from warpgan.evaluation.photos import Photos
from warpgan.evaluation.records import Records
from warpgan.methods.base import Inversion, Method, Views


class Pixels(torch.nn.Module):
    """An identity net of one line, so that the records are tested without a real one's time."""

    def forward(self, images: torch.Tensor, cameras: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.normalize(
            torch.nn.functional.avg_pool2d(images, 8).flatten(1), dim=1
        )


class Copy(Method):
    """Gives the photo back from every camera, .2 brighter or darker."""

    name = "copy"
    image_size = SIZE

    def __init__(self, shift: float = 0.2) -> None:
        self.shift = shift

    def invert(self, photo: torch.Tensor, camera: torch.Tensor) -> Inversion:
        return CopiedPhoto(photo + torch.where(photo > 0, -self.shift, self.shift))


class CopiedPhoto(Inversion):
    seconds = 0.5

    def __init__(self, image: torch.Tensor) -> None:
        self.image = image

    def render(self, cameras: torch.Tensor) -> Views:
        views = self.image[:, None].expand(-1, cameras.shape[1], -1, -1, -1)
        return Views(image=views, depth_z=views[:, :, :1], seconds=0.25)


def open_world(world: Path, *, protocol: str):
    dataset = ImageFolder(world / "photos", size=SIZE)
    return dataset, build_items(dataset.names, dataset.labels, protocol=protocol)


def measure(method, dataset, items, suite, folder, *, batch_size, **rest):
    records = Records(folder, columns=suite.columns, features=suite.features)
    records.open({"method": method.name})
    photos = dataset if isinstance(dataset, Photos) else Photos(dataset, "photos", {}, None)
    loop.evaluate_method(
        method,
        photos,
        items,
        suite=suite,
        records=records,
        batch_size=batch_size,
        progress=False,
        **rest,
    )
    return records


class Stopping(Copy):
    """Is interrupted after some inversions, as by Ctrl-C."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.left = after

    def invert(self, photo, camera):
        if self.left == 0:
            raise KeyboardInterrupt
        self.left -= 1
        return super().invert(photo, camera)


def every_file(records: Records) -> dict[str, bytes]:
    """All files but the times, which differ from run to run."""
    return {
        path.name: path.read_bytes()
        for path in records.folder.iterdir()
        if path.name != "seconds.csv"
    }
