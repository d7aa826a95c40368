"""Tasks over HTTP, as any client would ask for them."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from cli.client import Client
from cli.target import base_url, own_addresses

LOOK_SECONDS = 1.0
FINAL = ("succeeded", "failed", "cancelled")


class TaskDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A task as the API shows it."""

    id: int
    topic: str
    state: str
    added_at: str
    run_at: str
    attempt: int
    failures: int
    crashes: int
    handler: str = ""
    url: str = ""
    key: str = ""
    ended_at: str = ""
    expire_at: str = ""
    worker: str = ""
    began_at: str = ""
    lease_until: str = ""
    progress: str = ""
    error: str = ""
    result: Any = msgspec.UNSET
    payload: Any = msgspec.UNSET
    attempts: list[dict[str, Any]] = []
    context: dict[str, str] = {}


class TaskPage(msgspec.Struct, frozen=True):
    """Tasks, newest first."""

    tasks: list[TaskDocument]
    before: int | None = None


class Added(msgspec.Struct, frozen=True):
    """What was added."""

    id: int
    is_repeat: bool


class TopicDocument(msgspec.Struct, frozen=True):
    """A topic's books."""

    topic: str
    is_paused: bool
    depth: int
    created: int
    succeeded: int
    failed: int
    cancelled: int
    attempts: int
    crashed: int


@asynccontextmanager
async def _client() -> AsyncIterator[Client]:
    async with Client(base_url(os.environ), own=own_addresses(os.environ)) as client:
        yield client


async def add(wanted: Mapping[str, object]) -> Added:
    """Adds a task."""
    async with _client() as client:
        return await client.call("POST", "/tasks", Added, body=wanted)


async def show(task_id: int) -> TaskDocument:
    """A task."""
    async with _client() as client:
        return await client.call("GET", f"/tasks/{task_id}", TaskDocument)


async def page(topic: str, **given: str | int | None) -> TaskPage:
    """A page of a topic's tasks."""
    query = urlencode({"topic": topic, **{name: value for name, value in given.items() if value is not None}})
    async with _client() as client:
        return await client.call("GET", f"/tasks?{query}", TaskPage)


async def steer(task_id: int, verb: str) -> TaskDocument:
    """Does something with a task."""
    async with _client() as client:
        return await client.call("POST", f"/tasks/{task_id}/{verb}", TaskDocument)


async def topic(name: str) -> TopicDocument:
    """A topic."""
    async with _client() as client:
        return await client.call("GET", f"/tasks/topics/{quote(name, safe='')}", TopicDocument)


async def herd(name: str, verb: str, body: Mapping[str, object] | None = None) -> dict[str, Any]:
    """Does something with a topic."""
    async with _client() as client:
        path = f"/tasks/topics/{quote(name, safe='')}/{verb}"
        return await client.call("POST", path, dict[str, Any], body=body or {})


async def watched(task_id: int) -> AsyncIterator[TaskDocument]:
    """A task whenever it has changed, until it has ended."""
    seen: TaskDocument | None = None
    async with _client() as client:
        while seen is None or seen.state not in FINAL:
            found = await client.call("GET", f"/tasks/{task_id}", TaskDocument)
            if found != seen:
                yield found
                seen = found
            if found.state not in FINAL:
                await asyncio.sleep(LOOK_SECONDS)


def as_payload(text: str) -> object:
    """What a person types: JSON, or else the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text
