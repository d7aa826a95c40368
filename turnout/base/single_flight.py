"""Single flight: a cache in which one read serves all who ask meanwhile."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import msgspec
import structlog

from turnout.base.clock import Clock
from turnout.base.errors import ServiceUnavailable

log = structlog.get_logger()

Key = TypeVar("Key")
Value = TypeVar("Value")


class Reading(msgspec.Struct, Generic[Value], frozen=True):
    """What a read returned. It is at least as new as `began_at`, in the clock's monotonic seconds."""

    began_at: float
    value: Value


class SingleFlight(Generic[Key, Value]):
    """The latest readings of at most `keys_max` keys; those read longest ago are forgotten first."""

    def __init__(self, read: Callable[[Key], Awaitable[Value]], *, keys_max: int, clock: Clock) -> None:
        self._read = read
        self._keys_max = keys_max
        self._clock = clock
        self._readings: OrderedDict[Key, Reading[Value]] = OrderedDict()
        self._under_way: dict[Key, asyncio.Task[Value]] = {}

    def last(self, key: Key) -> Reading[Value] | None:
        """The latest reading, however old; None if there is none."""
        return self._readings.get(key)

    def age_seconds(self, reading: Reading[Value]) -> float:
        """How old a reading may be at most."""
        return self._clock.monotonic() - reading.began_at

    async def get(self, key: Key, *, age_seconds_max: float) -> Value:
        """The latest reading if it is younger than that, else a fresh one."""
        reading = self._readings.get(key)
        if reading is not None and self.age_seconds(reading) < age_seconds_max:
            return reading.value
        return await self.refresh(key)

    async def refresh(self, key: Key) -> Value:
        """The value of the read that is under way, or of a new one; every caller gets its fault."""
        # Shielded: callers share the read, and one that goes away must not take it along.
        return await asyncio.shield(self.begin(key))

    def begin(self, key: Key) -> asyncio.Task[Value]:
        """Begins a read unless one is under way. Nobody has to await it: a service that fails is logged."""
        reading = self._under_way.get(key)
        if reading is None:
            reading = asyncio.get_running_loop().create_task(self._read_now(key))
            self._under_way[key] = reading
            reading.add_done_callback(lambda done: self._ended(key, done))
        return reading

    async def _read_now(self, key: Key) -> Value:
        began_at = self._clock.monotonic()  # before the read: what it returns is at least as new as this
        value = await self._read(key)
        self._readings[key] = Reading(began_at, value)
        self._readings.move_to_end(key)
        while len(self._readings) > self._keys_max:
            self._readings.popitem(last=False)
        return value

    def _ended(self, key: Key, reading: asyncio.Task[Value]) -> None:
        del self._under_way[key]
        if not reading.cancelled() and isinstance(reading.exception(), ServiceUnavailable):
            log.warning("read failed", key=str(key), error=str(reading.exception()))
