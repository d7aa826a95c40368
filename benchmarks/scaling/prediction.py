"""Predictions for this machine: bundles that wait in the queue, drained by lanes, as the calibrated model sees them."""

from random import Random

import msgspec
import simpy

from benchmarks.scaling.backlog import Backlog, Bundles
from benchmarks.scaling.calibration import Trial
from benchmarks.scaling.drain import Job
from benchmarks.scaling.intake import Load
from benchmarks.scaling.parameters import Parameters
from benchmarks.scaling.record import Record
from turnout.votes.poll import OnePer


def predicted_busy_seconds(parameters: Parameters, trial: Trial, *, tasks: int = 1) -> float:
    """From the first lease to the last acknowledgement of a load that waits in the queue."""
    parameters = msgspec.structs.replace(
        parameters, tasks=tasks, lanes=trial.lanes, lease_messages_max=trial.lease_messages
    )
    keys_each_vote = int(trial.one_per is not OnePer.NONE)
    env, record = simpy.Environment(), Record()
    backlog = Backlog(env)
    backlog.put(Bundles(trial.bundles, trial.votes, 0.0))
    load = Load(votes_per_second=0.0, seconds=0.0, keys_each_vote=keys_each_vote)
    job = Job(env, parameters, load, backlog, record, Random(1))
    job.execute()
    env.run(until=parameters.task_seconds_max)
    # The first lease counts from its answer on, and the last acknowledgement is part of the time.
    return record.last_counted_at - parameters.pull_seconds + parameters.acknowledge_seconds
