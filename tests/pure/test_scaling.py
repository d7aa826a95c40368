"""The model of the deployed system: it loses nothing, breaks no rule that it states, and agrees with what can be computed."""

import asyncio
import itertools
import math
import random
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
import simpy
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.prices import DELETE, REQUEST, WRITE
from benchmarks.scaling.__main__ import with_tables
from benchmarks.scaling.answers import MODES, RATES, Answers, Burst, Table, parameters_table, sizes_table
from benchmarks.scaling.backlog import Backlog, Bundles, cut
from benchmarks.scaling.calibration import line_through
from benchmarks.scaling.drain import Gate
from benchmarks.scaling.intake import (
    Cohort,
    Load,
    Topic,
    instances_for,
    publish_seconds_mean,
    votes_per_second_max,
)
from benchmarks.scaling.lines import Documents, Line, Ramp, ramp_seconds, seconds_until_rate
from benchmarks.scaling.parameters import UNBOUNDED, Parameters, describe
from benchmarks.scaling.plots import draw_all
from benchmarks.scaling.record import Record, Seconds
from benchmarks.scaling.simulation import Outcome, simulate
from benchmarks.scaling.sizing import AGE_SECONDS_MAX, billed, limits, sized
from tests.factories import cut_into_batches, hex_id, lease_of, make_settings
from tests.simulation.virtual import LoopClock, VirtualLoop
from turnout.queue.message import Outgoing
from turnout.votes.bundle import Bundle, decode
from turnout.votes.fold import Leased
from turnout.votes.intake import vote_batcher
from turnout.votes.vote import Vote

DOCS = Path(__file__).parents[2] / "docs"
#: A small system whose instances and lanes are there from the start.
SMALL = Parameters(instances_min=2, instances_max=2, tasks=1, lanes=4, shards=4).warm()
MINUTE = Load(votes_per_second=2_000, seconds=60)
RULE: dict[str, float] = {"growth": 1.5, "step_seconds": 300.0}


def changed(parameters: Parameters, **changes: Any) -> Parameters:
    return msgspec.structs.replace(parameters, **changes)


def run(parameters: Parameters, load: Load = MINUTE, **how: Any) -> Outcome:
    return simulate(load, parameters, **{"leasing_at_once": True, **how})


# Waiting lines.


def test_a_line_makes_random_customers_wait_as_long_as_queueing_theory_says() -> None:
    """M/D/1: the mean wait is ρ / 2(1 − ρ) services."""
    chance, line, now, waits = random.Random(7), Line(), 0.0, []
    load = 0.7
    for _ in range(200_000):
        now += chance.expovariate(load)
        waits.append(line.serve(now, 1.0) - 1.0 - now)

    assert statistics.mean(waits) == pytest.approx(load / (2 * (1 - load)), rel=0.05)
    assert line.busy_seconds == 200_000


def test_a_document_takes_one_write_after_the_other_and_others_do_not_wait_for_it() -> None:
    documents = Documents(2.0)

    begins = [documents.write(3, 10.0, 0.1) for _ in range(3)]

    assert begins == [10.0, 10.5, 11.0]
    assert documents.write(4, 10.0, 0.1) == 10.0
    assert documents.write(4, 10.0, 9.0) == 10.5
    assert documents.write(4, 10.0, 0.1) == 19.5


def test_a_ramp_follows_500_50_5() -> None:
    ramp = Ramp(500, **RULE)

    assert ramp.rate(0.0) == 500
    assert ramp.admit(100.0, 500 * 300) == pytest.approx(400.0)
    assert ramp.rate(399.0) == 500
    assert ramp.rate(401.0) == 750
    assert ramp.admit(400.0, 750) == pytest.approx(401.0)
    # What was not used is not saved up.
    assert ramp.admit(690.0, 750) == pytest.approx(691.0)
    assert ramp.rate(100.0 + 3_600) == pytest.approx(500 * 1.5**12)


