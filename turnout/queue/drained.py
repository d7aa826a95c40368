"""Whether the queue is drained: what its consumers' records prove.

A message that is leased is invisible to all others until its lease ends. So the queue is drained at a moment at which
somebody saw it empty, if nobody can have held a lease for an acknowledgement deadline before that moment.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from turnout.queue.heartbeat import HEARTBEATS_MISSED_MAX
from turnout.queue.ports import ConsumerRecord
from turnout.queue.settings import QueueSettings

#: How far the clocks of instances, consumers and the database may be apart.
CLOCKS_APART_SECONDS = 2.0
#: Before every lease.
LONG_AGO = datetime.min.replace(tzinfo=UTC)


def settled_at(last_accepted_at: datetime, settings: QueueSettings) -> datetime:
    """From when no publish of what was accepted until then can be under way any more.

    An item may wait for a place until another publish has ended, and then for its own.
    """
    return last_accepted_at + timedelta(seconds=2 * settings.publish_deadline_seconds + CLOCKS_APART_SECONDS)


def relevant_since(last_accepted_at: datetime, now: datetime, settings: QueueSettings) -> datetime:
    """Consumers last seen before this moment can hold no lease any more of what was accepted until `last_accepted_at`."""
    leases = timedelta(seconds=settings.lease_seconds_max + settings.hidden_seconds_max)
    return max(last_accepted_at, now - timedelta(hours=1)) - leases - _leases_after_record(settings)


def why_not_drained(
    last_accepted_at: datetime, records: Iterable[ConsumerRecord], settings: QueueSettings
) -> str:
    """Why the queue may still hold what was accepted until a moment; empty: it holds none of it."""
    records = list(records)
    seen_empty = sorted(record.empty_at for record in records if record.empty_at is not None)
    if not seen_empty:
        return "nobody has seen the queue empty since"
    if any(_was_drained(last_accepted_at, records, empty_at, settings) for empty_at in seen_empty):
        return ""
    return "leases may still be under way"


def _was_drained(
    last_accepted_at: datetime,
    records: Iterable[ConsumerRecord],
    empty_at: datetime,
    settings: QueueSettings,
) -> bool:
    leased_until = [settled_at(last_accepted_at, settings)]
    leased_until += [_may_have_leased_until(record, empty_at, settings) for record in records]
    return empty_at >= max(leased_until) + timedelta(seconds=settings.hidden_seconds_max)


def _may_have_leased_until(record: ConsumerRecord, empty_at: datetime, settings: QueueSettings) -> datetime:
    # A lease that was under way at that moment has been answered a heartbeat later, and the record tells of it.
    told_at = empty_at + timedelta(seconds=settings.heartbeat_seconds + CLOCKS_APART_SECONDS)
    if record.ended_at is not None or record.seen_at >= told_at:
        return record.leased_at or LONG_AGO
    # It runs, or was killed: it leases for as long as its heartbeats may fail.
    return record.seen_at + _leases_after_record(settings)


def _leases_after_record(settings: QueueSettings) -> timedelta:
    """For how long after its record a consumer may still lease."""
    return timedelta(seconds=(HEARTBEATS_MISSED_MAX + 1) * settings.heartbeat_seconds)
