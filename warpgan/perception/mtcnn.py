"""`face_mtcnn`: Zhang et al. (2016), Joint face detection and alignment by cascaded networks.

Three small nets: one proposes boxes over a pyramid of the photo, one refines them, one refines
again and gives five points. Numbers equal those of the package facenet-pytorch, whose weights these
are, oddities included: boxes count pixels from 1 as MATLAB does (the crop of a box [x1, x2] is the
pixels x1 - 1 ... x2 - 1 of a picture counted from 0), and a box that leaves the photo is cut off
there and then stretched to a square.

The crops of a stage are taken all at once from one table of sums over the photo; that gives the
very averages which resizing each crop by area would.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import nms

CELL, STRIDE = 12, 2
REFINE_SIZE, OUTPUT_SIZE = 24, 48
THRESHOLDS = (0.6, 0.7, 0.7)
PYRAMID_FACTOR = 0.709
BATCH = 512
MAX_PROPOSALS = 8192


def _layer(width: int, channels: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(width, channels, kernel), nn.PReLU(channels))


def _pool(size: int) -> nn.MaxPool2d:
    return nn.MaxPool2d(size, 2, ceil_mode=True)


class ProposalNet(nn.Module):
    """Every 12 px window of a picture, two pixels apart."""

    def __init__(self) -> None:
        """Builds the net with unset weights."""
        super().__init__()
        self.trunk = nn.Sequential(_layer(3, 10, 3), _pool(2), _layer(10, 16, 3), _layer(16, 32, 3))
        self.score, self.box = nn.Conv2d(32, 2, 1), nn.Conv2d(32, 4, 1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """`[B, 3, H, W]` to the face's probability `[B, h, w]` and box moves `[B, 4, h, w]`."""
        x = self.trunk(images)
        return self.score(x).softmax(1)[:, 1], self.box(x)


class RefineNet(nn.Module):
    """24 px crops."""

    def __init__(self) -> None:
        """Builds the net with unset weights."""
        super().__init__()
        self.trunk = nn.Sequential(
            _layer(3, 28, 3), _pool(3), _layer(28, 48, 3), _pool(3), _layer(48, 64, 2),
            nn.Flatten(), nn.Linear(576, 128), nn.PReLU(128),
        )  # fmt: skip
        self.score, self.box = nn.Linear(128, 2), nn.Linear(128, 4)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """`[B, 3, 24, 24]` to probability `[B]` and box moves `[B, 4]`."""
        x = self.trunk(images)
        return self.score(x).softmax(1)[:, 1], self.box(x)


