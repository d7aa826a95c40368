"""The model's predictions, held against real drains and a real bundler on the emulators.

The first part measures service times here and now; the second part is another load, which the model has not seen.
"""

import asyncio
import math
import random
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path

import msgspec
import pytest
import simpy

from benchmarks.cloud import ended, open_poll
from benchmarks.scaling.backlog import Backlog
from benchmarks.scaling.calibration import (
    Trial,
    calibrated,
    drained,
    undisturbed,
    warm_up,
)
from benchmarks.scaling.intake import Cohort, Load, Topic
from benchmarks.scaling.parameters import Parameters
from benchmarks.scaling.prediction import predicted_busy_seconds
from benchmarks.scaling.record import Record
from emulators.run import start_job
from tests.environment import plain_environment
from turnout.base.chance import random_id
from turnout.base.clock import SystemClock
from turnout.deployment import JOBS
from turnout.gcp.votes.settings import Settings
from turnout.gcp.votes.wiring import Wiring
from turnout.queue import ports as queue
from turnout.queue.message import Outgoing
from turnout.votes.bundle import decode
from turnout.votes.intake import vote_batcher
from turnout.votes.poll import OnePer
from turnout.votes.vote import Vote

#: A prediction and what happens differ by no more than this.
FACTOR = 2.0
#: Somebody else's load may come between a calibration and its trial: so often is a trial made that misses, each time with a
#: calibration of its own. A model that is wrong misses every time.
ATTEMPTS_MAX = 4
#: Each moves something that the calibration had otherwise: the bundles' size, the lanes, the lease, the keys.
TRIALS = {
    "large bundles, small leases": Trial(votes=400, bundles=64, lanes=8, lease_messages=4),
    "two lanes": Trial(votes=40, bundles=240, lanes=2),
    "one lane, no keys": Trial(votes=500, bundles=2_000, lanes=1, one_per=OnePer.NONE),
}
TWO_TASKS = Trial(votes=40, bundles=960, lanes=4)
DRAIN = next(job for job in JOBS if job.name == "drain")
CALM_VOTES_PER_SECOND = 1_000
BUSY_VOTES_PER_SECOND = 4_000
VOTING_SECONDS = 1.5
FEED_SECONDS = 0.002
#: A region is farther away than an emulator; so the latency is also well above the steps in which votes are fed.
FARTHER_SECONDS = 0.02


async def test_drains_take_as_long_as_predicted(settings: Settings, tmp_path: Path) -> None:
    """Other bundles, lanes and leases than the calibration had, votes without keys, and two tasks of the real job."""
    await warm_up(settings)
    model = await calibrated(settings)

    async def one_task(trial: Trial) -> float:
        return (await drained(settings, trial)).progress.busy_seconds / predicted_busy_seconds(model, trial)

    async def two_tasks() -> float:
        actual = await busy_seconds_of_tasks(settings, TWO_TASKS, 2, tmp_path)
        return actual / predicted_busy_seconds(model, TWO_TASKS, tasks=2)

    async def calibrate_anew() -> None:
        nonlocal model
        model = await calibrated(settings)

    for name, trial in TRIALS.items():
        await holds(name, partial(one_task, trial), calibrate_anew)
    await holds("two tasks", two_tasks, calibrate_anew)


async def holds(
    name: str, ratio: Callable[[], Awaitable[float]], prepare_anew: Callable[[], Awaitable[None]]
) -> None:
    """A ratio of what happens to its prediction lies within the factor."""
    ratios = [await ratio()]
    while not 1 / FACTOR <= ratios[-1] <= FACTOR:
        if len(ratios) == ATTEMPTS_MAX:
            pytest.fail(
                f"{name}: the actual over the predicted is {ratios}, not within a factor of {FACTOR:g}"
            )
        await prepare_anew()
        ratios.append(await ratio())


