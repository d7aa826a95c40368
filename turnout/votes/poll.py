"""A poll: what is voted on, when, and how often one voter may."""

import re
import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cached_property

import msgspec

from turnout.base.errors import ValueRefused
from turnout.votes.errors import ChangeRefused, ChoiceUnknown, PollClosed, PollNotOpen

POLL_ID = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
TITLE_CHARACTERS_MAX = 200
CHOICES_MIN = 2
CHOICES_MAX = 10_000
CHOICE_CHARACTERS_MAX = 100
#: All choices of a poll together: they share one Firestore document, whose limit is 1 MiB.
CHOICES_BYTES_MAX = 500_000
SHARDS_MAX = 1_000
#: Control, format, surrogate, private and unassigned characters: invisible, or not the same everywhere.
UNSEEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})
#: Format characters that belong to visible text: joiners, and the tags that make up some flags. All others are
#: invisible or turn the direction of the text around them: one choice could be shown as another.
FORMAT_ALLOWED = frozenset({"\u200c", "\u200d", *map(chr, range(0xE0020, 0xE0080))})


class OnePer(StrEnum):
    """How often one may vote: without limit, once per Idempotency-Key, or once per voter."""

    NONE = "none"
    KEY = "key"
    VOTER = "voter"


class State(StrEnum):
    """Where a poll stands; all but `certified` follow from the clock."""

    SCHEDULED = "scheduled"
    OPEN = "open"
    CLOSED = "closed"
    CERTIFIED = "certified"


class Poll(msgspec.Struct, frozen=True, dict=True, kw_only=True):
    """What is voted on. Choices never change once they are created: a vote is stored as its choice's index."""

    id: str
    title: str
    choices: tuple[str, ...]
    opens_at: datetime
    closes_at: datetime
    created_at: datetime
    one_per: OnePer = OnePer.NONE
    shards: int = 32
    certified_at: datetime | None = None

    @cached_property
    def index_of(self) -> dict[str, int]:
        """The index of each choice."""
        return {choice: index for index, choice in enumerate(self.choices)}

    def find(self, choice: str) -> int:
        """The index of a choice; another Unicode spelling of the same text is the same choice. `ChoiceUnknown` if none."""
        index = self.index_of.get(choice)
        if index is None:
            index = self.index_of.get(unicodedata.normalize("NFC", choice))
        if index is None:
            raise ChoiceUnknown(self.id, choice)
        return index

    def admit(self, now: datetime) -> None:
        """Lets a vote in at this moment, or raises `PollNotOpen` or `PollClosed`. Open at `opens_at`, closed at `closes_at`."""
        if now < self.opens_at:
            raise PollNotOpen(self.id, self.opens_at)
        if now >= self.closes_at:
            raise PollClosed(self.id, self.closes_at)

    def state(self, now: datetime) -> State:
        """Where the poll stands at this moment."""
        if self.certified_at is not None:
            return State.CERTIFIED
        if now < self.opens_at:
            return State.SCHEDULED
        return State.OPEN if now < self.closes_at else State.CLOSED


