"""A crowd of voters for the demo: what they send follows from a seed, and they keep an account of what was promised.

The account is theirs alone: it is written from the answers that came over HTTP, so that it can judge the tallies.
"""

import asyncio
import random
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from math import ceil

import aiohttp
import msgspec

from cli.client import Answer, fault, silence
from cli.faults import NoAnswer, Refused
from turnout.base.retry import RetryPolicy

BATCH_VOTES = 1_000
#: Of the votes, those that come one by one, and the most of them.
SINGLES_SHARE = 0.02
SINGLES_MIN = 50
SINGLES_MAX = 3_000
#: Requests that are sent once more with the same Idempotency-Key, as an impatient client would.
REPEATS_SHARE = 0.05
#: So many other requests come between a request and its repeat, at most.
REPEAT_DISTANCE_MAX = 20
BATCH_CONNECTIONS = 8
SINGLE_CONNECTIONS = 24
ATTEMPTS_MAX = 12
ANSWER_SECONDS_MAX = 30.0
PATIENCE = RetryPolicy(first_seconds=0.1, max_seconds=5.0, attempts_max=ATTEMPTS_MAX)
RETRY_AFTER_SECONDS_MAX = 30.0
RETRIED = frozenset({429, 500, 502, 503, 504})
SUCCESS = range(200, 300)


class Request(msgspec.Struct, frozen=True):
    """One request: its votes per choice, and whether its Idempotency-Key was sent before."""

    path: str
    key: str
    body: bytes
    counts: tuple[int, ...]
    repeat: bool = False

    @property
    def votes(self) -> int:
        """The votes in it."""
        return sum(self.counts)


class Plan:
    """What a crowd sends: so many votes in a poll, in batches and one by one, with some repeats. The seed decides all."""

    def __init__(self, poll: str, choices: Sequence[str], votes: int, seed: int) -> None:
        self.choices = tuple(choices)
        self.votes = votes
        self.singles = min(votes, SINGLES_MAX, max(SINGLES_MIN, ceil(votes * SINGLES_SHARE)))
        self._poll = poll
        self._seed = seed
        self._votes_json = [msgspec.json.encode({"poll": poll, "choice": choice}) for choice in choices]
        chance = random.Random(f"{seed} favour")  # noqa: S311  # a crowd, not a secret
        self._favour = [chance.uniform(1, 4) for _ in choices]

    def one_by_one(self) -> Iterator[Request]:
        """The votes that come alone, with repeats among them."""
        return self._with_repeats("single", ([1] * self.singles))

    def batches(self) -> Iterator[Request]:
        """The votes that come in batches, with repeats among them."""
        rest = self.votes - self.singles
        sizes = [BATCH_VOTES] * (rest // BATCH_VOTES) + [rest % BATCH_VOTES] * (rest % BATCH_VOTES > 0)
        return self._with_repeats("batch", sizes)

    def _with_repeats(self, kind: str, sizes: Iterable[int]) -> Iterator[Request]:
        chance = random.Random(f"{self._seed} {kind}")  # noqa: S311
        waiting: deque[tuple[int, Request]] = deque()
        for index, size in enumerate(sizes):
            request = self._request(kind, index, size, chance)
            yield request
            # The first one is repeated always, so that the smallest crowd has duplicates.
            if index == 0 or chance.random() < REPEATS_SHARE:
                due = index + chance.randint(0, REPEAT_DISTANCE_MAX)
                waiting.append((due, msgspec.structs.replace(request, repeat=True)))
            while waiting and waiting[0][0] <= index:
                yield waiting.popleft()[1]
        yield from (request for _, request in waiting)

    def _request(self, kind: str, index: int, size: int, chance: random.Random) -> Request:
        picks = chance.choices(range(len(self.choices)), weights=self._favour, k=size)
        number = Counter(picks)
        counts = tuple(number[choice] for choice in range(len(self.choices)))
        votes = [self._votes_json[pick] for pick in picks]
        key = f"{self._poll}-{kind}-{index}"
        if kind == "single":
            return Request("/vote", key, votes[0], counts)
        return Request("/votes", key, b"[" + b",".join(votes) + b"]", counts)


class Account:
    """What the crowd was promised: written when a 2xx has come, and only then."""

    def __init__(self, choices: int) -> None:
        #: Votes per choice, each under a key that was not promised before.
        self.promised = [0] * choices
        #: Votes under a key that had been sent before: each must be counted as a duplicate.
        self.repeated = 0
        #: Votes whose earlier attempt may have gone through, though no 2xx came: each may be a duplicate as well.
        self.sent_again = 0
        self.requests = 0

    @property
    def votes(self) -> int:
        """The votes that must be counted."""
        return sum(self.promised)

    @property
    def answered(self) -> int:
        """All votes that were answered with a 2xx, repeats as well."""
        return self.votes + self.repeated

    def confirmed(self, request: Request) -> None:
        """A 2xx came."""
        self.requests += 1
        if request.repeat:
            self.repeated += request.votes
        else:
            self.promised = [had + new for had, new in zip(self.promised, request.counts, strict=True)]


class Crowd:
    """Sends a plan over HTTP; what is refused for now, or lost, is sent again with the same Idempotency-Key."""

    def __init__(self, plan: Plan, base_url: str, on_answer: Callable[[Account], None]) -> None:
        self.account = Account(len(plan.choices))
        self._plan = plan
        self._base_url = base_url
        self._on_answer = on_answer

    async def send(self) -> None:
        """Sends everything; `NoAnswer` or `Refused` if a vote is not taken in the end."""
        timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS_MAX)
        connector = aiohttp.TCPConnector(limit=BATCH_CONNECTIONS + SINGLE_CONNECTIONS)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
            # Many voters take their requests from one iterator: each request is one voter's.
            batches, one_by_one = self._plan.batches(), self._plan.one_by_one()
            voters = [batches] * BATCH_CONNECTIONS + [one_by_one] * SINGLE_CONNECTIONS
            try:
                async with asyncio.TaskGroup() as group:
                    for requests in voters:
                        group.create_task(self._send_each(session, requests))
            except* (NoAnswer, Refused) as faults:
                raise faults.exceptions[0] from None

    async def _send_each(self, session: aiohttp.ClientSession, requests: Iterator[Request]) -> None:
        for request in requests:
            await self._send(session, request)
            self.account.confirmed(request)
            self._on_answer(self.account)

    async def _send(self, session: aiohttp.ClientSession, request: Request) -> None:
        pauses = PATIENCE.waits(random.random)
        headers = {"Content-Type": "application/json", "Idempotency-Key": request.key}
        for attempt in range(1, ATTEMPTS_MAX + 1):
            pause = next(pauses)
            try:
                async with session.post(
                    self._base_url + request.path, data=request.body, headers=headers
                ) as answer:
                    body = await answer.read()
                    if answer.status in SUCCESS:
                        return
                    why = fault(Answer(answer.status, body), self._base_url)
                    if answer.status not in RETRIED:
                        raise why
                    pause = max(pause, _retry_after_seconds(answer.headers.get("Retry-After", "")))
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                why = silence(self._base_url, error)
            if attempt < ATTEMPTS_MAX:
                self.account.sent_again += request.votes
                await asyncio.sleep(pause)
        raise NoAnswer(f"{request.votes:,} votes were not taken in {ATTEMPTS_MAX} attempts. {why}")


def _retry_after_seconds(given: str) -> float:
    """What a Retry-After header asks for, within reason; its form as a date is not used by Turnout."""
    return min(float(given), RETRY_AFTER_SECONDS_MAX) if given.isdecimal() else 0.0
