"""The contract of the tasks' store: in memory and on Firestore, the same tests judge both."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.pure.tasks.factories import NOON, a_task, at
from turnout.gcp.connections import Connections
from turnout.gcp.tasks.store import FirestoreTaskStore
from turnout.memory.tasks import MemoryTaskStore
from turnout.tasks import task as tasks
from turnout.tasks.alarms import second_of
from turnout.tasks.books import Entries
from turnout.tasks.errors import TasksChanged
from turnout.tasks.ids import draw_task_ids, shard_of
from turnout.tasks.ports import Named, TaskStore
from turnout.tasks.retrying import TaskRetry
from turnout.tasks.task import Change, State, Stored, Task

RESULT = '["é",1]'


@pytest.fixture(params=["memory", "emulator"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[TaskStore]:
    if request.param == "memory":
        yield MemoryTaskStore()
        return
    async with Connections(request.getfixturevalue("make_settings")()) as connections:
        yield FirestoreTaskStore(connections.firestore())


async def add(store: TaskStore, *new: Task) -> list[Stored]:
    versions = await store.commit([Change(None, task) for task in new], book_shard=0)
    return [Stored(task, version) for task, version in zip(new, versions, strict=True)]


def claim(stored: Stored, *, worker: str = "ann", seconds: float = 0) -> Change:
    after = tasks.claimed(
        stored.task, worker=worker, now=at(seconds), lease_until=at(seconds + 30), stamp=f"claim by {worker}"
    )
    return Change(stored, after)


async def due(store: TaskStore, shard: int, **given: int) -> list[Stored]:
    return [stored async for stored in store.due(shard, **given)]


async def make(store: TaskStore, change: Change, *, book_shard: int = 0) -> Stored:
    (version,) = await store.commit([change], book_shard=book_shard)
    return Stored(change.after, version)


async def test_a_task_is_read_as_it_was_written(store: TaskStore) -> None:
    plain = a_task(2**52 - 1, payload={"url": "https://example.com/ü", "sizes": [80, None]}, key="a/b ü\n")
    full = a_task(
        4_000,
        run_at=at(0.000001),
        context={"trace": "abc"},
        retry=TaskRetry(first_seconds=0.5, crashes_max=9),
        result_ttl_seconds=1.5,
    )
    stored = await add(store, plain, full)

    assert await store.get([full.id, plain.id, 12]) == {each.task.id: each for each in stored}


async def test_what_was_asked_for_outlives_every_change(store: TaskStore) -> None:
    (stored,) = await add(store, a_task(1, payload={"width": 80}))
    running = await make(store, claim(stored))
    extension = tasks.extended(running.task, lease_until=at(60), stamp="extended")
    extended = await make(store, Change(running, extension))
    ended = await make(
        store, Change(extended, tasks.succeeded(extended.task, RESULT, now=at(2), stamp="done"))
    )

    assert len({each.version for each in (stored, running, extended, ended)}) == 4
    assert await store.get([1]) == {1: ended}
    assert ended.task.progress.result == RESULT


async def test_a_change_from_a_version_that_is_gone_is_refused_and_changes_nothing(store: TaskStore) -> None:
    (stored,) = await add(store, a_task(1))
    running = await make(store, claim(stored))

    with pytest.raises(TasksChanged):
        await make(store, claim(stored, worker="bob"))

    assert await store.get([1]) == {1: running}


async def test_one_that_has_changed_holds_back_its_whole_commit_with_its_books(store: TaskStore) -> None:
    first, second = await add(store, a_task(1), a_task(2))
    running = await make(store, claim(first))

    with pytest.raises(TasksChanged):
        await store.commit([claim(second), claim(first, worker="bob")], book_shard=0)

    assert await store.get([1, 2]) == {1: running, 2: second}
    assert (await store.books("thumbnails")).entries == Entries(created=2, attempts=1)


async def test_a_change_of_what_does_not_exist_is_refused(store: TaskStore) -> None:
    with pytest.raises(TasksChanged):
        await make(store, claim(Stored(a_task(1), 1_700_000_000_000_000)))

    assert await store.get([1]) == {}


async def test_an_id_is_used_once(store: TaskStore) -> None:
    (stored,) = await add(store, a_task(1))

    with pytest.raises(TasksChanged):
        await add(store, a_task(2), a_task(1, payload="another"))

    assert await store.get([1, 2]) == {1: stored}


async def test_a_key_is_used_once_in_its_topic(store: TaskStore) -> None:
    await add(store, a_task(1, key="order-7"), a_task(2, key="order-7", topic="mails"))

    with pytest.raises(TasksChanged):
        await add(store, a_task(3, key="order-7"))

    assert list(await store.get([1, 2, 3])) == [1, 2]
    assert await store.named("thumbnails", ["order-8", "order-7", "order-7"]) == [
        Named("thumbnails", "order-7", 1)
    ]
    assert await store.named("mails", ["order-7"]) == [Named("mails", "order-7", 2)]


async def test_a_key_stays_taken_when_its_task_has_ended_and_begins_again(store: TaskStore) -> None:
    (stored,) = await add(store, a_task(1, key="order-7"))
    ended = await make(store, Change(stored, tasks.cancelled(stored.task, now=at(1), stamp="c")))
    again = await make(store, Change(ended, tasks.redriven(ended.task, now=at(2), stamp="r")))

    assert await store.get([1]) == {1: again}
    assert await store.named("thumbnails", ["order-7"]) == [Named("thumbnails", "order-7", 1)]


async def test_what_is_due_is_found_by_shard_and_second_earliest_first(store: TaskStore) -> None:
    ids = draw_task_ids(400, NOON, lambda: 0.0)
    shard = shard_of(ids[0])
    together = [task_id for task_id in ids if shard_of(task_id) == shard][:4]
    other = next(task_id for task_id in ids if shard_of(task_id) != shard)
    seconds = dict(zip(together, (5.999, 3.0, 2.999, 6.0), strict=True))
    await add(store, *(a_task(each, run_at=at(second)) for each, second in seconds.items()))
    await add(store, a_task(other, run_at=at(4)))
    noon = second_of(NOON)

    found = await due(store, shard, since=noon + 3, until=noon + 6, limit=10)
    first = await due(store, shard, since=0, until=noon + 6, limit=1)

    assert [stored.task.id for stored in found] == [together[1], together[0]]
    assert [stored.task.id for stored in first] == [together[2]]
    assert found == [*(await store.get(together[1:2])).values(), *(await store.get(together[:1])).values()]


async def test_what_runs_is_due_when_its_lease_ends_and_what_has_ended_never(store: TaskStore) -> None:
    (stored,) = await add(store, a_task(1))
    noon, shard = second_of(NOON), shard_of(1)
    running = await make(store, claim(stored))
    assert await due(store, shard, since=0, until=noon + 30, limit=10) == []
    assert await due(store, shard, since=noon + 30, until=noon + 31, limit=10) == [running]

    await make(store, Change(running, tasks.cancelled(running.task, now=at(1), stamp="c")))

    assert await due(store, shard, since=0, until=noon + 10**9, limit=10) == []


async def test_pages_are_stable_while_tasks_are_added(store: TaskStore) -> None:
    old = [task_id for second in range(3) for task_id in draw_task_ids(5, at(second), lambda: 0.5)]
    await add(store, *map(a_task, old))
    first = await store.page("thumbnails", limit=6)
    await add(store, *map(a_task, draw_task_ids(5, at(60), lambda: 0.5)))

    rest, seen = first, [stored.task.id for stored in first]
    while rest := await store.page("thumbnails", limit=6, before_id=seen[-1]):
        seen += [stored.task.id for stored in rest]

    assert seen == old[::-1]


async def test_tasks_are_listed_by_topic_state_and_time(store: TaskStore) -> None:
    ids = [draw_task_ids(1, at(second), lambda: 0.5)[0] for second in range(5)]
    stored = await add(store, *map(a_task, ids))
    await add(store, a_task(9, topic="mails"))
    await make(store, claim(stored[3]))

    async def listed(**given: Any) -> list[int]:
        return [ids.index(each.task.id) for each in await store.page("thumbnails", limit=10, **given)]

    assert await listed() == [4, 3, 2, 1, 0]
    assert await listed(state=State.WAITING) == [4, 2, 1, 0]
    assert await listed(state=State.RUNNING) == [3]
    assert await listed(from_id=ids[1], before_id=ids[4]) == [3, 2, 1]
    assert await listed(state=State.WAITING, from_id=ids[1], before_id=ids[4]) == [2, 1]
    assert await listed(state=State.FAILED) == []


async def test_the_books_are_kept_by_topic_over_all_their_shards(store: TaskStore) -> None:
    one, two = await add(store, a_task(1), a_task(2))
    await add(store, a_task(3, topic="mails"))
    running = await make(store, claim(one), book_shard=1)
    assert (await store.books("thumbnails")).unended == 2
    over = tasks.taken_over(running.task, worker="bob", now=at(60), lease_until=at(90), stamp="over")
    running = await make(store, Change(running, over), book_shard=7)
    await make(store, Change(running, tasks.succeeded(running.task, RESULT, now=at(61), stamp="s")))
    await make(store, Change(two, tasks.cancelled(two.task, now=at(61), stamp="c")))

    books = await store.books("thumbnails")

    assert books.entries == Entries(created=2, succeeded=1, cancelled=1, attempts=2, crashed=1)
    assert (books.unended, books.balance) == (0, True)
    assert (await store.books("mails")).entries == Entries(created=1)
    assert (await store.books("nothing")).entries == Entries()


async def test_a_commit_changes_a_task_once(store: TaskStore) -> None:
    with pytest.raises(ValueError, match="each task once"):
        await add(store, a_task(1), a_task(1))


async def test_a_page_is_the_newest_however_unevenly_they_lie(store: TaskStore) -> None:
    """Most lie in one shard, which has to be asked more than once; a page reads no more than it needs of the others."""
    drawn = [task_id for second in range(3) for task_id in draw_task_ids(2_000, at(second), lambda: 0.5)]
    crowded = [task_id for task_id in drawn if shard_of(task_id) == 7]
    others = [task_id for task_id in drawn if shard_of(task_id) != 7][:20]
    ids = sorted({*crowded, *others}, reverse=True)
    for start in range(0, len(ids), 100):
        await add(store, *map(a_task, ids[start : start + 100]))

    first = [each.task.id for each in await store.page("thumbnails", limit=50)]
    second = [each.task.id for each in await store.page("thumbnails", limit=50, before_id=first[-1])]
    whole = [each.task.id for each in await store.page("thumbnails", limit=1_000)]

    assert first == ids[:50]
    assert second == ids[50:100]
    assert whole == ids


async def test_a_telling_is_born_with_the_end_of_its_task_or_not_at_all(store: TaskStore) -> None:
    (stored,) = await add(store, a_task(1))
    running = await make(store, claim(stored))
    ended = tasks.succeeded(running.task, RESULT, now=at(2), stamp="done")
    born = a_task(2, topic="tellings")

    version, born_version = await store.commit([Change(running, ended, born)], book_shard=0)
    with pytest.raises(TasksChanged):
        await store.commit([Change(running, ended, a_task(3, topic="tellings"))], book_shard=0)

    assert await store.get([1, 2, 3]) == {1: Stored(ended, version), 2: Stored(born, born_version)}
    assert (await store.books("tellings")).entries == Entries(created=1)


async def test_an_end_waits_for_a_telling_whose_id_is_taken(store: TaskStore) -> None:
    stored, other = await add(store, a_task(1), a_task(2, payload="another"))
    running = await make(store, claim(stored))
    ended = tasks.succeeded(running.task, RESULT, now=at(2), stamp="done")

    with pytest.raises(TasksChanged):
        await store.commit([Change(running, ended, a_task(2))], book_shard=0)

    assert await store.get([1, 2]) == {1: running, 2: other}


async def test_tasks_are_counted_by_state(store: TaskStore) -> None:
    one, *_ = await add(store, a_task(1), a_task(2), a_task(3, topic="mails"))
    await make(store, claim(one))

    assert await store.count("thumbnails", State.WAITING) == 1
    assert await store.count("thumbnails", State.RUNNING) == 1
    assert await store.count("nothing", State.WAITING) == 0
    assert await store.entries("thumbnails") == Entries(created=2, attempts=1)


async def test_a_topic_is_paused_until_it_is_resumed(store: TaskStore) -> None:
    assert not await store.is_paused("thumbnails")
    await store.set_paused("thumbnails", NOON)
    await store.set_paused("thumbnails", at(1))
    assert await store.is_paused("thumbnails")
    assert not await store.is_paused("mails")
    await store.set_paused("thumbnails", None)
    await store.set_paused("thumbnails", None)
    assert not await store.is_paused("thumbnails")
