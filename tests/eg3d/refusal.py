"""What every bad generator file must lead to."""

from pathlib import Path

import pytest

import eg3d
from eg3d import CheckpointError

CANARY = "canary-was-here"


def refused(path: Path | str, pattern: str, **arguments) -> str:
    """Loading must give the one error, with the file and a fix in it, and run nothing."""
    with pytest.raises(CheckpointError, match=pattern) as caught:
        eg3d.load_generator(path, **arguments)
    message = str(caught.value)
    assert message.startswith(str(path)) and "Expected " in message
    assert "\n" not in message and len(message) < 900
    assert not Path(CANARY).exists(), "the payload ran"
    return message


def write(data: bytes, name: str = "model.pkl") -> Path:
    Path(name).write_bytes(data)
    return Path(name)
