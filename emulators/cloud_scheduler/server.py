"""The stand-in as a whole: its state folder, its attempts and its two ports."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import aiohttp
from aiohttp import web

from emulators.api.page import page_routes
from emulators.api.serving import Ports, serving
from emulators.cloud_scheduler.page import scheduler_table
from emulators.cloud_scheduler.service import SERVICE, STOP_SECONDS, CloudScheduler
from emulators.cloud_scheduler.store import Store
from emulators.cloud_scheduler.target import Targets
from emulators.identity import Identity
from emulators.identity.tokens import Clock, utc_now

CONNECTIONS_MAX = 100


@contextlib.asynccontextmanager
async def cloud_scheduler(
    folder: Path,
    ports: Ports,
    identity: Identity,
    *,
    pubsub_host: str = "",
    clock: Clock = utc_now,
    stop_seconds: float = STOP_SECONDS,
    pages: Sequence[web.RouteDef] = (),
) -> AsyncIterator[CloudScheduler]:
    """Serves Cloud Scheduler until the block ends; its jobs stay in the folder."""
    store = await asyncio.to_thread(Store, folder)
    try:
        connector = aiohttp.TCPConnector(limit=CONNECTIONS_MAX)
        async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session:
            scheduler = CloudScheduler(store, Targets(session, identity, pubsub_host), clock, stop_seconds)
            async with (
                serving(
                    "Cloud Scheduler",
                    {SERVICE: scheduler.methods},
                    ports,
                    [*page_routes(scheduler_table(scheduler, clock)), *pages],
                ),
                _running(scheduler),
            ):
                yield scheduler
    finally:
        store.close()


@contextlib.asynccontextmanager
async def _running(scheduler: CloudScheduler) -> AsyncIterator[None]:
    # A loop that ends by a fault ends the stand-in: one that only answered, and ran nothing, would be worse.
    async with asyncio.TaskGroup() as group:
        running = group.create_task(scheduler.run())
        try:
            yield
        finally:
            running.cancel()
