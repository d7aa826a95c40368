"""Whether the queue is drained: what the drains' records prove.

A message that is leased is invisible to all others until its lease ends. So the queue is drained at a moment at which
somebody saw it empty, if nobody can have held a lease for an acknowledgement deadline before that moment.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from turnout.drain import HEARTBEATS_MISSED_MAX
from turnout.poll import Poll
from turnout.ports import DrainRecord
from turnout.settings import Settings

#: How far the clocks of instances, drains and the database may be apart.
CLOCKS_APART_SECONDS = 2.0


def settled_at(poll: Poll, settings: Settings) -> datetime:
    """From when no publish of a vote of this poll can be under way any more."""
    return poll.closes_at + timedelta(seconds=settings.publish_deadline_seconds + CLOCKS_APART_SECONDS)


def relevant_since(poll: Poll, now: datetime, settings: Settings) -> datetime:
    """Drains that were last seen before this moment can hold no lease any more that matters to a closed poll."""
    leases = timedelta(seconds=settings.lease_seconds_max + settings.ack_deadline_seconds)
    heartbeats = timedelta(seconds=(HEARTBEATS_MISSED_MAX + 1) * settings.heartbeat_seconds)
    return max(poll.closes_at, now - timedelta(hours=1)) - leases - heartbeats


def why_not_drained(poll: Poll, records: Iterable[DrainRecord], settings: Settings) -> str:
    """Why the queue may still hold votes of a closed poll; empty: it holds none."""
    records = list(records)
    seen_empty = [record.empty_at for record in records if record.empty_at is not None]
    if not seen_empty:
        return "no drain has seen the queue empty since the poll closed"
    empty_at = max(seen_empty)
    leased_until = settled_at(poll, settings)
    for record in records:
        leased_until = max(leased_until, _may_have_leased_until(record, empty_at, settings))
    if empty_at < leased_until + timedelta(seconds=settings.ack_deadline_seconds):
        return "leases may still be under way"
    return ""


def _may_have_leased_until(record: DrainRecord, empty_at: datetime, settings: Settings) -> datetime:
    if record.ended_at is not None or record.seen_at >= empty_at:
        return record.leased_at or record.started_at
    # It runs, or was killed: it leases for as long as its heartbeats may fail.
    return record.seen_at + timedelta(seconds=(HEARTBEATS_MISSED_MAX + 1) * settings.heartbeat_seconds)
