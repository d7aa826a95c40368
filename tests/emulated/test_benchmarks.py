"""Every bench, as small as it goes, on a local cloud of its own: each audits its votes and leaves the cloud empty."""

from collections.abc import AsyncIterator, Iterator, Sequence
from math import isfinite

import pytest

from benchmarks import cost, drain, growth, intake, whole_way
from benchmarks.cloud import Inexact, expect_exact, open_poll
from benchmarks.queue import fill
from benchmarks.rivals import bench as rivals
from benchmarks.rivals.serve import INCREMENT, QUEUES
from benchmarks.table import Figure
from emulators.errors import FetchFailed, JavaMissing
from emulators.stack import LocalCloud
from tests.conftest import run_apart, unavailable
from tests.environment import plain_environment
from tests.needs import need
from turnout.gcp.votes.wiring import Wiring
from turnout.votes.poll import OnePer

CONNECTIONS = 8


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    """A local cloud that benches may reset; nothing else uses it."""
    made = LocalCloud(
        state_folder=tmp_path_factory.mktemp("bench"),
        project="bench-turnout",
        workers=2,
        schedule=False,
        environment=plain_environment(),
    )
    try:
        run_apart(made.start())
    except (FetchFailed, JavaMissing) as error:
        unavailable(error)
    yield made
    run_apart(made.stop())


@pytest.fixture
async def wiring(cloud: LocalCloud) -> AsyncIterator[Wiring]:
    """The core on this cloud's services."""
    async with Wiring(cloud.settings) as made:
        yield made


def by_name(figures: Sequence[Figure]) -> dict[tuple[str, str], Figure]:
    assert figures
    assert all(isfinite(figure.median) and figure.least >= 0 for figure in figures)
    return {(figure.name, figure.unit): figure for figure in figures}


async def test_intake_is_measured_beside_the_hello_world_paced_and_in_batches(
    cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    need("wrk")
    monkeypatch.setattr(intake, "GOAL_CONNECTIONS", CONNECTIONS)
    found = by_name(
        await intake.bench(
            cloud, rounds=1, seconds=1, workers=1, connections=(CONNECTIONS,), batches=((20, 2),)
        )
    )
    one = f"intake, {CONNECTIONS} connections"
    assert 0 < found[one, "of hello"].median == found[one, "votes/s"].median / found[one, "hello/s"].median
    paced = found[f"{one}, at half its rate", "votes/s"].median
    assert paced < 0.75 * found[one, "votes/s"].median
    assert found["intake, 20 votes a POST, 2 connections", "votes/s"].median > 0


async def test_rivals_take_the_same_post_and_keep_what_they_confirmed(cloud: LocalCloud) -> None:
    need("wrk", "redis-server")
    found = by_name(await rivals.bench(cloud, rounds=1, seconds=1, workers=1, connections=(CONNECTIONS,)))
    for name in (rivals.TURNOUT, INCREMENT.name, *(queue.name for queue in QUEUES)):
        assert found[f"{name}, {CONNECTIONS} connections", "votes/s"].median > 0
    assert found[f"intake ÷ rivals, {CONNECTIONS} connections", "best queue"].median > 0


async def test_the_drain_is_measured_beside_its_calls_alone(
    cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drain, "BURST", drain.Case(OnePer.KEY, 100, 10))
    monkeypatch.setattr(drain, "BURST_SECONDS", 0.5)
    cases = (drain.Case(OnePer.KEY, 10, 150),)
    found = by_name(await drain.bench(cloud, rounds=1, cases=cases, tasks=(1,), memory_seconds=1))
    row = "drain key ×10, 1 task"
    for unit in ("votes/s", "calls alone", "pulls alone", "commits alone", "client, unfolded"):
        assert found[row, unit].median > 0
    assert 20 < found[row, "MB a task"].median < 300
    assert {unit for name, unit in found if name.startswith("drain, memory")} >= {"MB, first ¼", "MB, last ¼"}


async def test_the_whole_way_is_timed_and_its_freshness_is_known(cloud: LocalCloud) -> None:
    need("wrk")
    found = by_name(await whole_way.bench(cloud, rounds=1, seconds=1, votes=2_500))
    for mode in ("none", "voter"):
        steps = [found[f"whole way, {mode}", f"s {step}"].median for step in ("posted", "counted", "audited")]
        assert steps == sorted(steps)
    fresh = found["freshness, one a POST, 512 connections", "freshness p99 s"].median
    assert 0 < fresh < 60


async def test_growth_compares_each_row_with_the_first(cloud: LocalCloud) -> None:
    need("wrk")
    sizes = (
        growth.Size(votes=1_000),
        growth.Size(votes=1_000, polls=5),
        growth.Size(votes=1_000, choices=500),
    )
    found = by_name(await growth.bench(cloud, rounds=1, seconds=1, sizes=sizes, spreads=((3, 4),)))
    assert found[f"growth, {sizes[0].name}", "$/M ÷ first"].median == 1.0
    # 500 choices need two pages of a shard.
    assert (
        found[f"growth, {sizes[2].name}", "writes/M"].median
        > found[f"growth, {sizes[0].name}", "writes/M"].median
    )
    assert found["growth over HTTP, 3 polls, 4 choices", "votes a bundle"].median >= 1


async def test_cost_has_a_bill_for_each_case_and_each_other_design(cloud: LocalCloud) -> None:
    need("wrk")
    found = by_name(await cost.bench(cloud, rounds=1, seconds=1, cases=((OnePer.NONE, 100, 20),)))
    mine = found["cost none ×100", "$/M"].median
    assert 0.40 < mine < found["Increment a POST, inexact", "$/M"].median


async def test_votes_that_are_missing_make_a_bench_fail(cloud: LocalCloud, wiring: Wiring) -> None:
    poll = await open_poll(wiring)
    await fill(wiring.topic(), [poll], votes=10, bundles=3)
    with pytest.raises(Inexact, match="0 votes were counted, 30 to 30 are right"):
        await expect_exact(wiring, poll, at_least=30, at_most=30)
    await cloud.reset()
