"""Intake: votes that are confirmed by Pub/Sub, one a POST, beside a function that does nothing at all."""

import asyncio
import os
import sysconfig
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks.cloud import CHOICES, Inexact, drain, expect_exact, open_poll
from benchmarks.load import Load, post
from benchmarks.table import Figure, median_of
from emulators.processes import LOOPBACK, Process, free_port, until_ready
from emulators.stack import LocalCloud
from turnout.gcp.wiring import Wiring

CONNECTIONS = (64, 256, 512)
TARGET_CONNECTIONS_MIN = 256
WARM_UP_SECONDS = 3
READY_SECONDS = 20
HELLO = '''"""A function that answers at once: what the framework can do at most."""

import functions_framework.aio
from starlette.responses import Response


@functions_framework.aio.http
async def hello(request):
    return Response(b'{"hello":"world"}', media_type="application/json")
'''


async def bench(cloud: LocalCloud, *, rounds: int, seconds: float, workers: int) -> list[Figure]:
    """Rounds of both in turn; the votes are drained and audited after each."""
    figures: list[Figure] = []
    async with Wiring(cloud.settings) as wiring, hello_world(workers) as hello:
        vote = cloud.function_urls["vote"] + "/vote"
        for url in (hello, vote):
            await post(url, await _ballot(wiring), connections=64, seconds=WARM_UP_SECONDS)
        for connections in CONNECTIONS:
            ours, ceilings = [], []
            for _ in range(rounds):
                ceilings.append(await post(hello, {}, connections=connections, seconds=seconds))
                ours.append(await _exact_round(cloud, wiring, vote, connections, seconds))
            figures += _figures(connections, ours, ceilings)
    return figures


async def _exact_round(cloud: LocalCloud, wiring: Wiring, url: str, connections: int, seconds: float) -> Load:
    poll = await open_poll(wiring)
    load = await post(url, {"poll": poll.id, "choice": CHOICES[0]}, connections=connections, seconds=seconds)
    if load.errors:
        raise Inexact(f"{load.errors:,} of {load.requests:,} requests failed.")
    await drain(cloud)
    # Answers that wrk no longer read were sent all the same: a connection has one of them at most.
    await expect_exact(wiring, poll, at_least=load.requests, at_most=load.requests + connections)
    return load


async def _ballot(wiring: Wiring) -> object:
    return {"poll": (await open_poll(wiring)).id, "choice": CHOICES[0]}


def _figures(connections: int, ours: list[Load], ceilings: list[Load]) -> list[Figure]:
    name = f"intake, {connections} connections"
    ratios = [mine.per_second / best.per_second for mine, best in zip(ours, ceilings, strict=True)]
    target = "≥ 8k" if connections >= TARGET_CONNECTIONS_MIN else ""
    return [
        median_of(name, "votes/s", [load.per_second for load in ours], target),
        median_of(name, "p50 ms", [load.p50_ms for load in ours]),
        median_of(name, "p99 ms", [load.p99_ms for load in ours]),
        median_of(name, "hello/s", [load.per_second for load in ceilings]),
        median_of(name, "of hello", ratios),
    ]


@asynccontextmanager
async def hello_world(workers: int) -> AsyncIterator[str]:
    """A hello-world function under functions-framework; yields its address."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "main.py"
        source.write_text(HELLO, encoding="utf-8")
        framework = str(Path(sysconfig.get_path("scripts")) / "functions-framework")
        process = Process(
            "The hello-world function",
            [framework, "--source", str(source), "--target", "hello", "--host", LOOPBACK],
            log=Path(folder) / "hello.log",
            environment={
                **os.environ,
                "FUNCTION_USE_ASGI": "true",
                "PORT": str(port),
                "WORKERS": str(workers),
            },
        )
        try:
            await until_ready(process, lambda: _answers(port), seconds_max=READY_SECONDS)
            yield f"http://{LOOPBACK}:{port}/"
        finally:
            await process.stop()


async def _answers(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(LOOPBACK, port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True