@given(st.lists(st.tuples(st.floats(0, 200), st.integers(1, 50_000)), min_size=1, max_size=40))
def test_a_ramp_never_lets_in_more_than_its_rate(arrivals: list[tuple[float, int]]) -> None:
    ramp, now, admitted = Ramp(500, **RULE), 0.0, 0
    for pause, writes in arrivals:
        now += pause
        at = ramp.admit(now, writes)
        began = began_at(arrivals)
        admitted += writes
        assert at >= now
        assert at - began >= ramp_seconds(admitted, 500, **RULE) * (1 - 1e-9)


def began_at(arrivals: Sequence[tuple[float, int]]) -> float:
    return arrivals[0][0]


def test_how_long_a_ramp_takes_can_be_computed() -> None:
    ramp = Ramp(500, **RULE)

    assert ramp_seconds(1e8, 500, **RULE) == pytest.approx(ramp.admit(0.0, 100_000_000))
    assert ramp_seconds(1e8, 500, **RULE) / 60 == pytest.approx(72, abs=1)
    assert seconds_until_rate(500, 500, **RULE) == 0
    assert seconds_until_rate(750, 500, **RULE) == 300
    assert seconds_until_rate(1e6, 500, **RULE) == 19 * 300


def test_lanes_wait_before_a_ramp_that_is_behind_and_each_gets_its_turn() -> None:
    env = simpy.Environment()
    ramp = Ramp(500, **RULE)
    gate = Gate(env, ramp)
    ramp.admit(0.0, 5_000)
    turns: list[float] = []

    def lane() -> Any:
        yield gate.opens()
        turns.append(env.now)
        ramp.admit(env.now, 500)

    for _ in range(3):
        env.process(lane())
    assert not gate.is_open
    env.run(until=60)

    assert turns == sorted(turns)
    assert turns[0] == pytest.approx(8.0)
    assert len(turns) == 3
    assert gate.is_open


# The queue.


def test_a_lease_takes_the_oldest_and_no_more_than_it_may() -> None:
    backlog = Backlog(simpy.Environment())
    for number in (3, 5, 2):
        backlog.put(Bundles(number, number * 10, float(number)))

    taken = backlog.lease(6)

    assert [(each.number, each.votes_each) for each in taken] == [(3, 30), (3, 50)]
    assert (backlog.bundles, backlog.votes) == (4, 2 * 50 + 2 * 20)
    assert sum(each.number for each in backlog.lease(100)) == 4
    assert backlog.lease(100) == []


@given(
    st.lists(st.tuples(st.integers(1, 30), st.integers(1, 300)), max_size=8),
    st.integers(1, 700),
    st.sampled_from([0, 1]),
)
async def test_leases_are_cut_into_commits_as_the_real_lane_cuts_them(
    groups: list[tuple[int, int]], entries_max: int, keys: int
) -> None:
    lease = [Bundles(number, votes, 0.0) for number, votes in groups]
    real = [leased(votes, keys) for number, votes in groups for _ in range(number)]

    ours = [
        [each.votes_each for each in batch for _ in range(each.number)]
        for batch in cut(lease, entries_max, keys_each_vote=keys)
    ]

    theirs = await cut_into_batches(real, entries_max)
    assert ours == [[each.bundle.votes for each in batch] for batch in theirs]


def leased(votes: int, keys: int) -> Leased:
    keyed = ((b"0" * 16, 0),) * (votes * keys)
    return lease_of(Bundle(hex_id(0), "finals", 0, {} if keys else {0: votes}, keyed))


# The bundler: the model beside the real one, both in virtual time.


@pytest.mark.parametrize(
    ("votes_per_second", "publish_seconds"),
    [(20, 0.02), (400, 0.02), (4_000, 0.02), (10_000, 0.2), (10_000, 0.9)],
)
def test_bundles_are_as_large_as_those_of_the_real_bundler(
    votes_per_second: int, publish_seconds: float
) -> None:
    """From votes that go alone, over bundles of a publish's votes, to several full ones in flight."""
    ours = modelled_bundle_votes(votes_per_second, publish_seconds)

    assert ours == pytest.approx(real_bundle_votes(votes_per_second, publish_seconds), rel=0.06)


