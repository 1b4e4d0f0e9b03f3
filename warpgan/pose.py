"""Camera distributions taken from a data set, and its rebalancing by yaw.

FFHQ is nearly frontal. EG3D trains on a rebalanced list in which images are repeated by yaw: nine
bins, repeated 1 to 16 times. The published counts (68,262 once, 57,980 twice, 12,154 x 4, 1,408 x
8, 110 x 16 of FFHQ and its mirror images) fit bins of 20 degrees whose factor doubles with every
bin away from the middle one; that rule is used here.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from warpgan.cameras import mirror_label, yaw_pitch
from warpgan.labels import describe_faults, read_label_file, validate_label

YAW_BINS = 9


@dataclass(frozen=True)
class PoseDistribution:
    """Cameras drawn from a list of labels, each equally likely.

    Attributes:
        labels: [N, 25] float32.
    """

    labels: Tensor

    def __post_init__(self) -> None:
        """Refuse an empty or senseless list."""
        if self.labels.ndim != 2 or len(self.labels) == 0:
            raise ValueError(
                f"expected at least one camera label [N, 25], got {list(self.labels.shape)}"
            )
        validate_label(self.labels)

    @classmethod
    def from_dataset_json(cls, path: str | Path, *, rebalanced: bool = False) -> "PoseDistribution":
        """The cameras of a label file, or of a folder or zip with a ``dataset.json``.

        Args:
            path: Label file, folder or zip.
            rebalanced: Repeat them by `rebalance_by_yaw`.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: The file is no label file, or holds labels that are no cameras.
        """
        label_file = read_label_file(path)
        if label_file.faults:
            raise ValueError(
                f"{path}: {len(label_file.faults)} invalid labels\n"
                f"{describe_faults(label_file.faults)}"
            )
        labels = torch.from_numpy(label_file.labels)
        if rebalanced:
            labels = labels[rebalance_by_yaw(labels)]
        return cls(labels)

    def sample(self, n: int, generator: torch.Generator, *, mirror: bool = False) -> Tensor:
        """Draw ``n`` labels [n, 25] on the generator's device.

        Args:
            n: How many, with replacement.
            generator: The only source of randomness.
            mirror: Mirror every other camera, by chance.
        """
        device = generator.device
        rows = torch.randint(len(self.labels), (n,), generator=generator, device=device)
        drawn = self.labels.to(device)[rows]
        if not mirror:
            return drawn
        flips = torch.randint(2, (n, 1), generator=generator, device=device, dtype=torch.bool)
        return torch.where(flips, mirror_label(drawn), drawn)


def yaw_repeats(labels: Tensor) -> Tensor:
    """How often each of ``labels`` [N, 25] is repeated, [N] int64 of 1, 2, 4, 8 or 16.

    1 within 10 degrees of yaw, then doubling every 20 degrees; 16 from 70 degrees on.
    """
    yaw, _ = yaw_pitch(labels)
    bins_from_middle = ((yaw.abs() + 10) / 20).floor().clamp(max=YAW_BINS // 2).long()
    return 2**bins_from_middle


def rebalance_by_yaw(labels: Tensor) -> Tensor:
    """Rows of ``labels`` [N, 25], in order, each repeated by `yaw_repeats`: [M] int64."""
    rows = torch.arange(len(labels), device=labels.device)
    return rows.repeat_interleave(yaw_repeats(labels))
