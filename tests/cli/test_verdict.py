"""The demo's verdict: a single vote too few or too many fails it, with the figures."""

from datetime import UTC, datetime

import msgspec
import pytest
from rich.console import Console

from cli.demo import Outcome, judge
from cli.faults import CheckFailed, exit_code
from turnout.votes.audit import Verdict
from turnout.votes.tally import Books, Sums, Tally

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
TALLY = Tally(poll="finals", counts=(700, 300), votes=1_000, duplicates=50, as_of=NOW)
SUMS = Sums(1_000, 50, 3)
BOOKS = Books(
    poll="finals", as_of=NOW, shards=SUMS, ledger=SUMS, choices_votes=1_000, keys=1_000, key_entries=1_000
)
EXACT = Outcome(
    choices=("Ada", "Grace"),
    promised=(700, 300),
    repeated=50,
    sent_again=0,
    live=TALLY,
    persisted=TALLY,
    audit=Verdict(books=BOOKS, persisted=TALLY, faults=()),
)


def changed(**changes: object) -> Outcome:
    return msgspec.structs.replace(EXACT, **changes)


def tally(**changes: object) -> Tally:
    return msgspec.structs.replace(TALLY, **changes)


def test_three_equal_accounts_are_exact() -> None:
    assert EXACT.faults == ()


@pytest.mark.parametrize(
    ("outcome", "fault"),
    [
        (changed(live=tally(counts=(699, 300), votes=999)), "Firestore holds 699 votes for Ada, promised were 700"),
        (changed(live=tally(counts=(701, 300), votes=1_001)), "Firestore holds 701 votes for Ada, promised were 700"),
        (changed(live=tally(votes=1_001)), "Firestore's total is 1,001, promised were 1,000"),
        (changed(persisted=tally(counts=(701, 299))), "Datastore holds 299 votes for Grace, promised were 300"),
        (changed(persisted=None), "Datastore holds no tally"),
        (changed(live=tally(duplicates=49)), "49 duplicates were counted, 50 were sent"),
        (changed(live=tally(duplicates=53), sent_again=2), "53 duplicates were counted, 50 to 52 were sent"),
        (changed(audit=Verdict(books=BOOKS, persisted=TALLY, faults=("the books are wet",))), "the books are wet"),
    ],
)  # fmt: skip
def test_each_disagreement_is_named_with_its_figures(outcome: Outcome, fault: str) -> None:
    assert fault in outcome.faults


def test_votes_sent_again_after_a_lost_answer_may_be_duplicates_or_not() -> None:
    for duplicates in (50, 51, 52):
        assert changed(live=tally(duplicates=duplicates), sent_again=2).faults == ()


def test_the_accounts_fit_a_terminal_of_80_columns_at_ten_million_votes() -> None:
    many = tally(counts=(7_000_000, 3_000_000), votes=10_000_000, duplicates=1_000_000)
    outcome = changed(
        choices=("Ada Lovelace, Countess of Lovelace", "[bold]Grace[/bold]"),
        promised=(7_000_000, 3_000_000),
        repeated=1_000_000,
        live=many,
        persisted=many,
    )
    screen = Console(width=80, force_terminal=False)
    with screen.capture() as capture:
        judge(screen, outcome)
    lines = capture.get().splitlines()
    assert max(map(len, lines)) <= 80
    # Every figure stands on its choice's own line, and markup is not heeded.
    assert sum("10,000,000" in line for line in lines) >= 1
    assert any("[bold]Grace[/bold]" in line and line.count("3,000,000") == 3 for line in lines)


def test_a_lost_vote_fails_the_demo_with_exit_code_1() -> None:
    screen = Console(width=80, quiet=True)
    with pytest.raises(CheckFailed, match="Firestore holds 699 votes for Ada, promised were 700") as failure:
        judge(screen, changed(live=tally(counts=(699, 300), votes=999)))
    assert exit_code(failure.value) == 1