def modelled_bundle_votes(votes_per_second: int, publish_seconds: float) -> float:
    parameters = Parameters(
        publish_seconds=publish_seconds,
        instance_concurrency=20_000,
        vote_cpu_seconds=1e-9,
        publish_cpu_seconds=0.0,
    )
    env, record = simpy.Environment(), Record()
    topic = Topic(
        env, parameters, Load(votes_per_second=1, seconds=1), Backlog(env), record, random.Random(1)
    )
    Cohort(env, 1, parameters, topic, record).offer(votes_per_second)
    env.run(until=20)
    return record.promised / record.bundles


def real_bundle_votes(votes_per_second: int, publish_seconds: float) -> float:
    loop = VirtualLoop(turns_max=10_000_000)
    try:
        sizes = loop.run_until_complete(real_bundles(votes_per_second, publish_seconds, loop))
    finally:
        loop.close()
    return statistics.mean(sizes)


async def real_bundles(votes_per_second: int, publish_seconds: float, loop: VirtualLoop) -> list[int]:
    chance = random.Random(2)
    sizes: list[int] = []

    class Topic:
        async def publish(self, messages: Sequence[Outgoing], *, timeout_seconds: float) -> None:
            await asyncio.sleep(publish_seconds * chance.lognormvariate(0.0, Parameters().latency_sigma))
            sizes.extend(decode(message.data).votes for message in messages)

    ids = itertools.count()
    batcher = vote_batcher(
        Topic(),
        make_settings(),
        clock=LoopClock(loop),
        chance=chance.random,
        new_id=lambda: hex_id(next(ids)),
    )
    for _ in range(votes_per_second * 20):
        batcher.add([Vote("finals", 0)])
        await asyncio.sleep(1 / votes_per_second)
    await batcher.settle()
    return sizes


def test_an_instance_holds_no_more_requests_than_it_may() -> None:
    env, record = simpy.Environment(), Record()
    parameters = Parameters(publish_seconds=5.0, instance_concurrency=80)
    topic = Topic(env, parameters, MINUTE, Backlog(env), record, random.Random(1))
    cohort = Cohort(env, 1, parameters, topic, record)

    cohort.offer(5_000)
    env.run(until=1)
    cohort.look()

    assert cohort.taken == pytest.approx(80)


# Whole runs.


@settings(max_examples=15, deadline=None)
@given(
    rate=st.sampled_from([3, 700, 20_000]),
    keys=st.sampled_from([0, 1]),
    instances=st.integers(0, 12),
    lanes=st.integers(1, 12),
    shards=st.integers(1, 12),
    entries=st.sampled_from([1, 100, 2_000]),
    ramp=st.sampled_from([500.0, UNBOUNDED]),
    seed=st.integers(0, 1_000),
)
def test_every_vote_that_was_promised_is_counted_once(
    rate: int, keys: int, instances: int, lanes: int, shards: int, entries: int, ramp: float, seed: int
) -> None:
    parameters = Parameters(
        instances_min=instances,
        instances_max=12,
        lanes=lanes,
        shards=shards,
        commit_entries_max=entries,
        ramp_writes_per_second=ramp,
        document_writes_per_second=50.0,
    )
    load = Load(votes_per_second=rate, seconds=4.0, keys_each_vote=keys)

    outcome = simulate(load, parameters, seed=seed, seconds_max=1e7)

    record = outcome.record
    assert outcome.drained
    assert record.counted == record.promised
    assert record.sent == pytest.approx(rate * 4.0)
    # What is left of the fluid is less than a vote in the front and in each instance.
    assert -1e-6 <= record.sent - record.refused - record.promised < 14
    assert record.writes - record.commits == record.bundles + keys * record.counted


