"""The questions, each with the runs that answer it and its table."""

import statistics
from collections.abc import Mapping, Sequence

import msgspec

from benchmarks.operations import Bill
from benchmarks.prices import GIB_A_VCPU, JOB_GIB_SECOND, JOB_VCPU_SECOND, MILLION
from benchmarks.scaling.intake import Load
from benchmarks.scaling.parameters import Parameters, describe
from benchmarks.scaling.simulation import Outcome, simulate
from benchmarks.scaling.sizing import Sized, billed_whole, limits, sized

RATES = (1e3, 1e4, 1e5, 1e6)
MODES = {0: "none", 1: "keyed"}
BURST = Load(votes_per_second=1e6, seconds=100.0)
BURST_SECONDS_MAX = 6 * 3600.0
SENSITIVE_RATE = 1e5
STEADY_SECONDS = 2_400.0
STEADY_FROM_SECONDS = 900.0
#: The task timeouts that are compared: the default of terraform, and the least that it takes.
TIMEOUTS = (300.0, 120.0)
STEADY_RATES = (10.0, 1_000.0)

CONCURRENCY_MAX = 1_000
DAY_SECONDS = 86_400.0
#: A second of a task's vCPU and the memory beside it.
TASK_VCPU_DOLLARS = JOB_VCPU_SECOND + GIB_A_VCPU * JOB_GIB_SECOND
LINGER = "sized, and a linger of 80 ms"

Cells = Sequence[str]


class Table(msgspec.Struct, frozen=True):
    """A table of Markdown."""

    head: Cells
    rows: Sequence[Cells]

    def markdown(self) -> str:
        """As it stands in the docs, figures to the right."""
        rule = [
            "---:" if column and _is_figure(self.rows[0][column]) else "---"
            for column in range(len(self.head))
        ]
        return "\n".join("| " + " | ".join(cells) + " |" for cells in (self.head, rule, *self.rows))


def _is_figure(cell: str) -> bool:
    return cell.lstrip("*")[:1].isdigit()


class Burst(msgspec.Struct, frozen=True):
    """One way to drain the burst."""

    keys_each_vote: int
    drain: str
    database: str
    outcome: Outcome

    @property
    def bill(self) -> Bill:
        """What it costs, from the first vote to the last commit."""
        return billed_whole(self.outcome)


class Answers(msgspec.Struct, frozen=True, kw_only=True):
    """All runs that the docs speak of."""

    deployed: Parameters
    sizes: dict[tuple[int, float], Sized]
    sensitivities: list[tuple[str, Sized, Sized]]
    bursts: list[Burst]
    steady: list[tuple[float, Outcome]]

    def tables(self) -> Mapping[str, Table]:
        """The docs' tables, by name."""
        return {
            "sizes": sizes_table(self),
            "limits": limits_table(self.deployed),
            "bursts": bursts_table(self.bursts),
            "cost": cost_table(self.sizes),
            "executions": executions_table(self.steady),
            "sensitivity": sensitivity_table(self.sensitivities),
            "parameters": parameters_table(self.deployed),
        }


def answers(deployed: Parameters) -> Answers:
    """Runs everything; about a minute."""
    sizes = {
        (keys, rate): sized(Load(votes_per_second=rate, seconds=0.0, keys_each_vote=keys), deployed)
        for keys in MODES
        for rate in RATES
    }
    return Answers(
        deployed=deployed,
        sizes=sizes,
        sensitivities=_sensitivities(deployed),
        bursts=_bursts(deployed, sizes),
        steady=_steady(deployed),
    )


def _sensitivities(deployed: Parameters) -> list[tuple[str, Sized, Sized]]:
    """Each assumption moved alone, at one rate."""
    changes: dict[str, dict[str, float]] = {
        "as assumed": {},
        "a document takes 5 writes/s": {"document_writes_per_second": 5.0},
        "a document takes what its latency allows": {"document_writes_per_second": 1_000.0},
        "commits take three times as long": {
            "commit_seconds": 3 * deployed.commit_seconds,
            "commit_write_seconds": 3 * deployed.commit_write_seconds,
        },
        "publishes take a third": {"publish_seconds": deployed.publish_seconds / 3},
        "publishes take three times as long": {"publish_seconds": 3 * deployed.publish_seconds},
        "a vote takes twice the CPU": {"vote_cpu_seconds": 2 * deployed.vote_cpu_seconds},
    }
    found = []
    for what, change in changes.items():
        moved = msgspec.structs.replace(deployed, **change)
        none, keyed = (
            sized(Load(votes_per_second=SENSITIVE_RATE, seconds=0.0, keys_each_vote=keys), moved)
            for keys in MODES
        )
        found.append((what, none, keyed))
    return found


