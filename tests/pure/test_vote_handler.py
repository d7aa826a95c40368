"""The votes' handler: what it commits, again and again if it must, and what it acknowledges and buries."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest

from tests.factories import FixedClock, hex_id, key_of, make_message, make_poll, make_settings
from turnout.base.errors import OutcomeUnknown, ServiceUnavailable
from turnout.memory.votes import MemoryCounters
from turnout.queue.message import Message
from turnout.votes.bundle import Bundle
from turnout.votes.errors import AlreadyCounted, PollUnknown
from turnout.votes.fold import Posting
from turnout.votes.handler import FIRST_LANES, Counted, VoteHandler, first_lane_number
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


class Counters(MemoryCounters):
    """Counters that lose answers, and may refuse what they do not show."""

    def __init__(self) -> None:
        super().__init__(clock=FixedClock())
        self.lost_answers = 0
        self.denies = False
        self.reads = 0

    async def commit(self, posting: Posting) -> None:
        if self.denies:
            raise AlreadyCounted("denied")
        await super().commit(posting)
        if self.lost_answers:
            self.lost_answers -= 1
            raise OutcomeUnknown("Firestore", "the answer was lost")

    async def existing(self, names: Sequence[str]) -> set[str]:
        self.reads += 1
        return await super().existing(names)


class Polls:
    """Every poll there may be but one."""

    async def get(self, poll_id: str) -> Poll:
        if poll_id == "nobody":
            raise PollUnknown(poll_id)
        return make_poll(id=poll_id, shards=4)


class Held:
    """A lease: what was acknowledged, and what was buried with which reason."""

    def __init__(self) -> None:
        self.acknowledged: list[str] = []
        self.buried: dict[str, str] = {}

    async def acknowledge(self, messages: Sequence[Message]) -> None:
        self.acknowledged += [each.ack_id for each in messages]

    async def bury(self, each: Message, reason: str) -> None:
        self.buried[each.ack_id] = reason


class Scene:
    """A handler on counters in memory."""

    def __init__(self, **settings: Any) -> None:
        self.counters = Counters()
        self.counted = Counted()
        self.held = Held()
        self.handler = VoteHandler(
            5,
            counters=self.counters,
            polls=cast("Any", Polls()),
            counted=self.counted,
            settings=make_settings(backoff_first_seconds=0.001, backoff_max_seconds=0.001, **settings),
            clock=FixedClock(),
            chance=lambda: 0.0,
        )

    async def handle(self, *messages: Message) -> None:
        await self.handler.handle(messages, cast("Any", self.held))


def keyed(number: int, *keys: int) -> Message:
    return make_message(
        Bundle(hex_id(number), "finals", 0, {}, tuple((key_of(key), 1) for key in keys)), f"{number}"
    )


async def test_a_lease_is_counted_in_one_commit_on_the_lanes_own_shard() -> None:
    here = Scene()
    await here.handle(message(1, "finals"), message(2, "finals"), keyed(3, 7, 8))
    assert here.counted == Counted(bundles=3, votes=4, duplicates=0, commits=1, conflicts=0)
    assert here.counters.shard("finals", 5 % 4).counts == {0: 2, 1: 2}
    assert here.held.acknowledged == ["1", "2", "3"]
    assert here.counters.reads == 0


async def test_a_bundle_that_comes_again_is_acknowledged_and_counted_no_more() -> None:
    here = Scene()
    await here.handle(message(1, "finals"))
    await here.handle(message(1, "finals"), message(2, "finals"))
    assert here.counted == Counted(bundles=2, votes=2, duplicates=0, commits=3, conflicts=1)
    assert here.held.acknowledged == ["1", "1", "2"]


async def test_a_key_that_voted_before_is_a_duplicate() -> None:
    here = Scene()
    await here.handle(keyed(1, 7))
    await here.handle(keyed(2, 7, 8))
    assert here.counted == Counted(bundles=2, votes=2, duplicates=1, commits=3, conflicts=1)


async def test_an_answer_that_was_lost_is_asked_for_by_the_same_commit_which_the_ledger_stops() -> None:
    here = Scene()
    here.counters.lost_answers = 1
    await here.handle(message(1, "finals"))
    assert here.counters.shard("finals", 1).votes == 1
    # Both attempts were this lane's own; what the ledger holds of it was counted by the first.
    assert (here.counted.commits, here.counted.conflicts) == (2, 1)
    assert here.held.acknowledged == ["1"]


async def test_after_a_conflict_it_reads_first_until_nothing_is_found() -> None:
    here = Scene()
    await here.handle(message(1, "finals"))
    await here.handle(message(1, "finals"))
    assert here.counters.reads == 1
    for number in (1, 2, 3):
        await here.handle(message(number, "finals"))
    # Read before the repeat, before the second, which was new, and not before the third.
    assert here.counters.reads == 3
    assert here.counted.conflicts == 1


async def test_a_ledger_that_refuses_what_it_does_not_show_is_not_asked_for_ever() -> None:
    here = Scene(commit_attempts_max=3)
    here.counters.denies = True
    with pytest.raises(ServiceUnavailable, match="it refuses entries that it does not show"):
        await here.handle(message(1, "finals"))
    assert (here.counted.commits, here.counted.conflicts) == (3, 3)
    assert here.held.acknowledged == []


async def test_what_cannot_be_counted_is_buried_with_the_reason_and_the_rest_is_counted() -> None:
    here = Scene()
    wrong = make_message(Bundle(hex_id(4), "finals", 0, {3: 1}), "no choice")
    keyed_wrong = make_message(Bundle(hex_id(5), "finals", 0, {}, ((key_of(1), 3),)), "no keyed choice")
    last = make_message(Bundle(hex_id(6), "finals", 0, {2: 1}), "last choice")
    garbage = Message(ack_id="garbage", id="garbage", data=b"garbage")
    await here.handle(wrong, keyed_wrong, last, garbage, message(7, "nobody"), message(1, "finals"))
    assert here.held.acknowledged == ["last choice", "1"]
    assert sorted(here.held.buried) == ["7", "garbage", "no choice", "no keyed choice"]
    assert "There is no poll 'nobody'" in here.held.buried["7"]
    assert all(here.held.buried.values())


async def test_a_lease_is_cut_into_commits_of_bounded_size() -> None:
    here = Scene(commit_entries_max=2)
    await here.handle(*[message(number, "finals") for number in range(5)])
    assert here.counted == Counted(bundles=5, votes=5, duplicates=0, commits=3, conflicts=0)


def test_lanes_of_an_execution_lie_side_by_side_and_executions_anywhere() -> None:
    first = first_lane_number("drain-x7k2", 0, 8)
    assert 0 <= first < FIRST_LANES
    assert [first_lane_number("drain-x7k2", index, 8) - first for index in range(3)] == [0, 8, 16]
    assert len({first_lane_number(f"drain-{number}", 0, 8) for number in range(100)}) > 90