def test_the_same_seed_gives_the_same_run_and_another_seed_another() -> None:
    def told(seed: int) -> bytes:
        record = run(SMALL, seed=seed).record
        return msgspec.json.encode(
            [record.samples, record.ages.percentile(0.5), record.commits, record.last_counted_at]
        )

    assert told(1) == told(1)
    assert told(1) != told(2)


def test_more_lanes_are_never_slower_until_another_limit_is_met() -> None:
    load = Load(votes_per_second=100_000, seconds=20)
    system = changed(SMALL, instances_min=25, instances_max=25)
    times = [
        run(changed(system, lanes=lanes, shards=lanes), load).record.last_counted_at
        for lanes in (1, 2, 4, 8, 16)
    ]

    assert all(later <= earlier * 1.02 for earlier, later in itertools.pairwise(times))
    assert times[0] > 3 * times[2]
    # Sixteen lanes could do three times the rate: it is the votes that they wait for.
    assert times[4] == pytest.approx(20, abs=2.5)


def test_the_backlog_is_as_large_as_littles_law_says() -> None:
    # Commits that come at other moments than the samples, which come each second.
    system = changed(SMALL, document_writes_per_second=0.7, lanes=7, shards=7)
    outcome = run(system, measured_from_seconds=10)

    held = statistics.mean(
        sample.backlog for sample in outcome.record.samples if 10 <= sample.seconds < MINUTE.seconds
    )
    waited = outcome.record.ages.mean() - outcome.record.answers.mean()
    assert held == pytest.approx(MINUTE.votes_per_second * waited, rel=0.15)


def test_a_run_takes_no_less_than_the_documents_allow_and_little_more() -> None:
    """Bundles that wait: each shard takes a commit a second of 200 bundles at most."""
    load = Load(votes_per_second=200_000, seconds=10)
    outcome = run(changed(SMALL, instances_min=50, instances_max=50), load)

    seconds = outcome.record.bundles / (SMALL.shards * SMALL.lease_messages_max)
    assert seconds > 20
    assert seconds <= outcome.record.last_counted_at <= 1.15 * seconds + 2
    assert outcome.record.commits <= SMALL.shards * (outcome.record.last_counted_at + 1)


def test_a_new_poll_is_drained_as_fast_as_the_ramp_allows_and_no_faster() -> None:
    load = Load(votes_per_second=20_000, seconds=20, keys_each_vote=1)
    # One execution does it all.
    system = Parameters(
        instances_min=6,
        instances_max=6,
        lanes=64,
        shards=64,
        document_writes_per_second=50.0,
        task_seconds_max=3_600.0,
    )
    outcome = run(system, load)

    least = ramp_seconds(outcome.record.writes, 500, **RULE)
    assert least > 500
    assert least <= outcome.record.last_counted_at <= 1.03 * least


def test_votes_beyond_the_instances_are_refused_and_none_is_lost() -> None:
    parameters = changed(SMALL, instance_concurrency=1_000)
    can = 2 * votes_per_second_max(parameters)
    outcome = run(parameters, Load(votes_per_second=3 * can, seconds=60))

    record = outcome.record
    assert record.promised == pytest.approx(can * (60 + parameters.front_wait_seconds), rel=0.05)
    assert record.front_wait_seconds_max == pytest.approx(parameters.front_wait_seconds)
    assert record.promised + record.refused == pytest.approx(record.sent, abs=3)


def test_instances_are_as_busy_as_the_autoscaler_wants_them() -> None:
    for rate in (30_000, 100_000):
        needed = instances_for(rate, Parameters())
        system = changed(SMALL, instances_min=needed, instances_max=needed, lanes=16, shards=16)
        record = run(system, Load(votes_per_second=rate, seconds=10)).record

        busy = record.instance_cpu_seconds / (needed * 10)
        assert 0.6 * SMALL.utilisation <= busy <= 1.02 * SMALL.utilisation
        assert record.refused == 0
        # A vote waits for half of the publish before its own, and for its own.
        assert record.answers.mean() == pytest.approx(1.5 * publish_seconds_mean(SMALL), rel=0.2)


