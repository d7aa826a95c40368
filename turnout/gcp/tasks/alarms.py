"""Cloud Tasks behind the port of the alarms: one named task for each alarm, which calls the function `due`."""

import msgspec

from turnout.gcp.cloud_tasks import CloudTasksQueue
from turnout.tasks.alarms import Alarm

_encode = msgspec.json.Encoder().encode


class CloudTasksAlarms:
    """The alarms. A chain of hops keeps each below the thirty days that Cloud Tasks takes."""

    def __init__(self, queue: CloudTasksQueue) -> None:
        self._queue = queue

    async def set(self, alarm: Alarm) -> None:
        """Sets an alarm, unless it was set before."""
        await self._queue.call_at(alarm.rings_at, alarm.name, _encode(alarm))