def _bursts(deployed: Parameters, sizes: Mapping[tuple[int, float], Sized]) -> list[Burst]:
    """A hundred million votes in a hundred seconds; instances for it in every case."""
    found = []
    for keys in MODES:
        for_it = sizes[keys, BURST.votes_per_second].parameters
        default = msgspec.structs.replace(deployed, instances_max=for_it.instances_max)
        load = msgspec.structs.replace(BURST, keys_each_vote=keys)
        for drain, parameters in (("default", default), ("sized", for_it)):
            for database, system in (("new poll", parameters), ("ramped up", parameters.warm())):
                outcome = simulate(load, system, seconds_max=BURST_SECONDS_MAX)
                found.append(Burst(keys, drain, database, outcome))
    for_it = sizes[0, BURST.votes_per_second].parameters
    # What a linger would do: a publish at a time that takes five times as long gathers five times the votes.
    lingering = msgspec.structs.replace(
        for_it,
        publish_seconds=5 * deployed.publish_seconds,
        publishes_in_flight_max=1,
        instance_concurrency=CONCURRENCY_MAX,
    )
    outcome = simulate(BURST, lingering, seconds_max=BURST_SECONDS_MAX)
    found.insert(len(found) // 2, Burst(0, LINGER, "new poll", outcome))
    return found


def _steady(deployed: Parameters) -> list[tuple[float, Outcome]]:
    """The defaults on schedule under votes that never cease, by task timeout."""
    return [
        (
            timeout,
            simulate(
                Load(votes_per_second=rate, seconds=STEADY_SECONDS),
                msgspec.structs.replace(deployed, task_seconds_max=timeout),
                measured_from_seconds=STEADY_FROM_SECONDS,
            ),
        )
        for rate in STEADY_RATES
        for timeout in TIMEOUTS
    ]


def sizes_table(found: Answers) -> Table:
    """What a rate needs."""
    rows = []
    for (keys, rate), each in found.sizes.items():
        parameters, record = each.parameters, each.outcome.record
        met = [limit.short for limit in limits(keys, found.deployed) if limit.votes_per_second < rate]
        rows.append(
            (
                f"**{rate:,.0f}** {MODES[keys]}",
                f"{parameters.instances_max:,}",
                f"{each.bundle_votes:.0f}",
                f"{parameters.tasks} × {parameters.lanes}",
                f"{parameters.shards:,}",
                f"{parameters.lease_messages_max} · {parameters.commit_entries_max:,}",
                f"{record.ages.percentile(0.5):.1f} · {record.ages.percentile(0.99):.1f}",
                f"{each.ramp_seconds / 60:.0f}",
                f"{each.dollars_per_million:.2f}",
                ", ".join(met) or "none",
            )
        )
    head = (
        "votes/s",
        "instances",
        "votes a bundle",
        "tasks × lanes",
        "shards",
        "lease · commit",
        "counted after s, p50 · p99",
        "ramp min",
        "$ a million",
        "limits of the defaults, first at the head",
    )
    return Table(head, rows)


def limits_table(deployed: Parameters) -> Table:
    """Where the defaults end."""
    keyed = {limit.name: limit.votes_per_second for limit in limits(1, deployed)}
    rows = [
        (limit.name, _about(limit.votes_per_second), _about(keyed[limit.name]), limit.moved_by)
        for limit in limits(0, deployed)
    ]
    return Table(("limit of the defaults", "none: votes/s", "keyed: votes/s", "what moves it"), rows)


def bursts_table(found: Sequence[Burst]) -> Table:
    """How long until a hundred million votes are counted."""
    rows = []
    for burst in found:
        record = burst.outcome.record
        if not burst.outcome.drained:
            raise ValueError(f"The burst was not drained: {burst.drain}, {burst.database}.")
        rows.append(
            (
                f"{MODES[burst.keys_each_vote]}: {burst.drain}",
                burst.database,
                f"{record.bundles / MILLION:.2f}",
                f"{record.writes / MILLION:.2f}",
                f"{max(sample.tasks for sample in record.samples):,}",
                f"**{record.last_counted_at / 60:,.0f}**",
                f"{burst.bill.total:,.2f}",
            )
        )
    head = (
        "drain",
        "database",
        "million bundles",
        "million writes",
        "tasks at once",
        "counted after min",
        "$",
    )
    return Table(head, rows)


def cost_table(sizes: Mapping[tuple[int, float], Sized]) -> Table:
    """What a million votes cost, and where it goes."""
    rows = []
    for (keys, rate), each in sizes.items():
        a_million = MILLION / each.outcome.record.promised
        bill = each.bill
        rows.append(
            (
                f"{rate:,.0f} {MODES[keys]}",
                f"{bill.requests * a_million:.3f}",
                f"{bill.compute * a_million:.3f}",
                f"{bill.pubsub * a_million:.3f}",
                f"{bill.firestore * a_million:.3f}",
                f"{bill.total * a_million:.2f}",
                f"{bill.total * a_million * rate * 3600 / MILLION:,.0f}",
            )
        )
    head = ("votes/s", "requests", "compute", "Pub/Sub", "Firestore", "$ a million", "$ an hour")
    return Table(head, rows)


def executions_table(found: Sequence[tuple[float, Outcome]]) -> Table:
    """What the schedule does under votes that never cease."""
    rows = []
    for timeout, outcome in found:
        record = outcome.record
        settled = [
            sample.tasks
            for sample in record.samples
            if STEADY_FROM_SECONDS <= sample.seconds < outcome.load.seconds
        ]
        vcpus = record.task_seconds_billed * outcome.parameters.task_vcpus / outcome.load.seconds
        rows.append(
            (
                f"{outcome.load.votes_per_second:,.0f} votes/s, timeout {timeout:.0f} s",
                f"{statistics.mean(settled):.0f}",
                f"{record.bundles / record.commits:.1f}",
                f"{record.ages.percentile(0.5):.1f} · {record.ages.percentile(0.99):.1f}",
                f"{vcpus * DAY_SECONDS * TASK_VCPU_DOLLARS:.2f}",
            )
        )
    head = ("load", "tasks at once", "bundles a commit", "counted after s, p50 · p99", "drain, $ a day")
    return Table(head, rows)


def sensitivity_table(found: Sequence[tuple[str, Sized, Sized]]) -> Table:
    """What moves with the assumptions."""
    rows = [
        (
            what,
            f"{none.parameters.instances_max}",
            f"{none.bundle_votes:.0f}",
            f"{none.lanes} · {keyed.lanes}",
            f"{none.outcome.record.ages.percentile(0.5):.2f} · {keyed.outcome.record.ages.percentile(0.5):.2f}",
            f"{none.dollars_per_million:.2f} · {keyed.dollars_per_million:.2f}",
        )
        for what, none, keyed in found
    ]
    head = (
        f"at {SENSITIVE_RATE:,.0f} votes/s",
        "instances",
        "votes a bundle",
        "lanes, none · keyed",
        "counted after s, none · keyed",
        "$ a million, none · keyed",
    )
    return Table(head, rows)


def parameters_table(parameters: Parameters) -> Table:
    """Every number, its unit, and how well it is known."""
    rows = [
        (f"`{each.name}`", _number(each.value), each.origin.unit, each.origin.kind.value, each.origin.source)
        for each in describe(parameters)
    ]
    return Table(("parameter", "value", "unit", "known how", "source"), rows)


def _number(value: float) -> str:
    if value == float("inf"):
        return "no limit"
    if value and abs(value) < 0.001:
        return f"{value * 1e6:g} × 10⁻⁶"
    return f"{value:,.0f}" if value >= 1_000 else f"{value:g}"


def _about(votes_per_second: float) -> str:
    """Two digits: the model is no finer."""
    digits = 10 ** max(0, len(f"{votes_per_second:.0f}") - 2)
    return f"{round(votes_per_second / digits) * digits:,.0f}"
