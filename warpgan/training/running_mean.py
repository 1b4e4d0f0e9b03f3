"""Mean of named numbers since the last record, kept in the checkpoint."""

from collections.abc import Mapping


class RunningMean:
    """Adds up named numbers in double precision until they are taken."""

    def __init__(self) -> None:
        """Start with nothing."""
        self._sums: dict[str, float] = {}
        self._weights: dict[str, float] = {}

    def add(self, values: Mapping[str, float], *, weight: float = 1.0) -> None:
        """Add one observation of each name; ``weight`` is its number of samples."""
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + weight * value
            self._weights[name] = self._weights.get(name, 0.0) + weight

    def take(self) -> dict[str, float]:
        """Return the means and start anew."""
        means = {name: total / self._weights[name] for name, total in self._sums.items()}
        self._sums, self._weights = {}, {}
        return means

    def state_dict(self) -> dict[str, object]:
        """Sums so far."""
        return {"sums": dict(self._sums), "weights": dict(self._weights)}

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """Take over sums."""
        self._sums, self._weights = dict(state["sums"]), dict(state["weights"])
