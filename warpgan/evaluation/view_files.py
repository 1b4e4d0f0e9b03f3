"""The pictures an evaluation keeps, so that tables can show what they are about.

```
OUT/photos/NAME.webp             photos and true views, once; NAME as in rows.csv
    METHOD/views/000012.webp     the method's view of row 12
```
"""

import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image
from torch import Tensor

from warpgan.data.portraits.splits import write_aside
from warpgan.evaluation.config import PHOTOS_FOLDER
from warpgan.evaluation.items import Row
from warpgan.pictures import to_uint8

QUALITY = 92


class ViewFiles:
    """The pictures of one method, and the photos of the evaluation."""

    def __init__(self, folder: Path, *, method: str) -> None:
        """Name the folders.

        Args:
            folder: of the evaluation.
            method: whose views are written.
        """
        self.photos = folder / PHOTOS_FOLDER
        self.views = folder / method / "views"

    def write_batch(
        self,
        rows: Sequence[Row],
        start: int,
        views: Tensor,
        *,
        sources: Tensor,
        targets: Tensor | None,
    ) -> None:
        """Write a batch's views, and the photos that are not there yet.

        Args:
            rows: of the batch.
            start: number of the first row.
            views: ``[rows, 3, S, S]`` in [-1, 1].
            sources: ``[B, 3, S, S]``, the photos, in the order of their rows.
            targets: ``[rows, 3, S, S]``, the true views; ``None`` without.
        """
        for place, view in enumerate(views):
            self._write(self.views / f"{start + place:06d}.webp", view)
        names = dict.fromkeys(row.source for row in rows)
        for name, photo in zip(names, sources, strict=True):
            self._write_once(self.photos / f"{name}.webp", photo)
        if targets is not None:
            for row, photo in zip(rows, targets, strict=True):
                self._write_once(self.photos / f"{row.name}.webp", photo)

    def _write_once(self, path: Path, image: Tensor) -> None:
        if not path.is_file():
            self._write(path, image)

    def _write(self, path: Path, image: Tensor) -> None:
        stream = io.BytesIO()
        Image.fromarray(to_uint8(image)).save(stream, "WEBP", quality=QUALITY)
        write_aside(path, stream.getvalue())