class NewPoll(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a client asks for when it creates a poll. Moments are RFC 3339 with an offset."""

    id: str
    choices: list[str]
    title: str = ""
    opens_at: datetime | None = None
    closes_at: datetime | None = None
    one_per: OnePer = OnePer.NONE
    shards: int | None = None


class PollChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a client may change of a poll. `state` is `open`, `closed` or `certified`."""

    title: str | msgspec.UnsetType = msgspec.UNSET
    opens_at: datetime | msgspec.UnsetType = msgspec.UNSET
    closes_at: datetime | msgspec.UnsetType = msgspec.UNSET
    state: State | msgspec.UnsetType = msgspec.UNSET


def check_poll_id(poll_id: str, *, field: str = "/id") -> str:
    """The id, if it is one: 1 to 63 of a–z, 0–9 and inner hyphens."""
    if not POLL_ID.fullmatch(poll_id):
        raise ValueRefused("A poll's id has 1 to 63 characters of a-z, 0-9 and inner hyphens.", field=field)
    return poll_id


def poll_of(plan: NewPoll, *, now: datetime, shards_default: int, lifetime: timedelta) -> Poll:
    """The poll that a plan describes; `ValueRefused` names the first value outside the limits.

    It opens now unless the plan says when, and closes `lifetime` after now at the latest.
    """
    opens_at = _aware(plan.opens_at, "/opens_at") or now
    closes_at = _aware(plan.closes_at, "/closes_at") or now + lifetime
    shards = shards_default if plan.shards is None else plan.shards
    if not 1 <= shards <= SHARDS_MAX:
        raise ValueRefused(f"A poll has 1 to {SHARDS_MAX:,} shards.", field="/shards")
    poll_id = check_poll_id(plan.id)
    poll = Poll(
        id=poll_id,
        title=_text(plan.title or poll_id, TITLE_CHARACTERS_MAX, "/title"),
        choices=_choices(plan.choices),
        opens_at=opens_at,
        closes_at=closes_at,
        created_at=now,
        one_per=plan.one_per,
        shards=shards,
    )
    return check_window(poll, lifetime)


def change_poll(
    poll: Poll, change: PollChange, *, now: datetime, settled_at: datetime, lifetime: timedelta
) -> Poll:
    """The poll with a change; a close by hand takes effect at `settled_at`, when every instance has heard of it."""
    if poll.certified_at is not None:
        raise ChangeRefused(f"Poll {poll.id} is certified: it cannot be changed any more.")
    fields: dict[str, object] = {}
    if change.title is not msgspec.UNSET:
        fields["title"] = _text(change.title, TITLE_CHARACTERS_MAX, "/title")
    if change.opens_at is not msgspec.UNSET:
        fields["opens_at"] = _aware(change.opens_at, "/opens_at")
    if change.closes_at is not msgspec.UNSET:
        fields["closes_at"] = _aware(change.closes_at, "/closes_at")
    if change.state is State.OPEN:
        if now >= poll.closes_at and change.closes_at is msgspec.UNSET:
            raise ChangeRefused(f"Poll {poll.id} has closed; to open it again, send closes_at as well.")
        fields.setdefault("opens_at", min(poll.opens_at, now))
    elif change.state is State.CLOSED:
        fields["closes_at"] = min(poll.closes_at, settled_at)
        # A poll that never opened closes as well: its window is then the moment of the close.
        fields["opens_at"] = min(poll.opens_at, settled_at - timedelta(milliseconds=1))
    elif change.state is State.SCHEDULED:
        raise ValueRefused(
            "A poll is set to open, closed or certified; schedule it with opens_at.", field="/state"
        )
    return check_window(msgspec.structs.replace(poll, **fields), lifetime)


def check_window(poll: Poll, lifetime: timedelta) -> Poll:
    """The poll, if it opens before it closes, and closes before its ledger could expire."""
    if poll.opens_at >= poll.closes_at:
        raise ValueRefused("A poll opens before it closes.", field="/closes_at")
    if poll.closes_at > poll.created_at + lifetime:
        raise ValueRefused(
            f"A poll closes at most {lifetime.days} days after its creation.", field="/closes_at"
        )
    return poll


def _choices(given: Sequence[str]) -> tuple[str, ...]:
    if not CHOICES_MIN <= len(given) <= CHOICES_MAX:
        raise ValueRefused(f"A poll has {CHOICES_MIN} to {CHOICES_MAX:,} choices.", field="/choices")
    choices = tuple(
        _text(choice, CHOICE_CHARACTERS_MAX, f"/choices/{index}") for index, choice in enumerate(given)
    )
    seen: dict[str, int] = {}
    for index, choice in enumerate(choices):
        if seen.setdefault(choice, index) != index:
            raise ValueRefused(f"Choice {index} repeats choice {seen[choice]}.", field=f"/choices/{index}")
    if sum(len(choice.encode()) for choice in choices) > CHOICES_BYTES_MAX:
        raise ValueRefused(
            f"All choices together have at most {CHOICES_BYTES_MAX:,} bytes in UTF-8.", field="/choices"
        )
    return choices


def _text(given: str, characters_max: int, field: str) -> str:
    text = unicodedata.normalize("NFC", given)
    if not 1 <= len(text) <= characters_max:
        raise ValueRefused(f"Text here has 1 to {characters_max:,} characters.", field=field)
    if text != text.strip():
        raise ValueRefused("Text here neither begins nor ends with white space.", field=field)
    for character in text:
        if unicodedata.category(character) in UNSEEN_CATEGORIES and character not in FORMAT_ALLOWED:
            raise ValueRefused(
                f"Text here has no invisible characters, as U+{ord(character):04X}.", field=field
            )
    return text


def _aware(at: datetime | None, field: str) -> datetime | None:
    if at is None:
        return None
    if at.tzinfo is None:
        raise ValueRefused("A moment needs its offset from UTC, as in 2026-11-20T12:00:00Z.", field=field)
    try:
        return at.astimezone(UTC)
    except OverflowError:
        raise ValueRefused("A moment lies between the years 1 and 9999.", field=field) from None
