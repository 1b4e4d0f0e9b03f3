"""Long work says something in a log, too."""

import io
import re
import sys

from warpgan import progress
from warpgan.progress import progress_bar

LINE = re.compile(r"rows: photo (\d+) of 5, \d\d:\d\d gone, (\d\d:\d\d|\?) left")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def counts(log: str) -> list[int]:
    return [int(LINE.fullmatch(line).group(1)) for line in log.splitlines()]


def test_a_log_has_whole_lines_at_the_start_and_the_end(capsys):
    for _ in progress_bar(range(5), title="rows", unit="photo"):
        pass
    assert counts(capsys.readouterr().err) == [0, 5]


def test_slow_work_writes_a_line_an_item(capsys, monkeypatch):
    monkeypatch.setattr(progress, "LOG_SECONDS", 0.0)
    bar = progress_bar(total=5, initial=2, title="rows", unit="photo")
    for _ in range(3):
        bar.update()
    bar.close()
    assert counts(capsys.readouterr().err) == [2, 3, 4, 5]


def test_a_terminal_gets_tqdm_s_bar(monkeypatch):
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    for _ in progress_bar(range(5), title="rows", unit="photo"):
        pass
    assert "\r" in stream.getvalue() and "100%" in stream.getvalue()


def test_nothing_is_shown_if_nothing_is_asked_for(capsys):
    for _ in progress_bar(range(5), title="rows", unit="photo", shown=False):
        pass
    assert capsys.readouterr().err == ""
