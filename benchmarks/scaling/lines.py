"""Waiting lines in virtual time: whoever comes is told when it is served. None of them knows what it serves."""

import math


class Line:
    """One server, first come, first served: a vCPU, a document, a quota."""

    def __init__(self) -> None:
        self.free_at = 0.0
        self.busy_seconds = 0.0

    def serve(self, now: float, seconds: float) -> float:
        """Takes its turn for so long; the moment at which it is done."""
        self.free_at = max(now, self.free_at) + seconds
        self.busy_seconds += seconds
        return self.free_at


class Documents:
    """Documents that take one write at a time, and only so many a second: contention is the wait before a write."""

    def __init__(self, writes_per_second: float) -> None:
        self._seconds_between = 1.0 / writes_per_second
        self._free_at: dict[int, float] = {}

    def write(self, document: int, earliest: float, seconds: float) -> float:
        """The moment at which a write that lasts so long begins."""
        begins = max(earliest, self._free_at.get(document, 0.0))
        self._free_at[document] = begins + max(seconds, self._seconds_between)
        return begins


class Ramp:
    """A rate that a new range of keys may reach step by step: 500/50/5. What a second leaves unused is not saved up."""

    def __init__(self, first: float, *, growth: float, step_seconds: float) -> None:
        self._first = first
        self._growth = growth
        self._step_seconds = step_seconds
        self._began_at: float | None = None
        self._free_at = 0.0

    def rate(self, now: float) -> float:
        """Writes a second that are allowed."""
        if self._began_at is None:
            return self._first
        return self._first * self._growth ** self._step(now)

    def behind_seconds(self, now: float) -> float:
        """How long a write that comes now would wait."""
        return max(0.0, self._free_at - now)

    def admit(self, now: float, writes: int) -> float:
        """The moment at which the last of so many writes is let in."""
        if math.isinf(self._first):
            return now
        if self._began_at is None:
            self._began_at = now
        at, left = max(now, self._free_at), float(writes)
        while True:
            step = self._step(at)
            ends_at = self._began_at + (step + 1) * self._step_seconds
            rate = self._first * self._growth**step
            if at + left / rate <= ends_at:
                self._free_at = at + left / rate
                return self._free_at
            left -= (ends_at - at) * rate
            at = ends_at

    def _step(self, now: float) -> int:
        began_at = self._began_at or 0.0
        # A moment that is a hair before a step by rounding alone belongs to the step.
        return int((now - began_at) / self._step_seconds + 1e-9)


def ramp_seconds(writes: float, first: float, *, growth: float, step_seconds: float) -> float:
    """How long a ramp takes at least until it has let so many writes in, from its first."""
    elapsed, rate, left = 0.0, first, writes
    while left > rate * step_seconds:
        left -= rate * step_seconds
        elapsed += step_seconds
        rate *= growth
    return elapsed + left / rate


def seconds_until_rate(rate: float, first: float, *, growth: float, step_seconds: float) -> float:
    """How long a ramp takes until it allows a rate."""
    if rate <= first:
        return 0.0
    return math.ceil(math.log(rate / first) / math.log(growth) - 1e-9) * step_seconds
