"""Back-off: exponential waits with full jitter, so that those who failed together do not come back together."""

from collections.abc import Iterator

from turnout.votes.ports import Chance


def waits(first_seconds: float, max_seconds: float, chance: Chance) -> Iterator[float]:
    """Endless waits in seconds: each lies between half and the whole of a doubling step."""
    step = first_seconds
    while True:
        yield step * (0.5 + chance() / 2)
        step = min(step * 2, max_seconds)
