"""A ballot: what a client sends to vote, before anything is known about its poll. Parsed once, at the edge."""

from collections.abc import Sequence
from urllib.parse import parse_qsl

import msgspec
from msgspec import UNSET, UnsetType

from turnout.base.errors import BatchRefused, BodyInvalid, BodyTooLarge, TurnoutError, ValueRefused
from turnout.base.strict_json import decode, pointer, refuse_repeated_fields

VOTER_CHARACTERS_MAX = 256
FORM_FIELDS_MAX = 10
_TWICE = "The field {!r} is given twice."
_MISSING = "The field {!r} is missing."


class Ballot(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One choice in one poll, by a voter who may be named. The voter's name is hashed and forgotten."""

    poll: str
    choice: str
    voter: str | None = None


class _Item(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A ballot whose poll stands in the address; the counter on App Engine called a choice `itemID`."""

    poll: str | UnsetType = UNSET
    choice: str | UnsetType = UNSET
    item_id: str | UnsetType = msgspec.field(name="itemID", default=UNSET)
    voter: str | None = None


_ballot = msgspec.json.Decoder(Ballot)
_item = msgspec.json.Decoder(_Item)
_ballots = msgspec.json.Decoder(list[Ballot])
_raws = msgspec.json.Decoder(list[msgspec.Raw])
_FIELDS = frozenset(Ballot.__struct_fields__)


def parse_json(body: bytes) -> Ballot:
    """The ballot in a JSON object; `BodyInvalid` or `ValueRefused` names the field at fault."""
    ballot = decode(body, _ballot)
    if _may_repeat_fields(body, 1, ballot.voter is not None):
        refuse_repeated_fields(body)
    return check(ballot)


def parse_item(body: bytes, poll: str) -> Ballot:
    """The ballot for a poll in a JSON object with a choice, or an `itemID`, and nothing else that it must have."""
    item = decode(body, _item)
    refuse_repeated_fields(body)
    if item.choice is not UNSET and item.item_id is not UNSET:
        raise BodyInvalid(_TWICE.format("itemID"), field="/itemID")
    choice = item.choice if item.item_id is UNSET else item.item_id
    if choice is UNSET:
        raise BodyInvalid(_MISSING.format("choice"), field="/choice")
    if item.poll is not UNSET:
        _expect_same_poll(item.poll, poll)
    return check(Ballot(poll, choice, item.voter))


def parse_form(body: bytes, poll: str | None = None) -> Ballot:
    """The ballot in an HTML form's fields (application/x-www-form-urlencoded); `itemID` means `choice`.

    The poll is among the fields, if it is not given.
    """
    try:
        text = body.decode("ascii")
        pairs = parse_qsl(
            text, keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=FORM_FIELDS_MAX
        )
    except ValueError:
        mend = " It looks like JSON: send it as application/json." if body.lstrip()[:1] in b"{[" else ""
        raise BodyInvalid(f"The body is not a form of fields in UTF-8.{mend}") from None
    fields: dict[str, str] = {}
    for name, value in pairs:
        field = "choice" if name == "itemID" else name
        if field not in _FIELDS:
            raise BodyInvalid(f"The field {name[:100]!r} is unknown.", field=pointer(name))
        if field in fields:
            raise BodyInvalid(_TWICE.format(name), field=pointer(name))
        fields[field] = value
    if poll is not None:
        _expect_same_poll(fields.setdefault("poll", poll), poll)
    for field in ("poll", "choice"):
        if field not in fields:
            raise BodyInvalid(_MISSING.format(field), field=pointer(field))
    return check(Ballot(**fields))


def parse_batch(body: bytes, votes_max: int) -> list[Ballot]:
    """The ballots in a JSON array; `BatchRefused` names each fault by its index, all or nothing."""
    try:
        ballots = _ballots.decode(body)
    except (msgspec.ValidationError, UnicodeDecodeError):
        return _parse_each(_split_array(body), votes_max)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BodyInvalid(f"The body is not valid JSON: {error}.") from None
    _bound(len(ballots), votes_max)
    voters = sum(ballot.voter is not None for ballot in ballots)
    if _may_repeat_fields(body, len(ballots), voters) or any(_fault(ballot) for ballot in ballots):
        return _parse_each(_split_array(body), votes_max)
    return ballots


def parse_lines(body: bytes, votes_max: int) -> list[Ballot]:
    """The ballots in NDJSON, one a line; empty lines are skipped. Faults as in `parse_batch`; an index counts ballots."""
    lines = [line for line in body.split(b"\n") if line.strip()]
    return _parse_each(lines, votes_max)


def check(ballot: Ballot) -> Ballot:
    """The ballot, if its values are within the stated limits."""
    fault = _fault(ballot)
    if fault:
        raise fault
    return ballot


def _expect_same_poll(named: str, poll: str) -> None:
    if named != poll:
        raise ValueRefused(
            f"The address names the poll {poll[:100]!r}, the body another one; leave it out of the body.",
            field="/poll",
        )


def _fault(ballot: Ballot) -> ValueRefused | None:
    if not ballot.poll:
        return ValueRefused("The poll is empty.", field="/poll")
    if not ballot.choice:
        return ValueRefused("The choice is empty.", field="/choice")
    if ballot.voter is not None and not 1 <= len(ballot.voter) <= VOTER_CHARACTERS_MAX:
        return ValueRefused(f"A voter has 1 to {VOTER_CHARACTERS_MAX} characters.", field="/voter")
    return None


def _bound(votes: int, votes_max: int) -> None:
    if votes > votes_max:
        raise BodyTooLarge(votes_max, "votes")
    if votes == 0:
        raise BodyInvalid("The body has no votes.")


def _split_array(body: bytes) -> list[bytes]:
    raws = decode(body, _raws)
    return [bytes(raw) for raw in raws]


def _parse_each(bodies: Sequence[bytes], votes_max: int) -> list[Ballot]:
    _bound(len(bodies), votes_max)
    ballots = []
    faults: dict[int, TurnoutError] = {}
    for index, body in enumerate(bodies):
        try:
            ballots.append(parse_json(body))
        except TurnoutError as fault:
            faults[index] = fault
    if faults:
        raise BatchRefused(faults, len(bodies), "votes")
    return ballots


def _may_repeat_fields(body: bytes, ballots: int, voters: int) -> bool:
    """Whether one of so many objects, so many of them with a voter, may name a field twice: the decoder takes the last.

    Without escapes, each field name stands in the body at least once per object that has it. As often as that: no field
    is repeated. More often, as a value can be called "poll": parse again, slowly.
    """
    return (
        b"\\" in body
        or body.count(b'"poll"') != ballots
        or body.count(b'"choice"') != ballots
        or body.count(b'"voter"') != voters
    )
