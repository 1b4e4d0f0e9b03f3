"""Images with camera labels from a folder or zip, checked before training starts.

The layout is EG3D's: PNG, JPEG or WebP files in any sub-folders and a ``dataset.json`` beside them
(`warpgan.labels`). Items are sorted by name. Construction compares labels with names, then reads
every image's header (and its end, where that is cheap); pixels are decoded when an item is read.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from warpgan.cameras import mirror_label
from warpgan.data.images import (
    SUFFIXES,
    decode_image,
    read_header,
    to_unit_range,
)
from warpgan.data.stores import Store, open_store
from warpgan.labels import (
    LABEL_FILE_NAME,
    Fault,
    LabelFile,
    describe_faults,
    parse_label_file,
    read_label_file,
    warn_radius,
)

logger = logging.getLogger(__name__)

PROGRESS_FROM = 5000
CHECKING_THREADS = 8


class Sample(NamedTuple):
    """One item, or a batch of them: a named tuple, so that torch's default collate stacks it.

    Attributes:
        image: [3, S, S] float32 in [-1, 1].
        camera: Label [25] float32.
        index: The item's place in the data set.
        name: Relative path of the image; mirrored items end in `` (mirrored)``.
    """

    image: Tensor
    camera: Tensor
    index: int
    name: str


class ImageFolder(Dataset):
    """A folder or zip of square images with one camera label each.

    Args:
        path: Folder or zip (stored or deflated; never unpacked to disk).
        labels: Another label file instead of ``dataset.json``, as a path or as a name inside the
            folder. It chooses the images: it may repeat them (with the same label) and leave
            some out.
        size: Side S of the images given out; larger files are reduced (`images.to_unit_range`).
        skip_invalid: Leave out what is wrong, and log how many, instead of raising. Decodes every
            image once, so that nothing can fail later.
        mirror: Append a mirrored copy, image and label, of every item.
        upscale: Accept images smaller than ``size``.

    Attributes:
        labels: [N, 25] float32, one row an item.
        names: N names.
        skipped: The faults of what was left out.

    Raises:
        FileNotFoundError: The folder, zip or label file does not exist.
        ValueError: Anything is wrong with labels or images; lists the first few of each kind.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        labels: str | Path | None = None,
        size: int,
        skip_invalid: bool = False,
        mirror: bool = False,
        upscale: bool = False,
    ) -> None:
        """Check labels and images; see the class."""
        if not isinstance(size, int) or size < 1:
            raise ValueError(f"size {size!r} must be a positive number of pixels")
        self.size = size
        self.skip_invalid = skip_invalid
        self._store = open_store(path)
        label_file = self._read_labels(labels)
        faults = [*self._store.faults, *label_file.faults]
        usable = _match(label_file, self._images(), faults, whole=labels is None)
        self._refuse(faults)
        wrong = self._check_images(sorted({label_file.names[row] for row in usable}), upscale)
        faults += wrong.values()
        self._refuse(faults)
        usable = [row for row in usable if label_file.names[row] not in wrong]
        if not usable:
            raise ValueError(f"{path}: no usable image is left\n{describe_faults(faults)}")
        usable.sort(key=lambda row: (label_file.names[row], row))
        self.skipped = tuple(faults)
        if faults:
            logger.warning(
                "%s: going on without invalid entries: %d\n%s",
                path,
                len(faults),
                describe_faults(faults),
            )
        self._files = tuple(label_file.names[row] for row in usable)
        self.labels = torch.from_numpy(label_file.labels[usable])
        self.names = self._files
        warn_radius(self.labels.numpy(), source=str(path))
        if mirror:
            self.labels = torch.cat([self.labels, mirror_label(self.labels)])
            self.names += tuple(f"{name} (mirrored)" for name in self._files)

    def __len__(self) -> int:
        """Number of items, mirrored ones included."""
        return len(self.names)

    def __getitem__(self, index: int) -> Sample:
        """Read, decode and resize one item.

        Raises:
            ValueError: The file is damaged; its name is in the message.
        """
        if not -len(self) <= index < len(self):
            raise IndexError(f"item {index} of {len(self)}")
        index %= len(self)
        name = self._files[index % len(self._files)]
        image = to_unit_range(self._decode(name), self.size)
        if index >= len(self._files):
            image = image.flip(-1)
        return Sample(image, self.labels[index], index, self.names[index])

    def content(self, index: int) -> bytes:
        """The bytes of an item's file; a mirrored item has those of the photo it mirrors.

        Raises:
            ValueError: The file cannot be read.
        """
        return self._store.read(self._files[index % len(self._files)])

    def _decode(self, name: str) -> np.ndarray:
        return decode_image(self._store.read(name), f"image {self._store.path}/{name}")

    def _images(self) -> list[str]:
        names = [name for name in self._store.names if name.lower().endswith(SUFFIXES)]
        if not names:
            others = sorted({Path(name).suffix or name for name in self._store.names})
            raise ValueError(
                f"{self._store.path} holds no images (found {', '.join(others[:5]) or 'nothing'}); "
                f"expected {', '.join(SUFFIXES)} files and a {LABEL_FILE_NAME}"
            )
        return names

    def _read_labels(self, labels: str | Path | None) -> LabelFile:
        if labels is not None and (Path(labels).exists() or str(labels) not in self._store.names):
            return read_label_file(labels)
        name = LABEL_FILE_NAME if labels is None else str(labels)
        if name not in self._store.names:
            self._images()
            deeper = [other for other in self._store.names if other.endswith("/" + name)]
            hint = (
                f"found {deeper[0]}: give that folder, or pack what is in it"
                if deeper
                else 'write one ({"labels": [[image path, [25 floats]], ...]}), name a label file, '
                "or make the folder by `python -m warpgan.prepare` (from photos) or "
                "`python -m warpgan.data.crop_photo` (from five points)"
            )
            raise FileNotFoundError(f"{self._store.path} has no {name}; {hint}")
        return parse_label_file(self._store.read(name), source=f"{self._store.path}/{name}")

    def _refuse(self, faults: Sequence[Fault]) -> None:
        if faults and not self.skip_invalid:
            raise ValueError(
                f"{self._store.path}: invalid entries: {len(faults)}; correct them, or set "
                f"skip_invalid=true to go on without them\n{describe_faults(faults)}"
            )

    def _check_images(self, names: list[str], upscale: bool) -> dict[str, Fault]:
        def check(name: str) -> Fault | None:
            return _image_fault(self._store, name, self.size, upscale, decode=self.skip_invalid)

        faults = _in_threads(check, names, title=f"checking {self._store.path.name}")
        return {name: fault for name, fault in zip(names, faults, strict=True) if fault}


