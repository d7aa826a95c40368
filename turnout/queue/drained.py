"""Whether the queue is drained: what the drains' records prove.

A message that is leased is invisible to all others until its lease ends. So the queue is drained at a moment at which
somebody saw it empty, if nobody can have held a lease for an acknowledgement deadline before that moment.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from turnout.queue.consumer import HEARTBEATS_MISSED_MAX
from turnout.votes.poll import Poll
from turnout.votes.ports import DrainRecord
from turnout.votes.settings import Settings

#: How far the clocks of instances, drains and the database may be apart.
CLOCKS_APART_SECONDS = 2.0
#: Before every lease.
LONG_AGO = datetime.min.replace(tzinfo=UTC)


def settled_at(poll: Poll, settings: Settings) -> datetime:
    """From when no publish of a vote of this poll can be under way any more.

    A vote may wait for a place until another publish has ended, and then for its own.
    """
    return poll.closes_at + timedelta(seconds=2 * settings.publish_deadline_seconds + CLOCKS_APART_SECONDS)


def relevant_since(poll: Poll, now: datetime, settings: Settings) -> datetime:
    """Drains that were last seen before this moment can hold no lease any more that matters to a closed poll."""
    leases = timedelta(seconds=settings.lease_seconds_max + settings.hidden_seconds_max)
    heartbeats = timedelta(seconds=(HEARTBEATS_MISSED_MAX + 1) * settings.heartbeat_seconds)
    return max(poll.closes_at, now - timedelta(hours=1)) - leases - heartbeats


def why_not_drained(poll: Poll, records: Iterable[DrainRecord], settings: Settings) -> str:
    """Why the queue may still hold votes of a closed poll; empty: it holds none."""
    records = list(records)
    seen_empty = sorted(record.empty_at for record in records if record.empty_at is not None)
    if not seen_empty:
        return "no drain has seen the queue empty since the poll closed"
    if any(_was_drained(poll, records, empty_at, settings) for empty_at in seen_empty):
        return ""
    return "leases may still be under way"


def _was_drained(poll: Poll, records: Iterable[DrainRecord], empty_at: datetime, settings: Settings) -> bool:
    leased_until = [settled_at(poll, settings)]
    leased_until += [_may_have_leased_until(record, empty_at, settings) for record in records]
    return empty_at >= max(leased_until) + timedelta(seconds=settings.hidden_seconds_max)


def _may_have_leased_until(record: DrainRecord, empty_at: datetime, settings: Settings) -> datetime:
    # A lease that was under way at that moment has been answered a heartbeat later, and the record tells of it.
    told_at = empty_at + timedelta(seconds=settings.heartbeat_seconds + CLOCKS_APART_SECONDS)
    if record.ended_at is not None or record.seen_at >= told_at:
        return record.leased_at or LONG_AGO
    # It runs, or was killed: it leases for as long as its heartbeats may fail.
    return record.seen_at + timedelta(seconds=(HEARTBEATS_MISSED_MAX + 1) * settings.heartbeat_seconds)
