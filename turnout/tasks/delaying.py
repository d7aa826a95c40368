"""The wire format of the delay-queue service that this one takes the place of, field for field.

`/delay/task/add` stores a topic's `content`, which is JSON in a string, for a moment. If it names a service `sn` and a
`url`, that is called with the content at the moment; else the task comes due and is published, or pulled. Every answer is
`{"dm_error", "error_msg", "task_id", "content"}`; `dm_error` is not 0 when something is wrong.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import IntEnum
from urllib.parse import urlsplit

import msgspec

from turnout.base.errors import BatchRefused, BodyInvalid, SettingsInvalid, TurnoutError, ValueRefused
from turnout.base.strict_json import decode
from turnout.queue.message import Outgoing
from turnout.queue.ports import Topic
from turnout.tasks.callbacks.addresses import Allowed
from turnout.tasks.errors import TaskUnknown
from turnout.tasks.ids import EPOCH, TASK_ID_MAX
from turnout.tasks.intake import TaskIntake
from turnout.tasks.new_task import BUILT_IN_DUE, NewTask
from turnout.tasks.ports import TaskStore
from turnout.tasks.running import Run
from turnout.tasks.task import State, Task
from turnout.tasks.times import read_moment
from turnout.tasks.work import Call

#: Consumed tasks stay readable for three days.
KEPT_SECONDS = 3 * 86_400.0
PUBLISH_SECONDS = 10.0


class DmError(IntEnum):
    """What `dm_error` says."""

    NONE = 0
    REQUEST = 1
    NO_TASK = 2
    UNAVAILABLE = 3


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """Every answer."""

    dm_error: int = DmError.NONE
    error_msg: str = ""
    task_id: int = 0
    content: str = ""


class Addition(msgspec.Struct, frozen=True):
    """The body of `/delay/task/add`; fields that nobody knows are passed over, as that service does."""

    topic: str
    timing_moment: int
    #: JSON, in a string.
    content: str


class Pulling(msgspec.Struct, frozen=True):
    """The body of `/delay/task/pull`."""

    topic: str
    task_id: int = 0


class _Target(msgspec.Struct, frozen=True):
    """What content may say of where it goes; the rest of it is the callback's."""

    sn: str = ""
    url: str = ""


_addition = msgspec.json.Decoder(Addition)
_pulling = msgspec.json.Decoder(Pulling)


class Services(msgspec.Struct, frozen=True):
    """The addresses of services, by the names that contents have for them."""

    by_name: Mapping[str, str] = {}

    @classmethod
    def read(cls, text: str) -> "Services":
        """From a setting: a JSON object of names and `https://host`; `SettingsInvalid` says what is wrong with it."""
        try:
            services = msgspec.json.decode(text or "{}", type=dict[str, str])
            wrong = [name for name, url in services.items() if not _is_base(url)]
        except (msgspec.MsgspecError, ValueError) as error:
            raise SettingsInvalid(
                [f"TURNOUT_DELAY_SERVICES is not a JSON object of names and URLs: {error}"]
            ) from None
        if wrong:
            raise SettingsInvalid(
                [f"TURNOUT_DELAY_SERVICES: the URL of {', '.join(wrong)} is not http(s)://host"]
            )
        return cls({name: url.rstrip("/") for name, url in services.items()})

    def allowed(self, others: Allowed) -> Allowed:
        """What callbacks may reach: whoever runs Turnout named these hosts."""
        hosts = {urlsplit(url).netloc.lower() for url in self.by_name.values()}
        return Allowed(others.hosts | hosts)

    def address(self, target: _Target) -> str:
        """Where a content goes; `ValueRefused` if it names no service, or leads away from it."""
        base = self.by_name.get(target.sn)
        if base is None:
            raise ValueRefused(f"No service is called {target.sn[:40]!r}.", field="/content/sn")
        if target.url.startswith(f"{base}/"):
            return target.url
        if not target.url.startswith("/") or target.url.startswith("//"):
            raise ValueRefused(f"The url is a path at {target.sn[:40]}, as /done.", field="/content/url")
        return base + target.url


