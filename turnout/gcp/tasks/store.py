"""Firestore behind the port of the tasks' store: tasks, keys and books in one database, so that a commit spans them.

What grows with time never leads a key: documents' names begin with sixteen bits of a hash, and the two indexed fields
that grow (`due`, `listed`) with the task's shard. Else a collection would not take more than 500 writes a second. All
other fields must be exempt from indexes.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from itertools import chain
from typing import Any

import grpc
import grpc.aio
import msgspec

from turnout.base.errors import ServiceUnavailable
from turnout.gcp.channels import fault
from turnout.gcp.firestore import (
    CALL_SECONDS,
    LOOKUP_NAMES_MAX,
    SERVICE,
    CommitRequest,
    Direction,
    FirestoreDatabase,
    Operator,
    StructuredQuery,
    from_collection,
    optional_moment_of,
    where,
)
from turnout.tasks.alarms import second_of
from turnout.tasks.books import Books, Entries, entries_by_topic
from turnout.tasks.errors import TasksChanged
from turnout.tasks.ids import SHARDS, TASK_ID_MAX, shard_of, spread
from turnout.tasks.ports import Named, expect_each_once
from turnout.tasks.task import FINAL, Change, Progress, State, Stored, Task
from turnout.tasks.work import Work

TASKS = "tasks"
KEYS = "task_keys"
TOPICS = "task_topics"
#: After these nothing was written, for something is not what it was.
CHANGED = frozenset(
    {grpc.StatusCode.ALREADY_EXISTS, grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.NOT_FOUND}
)
#: Tasks that a shard is asked for beyond twice its even share of a page.
SHARE_MARGIN = 4
UNENDED = [state for state in State if state not in FINAL]

_encode = msgspec.json.Encoder().encode
_decode_work = msgspec.json.Decoder(Work).decode
_decode_progress = msgspec.json.Decoder(Progress).decode


class FirestoreTaskStore:
    """The tasks, the keys that are taken, and the books."""

    def __init__(self, database: FirestoreDatabase, *, commit_seconds: float = CALL_SECONDS) -> None:
        self._database = database
        self._commit_seconds = commit_seconds

    async def commit(self, changes: Sequence[Change], *, book_shard: int) -> Sequence[int]:
        """Writes changes, all or nothing."""
        born = [Change(None, change.born) for change in changes if change.born is not None]
        expect_each_once((*changes, *born))
        request = CommitRequest(database=self._database.name)
        for change in (*changes, *born):
            self._add_task(request, change)
        for change in changes:
            if change.after.work.key is not None:
                self._add_key(request, change)
        for topic, entries in entries_by_topic(changes).items():
            self._add_increments(request, topic, book_shard, entries)
        try:
            response = await self._database.commit(request, timeout_seconds=self._commit_seconds)
        except grpc.aio.AioRpcError as error:
            if error.code() in CHANGED:
                raise TasksChanged(f"Nothing was written: {error.details()}") from error
            raise fault(SERVICE, error) from error
        # The tasks come first among the writes, so that their results do.
        written = response.write_results[: len(changes) + len(born)]
        return [_version(result) for result in written]

    async def get(self, task_ids: Sequence[int]) -> dict[int, Stored]:
        """The tasks that exist among these ids."""
        found: dict[int, Stored] = {}
        for start in range(0, len(task_ids), LOOKUP_NAMES_MAX):
            names = [self._task_name(task_id) for task_id in task_ids[start : start + LOOKUP_NAMES_MAX]]
            async for document in self._database.lookup(names):
                stored = _stored(document)
                found[stored.task.id] = stored
        return found

    async def named(self, topic: str, keys: Sequence[str]) -> list[Named]:
        """The keys that are taken in a topic, among these."""
        found = []
        names = list(dict.fromkeys(self._key_name(topic, key) for key in keys))
        for start in range(0, len(names), LOOKUP_NAMES_MAX):
            async for document in self._database.lookup(names[start : start + LOOKUP_NAMES_MAX]):
                fields = document.fields
                found.append(Named(topic, fields["key"].string_value, fields["task"].integer_value))
        return found

    async def due(
        self, shard: int, *, since: int, until: int, limit: int | None = None
    ) -> AsyncIterator[Stored]:
        """A shard's tasks that somebody must look at in these seconds."""
        query = _query()
        where(query, "due", Operator.GREATER_THAN_OR_EQUAL).string_value = _due(shard, since)
        where(query, "due", Operator.LESS_THAN).string_value = _due(shard, until)
        _order(query, "due", Direction.ASCENDING)
        if limit is not None:
            query.limit.value = limit
        async for stored in self._query(query):
            yield stored

    async def page(
        self,
        topic: str,
        *,
        limit: int,
        state: State | None = None,
        before_id: int | None = None,
        from_id: int = 0,
    ) -> list[Stored]:
        """A topic's tasks, newest first: each shard's newest, merged.

        A shard is asked for its share and some more, and again only while what it has left could be of this page.
        """
        chunk = min(limit, limit // SHARDS * 2 + SHARE_MARGIN)
        untils = dict.fromkeys(range(SHARDS), TASK_ID_MAX + 1 if before_id is None else before_id)
        found: list[Stored] = []
        while untils:
            try:
                async with asyncio.TaskGroup() as group:
                    reads = {
                        shard: group.create_task(self._list_shard(topic, state, shard, from_id, until, chunk))
                        for shard, until in untils.items()
                    }
            except* ServiceUnavailable as faults:
                raise faults.exceptions[0] from None
            read = {shard: each.result() for shard, each in reads.items()}
            found = sorted((*found, *chain(*read.values())), key=lambda each: -each.task.id)[:limit]
            last = found[-1].task.id if len(found) == limit else 0
            # Who gave all that was asked for may have more.
            untils = {
                shard: tasks[-1].task.id
                for shard, tasks in read.items()
                if len(tasks) == chunk and tasks[-1].task.id > last
            }
        return found

    async def books(self, topic: str) -> Books:
        """Both sides of a topic's books, read at one moment."""
        total, read_time = await self._entries(topic)
        unended = _query()
        where(unended, "topic", Operator.EQUAL).string_value = topic
        states = where(unended, "state", Operator.IN).array_value
        for state in UNENDED:
            states.values.add(string_value=state)
        counts = await self._database.aggregate(unended, (), read_time)
        return Books(total, counts.get("count", 0))

    async def count(self, topic: str, state: State) -> int:
        """How many tasks of a topic are in a state."""
        query = _query()
        where(query, "topic", Operator.EQUAL).string_value = topic
        where(query, "state", Operator.EQUAL).string_value = state
        return (await self._database.aggregate(query, (), None)).get("count", 0)

    async def entries(self, topic: str) -> Entries:
        """What a topic's books hold."""
        return (await self._entries(topic))[0]

    async def is_paused(self, topic: str) -> bool:
        """Whether a topic's tasks wait until somebody resumes it."""
        found = [each async for each in self._database.lookup([self._topic_name(topic)])]
        return any(optional_moment_of(document.fields, "paused_at") is not None for document in found)

    async def set_paused(self, topic: str, paused_at: datetime | None) -> None:
        """Pauses a topic, since a moment; or resumes it."""
        request = CommitRequest(database=self._database.name)
        write = request.writes.add()
        write.update.name = self._topic_name(topic)
        write.update_mask.field_paths.append("paused_at")
        if paused_at is not None:
            write.update.fields["paused_at"].timestamp_value.FromDatetime(paused_at)
        try:
            await self._database.commit(request, timeout_seconds=self._commit_seconds)
        except grpc.aio.AioRpcError as error:
            raise fault(SERVICE, error) from error

    async def _entries(self, topic: str) -> tuple[Entries, Any]:
        """What a topic's books hold, and the moment of the read."""
        query = StructuredQuery()
        from_collection(query, "shards")
        total, read_time = Entries(), None
        async for response in self._database.query(self._topic_name(topic), query):
            read_time = response.read_time
            if response.HasField("document"):
                fields = response.document.fields
                total = total.plus(
                    Entries(**{name: fields[name].integer_value for name in Entries.__struct_fields__})
                )
        if read_time is None:
            raise ServiceUnavailable(SERVICE, "a query was answered without the moment of its read")
        return total, read_time

    async def _list_shard(
        self, topic: str, state: State | None, shard: int, from_id: int, until: int, limit: int
    ) -> list[Stored]:
        query = _query()
        where(query, "topic", Operator.EQUAL).string_value = topic
        if state is not None:
            where(query, "state", Operator.EQUAL).string_value = state
        where(query, "listed", Operator.GREATER_THAN_OR_EQUAL).string_value = _listed(shard, from_id)
        where(query, "listed", Operator.LESS_THAN).string_value = _listed(shard, until)
        _order(query, "listed", Direction.DESCENDING)
        query.limit.value = limit
        return [stored async for stored in self._query(query)]

    async def _query(self, query: Any) -> AsyncIterator[Stored]:
        async for response in self._database.query(self._database.documents, query):
            if response.HasField("document"):
                yield _stored(response.document)

    def _add_task(self, request: Any, change: Change) -> None:
        task, write = change.after, request.writes.add()
        write.update.name = self._task_name(task.id)
        fields = write.update.fields
        fields["state"].string_value = task.state
        fields["progress"].bytes_value = _encode(task.progress)
        if task.progress.due_at is not None:
            fields["due"].string_value = _due(shard_of(task.id), second_of(task.progress.due_at))
        if task.progress.expire_at is not None:
            fields["expire_at"].timestamp_value.FromDatetime(task.progress.expire_at)
        if change.before is None:
            write.current_document.exists = False
            fields["task"].integer_value = task.id
            fields["topic"].string_value = task.work.topic
            fields["listed"].string_value = _listed(shard_of(task.id), task.id)
            fields["work"].bytes_value = _encode(task.work)
        else:
            # What was asked for is written once. A field in the mask that has no value is removed.
            write.update_mask.field_paths.extend(("state", "progress", "due", "expire_at"))
            write.current_document.update_time.FromMicroseconds(change.before.version)

    def _add_key(self, request: Any, change: Change) -> None:
        """A key is taken with its task, and forgotten with it."""
        before = None if change.before is None else change.before.task.progress.expire_at
        expire_at = change.after.progress.expire_at
        if change.before is not None and before == expire_at:
            return
        work, write = change.after.work, request.writes.add()
        write.update.name = self._key_name(work.topic, work.key or "")
        fields = write.update.fields
        fields["key"].string_value = work.key or ""
        fields["topic"].string_value = work.topic
        fields["task"].integer_value = change.after.id
        if expire_at is not None:
            fields["expire_at"].timestamp_value.FromDatetime(expire_at)
        if change.before is None:
            write.current_document.exists = False

    def _add_increments(self, request: Any, topic: str, book_shard: int, entries: Entries) -> None:
        write = request.writes.add()
        write.update.name = f"{self._topic_name(topic)}/shards/{book_shard}"
        # An empty mask keeps what is there: only the increments apply.
        write.update_mask.SetInParent()
        for name in entries.__struct_fields__:
            number = getattr(entries, name)
            if number:
                write.update_transforms.add(field_path=name).increment.integer_value = number

    def _task_name(self, task_id: int) -> str:
        return f"{self._database.documents}/{TASKS}/{spread(task_id):04x}-{task_id}"

    def _key_name(self, topic: str, key: str) -> str:
        # Keys may hold any character and be long; a topic's length keeps what is topic and what is key apart.
        text = f"{len(topic)}:{topic}{key}"
        return f"{self._database.documents}/{KEYS}/{hashlib.sha256(text.encode()).hexdigest()}"

    def _topic_name(self, topic: str) -> str:
        return f"{self._database.documents}/{TOPICS}/{topic}"


def _query() -> Any:
    query = StructuredQuery()
    from_collection(query, TASKS)
    return query


def _order(query: Any, path: str, direction: int) -> None:
    query.order_by.add(direction=direction).field.field_path = path


def _due(shard: int, second: int) -> str:
    return f"{shard:02}:{max(second, 0):011}"


def _listed(shard: int, task_id: int) -> str:
    return f"{shard:02}:{task_id:016}"


def _version(result: Any) -> int:
    version: int = result.update_time.ToMicroseconds()
    return version


def _stored(document: Any) -> Stored:
    fields = document.fields
    task = Task(
        fields["task"].integer_value,
        _decode_work(fields["work"].bytes_value),
        _decode_progress(fields["progress"].bytes_value),
    )
    return Stored(task, _version(document))
