"""Service times measured on the local cloud: what the model's measured numbers come from, and what its predictions need."""

import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import grpc.aio
import msgspec
import numpy as np

from benchmarks import usage
from benchmarks.cloud import CHOICES, Inexact, open_poll
from benchmarks.load import post
from benchmarks.queue import fill
from benchmarks.scaling.parameters import UNBOUNDED, Parameters
from emulators.stack import LocalCloud
from turnout.gcp.connections import Connections
from turnout.gcp.votes.settings import Settings
from turnout.gcp.votes.wiring import Wiring
from turnout.votes.drain import Progress
from turnout.votes.poll import OnePer

T = TypeVar("T")

IDLE_SECONDS = 1.0
TRIALS_MAX = 3
PUBLISHES = 1_000
CONNECTIONS = 256
#: The emulator gives fewer messages in a pull than it is asked for; so many it does give.
LEASE_MESSAGES = 40


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """A load that waits in the queue, and how it is drained; each vote has a key unless it says otherwise."""

    votes: int
    bundles: int
    lanes: int
    lease_messages: int = LEASE_MESSAGES
    one_per: OnePer = OnePer.KEY


#: One lane, so that no call waits for another: small commits and large ones, with keys and without.
ALONE = (
    Trial(votes=4, bundles=100, lanes=1, lease_messages=5),
    Trial(votes=40, bundles=160, lanes=1),
    Trial(votes=1, bundles=1_200, lanes=1, one_per=OnePer.NONE),
)
#: Lanes enough to find out what the emulator can do at most.
TOGETHER = Trial(votes=40, bundles=480, lanes=8)
#: The emulators' Java grows faster for a while: a round that gains less than this says that it is warm.
GAIN_MIN = 1.15
WARM_UPS_MAX = 5


class Call(msgspec.Struct, frozen=True):
    """One call that went well: its method, its size (writes or messages), and how long it took."""

    method: str
    size: int
    seconds: float
    #: The CPU seconds of this process when it was answered.
    cpu_seconds: float


class Drained(msgspec.Struct, frozen=True, kw_only=True):
    """One load, drained in this process."""

    trial: Trial
    progress: Progress
    calls: list[Call]

    @property
    def cpu_seconds(self) -> float:
        """The CPU that this process used from the first lease to the last acknowledgement."""
        pulled = next(call for call in self.calls if call.method == "Pull")
        acknowledged = next(call for call in reversed(self.calls) if call.method == "Acknowledge")
        return acknowledged.cpu_seconds - pulled.cpu_seconds

    @property
    def writes_per_second(self) -> float:
        """The writes of all commits over the time from the first lease to the last acknowledgement."""
        return sum(self.sizes("Commit")) / self.progress.busy_seconds

    @property
    def keys(self) -> int:
        """The votes that have a key."""
        return 0 if self.trial.one_per is OnePer.NONE else self.trial.votes * self.trial.bundles

    def sizes(self, method: str) -> list[int]:
        """The sizes of one method's calls."""
        return [call.size for call in self.calls if call.method == method]

    def median_seconds(self, method: str) -> float:
        """How long a call of one method took."""
        return statistics.median(call.seconds for call in self.calls if call.method == method)


class TimingWiring(Wiring):
    """A wiring that notes how long its calls take."""

    def __init__(self, settings: Settings) -> None:
        self.calls: list[Call] = []
        super().__init__(settings, connections=TimingConnections(settings, self.calls))


class TimingConnections(Connections):
    """Connections whose calls are timed."""

    def __init__(self, settings: Settings, calls: list[Call]) -> None:
        super().__init__(settings)
        self._calls = calls

    def channel(self, name: str, opener: Callable[[], grpc.aio.Channel]) -> Any:
        """A channel that times its unary calls."""
        return TimingChannel(super().channel(name, opener), self._calls)


class TimingChannel:
    """A channel whose unary calls are timed."""

    def __init__(self, channel: grpc.aio.Channel, calls: list[Call]) -> None:
        self._channel = channel
        self._calls = calls

    def unary_unary(self, method: str, **serializers: Any) -> Any:
        """The stub of a unary method."""
        stub = self._channel.unary_unary(method, **serializers)
        name = method.rpartition("/")[2]

        async def call(request: Any, **options: Any) -> Any:
            began = time.perf_counter()
            response = await stub(request, **options)
            seconds = time.perf_counter() - began
            self._calls.append(Call(name, _size(name, request, response), seconds, time.process_time()))
            return response

        return call

    def unary_stream(self, method: str, **serializers: Any) -> Any:
        """The stub of a method that answers with a stream; it is not timed."""
        return self._channel.unary_stream(method, **serializers)


def _size(method: str, request: Any, response: Any) -> int:
    if method == "Commit":
        return len(request.writes)
    if method == "Pull":
        return len(response.received_messages)
    return len(getattr(request, "messages", ()))


async def drained(settings: Settings, trial: Trial) -> Drained:
    """Fills the queue, and drains it in this process."""
    settings = settings.model_copy(update={"lanes": trial.lanes, "lease_messages_max": trial.lease_messages})

    async def drain() -> Drained:
        async with TimingWiring(settings.model_copy(update={"idle_seconds": IDLE_SECONDS})) as wiring:
            progress = await wiring.drain().run()
        calls = [call for call in wiring.calls if call.method != "Pull" or call.size]
        # The drain's own record is a commit of one write; a counting commit has two at least.
        calls = [call for call in calls if call.method != "Commit" or call.size > 1]
        return Drained(trial=trial, progress=progress, calls=calls)

    return await undisturbed(settings, trial, drain)


