"""The measurement of several photos: its groups of pixels, and how views become numbers."""

import sys
from pathlib import Path

import numpy as np
import pytest

from warpgan.cameras import look_at
from warpgan.data.portraits.portrait import Portrait

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture(scope="module")
def script():
    sys.path.insert(0, str(SCRIPTS))
    try:
        import measure_several_photos
    finally:
        sys.path.remove(str(SCRIPTS))
    return measure_several_photos


def kept(script, person: int) -> dict:
    """Each photo more adds 1 dB to group a, b is empty in every second target."""
    rows = []
    for count in (1, 2, 3):
        for place, (yaw, pitch) in enumerate(script.TARGETS):
            row = {"photos": count, "yaw": yaw, "pitch": pitch, "identity": 0.5 + 0.1 * count}
            for group in script.GROUPS:
                empty = group == "b" and place % 2 == 1
                number = None if empty else 20.0 + person + count
                row[group] = {"pixels": 0 if empty else 100, "psnr": number, "perceptual": number,
                              "hole": number and 0.5 / count}  # fmt: skip
            rows.append(row)
    return {"views": rows, "misplaced": [1.0 + person, 2.0, 3.0]}


def test_the_summary_pairs_views_of_one_person(script):
    found = script.summarise({f"{person:04d}": kept(script, person) for person in range(3)})
    numbers = found["measures"]["psnr, a"]
    assert numbers["mean"][1]["estimate"] == pytest.approx(22.0)
    assert numbers["mean"][1]["count"] == 15 and numbers["mean"][1]["groups"] == 3
    for name, more in (("2 - 1", 1.0), ("3 - 1", 2.0), ("3 - 2", 1.0)):
        kept_numbers = numbers["difference"][name]
        assert [kept_numbers[key] for key in ("estimate", "low", "high")] == [more] * 3, (
            "people differ, differences don't"
        )
    assert found["measures"]["psnr, b"]["mean"][1]["count"] == 9, "empty groups are left out"
    assert "psnr, b, yaw -20 pitch +0" not in found["measures"]
    assert found["open"]["a, 2"] == 0.25 and found["misplaced_px"] == [2.0, 2.0, 3.0]
    text = script.as_markdown(found)
    assert "| psnr, a | 22.000 | 23.000 | 24.000 | +1.000 [+1.000, +1.000] |" in text
    assert "| identity | 0.600 | 0.700 | 0.800 |" in text


def test_groups_are_those_of_true_visibility(script):
    portrait = Portrait.sample(5)
    cameras, targets = look_at(list(script.PHOTO_YAWS), 0.0), look_at([0.0, 60.0], 0.0)
    true = [portrait.render(camera, size=32) for camera in targets]
    groups = script.pixel_groups(portrait, cameras, targets, true=true)
    a, b, person, by_2, c, whole = (groups[name].numpy() for name in script.GROUPS)
    assert a[0].mean() > 0.97, "the first target is photo 1 itself"
    assert not (a & b).any() and not (a & c).any() and not (b & c).any()
    assert np.array_equal(a | b | c, whole) and whole.all()
    assert not (person & ~b).any() and not (by_2 & ~b).any()
    assert by_2[1].sum() > 0.9 * b[1].sum() > 30, "photo 2 is on the target's side"
