"""Firestore behind the port of the consumers' records."""

from datetime import datetime, timedelta

import grpc
import grpc.aio

from turnout.gcp.channels import fault
from turnout.gcp.firestore import (
    SERVICE,
    CommitRequest,
    FirestoreDatabase,
    Operator,
    StructuredQuery,
    document_id,
    from_collection,
    moment_of,
    optional_moment_of,
    where,
)
from turnout.queue.ports import ConsumerRecord

#: A record is of use for as long as a lease of its consumer could be under way; this is ample.
RECORD_DAYS = 2


class FirestoreConsumerLog:
    """The records of one subscription's consumers, in a collection of their own; they expire by themselves."""

    def __init__(self, database: FirestoreDatabase, collection: str) -> None:
        self._database = database
        self._collection = collection

    async def record(self, consumer: ConsumerRecord) -> None:
        """Writes a consumer's record over its earlier one."""
        request = CommitRequest(database=self._database.name)
        document = request.writes.add().update
        document.name = f"{self._database.documents}/{self._collection}/{consumer.id}"
        moments = {
            "started_at": consumer.started_at,
            "seen_at": consumer.seen_at,
            "leased_at": consumer.leased_at,
            "empty_at": consumer.empty_at,
            "ended_at": consumer.ended_at,
            "expire_at": consumer.seen_at + timedelta(days=RECORD_DAYS),
        }
        for name, moment in moments.items():
            if moment is not None:
                document.fields[name].timestamp_value.FromDatetime(moment)
        try:
            await self._database.commit(request)
        except grpc.aio.AioRpcError as error:
            raise fault(SERVICE, error) from error

    async def since(self, moment: datetime) -> list[ConsumerRecord]:
        """The consumers that were seen at or after a moment."""
        query = StructuredQuery()
        from_collection(query, self._collection)
        where(query, "seen_at", Operator.GREATER_THAN_OR_EQUAL).timestamp_value.FromDatetime(moment)
        records = []
        async for response in self._database.query(self._database.documents, query):
            if response.HasField("document"):
                fields = response.document.fields
                records.append(
                    ConsumerRecord(
                        id=document_id(response.document),
                        started_at=moment_of(fields["started_at"]),
                        seen_at=moment_of(fields["seen_at"]),
                        leased_at=optional_moment_of(fields, "leased_at"),
                        empty_at=optional_moment_of(fields, "empty_at"),
                        ended_at=optional_moment_of(fields, "ended_at"),
                    )
                )
        return records
