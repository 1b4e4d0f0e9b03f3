"""Command lines of ``python -m warpgan.prepare ffhq|lpff|celebahq|mead SOURCE OUT``."""

import argparse
import csv
import io
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from warpgan.cli import EXIT_USER_ERROR
from warpgan.crop import CROP_SIZE
from warpgan.data.portraits.splits import write_aside
from warpgan.devices import DEVICES, choose_device
from warpgan.labels import Fault, describe_faults
from warpgan.preparation.datasets.celebahq import PAD, find_celebahq
from warpgan.preparation.datasets.ffhq import KEPT_BY_EG3D, is_wild, write_wild
from warpgan.preparation.datasets.labelled import Labelled, write_labelled
from warpgan.preparation.datasets.mead import LANDMARKS_NAME, prepare_mead
from warpgan.preparation.run import Work, prepare
from warpgan.preparation.settings import PrepareSettings, Reader, nets_key
from warpgan.preparation.summary import Summary

MISSING_NAME = "missing.csv"
LPFF_COUNT = 19_590

_FFHQ = """FFHQ to an image folder.

    python -m warpgan.prepare ffhq FFHQ_512.zip OUT      EG3D's packed data set, or its folder
    python -m warpgan.prepare ffhq ffhq_wild OUT         in-the-wild photos

The first is checked (names, cameras, sizes, mirrored twins) and linked, copied or unpacked; a whole
zip can also be trained on as it is: data.path=FFHQ_512.zip. The second needs, in SOURCE or by
option, ffhq-dataset-v2.json (FFHQ), cropping_params.json and dataset.json (both EG3D's).
"""
_LPFF = """LPFF to an image folder: its EG3D crops (unpack the archive) and camera_parameters.json.

    python -m warpgan.prepare lpff eg3d OUT --labels camera_parameters.json
"""
_CELEBAHQ = """CelebA-HQ to an image folder.

    python -m warpgan.prepare celebahq CelebAMask-HQ/CelebA-HQ-img OUT --subset test1000

Each picture is continued by reflection (its crop is tighter than EG3D's) and read as any photo is.
test1000 is our own published choice: ids by the sha256 of "warpgan celebahq test ID".
"""
_MEAD = """MEAD to an image folder of five views a person, without a landmark file.

    python -m warpgan.prepare mead MEAD OUT
    python -m warpgan.evaluate evaluate.protocol=multi_view data.path=OUT

DATA is MEAD as published (ID/video/CAMERA/EMOTION/level_K/NNN.mp4) or raw frames ID/CAMERA.png.
Frames are extracted, faces read, cameras estimated. OUT/landmarks.json can be corrected by hand;
python -m warpgan.data.mead takes a landmark file of another detector.
"""


def run_dataset(
    name: str, words: Sequence[str], make_reader: Callable[[torch.device], Reader]
) -> tuple[Path, Summary] | int:
    """Run a sub-command.

    Args:
        name: one of `DATASETS`.
        words: the rest of the command line.
        make_reader: builds the reader of faces on a device.

    Returns:
        The exit code; or, of photos that were read, the folder and what came of it.

    Raises:
        FileNotFoundError: if a file is absent.
        ValueError: for any other mistake of the user.
    """
    return DATASETS[name](words, make_reader)


def _parser(name: str, text: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"python -m warpgan.prepare {name}",
        description=text,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", type=Path, metavar="SOURCE", help="as downloaded")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder to write")
    return parser


def _ffhq(words: Sequence[str], make_reader: Callable) -> int:
    parser = _parser("ffhq", _FFHQ)
    parser.add_argument("--labels", type=Path, metavar="JSON", help="EG3D's dataset.json")
    parser.add_argument("--params", type=Path, metavar="JSON", help="cropping_params.json")
    parser.add_argument("--landmarks", type=Path, metavar="JSON", help="ffhq-dataset-v2.json")
    parser.add_argument("--no-mirror", action="store_true", help="no mirrored twins (in the wild)")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N (in the wild)")
    options = parser.parse_args(words)
    _check_apart(options.source, options.out)
    if not is_wild(options.source, options.params):
        found = write_labelled(options.source, options.out, labels=options.labels, size=CROP_SIZE)
        return _labelled_outcome(options.out, found, expected=2 * KEPT_BY_EG3D)
    if options.limit is not None and options.limit < 1:
        raise ValueError(f"--limit {options.limit} must be at least 1")
    wild = write_wild(
        options.source,
        options.out,
        params=options.params,
        landmarks=options.landmarks,
        labels=options.labels,
        mirror=not options.no_mirror,
        limit=options.limit,
    )
    _write_missing(options.out, wild.faults)
    print(
        f"{wild.asked} photos in the parameter file (EG3D kept {KEPT_BY_EG3D}), {wild.written} "
        f"made, {wild.kept} done before, {len(wild.faults)} missing or wrong"
    )
    return 0 if wild.written + wild.kept else EXIT_USER_ERROR


