"""Administration: what a poll's owner may do, and from when on it holds."""

from datetime import timedelta
from typing import Any

import pytest

from tests.factories import DAY, NOON, FixedClock, make_poll, make_settings
from turnout.base.errors import ValueRefused
from turnout.memory.queue import MemoryConsumerLog
from turnout.memory.votes import MemoryCounters, MemoryPollStore, MemoryTallies
from turnout.queue.ports import ConsumerRecord
from turnout.votes.administration import Administration, PollView
from turnout.votes.errors import ChangeRefused, NotCertifiable, PollChanged, PollExists, PollUnknown
from turnout.votes.persistence import Persistence
from turnout.votes.poll import NewPoll, Poll, PollChange, State


class Scene:
    """Administration in memory."""

    def __init__(self, **settings: Any) -> None:
        given = make_settings(**settings)
        self.clock = FixedClock()
        self.polls = MemoryPollStore()
        self.log = MemoryConsumerLog()
        persistence = Persistence(
            self.polls,
            MemoryCounters(clock=self.clock),
            self.log,
            MemoryTallies(),
            given,
            clock=self.clock,
        )
        self.administration = Administration(self.polls, persistence, given, clock=self.clock)


PLAN = NewPoll(id="finals", choices=["Ada", "Bob"])


async def test_a_poll_opens_now_and_closes_when_it_must_unless_its_plan_says_otherwise() -> None:
    here = Scene(poll_days_max=9, poll_shards_default=7)
    view = await here.administration.create(PLAN)
    assert view == PollView(poll=view.poll, state=State.OPEN)
    assert (view.poll.opens_at, view.poll.closes_at, view.poll.shards) == (NOON, NOON + 9 * DAY, 7)
    assert await here.administration.get("finals") == view


async def test_a_poll_of_that_id_is_not_created_twice() -> None:
    here = Scene()
    first = await here.administration.create(PLAN)
    with pytest.raises(PollExists):
        await here.administration.create(NewPoll(id="finals", choices=["Eve", "Zoe"]))
    assert await here.administration.get("finals") == first


async def test_the_newest_polls_are_listed_first_with_their_states() -> None:
    here = Scene()
    for number in range(3):
        await here.polls.create(make_poll(id=f"poll-{number}", created_at=NOON + timedelta(seconds=number)))
    here.clock.seconds = DAY.total_seconds()
    listed = await here.administration.list(2)
    assert [(view.poll.id, view.state) for view in listed] == [
        ("poll-2", State.CLOSED),
        ("poll-1", State.CLOSED),
    ]


async def test_a_close_by_hand_takes_effect_when_every_instance_has_heard_of_it() -> None:
    here = Scene(poll_cache_seconds=5.0)
    await here.polls.create(make_poll())
    here.clock.seconds = 60
    view = await here.administration.change("finals", PollChange(state=State.CLOSED))
    assert view.poll.closes_at == NOON + timedelta(seconds=65)
    assert view.state is State.OPEN
    here.clock.seconds = 65
    assert (await here.administration.get("finals")).state is State.CLOSED


async def test_a_certification_is_asked_for_by_itself() -> None:
    here = Scene()
    await here.polls.create(make_poll())
    with pytest.raises(ValueRefused) as refused:
        await here.administration.change("finals", PollChange(state=State.CERTIFIED, title="Last"))
    assert refused.value.field == "/state"
    with pytest.raises(NotCertifiable):
        await here.administration.change("finals", PollChange(state=State.CERTIFIED))


async def test_a_poll_is_certified_and_then_changed_no_more() -> None:
    here = Scene()
    await here.polls.create(make_poll())
    here.clock.seconds = 2 * DAY.total_seconds()
    now = here.clock.now()
    await here.log.record(ConsumerRecord(id="drain", started_at=now, seen_at=now, empty_at=now, ended_at=now))
    view = await here.administration.change("finals", PollChange(state=State.CERTIFIED))
    assert (view.state, view.poll.certified_at) == (State.CERTIFIED, now)
    with pytest.raises(ChangeRefused):
        await here.administration.change("finals", PollChange(title="Last"))


async def test_a_poll_that_there_is_not_is_neither_shown_nor_changed() -> None:
    here = Scene()
    with pytest.raises(PollUnknown):
        await here.administration.get("finals")
    with pytest.raises(PollUnknown):
        await here.administration.change("finals", PollChange(title="Last"))


class Meanwhile(MemoryPollStore):
    """Somebody else changes each poll that is read."""

    async def get(self, poll_id: str) -> Poll | None:
        poll = await super().get(poll_id)
        if poll is not None:
            self._polls[poll_id] = make_poll(title="Meanwhile")
        return poll


async def test_what_somebody_else_changed_meanwhile_is_not_overwritten() -> None:
    here = Scene()
    polls = Meanwhile()
    await polls.create(make_poll())
    persistence = Persistence(
        polls,
        MemoryCounters(clock=here.clock),
        here.log,
        MemoryTallies(),
        make_settings(),
        clock=here.clock,
    )
    with pytest.raises(PollChanged):
        await Administration(polls, persistence, make_settings(), clock=here.clock).change(
            "finals", PollChange(title="Last")
        )
