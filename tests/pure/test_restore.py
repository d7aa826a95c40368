"""What a restore would replace, as a person is told."""

from turnout.votes.restore import Difference, Standing, differences

SOME, MORE = Standing(3, 0, 3), Standing(1_007, 2, None)


def test_polls_that_stand_alike_are_not_named() -> None:
    assert differences({"a": SOME, "b": SOME}, {"a": SOME, "b": MORE, "c": SOME}) == [
        Difference("b", SOME, MORE),
        Difference("c", None, SOME),
    ]


def test_each_difference_says_what_happens_to_the_poll() -> None:
    assert str(Difference("finals", MORE, SOME)) == (
        "finals: 1,007 votes (2 duplicates, none persisted) become 3 votes (0 duplicates, 3 persisted)"
    )
    assert str(Difference("finals", None, SOME)) == "finals: comes back, 3 votes (0 duplicates, 3 persisted)"
    assert str(Difference("finals", SOME, None)) == "finals: is lost, 3 votes (0 duplicates, 3 persisted)"
