"""The stand-in's clock, which tests turn ahead: what would come tomorrow comes now."""

import time
from collections.abc import Callable

import msgspec
from aiohttp import web

from emulators.api.over_rest import json_response
from emulators.cloud_tasks.errors import InvalidArgument
from emulators.cloud_tasks.limits import SCHEDULE_AHEAD_US_MAX, SECOND_US
from emulators.cloud_tasks.messages import Timestamp


def wall_clock_us() -> int:
    """Microseconds since 1970."""
    return time.time_ns() // 1000


class TurnableClock:
    """Another clock, and how far it was turned ahead; microseconds since 1970."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._ahead_us = 0

    def __call__(self) -> int:
        """What it shows."""
        return self._clock() + self._ahead_us

    def turn(self, ahead_us: int) -> None:
        """Turns it ahead, never back: what has happened has its moments."""
        self._ahead_us += ahead_us


class _Turn(msgspec.Struct, frozen=True, rename="camel"):
    ahead_seconds: float


def clock_routes(clock: TurnableClock, turned: Callable[[], None]) -> list[web.RouteDef]:
    """`GET /clock` says what it shows, `POST /clock` turns it ahead and lets `turned` look what is due by that."""

    async def show(_: web.Request) -> web.Response:
        now = Timestamp()
        now.FromMicroseconds(clock())
        return json_response({"now": now.ToJsonString()})

    async def turn(request: web.Request) -> web.Response:
        try:
            seconds = msgspec.json.decode(await request.read(), type=_Turn).ahead_seconds
        except msgspec.DecodeError as fault:
            raise InvalidArgument('The clock is turned by {"aheadSeconds": 3600}.') from fault
        if not 0 <= seconds * SECOND_US <= SCHEDULE_AHEAD_US_MAX:
            raise InvalidArgument(
                "aheadSeconds must be between 0 and 720 hours, the furthest schedule of a task."
            )
        clock.turn(round(seconds * SECOND_US))
        turned()
        return await show(request)

    return [web.get("/clock", show), web.post("/clock", turn)]
