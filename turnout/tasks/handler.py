"""The handler of leased messages: claim ▸ run ▸ settle, each task apart, their commits and acknowledgements together."""

import asyncio
from collections.abc import Iterable, Sequence

import structlog

from turnout.base.chance import Chance, NewId
from turnout.base.clock import Clock
from turnout.base.errors import ServiceUnavailable
from turnout.queue.errors import MessageUnreadable, QueueUnavailable
from turnout.queue.leases import Leases
from turnout.queue.message import Message
from turnout.queue.stopping import Stopping, cancel_all
from turnout.tasks.attempting import Attempting
from turnout.tasks.claiming import Claiming
from turnout.tasks.commits import Commits
from turnout.tasks.messages import read_message
from turnout.tasks.ports import TaskStore
from turnout.tasks.running import Runner
from turnout.tasks.settings import TaskSettings
from turnout.tasks.task import Stored
from turnout.tasks.telling import Telling
from turnout.tasks.timetable import Timetable
from turnout.tasks.topics import Topics

log = structlog.get_logger()


class TaskHandler:
    """Runs the tasks of a lane's messages side by side; the lane leases again while there is room for another lease.

    So a task that takes long holds back nobody. One whose store or queue fails is released after a pause.
    """

    def __init__(
        self, claiming: Claiming, attempting: Attempting, settings: TaskSettings, *, chance: Chance
    ) -> None:
        self._claiming = claiming
        self._attempting = attempting
        self._settings = settings
        self._chance = chance
        #: In the order of their beginning: a set of asyncio's has another one in each run.
        self._working: dict[asyncio.Task[None], None] = {}
        #: Messages that are neither acknowledged nor released.
        self._held = 0
        self._stopping = Stopping()
        self._pauses = settings.endless_retry.waits(chance)
        #: What ended together is acknowledged together.
        self._handled: list[Message] = []
        self._acknowledging: asyncio.Task[None] | None = None
        self._fault: BaseException | None = None

    async def handle(self, messages: Sequence[Message], leases: Leases) -> None:
        """Begins with messages, and returns when there is room for as many as a lease has.

        Each is acknowledged when its task has ended, or when another wake-up is seen to.
        """
        for carried, same in (await self._read(messages, leases)).values():
            self._held += len(same)
            work = asyncio.create_task(self._handle(carried, same, leases))
            self._working[work] = None
            work.add_done_callback(self._ended)
        await self._until(self._settings.lane_tasks_max - self._settings.lease_messages_max)

    async def finish(self) -> None:
        """Returns when nothing is under way any more."""
        self._stopping.ask()
        await self._until(0)

    async def abandon(self) -> None:
        """Gives up what is under way: tasks that run are given back."""
        await cancel_all(self._under_way)

    @property
    def _under_way(self) -> list[asyncio.Task[None]]:
        acknowledging = self._acknowledging
        return [*self._working, *([] if acknowledging is None or acknowledging.done() else [acknowledging])]

    async def _until(self, held_max: int) -> None:
        while self._held > held_max and self._fault is None and (under_way := self._under_way):
            await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
        if self._fault is not None:
            raise self._fault

    def _ended(self, work: asyncio.Task[None]) -> None:
        self._working.pop(work, None)
        if not work.cancelled() and work.exception() is not None:
            # A mistake of ours ends the consumer; faults of services were seen to.
            self._fault = self._fault or work.exception()

    async def _handle(self, carried: Stored, same: Sequence[Message], leases: Leases) -> None:
        try:
            holding = await self._claiming.claim(carried)
            if holding is not None:
                await self._attempting.attempt(holding)
        except (ServiceUnavailable, QueueUnavailable) as error:
            log.warning("a task was not handled and is released", task=carried.task.id, error=str(error))
            # First the pause, then the release: the message would come back at once and fail again.
            await self._stopping.unless(asyncio.sleep(next(self._pauses)))
            await self._release(same, leases)
        except Exception:
            await self._release(same, leases)
            raise
        else:
            self._pauses = self._settings.endless_retry.waits(self._chance)
            self._acknowledge(same, leases)

    async def _release(self, messages: Sequence[Message], leases: Leases) -> None:
        await leases.release(messages)
        self._held -= len(messages)

    def _acknowledge(self, messages: Iterable[Message], leases: Leases) -> None:
        self._handled += messages
        if self._acknowledging is None or self._acknowledging.done():
            self._acknowledging = asyncio.create_task(self._acknowledge_all(leases))

    async def _acknowledge_all(self, leases: Leases) -> None:
        while self._handled:
            # One turn of the loop later: what a commit settled together is all there.
            await asyncio.sleep(0)
            handled, self._handled = self._handled, []
            await leases.acknowledge(handled)
            self._held -= len(handled)

    async def _read(
        self, messages: Sequence[Message], leases: Leases
    ) -> dict[int, tuple[Stored, list[Message]]]:
        """The tasks that messages carry, each in its newest version, with all messages that carry it."""
        carried: dict[int, tuple[Stored, list[Message]]] = {}
        for message in messages:
            try:
                stored = read_message(message.data)
            except MessageUnreadable as fault:
                await leases.bury(message, str(fault))
                continue
            newest, same = carried.get(stored.task.id, (stored, []))
            newest = max(newest, stored, key=lambda each: each.version)
            carried[stored.task.id] = (newest, [*same, message])
        return carried


def assemble_lanes(
    worker: str,
    store: TaskStore,
    commits: Commits,
    timetable: Timetable,
    runner: Runner,
    settings: TaskSettings,
    *,
    clock: Clock,
    chance: Chance,
    new_id: NewId,
) -> list[TaskHandler]:
    """A worker's handlers, one for each lane."""
    topics = Topics(store, settings, clock=clock)
    telling = Telling(clock=clock, chance=chance, new_id=new_id)
    claiming = Claiming(
        worker, store, commits, timetable, topics, telling, settings, clock=clock, new_id=new_id
    )
    attempting = Attempting(claiming, timetable, runner, settings, clock=clock, chance=chance, new_id=new_id)
    return [TaskHandler(claiming, attempting, settings, chance=chance) for _ in range(settings.lanes)]
