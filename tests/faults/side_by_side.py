"""Tests that run side by side: most of a fault's time is waiting for a lease to end, and that costs nothing."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import msgspec

from emulators.google import GoogleEmulators
from tests.deadlines import SCENARIO_SECONDS_MAX
from tests.faults.world import World

#: Processes that start up at once: more would only share the machine's cores.
STARTING_MAX = 3

Scenario = Callable[[World], Awaitable[None]]


class Outcome(msgspec.Struct, frozen=True):
    """How a scenario ended."""

    fault: BaseException | None
    seconds: float


Outcomes = dict[Scenario, Outcome]


def side_by_side(scenario: Scenario) -> Callable[[Outcomes], None]:
    """Makes a test of a scenario: it reports how the scenario went, which has run beside all others."""

    def test(outcomes: Outcomes) -> None:
        fault = outcomes[scenario].fault
        if fault is not None:
            raise fault

    test.__name__ = scenario.__name__
    test.__module__ = scenario.__module__
    vars(test)["scenario"] = scenario
    return test


def begins_early(scenario: Scenario) -> Scenario:
    """Marks a scenario that takes long: it begins before the others, so that all end soon."""
    vars(scenario)["early"] = True
    return scenario


async def run_side_by_side(
    scenarios: Sequence[Scenario], emulators: GoogleEmulators, folder: Path
) -> Outcomes:
    """Runs scenarios, each in a world of its own on the same emulators."""
    starting = asyncio.Semaphore(STARTING_MAX)

    async def run(scenario: Scenario) -> Outcome:
        began_at = time.monotonic()
        fault: BaseException | None = None
        try:
            async with (
                asyncio.timeout(SCENARIO_SECONDS_MAX),
                World(emulators, folder / scenario.__name__, starting) as world,
            ):
                await scenario(world)
        except Exception as error:  # noqa: BLE001  # its own test raises it
            fault = error
        return Outcome(fault, time.monotonic() - began_at)

    in_turn = sorted(scenarios, key=lambda each: "early" not in vars(each))
    return dict(zip(in_turn, await asyncio.gather(*map(run, in_turn)), strict=True))