class Delaying:
    """Answers as that service does: always, and with the fault in `dm_error`."""

    def __init__(self, intake: TaskIntake, store: TaskStore, services: Services) -> None:
        self._intake = intake
        self._store = store
        self._services = services

    async def add(self, body: bytes) -> Answer:
        """Stores a task."""
        try:
            wanted = decode(body, _addition)
            (outcome,) = await self._intake.add([self._new_task(wanted)])
        except BatchRefused as refused:
            return Answer(dm_error=DmError.REQUEST, error_msg=str(refused.faults[0]))
        except (BodyInvalid, ValueRefused) as fault:
            return Answer(dm_error=DmError.REQUEST, error_msg=str(fault))
        except TurnoutError as fault:
            return Answer(dm_error=DmError.UNAVAILABLE, error_msg=str(fault))
        return Answer(task_id=outcome.task_id)

    async def pull(self, body: bytes) -> Answer:
        """A stored task's content: that of an id, or of the topic's task that was added last and has come due."""
        try:
            wanted = decode(body, _pulling)
            task = await self._pulled(wanted)
        except BodyInvalid as fault:
            return Answer(dm_error=DmError.REQUEST, error_msg=str(fault))
        except TaskUnknown as fault:
            return Answer(dm_error=DmError.NO_TASK, error_msg=str(fault))
        except TurnoutError as fault:
            return Answer(dm_error=DmError.UNAVAILABLE, error_msg=str(fault))
        return Answer(task_id=task.id, content=content_of(task))

    async def _pulled(self, wanted: Pulling) -> Task:
        if wanted.task_id:
            ids = [wanted.task_id] if 0 < wanted.task_id <= TASK_ID_MAX else []
            found = list((await self._store.get(ids)).values())
        else:
            found = await self._store.page(wanted.topic, limit=1, state=State.SUCCEEDED)
        if not found or found[0].task.work.topic != wanted.topic:
            raise TaskUnknown(wanted.task_id)
        return found[0].task

    def _new_task(self, wanted: Addition) -> NewTask:
        content = wanted.content.encode()
        decode(content, _any)
        target = _target(content)
        call = None if target is None else Call(url=self._services.address(target))
        return NewTask(
            topic=wanted.topic,
            handler=BUILT_IN_DUE if call is None else "",
            call=call,
            # The very text is handed out again: as a string, or as the body of the callback.
            payload=msgspec.Raw(msgspec.json.encode(wanted.content) if call is None else content),
            run_at=_moment(wanted.timing_moment),
            result_ttl_seconds=KEPT_SECONDS,
        )


class DueRunner:
    """Runs tasks without a callback: at their moment they are published, if there is a topic for them."""

    def __init__(self, topic: Topic | None) -> None:
        self._topic = topic

    async def run(self, run: Run) -> str:
        """Nothing, as JSON."""
        if self._topic is not None:
            message = {"topic": run.task.work.topic, "content": content_of(run.task)}
            await self._topic.publish(
                [Outgoing(msgspec.json.encode(message), {"task_id": str(run.task.id)})],
                timeout_seconds=PUBLISH_SECONDS,
            )
        return "null"


def content_of(task: Task) -> str:
    """A task's content, as it was given."""
    payload = bytes(task.work.payload)
    if task.work.handler != BUILT_IN_DUE:
        return payload.decode()
    return msgspec.json.decode(payload, type=str)


_any = msgspec.json.Decoder()


def _target(content: bytes) -> _Target | None:
    """Where a content goes; None if it does not say: it is pulled."""
    try:
        target = msgspec.json.decode(content, type=_Target)
    except msgspec.ValidationError:
        return None
    return target if target.sn and target.url else None


def _moment(seconds: int) -> datetime | None:
    """The moment; one before tasks began is now."""
    return None if seconds <= EPOCH.timestamp() else read_moment(seconds, field="/timing_moment")


def _is_base(url: str) -> bool:
    parts = urlsplit(url)
    return (
        parts.scheme in ("http", "https")
        and bool(parts.hostname)
        and parts.path in ("", "/")
        and not parts.query
    )
