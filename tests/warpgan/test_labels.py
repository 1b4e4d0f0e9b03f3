import json

import numpy as np
import pytest
import torch

from tests.warpgan.image_files import label, pack, write_folder
from warpgan.cameras import look_at
from warpgan.labels import (
    Fault,
    describe_faults,
    find_faults,
    parse_label_file,
    read_label_file,
    safe_name,
    validate_label,
    write_label_file,
)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.png", "a.png"),
        ("./a/b.png", "a/b.png"),
        ("a\\b.png", "a/b.png"),
        ("a//./b.png", "a/b.png"),
        ("a..b/..c.png", "a..b/..c.png"),
        ("名/é.png", "名/é.png"),
        ("../a.png", None),
        ("a/../../b.png", None),
        ("..\\a.png", None),
        ("/a.png", None),
        ("\\\\host\\a.png", None),
        ("C:/a.png", None),
        ("c:a.png", None),
        ("a\0.png", None),
        ("", None),
        (".", None),
    ],
)
def test_safe_name(name, expected):
    assert safe_name(name) == expected


def test_faults_of_many_labels_are_those_of_each():
    labels = np.array([label(yaw) for yaw in range(12)], dtype=np.float32)
    labels[1, 3] = np.nan
    labels[3, 0] *= 1.01
    labels[5, [0, 4, 8]] *= -1
    labels[7, 20] = 0
    labels[9, 17:19] = 7
    faults = find_faults(labels)
    assert sorted(faults) == [1, 3, 5, 7, 9]
    for row in range(12):
        alone = find_faults(labels[row : row + 1])
        assert alone.get(0) == faults.get(row)
        if row in faults:
            with pytest.raises(ValueError, match=f"camera label 0: {faults[row][0]}"):
                validate_label(labels[row])
        else:
            validate_label(labels[row])


def test_labels_at_random_are_valid():
    generator = torch.Generator().manual_seed(0)
    yaw, pitch, roll = (torch.rand(3, 500, generator=generator) - 0.5) * 160
    validate_label(look_at(yaw, pitch, roll_deg=roll))


def test_written_labels_are_read_back_exactly(tmp_path):
    labels = look_at([0.0, 33.3], [1.1, -7.7])
    path = tmp_path / "dataset.json"
    write_label_file(path, [("a.png", labels[0]), ("b/é.png", labels[1])])
    label_file = read_label_file(tmp_path)
    assert label_file.names == ("a.png", "b/é.png") and not label_file.faults
    np.testing.assert_array_equal(label_file.labels, labels.numpy())
    assert [p.name for p in tmp_path.iterdir()] == ["dataset.json"]


def test_label_file_of_a_zip(tmp_path):
    write_folder(tmp_path / "faces")
    archive = pack(tmp_path / "faces", tmp_path / "faces.zip")
    assert read_label_file(archive).names == ("b/0.png", "b/1.png", "b/2.png")


def test_integers_and_a_byte_order_mark_are_read():
    integers = [1, 0, 0, 0, 0, -1, 0, 0, 0, 0, -1, 2.7, 0, 0, 0, 1, 4, 0, 0.5, 0, 4, 0.5, 0, 0, 1]
    text = json.dumps({"labels": [["a.png", integers]]})
    label_file = parse_label_file(text.encode("utf-8-sig"), source="x")
    assert label_file.labels.shape == (1, 25) and not label_file.faults


def test_an_entry_may_hold_no_truth_values_or_huge_integers():
    for value in (True, 10**400, None, "1"):
        content = json.dumps({"labels": [["a.png", [value] + [0.0] * 24]]}).encode()
        assert [fault.name for fault in parse_label_file(content, source="x").faults] == ["a.png"]


def test_faults_are_listed_by_kind_with_the_first_few():
    faults = [Fault("kind a", f"{i}.png") for i in range(5)] + [Fault("kind b", "x.png", "why")]
    assert describe_faults(faults) == (
        "  5 x kind a: 0.png, 1.png, 2.png, ... 2 more\n  1 x kind b: x.png (why)"
    )
