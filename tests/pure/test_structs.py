"""Data do not change once they are made, and a client's misspelt field is a fault."""

import importlib
import inspect
import pkgutil
from collections.abc import Iterator

import msgspec
import pytest

import turnout
from turnout.queue.progress import ConsumerProgress
from turnout.votes.ballot import Ballot
from turnout.votes.fold import Delta
from turnout.votes.handler import Counted
from turnout.votes.poll import NewPoll, PollChange

#: What is counted up while it is shown.
CHANGING: tuple[type[msgspec.Struct], ...] = (ConsumerProgress, Counted, Delta)
#: What clients send.
SENT: tuple[type[msgspec.Struct], ...] = (Ballot, NewPoll, PollChange)


def structs() -> Iterator[type[msgspec.Struct]]:
    for found in pkgutil.walk_packages(turnout.__path__, "turnout."):
        if found.name.startswith(("turnout.queue", "turnout.votes")):
            module = importlib.import_module(found.name)
            for _, each in inspect.getmembers(module, inspect.isclass):
                if issubclass(each, msgspec.Struct) and each.__module__ == found.name:
                    yield each


def test_there_are_structs_to_judge() -> None:
    assert len(list(structs())) > 20


@pytest.mark.parametrize("struct", list(structs()), ids=lambda each: each.__name__)
def test_a_struct_is_frozen_unless_it_counts(struct: type[msgspec.Struct]) -> None:
    frozen = struct.__struct_config__.frozen
    assert frozen is not issubclass(struct, CHANGING)


@pytest.mark.parametrize("struct", SENT, ids=lambda each: each.__name__)
def test_what_clients_send_has_no_field_that_is_not_known(struct: type[msgspec.Struct]) -> None:
    assert struct.__struct_config__.forbid_unknown_fields
