"""Numbers in print: estimates with half of their interval, everywhere in the same words."""

from warpgan.metrics.bootstrap import Interval

NOT_RUN = "not run"
NO_NUMBER = "no row"


def plain(value: float, digits: int = 4) -> str:
    """``digits`` significant digits, such as ``0.8500``; an exponent only for the very small."""
    if value != 0 and (abs(value) >= 10**digits or abs(value) < 1e-4):
        return f"{value:.0f}" if abs(value) >= 10**digits else f"{value:.{digits - 1}e}"
    return f"{value:#.{digits}g}".rstrip(".")


def half_width(interval: Interval, *, scale: float = 1.0) -> str:
    """Half of the interval, two digits."""
    return plain(scale * (interval.high - interval.low) / 2, 2)


def signed_interval(interval: Interval, *, scale: float = 1.0) -> str:
    """``+1.200 [+0.9000, +1.500]``."""
    low, middle, high = (
        _signed(scale * value) for value in (interval.low, interval.estimate, interval.high)
    )
    return f"{middle} [{low}, {high}]"


def _signed(value: float) -> str:
    return plain(value) if value < 0 else f"+{plain(value)}"
