"""The results page, as people see it."""

import secrets
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from emulators.stack import LocalCloud
from tests.conftest import run_apart
from tests.deadlines import WAIT_SECONDS_MAX

PageOpener = Callable[..., Page]
LONG = "A choice with a very long name that has to be wrapped on a phone, whatever the language it is in"


@pytest.fixture
def api(local_cloud: LocalCloud) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=local_cloud.base_url, timeout=WAIT_SECONDS_MAX) as client:
        yield client


@pytest.fixture
def poll(api: httpx.Client) -> str:
    poll = f"poll-{secrets.token_hex(6)}"
    plan = {"id": poll, "title": "Who <wins>?", "choices": ["Ada", "<b>Bob</b>", "מרים", LONG]}
    assert api.post("/polls", json=plan).status_code == 201
    return poll


@pytest.fixture
def open_page(browser: Browser, local_cloud: LocalCloud) -> Iterator[PageOpener]:
    """Opens a poll's page; in the end it must have asked nobody else and complained about nothing."""
    contexts: list[Any] = []
    complaints: list[str] = []

    def open_it(poll: str, *, expect_complaints: bool = False, **context: Any) -> Page:
        made = browser.new_context(**context)
        contexts.append(made)
        page = made.new_page()
        page.on("request", lambda asked: _expect_own(asked.url, complaints))
        if not expect_complaints:
            page.on("console", lambda line: complaints.append(line.text))
            page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(f"{local_cloud.base_url}/results/{poll}")
        return page

    def _expect_own(url: str, complaints: list[str]) -> None:
        if not url.startswith((local_cloud.base_url, "data:")):
            complaints.append(f"asked {url}")

    yield open_it
    for context in contexts:
        context.close()
    assert complaints == []


def drain(cloud: LocalCloud) -> None:
    assert run_apart(cloud.run_job("drain", settings={"TURNOUT_IDLE_SECONDS": "1"})) == [0]


def bar_width(page: Page, row: int) -> float:
    box = page.locator("#rows tr").nth(row).locator("td.bar i").bounding_box()
    return box["width"] if box else 0.0


def test_bars_move_as_votes_arrive(
    open_page: PageOpener, api: httpx.Client, poll: str, local_cloud: LocalCloud
) -> None:
    page = open_page(poll, reduced_motion="reduce")
    expect(page.locator("#votes")).to_have_text("0")
    for ada, bob in ((3, 1), (0, 4)):
        ballots = [{"poll": poll, "choice": "Ada"}] * ada + [{"poll": poll, "choice": "<b>Bob</b>"}] * bob
        assert api.post("/votes", json=ballots).status_code == 202
        before = bar_width(page, 1)
        expected = str(int(page.locator("#votes").inner_text()) + ada + bob)
        drain(local_cloud)
        expect(page.locator("#votes")).to_have_text(expected, timeout=WAIT_SECONDS_MAX * 1_000)
        assert bar_width(page, 1) > before
    expect(page.locator("#rows tr").nth(1)).to_have_class("first")


def test_text_from_outside_is_never_markup(open_page: PageOpener, poll: str) -> None:
    page = open_page(poll)
    expect(page.locator("h1")).to_have_text("Who <wins>?")
    expect(page.locator("#rows th").nth(1)).to_have_text("<b>Bob</b>")
    assert page.locator("#rows b").count() == 0


@pytest.mark.parametrize("width", [320, 360, 1280])
def test_nothing_is_cut_off_at_any_width(open_page: PageOpener, poll: str, width: int) -> None:
    page = open_page(poll, viewport={"width": width, "height": 800})
    expect(page.locator("#rows tr")).to_have_count(4)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_screen_reader_finds_a_table_with_a_name(open_page: PageOpener, poll: str) -> None:
    page = open_page(poll)
    table = page.get_by_role("table", name="Who <wins>?")
    expect(table.get_by_role("rowheader", name="Ada")).to_be_visible()
    expect(table.get_by_role("row", name="Ada 0 0.0 %")).to_be_visible()
    expect(page.locator("[aria-live=polite]")).to_have_text("No votes yet.")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(open_page: PageOpener, poll: str, scheme: str) -> None:
    page = open_page(poll, color_scheme=scheme)
    expect(page.locator("#rows tr")).to_have_count(4)
    ground = colour(page, "body", "backgroundColor")
    for element in ("h1", "#when", "td.percent", "#badge", ".figures dt"):
        assert contrast(colour(page, element, "color"), ground) >= 4.5, element


def test_keys_reach_the_order_of_the_choices(open_page: PageOpener, poll: str) -> None:
    page = open_page(poll)
    expect(page.locator("#rows tr")).to_have_count(4)
    page.keyboard.press("Tab")
    expect(page.locator("#order")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#order")).to_have_attribute("aria-pressed", "true")


def test_a_long_list_shows_the_most_voted_first_and_all_when_asked(
    open_page: PageOpener, api: httpx.Client
) -> None:
    poll = f"poll-{secrets.token_hex(6)}"
    api.post("/polls", json={"id": poll, "choices": [f"choice {number}" for number in range(120)]})
    page = open_page(poll)
    expect(page.locator("#rows tr")).to_have_count(50)
    page.get_by_role("button", name="Show all 120 choices").click()
    expect(page.locator("#rows tr")).to_have_count(120)


def test_an_unknown_poll_is_said_to_be_unknown(open_page: PageOpener) -> None:
    page = open_page("nobody-made-this", expect_complaints=True)
    expect(page.locator("#when")).to_have_text("There is no such poll.")


def test_a_lost_connection_is_said_and_mended(open_page: PageOpener, poll: str) -> None:
    page = open_page(poll, expect_complaints=True)
    expect(page.locator("#rows tr")).to_have_count(4)
    page.context.set_offline(True)
    expect(page.locator("#note")).to_have_text(
        "The connection is lost; trying again.", timeout=WAIT_SECONDS_MAX * 1_000
    )
    page.context.set_offline(False)
    expect(page.locator("#note")).to_have_text("", timeout=WAIT_SECONDS_MAX * 1_000)


def test_a_connection_that_falls_silent_is_said_to_be_lost(open_page: PageOpener, poll: str) -> None:
    page = open_page(poll, expect_complaints=True)
    expect(page.locator("#rows tr")).to_have_count(4)
    page.route("**/*format=json*", lambda _: None)
    expect(page.locator("#note")).to_have_text(
        "The connection is lost; trying again.", timeout=WAIT_SECONDS_MAX * 1_000
    )
    page.unroute("**/*format=json*")
    expect(page.locator("#note")).to_have_text("", timeout=WAIT_SECONDS_MAX * 1_000)


def test_totals_that_do_not_change_stay_fresh(open_page: PageOpener, poll: str) -> None:
    page = open_page(poll)
    expect(page.locator("#as-of")).to_contain_text("as of")
    before = page.locator("#as-of").inner_text()
    expect(page.locator("#as-of")).not_to_have_text(before, timeout=WAIT_SECONDS_MAX * 1_000)


def colour(page: Page, element: str, which: str) -> tuple[float, ...]:
    text = page.eval_on_selector(element, f"each => getComputedStyle(each).{which}")
    return tuple(float(part) for part in text[text.index("(") + 1 : -1].split(",")[:3])


def contrast(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """The contrast ratio of WCAG 2.2."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: tuple[float, ...]) -> float:
    linear = [
        part / 255 / 12.92 if part / 255 <= 0.04045 else ((part / 255 + 0.055) / 1.055) ** 2.4
        for part in colour
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
