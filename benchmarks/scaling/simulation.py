"""One run of the whole system, from the first vote to the last commit; the same seed gives the same run."""

from collections.abc import Generator
from random import Random

import msgspec
import simpy

from benchmarks.scaling.backlog import Backlog
from benchmarks.scaling.drain import Job
from benchmarks.scaling.intake import Intake, Load, Topic
from benchmarks.scaling.parameters import Parameters
from benchmarks.scaling.record import Record, Sample

#: How often a run is looked at.
SAMPLE_SECONDS = 1.0


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """A run that has ended."""

    load: Load
    parameters: Parameters
    record: Record
    #: When it was looked at for the last time, from the first vote on.
    seconds: float
    #: Whether every vote that was promised is counted.
    drained: bool


def simulate(
    load: Load,
    parameters: Parameters,
    *,
    seed: int = 1,
    seconds_max: float = 6 * 3600.0,
    leasing_at_once: bool = False,
    measured_from_seconds: float = 0.0,
) -> Outcome:
    """Runs until all is counted or the time is up.

    `leasing_at_once`: one execution leases from the first moment on, and none is started by the schedule.
    `measured_from_seconds`: ages and answers are noted from this moment on.
    """
    return World(load, parameters, seed, measured_from_seconds).run(
        seconds_max, leasing_at_once=leasing_at_once
    )


class World:
    """Everything of one run."""

    def __init__(self, load: Load, parameters: Parameters, seed: int, measured_from_seconds: float) -> None:
        chance = Random(seed)
        self.load = load
        self.parameters = parameters
        self.env = simpy.Environment()
        self.record = Record(measured_from_seconds=measured_from_seconds)
        self.backlog = Backlog(self.env)
        topic = Topic(self.env, parameters, load, self.backlog, self.record, Random(chance.random()))
        self.intake = Intake(self.env, parameters, load, topic, self.record)
        self.job = Job(self.env, parameters, load, self.backlog, self.record, Random(chance.random()))

    def run(self, seconds_max: float, *, leasing_at_once: bool) -> Outcome:
        """Runs until all is counted or the time is up."""
        env, record = self.env, self.record
        voting = self.intake.run()
        if leasing_at_once:
            self.job.execute()
        else:
            env.process(self.job.schedule())
        drained = env.process(self._look(voting))
        env.run(until=env.any_of([drained, env.timeout(seconds_max)]))
        self.job.bill_running()
        return Outcome(
            load=self.load,
            parameters=self.parameters,
            record=record,
            seconds=env.now,
            drained=voting.processed and record.counted == record.promised,
        )

    def _look(self, voting: simpy.Process) -> Generator[simpy.Event, None, None]:
        record = self.record
        while True:
            record.samples.append(
                Sample(
                    seconds=self.env.now,
                    promised=record.promised,
                    counted=record.counted,
                    instances=self.intake.instances,
                    tasks=len(self.job.running),
                )
            )
            if voting.processed and record.counted == record.promised:
                return
            yield self.env.timeout(SAMPLE_SECONDS)
