"""Which processes of this machine are alive."""

import os


def is_alive(process: int) -> bool:
    """Whether there is a process of that number, of any user."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
