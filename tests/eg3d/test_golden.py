"""Golden vectors of the official code."""

from pathlib import Path

import pytest

from tests.parity_checks import eg3d as checks

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.mark.parametrize("name", checks.FILES)
def test_golden(name):
    found = checks.FILES[name](GOLDEN)
    assert found
    assert [c for c in found if not c.ok] == []
