"""Features of reference photos, kept between evaluations: every method is compared with the same.

```
ROOT/NET/WEIGHTS/ab/abcdef....npy    [D] float32, named by the hash of the photo's 8-bit pixels
```
WEIGHTS are the first digits of the weight file's SHA-256, so another file's features are never
mistaken for these. Files are written aside and renamed: several processes may share a folder, and
one that is damaged is computed anew.
"""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from warpgan.data.portraits.splits import write_aside
from warpgan.methods.true_latent import photo_key

HASH_DIGITS = 16


class FeatureCache:
    """The features of one net with one file of weights.

    Attributes:
        folder: where they are.
    """

    def __init__(self, root: str | Path, *, net: str, weights_sha256: str) -> None:
        """Name the folder; it is made by the first photo.

        Args:
            root: folder of the caches of all nets.
            net: name of the net.
            weights_sha256: hash of its weight file, 16 hexadecimal digits or more.

        Raises:
            ValueError: if the hash is too short to tell files apart.
        """
        if len(weights_sha256) < HASH_DIGITS:
            raise ValueError(
                f"weights_sha256 is {weights_sha256!r}; expected the SHA-256 of the file of {net}, "
                "see warpgan.weights.sha256_of"
            )
        self.folder = Path(root) / net / weights_sha256[:HASH_DIGITS]

    def get_or_compute(self, images: Tensor, compute: Callable[[Tensor], Tensor]) -> Tensor:
        """Look features up, and compute and keep those that are not there.

        Photos are computed one at a time, so that what is kept does not depend, not even in the
        last digit, on which other photos stood in the batch.

        Args:
            images: ``[N, 3, S, S]`` in [-1, 1].
            compute: the net, images ``[1, 3, S, S]`` to features ``[1, D]``.

        Returns:
            ``[N, D]`` float32 on the device of the images.
        """
        features = []
        for image in images:
            path = self.path(photo_key(image))
            kept = _read(path)
            if kept is None:
                kept = compute(image[None])[0].detach().float().cpu().numpy()
                stream = io.BytesIO()
                np.save(stream, kept, allow_pickle=False)
                write_aside(path, stream.getvalue())
            features.append(torch.from_numpy(kept))
        if not features:
            raise ValueError("no photos: expected images [N, 3, S, S] with N of at least 1")
        return torch.stack(features).to(images.device)

    def path(self, key: str) -> Path:
        """Where the features of a photo are, or go."""
        return self.folder / key[:2] / f"{key}.npy"


def _read(path: Path) -> np.ndarray | None:
    """Features ``[D]``; ``None`` if they are not there or damaged."""
    try:
        with open(path, "rb") as file:
            features = np.lib.format.read_array(file, allow_pickle=False)
    except (FileNotFoundError, ValueError):
        return None
    if features.ndim != 1 or features.dtype != np.float32 or not np.isfinite(features).all():
        return None
    return features
