"""Leases: extended while they are young and on record, given back once, and noted whenever they may hide messages."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from datetime import timedelta
from typing import Any

import pytest

from tests.simulation.virtual import BEGINNING, LoopClock, VirtualLoop
from turnout.base.errors import OutcomeUnknown
from turnout.memory.queue import Mailbox, MemoryTopic
from turnout.queue.dead_letters import DeadLetterTopic
from turnout.queue.leases import Leases
from turnout.queue.message import Message
from turnout.queue.progress import ConsumerProgress

DEADLINE_SECONDS = 30
LEASE_SECONDS_MAX = 100.0


class Subscription:
    """Notes what is asked of it; may fail."""

    def __init__(self) -> None:
        self.calls: list[tuple[float, str, list[str]]] = []
        self.failing = False

    async def lease(self, messages_max: int, *, wait_seconds: float) -> list[Message]:
        raise AssertionError("nobody leases here")

    async def acknowledge(self, ack_ids: Sequence[str]) -> None:
        self._note("acknowledge", ack_ids)

    async def extend(self, ack_ids: Sequence[str], seconds: int) -> None:
        assert seconds == DEADLINE_SECONDS
        self._note("extend", ack_ids)

    async def release(self, ack_ids: Sequence[str]) -> None:
        self._note("release", ack_ids)

    def _note(self, what: str, ack_ids: Sequence[str]) -> None:
        self.calls.append((asyncio.get_running_loop().time(), what, sorted(ack_ids)))
        if self.failing:
            raise OutcomeUnknown("Pub/Sub", "the answer was lost")


class Scene:
    """Leases of a subscription, and its dead letters."""

    def __init__(self) -> None:
        clock = LoopClock(asyncio.get_running_loop())
        self.subscription = Subscription()
        self.dead = Mailbox(clock=clock)
        self.progress = ConsumerProgress()
        self.leases = Leases(
            self.subscription,
            DeadLetterTopic(MemoryTopic(self.dead)),
            self.progress,
            ack_deadline_seconds=DEADLINE_SECONDS,
            lease_seconds_max=LEASE_SECONDS_MAX,
            clock=clock,
        )


def message(ack_id: str) -> Message:
    return Message(ack_id=ack_id, id=f"id {ack_id}", data=b"data")


def played(script: Callable[[Scene], Coroutine[Any, Any, None]]) -> Scene:
    """A scene in virtual time."""
    loop = VirtualLoop(turns_max=100_000)

    async def play() -> Scene:
        scene = Scene()
        await script(scene)
        return scene

    try:
        return loop.run_until_complete(play())
    finally:
        loop.close()


async def kept(scene: Scene, seconds: float, *, on_record: bool = True) -> None:
    keeping = asyncio.create_task(scene.leases.keep(lambda: on_record))
    await asyncio.sleep(seconds)
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)


def test_leases_are_extended_three_times_a_deadline_until_they_are_too_old() -> None:
    async def script(scene: Scene) -> None:
        scene.leases.take([message("1")])
        await kept(scene, 250)

    scene = played(script)
    assert [seconds for seconds, what, _ in scene.subscription.calls if what == "extend"] == [
        pytest.approx(10.0 * number) for number in range(1, 10)
    ]


def test_no_lease_is_extended_by_a_consumer_that_is_not_on_record() -> None:
    async def script(scene: Scene) -> None:
        scene.leases.take([message("1")])
        await kept(scene, 250, on_record=False)

    assert played(script).subscription.calls == []


def test_what_was_acknowledged_released_or_buried_is_held_no_more_and_given_back_once() -> None:
    async def script(scene: Scene) -> None:
        one, two, three = (message(name) for name in "123")
        scene.leases.take([one, two, three])
        await scene.leases.acknowledge([one])
        await scene.leases.release([one, two])
        await scene.leases.bury(three, "it cannot be read")
        await scene.leases.release([two, three])
        await scene.leases.release_all()
        assert len(scene.leases) == 0

    scene = played(script)
    assert [(what, ack_ids) for _, what, ack_ids in scene.subscription.calls] == [
        ("acknowledge", ["1"]),
        ("release", ["2"]),
        ("acknowledge", ["3"]),
    ]
    assert (scene.progress.released, scene.progress.dead_letters) == (1, 1)
    assert len(scene.dead) == 1


@pytest.mark.parametrize("what", ["acknowledge", "release", "release_all"])
def test_what_fails_is_noted_as_hidden_from_the_moment_of_the_call(what: str) -> None:
    async def script(scene: Scene) -> None:
        scene.leases.take([message("1")])
        await asyncio.sleep(7)
        scene.subscription.failing = True
        if what == "release_all":
            await scene.leases.release_all()
        else:
            await getattr(scene.leases, what)([message("1")])
        await asyncio.sleep(5)
        assert len(scene.leases) == 0
        assert scene.leases.hidden_at == BEGINNING + timedelta(seconds=7)

    played(script)


def test_while_anything_is_held_messages_are_hidden_now_and_nothing_is_idle() -> None:
    async def script(scene: Scene) -> None:
        leases = scene.leases
        assert leases.hidden_at is None
        await asyncio.sleep(3)
        assert leases.idle_seconds == 3.0
        leases.take([message("1")])
        await asyncio.sleep(4)
        assert leases.hidden_at == BEGINNING + timedelta(seconds=7)
        assert leases.idle_seconds == 0.0
        await leases.acknowledge([message("1")])
        await asyncio.sleep(5)
        assert leases.hidden_at == BEGINNING + timedelta(seconds=7)
        assert leases.idle_seconds == 5.0

    played(script)


def test_an_extension_that_arrives_late_is_noted() -> None:
    async def script(scene: Scene) -> None:
        scene.leases.take([message("1")])
        keeping = asyncio.create_task(scene.leases.keep(lambda: True))
        await asyncio.sleep(9.9)
        scene.subscription.failing = True
        await asyncio.sleep(0.2)
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        scene.leases._held.clear()
        assert scene.leases.hidden_at == BEGINNING + timedelta(seconds=10)

    played(script)


def test_a_letter_that_cannot_be_sent_stays_leased() -> None:
    async def script(scene: Scene) -> None:
        class Away:
            async def bury(self, message: Message, reason: str) -> None:
                raise OutcomeUnknown("Pub/Sub", "it is away")

        scene.leases._dead_letters = Away()  # type: ignore[assignment]
        scene.leases.take([message("1")])
        with pytest.raises(OutcomeUnknown):
            await scene.leases.bury(message("1"), "it cannot be read")
        assert len(scene.leases) == 1

    scene = played(script)
    assert scene.progress.dead_letters == 0
    assert scene.subscription.calls == []
