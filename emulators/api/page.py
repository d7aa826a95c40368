"""A page for any stand-in: a table of what it has, with the few things that a person does by hand.

The stand-in describes the table; one script shows it, as text alone. Buttons call the API itself.
"""

from collections.abc import Callable
from datetime import datetime
from importlib import resources

import msgspec
from aiohttp import web

FILES = {
    "page.html": "text/html",
    "page.css": "text/css",
    "page.js": "text/javascript",
}
ROWS_MAX = 500


class Cell(msgspec.Struct, frozen=True):
    """What a field says: a text, or a moment that is told from now on."""

    text: str = ""
    #: RFC 3339.
    moment: str = ""
    note: str = ""
    #: `good`, `bad`, `code`, or nothing.
    kind: str = ""


class Action(msgspec.Struct, frozen=True):
    """A button: one call of the API."""

    label: str
    #: What it is done to, for those who hear the page.
    of: str
    method: str
    path: str
    #: What is said when it is done.
    done: str
    #: What is asked before; empty: nothing.
    asks: str = ""


class Row(msgspec.Struct, frozen=True):
    """One thing of the table."""

    key: str
    cells: list[Cell]
    actions: list[Action]


class Table(msgspec.Struct, frozen=True):
    """The page's content."""

    title: str
    place: str
    columns: list[str]
    rows: list[Row]
    #: What is said when there is nothing.
    empty: str
    caption: str
    now: str


def table_of(
    title: str, place: str, columns: list[str], rows: list[Row], *, empty: str, now: datetime
) -> Table:
    """A table, cut to what a page can show."""
    shown = rows[:ROWS_MAX]
    caption = f"{len(rows)} in all" + (f", the first {ROWS_MAX} of them here" if len(rows) > ROWS_MAX else "")
    return Table(title, place, columns, shown, empty, caption, now.isoformat())


def page_routes(table: Callable[[], Table]) -> list[web.RouteDef]:
    """The page of a table."""

    async def content(_: web.Request) -> web.Response:
        return web.Response(
            body=msgspec.json.encode(table()),
            content_type="application/json",
            headers={"Cache-Control": "no-store"},
        )

    return [*file_routes("emulators.api"), web.get("/page/table", content)]


def file_routes(package: str) -> list[web.RouteDef]:
    """The page at `/`, and what it is made of: the files in the folder `page` of a package."""
    folder = resources.files(package).joinpath("page")
    contents = {name: folder.joinpath(name).read_bytes() for name in FILES}

    async def file(request: web.Request) -> web.Response:
        name = request.match_info.get("name", "page.html")
        return web.Response(
            body=contents[name],
            content_type=FILES[name],
            charset="utf-8",
            headers={"Cache-Control": "no-cache"},
        )

    return [web.get("/", file), web.get("/page/{name:page\\.(?:css|js)}", file)]
