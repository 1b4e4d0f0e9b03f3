"""Progress of long work: a bar on a terminal, a line now and then in a log.

tqdm alone leaves a log empty where it is off, and else writes one endless line into it.
"""

import sys
from collections.abc import Iterable
from typing import TextIO

from tqdm import tqdm

LOG_SECONDS = 30.0
_LOG_FORMAT = "{desc}: {unit} {n_fmt} of {total_fmt}, {elapsed} gone, {remaining} left{postfix}"


def progress_bar(
    items: Iterable | None = None,
    *,
    title: str,
    unit: str,
    total: int | None = None,
    initial: int = 0,
    shown: bool = True,
) -> tqdm:
    """Show how far work is, on the error stream.

    Args:
        items: what is gone through; ``None`` if ``update`` is called instead.
        title: of the work.
        unit: what it does one after the other, in the singular.
        total: how many there are; that of ``items`` if ``None``.
        initial: how many were done before; they do not count for the time left.
        shown: False for nothing at all.

    Returns:
        tqdm's bar. In a log it is a line at the start and the end, and at most one every
        ``LOG_SECONDS`` between.
    """
    given = {"desc": title, "unit": unit, "total": total, "initial": initial}
    if not shown:
        return tqdm(items, disable=True, **given)
    if sys.stderr.isatty():
        return tqdm(items, **given)
    return tqdm(
        items,
        file=_Lines(sys.stderr),
        mininterval=LOG_SECONDS,
        maxinterval=LOG_SECONDS,
        bar_format=_LOG_FORMAT,
        **given,
    )


class _Lines:
    """A stream that takes each refresh of a bar as a line of its own."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._last = ""

    def write(self, text: str) -> None:
        text = text.strip()
        # A bar that is closed is written once more.
        if text and text != self._last:
            self._stream.write(text + "\n")
            self._last = text

    def flush(self) -> None:
        self._stream.flush()
