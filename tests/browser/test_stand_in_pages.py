"""The stand-ins' pages, as people see and use them: a process serves, a real browser looks."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.cloud import scheduler_v1
from google.cloud.scheduler_v1.services.cloud_scheduler.transports import CloudSchedulerGrpcTransport
from playwright.sync_api import Browser, Page, expect

from tests.deadlines import COMMAND_SECONDS_MAX, WAIT_SECONDS_MAX

PARENT = "projects/demo/locations/us-central1"
WAITS = "import time; time.sleep(600)"
SCHEDULER, RUN = "CLOUD_SCHEDULER_EMULATOR_URL", "CLOUD_RUN_EMULATOR_URL"
PageOpener = Callable[..., Page]


@pytest.fixture(scope="module")
def variables(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    process = subprocess.Popen(
        [
            *(sys.executable, "-c", "from cli import app; app()", "emulate", "scheduler", "run"),
            *("--log", "json", "--project", "demo", "--port", "scheduler=0,0", "--port", "run=0,0"),
            *("--state-folder", str(tmp_path_factory.mktemp("stand-ins"))),
            # A job a test, so that the executions of one are not another's.
            *("--job", f"tick={sys.executable} -c '{WAITS}'"),
            *("--job", f"busy={sys.executable} -c '{WAITS}'"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    try:
        environment: dict[str, str] = json.loads(process.stdout.readline())["environment"]
        yield environment
    finally:
        process.terminate()
        process.wait(COMMAND_SECONDS_MAX)
        process.stdout.close()


@pytest.fixture
def client(variables: dict[str, str]) -> Iterator[Any]:
    with grpc.insecure_channel(variables["CLOUD_SCHEDULER_EMULATOR_HOST"]) as channel:
        made = scheduler_v1.CloudSchedulerClient(transport=CloudSchedulerGrpcTransport(channel=channel))
        yield made
        for job in made.list_jobs(parent=PARENT):
            made.delete_job(name=job.name)


@pytest.fixture
def open_page(browser: Browser, variables: dict[str, str]) -> Iterator[PageOpener]:
    """Opens a page; in the end it must have asked nobody else and complained about nothing."""
    contexts: list[Any] = []
    complaints: list[str] = []

    def open_it(which: str, *, expect_complaints: bool = False, **context: Any) -> Page:
        made = browser.new_context(**context)
        contexts.append(made)
        page = made.new_page()
        page.set_default_timeout(WAIT_SECONDS_MAX * 1_000)
        if not expect_complaints:
            page.on("console", lambda line: complaints.append(line.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda asked: expect_own(asked.url, variables[which]))
        page.goto(variables[which])
        return page

    def expect_own(url: str, own: str) -> None:
        if not url.startswith((own, "data:")):
            complaints.append(f"asked {url}")

    yield open_it
    for context in contexts:
        context.close()
    assert complaints == []


def create(client: Any, name: str, **changes: Any) -> str:
    given = {"schedule": "0 0 1 1 *", "http_target": {"uri": "http://127.0.0.1:9/tick"}, **changes}
    return str(client.create_job(parent=PARENT, job={"name": f"{PARENT}/jobs/{name}", **given}).name)


def test_without_jobs_the_page_says_how_to_get_one(open_page: PageOpener, client: Any) -> None:
    assert not list(client.list_jobs(parent=PARENT))
    page = open_page(SCHEDULER)
    expect(page.get_by_text("There are no jobs.")).to_be_visible()
    expect(page.get_by_role("heading", name="Cloud Scheduler")).to_be_visible()


def test_a_job_is_run_paused_resumed_and_deleted_by_keyboard(open_page: PageOpener, client: Any) -> None:
    name = create(client, "tick")
    page = open_page(SCHEDULER)
    row = page.locator("tbody tr")
    expect(row).to_contain_text("never run")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Run now: tick")).to_be_focused()
    page.keyboard.press("Enter")
    expect(row).to_contain_text("UNAVAILABLE")
    expect(row).to_contain_text("No connection to 127.0.0.1:9")
    expect(page.get_by_role("status")).to_have_text("tick runs.")
    page.get_by_role("button", name="Pause: tick").focus()
    page.keyboard.press("Enter")
    resume = page.get_by_role("button", name="Resume: tick")
    expect(resume).to_be_focused()
    assert client.get_job(name=name).state.name == "PAUSED"
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Pause: tick")).to_be_visible()
    assert client.get_job(name=name).state.name == "ENABLED"
    delete = page.get_by_role("button", name="Delete: tick")
    page.once("dialog", lambda dialog: dialog.dismiss())
    delete.click()
    assert client.get_job(name=name)
    page.once("dialog", lambda dialog: dialog.accept())
    delete.click()
    expect(page.get_by_text("There are no jobs.")).to_be_visible()
    assert not list(client.list_jobs(parent=PARENT))


def test_what_changes_elsewhere_is_shown_and_the_focus_stays(open_page: PageOpener, client: Any) -> None:
    create(client, "b")
    page = open_page(SCHEDULER)
    button = page.get_by_role("button", name="Run now: b")
    button.focus()
    create(client, "a", description="<img src=x onerror=alert(1)>")
    expect(page.locator("tbody th").first).to_contain_text("a<img src=x onerror=alert(1)>")
    expect(button).to_be_focused()


@pytest.mark.parametrize(("width", "display"), [(1_280, "table-row"), (375, "block")])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_long_names_fit_at_desktop_and_phone_width(
    open_page: PageOpener, client: Any, width: int, display: str, scheme: str
) -> None:
    create(
        client,
        "a-job-with-a-very-long-name-" + "x" * 90,
        schedule=",".join(map(str, range(60))) + " * * * *",
        time_zone="America/Argentina/ComodRivadavia",
        http_target={"uri": "https://example.com/" + "path/" * 60},
    )
    page = open_page(SCHEDULER, viewport={"width": width, "height": 800}, color_scheme=scheme)
    expect(page.locator("tbody tr")).to_have_count(1)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("tbody tr").evaluate("row => getComputedStyle(row).display") == display
    colours = page.evaluate(
        "() => { const style = getComputedStyle(document.body); return [style.color, style.backgroundColor]; }"
    )
    light, dark = ("rgb(255, 255, 255)", "rgb(20, 23, 28)")
    assert colours[1] == (dark if scheme == "dark" else light)
    assert colours[0] != colours[1]
    if display == "block":
        heights = page.get_by_role("button").evaluate_all("all => all.map(each => each.offsetHeight)")
        assert min(heights) >= 44


def test_an_execution_is_started_and_cancelled(open_page: PageOpener) -> None:
    page = open_page(RUN)
    page.get_by_role("button", name="Run now: tick").click()
    cancel = page.get_by_role("button", name="Cancel: tick-")
    row = page.locator("tbody tr").filter(has=cancel)
    expect(row).to_contain_text("running")
    name = row.locator("th > span").first.inner_text()
    page.once("dialog", lambda dialog: dialog.accept())
    cancel.click()
    expect(page.locator("tbody tr").filter(has_text=name)).to_contain_text("cancelled")
    expect(cancel).to_have_count(0)


def test_a_refusal_is_said(open_page: PageOpener) -> None:
    page = open_page(RUN, expect_complaints=True)
    button = page.get_by_role("button", name="Run now: busy")
    for number in range(1, 3):
        button.click()
        expect(page.get_by_role("button", name="Cancel: busy-")).to_have_count(number)
    button.click()
    expect(page.get_by_role("status")).to_contain_text("wait for one to end")


def test_nothing_but_the_pages_own_files_may_run(open_page: PageOpener) -> None:
    page = open_page(SCHEDULER)
    answer = page.reload()
    assert answer is not None
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_the_page_says_so_when_the_stand_in_is_gone(browser: Browser, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [
            *(sys.executable, "-c", "from cli import app; app()", "emulate", "scheduler", "--log", "json"),
            *("--port", "scheduler=0,0", "--state-folder", str(tmp_path)),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    context = browser.new_context()
    try:
        page = context.new_page()
        page.goto(json.loads(process.stdout.readline())["environment"][SCHEDULER])
        expect(page.get_by_text("There are no jobs.")).to_be_visible()
        process.kill()
        process.wait()
        expect(page.get_by_role("status")).to_contain_text(
            "does not answer", timeout=WAIT_SECONDS_MAX * 1_000
        )
    finally:
        context.close()
        process.kill()
        process.wait()
        process.stdout.close()