async def undisturbed(settings: Settings, trial: Trial, drain: Callable[[], Awaitable[T]]) -> T:
    """A trial in which the drain got every message.

    On a machine under load, a pull that gives up takes messages along until their leases end: such a trial is settled and
    done again. `Inexact`: votes were lost or counted twice, or no trial of several was undisturbed.
    """
    votes = trial.votes * trial.bundles
    for _ in range(TRIALS_MAX):
        async with Wiring(settings) as wiring:
            poll = await open_poll(wiring, trial.one_per)
            await fill(wiring.topic(), [poll], votes=trial.votes, bundles=trial.bundles)
            run = await drain()
            counted = (await wiring.counters().tally(poll)).votes
            if counted == votes:
                return run
        settling = settings.model_copy(update={"idle_seconds": settings.ack_deadline_seconds + IDLE_SECONDS})
        async with Wiring(settling) as wiring:
            await wiring.drain().run()
            counted = (await wiring.counters().tally(poll)).votes
        if counted != votes:
            raise Inexact(f"{counted:,} votes were counted, {votes:,} are right.")
    raise Inexact(f"Pulls took messages along in each of {TRIALS_MAX} trials: the machine is too busy.")


async def warm_up(settings: Settings) -> None:
    """Drains until the emulators get no faster."""
    best = 0.0
    for _ in range(WARM_UPS_MAX):
        reached = (await drained(settings, TOGETHER)).writes_per_second
        if reached < best * GAIN_MIN:
            return
        best = reached


async def calibrated(settings: Settings) -> Parameters:
    """The drain's side of the model, with the service times of the emulators on this machine."""
    alone = [await drained(settings, trial) for trial in ALONE]
    together = await drained(settings, TOGETHER)
    base_seconds, write_seconds = line_through(
        [(call.size, call.seconds) for run in alone for call in run.calls if call.method == "Commit"]
    )
    bundle_cpu_seconds, key_cpu_seconds, commit_cpu_seconds = cpu_shares([*alone, together])
    # What the emulator can do at most is all lanes' writes over the time; the rest of a write is waiting alone.
    capacity = together.writes_per_second
    return Parameters(
        pull_seconds=statistics.median(run.median_seconds("Pull") for run in alone),
        acknowledge_seconds=statistics.median(run.median_seconds("Acknowledge") for run in alone),
        latency_sigma=0.0,
        bundle_cpu_seconds=bundle_cpu_seconds,
        key_cpu_seconds=key_cpu_seconds,
        commit_cpu_seconds=commit_cpu_seconds,
        commit_seconds=base_seconds,
        commit_write_seconds=max(0.0, write_seconds - 1 / capacity),
        database_writes_per_second=capacity,
        document_writes_per_second=UNBOUNDED,
        ramp_writes_per_second=UNBOUNDED,
        publish_bytes_per_second=UNBOUNDED,
        pull_bytes_per_second=UNBOUNDED,
    )


def cpu_shares(runs: Sequence[Drained]) -> tuple[float, float, float]:
    """The CPU seconds of a bundle, a key and a commit that explain the runs best; none is negative."""
    parts = np.array(
        [(run.trial.bundles, run.keys, len(run.sizes("Commit"))) for run in runs],
        dtype=float,
    )
    used = np.array([run.cpu_seconds for run in runs])
    shares = [0.0, 0.0, 0.0]
    columns = [0, 1, 2]
    while columns:
        found = np.linalg.lstsq(parts[:, columns], used, rcond=None)[0]
        worst = int(np.argmin(found))
        if found[worst] >= 0:
            for column, share in zip(columns, found, strict=True):
                shares[column] = float(share)
            break
        columns.pop(worst)
    return shares[0], shares[1], shares[2]


def line_through(points: Sequence[tuple[int, float]]) -> tuple[float, float]:
    """The least-squares line through (size, seconds): at size 0, and a unit of size; neither is negative."""
    slope = max(0.0, statistics.linear_regression(*zip(*points, strict=True)).slope)
    return max(0.0, statistics.mean(seconds - slope * size for size, seconds in points)), slope


async def vote_cpu_seconds(cloud: LocalCloud, seconds: float) -> float:
    """The CPU seconds of the vote function for one vote, one a POST, at full speed."""
    pid = next(process.pid for process in cloud.processes if process.name == "The function vote")
    async with Wiring(cloud.settings) as wiring:
        poll = await open_poll(wiring)
        body = {"poll": poll.id, "choice": CHOICES[0]}
        url = cloud.function_urls["vote"] + "/vote"
        await post(url, body, connections=CONNECTIONS, seconds=2)
        before = usage.cpu_seconds(pid)
        load = await post(url, body, connections=CONNECTIONS, seconds=seconds)
        return (usage.cpu_seconds(pid) - before) / load.requests


async def publish_cpu_seconds(settings: Settings) -> float:
    """The CPU seconds of one publish of a bundle, on the client's side."""
    async with Wiring(settings) as wiring:
        poll = await open_poll(wiring)
        began = time.process_time()
        await fill(wiring.topic(), [poll], votes=100, bundles=PUBLISHES, per_publish=1)
        return (time.process_time() - began) / PUBLISHES
