"""How much of everything a rate needs, and which limits stand in its way."""

import math

import msgspec

from benchmarks.operations import Bill, Operations, bill
from benchmarks.prices import MILLION, UTILISATION
from benchmarks.scaling.intake import (
    Load,
    instances_for,
    publish_seconds_mean,
)
from benchmarks.scaling.lines import seconds_until_rate
from benchmarks.scaling.parameters import UNBOUNDED, Parameters
from benchmarks.scaling.simulation import Outcome, simulate

#: A rate is kept up with if this share of the votes is counted within that time, from their acceptance on.
COUNTED_MIN = 0.99
AGE_SECONDS_MAX = 3.0
WINDOW_SECONDS = 30.0
WARM_UP_SECONDS = 10.0
#: Numbers of lanes that are tried: each a quarter above the one before, up to the shards that a poll may have.
LANES = tuple(sorted({round(1.25**step) for step in range(31)} | {1_000}))
#: Bundles differ in size: a lease is to fill one commit so far, rather than one and a little of another.
FILLED = 0.9
LANES_PER_TASK_MAX = 64
SHARDS_MAX = LANES[-1]
#: Cloud Run's own bound, before anybody is asked for more.
INSTANCES_MAX = 1_000
COMMIT_ENTRIES = (500, 1_000, 2_000, 4_000)


class Limit(msgspec.Struct, frozen=True):
    """A limit of the system, in votes a second, and what moves it."""

    name: str
    #: The name in a word or two.
    short: str
    votes_per_second: float
    moved_by: str


class Sized(msgspec.Struct, frozen=True, kw_only=True):
    """A system that keeps up with a load, as it was simulated."""

    load: Load
    parameters: Parameters
    outcome: Outcome
    bill: Bill
    #: How long the database must have been ramped up until it takes this rate.
    ramp_seconds: float

    @property
    def lanes(self) -> int:
        """The lanes of all tasks."""
        return self.parameters.tasks * self.parameters.lanes

    @property
    def bundle_votes(self) -> float:
        """The votes in a bundle, on average."""
        return self.outcome.record.promised / self.outcome.record.bundles

    @property
    def dollars_per_million(self) -> float:
        """What a million votes cost."""
        return self.bill.total / self.outcome.record.counted * MILLION


def sized(load: Load, base: Parameters) -> Sized:
    """The smallest system that keeps up with a load once the database is ramped up."""
    for entries in COMMIT_ENTRIES:
        chosen = _fewest_lanes(load, msgspec.structs.replace(base, commit_entries_max=entries))
        if chosen is not None:
            return chosen
    raise ValueError(
        f"No system of {SHARDS_MAX:,} shards keeps up with {load.votes_per_second:,.0f} votes a second."
    )


def _fewest_lanes(load: Load, base: Parameters) -> Sized | None:
    least, most = 0, len(LANES)
    found: Sized | None = None
    while least < most:
        middle = (least + most) // 2
        tried = _tried(load, _with_lanes(load, base, LANES[middle]))
        if tried is None:
            least = middle + 1
        else:
            found, most = tried, middle
    return found


def _tried(load: Load, parameters: Parameters) -> Sized | None:
    """The system under its load for a while, with a warm database; None if it does not keep up."""
    lanes_can = parameters.tasks * parameters.lanes * entries_of_a_commit(load, parameters)
    if lanes_can * parameters.document_writes_per_second < load.votes_per_second * entries_of_a_vote(
        load, parameters
    ):
        return None  # not worth a run
    window = msgspec.structs.replace(load, seconds=WINDOW_SECONDS)
    outcome = simulate(
        window,
        msgspec.structs.replace(parameters.warm(), instances_min=parameters.instances_max),
        leasing_at_once=True,
        seconds_max=WINDOW_SECONDS + AGE_SECONDS_MAX,
        measured_from_seconds=WARM_UP_SECONDS,
    )
    record = outcome.record
    if (
        record.counted < COUNTED_MIN * record.promised
        or record.ages.percentile(COUNTED_MIN) > AGE_SECONDS_MAX
    ):
        return None
    tasks_seconds = parameters.tasks * parameters.task_vcpus * WINDOW_SECONDS
    instances_seconds = parameters.instances_max * parameters.instance_vcpus * WINDOW_SECONDS
    return Sized(
        load=load,
        parameters=parameters,
        outcome=outcome,
        bill=billed(outcome, instances_seconds, tasks_seconds),
        ramp_seconds=seconds_until_rate(
            outcome.record.writes / WINDOW_SECONDS,
            parameters.ramp_writes_per_second,
            growth=parameters.ramp_growth,
            step_seconds=parameters.ramp_seconds,
        ),
    )


def _with_lanes(load: Load, base: Parameters, lanes: int) -> Parameters:
    """So many lanes, in as few tasks as their CPU allows, each with a shard, each lease no more than a commit."""
    bundles_a_commit = max(
        1, round(base.commit_entries_max / (1 + load.keys_each_vote * bundle_votes(load, base)))
    )
    cpu = drain_cpu_seconds_of_a_vote(load, base) * load.votes_per_second
    tasks = max(math.ceil(lanes / LANES_PER_TASK_MAX), math.ceil(cpu / base.utilisation / base.task_vcpus))
    lanes_per_task = math.ceil(lanes / tasks)
    return msgspec.structs.replace(
        base,
        instances_max=instances_for(load.votes_per_second, base),
        tasks=tasks,
        lanes=lanes_per_task,
        shards=tasks * lanes_per_task,
        lease_messages_max=min(base.lease_messages_max, bundles_a_commit),
    )