def _match(
    label_file: LabelFile, images: list[str], faults: list[Fault], *, whole: bool
) -> list[int]:
    """Rows of the label file that have an image; what does not fit is appended to ``faults``."""
    known, first, usable = set(images), {}, []
    for row, name in enumerate(label_file.names):
        if name not in known:
            faults.append(Fault("label without image", name))
        elif name in first and whole:
            faults.append(
                Fault("image listed twice", name, "only a file given as labels= may repeat")
            )
        elif name in first and (label_file.labels[row] != label_file.labels[first[name]]).any():
            faults.append(Fault("image listed with different labels", name))
        else:
            first.setdefault(name, row)
            usable.append(row)
    listed = set(label_file.names) | {fault.name for fault in label_file.faults}
    unlisted = [name for name in images if name not in listed]
    if whole:
        faults += [Fault("image without label", name) for name in unlisted]
    elif unlisted:
        logger.info("%d of %d images are not in the label file", len(unlisted), len(images))
    return usable


def _image_fault(
    store: Store, name: str, size: int, upscale: bool, *, decode: bool
) -> Fault | None:
    try:
        with store.open(name) as stream:
            header = read_header(stream, name, look_at_end=store.seekable(name))
        if decode or not header.complete:
            decode_image(store.read(name), name)
    except (ValueError, OSError) as error:
        return Fault("image cannot be read", name, str(error).removeprefix(f"{name} "))
    width, height = header.width, header.height
    if width != height:
        detail = (
            f"{width} x {height}; crop it by `python -m warpgan.prepare`, or from five points of "
            "yours by `python -m warpgan.data.crop_photo`"
        )
        return Fault("image is not square", name, detail)
    if width < size and not upscale:
        detail = f"{width} px; set size={width}, or upscale=True (data.upscale=true) to enlarge"
        return Fault(f"image is smaller than the size {size} asked for", name, detail)
    return None


def _in_threads(
    check: Callable[[str], Fault | None], names: list[str], *, title: str
) -> Iterable[Fault | None]:
    with ThreadPoolExecutor(CHECKING_THREADS) as pool:
        results = pool.map(check, names)
        return list(
            tqdm(results, desc=title, total=len(names), disable=len(names) <= PROGRESS_FROM)
        )
