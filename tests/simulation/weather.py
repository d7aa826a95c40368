"""The weather: what becomes of each call between a process and the cloud, drawn from the seed."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from tests.simulation.virtual import Process
from turnout.memory.queue import Mailbox


@dataclass(frozen=True)
class Fate:
    """What becomes of one call."""

    go_seconds: float = 0.004
    back_seconds: float = 0.004
    #: The request never arrives; or its answer never does.
    request_lost: bool = False
    answer_lost: bool = False
    #: A loss is told at once, as a broken connection; else the caller waits until its time is up.
    told: bool = True
    #: The request arrives a second time, this much later.
    again_after_seconds: float | None = None
    #: The process dies while the request is under way; or when the answer arrives.
    dies_asking: bool = False
    dies_answered: bool = False


CALM = Fate()


@dataclass(frozen=True)
class Outage:
    """A time in which no request of a kind of process reaches a service."""

    service: str
    process_kind: str
    begins: float
    ends: float


class Weather:
    """Draws the fate of each call from the seed, until the faults are healed."""

    def __init__(
        self, chance: random.Random, *, services: Sequence[str], process_kinds: Sequence[str]
    ) -> None:
        self._chance = chance
        self._services = services
        self._process_kinds = process_kinds
        self._lost = chance.choice((0.0, 0.02, 0.08))
        self._doubled = chance.choice((0.0, 0.03))
        self._slow = chance.choice((0.0, 0.05, 0.15))
        self._slow_seconds_max = chance.choice((0.5, 3.0, 12.0))
        self._deadly = chance.choice((0.0, 0.003, 0.012))
        self._outages = [self._outage() for _ in range(chance.choice((0, 0, 1, 3)))]
        self._reorders = chance.choice((0.0, 0.3))
        self._breaks_leases = chance.choice((0.0, 0.05))
        #: When the faults ended; None: they go on.
        self.healed_at: float | None = None

    @property
    def healed(self) -> bool:
        """Whether the faults have ended."""
        return self.healed_at is not None

    def heal(self, now: float) -> None:
        """Ends the faults."""
        self.healed_at = now

    def fate(self, process: Process, service: str, now: float) -> Fate:
        if self.healed:
            return CALM
        chance = self._chance
        cut_off = any(
            outage.service == service
            and process.name.startswith(outage.process_kind)
            and outage.begins <= now < outage.ends
            for outage in self._outages
        )
        loses = cut_off or chance.random() < self._lost
        before = cut_off or chance.random() < 0.5
        return Fate(
            go_seconds=self._delay(),
            back_seconds=self._delay(),
            request_lost=loses and before,
            answer_lost=loses and not before,
            told=chance.random() < 0.6,
            again_after_seconds=chance.uniform(0, 4) if chance.random() < self._doubled else None,
            dies_asking=chance.random() < self._deadly,
            dies_answered=chance.random() < self._deadly,
        )

    def disturb(self, mailbox: Mailbox) -> None:
        """What a subscription may do at any time: change the order, and deliver a leased message once more."""
        if self.healed:
            return
        if self._chance.random() < self._reorders:
            self._chance.shuffle(mailbox._waiting)
        if self._chance.random() < self._breaks_leases:
            mailbox.extend(self._chance.sample(sorted(mailbox._leases), k=min(1, len(mailbox._leases))), 0)

    def _delay(self) -> float:
        if self._chance.random() < self._slow:
            return self._chance.uniform(0.01, self._slow_seconds_max)
        return self._chance.uniform(0.001, 0.02)

    def _outage(self) -> Outage:
        begins = self._chance.uniform(0, 40)
        return Outage(
            service=self._chance.choice(self._services),
            process_kind=self._chance.choice(self._process_kinds),
            begins=begins,
            ends=begins + self._chance.uniform(1, 25),
        )
