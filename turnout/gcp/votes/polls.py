"""Firestore behind the port of the polls' store."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio

from turnout.gcp.channels import fault
from turnout.gcp.firestore import (
    SERVICE,
    CommitRequest,
    Direction,
    FirestoreDatabase,
    StructuredQuery,
    document_id,
    from_collection,
    moment_of,
    optional_moment_of,
)
from turnout.votes.errors import PollChanged, PollExists
from turnout.votes.poll import OnePer, Poll


class FirestorePollStore:
    """The polls' settings."""

    def __init__(self, database: FirestoreDatabase) -> None:
        self._database = database

    async def get(self, poll_id: str) -> Poll | None:
        """The poll, or None."""
        found = await self._get_document(poll_id)
        return None if found is None else _poll(found)

    async def create(self, poll: Poll) -> None:
        """Stores a new poll."""
        request = CommitRequest(database=self._database.name)
        write = request.writes.add()
        self._fill(write.update, poll)
        write.current_document.exists = False
        try:
            await self._database.commit(request)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.ALREADY_EXISTS:
                raise PollExists(poll.id) from error
            raise fault(SERVICE, error) from error

    async def replace(self, old: Poll, new: Poll) -> None:
        """Replaces a poll that still is `old`."""
        found = await self._get_document(old.id)
        if found is None or _poll(found) != old:
            raise PollChanged(old.id)
        request = CommitRequest(database=self._database.name)
        write = request.writes.add()
        self._fill(write.update, new)
        write.current_document.update_time.CopyFrom(found.update_time)
        try:
            await self._database.commit(request)
        except grpc.aio.AioRpcError as error:
            if error.code() in (grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.NOT_FOUND):
                raise PollChanged(old.id) from error
            raise fault(SERVICE, error) from error

    async def list(self, limit: int) -> AsyncIterator[Poll]:
        """The polls, newest first."""
        query = StructuredQuery()
        from_collection(query, "polls")
        query.order_by.add(direction=Direction.DESCENDING).field.field_path = "created_at"
        query.limit.value = limit
        async for response in self._database.query(self._database.documents, query):
            if response.HasField("document"):
                yield _poll(response.document)

    async def _get_document(self, poll_id: str) -> Any:
        async for document in self._database.lookup([f"{self._database.documents}/polls/{poll_id}"]):
            return document
        return None

    def _fill(self, document: Any, poll: Poll) -> None:
        document.name = f"{self._database.documents}/polls/{poll.id}"
        fields = document.fields
        fields["title"].string_value = poll.title
        fields["one_per"].string_value = poll.one_per
        fields["shards"].integer_value = poll.shards
        for choice in poll.choices:
            fields["choices"].array_value.values.add(string_value=choice)
        for name in ("opens_at", "closes_at", "created_at"):
            fields[name].timestamp_value.FromDatetime(getattr(poll, name))
        if poll.certified_at is None:
            fields["certified_at"].null_value = 0
        else:
            fields["certified_at"].timestamp_value.FromDatetime(poll.certified_at)


def _poll(document: Any) -> Poll:
    fields = document.fields
    return Poll(
        id=document_id(document),
        title=fields["title"].string_value,
        choices=tuple(value.string_value for value in fields["choices"].array_value.values),
        opens_at=moment_of(fields["opens_at"]),
        closes_at=moment_of(fields["closes_at"]),
        created_at=moment_of(fields["created_at"]),
        one_per=OnePer(fields["one_per"].string_value),
        shards=fields["shards"].integer_value,
        certified_at=optional_moment_of(fields, "certified_at"),
    )
