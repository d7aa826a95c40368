"""What the tests stand on: Google's emulators, started once for the suite; each test has a project of its own in them."""

import asyncio
import os
import secrets
import signal
import socket
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn, TypeVar

import hypothesis
import pytest
from pydantic import SecretStr

from emulators.errors import FetchFailed, JavaMissing
from emulators.google import GoogleEmulators
from emulators.resources import create_resources
from emulators.stack import LocalCloud
from tests import fast, leftovers, needs, workers
from tests.deadlines import TEST_SECONDS_MAX
from tests.environment import plain_environment
from tests.infrastructure import providers
from turnout.gcp.votes.settings import Settings

T = TypeVar("T")

SettingsMaker = Callable[..., Settings]

#: The emulators run for minutes here, so a compiler that takes its time costs more than it gives: a sixth of the suite's.
JAVA_OPTIONS = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Lets a run choose how long the simulation takes."""
    parser.addoption("--seeds", type=int, default=300, help="the seeds that each simulation runs")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Makes the session independent of where it was started, and of how busy the machine is."""
    for plugin in (fast, leftovers, needs, providers, workers):
        config.pluginmanager.register(plugin)
    os.environ.setdefault("JDK_JAVA_OPTIONS", JAVA_OPTIONS)
    if config.option.timeout is None:
        config.option.timeout = TEST_SECONDS_MAX
    # A shell's background jobs ignore SIGINT, and so would all processes that tests start.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


# An example takes as long as the machine lets it.
hypothesis.settings.register_profile(
    "turnout", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.register_profile("quick", hypothesis.settings.get_profile("turnout"), max_examples=25)
hypothesis.settings.load_profile("turnout")


def run_apart(coroutine: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine to its end in a thread and a loop of its own, so that no test's loop is touched."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()


def unavailable(why: object) -> NoReturn:
    """Skips the test, or fails it in continuous integration, where the emulators cannot be had."""
    needs.miss(f"the emulators cannot be had: {why}")


@pytest.fixture(scope="session")
def google_emulators(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GoogleEmulators]:
    """Google's three emulators; tests keep apart by project, and never reset them."""
    emulators = GoogleEmulators(tmp_path_factory.mktemp("emulators"))
    try:
        run_apart(emulators.start())
    except (FetchFailed, JavaMissing) as error:
        unavailable(error)
    yield emulators
    run_apart(emulators.stop())


@pytest.fixture
def project() -> str:
    """A project id that no other test has."""
    return f"test-{time.time_ns():x}-{secrets.token_hex(3)}"


@pytest.fixture
def make_settings(google_emulators: GoogleEmulators, project: str) -> SettingsMaker:
    """Makes settings for the test's project and the running emulators: `make_settings(lanes=2)`."""

    def make(**changes: object) -> Settings:
        given: dict[str, Any] = {
            "project": project,
            "pepper": SecretStr("a pepper for tests"),
            "pubsub_emulator_host": google_emulators.hosts["pubsub"],
            "firestore_emulator_host": google_emulators.hosts["firestore"],
            "datastore_emulator_host": google_emulators.hosts["datastore"],
            "ack_deadline_seconds": 10,
            "commit_attempt_seconds": 5.0,
            **changes,
        }
        return Settings(**given)

    return make


@pytest.fixture
def settings(make_settings: SettingsMaker) -> Settings:
    """Settings for the test's project, whose topics and subscriptions exist."""
    made = make_settings()
    run_apart(create_resources(made))
    return made


@pytest.fixture(scope="session")
def service_socket() -> Iterator[socket.socket]:
    """Where tests serve what tasks call: its port is taken before the local cloud is told of it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        yield taken


@pytest.fixture(scope="session")
def local_cloud(
    tmp_path_factory: pytest.TempPathFactory, service_socket: socket.socket
) -> Iterator[LocalCloud]:
    """The whole local cloud with emulators of its own, without schedules; tests keep apart by their polls' ids."""
    cloud = LocalCloud(
        state_folder=tmp_path_factory.mktemp("local-cloud"),
        project="test-turnout",
        schedule=False,
        tasks=True,
        environment=plain_environment(),
        # Short times, so that a poll is closed and certified within seconds; 10 s is Pub/Sub's shortest deadline.
        settings={
            "TURNOUT_ACK_DEADLINE_SECONDS": "10",
            "TURNOUT_COMMIT_ATTEMPT_SECONDS": "8",
            "TURNOUT_PUBLISH_DEADLINE_SECONDS": "4",
            "TURNOUT_PUBLISH_ATTEMPT_SECONDS": "4",
            "TURNOUT_POLL_CACHE_SECONDS": "2",
            "TURNOUT_HANDLERS": "tests.emulated.tasks.handlers",
            "TURNOUT_CALLBACK_HOSTS": "127.0.0.1",
            "TURNOUT_DELAY_SERVICES": f'{{"shop": "http://127.0.0.1:{service_socket.getsockname()[1]}"}}',
            "TURNOUT_TOPIC_CACHE_SECONDS": "0.5",
        },
    )
    try:
        run_apart(cloud.start())
    except (FetchFailed, JavaMissing) as error:
        unavailable(error)
    yield cloud
    run_apart(cloud.stop())