def test_instances_start_when_votes_come_and_take_what_has_waited() -> None:
    outcome = run(changed(SMALL, instances_min=0), Load(votes_per_second=2_000, seconds=20))

    ready = next(sample.seconds for sample in outcome.record.samples if sample.instances)
    assert ready == pytest.approx(SMALL.instance_start_seconds, abs=1)
    assert outcome.record.front_wait_seconds_max == pytest.approx(SMALL.instance_start_seconds, abs=0.2)
    assert outcome.record.refused == 0


def test_executions_overlap_while_votes_never_cease() -> None:
    parameters = changed(SMALL, task_seconds_max=300.0)
    outcome = simulate(Load(votes_per_second=200, seconds=900), parameters)

    at_once = [sample.tasks for sample in outcome.record.samples if 400 < sample.seconds < 900]
    assert statistics.mean(at_once) == pytest.approx(300 / 60, abs=0.5)


def test_a_task_is_billed_from_its_start_to_its_idle_end() -> None:
    parameters = changed(SMALL, schedule_seconds=600.0, idle_seconds=20.0)
    outcome = simulate(Load(votes_per_second=5, seconds=30), parameters, seconds_max=500.0)
    begins = parameters.schedule_phase_seconds + parameters.task_start_seconds

    assert outcome.drained
    assert begins < outcome.record.last_counted_at < begins + 3
    # The run is looked at for the last time when all is counted; the idle time after it is billed as well.
    ran = outcome.seconds - begins
    assert outcome.record.task_seconds_billed == pytest.approx(
        max(ran + parameters.task_start_seconds, parameters.task_billed_seconds_min) + parameters.idle_seconds
    )


def test_an_execution_that_finds_nothing_ends_after_its_idle_time() -> None:
    """Two votes, so far apart that the first execution has ended before the second vote comes."""
    parameters = changed(SMALL, schedule_seconds=60.0, idle_seconds=20.0, instances_min=1)
    outcome = simulate(Load(votes_per_second=0.005, seconds=401), parameters)

    at_once = [sample.tasks for sample in outcome.record.samples if 100 < sample.seconds < 190]
    assert set(at_once) == {0, 1}
    assert sum(at_once) == pytest.approx(90 * parameters.idle_seconds / 60, abs=15)


def test_nothing_is_leased_before_the_first_execution_starts() -> None:
    outcome = simulate(Load(votes_per_second=100, seconds=30), SMALL)
    begins = SMALL.schedule_phase_seconds + SMALL.task_start_seconds

    assert all(sample.counted == 0 for sample in outcome.record.samples if sample.seconds <= begins)


# Sizes, limits and costs.


@pytest.fixture(scope="module")
def small_answer() -> Answers:
    """One size and one burst, in the place of all."""
    load = Load(votes_per_second=1_000, seconds=0)
    one = sized(load, Parameters())
    burst = run(SMALL, Load(votes_per_second=100, seconds=5))
    return Answers(
        deployed=Parameters(),
        sizes={(keys, rate): one for keys in MODES for rate in RATES},
        sensitivities=[("as assumed", one, one)],
        bursts=[
            Burst(keys, "sized", database, burst) for keys in MODES for database in ("new poll", "ramped up")
        ],
        steady=[],
    )


