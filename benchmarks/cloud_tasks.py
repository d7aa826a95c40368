"""`python -m benchmarks.cloud_tasks`: how fast the stand-in of Cloud Tasks creates and dispatches, and what it takes.

The stand-in runs in a process of its own; the load, or the target of the dispatches, in this one. So on two cores each has one.
"""

import asyncio
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import grpc
import httptools
import msgspec
import typer
import uvloop

from benchmarks.progress import say
from benchmarks.usage import cpu_seconds, resident_mb
from emulators.cloud_tasks import messages

PARENT = "projects/bench/locations/here"
#: A queue dispatches at most 500/s; five leave the stand-in as the limit.
QUEUES = 5
CALLS_AT_ONCE = 64
BODY = b'{"poll": "finals", "choice": "Ada", "at": "2026-11-21T12:00:00Z", "note": "about a hundred bytes"}'
SECONDS_MAX = 300
IDLE_SECONDS = 10.0
EMPTY_CALLS = 10_000
DAY_SECONDS = 86_400

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


class Wrong(Exception):
    """The stand-in did something else than what was measured."""


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """How fast something went, and what the stand-in needed for each: on a busy machine only the latter is its own."""

    per_second: int
    cpu_us: int
    #: What the load itself needed for each: it shares the machine.
    load_cpu_us: int


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What a run found."""

    load_average: float
    #: Of an empty gRPC server, by the same calls.
    empty_calls: list[Rate]
    creates: list[Rate]
    dispatches: list[Rate]
    scheduled_tasks: int
    resident_mb_empty: float
    resident_mb: float
    idle_cpu_percent: float
    restart_seconds: float


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """A stand-in in a process of its own."""

    pid: int
    grpc: str


@asynccontextmanager
async def stand_in(folder: Path) -> AsyncIterator[Running]:
    """A stand-in that keeps its state in a folder, until the block ends."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "emulators.cloud_tasks", "--grpc-port", "0", "--rest-port", "0", "--json", "--no-ramp-up",
        "--state-folder", str(folder), "--project", "bench", "--location", "here",
        *(argument for number in range(QUEUES) for argument in ("--queue", f"q{number}")),
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        if process.stdout is None or not (line := await process.stdout.readline()):
            raise Wrong("the stand-in did not start")
        ready = msgspec.json.decode(line)
        yield Running(pid=process.pid, grpc=ready["grpc"])
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


class Target(asyncio.Protocol):
    """Answers 204 to everything, and counts."""

    answered = 0
    first = last = 0.0
    all_answered: asyncio.Event
    wanted = 0

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        self._transport.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        Target.last = time.perf_counter()
        Target.first = Target.first or Target.last
        Target.answered += 1
        if Target.answered == Target.wanted:
            Target.all_answered.set()


async def create(channel: Any, queues: Sequence[str], url: str, tasks: int, delay_seconds: int) -> float:
    """Creates tasks through gRPC, so many calls at once; their rate a second."""
    call = channel.unary_unary("/google.cloud.tasks.v2.CloudTasks/CreateTask")
    requests = []
    for queue in queues:
        request = messages.CreateTaskRequest(parent=queue)
        request.task.http_request.url = url
        request.task.http_request.body = BODY
        request.task.http_request.headers["Content-Type"] = "application/json"
        if delay_seconds:
            request.task.schedule_time.FromSeconds(int(time.time()) + delay_seconds)
        requests.append(request.SerializeToString())
    numbers = iter(range(tasks))

    async def caller() -> None:
        for number in numbers:
            await call(requests[number % len(requests)])

    started = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(CALLS_AT_ONCE)))
    return tasks / (time.perf_counter() - started)


async def creating(pid: int, channel: Any, queues: Sequence[str], url: str, tasks: int) -> Rate:
    """Creates tasks for tomorrow; the rate, and what it took."""
    before, own = cpu_seconds(pid), time.process_time()
    rate = await create(channel, queues, url, tasks, DAY_SECONDS)
    used, own = cpu_seconds(pid) - before, time.process_time() - own
    return Rate(
        per_second=round(rate), cpu_us=round(used / tasks * 1e6), load_cpu_us=round(own / tasks * 1e6)
    )


