"""The cloud of a run: the ports in memory, and the invariants that are checked whenever something takes effect there."""

import asyncio
from collections.abc import Sequence
from datetime import datetime

from tests.simulation.virtual import LoopClock, at_once
from turnout.gcp.votes.settings import Settings
from turnout.memory.queue import Mailbox, MemoryConsumerLog, MemorySubscription, MemoryTopic
from turnout.memory.votes import MemoryCounters, MemoryPollStore, MemoryTallies
from turnout.queue.dead_letters import MESSAGE_ID_ATTRIBUTE, REASON_ATTRIBUTE
from turnout.queue.message import Message, Outgoing
from turnout.votes.bundle import Bundle, decode
from turnout.votes.errors import BundleUnreadable
from turnout.votes.fold import Posting
from turnout.votes.ledger import bundle_prefix
from turnout.votes.poll import Poll
from turnout.votes.tally import Tally

#: Events that a failure prints.
EVENTS_SHOWN = 60
EVENTS_MAX = 20_000


class Cloud:
    """What is true: the services' state, the trace of events, and the first invariant that was violated."""

    def __init__(self, settings: Settings) -> None:
        loop = asyncio.get_running_loop()
        self.clock = LoopClock(loop)
        self.topic = Mailbox(clock=self.clock)
        self.dead_topic = Mailbox(clock=self.clock)
        self.subscription = MemorySubscription(
            self.topic, ack_deadline_seconds=settings.ack_deadline_seconds, clock=self.clock
        )
        self.polls = MemoryPollStore()
        self.counters = MemoryCounters(clock=self.clock)
        self.consumer_log = MemoryConsumerLog()
        self.tallies = MemoryTallies()
        #: Every bundle that ever reached the topic.
        self.arrived: dict[str, Bundle] = {}
        #: The (poll, choice) of every vote that ever reached the topic; the voters give each vote a choice of its own.
        self.arrived_votes: set[tuple[str, int]] = set()
        #: Ids of messages that are no bundles, and of messages that were buried.
        self.poison: set[str] = set()
        self.buried: set[str] = set()
        #: When a poll was last changed.
        self.changed_at: dict[str, float] = {}
        self.events: list[tuple[float, str, str]] = []
        self.violation: asyncio.Future[str] = loop.create_future()
        self._loop = loop

    def note(self, who: str, what: str) -> None:
        self.events.append((self._loop.time(), who, what))
        if len(self.events) > EVENTS_MAX:
            self.violate(f"more than {EVENTS_MAX:,} events: something turns without an end")

    def violate(self, why: str) -> None:
        if not self.violation.done():
            self.events.append((self._loop.time(), "checker", why))
            self.violation.set_result(why)

    # What takes effect, and what must hold then.

    def publish(self, messages: Sequence[Outgoing]) -> None:
        for message in messages:
            bundle = decode(message.data)
            known = self.arrived.setdefault(bundle.id, bundle)
            if known != bundle:
                self.violate(f"bundle {bundle.id} was published with two contents")
            self.arrived_votes.update(
                (bundle.poll, choice) for choice in (*bundle.counts, *(choice for _, choice in bundle.keyed))
            )
        at_once(MemoryTopic(self.topic).publish(messages, timeout_seconds=1.0))

    def acknowledge(self, ack_ids: Sequence[str]) -> None:
        for ack_id in ack_ids:
            message = self.topic.leased(ack_id)
            if message is not None and not self._is_settled(message):
                self.violate(f"message {message.id} was acknowledged, but is neither counted nor buried")
        at_once(self.subscription.acknowledge(ack_ids))

    def bury(self, letter: Outgoing) -> None:
        message_id, reason = letter.attributes[MESSAGE_ID_ATTRIBUTE], letter.attributes[REASON_ATTRIBUTE]
        if message_id not in self.poison:
            self.violate(f"message {message_id} holds votes, but was dead-lettered: {reason}")
        if not reason:
            self.violate(f"message {message_id} was dead-lettered without a reason")
        self.buried.add(message_id)
        self.dead_topic.put(letter)

    def commit(self, posting: Posting) -> None:
        at_once(self.counters.commit(posting))
        for poll_id in sorted(
            {delta.poll for delta in posting.deltas} | {each.poll for each in posting.bundles}
        ):
            poll = self.poll(poll_id)
            if poll.certified_at is not None:
                self.violate(f"votes of poll {poll_id} were counted after it was certified")
            self.check_books(poll)

    def replace(self, old: Poll, new: Poll) -> None:
        at_once(self.polls.replace(old, new))
        self.changed_at[new.id] = self._loop.time()

    def put(self, tally: Tally, poll: Poll, slot: datetime) -> bool:
        before = at_once(self.tallies.get(poll.id))
        changed = at_once(self.tallies.put(tally, poll, slot))
        if changed:
            live = at_once(self.counters.tally(poll))
            if any(persisted > counted for persisted, counted in zip(tally.counts, live.counts, strict=True)):
                self.violate(f"the persisted tally of poll {poll.id} is ahead of its shards")
            if before is not None and not _only_grew(before, tally):
                self.violate(f"the persisted totals of poll {poll.id} went back")
        return changed

    def check_books(self, poll: Poll) -> None:
        books = at_once(self.counters.books(poll))
        if not books.balance:
            self.violate(f"the books of poll {poll.id} do not balance: {'; '.join(books.faults)}")
        if max(at_once(self.counters.tally(poll)).counts) > 1:
            self.violate(f"a vote in poll {poll.id} was counted twice")

    def poll(self, poll_id: str) -> Poll:
        poll = at_once(self.polls.get(poll_id))
        assert poll is not None
        return poll

    def _is_settled(self, message: Message) -> bool:
        if message.id in self.buried:
            return True
        try:
            bundle = decode(message.data)
        except BundleUnreadable:
            return False
        return bundle_prefix(bundle.poll) + bundle.id in self.counters.ledger


def _only_grew(before: Tally, after: Tally) -> bool:
    return (
        after.as_of > before.as_of
        and after.duplicates >= before.duplicates
        and all(new >= old for old, new in zip(before.counts, after.counts, strict=True))
    )