def bundle_votes(load: Load, parameters: Parameters) -> float:
    """The votes in a bundle: those that come to an instance while a publish is under way."""
    instances = instances_for(load.votes_per_second, parameters)
    gathered = load.votes_per_second / instances * publish_seconds_mean(parameters)
    return min(parameters.bundle_votes_max, max(1.0, gathered))


def entries_of_a_vote(load: Load, parameters: Parameters) -> float:
    """Ledger entries that a vote takes: its share of its bundle's, and its key's."""
    return load.keys_each_vote + 1 / bundle_votes(load, parameters)


def entries_of_a_commit(load: Load, parameters: Parameters) -> float:
    """Ledger entries of a full commit: whole bundles, one at least, and no more than a lease holds."""
    of_a_bundle = 1 + load.keys_each_vote * bundle_votes(load, parameters)
    bundles = max(1, math.floor(parameters.commit_entries_max / of_a_bundle))
    return min(bundles, parameters.lease_messages_max) * of_a_bundle


def drain_cpu_seconds_of_a_vote(load: Load, parameters: Parameters) -> float:
    """What counting a vote takes of the drain's CPU, in full commits."""
    bundle = bundle_votes(load, parameters)
    commits = entries_of_a_vote(load, parameters) / entries_of_a_commit(load, parameters)
    return (
        parameters.bundle_cpu_seconds / bundle
        + parameters.key_cpu_seconds * load.keys_each_vote
        + parameters.commit_cpu_seconds * commits
    )


def limits(keys_each_vote: int, deployed: Parameters) -> list[Limit]:
    """The limits of a system as it is deployed, the first that a growing rate meets at the head."""
    load = Load(votes_per_second=1e6, seconds=1.0, keys_each_vote=keys_each_vote)
    an_instance = load.votes_per_second / instances_for(load.votes_per_second, deployed)
    votes_an_entry = 1 / entries_of_a_vote(load, deployed)
    a_commit = entries_of_a_commit(load, deployed) * votes_an_entry
    of_a_document = deployed.document_writes_per_second * a_commit
    bytes_a_vote = max(
        deployed.request_bytes_min,
        deployed.bundle_bytes + keys_each_vote * deployed.key_bytes * bundle_votes(load, deployed),
    ) / bundle_votes(load, deployed)
    found = [
        Limit(
            "a new poll's first minutes",
            "ramp",
            deployed.ramp_writes_per_second * votes_an_entry,
            "time: half as much again every 5 min",
        ),
        Limit(
            "lanes of one execution",
            "lanes",
            deployed.tasks * deployed.lanes * of_a_document,
            "`drain.tasks`, `drain.lanes`",
        ),
        Limit(
            "shards of the poll",
            "shards",
            deployed.shards * of_a_document,
            "`shards` when the poll is created",
        ),
        Limit(
            "instances",
            "instances",
            deployed.instances_max * an_instance,
            "`functions.vote.max_instances`",
        ),
        Limit(
            "vCPU of one task",
            "task vCPU",
            deployed.utilisation * deployed.task_vcpus / drain_cpu_seconds_of_a_vote(load, deployed),
            "`drain.tasks`",
        ),
        Limit(
            "1,000 shards",
            "1,000 shards",
            SHARDS_MAX * of_a_document,
            "`TURNOUT_COMMIT_ENTRIES_MAX`; several polls",
        ),
        Limit(
            "Pub/Sub's quota, small region",
            "quota",
            deployed.publish_bytes_per_second / bytes_a_vote,
            "a large region; on request",
        ),
        Limit("1,000 instances", "1,000 instances", INSTANCES_MAX * an_instance, "a second region"),
    ]
    return sorted(
        (limit for limit in found if limit.votes_per_second < UNBOUNDED),
        key=lambda each: each.votes_per_second,
    )


def billed(outcome: Outcome, instance_vcpu_seconds: float, task_vcpu_seconds: float) -> Bill:
    """A run at list prices, with so many vCPU seconds of instances and of tasks."""
    record = outcome.record
    return bill(
        Operations(
            requests=record.promised,
            published_bytes=record.published_bytes,
            delivered_bytes=record.delivered_bytes,
            commits=record.commits,
            writes=record.writes,
            # The ledger's entries expire one day; the shards stay.
            deletes=record.writes - record.commits,
            # `bill` reckons with CPU that is used; these are seconds that are billed.
            cpu_seconds=instance_vcpu_seconds * UTILISATION,
            job_cpu_seconds=task_vcpu_seconds * UTILISATION,
        )
    )


def billed_whole(outcome: Outcome) -> Bill:
    """A run at list prices, with all that its instances and tasks lived."""
    parameters, record = outcome.parameters, outcome.record
    return billed(
        outcome,
        record.instance_seconds * parameters.instance_vcpus,
        record.task_seconds_billed * parameters.task_vcpus,
    )
