"""Fixtures that several test modules share."""

import shutil
from pathlib import Path

import pytest

from tests.warpgan.mead_world import write_good_people


@pytest.fixture(scope="session")
def clean_mead(tmp_path_factory) -> Path:
    """MEAD's tree of two good people; read only."""
    data = tmp_path_factory.mktemp("mead") / "MEAD"
    write_good_people(data)
    return data


@pytest.fixture
def own_mead(clean_mead, tmp_path) -> Path:
    """A copy of it to be changed."""
    return shutil.copytree(clean_mead, tmp_path / "own")
