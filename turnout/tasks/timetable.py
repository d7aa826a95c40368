"""The timetable: sees to it that stored tasks are woken, now by a message, later by an alarm.

What it cannot see to, because a service fails or the process dies, the sweep finds in the store: nothing here can lose
a task, only delay it.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence

import structlog

from turnout.base.chance import Chance
from turnout.base.clock import Clock
from turnout.base.errors import ServiceUnavailable
from turnout.queue.errors import QueueUnavailable
from turnout.queue.message import Outgoing
from turnout.queue.ports import Topic
from turnout.queue.publishing import Publishing
from turnout.tasks.alarms import Alarm, alarm_of
from turnout.tasks.messages import requests_of
from turnout.tasks.ports import Alarms
from turnout.tasks.settings import TaskSettings
from turnout.tasks.task import Stored

log = structlog.get_logger()


class Timetable:
    """Publishes what is due, and sets an alarm for each shard and second in which something will be."""

    def __init__(
        self, topic: Topic, alarms: Alarms, settings: TaskSettings, *, clock: Clock, chance: Chance
    ) -> None:
        self._publishing = Publishing(topic, settings, clock=clock, chance=chance)
        self._alarms = alarms
        self._settings = settings
        self._clock = clock
        self._chance = chance
        self._alarms_in_flight = asyncio.Semaphore(settings.alarms_in_flight_max)
        self._set: OrderedDict[Alarm, None] = OrderedDict()

    async def arrange(self, tasks: Sequence[Stored]) -> None:
        """Sees to it that tasks are woken: call it when they are stored, never before.

        An alarm that rings while a task is on its way to the store does not find it, and would be relied on in vain.
        """
        now = self._clock.now()
        near: list[Stored] = []
        alarms: dict[Alarm, None] = {}
        for stored in tasks:
            alarm = alarm_of(stored.task, now, ahead_seconds=self._settings.publish_ahead_seconds)
            if alarm is not None:
                alarms[alarm] = None
            elif not stored.task.state.is_final:
                near.append(stored)
        await asyncio.gather(self._publish_or_leave(near), *map(self._set_or_leave, alarms))

    async def publish(self, tasks: Sequence[Stored]) -> None:
        """Publishes tasks; `QueueUnavailable`: the queue does not confirm."""
        for request in requests_of(tasks, self._settings.due_tasks_max):
            await self._publish(request)

    async def set(self, alarm: Alarm) -> None:
        """Sets an alarm, unless it was set from here before; `ServiceUnavailable`: it is not known to be set."""
        if alarm in self._set:
            return
        async with self._alarms_in_flight:
            await self._settings.write_retry.run(
                lambda: self._alarms.set(alarm), clock=self._clock, chance=self._chance
            )
        self._set[alarm] = None
        if len(self._set) > self._settings.alarms_remembered_max:
            self._set.popitem(last=False)

    async def _publish(self, request: list[Outgoing]) -> None:
        self._publishing.expect_open()
        await self._publishing.publish(request)

    async def _publish_or_leave(self, tasks: Sequence[Stored]) -> None:
        try:
            await self.publish(tasks)
        except QueueUnavailable as error:
            log.warning("tasks were not published; the sweep will", tasks=len(tasks), error=str(error))

    async def _set_or_leave(self, alarm: Alarm) -> None:
        try:
            await self.set(alarm)
        except ServiceUnavailable as error:
            log.warning(
                "an alarm was not set; the sweep will wake its tasks", alarm=alarm.name, error=str(error)
            )
