"""One writer per run folder.

The lock is the system's own (``flock``): it ends with the process that holds it, however that
process ends, so a stale lock needs no clean-up. The file's text only serves the message.
"""

import fcntl
import os
import socket
import time
from pathlib import Path
from typing import TextIO

from warpgan.processes import is_alive

_PATIENCE_SECONDS = 10.0


class RunLock:
    """Exclusive right to write into a run folder, held until ``release``.

    Args:
        folder: The run folder; it must exist.

    Raises:
        ValueError: If a living process holds the lock.
    """

    def __init__(self, folder: Path) -> None:
        """Take the lock; see the class."""
        self.path = folder / ".lock"
        self._file: TextIO | None = self._acquire()

    def _acquire(self) -> TextIO:
        file = open(self.path, "a+")  # noqa: SIM115 - held open as long as the lock
        waited = 0.0
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                file.seek(0)
                owner = file.read().strip()
                # Loader workers of a killed run hold the inherited file for a few seconds more.
                if waited >= _PATIENCE_SECONDS or not _is_dead(owner):
                    file.close()
                    raise ValueError(
                        f"run folder {self.path.parent} is being written by "
                        f"{owner or 'a process'}; wait for it, stop it, or choose another run.name"
                    ) from None
                time.sleep(0.25)
                waited += 0.25
        file.seek(0)
        file.truncate()
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        return file

    def release(self) -> None:
        """Give the lock back; harmless if repeated."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _is_dead(owner: str) -> bool:
    """Tell whether the owner named in a lock file is a process of this machine that has ended."""
    words = owner.split()
    if len(words) != 4 or not words[1].isdigit() or words[3] != socket.gethostname():
        return False
    return not is_alive(int(words[1]))
