"""The rivals, served: Redis in a folder that goes with it, and each program under the server that it recommends."""

import asyncio
import contextlib
import importlib.util
import os
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import AsyncIterator, Mapping
from http import HTTPStatus
from pathlib import Path

import aiohttp
import msgspec

from benchmarks.load import ToolMissing
from emulators.processes import LOOPBACK, Process, free_port, until_ready

READY_SECONDS_MAX = 30.0
ANSWER_SECONDS_MAX = 5.0
#: Threads of a gunicorn worker; more of them were no faster.
THREADS = 8
#: What the programs are written with; all in the extra `bench`.
LIBRARIES = ("arq", "celery", "dramatiq", "fastapi", "flask", "gunicorn", "redis", "uvicorn")
PROGRAMS = Path(__file__).parent


class RedisMissing(ToolMissing):
    """The queues' broker is not installed."""

    def __init__(self) -> None:
        super().__init__(
            "redis-server is not on PATH; install it (Debian: apt install redis-server; macOS: brew install redis)"
        )


class LibrariesMissing(ToolMissing):
    """What the rivals are written with is not installed."""

    def __init__(self, missing: list[str]) -> None:
        super().__init__(
            f"{', '.join(missing)} cannot be imported; install the extra: pip install '.[bench]'"
        )


class Rival(msgspec.Struct, frozen=True):
    """A program, and the command that serves it; `{port}`, `{workers}` and `{scripts}` are filled in."""

    name: str
    command: tuple[str, ...]
    #: Where Redis keeps what it enqueued; empty: it uses no Redis.
    redis_queue: str = ""


def _gunicorn(module: str) -> tuple[str, ...]:
    return (
        "{scripts}/gunicorn",
        "--worker-class=gthread",
        "--workers={workers}",
        f"--threads={THREADS}",
        f"--bind={LOOPBACK}:{{port}}",
        f"benchmarks.rivals.{module}:app",
    )


INCREMENT = Rival(
    "Increment",
    (
        "{scripts}/functions-framework",
        f"--source={PROGRAMS / 'increment.py'}",
        "--target=vote",
        f"--host={LOOPBACK}",
    ),
)
QUEUES = (
    Rival("Celery", _gunicorn("celery_app"), "celery"),
    Rival("Dramatiq", _gunicorn("dramatiq_app"), "dramatiq:default"),
    Rival(
        "arq",
        (
            sys.executable,
            "-m",
            "uvicorn",
            "--workers={workers}",
            f"--host={LOOPBACK}",
            "--port={port}",
            # A log line a vote would cost it some percent.
            "--no-access-log",
            "benchmarks.rivals.arq_app:app",
        ),
        "arq:queue",
    ),
)


def expect_installed() -> None:
    """`RedisMissing` or `LibrariesMissing` if the rivals cannot be run here."""
    missing = [name for name in LIBRARIES if importlib.util.find_spec(name) is None]
    if missing:
        raise LibrariesMissing(missing)
    _find_redis()


@contextlib.asynccontextmanager
async def redis_server() -> AsyncIterator[str]:
    """A Redis that keeps everything in memory, which is the fastest that it can do; yields its URL."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        process = Process(
            "Redis",
            [
                _find_redis(),
                f"--port {port}",
                f"--bind {LOOPBACK}",
                f"--dir {folder}",
                "--save ''",
                "--appendonly no",
            ],
            log=Path(folder) / "redis.log",
            environment=os.environ,
        )
        try:
            await until_ready(process, lambda: _answers(port), seconds_max=READY_SECONDS_MAX)
            yield f"redis://{LOOPBACK}:{port}"
        finally:
            await process.stop()


@contextlib.asynccontextmanager
async def served(rival: Rival, environment: Mapping[str, str], workers: int) -> AsyncIterator[str]:
    """A rival with so many worker processes; yields the address that takes its votes."""
    port = free_port()
    scripts = sysconfig.get_path("scripts")
    with tempfile.TemporaryDirectory() as folder:
        process = Process(
            rival.name,
            [each.format(port=port, workers=workers, scripts=scripts) for each in rival.command],
            log=Path(folder) / "rival.log",
            environment={
                **environment,
                "PORT": str(port),
                "WORKERS": str(workers),
                "FUNCTION_USE_ASGI": "true",
            },
        )
        url = f"http://{LOOPBACK}:{port}/vote"
        try:
            await until_ready(process, lambda: _takes_votes(url), seconds_max=READY_SECONDS_MAX)
            yield url
        finally:
            await process.stop()


async def enqueued(redis_url: str, rival: Rival) -> int:
    """How many votes Redis holds of a rival; empties Redis."""
    from redis.asyncio import Redis  # noqa: PLC0415  # an optional extra

    async with Redis.from_url(redis_url) as redis:
        kind = await redis.type(rival.redis_queue)
        number = await (redis.zcard if kind == b"zset" else redis.llen)(rival.redis_queue)
        await redis.flushall()
    return int(number)


async def _answers(port: int) -> bool:
    try:
        reader, writer = await asyncio.open_connection(LOOPBACK, port)
    except OSError:
        return False
    writer.write(b"PING\r\n")
    answer = await reader.readline()
    writer.close()
    return answer == b"+PONG\r\n"


async def _takes_votes(url: str) -> bool:
    timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS_MAX)
    ballot = {"poll": "ready", "choice": "yes"}
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(url, json=ballot) as answer,
        ):
            return answer.status == HTTPStatus.ACCEPTED
    except (aiohttp.ClientError, TimeoutError, OSError):
        return False


def _find_redis() -> str:
    redis = shutil.which("redis-server")
    if redis is None:
        raise RedisMissing
    return redis
