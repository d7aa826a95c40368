"""A world of one scenario: a project on the emulators, proxies before them, processes as deployed, and the promises."""

import asyncio
import itertools
import secrets
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
import grpc
import msgspec
from google.pubsub_v1 import types
from pydantic import SecretStr

from emulators.google import GoogleEmulators
from emulators.processes import POLL_SECONDS, Process, free_port, stop_all
from emulators.resources import create_resources
from emulators.run import job_named, start_function, start_job, until_function_ready
from tests.deadlines import WAIT_SECONDS_MAX
from tests.environment import plain_environment
from tests.factories import messages_of
from tests.faults.proxy import Call, Proxy
from tests.faults.running import LOOK_SECONDS, Function, Job
from turnout.base.chance import random_id
from turnout.deployment import function_for_path
from turnout.gcp.votes.settings import Settings
from turnout.gcp.votes.wiring import Wiring
from turnout.queue.dead_letters import DeadLetterOffice
from turnout.queue.message import Outgoing
from turnout.votes.bundle import Bundle
from turnout.votes.drain import Drain
from turnout.votes.poll import NewPoll, OnePer, Poll

PEPPER = "a pepper for tests"
CHOICES = ("red", "blue")
RED, BLUE = 0, 1
#: Pub/Sub's shortest.
ACK_DEADLINE_SECONDS = 10
#: What the emulator may need beyond the deadline to bring a message back.
LEASE_MARGIN_SECONDS = 1.0
#: Shorter than any lease: what is there within this time was not held by anybody.
SOON_SECONDS = 2.0

LEDGER = b"/documents/ledger/"
DRAINS = b"/documents/drains/"
POLLS = b"/documents/polls/"
OK = grpc.StatusCode.OK
UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
ALREADY_EXISTS = grpc.StatusCode.ALREADY_EXISTS

PullResponse = types.PullResponse.pb()
ModifyAckDeadlineRequest = types.ModifyAckDeadlineRequest.pb()

#: What each process is told, unless its scenario says otherwise: one lane, small times.
QUICK = {
    "ack_deadline_seconds": ACK_DEADLINE_SECONDS,
    "commit_attempt_seconds": 5.0,
    "lanes": 1,
    "idle_seconds": 2.0,
    "heartbeat_seconds": 1.0,
    "backoff_first_seconds": 0.05,
    "backoff_max_seconds": 0.2,
    "poll_cache_seconds": 1.0,
}
#: What a drain's process is told besides: a commit is of one bundle, so that no other bundle's entries protect it.
ONE_BY_ONE = {"lease_messages_max": 1}


class Promise(msgspec.Struct, frozen=True):
    """What the books of a poll must say in the end."""

    counts: tuple[int, ...]
    #: None: a client's repetition or a bundle's size decides, and the promise does not.
    duplicates: int | None = None
    bundles: int | None = None


