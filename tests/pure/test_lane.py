"""A lane: what is counted and acknowledged of a lease that cannot be read to its end."""

import asyncio
from typing import Any, cast

import pytest

from tests.factories import NOON, hex_id, make_poll, make_settings
from turnout.base.errors import ServiceUnavailable
from turnout.votes.bundle import Bundle, encode
from turnout.votes.fold import Posting
from turnout.votes.handler import Lane, Progress
from turnout.votes.poll import Poll
from turnout.votes.ports import Message


class Service:
    """The polls' store, the counters and the lease, in one place: the store may be away for one poll."""

    def __init__(self) -> None:
        self.away: set[str] = {"semis"}
        self.counted: list[str] = []
        self.acknowledged: list[str] = []

    async def get(self, poll_id: str) -> Poll:
        if poll_id in self.away:
            raise ServiceUnavailable("Firestore", "planted")
        return make_poll(id=poll_id)

    async def commit(self, posting: Posting) -> None:
        self.counted += [entry.name for entry in posting.bundles]

    async def acknowledge(self, receipts: list[str]) -> None:
        # Never before its count.
        assert len(self.counted) == len(self.acknowledged) + len(receipts)
        self.acknowledged += receipts


def message(number: int, poll: str) -> Message:
    data = encode(Bundle(hex_id(number), poll, 0, {0: 1}))
    return Message(receipt=str(number), id=str(number), data=data)


async def test_what_was_counted_before_a_poll_cannot_be_read_is_acknowledged_and_nothing_else() -> None:
    service = Service()
    lane = Lane(
        0,
        counters=cast("Any", service),
        polls=cast("Any", service),
        dead_letters=cast("Any", service),
        holdings=cast("Any", service),
        progress=(progress := Progress()),
        settings=make_settings(commit_entries_max=1),
        clock=lambda: NOON,
        chance=lambda: 0.5,
    )
    lease = [message(1, "finals"), message(2, "finals"), message(3, "semis"), message(4, "finals")]
    with pytest.raises(ServiceUnavailable):
        await lane.count_lease(lease)
    assert service.acknowledged == ["1"]
    assert service.counted == [f"finals:b:{hex_id(1)}"]
    assert progress.votes == 1

    # The rest comes back when the store does.
    service.away.clear()
    await lane.count_lease(lease[1:])
    assert sorted(service.acknowledged) == ["1", "2", "3", "4"]
    assert len(set(service.counted)) == len(service.counted) == 4
    assert not [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
