"""Progress with time left: a bar on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Mapping

from tqdm import tqdm


def spell_time(seconds: float) -> str:
    """Write a duration as ``h:mm:ss``."""
    minutes, seconds = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"


class Progress:
    """Shows how far a run is. Only the main process shows anything.

    Args:
        step: Steps done at this start.
        steps: Steps of the whole run.
        batch_size: Global batch, to count images.
        visible: Whether this process shows anything.
    """

    def __init__(self, step: int, steps: int, *, batch_size: int, visible: bool = True) -> None:
        """Start the clock; see the class."""
        self._first, self._steps, self._batch_size = step, steps, batch_size
        self._visible = visible
        self._began = time.monotonic()
        self._bar = None
        if visible and sys.stderr.isatty():
            self._bar = tqdm(total=steps, initial=step, unit="step", dynamic_ncols=True)

    def advance(self, step: int) -> None:
        """Count one step; ``step`` steps are done."""
        if self._bar is not None:
            self._bar.update(step - self._bar.n)

    def show(self, step: int, values: Mapping[str, float]) -> None:
        """Show numbers after ``step`` steps."""
        numbers = " ".join(f"{name} {value:.4g}" for name, value in values.items())
        if self._bar is not None:
            self._bar.set_postfix_str(numbers)
        elif self._visible:
            elapsed = time.monotonic() - self._began
            left = elapsed / max(1, step - self._first) * (self._steps - step)
            self.say(
                f"step {step}/{self._steps}  images {step * self._batch_size}  {numbers}  "
                f"elapsed {spell_time(elapsed)}  left {spell_time(left)}"
            )

    def say(self, line: str) -> None:
        """Print one line without disturbing the bar."""
        if self._bar is not None:
            self._bar.write(line)
        elif self._visible:
            print(line, flush=True)

    def close(self) -> None:
        """End the bar."""
        if self._bar is not None:
            self._bar.close()
