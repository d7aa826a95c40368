"""Topics: whether one is paused, and how full it is, as of a few seconds ago."""

from turnout.base.clock import Clock
from turnout.base.single_flight import SingleFlight
from turnout.tasks.ports import TaskStore
from turnout.tasks.settings import TaskSettings

#: Topics that a process remembers.
TOPICS_REMEMBERED_MAX = 10_000


class Topics:
    """What is known of topics. A pause is known everywhere within `TURNOUT_TOPIC_CACHE_SECONDS`."""

    def __init__(self, store: TaskStore, settings: TaskSettings, *, clock: Clock) -> None:
        self._age_seconds_max = settings.topic_cache_seconds
        self._paused = SingleFlight(store.is_paused, keys_max=TOPICS_REMEMBERED_MAX, clock=clock)
        self._entries = SingleFlight(store.entries, keys_max=TOPICS_REMEMBERED_MAX, clock=clock)

    async def is_paused(self, topic: str) -> bool:
        """Whether its tasks wait until somebody resumes it; `ServiceUnavailable` if that cannot be known."""
        return await self._paused.get(topic, age_seconds_max=self._age_seconds_max)

    async def depth(self, topic: str) -> int:
        """How many of its tasks have not ended."""
        return (await self._entries.get(topic, age_seconds_max=self._age_seconds_max)).depth
