"""The roles are enough, and none too many: what each service asks of Google while it does everything that it can do."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

import grpc.aio
import pytest

from emulators.resources import create_resources
from tests.conftest import SettingsMaker
from tests.deadlines import WAIT_SECONDS_MAX
from tests.factories import messages_of
from turnout.base.chance import random_id
from turnout.base.clock import SystemClock
from turnout.deployment import FUNCTIONS, JOBS
from turnout.gcp.connections import Connections
from turnout.gcp.votes.settings import Settings
from turnout.gcp.votes.wiring import Wiring
from turnout.queue.message import Outgoing
from turnout.votes.ballot import Ballot
from turnout.votes.bundle import Bundle
from turnout.votes.poll import NewPoll, PollChange, State

#: The least role that allows a method. A transaction that only reads needs no more than a read.
ROLE_OF_METHOD = {
    "Publish": "pubsub.publisher",
    "Pull": "pubsub.subscriber",
    "Acknowledge": "pubsub.subscriber",
    "ModifyAckDeadline": "pubsub.subscriber",
    "Commit": "datastore.user",
    "BeginTransaction": "datastore.user",
    "Rollback": "datastore.user",
    "BatchGetDocuments": "datastore.viewer",
    "RunQuery": "datastore.viewer",
    "RunAggregationQuery": "datastore.viewer",
    "Lookup": "datastore.viewer",
}


class RecordingChannel:
    """A channel that notes which method was called on what."""

    def __init__(self, channel: grpc.aio.Channel, note: Callable[[str, Any], None]) -> None:
        self._channel = channel
        self._note = note

    def unary_unary(self, method: str, **serializers: Any) -> Any:
        stub = self._channel.unary_unary(method, **serializers)
        return self._noting(stub, method)

    def unary_stream(self, method: str, **serializers: Any) -> Any:
        stub = self._channel.unary_stream(method, **serializers)
        return self._noting(stub, method)

    async def close(self) -> None:
        await self._channel.close()

    def _noting(self, stub: Any, method: str) -> Any:
        def call(request: Any, **options: Any) -> Any:
            self._note(method.rpartition("/")[2], request)
            return stub(request, **options)

        return call


class RecordingConnections(Connections):
    """Connections that note the roles that their calls take."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.roles: set[str] = set()
        self._dead_letter_topic = settings.dead_letter_topic

    def channel(self, name: str, opener: Callable[[], grpc.aio.Channel]) -> Any:
        return RecordingChannel(
            super().channel(name, opener), lambda method, request: self._note(name, method, request)
        )

    def _note(self, channel: str, method: str, request: Any) -> None:
        on = {"publisher": "topic", "subscriber": "subscription"}.get(channel, channel)
        if on == "topic" and request.topic.endswith(f"/{self._dead_letter_topic}"):
            on = "dead_letter_topic"
        self.roles.add(f"{ROLE_OF_METHOD[method]}:{on}")


class LaterClock(SystemClock):
    """The machine's clock, some time ahead."""

    ahead = timedelta()

    def now(self) -> datetime:
        return super().now() + self.ahead


async def take_a_vote(wiring: Wiring) -> None:
    await wiring.intake().accept(Ballot("finals", "Ada"), "a key")


async def show_totals(wiring: Wiring) -> None:
    await wiring.results().read("finals", "live")
    await wiring.results().read("finals", "persisted")


async def administer(wiring: Wiring) -> None:
    administration = wiring.administration()
    await administration.create(NewPoll(id="others", choices=["Ada", "Bob"]))
    await administration.get("others")
    await administration.list(10)
    await administration.change("others", PollChange(state=State.CLOSED))
    await see_it_empty(wiring)
    certified = await wiring.administration().change("others", PollChange(state=State.CERTIFIED))
    assert certified.state is State.CERTIFIED


async def persist(wiring: Wiring) -> None:
    report = await wiring.persistence().persist_all(wiring.clock.now())
    assert "finals" in report.persisted
    async with Wiring(wiring.settings) as owner:
        await owner.administration().change("finals", PollChange(state=State.CLOSED))
    await see_it_empty(wiring)
    report = await wiring.persistence().persist_all(wiring.clock.now() + timedelta(minutes=1))
    assert "finals" in report.certified


async def count(wiring: Wiring) -> None:
    bundle = Bundle(random_id(), "finals", 1_700_000_000_000, {0: 1})
    async with Wiring(wiring.settings) as another:
        await another.topic().publish([Outgoing(b"not a bundle")], timeout_seconds=WAIT_SECONDS_MAX)
        # The same bundle twice: the second one stops at the ledger, which is read for it.
        for _time in range(2):
            await another.topic().publish(messages_of([bundle]), timeout_seconds=WAIT_SECONDS_MAX)
            await wiring.drain().run()


async def audit(wiring: Wiring) -> None:
    assert all(verdict.exact for verdict in await wiring.audit().audit_all())


async def see_it_empty(wiring: Wiring) -> None:
    """Lets time pass until no publish and no lease can be under way; a drain then sees the queue empty."""
    assert isinstance(wiring.clock, LaterClock)
    wiring.clock.ahead += timedelta(seconds=wiring.settings.ack_deadline_seconds + 20)
    async with Wiring(wiring.settings, clock=wiring.clock) as another:
        await another.drain().run()


DOINGS: dict[str, Callable[[Wiring], Awaitable[None]]] = {
    "vote": take_a_vote,
    "results": show_totals,
    "polls": administer,
    "persist": persist,
    "drain": count,
    "audit": audit,
}


@pytest.fixture
async def quick(make_settings: SettingsMaker) -> Settings:
    """Settings under which a poll can be certified at once: short idling, caches and publishes."""
    settings = make_settings(
        idle_seconds=0.5, poll_cache_seconds=5.0, publish_deadline_seconds=2.0, publish_attempt_seconds=2.0
    )
    await create_resources(settings)
    async with Wiring(settings) as wiring:
        await wiring.administration().create(NewPoll(id="finals", choices=["Ada", "Bob"]))
    return settings


@pytest.mark.parametrize("service", [*FUNCTIONS, *JOBS], ids=lambda service: service.name)
async def test_a_service_uses_every_role_that_it_has_and_no_other(quick: Settings, service: Any) -> None:
    connections = RecordingConnections(quick)
    async with Wiring(quick, connections=connections, clock=LaterClock()) as wiring:
        await DOINGS[service.name](wiring)
    # The pepper is read by the platform, before the code starts.
    granted = {role for role in service.roles if not role.endswith(":pepper")}
    used = connections.roles
    # Who may write may read.
    widened = {role for role in used if role.replace("viewer", "user") in granted and role not in granted}
    assert used - widened == granted


def test_everything_that_is_deployed_is_tried() -> None:
    assert set(DOINGS) == {each.name for each in (*FUNCTIONS, *JOBS)}