def test_the_smallest_system_keeps_up_and_a_smaller_one_does_not() -> None:
    load = Load(votes_per_second=5_000, seconds=30, keys_each_vote=1)
    found = sized(load, Parameters())

    assert found.outcome.record.ages.percentile(0.99) <= AGE_SECONDS_MAX
    assert found.outcome.record.refused == 0
    assert found.parameters.shards == found.lanes
    fewer = changed(found.parameters, lanes=found.lanes // 2, shards=found.lanes // 2, instances_min=2).warm()
    behind = run(fewer, load, seconds_max=load.seconds).record
    assert behind.promised - behind.counted > 0.3 * behind.promised


def test_no_system_is_named_for_a_rate_that_no_shards_can_take() -> None:
    with pytest.raises(ValueError, match="keeps up"):
        sized(
            Load(votes_per_second=1e6, seconds=0, keys_each_vote=1),
            Parameters(document_writes_per_second=0.01),
        )


def test_keys_meet_the_ramp_first_and_the_defaults_are_reached_in_order() -> None:
    keyed = limits(1, Parameters())

    assert keyed[0].short == "ramp"
    assert keyed[0].votes_per_second == pytest.approx(495, abs=5)
    rates = [limit.votes_per_second for limit in keyed]
    assert rates == sorted(rates)
    none = {limit.short: limit.votes_per_second for limit in limits(0, Parameters())}
    for limit in keyed:
        assert limit.votes_per_second <= none[limit.short]


def test_a_vote_costs_its_request_and_its_share_of_the_writes() -> None:
    for keys in MODES:
        outcome = run(SMALL, Load(votes_per_second=2_000, seconds=20, keys_each_vote=keys))
        record = outcome.record

        costs = billed(outcome, 0.0, 0.0)

        assert costs.requests == pytest.approx(record.promised * REQUEST)
        entries = record.bundles + keys * record.promised
        assert costs.firestore == pytest.approx((entries + record.commits) * WRITE + entries * DELETE)
        assert costs.compute == 0


def test_percentiles_weigh_by_votes() -> None:
    seconds = Seconds()
    assert seconds.percentile(0.5) == seconds.mean() == 0.0
    seconds.add(1.0, 98)
    seconds.add(5.0, 2)

    assert (seconds.percentile(0.5), seconds.percentile(0.98), seconds.percentile(0.99)) == (1.0, 1.0, 5.0)
    assert seconds.mean() == pytest.approx(1.08)


def test_a_line_through_points_is_never_negative() -> None:
    assert line_through([(1, 3.0), (2, 5.0), (3, 7.0)]) == pytest.approx((1.0, 2.0))
    assert line_through([(1, 5.0), (3, 1.0)]) == pytest.approx((3.0, 0.0))


# The docs.


def test_every_parameter_has_a_unit_and_a_source() -> None:
    described = describe(Parameters())

    assert len(described) == len(Parameters.__struct_fields__) > 30
    for each in described:
        assert each.origin.unit, each.name
        assert each.origin.source, each.name
        assert each.value >= 0


def test_the_docs_show_the_parameters_of_the_model() -> None:
    page = (DOCS / "scaling.md").read_text(encoding="utf-8")

    assert parameters_table(Parameters()).markdown() in page


def test_tables_are_put_between_their_marks_and_the_prose_stays() -> None:
    table = Table(("a", "b"), [("x", "1")])
    page = "Before.\n\n<!-- table: one -->\nold\n<!-- end -->\n\nAfter.\n"

    made = with_tables(page, {"one": table})

    assert made.startswith("Before.\n")
    assert made.endswith("After.\n")
    assert "old" not in made
    assert "| x | 1 |" in made
    assert with_tables(made, {"one": table}) == made
    with pytest.raises(ValueError, match="two"):
        with_tables(page, {"two": table})


def test_plots_are_the_same_on_every_run_and_name_no_day(small_answer: Answers, tmp_path: Path) -> None:
    first = {path.name: path.read_bytes() for path in draw_all(small_answer, tmp_path / "first")}
    second = {path.name: path.read_bytes() for path in draw_all(small_answer, tmp_path / "second")}

    assert first == second
    assert set(first) == {path.name for path in (DOCS / "images").glob("scaling-*.svg")}
    for picture in first.values():
        assert b"<svg" in picture
        assert b"dc:date" not in picture


def test_the_table_of_sizes_has_a_row_for_every_rate_and_mode(small_answer: Answers) -> None:
    table = sizes_table(small_answer)

    assert len(table.rows) == len(RATES) * len(MODES)
    assert all(len(row) == len(table.head) for row in table.rows)
    assert math.isclose(small_answer.sizes[0, 1e3].dollars_per_million, 0.5, rel_tol=0.1)
