"""The ports in memory: for tests and the simulation. The contract suite holds them and Google's services alike."""

from turnout.memory.counters import MemoryCounters
from turnout.memory.polls import MemoryDrainLog, MemoryPolls
from turnout.memory.queue import MemoryDeadLetters, MemoryPublisher, MemoryQueue, Topic
from turnout.memory.tallies import MemoryTallies

__all__ = [
    "MemoryCounters",
    "MemoryDeadLetters",
    "MemoryDrainLog",
    "MemoryPolls",
    "MemoryPublisher",
    "MemoryQueue",
    "MemoryTallies",
    "Topic",
]
