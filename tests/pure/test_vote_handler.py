"""The votes' handler: what is counted and acknowledged of a lease that cannot be read to its end."""

import asyncio
from typing import Any, cast

import pytest

from tests.factories import FixedClock, hex_id, make_message, make_poll, make_settings
from turnout.base.errors import ServiceUnavailable
from turnout.queue.message import Message
from turnout.votes.bundle import Bundle
from turnout.votes.fold import Posting
from turnout.votes.handler import Counted, VoteHandler
from turnout.votes.poll import Poll


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

    async def acknowledge(self, messages: list[Message]) -> None:
        # Never before its count.
        assert len(self.counted) == len(self.acknowledged) + len(messages)
        self.acknowledged += [message.ack_id for message in messages]


def message(number: int, poll: str) -> Message:
    return make_message(Bundle(hex_id(number), poll, 0, {0: 1}), str(number))


async def test_what_was_counted_before_a_poll_cannot_be_read_is_acknowledged_and_nothing_else() -> None:
    service = Service()
    handler = VoteHandler(
        0,
        counters=cast("Any", service),
        polls=cast("Any", service),
        counted=(counted := Counted()),
        settings=make_settings(commit_entries_max=1),
        clock=FixedClock(),
        chance=lambda: 0.5,
    )
    leases = cast("Any", service)
    lease = [message(1, "finals"), message(2, "finals"), message(3, "semis"), message(4, "finals")]
    with pytest.raises(ServiceUnavailable):
        await handler.handle(lease, leases)
    assert service.acknowledged == ["1"]
    assert service.counted == [f"finals:b:{hex_id(1)}"]
    assert counted.votes == 1

    # The rest comes back when the store does.
    service.away.clear()
    await handler.handle(lease[1:], leases)
    assert sorted(service.acknowledged) == ["1", "2", "3", "4"]
    assert len(set(service.counted)) == len(service.counted) == 4
    assert not [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
