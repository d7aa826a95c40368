"""Every number that the model stands on, with its unit and where it comes from."""

import math
from enum import StrEnum
from typing import Annotated, get_type_hints

import msgspec

from benchmarks import prices
from turnout.gcp.votes.settings import Settings

UNBOUNDED = math.inf


class Kind(StrEnum):
    """How well a number is known."""

    MEASURED = "measured"
    DOCUMENTED = "documented"
    SETTING = "setting"
    ASSUMED = "assumed"


class Origin(msgspec.Struct, frozen=True):
    """A number's unit, how well it is known, and by whom."""

    unit: str
    kind: Kind
    source: str


def _setting(name: str) -> int:
    return int(Settings.model_fields[name].default)


def _measured(unit: str, source: str) -> Origin:
    return Origin(unit, Kind.MEASURED, source)


def _documented(unit: str, source: str) -> Origin:
    return Origin(unit, Kind.DOCUMENTED, source)


def _of_settings(unit: str, name: str) -> Origin:
    return Origin(unit, Kind.SETTING, f"`{name}`")


def _terraform(unit: str, variable: str) -> Origin:
    return Origin(unit, Kind.SETTING, f"terraform: {variable}")


def _assumed(unit: str, source: str) -> Origin:
    return Origin(unit, Kind.ASSUMED, source)


