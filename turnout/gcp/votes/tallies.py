"""Datastore behind the port of the persisted tallies."""

from datetime import UTC, datetime
from typing import Any

from turnout.base.chance import Chance
from turnout.base.clock import Clock
from turnout.base.errors import OutcomeUnknown
from turnout.base.retry import RetryPolicy
from turnout.gcp.datastore import DatastoreDatabase, Direction, Operator
from turnout.votes.poll import Poll
from turnout.votes.tally import Tally

#: When another transaction is in the way; if one whose answer was lost went through, the next finds it and changes nothing.
TRANSACTION_RETRY = RetryPolicy(first_seconds=0.05, max_seconds=1.0, attempts_max=5)


class DatastoreTallies:
    """`Tally`, one entity a poll, and `TallyHistory`, one a poll and slot."""

    def __init__(self, database: DatastoreDatabase, *, clock: Clock, chance: Chance) -> None:
        self._database = database
        self._clock = clock
        self._chance = chance

    async def get(self, poll_id: str) -> Tally | None:
        """The persisted tally, or None."""
        entity = await self._database.lookup(self._database.key("Tally", poll_id))
        return None if entity is None else _tally(poll_id, entity)

    async def put(self, tally: Tally, poll: Poll, slot: datetime) -> bool:
        """Persists a tally and its place in the history, in one transaction, if both are later than what is there."""
        return await TRANSACTION_RETRY.run(
            lambda: self._put_once(tally, poll, slot),
            retry_on=OutcomeUnknown,
            clock=self._clock,
            chance=self._chance,
        )

    async def history(self, poll_id: str, limit: int) -> list[tuple[datetime, Tally]]:
        """The newest slots with their tallies, in the order of time."""
        request = self._database.new_query("TallyHistory")
        condition = request.query.filter.property_filter
        condition.property.name = "poll"
        condition.op = Operator.EQUAL
        condition.value.string_value = poll_id
        request.query.order.add(direction=Direction.DESCENDING).property.name = "slot"
        request.query.limit.value = limit
        newest_first = await self._database.query(request)
        return [
            (entity.properties["slot"].timestamp_value.ToDatetime(tzinfo=UTC), _tally(poll_id, entity))
            for entity in reversed(newest_first)
        ]

    async def _put_once(self, tally: Tally, poll: Poll, slot: datetime) -> bool:
        database = self._database
        transaction = await database.begin()
        try:
            current = await database.lookup(database.key("Tally", tally.poll), transaction)
            if current is not None:
                current_slot = current.properties["slot"].timestamp_value.ToDatetime(tzinfo=UTC)
                if slot <= current_slot or not tally.supersedes(_tally(tally.poll, current)):
                    await database.rollback_quietly(transaction)
                    return False
            await database.commit(self._write(tally, poll, slot, transaction))
        except BaseException:
            # A transaction that is left open holds its lock until the service gives it up.
            await database.rollback_quietly(transaction)
            raise
        return True

    def _write(self, tally: Tally, poll: Poll, slot: datetime, transaction: bytes) -> Any:
        """The commit that replaces the tally and adds to the history."""
        commit = self._database.new_commit(transaction)
        latest = commit.mutations.add().upsert
        latest.key.CopyFrom(self._database.key("Tally", tally.poll))
        _fill(latest, tally, slot)
        for choice in poll.choices:
            _unindexed(latest.properties["choices"].array_value.values.add()).string_value = choice
        past = commit.mutations.add().upsert
        past.key.CopyFrom(self._database.key("TallyHistory", f"{tally.poll}@{slot.isoformat()}"))
        _fill(past, tally, slot)
        return commit


def _fill(entity: Any, tally: Tally, slot: datetime) -> None:
    properties = entity.properties
    properties["poll"].string_value = tally.poll
    properties["votes"].integer_value = tally.votes
    properties["duplicates"].integer_value = tally.duplicates
    properties["as_of"].timestamp_value.FromDatetime(tally.as_of)
    properties["slot"].timestamp_value.FromDatetime(slot)
    if tally.certified_at is None:
        properties["certified_at"].null_value = 0
    else:
        properties["certified_at"].timestamp_value.FromDatetime(tally.certified_at)
    properties["counts"].array_value.SetInParent()
    for count in tally.counts:
        _unindexed(properties["counts"].array_value.values.add()).integer_value = count


def _unindexed(value: Any) -> Any:
    """Excludes a value from the indexes: nobody looks for it, and an entity has at most 20,000 index entries."""
    value.exclude_from_indexes = True
    return value


def _tally(poll_id: str, entity: Any) -> Tally:
    properties = entity.properties
    certified = properties["certified_at"]
    return Tally(
        poll=poll_id,
        counts=tuple(value.integer_value for value in properties["counts"].array_value.values),
        votes=properties["votes"].integer_value,
        duplicates=properties["duplicates"].integer_value,
        as_of=properties["as_of"].timestamp_value.ToDatetime(tzinfo=UTC),
        certified_at=(
            certified.timestamp_value.ToDatetime(tzinfo=UTC)
            if certified.HasField("timestamp_value")
            else None
        ),
    )
