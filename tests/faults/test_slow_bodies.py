"""Bodies that come a byte a second: they are not waited for, and nobody waits for them."""

import asyncio
import json
import time

from emulators.processes import LOOPBACK
from tests.deadlines import WAIT_SECONDS_MAX
from tests.faults.running import Function
from tests.faults.side_by_side import side_by_side
from tests.faults.world import Promise, World, accepted

#: A body of which a byte comes each second.
BYTE_SECONDS = 1.0
BODY_BYTES = 10_000
#: More than any of these tests takes.
NEVER_SECONDS = 3_600.0
SLOW_CLIENTS = 50


class SlowClient(asyncio.Protocol):
    """Sends the head of a vote, then a byte a second for as long as nobody answers."""

    def __init__(self, path: str) -> None:
        self.answer = b""
        self.closed = asyncio.Event()
        self._path = path
        self._sending: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._sending = asyncio.create_task(self._send(transport))

    def data_received(self, data: bytes) -> None:
        self.answer += data

    def connection_lost(self, error: Exception | None) -> None:
        assert self._sending is not None
        self._sending.cancel()
        self.closed.set()

    async def _send(self, transport: asyncio.Transport) -> None:
        head = (
            f"POST {self._path} HTTP/1.1\r\nHost: test\r\n"
            f"Content-Type: application/json\r\nContent-Length: {BODY_BYTES}\r\n\r\n"
        )
        transport.write(head.encode())
        while not self.answer:
            transport.write(b" ")
            await asyncio.sleep(BYTE_SECONDS)


async def slow_client(function: Function, path: str) -> tuple[asyncio.Transport, SlowClient]:
    loop = asyncio.get_running_loop()
    return await loop.create_connection(lambda: SlowClient(path), LOOPBACK, function.port)


async def expect_told_in_time(function: Function, path: str, seconds_max: float) -> None:
    """It is told that it is too slow, neither long before its time is over nor only after its last byte, and cut off."""
    began = time.monotonic()
    _, client = await slow_client(function, path)
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        await client.closed.wait()
    assert 0.8 * seconds_max < time.monotonic() - began
    head, _, body = client.answer.partition(b"\r\n\r\n")
    lines = head.lower().splitlines()
    assert lines[0] == b"http/1.1 408 request timeout"
    assert {b"connection: close", b"content-type: application/problem+json"} <= set(lines)
    document = json.loads(body)
    assert document["type"] == "urn:turnout:problem:body-too-slow"
    assert f"{seconds_max:g} seconds" in document["detail"]


@side_by_side
async def test_a_byte_a_second_ends_with_a_408(world: World) -> None:
    poll = await world.open_poll()
    function = await world.start_vote_function(body_seconds_max=4.0)
    # The first request of an instance comes through the framework's layers, every later one past them.
    for path in ("/vote", "/vote", f"/vote/{poll.id}", "/votes"):
        await expect_told_in_time(function, path, 4.0)
    status, _ = await function.vote(poll)
    assert accepted(status)


@side_by_side
async def test_slow_bodies_hold_nobody_else_up(world: World) -> None:
    poll = await world.open_poll()
    function = await world.start_vote_function(body_seconds_max=NEVER_SECONDS)
    slow = [await slow_client(function, "/vote") for _ in range(SLOW_CLIENTS)]
    votes = 20
    assert all([accepted((await function.vote(poll))[0]) for _ in range(votes)])
    assert not any(client.answer or client.closed.is_set() for _, client in slow)
    for transport, client in slow:
        transport.abort()
        await client.closed.wait()
    # Those who go away before the end of their body leave nothing behind.
    assert accepted((await function.vote(poll))[0])
    await world.drain_now()
    await world.expect_exact(poll, Promise(counts=(votes + 1, 0)))
