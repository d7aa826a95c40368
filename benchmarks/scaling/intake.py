"""The vote function: a front that spreads votes over instances, an autoscaler, and a bundler in each instance.

Votes flow as a fluid; what is discrete are the publishes, for they decide how large bundles grow.
"""

import heapq
import math
from collections import deque
from collections.abc import Callable, Generator, Iterator
from functools import partial
from random import Random

import msgspec
import simpy

from benchmarks.scaling.backlog import Backlog, Bundles
from benchmarks.scaling.lines import Line
from benchmarks.scaling.parameters import Parameters
from benchmarks.scaling.record import Record

#: How often the front looks at the instances and shares out what comes.
TICK_SECONDS = 0.1
#: Instances are simulated in so many cohorts at most; those of a cohort act at the same moments.
COHORTS_MAX = 40


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """The votes that come: so many a second for so long, one a POST, in one poll."""

    votes_per_second: float
    seconds: float
    #: 1 where each vote has a key (`one_per` voter or key), 0 where none has.
    keys_each_vote: int = 0

    def votes(self, start: float, end: float) -> float:
        """The votes that come between two moments."""
        return self.votes_per_second * max(0.0, min(end, self.seconds) - min(start, self.seconds))


class Topic:
    """Pub/Sub's topic: takes publishes within its quota, and hands them to the subscription when they are confirmed."""

    def __init__(
        self,
        env: simpy.Environment,
        parameters: Parameters,
        load: Load,
        backlog: Backlog,
        record: Record,
        chance: Random,
    ) -> None:
        self._env = env
        self._parameters = parameters
        self._keys_each_vote = load.keys_each_vote
        self._backlog = backlog
        self._record = record
        self._chance = chance
        self._quota = Line()

    def publish(self, bundles: list[Bundles], sent_by: int, confirmed: Callable[[], None]) -> float:
        """One publish request of each of so many instances; the moment at which they are confirmed."""
        parameters, record, now = self._parameters, self._record, self._env.now
        size = bundle_bytes(parameters, bundles, self._keys_each_vote) / sent_by
        billed = sent_by * max(parameters.request_bytes_min, size)
        record.published_bytes += billed
        latency = parameters.publish_seconds * self._chance.lognormvariate(0.0, parameters.latency_sigma)
        at = self._quota.serve(now, billed / parameters.publish_bytes_per_second) + latency
        event = self._env.timeout(at - now)
        event.callbacks.append(lambda _: self._confirm(bundles, confirmed))
        return at

    def _confirm(self, bundles: list[Bundles], confirmed: Callable[[], None]) -> None:
        for each in bundles:
            self._record.bundles += each.number
            self._record.promise(self._env.now, each.accepted_at, each.votes)
            self._backlog.put(each)
        confirmed()


