"""Tallies never go back, and books name what does not balance."""

from datetime import timedelta

import msgspec
import pytest

from tests.factories import NOON
from turnout.votes.tally import Books, Sums, Tally

TALLY = Tally(poll="finals", counts=(2, 1), votes=3, duplicates=1, as_of=NOON)
BOOKS = Books(
    poll="finals",
    as_of=NOON,
    shards=Sums(3, 1, 2),
    ledger=Sums(3, 1, 2),
    choices_votes=3,
    keys=3,
    key_entries=3,
)


def test_only_a_later_read_replaces_a_tally() -> None:
    later = msgspec.structs.replace(TALLY, as_of=NOON + timedelta(microseconds=1))
    assert TALLY.supersedes(None)
    assert later.supersedes(TALLY)
    assert not TALLY.supersedes(TALLY)
    assert not TALLY.supersedes(later)


def test_a_certified_tally_is_final() -> None:
    certified = msgspec.structs.replace(TALLY, certified_at=NOON)
    later = msgspec.structs.replace(TALLY, as_of=NOON + timedelta(hours=1))
    assert not later.supersedes(certified)


@pytest.mark.parametrize(
    ("changes", "figures"),
    [
        ({"ledger": Sums(1_002, 1, 2)}, ("votes", "1,002")),
        ({"shards": Sums(3, 9, 2)}, ("duplicates", "9")),
        ({"ledger": Sums(3, 1, 4)}, ("bundles", "4")),
        ({"choices_votes": 5}, ("choices", "5")),
        ({"key_entries": 2}, ("keys", "2")),
    ],
)
def test_each_imbalance_is_named_with_its_figures(
    changes: dict[str, object], figures: tuple[str, ...]
) -> None:
    assert BOOKS.balance
    books = msgspec.structs.replace(BOOKS, **changes)
    (fault,) = books.faults
    assert all(figure in fault for figure in figures)
