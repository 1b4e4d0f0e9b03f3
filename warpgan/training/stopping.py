"""The two ways a run ends before its last step: a signal, and a loss that is not a number."""

import signal
from collections.abc import Mapping, Sequence
from types import FrameType

EXIT_INTERRUPTED = 75
"""Exit code after SIGTERM or SIGINT: state saved, rerun the same command to continue."""


class NonFiniteLossError(RuntimeError):
    """The loss or its gradient stopped being a number.

    Args:
        step: The step, from 0, that was not done.
        what: What was not finite.
        terms: Loss terms of this process's micro-batch.
        names: Names of the samples in it.
        last_good: Where the last good checkpoint is, in words.
    """

    def __init__(
        self,
        step: int,
        what: str,
        *,
        terms: Mapping[str, float],
        names: Sequence[str],
        last_good: str,
    ) -> None:
        """Word the message; see the class."""
        values = ", ".join(f"{name}={value:.4g}" for name, value in terms.items())
        super().__init__(
            f"{what} is not finite at step {step} ({values}). Samples: {', '.join(names)}. "
            f"The step was not done; {last_good}. Look at these samples, lower "
            "train.learning_rate, or set train.gradient_clip"
        )
        self.step = step
        self.names = tuple(names)


class StopSignal:
    """Remembers SIGTERM and SIGINT until the loop asks. A second signal ends at once."""

    def __init__(self) -> None:
        """Nothing received yet."""
        self.received: str | None = None
        self._previous: dict[int, object] = {}

    def __enter__(self) -> "StopSignal":
        """Install the handlers."""
        for number in (signal.SIGTERM, signal.SIGINT):
            self._previous[number] = signal.signal(number, self._remember)
        return self

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self.received = signal.Signals(number).name
        signal.signal(number, self._previous[number])

    def __exit__(self, *exception: object) -> None:
        """Put the former handlers back."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)