class Cohort:
    """Instances that act alike, each with its bundler as in `turnout/queue/batcher.py`. Volumes are of one instance."""

    def __init__(
        self, env: simpy.Environment, size: int, parameters: Parameters, topic: Topic, record: Record
    ) -> None:
        self.size = size
        #: Votes that one instance has taken so far.
        self.taken = 0.0
        self._env = env
        self._parameters = parameters
        self._topic = topic
        self._record = record
        self._rate = 0.0
        self._as_of = env.now
        self._pending = 0.0
        #: Votes that wait × the moment of their acceptance, summed.
        self._pending_moments = 0.0
        self._unconfirmed = 0
        self._returns: list[float] = []
        self._timer: simpy.Event | None = None

    @property
    def quiet(self) -> bool:
        """Whether no whole vote waits for a publish or its confirmation."""
        return self._pending < 1 and not self._returns

    def offer(self, votes_per_second: float) -> None:
        """From now on so many votes come to each instance; it takes what its CPU and its concurrency allow."""
        self.look()
        self._rate = min(votes_per_second, votes_per_second_max(self._parameters))
        self._act()

    def look(self) -> None:
        """Takes in what has come since the last look."""
        now, came_since = self._env.now, self._as_of
        self._as_of = now
        room = self._parameters.instance_concurrency - self._pending - self._unconfirmed
        came = max(0.0, min(self._rate * (now - came_since), room))
        if came:
            self.taken += came
            self._pending += came
            self._pending_moments += came * (came_since + came / self._rate / 2)
            self._record.instance_cpu_seconds += came * self._parameters.vote_cpu_seconds * self.size

    def _act(self) -> None:
        """Sends if nothing is in flight or a bundle is full; else looks again when that will be so."""
        parameters = self._parameters
        if self._pending >= 1 and not self._returns:
            self._send()
        while self._pending >= parameters.bundle_votes_max and self._may_send():
            self._send()
        self._wait_until_there_are(1 if not self._returns else parameters.bundle_votes_max)

    def _may_send(self) -> bool:
        return len(self._returns) < self._parameters.publishes_in_flight_max

    def _wait_until_there_are(self, votes: int) -> None:
        self._timer = None
        missing = votes - self._pending
        if not self._rate or not self._may_send() or missing <= 0:
            return
        # A hair more, so that rounding does not leave it short of the last vote.
        at = self._env.now + missing / self._rate * (1 + 1e-9) + 1e-9
        if self._returns and at >= self._returns[0]:
            return
        self._timer = timer = self._env.timeout(at - self._env.now)
        timer.callbacks.append(lambda _: self._due(timer))

    def _due(self, timer: simpy.Event) -> None:
        if timer is self._timer:
            self.look()
            self._act()

    def _send(self) -> None:
        votes = int(self._pending)
        accepted_at = self._pending_moments / self._pending
        self._pending_moments -= votes * accepted_at
        self._pending -= votes
        self._unconfirmed += votes
        self._record.instance_cpu_seconds += self._parameters.publish_cpu_seconds * self.size
        at = self._topic.publish(
            list(packed(votes, self._parameters.bundle_votes_max, self.size, accepted_at)),
            self.size,
            lambda: self._confirmed(at, votes),
        )
        heapq.heappush(self._returns, at)

    def _confirmed(self, at: float, votes: int) -> None:
        self.look()
        self._returns.remove(at)
        heapq.heapify(self._returns)
        self._unconfirmed -= votes
        if self._pending >= 1:
            self._send()
        self._act()


