"""Mistakes with ``python -m warpgan.synthesize``."""

import json
from collections.abc import Callable
from pathlib import Path

from tests.bad_input_cases import Case
from tests.warpgan.image_files import encoded, label, picture, write_folder
from tests.warpgan.synthesis_world import write_networks
from warpgan.synthesize import build_parser, synthesize


def photo(root: Path, *, side: int = 32) -> str:
    """One photo without a label."""
    (root / "me.png").write_bytes(encoded(picture(side)))
    return str(root / "me.png")


def labelled(root: Path) -> str:
    """A folder of three photos."""
    write_folder(root / "faces")
    return str(root / "faces")


def words_case(
    name: str,
    photos: Callable[[Path], str],
    words: list[str],
    *parts: str,
    expected: type[Exception] = ValueError,
    svinet: bool = True,
    after: Callable[[Path], None] | None = None,
) -> Case:
    """A command line; ``DIR`` in a word is the case's folder."""

    def run(root: Path) -> None:
        place = photos(root)
        line = [place, str(root / "out"), "--device", "cpu", "--orbit", "0"]
        if svinet:
            line += ["--svinet", str(write_networks(root)[1])]
        line += [word.replace("DIR", str(root)) for word in words]
        synthesize(build_parser().parse_args(line))

    return Case(name, run, expected, parts, after)


def nothing_is_written(root: Path) -> None:
    assert not (root / "out").exists()


def with_label(content: object) -> Callable[[Path], str]:
    """A photo and ``camera.json`` of this content."""

    def write(root: Path) -> str:
        (root / "camera.json").write_text(
            content if isinstance(content, str) else json.dumps(content)
        )
        return photo(root)

    return write


def half_labelled(root: Path) -> str:
    place = labelled(root)
    (root / "faces" / "b" / "0.png").unlink()
    return place


LABEL = ["--label", "DIR/camera.json"]

CASES = [
    words_case(
        "synthesize: photo without camera",
        photo,
        [],
        "me.png has no camera label",
        "dataset.json",
        "--label",
        "crop_photo",
        expected=FileNotFoundError,
        after=nothing_is_written,
    ),
    words_case(
        "synthesize: label file absent",
        photo,
        LABEL,
        "camera.json does not exist",
        expected=FileNotFoundError,
    ),
    words_case(
        "synthesize: label of 24 numbers",
        with_label(label()[:-1]),
        LABEL,
        "camera.json",
        "[24]",
        "25 numbers",
    ),
    words_case(
        "synthesize: label of another photo",
        with_label({"labels": [["you.png", label()]]}),
        LABEL,
        "no usable label of me.png",
    ),
    words_case(
        "synthesize: label of the photo is broken",
        with_label({"labels": [["me.png", [2.0, *label()[1:]]]]}),
        LABEL,
        "no usable label of me.png",
        "not rigid",
    ),
    words_case(
        "synthesize: label is no JSON", with_label("1, 2"), LABEL, "camera.json", "not valid JSON"
    ),
    words_case(
        "synthesize: photo too small",
        lambda root: photo(root, side=16),
        [],
        "16 px",
        "32 px",
        "--upscale",
    ),
    words_case(
        "synthesize: --label with a folder",
        labelled,
        ["--label", "DIR/camera.json"],
        "one image file",
        "--labels",
    ),
    words_case(
        "synthesize: folder with a label too many",
        half_labelled,
        [],
        "label without image",
        "b/0.png",
        after=nothing_is_written,
    ),
    words_case(
        "synthesize: no such photos",
        lambda root: str(root / "absent"),
        [],
        "absent does not exist",
        "portraits",
        expected=FileNotFoundError,
    ),
    words_case(
        "synthesize: no such SVINet",
        labelled,
        ["--svinet", "DIR/runs/none"],
        "svinet=",
        "runs/none",
        "train_svinet",
        expected=FileNotFoundError,
        svinet=False,
    ),
    words_case(
        "synthesize: no such encoder",
        labelled,
        ["--encoder", "encoder_mimi"],
        "--encoder encoder_mimi",
        "weights list",
        expected=FileNotFoundError,
    ),
    words_case(
        "synthesize: no such generator",
        labelled,
        ["--generator", "eg3d_mimi"],
        "--generator eg3d_mimi",
        expected=FileNotFoundError,
    ),
    words_case(
        "synthesize: SVINet of another generator",
        labelled,
        ["--encoder", "encoder_mini"],
        "not made for each other",
    ),
    words_case(
        "synthesize: no such geometry",
        labelled,
        ["--geometry", "papr"],
        "--geometry papr",
        "mini, official, paper",
    ),
    words_case(
        "synthesize: unknown key of the geometry",
        labelled,
        ["--geometry", "paper", "deph=ray"],
        "deph is no key",
        "depth",
    ),
    words_case(
        "synthesize: camera below the floor",
        labelled,
        ["--pitch", "-95"],
        "--pitch -95",
        "-60 and 60",
        after=nothing_is_written,
    ),
    words_case("synthesize: yaw twice", labelled, ["--yaw", "10", "10"], "--yaw", "twice", "+10"),
    words_case(
        "synthesize: sheet of a view not made",
        labelled,
        ["--sheet-yaw", "45"],
        "--sheet-yaw 45",
        "--yaw -30",
    ),
    words_case("synthesize: count is 0", labelled, ["--count", "0"], "--count 0", "at least 1"),
    words_case(
        "synthesize: unknown scale",
        labelled,
        ["--random-weights", "huge"],
        "--random-weights huge",
        "full, tiny",
    ),
]
