"""Mistakes that users make, one module a topic; each module has ``CASES``, a list of `Case`.

``python -m tests.bad_input`` prints what each of them is told, ``tests/test_bad_input.py`` checks
it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Case:
    """One mistake and the error it must give.

    Attributes:
        name: The mistake in a few words; unique.
        run: Makes it; gets an empty folder to work in.
        expected: Type of the error.
        message_parts: What the message must contain: the value given, what was expected, the fix.
        after: Run when the error has been seen; raises AssertionError if anything was lost.
    """

    name: str
    run: Callable[[Path], object]
    expected: type[BaseException]
    message_parts: tuple[str, ...]
    after: Callable[[Path], None] | None = None