async def busy_seconds_of_tasks(settings: Settings, trial: Trial, tasks: int, folder: Path) -> float:
    """A load drained by processes as they are deployed: from the first lease of a task to its last acknowledgement."""
    environment = {
        **plain_environment(),
        "GOOGLE_CLOUD_PROJECT": settings.project,
        "PUBSUB_EMULATOR_HOST": settings.pubsub_emulator_host,
        "FIRESTORE_EMULATOR_HOST": settings.firestore_emulator_host,
        "TURNOUT_LANES": str(trial.lanes),
        "TURNOUT_LEASE_MESSAGES_MAX": str(trial.lease_messages),
        "TURNOUT_ACK_DEADLINE_SECONDS": str(settings.ack_deadline_seconds),
        "TURNOUT_COMMIT_ATTEMPT_SECONDS": str(settings.commit_attempt_seconds),
        "TURNOUT_IDLE_SECONDS": "2",
    }

    async def drain() -> float:
        execution = start_job(DRAIN, environment, log_folder=folder, tasks=tasks)
        try:
            return (await ended(execution)).busy_seconds
        finally:
            execution.let_go()

    return await undisturbed(settings, trial, drain)


async def test_bundles_grow_as_predicted(settings: Settings) -> None:
    """Publish latencies are taken at a calm rate; from them follows the size of bundles at four times that rate."""

    calm = await voted(settings, CALM_VOTES_PER_SECOND)

    async def ratio() -> float:
        busy = await voted(settings, BUSY_VOTES_PER_SECOND)
        return busy.bundle_votes / predicted_bundle_votes(calm.latencies, BUSY_VOTES_PER_SECOND)

    async def calm_anew() -> None:
        nonlocal calm
        calm = await voted(settings, CALM_VOTES_PER_SECOND)

    await holds("bundles", ratio, calm_anew)


class Voted(msgspec.Struct):
    """What a batcher publishes of the votes that come at a rate; it is the topic that sees it."""

    topic: queue.Topic
    bundles: int = 0
    votes: int = 0
    latencies: list[float] = msgspec.field(default_factory=list)

    @property
    def bundle_votes(self) -> float:
        return self.votes / self.bundles

    async def publish(self, messages: Sequence[Outgoing], *, timeout_seconds: float) -> None:
        began = time.perf_counter()
        await self.topic.publish(messages, timeout_seconds=timeout_seconds)
        await asyncio.sleep(FARTHER_SECONDS)
        self.latencies.append(time.perf_counter() - began)
        self.bundles += len(messages)
        self.votes += sum(decode(message.data).votes for message in messages)


async def voted(settings: Settings, votes_per_second: float) -> Voted:
    """Feeds the real bundler, at a steady rate, into the real queue."""
    loop = asyncio.get_running_loop()
    async with Wiring(settings) as wiring:
        poll = await open_poll(wiring)
        seen = Voted(wiring.topic())
        batcher = vote_batcher(seen, settings, clock=SystemClock(), chance=random.random, new_id=random_id)
        began, fed = loop.time(), 0
        while loop.time() < began + VOTING_SECONDS:
            due = int((loop.time() - began) * votes_per_second)
            for _ in range(due - fed):
                batcher.add([Vote(poll.id, 0)])
            fed = due
            await asyncio.sleep(FEED_SECONDS)
        await batcher.settle()
    return seen


def predicted_bundle_votes(latencies: list[float], votes_per_second: float) -> float:
    """The size of bundles of one instance that the model expects, with latencies such as these."""
    logarithms = [math.log(seconds) for seconds in latencies]
    parameters = Parameters(
        vote_cpu_seconds=1e-9,
        publish_cpu_seconds=0.0,
        instance_concurrency=20_000,
        publish_seconds=math.exp(statistics.mean(logarithms)),
        latency_sigma=statistics.pstdev(logarithms),
    )
    env, record = simpy.Environment(), Record()
    load = Load(votes_per_second=votes_per_second, seconds=VOTING_SECONDS)
    topic = Topic(env, parameters, load, Backlog(env), record, random.Random(1))
    Cohort(env, 1, parameters, topic, record).offer(votes_per_second)
    env.run(until=VOTING_SECONDS)
    return record.promised / record.bundles
