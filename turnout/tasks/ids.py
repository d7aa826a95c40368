"""Ids of tasks: one integer below 2^53, which JavaScript reads exactly, sortable by time.

Milliseconds since 2020 in 40 bits (until 2054) and 12 bits of chance. Nothing here makes an id unique: the commit that
*creates* the task does, for it fails if the id exists, and then another one is drawn.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from turnout.base.chance import Chance

EPOCH = datetime(2020, 1, 1, tzinfo=UTC)
MILLISECOND_BITS = 40
RANDOM_BITS = 12
TASK_ID_MAX = (1 << (MILLISECOND_BITS + RANDOM_BITS)) - 1
#: Ids that one draw gives at most.
DRAW_MAX = 1 << RANDOM_BITS
#: Ranges of the store's indexes that tasks are spread over. A constant: a stored task's shard must never change.
SHARDS = 32

#: The fraction of the golden ratio, in 64 bits: multiplied with it, neighbours lie far apart.
_GOLDEN = 0x9E3779B97F4A7C15
_WORD = 2**64 - 1


def draw_task_ids(count: int, now: datetime, chance: Chance) -> Sequence[int]:
    """Ids for tasks that are added together at `now`, in order.

    They follow each other from a start by chance: two hundred ids drawn one by one from one millisecond would collide
    with each other nearly always, and with another instance's two hundred certainly.
    """
    if not 0 < count <= DRAW_MAX:
        raise ValueError(f"one draw gives 1 to {DRAW_MAX:,} ids, not {count:,}")
    milliseconds = (now - EPOCH) // timedelta(milliseconds=1)
    if not 0 <= milliseconds < 2**MILLISECOND_BITS:
        raise ValueError(f"ids are of the years 2020 to 2054, not of {now:%Y}: set the clock right")
    start = (milliseconds << RANDOM_BITS) + int(chance() * (DRAW_MAX - count + 1))
    return range(start, start + count)


def drawn_at(task_id: int) -> datetime:
    """The millisecond in which an id was drawn."""
    return EPOCH + timedelta(milliseconds=task_id >> RANDOM_BITS)


def first_id_at(moment: datetime) -> int:
    """The smallest id that can be drawn at a moment; bounds a range of ids by time."""
    milliseconds = (moment - EPOCH) // timedelta(milliseconds=1)
    return min(max(milliseconds, 0) << RANDOM_BITS, TASK_ID_MAX)


def spread(task_id: int) -> int:
    """Sixteen bits that an id determines, and that tell nothing of its time: stored names begin with them."""
    return ((task_id * _GOLDEN) & _WORD) >> 48


def shard_of(task_id: int) -> int:
    """The range of the store's indexes that a task lies in: 0 to `SHARDS` − 1."""
    return spread(task_id) % SHARDS
