"""A simulation: processes of the real core on a virtual clock, with the faults that a seed draws; then the faults heal."""

import asyncio
import logging
import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

import msgspec
import structlog

from tests.simulation.cloud import EVENTS_SHOWN, Cloud
from tests.simulation.virtual import Process, RunStuck, VirtualLoop
from tests.simulation.weather import Weather
from turnout.base.errors import TurnoutError
from turnout.queue.batcher import Batcher, Confirmation
from turnout.queue.consumer import Consumer
from turnout.queue.settings import QueueSettings

TURNS_MAX = 200_000
CLOCK_OFF_SECONDS_MAX = 0.5
SIGKILL_AFTER_SECONDS = 10.0
#: What a clean-up may take beyond the time that a consumer gives itself.
SHUTDOWN_LATE_SECONDS_MAX = 0.5

#: Bugs in what is left behind by the dead are rarely seen: a consumer has to die at the wrong moment, and another one after it.
GRIM_SHARE = 0.4
GRIM_END_SECONDS_MAX = 8.0
END_SECONDS_MAX = 20.0

Played = TypeVar("Played", bound="Simulation")


class InvariantViolated(AssertionError):
    """A run ended in a state, or passed one, that the design forbids."""


class RunCrashed(AssertionError):
    """A run met an exception that nobody expects."""


def play(family: str, seed: int, make: Callable[[], Played]) -> Played:
    """Plays a simulation to its end; raises `InvariantViolated` or `RunCrashed`, with the seed and the last events."""
    config = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    loop = VirtualLoop(TURNS_MAX)
    simulation: Played | None = None

    async def made() -> Played:
        return make()

    try:
        simulation = loop.run_until_complete(made())
        loop.run_until_complete(simulation.live())
    except RunStuck as stuck:
        raise InvariantViolated(_story(family, seed, f"the run hangs: {stuck}", simulation)) from stuck
    finally:
        structlog.configure(**config)
        _tear_down(loop, simulation)
    if simulation.crash is not None:
        story = _story(family, seed, repr(simulation.crash), simulation)
        raise RunCrashed(story) from simulation.crash
    if simulation.cloud.violation.done():
        raise InvariantViolated(_story(family, seed, simulation.cloud.violation.result(), simulation))
    return simulation


def _story(family: str, seed: int, why: str, simulation: "Simulation | None") -> str:
    events = simulation.cloud.events[-EVENTS_SHOWN:] if simulation else []
    lines = [f"{seconds:10.4f}  {who:12} {what}" for seconds, who, what in events]
    replay = f"replay: python -m tests.simulation {family} --seed {seed}"
    return "\n".join([f"seed {seed}: {why}", *lines, replay])


def _tear_down(loop: VirtualLoop, simulation: "Simulation | None") -> None:
    try:
        if simulation is not None:
            loop.run_until_complete(simulation.end())
    finally:
        loop.close()


class Outcome(msgspec.Struct, frozen=True):
    """What a run did; two runs of one seed have equal outcomes."""

    seed: int
    events: tuple[tuple[float, str, str], ...]
    #: What producers were promised, what was handled, and how much of that came more than once.
    promised: int
    counted: int
    duplicates: int


