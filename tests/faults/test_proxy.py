"""The proxy itself: what a test plans for a call is what becomes of it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime

import grpc
import pytest

from tests.deadlines import WAIT_SECONDS_MAX
from tests.factories import messages_of
from tests.faults.proxy import Fault, Proxy
from turnout.base.errors import OutcomeUnknown, ServiceUnavailable
from turnout.gcp.votes.settings import Settings
from turnout.gcp.votes.wiring import Wiring
from turnout.votes.bundle import Bundle
from turnout.votes.errors import PollExists
from turnout.votes.poll import Poll

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
OK = grpc.StatusCode.OK
UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


def poll(poll_id: str = "finals") -> Poll:
    return Poll(
        id=poll_id,
        title="Finals",
        choices=("red", "blue"),
        opens_at=NOON,
        closes_at=NOON.replace(year=2027),
        created_at=NOON,
    )


def bundle(number: int) -> Bundle:
    return Bundle(f"{number:032x}", "finals", 1, {0: 1})


@pytest.fixture
async def proxy(settings: Settings) -> AsyncIterator[Proxy]:
    upstreams = {
        "/google.pubsub.": settings.pubsub_emulator_host,
        "/google.firestore.": settings.firestore_emulator_host,
    }
    async with Proxy(upstreams) as started:
        yield started


@pytest.fixture
async def wiring(proxy: Proxy, make_settings: Callable[..., Settings]) -> AsyncIterator[Wiring]:
    through = make_settings(pubsub_emulator_host=proxy.host, firestore_emulator_host=proxy.host)
    async with Wiring(through) as made:
        yield made


async def test_calls_without_a_plan_pass_unary_and_streamed(proxy: Proxy, wiring: Wiring) -> None:
    await wiring.polls().create(poll())
    assert await wiring.polls().get("finals") == poll()
    await wiring.topic().publish(messages_of([bundle(1)]), timeout_seconds=WAIT_SECONDS_MAX)
    assert [message.id for message in await wiring.subscription().lease(10, wait_seconds=WAIT_SECONDS_MAX)]
    assert [(call.method, call.codes, call.told) for call in proxy.calls] == [
        ("Commit", [OK], OK),
        ("BatchGetDocuments", [OK], OK),
        ("Publish", [OK], OK),
        ("Pull", [OK], OK),
    ]


async def test_an_emulators_refusal_passes_with_its_code(proxy: Proxy, wiring: Wiring) -> None:
    await wiring.polls().create(poll())
    with pytest.raises(PollExists):
        await wiring.polls().create(poll())
    assert proxy.calls[1].told is grpc.StatusCode.ALREADY_EXISTS


async def test_a_dropped_call_is_never_applied(proxy: Proxy, wiring: Wiring) -> None:
    dropped = proxy.plan("Commit", Fault.DROP_CALL)
    with pytest.raises(OutcomeUnknown):
        await wiring.polls().create(poll())
    assert await wiring.polls().get("finals") is None
    assert (dropped.calls[0].applied, dropped.calls[0].told) == (0, UNAVAILABLE)


async def test_a_call_whose_answer_is_lost_is_applied(proxy: Proxy, wiring: Wiring) -> None:
    lost = proxy.plan("Commit", Fault.LOSE_ANSWER)
    with pytest.raises(OutcomeUnknown):
        await wiring.polls().create(poll())
    assert await wiring.polls().get("finals") == poll()
    assert (lost.calls[0].applied, lost.calls[0].told) == (1, UNAVAILABLE)


async def test_a_doubled_call_meets_itself(proxy: Proxy, wiring: Wiring) -> None:
    doubled = proxy.plan("Commit", Fault.DOUBLE_CALL)
    with pytest.raises(PollExists):
        await wiring.polls().create(poll())
    assert doubled.calls[0].codes == [OK, grpc.StatusCode.ALREADY_EXISTS]


async def test_a_held_call_is_applied_when_it_is_let_go(proxy: Proxy, wiring: Wiring) -> None:
    held = proxy.plan("Commit", Fault.HOLD_CALL)
    creation = asyncio.create_task(wiring.polls().create(poll()))
    await held.arrived()
    assert await wiring.polls().get("finals") is None
    held.let_go()
    await creation
    assert (held.calls[0].applied, held.calls[0].told) == (1, OK)


async def test_a_held_call_is_applied_late_though_its_caller_is_gone(proxy: Proxy, wiring: Wiring) -> None:
    held = proxy.plan("Commit", Fault.HOLD_CALL)
    creation = asyncio.create_task(wiring.polls().create(poll()))
    call = await held.arrived()
    creation.cancel()
    await proxy.until(lambda: call.abandoned, "the caller to be gone")
    held.let_go()
    await held.applied()
    assert await wiring.polls().get("finals") == poll()
    assert call.told is None


async def test_a_held_answer_belongs_to_a_call_that_was_applied(proxy: Proxy, wiring: Wiring) -> None:
    held = proxy.plan("Commit", Fault.HOLD_ANSWER)
    creation = asyncio.create_task(wiring.polls().create(poll()))
    call = await held.applied()
    assert await wiring.polls().get("finals") == poll()
    assert call.told is None
    held.let_go()
    await creation
    assert held.calls[0].told is OK


async def test_a_delayed_call_comes_later_but_comes(proxy: Proxy, wiring: Wiring) -> None:
    delayed = proxy.plan("Commit", Fault.DELAY_CALL, delay_seconds=0.2)
    loop = asyncio.get_running_loop()
    began_at = loop.time()
    await wiring.polls().create(poll())
    assert loop.time() - began_at >= 0.2
    assert delayed.calls[0].applied == 1


async def test_a_plan_takes_the_calls_that_it_names_and_no_others(proxy: Proxy, wiring: Wiring) -> None:
    dropped = proxy.plan("Commit", Fault.DROP_CALL, containing=b"/polls/b", skip=1)
    await wiring.polls().create(poll("a"))
    await wiring.polls().create(poll("b1"))
    with pytest.raises(OutcomeUnknown):
        await wiring.polls().create(poll("b2"))
    await wiring.polls().create(poll("b3"))
    assert [b"b2" in call.request for call in dropped.calls] == [True]


async def test_a_pull_that_its_caller_gave_up_leases_nothing(proxy: Proxy, wiring: Wiring) -> None:
    assert await wiring.subscription().lease(10, wait_seconds=0.3) == []
    await proxy.until(lambda: bool(proxy.calls[0].answers) or proxy.calls[0].abandoned, "the pull to end")
    await wiring.topic().publish(messages_of([bundle(1)]), timeout_seconds=WAIT_SECONDS_MAX)
    assert len(await wiring.subscription().lease(10, wait_seconds=WAIT_SECONDS_MAX)) == 1


async def test_while_it_is_away_connections_are_refused_until_it_is_back(
    proxy: Proxy, wiring: Wiring
) -> None:
    await wiring.polls().create(poll())
    await proxy.go_away()
    with pytest.raises(ServiceUnavailable):
        await wiring.polls().get("finals")
    await proxy.come_back()
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        while True:
            try:
                assert await wiring.polls().get("finals") == poll()
                break
            except ServiceUnavailable:  # the client's own reconnection back-off
                await asyncio.sleep(0.05)
