"""What callers read of a fault: the whole sentence, and what the fault carries for those who handle it."""

from typing import Any

import pytest

from tests.factories import NOON
from turnout.base.errors import (
    BatchRefused,
    BodyTooLarge,
    BodyTooSlow,
    MediaTypeUnsupported,
    MethodNotAllowed,
    PathUnknown,
    ServiceUnavailable,
    SettingsInvalid,
    TurnoutError,
    ValueRefused,
)
from turnout.queue.errors import QueueUnavailable
from turnout.votes.errors import (
    ChoiceUnknown,
    KeyMissing,
    NotCertifiable,
    PollChanged,
    PollClosed,
    PollExists,
    PollNotOpen,
    PollUnknown,
)

LONG = "x" * 150
FAULT = ValueRefused("Wrong.", field="/poll")
TOLD: list[tuple[TurnoutError, str, dict[str, Any]]] = [
    (
        SettingsInvalid(["TURNOUT_A is missing", "TURNOUT_B is no number"]),
        "The settings cannot be used; set these environment variables right: TURNOUT_A is missing; TURNOUT_B is no number",
        {"faults": ("TURNOUT_A is missing", "TURNOUT_B is no number")},
    ),
    (FAULT, "Wrong.", {"field": "/poll"}),
    (ValueRefused("Wrong."), "Wrong.", {"field": ""}),
    (
        BodyTooLarge(16_384, "bytes"),
        "The body is too large: at most 16,384 bytes are taken in one request.",
        {"limit": 16_384, "unit": "bytes"},
    ),
    (
        BodyTooSlow(30.0),
        "The body came too slowly: it must be here within 30 seconds. Nothing of it was used; send it again.",
        {"seconds_max": 30.0},
    ),
    (
        MediaTypeUnsupported("", ["application/json", "text/csv"]),
        "The media type 'none' is not supported; send application/json or text/csv, in UTF-8.",
        {"supported": ("application/json", "text/csv")},
    ),
    (
        MediaTypeUnsupported(LONG, ["a/b"]),
        f"The media type '{LONG[:100]}' is not supported; send a/b, in UTF-8.",
        {},
    ),
    (PathUnknown(LONG), f"Nothing is at '{LONG[:100]}'.", {}),
    (
        MethodNotAllowed(LONG, ["GET", "HEAD"]),
        f"{LONG[:20]} is not allowed here; use GET or HEAD.",
        {"allowed": ("GET", "HEAD")},
    ),
    (
        BatchRefused({3: FAULT}, 10, "votes"),
        "1 of 10 votes are at fault; none was accepted. Mend those and send all again.",
        {"faults": {3: FAULT}},
    ),
    (
        ServiceUnavailable("Firestore", "it is away"),
        "Firestore is unavailable: it is away",
        {"service": "Firestore"},
    ),
    (
        QueueUnavailable("Pub/Sub is away.", retry_after_seconds=2.5),
        "Pub/Sub is away. Nothing was confirmed; send it again, with the same Idempotency-Key.",
        {"retry_after_seconds": 2.5},
    ),
    (
        KeyMissing("finals", "voter", field="/voter"),
        "Poll finals counts one vote per voter: send voter.",
        {"field": "/voter"},
    ),
    (PollUnknown(LONG), f"There is no poll '{LONG[:100]}'.", {"poll": LONG}),
    (
        PollExists("finals"),
        "Poll finals exists already; choose another id, or change it with PATCH.",
        {"poll": "finals"},
    ),
    (
        PollChanged("finals"),
        "Poll finals was changed by somebody else meanwhile; read it again and repeat the change.",
        {"poll": "finals"},
    ),
    (
        PollNotOpen("finals", NOON),
        "Poll finals opens at 2026-11-20T12:00:00Z; this vote was not counted.",
        {"poll": "finals", "opens_at": NOON},
    ),
    (
        PollClosed("finals", NOON),
        "Poll finals closed at 2026-11-20T12:00:00Z; this vote was not counted.",
        {"poll": "finals", "closed_at": NOON},
    ),
    (
        ChoiceUnknown("finals", LONG),
        f"Poll finals has no choice '{LONG[:100]}'.",
        {"poll": "finals", "field": "/choice"},
    ),
    (
        NotCertifiable("finals", "it has not closed"),
        "Poll finals cannot be certified yet: it has not closed.",
        {"poll": "finals"},
    ),
]


@pytest.mark.parametrize(("fault", "text", "carried"), TOLD, ids=lambda each: type(each).__name__)
def test_a_fault_says_what_is_wrong_and_how_to_mend_it(
    fault: TurnoutError, text: str, carried: dict[str, Any]
) -> None:
    assert str(fault) == text
    assert {name: getattr(fault, name) for name in carried} == carried