class Intake:
    """The front, the instances behind it, and the autoscaler."""

    def __init__(
        self, env: simpy.Environment, parameters: Parameters, load: Load, topic: Topic, record: Record
    ) -> None:
        self.cohorts: list[Cohort] = []
        self._env = env
        self._parameters = parameters
        self._load = load
        self._topic = topic
        self._record = record
        self._waiting = 0.0
        self._arrivals: deque[float] = deque(maxlen=round(parameters.front_wait_seconds / TICK_SECONDS))
        self._ordered = 0
        self._cohort_size = max(1, self._wanted() // COHORTS_MAX)

    @property
    def instances(self) -> int:
        """The instances that are ready."""
        return sum(cohort.size for cohort in self.cohorts)

    def run(self) -> simpy.Process:
        """Starts; the process ends when every vote that was not refused is confirmed."""
        self._start(self._parameters.instances_min)
        self._ordered = self._parameters.instances_min
        self._env.process(self._scale())
        return self._env.process(self._spread())

    def _spread(self) -> Generator[simpy.Event, None, None]:
        """Shares out the votes, tick by tick; what no instance takes waits, and is refused when it has waited too long."""
        env, record = self._env, self._record
        taken = 0.0
        while True:
            now = env.now
            coming = self._load.votes(now, now + TICK_SECONDS)
            offered = (coming + self._waiting) / TICK_SECONDS / max(1, self.instances)
            for cohort in self.cohorts:
                cohort.offer(offered)
            yield env.timeout(TICK_SECONDS)
            for cohort in self.cohorts:
                cohort.look()
            taken_before, taken = taken, sum(cohort.taken * cohort.size for cohort in self.cohorts)
            record.sent += coming
            record.instance_seconds += self.instances * TICK_SECONDS
            self._arrivals.append(coming)
            self._waiting = max(0.0, self._waiting + coming - (taken - taken_before))
            too_old = max(0.0, self._waiting - sum(self._arrivals))
            self._waiting -= too_old
            record.refused += too_old
            self._note_wait()
            if not self._coming() and self._waiting < 1 and all(cohort.quiet for cohort in self.cohorts):
                for cohort in self.cohorts:
                    cohort.offer(0.0)
                return

    def _note_wait(self) -> None:
        """The oldest that waits came when the newer ones had not."""
        newer, seconds = 0.0, 0.0
        for arrived in reversed(self._arrivals):
            if newer + 1 > self._waiting:
                break
            newer += arrived
            seconds += TICK_SECONDS
        self._record.front_wait_seconds_max = max(self._record.front_wait_seconds_max, seconds)

    def _coming(self) -> bool:
        return self._env.now < self._load.seconds

    def _scale(self) -> Generator[simpy.Event, None, None]:
        """Orders the instances that the present rate wants; they are ready some seconds later."""
        parameters, env = self._parameters, self._env
        while self._coming():
            more = self._wanted() - self._ordered
            if more > 0:
                self._ordered += more
                ready = env.timeout(parameters.instance_start_seconds)
                ready.callbacks.append(partial(self._ready, more))
            yield env.timeout(parameters.autoscaler_seconds)

    def _wanted(self) -> int:
        wanted = instances_for(self._load.votes_per_second, self._parameters)
        return min(self._parameters.instances_max, max(self._parameters.instances_min, wanted))

    def _ready(self, instances: int, _: simpy.Event) -> None:
        self._start(instances)

    def _start(self, instances: int) -> None:
        while instances > 0:
            size = min(instances, self._cohort_size)
            self.cohorts.append(Cohort(self._env, size, self._parameters, self._topic, self._record))
            instances -= size


def packed(votes: int, bundle_votes_max: int, instances: int, accepted_at: float) -> Iterator[Bundles]:
    """The bundles of one publish of each of so many instances: full ones and the rest."""
    full, rest = divmod(votes, bundle_votes_max)
    if full:
        yield Bundles(full * instances, bundle_votes_max, accepted_at)
    if rest:
        yield Bundles(instances, rest, accepted_at)


def bundle_bytes(parameters: Parameters, bundles: list[Bundles], keys_each_vote: int) -> int:
    """The bytes of these bundles' messages."""
    return sum(
        each.number * parameters.bundle_bytes + each.votes * keys_each_vote * parameters.key_bytes
        for each in bundles
    )


def publish_seconds_mean(parameters: Parameters) -> float:
    """The mean of the publish latency: above its median, for it is log-normal."""
    return parameters.publish_seconds * math.exp(parameters.latency_sigma**2 / 2)


def votes_per_second_of(cpu: float, parameters: Parameters) -> float:
    """The votes a second of one instance that so many vCPUs serve; each vote is a publish at low rates."""
    publishes = 1.0 / publish_seconds_mean(parameters)
    alone = cpu / (parameters.vote_cpu_seconds + parameters.publish_cpu_seconds)
    if alone <= publishes:
        return alone
    return (cpu - publishes * parameters.publish_cpu_seconds) / parameters.vote_cpu_seconds


def votes_per_second_max(parameters: Parameters) -> float:
    """The votes a second that one instance's CPU can serve."""
    return votes_per_second_of(parameters.instance_vcpus, parameters)


def instances_for(votes_per_second: float, parameters: Parameters) -> int:
    """The instances that the autoscaler wants: CPU and concurrency each at most at their aim."""
    by_cpu = votes_per_second_of(parameters.utilisation * parameters.instance_vcpus, parameters)
    # A vote waits for the publish before its own, half of it on average, and for its own.
    seconds = 1.5 * publish_seconds_mean(parameters)
    by_concurrency = parameters.utilisation * parameters.instance_concurrency / seconds
    return math.ceil(votes_per_second / min(by_cpu, by_concurrency))
