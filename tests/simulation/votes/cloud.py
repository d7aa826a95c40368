"""The cloud of votes: polls, counters and tallies beside the queue, and the invariants of counting."""

from datetime import datetime

from tests.simulation.cloud import Cloud
from tests.simulation.virtual import at_once
from turnout.gcp.votes.settings import Settings
from turnout.memory.votes import MemoryCounters, MemoryPollStore, MemoryTallies
from turnout.queue.message import Message, Outgoing
from turnout.votes.bundle import Bundle, decode
from turnout.votes.errors import BundleUnreadable
from turnout.votes.fold import Posting
from turnout.votes.ledger import bundle_prefix
from turnout.votes.poll import Poll
from turnout.votes.tally import Tally


class VoteCloud(Cloud):
    """The services' state, and what must hold of it."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.polls = MemoryPollStore()
        self.counters = MemoryCounters(clock=self.clock)
        self.tallies = MemoryTallies()
        #: Every bundle that ever reached the topic.
        self.bundles: dict[str, Bundle] = {}
        #: The (poll, choice) of every vote that ever reached the topic; the voters give each vote a choice of its own.
        self.arrived_votes: set[tuple[str, int]] = set()
        #: When a poll was last changed.
        self.changed_at: dict[str, float] = {}

    def name_of(self, message: Outgoing) -> str:
        return decode(message.data).id[:6]

    def arrived(self, message: Outgoing) -> None:
        bundle = decode(message.data)
        known = self.bundles.setdefault(bundle.id, bundle)
        if known != bundle:
            self.violate(f"bundle {bundle.id} was published with two contents")
        self.arrived_votes.update(
            (bundle.poll, choice) for choice in (*bundle.counts, *(choice for _, choice in bundle.keyed))
        )

    def is_handled(self, message: Message) -> bool:
        try:
            bundle = decode(message.data)
        except BundleUnreadable:
            return False
        return bundle_prefix(bundle.poll) + bundle.id in self.counters.ledger

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


def _only_grew(before: Tally, after: Tally) -> bool:
    return (
        after.as_of > before.as_of
        and after.duplicates >= before.duplicates
        and all(new >= old for old, new in zip(before.counts, after.counts, strict=True))
    )
