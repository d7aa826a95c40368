"""The page of the stand-in of Cloud Tasks, as people see it."""

import asyncio
import http.server
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from google.cloud import tasks_v2
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport
from playwright.sync_api import Browser, Page, expect

from emulators.cloud_tasks import CloudTasks, Settings
from emulators.identity import Identity
from tests.browser.test_results_page import colour, contrast
from tests.deadlines import WAIT_SECONDS_MAX

PARENT = "projects/test/locations/here"
QUEUE = f"{PARENT}/queues/emails"
LONG = "a-very-long-task-name-" * 8 + "x"
Opener = Callable[..., Page]


class Fails(http.server.BaseHTTPRequestHandler):
    """A target that answers 500 to all."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(500)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base's name
        pass


@pytest.fixture(autouse=True)
def patience() -> Iterator[None]:
    """A busy machine is waited for."""
    expect.set_options(timeout=WAIT_SECONDS_MAX * 1_000)
    yield
    expect.set_options(timeout=None)


@pytest.fixture
def target() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Fails)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def stand_in(tmp_path: Path) -> Iterator[CloudTasks]:
    """A stand-in in a thread of its own: playwright has the test's."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    identity = Identity(rsa.generate_private_key(65_537, 2_048))
    made = CloudTasks(Settings(state_folder=tmp_path, queues=(QUEUE, f"{PARENT}/queues/other")), identity)
    asyncio.run_coroutine_threadsafe(made.start(), loop).result(WAIT_SECONDS_MAX)
    yield made
    asyncio.run_coroutine_threadsafe(made.stop(), loop).result(WAIT_SECONDS_MAX)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture
def api(stand_in: CloudTasks) -> Iterator[Any]:
    client: Any = tasks_v2.CloudTasksClient(
        transport=CloudTasksGrpcTransport(channel=grpc.insecure_channel(stand_in.ports.grpc_host))
    )
    yield client
    client.transport.close()


def create(api: Any, name: str, url: str) -> None:
    """A task in the paused queue."""
    task = {"name": f"{QUEUE}/tasks/{name}", "http_request": {"url": url, "body": b'{"n": "<i>1</i>"}'}}
    api.create_task(parent=QUEUE, task=task)


@pytest.fixture
def open_page(browser: Browser, stand_in: CloudTasks) -> Iterator[Opener]:
    """Opens the page of the queue; in the end it must have asked nobody else and complained about nothing."""
    contexts: list[Any] = []
    complaints: list[str] = []

    def open_it(**context: Any) -> Page:
        made = browser.new_context(**context)
        contexts.append(made)
        page = made.new_page()
        page.on("request", lambda asked: expect_own(asked.url))
        page.on("console", lambda line: complaints.append(line.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: dialog.accept())
        page.goto(f"{stand_in.ports.url}/#{QUEUE}")
        return page

    def expect_own(url: str) -> None:
        if not url.startswith((stand_in.ports.url, "data:")):
            complaints.append(f"asked {url}")

    yield open_it
    for context in contexts:
        context.close()
    assert complaints == []


def test_tasks_are_seen_run_and_deleted(open_page: Opener, api: Any, target: str) -> None:
    api.update_queue(queue={"name": QUEUE, "retry_config": {"min_backoff": {"seconds": 600}}})
    api.pause_queue(name=QUEUE)
    create(api, "first", target)
    create(api, "second", target)
    page = open_page()
    expect(page.locator("#tasks tbody tr")).to_have_count(2)
    expect(page.get_by_role("row", name="first")).to_contain_text("due, but the queue is paused")
    page.get_by_role("button", name="Run now first").click()
    row = page.locator("#tasks tr[data-key$='/first']")
    expect(row).to_contain_text("500")
    expect(row).to_contain_text("in 10 min")
    attempt = page.locator("#attempts tbody tr")
    expect(attempt).to_have_count(1)
    expect(attempt).to_contain_text(f"POST {target}")
    page.get_by_role("button", name="Delete second").click()
    expect(page.locator("#tasks tbody tr")).to_have_count(1)
    assert [task.name for task in api.list_tasks(parent=QUEUE)] == [f"{QUEUE}/tasks/first"]


def test_a_queue_is_paused_resumed_purged_and_deleted(open_page: Opener, api: Any) -> None:
    page = open_page()
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#queue-about")).to_contain_text("Paused")
    assert api.get_queue(name=QUEUE).state == tasks_v2.Queue.State.PAUSED
    create(api, "gone", "http://localhost/")
    expect(page.locator("#tasks tbody tr")).to_have_count(1)
    page.get_by_role("button", name="Purge").click()
    expect(page.locator("#no-tasks")).to_be_visible()
    page.get_by_role("button", name="Resume").click()
    expect(page.locator("#queue-about")).to_contain_text("Running")
    page.get_by_role("button", name="Delete queue").click()
    expect(page.locator("#queues li")).to_have_count(1)
    expect(page.locator("#queue-title")).to_have_text("other")


def test_text_from_outside_is_never_markup(open_page: Opener, api: Any) -> None:
    api.pause_queue(name=QUEUE)
    create(api, "odd", "http://localhost/<b>bold</b>")
    page = open_page()
    page.get_by_role("button", name="odd", exact=True).click()
    expect(page.locator("#details-text")).to_contain_text("http://localhost/<b>bold</b>")
    expect(page.locator("#details-text")).to_contain_text("<i>1</i>")
    assert page.locator("#details b, #details i").count() == 0
    page.keyboard.press("Escape")
    expect(page.locator("#details")).to_be_hidden()


@pytest.mark.parametrize("width", [320, 375, 768, 1280])
def test_nothing_is_cut_off_at_any_width(open_page: Opener, api: Any, width: int) -> None:
    api.pause_queue(name=QUEUE)
    create(api, LONG, "http://localhost/" + "long/" * 60)
    page = open_page(viewport={"width": width, "height": 800})
    expect(page.locator("#tasks tbody tr")).to_have_count(1)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    box = page.get_by_role("button", name=f"Delete {LONG}").bounding_box()
    assert box is not None
    assert box["x"] + box["width"] <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(open_page: Opener, scheme: str) -> None:
    page = open_page(color_scheme=scheme)
    expect(page.locator("#queues li")).to_have_count(2)
    ground = colour(page, "body", "backgroundColor")
    for element in ("h1", "h1 span", "#queue-about", "#purge", "#queues small", "#no-tasks"):
        assert contrast(colour(page, element, "color"), ground) >= 4.5, element


def test_keys_reach_everything_and_keep_their_place_while_it_changes(open_page: Opener, api: Any) -> None:
    api.pause_queue(name=QUEUE)
    create(api, "one", "http://localhost/")
    page = open_page()
    expect(page.locator("#tasks tbody tr")).to_have_count(1)
    reached = []
    for _ in range(8):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.textContent"))
    assert reached[2:] == ["Resume", "Purge", "Delete queue", "one", "Run now", "Delete"]
    create(api, "two", "http://localhost/")
    expect(page.locator("#tasks tbody tr")).to_have_count(2)
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Delete one"