def _lpff(words: Sequence[str], make_reader: Callable) -> int:
    parser = _parser("lpff", _LPFF)
    parser.add_argument(
        "--labels", type=Path, metavar="JSON", help="camera_parameters.json or a dataset.json"
    )
    options = parser.parse_args(words)
    _check_apart(options.source, options.out)
    found = write_labelled(options.source, options.out, labels=options.labels, size=CROP_SIZE)
    return _labelled_outcome(options.out, found, expected=LPFF_COUNT)


def _celebahq(words: Sequence[str], make_reader: Callable) -> tuple[Path, Summary]:
    parser = _parser("celebahq", _CELEBAHQ)
    parser.add_argument("--subset", default="all", help="all, or test1000 (default: %(default)s)")
    parser.add_argument("--size", type=int, default=CROP_SIZE, help="side of the crops")
    parser.add_argument("--mirror", action="store_true", help="also write NAME_mirror.png")
    parser.add_argument("--device", choices=DEVICES, default="auto")
    options = parser.parse_args(words)
    settings = PrepareSettings(size=options.size, mirror=options.mirror, pad=PAD)
    _check_apart(options.source, options.out)
    photos, missing = find_celebahq(options.source, options.subset)
    if not photos:
        raise ValueError(f"{options.source} holds none of the {len(missing)} pictures asked for")
    command = shlex.join(["python", "-m", "warpgan.prepare", "celebahq", *words])
    work = Work(photos, (), settings, None, command, nets_key())
    device = choose_device(options.device)
    summary = prepare(work, options.out, lambda: make_reader(device))
    faults = [Fault("picture is missing", f"{number}.jpg") for number in missing]
    _write_missing(options.out, faults)
    return options.out, summary


def _mead(words: Sequence[str], make_reader: Callable) -> int:
    parser = _parser("mead", _MEAD)
    parser.add_argument("--manifest", type=Path, metavar="CSV", help="frames asked for")
    parser.add_argument("--size", type=int, default=CROP_SIZE, help="side of the crops")
    parser.add_argument(
        "--allow-missing", action="store_true", help="keep people with front and another view"
    )
    parser.add_argument("--device", choices=DEVICES, default="auto")
    options = parser.parse_args(words)
    device = choose_device(options.device)
    result = prepare_mead(
        options.source,
        options.out,
        lambda: make_reader(device),
        manifest=options.manifest,
        size=options.size,
        allow_missing=options.allow_missing,
    )
    print(result.report.text(examples=3))
    faults = [
        Fault("no face in the frame", name, reason) for name, reason in result.refused.items()
    ]
    if faults:
        print(describe_faults(faults))
    print(
        f"{result.read} frames read, {result.known} known before, {len(faults)} without a usable "
        f"face; points and cameras are in {options.out / LANDMARKS_NAME}\n"
        f"  python -m warpgan.evaluate evaluate.protocol=multi_view data.path={options.out}"
    )
    return 0


def _labelled_outcome(out: Path, found: Labelled, *, expected: int) -> int:
    _write_missing(out, found.faults)
    twins = f", {found.pairs} with mirrored twins" if found.pairs else ", no mirrored twins"
    print(
        f"{found.images} images, {found.labels} cameras (the release has {expected}); {found.kept} "
        f"usable, {found.written} of them written now{twins}; {len(found.faults)} missing or wrong"
    )
    return 0 if found.kept else EXIT_USER_ERROR


def _write_missing(out: Path, faults: Sequence[Fault]) -> None:
    """List all faults in a file, and the first of each kind on the screen."""
    path = out / MISSING_NAME
    if not faults:
        path.unlink(missing_ok=True)
        return
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["kind", "name", "detail"])
    writer.writerows((fault.kind, fault.name, fault.detail) for fault in faults)
    write_aside(path, stream.getvalue().encode("utf-8", "replace"))
    print(f"{describe_faults(faults)}\nall of them: {path}")


def _check_apart(source: Path, out: Path) -> None:
    if not source.exists():
        raise FileNotFoundError(f"{source} does not exist; expected the data set as downloaded")
    inner, outer = out.resolve(), source.resolve()
    if inner.is_relative_to(outer) or outer.is_relative_to(inner):
        raise ValueError(f"{source} and {out} lie in each other; choose another folder to write")


DATASETS = {"ffhq": _ffhq, "lpff": _lpff, "celebahq": _celebahq, "mead": _mead}
