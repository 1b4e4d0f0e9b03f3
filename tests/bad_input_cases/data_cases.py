"""Mistakes with cameras, label files, images, folders, zips and photos."""

import json
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.bad_input_cases import Case
from tests.warpgan.image_files import encoded, label, pack, picture, write_folder, write_labels
from warpgan.cameras import CANONICAL_POINTS, frontal_label, look_at, project, validate_label
from warpgan.crop import crop_from_five_points, solve_pose_from_five_points
from warpgan.data.crop_photo import add_photo, read_points
from warpgan.data.folder import ImageFolder
from warpgan.labels import read_label_file
from warpgan.pose import PoseDistribution

SKIP = "skip_invalid=true"


def folder_case(
    name: str,
    spoil: Callable[[Path, list], object],
    *parts: str,
    expected: type[Exception] = ValueError,
    **options,
) -> Case:
    """A valid folder of three 32 px images, spoilt, then opened."""

    def run(root: Path) -> None:
        entries = write_folder(root)
        spoil(root, entries)
        ImageFolder(root, **{"size": 32, **options})

    return Case(name, run, expected, parts)


def label_case(name: str, change: Callable[[list[float]], object], *parts: str) -> Case:
    """One label of a folder changed in place."""

    def spoil(root: Path, entries: list) -> None:
        change(entries[1][1])
        write_labels(root / "dataset.json", entries)

    return folder_case(name, spoil, "b/1.png", SKIP, *parts)


def entries_case(name: str, change: Callable[[list], object], *parts: str) -> Case:
    """The list of entries of a folder changed in place."""

    def spoil(root: Path, entries: list) -> None:
        change(entries)
        write_labels(root / "dataset.json", entries)

    return folder_case(name, spoil, SKIP, *parts)


def json_case(name: str, text: str, *parts: str) -> Case:
    """The text of ``dataset.json`` replaced."""
    return folder_case(
        name,
        lambda root, entries: (root / "dataset.json").write_text(text),
        "dataset.json",
        *parts,
    )


def image_case(name: str, content: Callable[[bytes], bytes], *parts: str, **options) -> Case:
    """The bytes of one image replaced."""

    def spoil(root: Path, entries: list) -> None:
        path = root / "b" / "1.png"
        path.write_bytes(content(path.read_bytes()))

    return folder_case(name, spoil, "b/1.png", *parts, **options)


def zip_case(name: str, spoil: Callable[[Path], object], *parts: str, **options) -> Case:
    """A valid zip ``faces.zip``, spoilt, then opened."""

    def run(root: Path) -> None:
        write_folder(root / "faces")
        archive = pack(root / "faces", root / "faces.zip", **options)
        spoil(archive)
        ImageFolder(archive, size=32)

    return Case(name, run, ValueError, parts)


def add_member(archive: Path, name: str) -> None:
    with zipfile.ZipFile(archive, "a") as target:
        target.writestr(name, encoded(picture()))


