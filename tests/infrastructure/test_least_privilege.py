"""The roles are enough, and none too many: what each service asks of Google while it does everything that it can do."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import grpc.aio
import pytest

from emulators.resources import create_resources
from tests.conftest import SettingsMaker
from turnout.deployment import FUNCTIONS, JOBS
from turnout.gcp.wiring import Wiring, new_id, now
from turnout.votes.ballot import Ballot
from turnout.votes.bundle import Bundle
from turnout.votes.poll import PollChange, PollPlan, State
from turnout.votes.settings import Settings

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


class RecordingWiring(Wiring):
    """The wiring as deployed, with the roles that its calls take."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.roles: set[str] = set()

    def _channel(self, name: str, opener: Callable[[], grpc.aio.Channel]) -> Any:
        if name not in self._channels:
            recording: Any = RecordingChannel(
                opener(), lambda method, request: self._note(name, method, request)
            )
            self._channels[name] = recording
        return self._channels[name]

    def _note(self, channel: str, method: str, request: Any) -> None:
        on = {"publisher": "topic", "subscriber": "subscription"}.get(channel, channel)
        if on == "topic" and request.topic.endswith(f"/{self.settings.dead_letter_topic}"):
            on = "dead_letter_topic"
        self.roles.add(f"{ROLE_OF_METHOD[method]}:{on}")


async def take_a_vote(wiring: RecordingWiring, _: pytest.MonkeyPatch) -> None:
    await wiring.intake().accept(Ballot("finals", "Ada"), "a key")


async def show_totals(wiring: RecordingWiring, _: pytest.MonkeyPatch) -> None:
    await wiring.results().read("finals", "live")
    await wiring.results().read("finals", "persisted")


async def administer(wiring: RecordingWiring, monkeypatch: pytest.MonkeyPatch) -> None:
    administration = wiring.administration()
    await administration.create(PollPlan(id="others", choices=["Ada", "Bob"]))
    await administration.get("others")
    await administration.list(10)
    await administration.change("others", PollChange(state=State.CLOSED))
    await see_it_empty(wiring.settings, monkeypatch)
    certified = await wiring.administration().change("others", PollChange(state=State.CERTIFIED))
    assert certified.state is State.CERTIFIED


async def persist(wiring: RecordingWiring, monkeypatch: pytest.MonkeyPatch) -> None:
    report = await wiring.persistence().persist_all(now())
    assert "finals" in report.persisted
    async with Wiring(wiring.settings) as owner:
        await owner.administration().change("finals", PollChange(state=State.CLOSED))
    await see_it_empty(wiring.settings, monkeypatch)
    report = await wiring.persistence().persist_all(now() + timedelta(minutes=1))
    assert "finals" in report.certified


async def count(wiring: RecordingWiring, _: pytest.MonkeyPatch) -> None:
    bundle = Bundle(new_id(), "finals", 1_700_000_000_000, {0: 1})
    async with Wiring(wiring.settings) as another:
        await another.redrive().put(b"no bundle", {})
        # The same bundle twice: the second one stops at the ledger, which is read for it.
        for _time in range(2):
            await another.publisher().publish([bundle], timeout_seconds=10)
            await wiring.drain().run()


async def audit(wiring: RecordingWiring, _: pytest.MonkeyPatch) -> None:
    assert all(verdict.exact for verdict in await wiring.audit().audit_all())


async def see_it_empty(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets time pass until no publish and no lease can be under way; a drain then sees the queue empty."""
    moment = now() + timedelta(seconds=settings.ack_deadline_seconds + 10)
    monkeypatch.setattr("turnout.gcp.wiring.now", lambda: moment)
    async with Wiring(settings) as wiring:
        await wiring.drain().run()


DOINGS: dict[str, Callable[[RecordingWiring, pytest.MonkeyPatch], Awaitable[None]]] = {
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
        idle_seconds=0.5, poll_cache_seconds=0.1, publish_deadline_seconds=0.1, publish_attempt_seconds=0.1
    )
    await create_resources(settings)
    async with Wiring(settings) as wiring:
        await wiring.administration().create(PollPlan(id="finals", choices=["Ada", "Bob"]))
    return settings


@pytest.mark.parametrize("service", [*FUNCTIONS, *JOBS], ids=lambda service: service.name)
async def test_a_service_uses_every_role_that_it_has_and_no_other(
    quick: Settings, service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with RecordingWiring(quick) as wiring:
        await DOINGS[service.name](wiring, monkeypatch)
    # The pepper is read by the platform, before the code starts.
    granted = {role for role in service.roles if not role.endswith(":pepper")}
    used = wiring.roles
    # Who may write may read.
    widened = {role for role in used if role.replace("viewer", "user") in granted and role not in granted}
    assert used - widened == granted


def test_everything_that_is_deployed_is_tried() -> None:
    assert set(DOINGS) == {each.name for each in (*FUNCTIONS, *JOBS)}