class Simulation(ABC):
    """The processes of one run."""

    cloud: Cloud
    weather: Weather
    _shutdown_seconds: float

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.chance = random.Random(seed)
        #: Whether nearly every consumer is killed soon, most of them while they hold something.
        self._grim = self.chance.random() < GRIM_SHARE
        self.crash: BaseException | None = None
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(self._unexpected)
        self._crashed = asyncio.Event()
        self._processes: list[Process] = []
        self._world: list[asyncio.Task[Any]] = []
        self._number = 0

    @abstractmethod
    async def _course(self) -> None:
        """What happens, to the last check."""

    async def live(self) -> None:
        """Lives until all is settled, or an invariant is violated, or something crashes."""
        course = asyncio.ensure_future(self._course())
        crashed = asyncio.ensure_future(self._crashed.wait())
        self._world += [course, crashed]
        ends: tuple[asyncio.Future[Any], ...] = (course, crashed, self.cloud.violation)
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if course.done() and course.exception() is not None:
            self.crash = course.exception()

    async def end(self) -> None:
        """Ends everything that still runs."""
        for task in self._world:
            task.cancel()
        await asyncio.gather(*self._world, return_exceptions=True)
        for process in self._processes:
            process.kill()
        for process in self._processes:
            await process.ended()

    def _start_world(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._loop.create_task(work)
        self._world = [each for each in self._world if not each.done()]
        self._world.append(task)
        task.add_done_callback(self._expect_no_fault)
        return task

    def _new_process(self, kind: str) -> Process:
        self._number += 1
        off = self.chance.uniform(-CLOCK_OFF_SECONDS_MAX, CLOCK_OFF_SECONDS_MAX)
        process = Process(f"{kind}-{self._number}", clock_off_seconds=off)
        self._processes.append(process)
        return process

    async def _schedule(
        self, start: Callable[[int], Coroutine[Any, Any, None]], *, every_seconds: float, running_max: int
    ) -> None:
        """Another one every few seconds, as long as not too many run; each is told how many do."""
        running: list[asyncio.Task[None]] = []
        while True:
            running = [task for task in running if not task.done()]
            if len(running) < running_max:
                running.append(self._start_world(start(len(running))))
            await asyncio.sleep(every_seconds)

    def _draw_end(self, *ends: tuple[float, float, Callable[[], object]]) -> None:
        """How a process ends before its time: each end's share in most seeds, its share in grim ones, and what it is."""
        if self.weather.healed:
            return
        drawn = self.chance.random()
        for share, grim_share, end in ends:
            drawn -= grim_share if self._grim else share
            if drawn < 0:
                within_seconds = GRIM_END_SECONDS_MAX if self._grim else END_SECONDS_MAX
                self._loop.call_later(self.chance.uniform(0.1, within_seconds), end)
                return

    async def _watch_consumer(
        self, consumer: Consumer, work: asyncio.Task[Any], settings: QueueSettings, lane_messages_max: int = 0
    ) -> None:
        """Checks a consumer's bound: a lane holds what it has leased, or `lane_messages_max` if it leases meanwhile."""
        held_max = settings.lanes * (lane_messages_max or settings.lease_messages_max)
        await self._watch(work, lambda: consumer.held <= held_max, "holds too many leases")

    def _watch_batcher(self, process: Process, batcher: Batcher[Any, Any], pending_items_max: int) -> None:
        """Checks a batcher's bound whenever items come in; with its process the connections of its callers break."""
        add = batcher.add

        def watched(items: Sequence[Any]) -> Confirmation:
            confirmation = add(items)
            if batcher.unconfirmed_items > pending_items_max:
                self.cloud.violate(f"{batcher.unconfirmed_items} items wait in one instance")
            return confirmation

        def break_connections() -> None:
            for formed in (*batcher._full, batcher._forming):
                if formed is not None and not formed.confirmation.done():
                    formed.confirmation.set_exception(asyncio.CancelledError())

        batcher.add = watched  # type: ignore[method-assign]
        process.at_death.append(break_connections)

    def _kill(self, process: Process) -> None:
        if process.alive:
            self.cloud.note(process.name, "killed")
            process.kill()

    def _kill_when_it_holds(self, process: Process, consumer: Consumer) -> None:
        """Kills a consumer after it has leased something and before it says so."""
        self._start_world(self._kill_holder(process, consumer))

    async def _kill_holder(self, process: Process, consumer: Consumer) -> None:
        while process.alive and not consumer.held:  # noqa: ASYNC110  # a consumer tells nobody
            await asyncio.sleep(0.05)
        self._kill(process)

    async def _watch(self, work: asyncio.Task[Any], holds: Any = lambda: True, fault: str = "") -> None:
        """Waits for a process's work; faults of services end it, as they end a job."""
        while not work.done():
            await asyncio.wait((work,), timeout=1)
            if not holds():
                self.cloud.violate(fault)
        self._expect_no_fault(work)

    def _expect_no_fault(self, work: asyncio.Task[Any]) -> None:
        if work.cancelled():
            return
        fault = work.exception()
        if fault is not None and not isinstance(fault, TurnoutError):
            self._crash(fault)

    def _unexpected(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        fault = context.get("exception") or RuntimeError(context["message"])
        if not isinstance(fault, TurnoutError):
            self._crash(fault)

    def _crash(self, fault: BaseException) -> None:
        if self.crash is None:
            self.crash = fault
            self.cloud.note("world", f"crash: {fault!r}")
        self._crashed.set()

    def _new_id(self) -> str:
        return f"{self.chance.getrandbits(128):032x}"

    def _terminate(self, process: Process, consumer: Consumer, work: asyncio.Task[Any]) -> None:
        """SIGTERM, and SIGKILL ten seconds later; a consumer must have ended by itself within its own time."""
        if not process.alive or work.done():
            return
        self.cloud.note(process.name, "SIGTERM")
        consumer.stop()
        self._loop.call_later(
            self._shutdown_seconds + SHUTDOWN_LATE_SECONDS_MAX, self._expect_end, process, work
        )
        self._loop.call_later(SIGKILL_AFTER_SECONDS, self._kill, process)

    def _expect_end(self, process: Process, work: asyncio.Task[Any]) -> None:
        if process.alive and not work.done():
            self.cloud.violate(f"{process.name} has not ended {self._shutdown_seconds:g} s after SIGTERM")