class World:
    """One scenario's own: nothing in it is seen by another scenario but the emulators' haste."""

    def __init__(self, emulators: GoogleEmulators, folder: Path, starting: asyncio.Semaphore) -> None:
        self._folder = folder
        self._starting = starting
        self._hosts = emulators.hosts
        self._opened: list[Proxy] = []
        self._processes: list[Process] = []
        self._ids = itertools.count(1)
        self._project = f"faults-{secrets.token_hex(6)}"
        #: The emulators themselves: what the test publishes and reads meets no fault.
        self.settings = self._settings()
        self.wiring = Wiring(self.settings)
        self._session: aiohttp.ClientSession | None = None
        self.pubsub: Proxy
        self.firestore: Proxy

    async def __aenter__(self) -> Self:
        await create_resources(self.settings)
        self.pubsub, self.firestore = await self.open_proxies()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            for process in self._processes:
                process.signal(signal.SIGKILL)
            await stop_all(self._processes)
        finally:
            if self._session is not None:
                await self._session.close()
            await asyncio.gather(*(proxy.__aexit__(None, None, None) for proxy in self._opened))
            await self.wiring.__aexit__(None, None, None)

    async def open_proxies(self) -> tuple[Proxy, Proxy]:
        """A proxy before Pub/Sub and one before Firestore; each world has a pair to begin with."""
        pubsub = Proxy({"/google.pubsub.": self._hosts["pubsub"]})
        firestore = Proxy({"/google.firestore.": self._hosts["firestore"]})
        for proxy in (pubsub, firestore):
            self._opened.append(await proxy.__aenter__())
        return pubsub, firestore

    # What is promised.

    async def open_poll(self, poll_id: str = "finals", one_per: OnePer = OnePer.NONE) -> Poll:
        """A poll that is open."""
        plan = NewPoll(id=poll_id, choices=list(CHOICES), one_per=one_per, shards=4)
        return (await self.wiring.administration().create(plan)).poll

    def bundle(self, poll: Poll, counts: Mapping[int, int], keyed: Sequence[tuple[str, int]] = ()) -> Bundle:
        """A bundle; a key is given as text. Each is accepted after the one before it."""
        accepted_at_ms = int(time.time() * 1_000) + next(self._ids)
        votes = tuple((key.encode().ljust(16, b"."), choice) for key, choice in keyed)
        return Bundle(random_id(), poll.id, accepted_at_ms, dict(counts), votes)

    async def publish(self, bundles: Sequence[Bundle]) -> None:
        """Publishes bundles in one request, past the proxy."""
        await self.wiring.topic().publish(messages_of(bundles), timeout_seconds=WAIT_SECONDS_MAX)

    async def publish_raw(self, data: bytes, attributes: Mapping[str, str] | None = None) -> None:
        """Publishes what may not be a bundle, past the proxy."""
        await self.wiring.topic().publish(
            [Outgoing(data, attributes or {})], timeout_seconds=WAIT_SECONDS_MAX
        )

    async def publish_votes(self) -> tuple[Poll, Promise]:
        """A poll and three bundles of its votes: without keys, with keys, and with a key that has voted."""
        poll = await self.open_poll()
        await self.publish(
            [
                self.bundle(poll, {RED: 3, BLUE: 1}),
                self.bundle(poll, {}, [("ann", RED), ("ben", BLUE)]),
                self.bundle(poll, {BLUE: 2}, [("ann", RED)]),
            ]
        )
        return poll, Promise(counts=(4, 4), duplicates=1, bundles=3)

    async def expect_exact(self, poll: Poll, promise: Promise) -> None:
        """The shards hold what was promised, the ledger agrees, and the queue is empty."""
        tally = await self.wiring.counters().tally(poll)
        books = await self.wiring.counters().books(poll)
        verdict = await self.wiring.audit().audit(poll.id)
        assert tally.counts == promise.counts
        assert promise.duplicates in (tally.duplicates, None)
        assert promise.bundles in (books.shards.bundles, None)
        assert verdict.exact, verdict.faults
        assert await self.wiring.subscription().lease(10, wait_seconds=0.3) == []

    async def expect_released(self, bundles: int, *, counted: int = 0) -> None:
        """What was not counted is there at once, so nobody holds it: no lease had the time to end."""
        found: dict[str, str] = {}
        deadline = time.monotonic() + SOON_SECONDS
        while len(found) < bundles - counted and time.monotonic() < deadline:
            leased = await self.wiring.subscription().lease(1_000, wait_seconds=SOON_SECONDS / 2)
            found.update({message.id: message.ack_id for message in leased})
        await self.wiring.subscription().release(list(found.values()))
        assert len(found) == bundles - counted

    async def bundles_counted(self, poll: Poll) -> int:
        """The bundles counted so far."""
        return (await self.wiring.counters().books(poll)).shards.bundles

    async def votes_counted(self, poll: Poll) -> int:
        """The votes counted so far."""
        return (await self.wiring.counters().tally(poll)).votes

    async def until_counted(self, poll: Poll, votes: int) -> None:
        """Waits until this many votes are counted."""
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            while await self.votes_counted(poll) < votes:  # noqa: ASYNC110  # the shards tell nobody
                await asyncio.sleep(LOOK_SECONDS)

    # Processes.

    async def start_drain(self, proxies: tuple[Proxy, Proxy] | None = None, **settings: object) -> Job:
        """Starts a drain as Cloud Run does; returns when it is on record, or has ended."""
        pubsub, firestore = proxies or (self.pubsub, self.firestore)
        async with self._starting:
            job = self._drain_process(pubsub, firestore, settings)
            async with asyncio.timeout(WAIT_SECONDS_MAX):
                while job.running and not any(  # noqa: ASYNC110  # a process tells nobody of its end
                    call.applied for call in firestore.seen("Commit", job.name)
                ):
                    await asyncio.sleep(POLL_SECONDS)
        return job

    def start_drain_unawaited(self, **settings: object) -> Job:
        """Starts a drain, and waits for nothing."""
        return self._drain_process(self.pubsub, self.firestore, settings)

    async def start_vote_function(self, **settings: object) -> Function:
        """Starts the function `vote` under functions-framework."""
        function = function_for_path("/vote")
        assert function is not None
        port = free_port()
        async with self._starting:
            process = start_function(
                function,
                port,
                self._environment(self.pubsub, self.firestore, settings),
                log_folder=self._folder,
            )
            self._processes.append(process)
            await until_function_ready(process, port)
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, force_close=True),
                timeout=aiohttp.ClientTimeout(total=WAIT_SECONDS_MAX),
            )
        return Function(process, port, self._session)

    def start_audit(self, poll: Poll) -> Process:
        """Starts `turnout audit`, as a person does."""
        process = Process(
            "turnout audit",
            [sys.executable, "-c", "from cli import app; app()", "audit", poll.id],
            log=self._folder / f"audit-{next(self._ids)}.log",
            environment=self._environment(self.pubsub, self.firestore, {}),
        )
        self._processes.append(process)
        return process

    async def until_refused(self, function: Function) -> None:
        """Waits until a function takes no new connection."""
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            while await function.listens():  # noqa: ASYNC110  # a process tells nobody
                await asyncio.sleep(LOOK_SECONDS)

    async def drain_to_the_end(self, **settings: object) -> Drain:
        """Waits until every lease of the dead has ended, then drains until the queue is idle; no fault is in its way."""
        await asyncio.sleep(max(0.0, self._leases_end_at() - time.monotonic()))
        return await self.drain_now(**settings)

    async def drain_now(self, **settings: object) -> Drain:
        """Drains what is there, in this process and without a fault, until the queue is idle."""
        async with Wiring(self._settings(**settings)) as wiring:
            drain = wiring.drain()
            await drain.run()
        return drain

    @property
    def dead_letters(self) -> DeadLetterOffice:
        """The dead letters."""
        return self.wiring.dead_letter_office()

    def _drain_process(self, pubsub: Proxy, firestore: Proxy, settings: Mapping[str, object]) -> Job:
        execution = start_job(
            job_named("drain"),
            self._environment(pubsub, firestore, {**ONE_BY_ONE, **settings}),
            log_folder=self._folder,
        )
        self._processes.extend(execution.processes)
        return Job(execution)

    def _leases_end_at(self) -> float:
        calls = [call for proxy in self._opened for call in proxy.calls]
        leased_at = [
            call.answered_at for call in calls if call.method == "ModifyAckDeadline" or messages_in(call)
        ]
        return max(leased_at, default=0.0) + ACK_DEADLINE_SECONDS + LEASE_MARGIN_SECONDS

    def _settings(self, **changes: object) -> Settings:
        given: dict[str, Any] = {
            "project": self._project,
            "pepper": SecretStr(PEPPER),
            "pubsub_emulator_host": self._hosts["pubsub"],
            "firestore_emulator_host": self._hosts["firestore"],
            "datastore_emulator_host": self._hosts["datastore"],
            **QUICK,
            **changes,
        }
        return Settings(**given)

    def _environment(self, pubsub: Proxy, firestore: Proxy, settings: Mapping[str, object]) -> dict[str, str]:
        told = {f"TURNOUT_{name.upper()}": str(value) for name, value in {**QUICK, **settings}.items()}
        return {
            **plain_environment(),
            "GOOGLE_CLOUD_PROJECT": self._project,
            "TURNOUT_PEPPER": PEPPER,
            "PUBSUB_EMULATOR_HOST": pubsub.host,
            "FIRESTORE_EMULATOR_HOST": firestore.host,
            "DATASTORE_EMULATOR_HOST": self._hosts["datastore"],
            **told,
        }


def messages_in(call: Call) -> list[str]:
    """The ids of the messages that a call leased."""
    if call.method != "Pull":
        return []
    return [
        received.message.message_id
        for answer in call.answers
        for response in answer.responses
        for received in PullResponse.FromString(response).received_messages
    ]


def accepted(status: int) -> bool:
    """Whether a vote was promised to be counted."""
    return status == HTTPStatus.ACCEPTED
