"""What a run is seen to do: votes by age, sums, and samples over time."""

import bisect
import itertools

import msgspec


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """The system at a moment."""

    seconds: float
    promised: int
    counted: int
    instances: int
    tasks: int

    @property
    def backlog(self) -> int:
        """Votes that were promised and are not counted yet."""
        return self.promised - self.counted


class Seconds:
    """Durations, each of so many votes."""

    def __init__(self) -> None:
        self._of: list[tuple[float, int]] = []

    def add(self, seconds: float, votes: int) -> None:
        """So many votes took so long."""
        self._of.append((seconds, votes))

    def percentile(self, share: float) -> float:
        """What that share of the votes did not exceed; 0 if there was none."""
        if not self._of:
            return 0.0
        ordered = sorted(self._of)
        reached = list(itertools.accumulate(votes for _, votes in ordered))
        return ordered[bisect.bisect_left(reached, share * reached[-1])][0]

    def mean(self) -> float:
        """The mean over the votes; 0 if there was none."""
        votes = sum(number for _, number in self._of)
        return sum(seconds * number for seconds, number in self._of) / votes if votes else 0.0


class Record(msgspec.Struct, kw_only=True):
    """What has happened so far."""

    #: Votes that came, that were refused at the front (429), that were confirmed to their voter, and that were counted.
    sent: float = 0.0
    refused: float = 0.0
    promised: int = 0
    counted: int = 0
    #: The longest that a vote stood before an instance took it.
    front_wait_seconds_max: float = 0.0
    bundles: int = 0
    published_bytes: float = 0.0
    delivered_bytes: float = 0.0
    leases: int = 0
    commits: int = 0
    writes: int = 0
    #: CPU and lifetime: of instances that are ready while votes come, of tasks as they are billed.
    instance_cpu_seconds: float = 0.0
    instance_seconds: float = 0.0
    task_cpu_seconds: float = 0.0
    task_seconds_billed: float = 0.0
    tasks_started: int = 0
    #: Summed over commits: what they waited for the ramp, for their document, and what they took.
    ramp_wait_seconds: float = 0.0
    document_wait_seconds: float = 0.0
    commit_seconds: float = 0.0
    last_counted_at: float = 0.0
    #: Answers and ages are noted from this moment on.
    measured_from_seconds: float = 0.0
    answers: Seconds = msgspec.field(default_factory=Seconds)
    ages: Seconds = msgspec.field(default_factory=Seconds)
    samples: list[Sample] = msgspec.field(default_factory=list)

    def promise(self, now: float, accepted_at: float, votes: int) -> None:
        """Votes that were accepted then are confirmed to their voters now."""
        self.promised += votes
        if now >= self.measured_from_seconds:
            self.answers.add(now - accepted_at, votes)

    def count(self, now: float, accepted_at: float, votes: int) -> None:
        """Votes that were accepted then are counted now."""
        self.counted += votes
        self.last_counted_at = now
        if now >= self.measured_from_seconds:
            self.ages.add(now - accepted_at, votes)
