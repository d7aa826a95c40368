"""Messages: a task that is to be run travels whole, with its version, so that who takes it need not read it first."""

from collections.abc import Iterable, Iterator

import msgspec

from turnout.queue.message import Outgoing
from turnout.tasks.errors import TaskUnreadable
from turnout.tasks.settings import COMMIT_BYTES_MAX
from turnout.tasks.task import Stored

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Stored).decode


def message_of(stored: Stored) -> Outgoing:
    """The message of a task; its topic is an attribute, by which a subscription can filter."""
    return Outgoing(_encode(stored), {"topic": stored.task.work.topic})


def read_message(data: bytes) -> Stored:
    """The task in a message; `TaskUnreadable` says why there is none."""
    try:
        return _decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise TaskUnreadable(f"The data are not a task: {error}.") from None


def requests_of(tasks: Iterable[Stored], messages_max: int) -> Iterator[list[Outgoing]]:
    """The messages of tasks, cut into publish requests."""
    request: list[Outgoing] = []
    size_bytes = 0
    for stored in tasks:
        message = message_of(stored)
        if request and (len(request) == messages_max or size_bytes + message.size_bytes > COMMIT_BYTES_MAX):
            yield request
            request, size_bytes = [], 0
        request.append(message)
        size_bytes += message.size_bytes
    if request:
        yield request