@asynccontextmanager
async def empty_server() -> AsyncIterator[Running]:
    """A server that takes the same calls and does nothing, until the block ends."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.empty_grpc", stdout=asyncio.subprocess.PIPE
    )
    try:
        if process.stdout is None or not (line := await process.stdout.readline()):
            raise Wrong("the empty server did not start")
        yield Running(pid=process.pid, grpc=line.decode().strip())
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def dispatch(running: Running, channel: Any, queues: Sequence[str], url: str, tasks: int) -> Rate:
    """Lets tasks gather in paused queues, and then all of them go; the rate at which they arrive."""
    await every(channel, "PauseQueue", messages.PauseQueueRequest, queues)
    await create(channel, queues, url, tasks, 0)
    Target.answered, Target.wanted, Target.first = 0, tasks, 0.0
    Target.all_answered = asyncio.Event()
    before, own = cpu_seconds(running.pid), time.process_time()
    await every(channel, "ResumeQueue", messages.ResumeQueueRequest, queues)
    async with asyncio.timeout(SECONDS_MAX):
        await Target.all_answered.wait()
    used, own = cpu_seconds(running.pid) - before, time.process_time() - own
    return Rate(
        per_second=round(tasks / (Target.last - Target.first)),
        cpu_us=round(used / tasks * 1e6),
        load_cpu_us=round(own / tasks * 1e6),
    )


async def every(channel: Any, method: str, request: Any, queues: Sequence[str]) -> None:
    """Calls a method for each queue."""
    call = channel.unary_unary(f"/google.cloud.tasks.v2.CloudTasks/{method}")
    await asyncio.gather(*(call(request(name=queue).SerializeToString()) for queue in queues))


async def measure(rounds: int, tasks: int, scheduled: int) -> Result:
    """All figures, the rates for each round."""
    queues = [f"{PARENT}/queues/q{number}" for number in range(QUEUES)]
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Target, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/task"
    with tempfile.TemporaryDirectory() as folder:
        creates, dispatches = [], []
        async with stand_in(Path(folder)) as running, grpc.aio.insecure_channel(running.grpc) as channel:
            empty_mb = resident_mb(running.pid)
            for number in range(rounds):
                say(f"round {number + 1} of {rounds}: {tasks} tasks are dispatched")
                dispatches.append(await dispatch(running, channel, queues, url, tasks))
        empty = []
        async with (
            empty_server() as floor,
            stand_in(Path(folder)) as running,
            grpc.aio.insecure_channel(floor.grpc) as floor_channel,
            grpc.aio.insecure_channel(running.grpc) as channel,
        ):
            for number in range(rounds):
                # In turns, so that both have the same hour of a machine that others use as well.
                say(f"round {number + 1} of {rounds}: tasks for tomorrow are created")
                empty.append(await creating(floor.pid, floor_channel, queues, url, EMPTY_CALLS))
                creates.append(await creating(running.pid, channel, queues, url, scheduled // rounds))
            say("nobody asks for anything")
            await asyncio.sleep(1)
            mb, before = resident_mb(running.pid), cpu_seconds(running.pid)
            await asyncio.sleep(IDLE_SECONDS)
            idle = (cpu_seconds(running.pid) - before) / IDLE_SECONDS * 100
        say("it starts again, with all of them")
        started = time.perf_counter()
        async with stand_in(Path(folder)) as running:
            restart = time.perf_counter() - started
            mb = max(mb, resident_mb(running.pid))
    server.close()
    return Result(
        load_average=os.getloadavg()[0],
        empty_calls=empty,
        creates=creates,
        dispatches=dispatches,
        scheduled_tasks=scheduled // rounds * rounds,
        resident_mb_empty=round(empty_mb, 1),
        resident_mb=round(mb, 1),
        idle_cpu_percent=round(idle, 2),
        restart_seconds=round(restart, 2),
    )


@app.command()
def main(
    rounds: Annotated[int, typer.Option(min=1, max=50, help="Rounds of each rate.")] = 3,
    tasks: Annotated[int, typer.Option(min=100, help="Tasks that are dispatched in a round.")] = 15_000,
    scheduled: Annotated[int, typer.Option(min=100, help="Tasks that are created and wait.")] = 100_000,
) -> None:
    """Measures the stand-in of Cloud Tasks on this machine, and prints the figures as JSON."""
    result = uvloop.run(measure(rounds, tasks, scheduled))
    typer.echo(msgspec.json.format(msgspec.json.encode(result)).decode())


if __name__ == "__main__":
    app()