class Parameters(msgspec.Struct, frozen=True, kw_only=True):
    """The deployed system. A limit of infinity is none."""

    # The vote function.
    vote_cpu_seconds: Annotated[
        float, _measured("CPU s a vote", "intake bench: 70 to 145 µs, by the load")
    ] = 100e-6
    publish_cpu_seconds: Annotated[float, _measured("CPU s a publish", "`--measure`")] = 300e-6
    instance_vcpus: Annotated[float, _assumed("vCPU", "one worker process an instance")] = 1.0
    instance_concurrency: Annotated[
        int, _terraform("requests", "`functions.vote.concurrency`; Cloud Run takes 1,000 at most")
    ] = 250
    instances_min: Annotated[int, _terraform("instances", "`functions.vote.min_instances`")] = 0
    instances_max: Annotated[int, _terraform("instances", "`functions.vote.max_instances`, up to 1,000")] = 8
    instance_start_seconds: Annotated[
        float, _assumed("s", "Python with gRPC, cold; 2 to 8 s are reported")
    ] = 4.0
    autoscaler_seconds: Annotated[float, _documented("s", "Cloud Run decides this often")] = 5.0
    utilisation: Annotated[float, _documented("of the CPU", "Cloud Run's aim for an instance")] = (
        prices.UTILISATION
    )
    front_wait_seconds: Annotated[
        float,
        _assumed(
            "s", "Cloud Run refuses (429) what waits too long for an instance; 10 to 60 s are documented"
        ),
    ] = 10.0
    bundle_votes_max: Annotated[int, _of_settings("votes", "TURNOUT_BUNDLE_VOTES_MAX")] = _setting(
        "bundle_votes_max"
    )
    publishes_in_flight_max: Annotated[int, _of_settings("publishes", "TURNOUT_PUBLISHES_IN_FLIGHT_MAX")] = (
        _setting("publishes_in_flight_max")
    )

    # Pub/Sub.
    publish_seconds: Annotated[float, _assumed("s, median", "a regional publish of one small message")] = (
        0.020
    )
    pull_seconds: Annotated[float, _assumed("s, median", "a pull from a queue that has messages")] = 0.020
    acknowledge_seconds: Annotated[float, _assumed("s, median", "an acknowledgement of a lease")] = 0.015
    latency_sigma: Annotated[
        float, _assumed("ln s", "log-normal spread of every latency: p99 is 2.5 times the median")
    ] = 0.4
    bundle_bytes: Annotated[int, _measured("bytes", "an encoded bundle of four choices")] = 85
    key_bytes: Annotated[int, _measured("bytes", "each vote with a key in it")] = 20
    request_bytes_min: Annotated[
        int, _documented("bytes", "Pub/Sub: a request counts as this much at least")
    ] = prices.PUBSUB_REQUEST_BYTES_MIN
    publish_bytes_per_second: Annotated[
        float,
        _documented(
            "bytes/s", "Pub/Sub's quota: 50 MB/s in a small region, 200 MB/s and more in a large one"
        ),
    ] = 50e6
    pull_bytes_per_second: Annotated[
        float, _documented("bytes/s", "the same for pulls: 100 MB/s and 400 MB/s")
    ] = 100e6

    # The drain job.
    schedule_seconds: Annotated[float, Origin("s", Kind.SETTING, "`turnout/deployment.py`: each minute")] = (
        60.0
    )
    schedule_phase_seconds: Annotated[float, _assumed("s", "the load begins halfway between two starts")] = (
        30.0
    )
    task_start_seconds: Annotated[float, _assumed("s", "from the Scheduler's call to the first lease")] = 10.0
    task_seconds_max: Annotated[float, _terraform("s", "`drain.timeout_seconds`")] = 300.0
    task_billed_seconds_min: Annotated[float, _assumed("s", "a job's task is billed a minute at least")] = (
        60.0
    )
    task_vcpus: Annotated[float, _assumed("vCPU", "one process a task")] = 1.0
    tasks: Annotated[int, _terraform("tasks", "`drain.tasks`, of one execution")] = 1
    lanes: Annotated[int, _terraform("lanes a task", "`drain.lanes`")] = _setting("lanes")
    lease_messages_max: Annotated[int, _of_settings("messages", "TURNOUT_LEASE_MESSAGES_MAX")] = _setting(
        "lease_messages_max"
    )
    commit_entries_max: Annotated[int, _of_settings("entries", "TURNOUT_COMMIT_ENTRIES_MAX")] = _setting(
        "commit_entries_max"
    )
    idle_seconds: Annotated[float, _terraform("s", "`drain.idle_seconds`")] = 50.0
    task_cpu_seconds: Annotated[
        float, _measured("CPU s a task", "drain bench: 0.42 s less those of its bundles")
    ] = 0.3
    bundle_cpu_seconds: Annotated[float, _measured("CPU s a bundle", "`--measure`, and the drain bench")] = (
        40e-6
    )
    commit_cpu_seconds: Annotated[
        float, _measured("CPU s a commit", "`--measure`: with its share of pulls and acknowledgements")
    ] = 500e-6
    key_cpu_seconds: Annotated[float, _measured("CPU s a key", "`--measure`, and the drain bench")] = 8e-6

    # Firestore.
    shards: Annotated[int, _of_settings("documents a poll", "TURNOUT_POLL_SHARDS_DEFAULT")] = _setting(
        "poll_shards_default"
    )
    document_writes_per_second: Annotated[
        float,
        _documented("writes/s", "Firestore: the old rule of thumb for one document, held to strictly here"),
    ] = 1.0
    commit_seconds: Annotated[float, _assumed("s, median", "a regional commit, before its writes")] = 0.040
    commit_write_seconds: Annotated[float, _assumed("s a write", "500 writes take 190 ms")] = 300e-6
    ramp_writes_per_second: Annotated[
        float, _documented("writes/s", "Firestore's 500/50/5: what a new range of keys takes at first")
    ] = 500.0
    ramp_growth: Annotated[float, _documented("times", "then half as much again")] = 1.5
    ramp_seconds: Annotated[float, _documented("s", "every five minutes")] = 300.0
    database_writes_per_second: Annotated[
        float, _documented("writes/s", "Firestore: the database's limit of 10,000 was lifted in 2022")
    ] = UNBOUNDED

    def warm(self) -> "Parameters":
        """The same system when its ramp is behind it."""
        return msgspec.structs.replace(self, ramp_writes_per_second=UNBOUNDED)


class Described(msgspec.Struct, frozen=True):
    """A parameter, for people."""

    name: str
    value: float
    origin: Origin


def describe(parameters: Parameters) -> list[Described]:
    """Every parameter with its unit and its source."""
    hints = get_type_hints(Parameters, include_extras=True)
    return [
        Described(name, getattr(parameters, name), hints[name].__metadata__[0])
        for name in Parameters.__struct_fields__
    ]
