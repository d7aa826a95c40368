"""The local cloud from the outside: a client, polls of one test's own, and the drain as a job."""

import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import pytest

from emulators.stack import LocalCloud
from tests.conftest import run_apart
from tests.deadlines import WAIT_SECONDS_MAX
from turnout.gcp.votes.wiring import Wiring

PollMaker = Callable[..., str]
CHOICES = ["Ada", "Bob"]


@pytest.fixture
def api(local_cloud: LocalCloud) -> Iterator[httpx.Client]:
    """A client of the local cloud's one address."""
    with httpx.Client(base_url=local_cloud.base_url, timeout=WAIT_SECONDS_MAX) as client:
        yield client


@pytest.fixture
def make_poll(api: httpx.Client) -> PollMaker:
    """Creates a poll of the test's own, and returns its id: `make_poll(one_per="voter")`."""

    def make(**plan: Any) -> str:
        poll = plan.pop("id", f"poll-{secrets.token_hex(6)}")
        reply = api.post("/polls", json={"id": poll, "choices": CHOICES, **plan})
        assert reply.status_code == 201, reply.text
        return str(poll)

    return make


@pytest.fixture
def poll(make_poll: PollMaker) -> str:
    """An open poll of Ada and Bob, of the test's own."""
    return make_poll()


@pytest.fixture
async def wiring(local_cloud: LocalCloud) -> AsyncIterator[Wiring]:
    """The core on the local cloud's services, for looking behind the endpoints."""
    async with Wiring(local_cloud.settings) as made:
        yield made


@pytest.fixture
def drain(local_cloud: LocalCloud) -> Callable[[], None]:
    """Runs the drain job to its end."""

    def run() -> None:
        codes = run_apart(local_cloud.run_job("drain", settings={"TURNOUT_IDLE_SECONDS": "1"}))
        assert codes == [0]

    return run


def vote(poll: str, choice: str = "Ada", **more: Any) -> dict[str, Any]:
    """A ballot as JSON."""
    return {"poll": poll, "choice": choice, **more}