def mark_encrypted(archive: Path) -> None:
    content = bytearray(archive.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(content)


def claim_gigabyte(archive: Path, name: str = "b/0.png") -> Path:
    """A member whose entry in the zip's directory says that it unpacks to 2**30 bytes."""
    content = bytearray(archive.read_bytes())
    entry = content.rindex(name.encode()) - 46
    assert content[entry : entry + 4] == b"PK\x01\x02"
    content[entry + 24 : entry + 28] = (1 << 30).to_bytes(4, "little")
    archive.write_bytes(content)
    return archive


def damage_member(archive: Path) -> None:
    """Flip bytes inside of the first image; its header stays whole."""
    content = bytearray(archive.read_bytes())
    start = content.index(b"IDAT") + 100
    content[start : start + 50] = bytes(50)
    archive.write_bytes(content)


def read_truncated_later(root: Path) -> None:
    """An image that is cut after the folder was checked."""
    write_folder(root)
    faces = ImageFolder(root, size=32)
    path = root / "b" / "1.png"
    path.write_bytes(path.read_bytes()[:500])
    _ = faces[1]


def claim_size(content: bytes) -> bytes:
    """A PNG that says it has 30,000 x 30,000 pixels."""
    header = content[12:16] + (30_000).to_bytes(4, "big") * 2 + content[24:29]
    return content[:12] + header + zlib.crc32(header).to_bytes(4, "big") + content[33:]


def points(scale: float = 60.0) -> np.ndarray:
    """Five points in the middle of a 200 px photo."""
    canonical = project(CANONICAL_POINTS, frontal_label()[0], size=1.0).numpy() - 0.5
    return 100 + canonical * scale / 0.3


def photo_case(name: str, change: Callable[[np.ndarray], np.ndarray], *parts: str) -> Case:
    """Five points, spoilt, in a photo of 200 px."""

    def run(root: Path) -> None:
        crop_from_five_points(np.zeros((200, 200, 3), np.uint8), change(points()))

    return Case(name, run, ValueError, parts)


def add_twice(root: Path) -> None:
    (root / "me.png").write_bytes(encoded(picture(200)))
    add_photo(root / "me.png", root / "faces", points=points().tolist())
    (root / "me.png").write_bytes(encoded(picture(200, seed=1)))
    (root / "before").write_bytes((root / "faces" / "me.png").read_bytes())
    add_photo(root / "me.png", root / "faces", points=points().tolist())


def first_crop_is_kept(root: Path) -> None:
    assert (root / "faces" / "me.png").read_bytes() == (root / "before").read_bytes()
    assert len(ImageFolder(root / "faces", size=512)) == 1


def add_to_broken_folder(root: Path) -> None:
    (root / "me.png").write_bytes(encoded(picture(200)))
    (root / "dataset.json").write_text('{"labels": [["a.png", [')
    add_photo(root / "me.png", root, points=points().tolist(), name="new.png")


def broken_labels_are_kept(root: Path) -> None:
    assert (root / "dataset.json").read_text() == '{"labels": [["a.png", ['
    assert not (root / "new.png").exists(), "new.png"


def write_text(root: Path, name: str, text: str) -> Path:
    (root / name).write_text(text)
    return root / name


CASES = [
    # cameras
    Case(
        "pitch straight above",
        lambda root: look_at(0.0, 95.0),
        ValueError,
        ("pitch_deg 95", "-90 and 90"),
    ),
    Case(
        "yaw not a number",
        lambda root: look_at(float("nan"), 0.0),
        ValueError,
        ("yaw_deg nan", "finite"),
    ),
    Case(
        "camera of 16 numbers",
        lambda root: validate_label([1.0] * 16),
        ValueError,
        ("[16]", "25 numbers"),
    ),
    Case(
        "camera of words",
        lambda root: validate_label(["a"] * 25),
        ValueError,
        ("not numeric", "25 numbers"),
    ),
    # label files
    folder_case(
        "no dataset.json",
        lambda root, entries: (root / "dataset.json").unlink(),
        "has no dataset.json",
        "crop_photo",
        expected=FileNotFoundError,
    ),
    folder_case(
        "dataset.json one folder deeper",
        lambda root, entries: (root / "dataset.json").rename(root / "b" / "dataset.json"),
        "found b/dataset.json",
        expected=FileNotFoundError,
    ),
    folder_case(
        "labels= names no file",
        lambda root, entries: None,
        "absent.json does not exist",
        expected=FileNotFoundError,
        labels="absent.json",
    ),
    json_case("dataset.json cut off", '{"labels": [["b/0.png", [1.0, 0', "not valid JSON"),
    json_case("dataset.json nested without end", "[" * 100_000, "not valid JSON"),
    json_case("labels given twice", '{"labels": [], "labels": []}', "'labels' is given twice"),
    json_case("labels null", '{"labels": null}', "null", "crop_photo"),
    json_case("labels not a list", '{"labels": 3}', "holds 3", "list"),
    json_case("no labels key", json.dumps({"images": []}), 'no "labels"', "images"),
    json_case("dataset.json is a list", "[]", 'no "labels"', "list"),
    entries_case(
        "label without image",
        lambda entries: entries.append(["b/9.png", label()]),
        "1 x label without image: b/9.png",
    ),
    entries_case(
        "image without label",
        lambda entries: entries.pop(),
        "1 x image without label: b/2.png",
    ),
    entries_case(
        "image listed twice",
        lambda entries: entries.append(["b/0.png", label()]),
        "image listed twice: b/0.png",
        "labels=",
    ),
    entries_case(
        "many labels without image",
        lambda entries: entries.extend([f"{i}.png", label()] for i in range(500)),
        "500 x label without image: 0.png, 1.png, 2.png, ... 497 more",
    ),
    entries_case(
        "label path leads outside",
        lambda entries: entries.append(["../b/0.png", label()]),
        "'../b/0.png'",
        "relative path",
    ),
    entries_case(
        "label path is absolute",
        lambda entries: entries.append(["/etc/0.png", label()]),
        "'/etc/0.png'",
        "relative path",
    ),
    entries_case(
        "label path has a drive",
        lambda entries: entries.append(["C:\\faces\\0.png", label()]),
        "relative path",
    ),
    entries_case(
        "entry without a label",
        lambda entries: entries.append("b/0.png"),
        "entry 3",
        "[image path, label] pair",
    ),
    label_case("label too short", lambda numbers: numbers.pop(), "24 numbers, expected 25"),
    label_case("label holds NaN", lambda n: n.__setitem__(3, float("nan")), "entry 3", "nan"),
    label_case("label holds infinity", lambda n: n.__setitem__(7, 1e39), "entry 7", "inf"),
    label_case("label holds text", lambda n: n.__setitem__(0, "1.0"), "no list of numbers"),
    label_case("pose is scaled", lambda n: n.__setitem__(0, 1.2), "pose is not rigid", "R^T R"),
    label_case("last row is wrong", lambda n: n.__setitem__(15, 0.0), "[0, 0, 0, 1]"),
    label_case(
        "pose is left-handed",
        lambda n: n.__setitem__(slice(0, 9, 4), [-v for v in n[0:9:4]]),
        "left-handed",
    ),
    label_case("focal length is negative", lambda n: n.__setitem__(16, -4.2), "fx, fy = [-4.2"),
    label_case(
        "intrinsics in pixels", lambda n: n.__setitem__(18, 256.0), "not divided by the image size"
    ),
    label_case("intrinsics malformed", lambda n: n.__setitem__(24, 0.0), "[[fx, skew, cx]"),
    Case(
        "pose distribution of invalid labels",
        lambda root: PoseDistribution.from_dataset_json(
            write_text(root, "l.json", '{"labels": [["a.png", [1, 2]]]}')
        ),
        ValueError,
        ("l.json", "2 numbers, expected 25"),
    ),
    # folders
    Case(
        "folder does not exist",
        lambda root: ImageFolder(root / "absent", size=32),
        FileNotFoundError,
        ("absent does not exist", "folder or zip"),
    ),
    Case(
        "folder is empty",
        lambda root: ImageFolder(root, size=32),
        ValueError,
        ("holds no images", "nothing"),
    ),
    Case(
        "folder of other formats",
        lambda root: ImageFolder(write_text(root, "a.tif", "").parent, size=32),
        ValueError,
        ("holds no images", ".tif", ".webp"),
    ),
    Case(
        "path is a file",
        lambda root: ImageFolder(write_text(root, "a.txt", "hello"), size=32),
        ValueError,
        ("a.txt is neither a folder nor a zip",),
    ),
    folder_case("size is zero", lambda root, entries: None, "size 0", "positive", size=0),
    folder_case(
        "nothing valid left",
        lambda root, entries: write_labels(root / "dataset.json", []),
        "no usable image is left",
        "3 x image without label",
        skip_invalid=True,
    ),
    # zips
    zip_case(
        "zip cut off",
        lambda archive: archive.write_bytes(archive.read_bytes()[:-40]),
        "faces.zip starts like a zip",
        "pack it again",
    ),
    zip_case(
        "zip member leads outside",
        lambda archive: add_member(archive, "../evil.png"),
        "zip member leads outside",
        "'../evil.png'",
    ),
    zip_case("zip is encrypted", mark_encrypted, "faces.zip is encrypted", "without a password"),
    zip_case("zip member damaged", damage_member, "b/2.png", "damaged", "CRC"),
    zip_case(
        "deflated zip member damaged",
        damage_member,
        "b/2.png",
        "damaged",
        compression=zipfile.ZIP_DEFLATED,
    ),
    zip_case("zip member of a gigabyte", claim_gigabyte, "b/0.png has 1073741824 bytes unpacked"),
    zip_case(
        "label file of a gigabyte in a zip",
        lambda archive: read_label_file(claim_gigabyte(archive, "dataset.json")),
        "dataset.json has 1073741824 bytes",
        "unpack the zip",
    ),
    # images
    image_case("image is text", lambda content: b"hello", "no PNG, JPEG or WebP", SKIP),
    image_case("image is empty", lambda content: b"", "no PNG, JPEG or WebP", SKIP),
    image_case("image cut off", lambda content: content[:1500], "damaged or truncated", SKIP),
    image_case("image of 900 megapixels", claim_size, "is too large", SKIP),
    image_case(
        "image not square",
        lambda content: encoded(picture(32)[:24]),
        "not square",
        "32 x 24",
        "crop_photo",
    ),
    image_case(
        "image smaller than the size",
        lambda content: encoded(picture(16)),
        "smaller than the size 32",
        "set size=16",
        "upscale=True",
    ),
    Case("image cut off while training", read_truncated_later, ValueError, ("b/1.png", "damaged")),
    # photos and five points
    photo_case("four points", lambda five: five[:4], "[4, 2]", "five finite points"),
    photo_case("a point is NaN", lambda five: five * [np.nan, 1], "five finite points"),
    photo_case("eyes swapped", lambda five: five[[1, 0, 2, 4, 3]], "mirrored", "on the left"),
    photo_case(
        "points of another photo", lambda five: five + 300, "outside of the photo of 200 x 200"
    ),
    photo_case("all points the same", lambda five: five * 0 + 7, "all the same"),
    photo_case("face of one pixel", lambda five: 100 + (five - 100) / 300, "cut out the face"),
    Case(
        "pose of points that are no face",
        lambda root: solve_pose_from_five_points(points()[[2, 3, 0, 1, 4]], size=200),
        ValueError,
        ("not those of a face", "left of the picture"),
    ),
    Case(
        "photo does not exist",
        lambda root: add_photo(root / "me.jpg", root, points=points().tolist()),
        FileNotFoundError,
        ("me.jpg does not exist",),
    ),
    Case(
        "points file is no JSON",
        lambda root: read_points(write_text(root, "p.json", "1,2")),
        ValueError,
        ("p.json", "not valid JSON"),
    ),
    Case("photo added twice", add_twice, ValueError, ("already holds me.png",), first_crop_is_kept),
    Case(
        "photo added to broken labels",
        add_to_broken_folder,
        ValueError,
        ("dataset.json is not valid JSON",),
        broken_labels_are_kept,
    ),
]