class OutputNet(nn.Module):
    """48 px crops."""

    def __init__(self) -> None:
        """Builds the net with unset weights."""
        super().__init__()
        self.trunk = nn.Sequential(
            _layer(3, 32, 3), _pool(3), _layer(32, 64, 3), _pool(3), _layer(64, 64, 3), _pool(2),
            _layer(64, 128, 2), nn.Flatten(), nn.Linear(1152, 256), nn.PReLU(256),
        )  # fmt: skip
        self.score, self.box, self.points = (nn.Linear(256, n) for n in (2, 4, 10))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`[B, 3, 48, 48]` to probability `[B]`, box moves `[B, 4]`, points `[B, 10]` (x first)."""
        x = self.trunk(images)
        return self.score(x).softmax(1)[:, 1], self.box(x), self.points(x)


@dataclass(frozen=True)
class Found:
    """Faces of one picture, the most certain first.

    Attributes:
        boxes: `[N, 4]` left, top, right, bottom.
        scores: `[N]` in [0, 1].
        points: `[N, 5, 2]` x, y.
    """

    boxes: Tensor
    scores: Tensor
    points: Tensor


class Mtcnn(nn.Module):
    """The cascade."""

    def __init__(self) -> None:
        """Builds the nets with unset weights."""
        super().__init__()
        self.propose, self.refine, self.output = ProposalNet(), RefineNet(), OutputNet()

    @torch.no_grad()
    def forward(self, image: Tensor, *, minimum_size: float = 20.0) -> Found:
        """Finds faces.

        Args:
            image: `[3, H, W]`, RGB in 0..255, any type.
            minimum_size: Side of the smallest face looked for, pixels.

        Returns:
            The faces, in the coordinates of the original (see `Found`).
        """
        image = image.float()
        boxes = self._proposals(image, minimum_size)
        sums = _sums(image)
        crops, boxes = _crops(sums, boxes, REFINE_SIZE)
        scores, moves = _in_batches(self.refine, crops, outputs=(1, 4))
        kept = scores > THRESHOLDS[1]
        boxes, scores, moves = boxes[kept], scores[kept], moves[kept]
        kept = nms(boxes, scores, 0.7)
        boxes = _squares(_moved(boxes[kept], moves[kept]))
        crops, boxes = _crops(sums, boxes, OUTPUT_SIZE)
        scores, moves, points = _in_batches(self.output, crops, outputs=(1, 4, 10))
        kept = scores > THRESHOLDS[2]
        boxes, scores, moves, points = boxes[kept], scores[kept], moves[kept], points[kept]
        side = boxes[:, 2:] - boxes[:, :2] + 1
        points = points.view(-1, 2, 5).mT * side[:, None] + boxes[:, None, :2] - 1
        boxes = _moved(boxes, moves)
        kept = _nms_of_smaller(boxes, scores, 0.7)
        return Found(boxes[kept], scores[kept], points[kept])

    def _proposals(self, image: Tensor, minimum_size: float) -> Tensor:
        """Square boxes `[N, 4]` from all scales."""
        height, width = image.shape[1:]
        scale, found = CELL / minimum_size, []
        while min(height, width) * scale >= CELL:
            size = (int(height * scale + 1), int(width * scale + 1))
            scores, moves = self.propose(_scaled(F.interpolate(image[None], size, mode="area")))
            at = (scores[0] >= THRESHOLDS[0]).nonzero()
            corner = STRIDE * at.flip(1).to(image.dtype)
            boxes = torch.cat([(corner + 1) / scale, (corner + CELL) / scale], 1).floor()
            scores, moves = scores[0][at[:, 0], at[:, 1]], moves[0][:, at[:, 0], at[:, 1]].T
            kept = nms(boxes, scores, 0.5)
            found.append((boxes[kept], scores[kept], moves[kept]))
            scale *= PYRAMID_FACTOR
        if not found:
            return image.new_zeros(0, 4)
        boxes, scores, moves = (torch.cat(parts) for parts in zip(*found, strict=True))
        kept = nms(boxes, scores, 0.7)[:MAX_PROPOSALS]
        boxes, moves = boxes[kept], moves[kept]
        side = boxes[:, 2:] - boxes[:, :2]
        return _squares(boxes + moves * side.repeat(1, 2))


def _scaled(pixels: Tensor) -> Tensor:
    return (pixels - 127.5) * 0.0078125


def _moved(boxes: Tensor, moves: Tensor) -> Tensor:
    return boxes + moves * (boxes[:, 2:] - boxes[:, :2] + 1).repeat(1, 2)


def _squares(boxes: Tensor) -> Tensor:
    """Squares of the longer side around the same centres."""
    side = boxes[:, 2:] - boxes[:, :2]
    longer = side.amax(1, keepdim=True)
    corner = boxes[:, :2] + side * 0.5 - longer * 0.5
    return torch.cat([corner, corner + longer], 1)


def _sums(image: Tensor) -> Tensor:
    """`[3, H + 1, W + 1]` float64: sums over everything above and left; exact for whole numbers."""
    return F.pad(image.double().cumsum(1).cumsum(2), (1, 0, 1, 0))


def _crops(sums: Tensor, boxes: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """The boxes' parts of the photo, each resized by area to a square.

    Args:
        sums: See `_sums`.
        boxes: `[N, 4]`; those wholly outside are dropped.
        size: The square's side.

    Returns:
        Pixels `[M, 3, size, size]` ready for a net, and the boxes `[M, 4]` left.
    """
    height, width = sums.shape[1] - 1, sums.shape[2] - 1
    limit = boxes.new_tensor([width, height]).long()
    low = boxes[:, :2].trunc().long().clamp_min(1) - 1
    high = torch.minimum(boxes[:, 2:].trunc().long(), limit)
    inside = (high > low).all(1)
    boxes, low, extent = boxes[inside], low[inside], (high - low)[inside]
    step = torch.arange(size, device=boxes.device)
    # the windows of adaptive average pooling, [M, 2, size]
    first = low[..., None] + step * extent[..., None] // size
    last = low[..., None] + -(-(step + 1) * extent[..., None] // size)
    crops = sums.new_zeros(len(boxes), 3, size, size, dtype=torch.float32)
    for start in range(0, len(boxes), BATCH):
        part = slice(start, start + BATCH)
        (x0, y0), (x1, y1) = first[part].unbind(1), last[part].unbind(1)

        def at(y: Tensor, x: Tensor) -> Tensor:
            return sums[:, y[:, :, None], x[:, None, :]]

        total = at(y1, x1) - at(y0, x1) - at(y1, x0) + at(y0, x0)
        area = (y1 - y0)[:, :, None] * (x1 - x0)[:, None, :]
        crops[part] = _scaled(total / area).transpose(0, 1).float()
    return crops, boxes


def _in_batches(net: nn.Module, crops: Tensor, *, outputs: tuple[int, ...]) -> list[Tensor]:
    """The net's answers on any number of crops, none included; its first output is `[N]`."""
    if len(crops) == 0:
        return [crops.new_zeros(0), *(crops.new_zeros(0, n) for n in outputs[1:])]
    answers = [net(part) for part in crops.split(BATCH)]
    return [torch.cat(parts) for parts in zip(*answers, strict=True)]


def _nms_of_smaller(boxes: Tensor, scores: Tensor, threshold: float) -> Tensor:
    """Indices kept if a box's overlap is measured by the smaller of two boxes, best first."""
    area = (boxes[:, 2] - boxes[:, 0] + 1) * (boxes[:, 3] - boxes[:, 1] + 1)
    low = torch.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = torch.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    common = (high - low + 1).clamp_min(0).prod(2)
    overlaps = common / torch.minimum(area[:, None], area[None]) > threshold
    left, kept = scores.argsort(descending=True, stable=True), []
    while len(left):
        kept.append(left[0])
        left = left[~overlaps[left[0], left]]
    return torch.stack(kept) if kept else boxes.new_zeros(0, dtype=torch.long)
