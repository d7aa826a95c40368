"""The stand-in as a whole: state, engine, dispatcher and its two ports, between `start` and `stop`."""

import contextlib
import random
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec
from aiohttp import web

from emulators.api.serving import Ports, serving
from emulators.cloud_tasks.attempts import Attempts
from emulators.cloud_tasks.buffering import buffer_routes
from emulators.cloud_tasks.clock import TurnableClock, clock_routes, wall_clock_us
from emulators.cloud_tasks.dispatcher import Dispatcher
from emulators.cloud_tasks.engine import Engine, Options
from emulators.cloud_tasks.messages import Queue
from emulators.cloud_tasks.methods import services
from emulators.cloud_tasks.names import location_of
from emulators.cloud_tasks.page import page_routes
from emulators.cloud_tasks.service import Service
from emulators.cloud_tasks.store import Store
from emulators.identity import Identity
from emulators.identity.server import identity_routes

_ID_BITS = 63


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How the stand-in runs."""

    state_folder: Path
    ports: Ports = Ports(0, 0)
    #: Begins with an empty state.
    reset: bool = False
    #: The slow start, 500/50/5, of locations that were idle.
    ramp_up: bool = True
    #: The service accounts that exist; None: all do.
    service_accounts: frozenset[str] | None = None
    #: Where App Engine tasks go; empty: nowhere, and their attempts fail.
    app_engine_url: str = ""
    #: Full names of queues that are created with the defaults if they do not exist.
    queues: tuple[str, ...] = ()


def random_ids() -> Callable[[], str]:
    """Ids as the service makes them, long numbers by chance."""
    chance = random.Random(secrets.randbits(128))  # noqa: S311  # unique, not secret
    return lambda: str(chance.getrandbits(_ID_BITS))


class CloudTasks:
    """One stand-in. `async with CloudTasks(settings, identity) as tasks:` starts and stops it."""

    def __init__(
        self,
        settings: Settings,
        identity: Identity,
        clock: Callable[[], int] = wall_clock_us,
        ids: Callable[[], str] | None = None,
    ) -> None:
        self._settings = settings
        self._identity = identity
        self._clock = TurnableClock(clock)
        self._ids = ids or random_ids()
        #: What is to be stopped, the last started first; one that fails keeps none of the others from it.
        self._stops = contextlib.AsyncExitStack()
        #: Where it listens, once it has started.
        self.ports = settings.ports

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Opens the state, takes up what it holds, and listens; a `LocalCloudError` says what stands in the way."""
        settings = self._settings
        self._store = Store(settings.state_folder)
        kept = await self._store.open(self._clock(), reset=settings.reset)
        self._stops.push_async_callback(self._store.close)
        try:
            options = Options(ramp_up=settings.ramp_up, service_accounts=settings.service_accounts)
            engine = Engine(self._clock, self._ids, options)
            engine.restore(kept)
            self._create_queues(engine)
            await self._store.keep(engine.take_changes())
            attempts = Attempts()
            dispatcher = Dispatcher(
                engine, self._store, self._identity, attempts, self._clock, settings.app_engine_url
            )
            service = Service(
                engine, self._store, dispatcher, self._clock, dict(kept.policies), dict(kept.encryption)
            )
            await self._serve(service, dispatcher, attempts)
            await dispatcher.start()
            self._stops.push_async_callback(dispatcher.stop)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Takes no more calls, lets attempts under way end for a moment, and closes the state; can be called again."""
        # Calls that wait for the disk are answered, and the last answers of handlers are written, before it is closed.
        await self._stops.aclose()

    def _create_queues(self, engine: Engine) -> None:
        for name in self._settings.queues:
            if name not in engine.queues:
                engine.create_queue(location_of(name), Queue(name=name))

    async def _serve(self, service: Service, dispatcher: Dispatcher, attempts: Attempts) -> None:
        pages: Sequence[web.RouteDef] = [
            *page_routes(service, attempts),
            *buffer_routes(service),
            *clock_routes(self._clock, dispatcher.look),
            *identity_routes(self._identity),
        ]
        self.ports = await self._stops.enter_async_context(
            serving("Cloud Tasks", services(service), self._settings.ports, pages)
        )
