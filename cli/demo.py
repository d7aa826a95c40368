"""`turnout demo`: a poll on the local cloud, from its votes over HTTP to its persisted tally, and the proof."""

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Sequence

import msgspec
from rich.bar import Bar
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from cli.client import Client
from cli.cloud import keep_running, local_cloud, show_addresses, while_alive
from cli.core import wired
from cli.crowd import Account, Crowd, Plan
from cli.faults import CheckFailed
from cli.screen import Progress, Steps, console
from emulators.stack import LocalCloud
from turnout.gcp.votes.wiring import Wiring
from turnout.votes.audit import Verdict
from turnout.votes.persistence import PersistReport
from turnout.votes.poll import NewPoll, Poll
from turnout.votes.tally import Tally

POLL = "finals"
TITLE = "Who should be on the next banknote?"
#: The demo's own drain ends soon after the last vote.
DRAIN_SETTINGS = {"TURNOUT_IDLE_SECONDS": "1"}
#: What is not counted by then is lost: longer than any lease of the demo.
DRAIN_SECONDS_MAX = 180.0
LOOK_SECONDS = 0.3
CHOICE_COLUMNS_MAX = 18
BAR_COLUMNS = 16
FIGURE_COLUMNS = 10


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the verdict compares."""

    choices: tuple[str, ...]
    #: What the crowd was promised over HTTP.
    promised: tuple[int, ...]
    repeated: int
    sent_again: int
    #: What Firestore's shards, and Datastore's tally say.
    live: Tally
    persisted: Tally | None
    audit: Verdict

    @property
    def votes(self) -> int:
        """The votes that must be counted."""
        return sum(self.promised)

    @property
    def faults(self) -> tuple[str, ...]:
        """What is not exact, as sentences with figures; empty: every promised vote is in both tallies once."""
        faults = [*_tally_faults("Firestore", self.promised, self.choices, self.live)]
        if self.persisted is None:
            faults.append("Datastore holds no tally")
        else:
            faults += _tally_faults("Datastore", self.promised, self.choices, self.persisted)
        most = self.repeated + self.sent_again
        if not self.repeated <= self.live.duplicates <= most:
            expected = f"{self.repeated:,}" if most == self.repeated else f"{self.repeated:,} to {most:,}"
            faults.append(f"{self.live.duplicates:,} duplicates were counted, {expected} were sent")
        return (*faults, *self.audit.faults)


async def demo(
    *, votes: int, choices: Sequence[str], seed: int | None, once: bool, port: int, workers: int
) -> None:
    """Runs the demo; `CheckFailed` with the figures if a single vote is lost or counted twice."""
    screen = console()
    seed = secrets.randbelow(1_000_000) if seed is None else seed
    screen.print(Text.assemble(("Turnout demo", "bold"), f"  {votes:,} votes, seed {seed}\n"))
    async with contextlib.AsyncExitStack() as closing:
        with Steps(screen) as steps:
            cloud = local_cloud(steps, port=port, workers=workers)
            await cloud.start()
            closing.push_async_callback(cloud.stop)
            work = prove(cloud, steps, Plan(POLL, choices, votes, seed))
            outcome = await while_alive(cloud, work)
        judge(screen, outcome)
        if not once:
            show_addresses(screen, cloud, POLL, choices[0])
            await keep_running(screen, cloud)


async def prove(cloud: LocalCloud, steps: Steps, plan: Plan) -> Outcome:
    """A poll's way, step by step: open, vote, drain, persist, audit."""
    async with Client(cloud.base_url) as client, wired(cloud.environment) as wiring:
        with steps.step("poll opened"):
            poll = await _open_poll(client, wiring, plan)
        account = await _vote(cloud, steps, plan)
        await _drain(cloud, steps, wiring, poll, account)
        with steps.step("persisted to Datastore"):
            await client.call("POST", "/persist", PersistReport)
        with steps.step("audited"):
            return await _outcome(wiring, poll, plan, account)


async def _open_poll(client: Client, wiring: Wiring, plan: Plan) -> Poll:
    wanted = NewPoll(id=POLL, title=TITLE, choices=list(plan.choices))
    await client.call("POST", "/polls", object, body=wanted)
    poll = await wiring.polls().get(POLL)
    if poll is None:
        raise CheckFailed(f"The poll {POLL} was created, but Firestore has none.")
    return poll


async def _vote(cloud: LocalCloud, steps: Steps, plan: Plan) -> Account:
    with steps.step("voted over HTTP") as step, steps.progress(plan.votes, "votes") as progress:
        crowd = Crowd(plan, cloud.base_url, lambda account: progress.reach(account.votes))
        await crowd.send()
        account = crowd.account
        step.note = f"{account.answered / step.seconds:,.0f} votes/s confirmed"
    return account


async def _drain(cloud: LocalCloud, steps: Steps, wiring: Wiring, poll: Poll, account: Account) -> None:
    with steps.step("drained by a job") as step, steps.progress(account.votes, "votes") as progress:
        deadline = time.monotonic() + DRAIN_SECONDS_MAX
        async with _watched(wiring, poll, progress):
            await _run_drain(cloud)
            # A lease that a busy machine let slip comes back at its deadline: the schedule's next drain counts it.
            while time.monotonic() < deadline and not await _all_counted(wiring, poll, account):
                await _run_drain(cloud)
        if progress.done:
            # Without the idleness after which the job ends.
            step.note = f"{account.answered / progress.seconds:,.0f} votes/s"


async def _run_drain(cloud: LocalCloud) -> None:
    execution = cloud.start_job("drain", settings=DRAIN_SETTINGS)
    try:
        await execution.wait()
        execution.raise_if_failed()
    finally:
        execution.let_go()


async def _all_counted(wiring: Wiring, poll: Poll, account: Account) -> bool:
    tally = await wiring.counters().tally(poll)
    return tally.votes + tally.duplicates >= account.answered


@contextlib.asynccontextmanager
async def _watched(wiring: Wiring, poll: Poll, progress: Progress) -> AsyncIterator[None]:
    """Shows the counted votes meanwhile, as the shards have them."""

    async def watch() -> None:
        while True:
            progress.reach((await wiring.counters().tally(poll)).votes)
            await asyncio.sleep(LOOK_SECONDS)

    watching = asyncio.create_task(watch())
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def _outcome(wiring: Wiring, poll: Poll, plan: Plan, account: Account) -> Outcome:
    return Outcome(
        choices=plan.choices,
        promised=tuple(account.promised),
        repeated=account.repeated,
        sent_again=account.sent_again,
        live=await wiring.counters().tally(poll),
        persisted=await wiring.tallies().get(poll.id),
        audit=await wiring.audit().audit(poll.id),
    )


def judge(screen: Console, outcome: Outcome) -> None:
    """Shows everything that was compared; `CheckFailed` if it is not exact."""
    show_outcome(screen, outcome)
    if outcome.faults:
        raise CheckFailed("The demo failed: " + "; ".join(outcome.faults) + ".")
    _show_proof(screen, outcome)


def show_outcome(screen: Console, outcome: Outcome) -> None:
    """The three accounts side by side."""
    table = Table(box=None, padding=(0, 1), header_style="dim")
    table.add_column("", max_width=CHOICE_COLUMNS_MAX, no_wrap=True, overflow="ellipsis")
    table.add_column("", width=BAR_COLUMNS)
    for head in ("promised", "Firestore", "Datastore", ""):
        table.add_column(head, justify="right", no_wrap=True, min_width=FIGURE_COLUMNS if head else 1)
    persisted = outcome.persisted
    persisted_counts = persisted.counts if persisted else (None,) * len(outcome.choices)
    longest = max(outcome.promised)
    rows = zip(outcome.choices, outcome.promised, outcome.live.counts, persisted_counts, strict=True)
    for choice, promised, live, recorded in rows:
        bar = Bar(size=max(longest, 1), begin=0, end=promised, width=BAR_COLUMNS, color="cyan")
        table.add_row(Text(choice), bar, *_figures(promised, live, recorded))
    votes = (outcome.votes, outcome.live.votes, persisted.votes if persisted else None)
    duplicates = (outcome.repeated, outcome.live.duplicates, persisted.duplicates if persisted else None)
    table.add_row(Text("votes"), "", *_figures(*votes), style="bold")
    # What was sent again after a lost answer may have been counted already: then no figure is promised.
    table.add_row(Text("duplicates"), "", *_figures(*duplicates, judged=not outcome.sent_again), style="dim")
    screen.print()
    screen.print(Padding(table, (0, 0, 0, 1)))
    screen.print()


def _show_proof(screen: Console, outcome: Outcome) -> None:
    sums = outcome.audit.books.ledger
    for line in (
        f"Each of the {outcome.votes:,} votes that got a 2xx is in both tallies, exactly once.",
        "The books balance: shards and ledger agree on",
    ):
        screen.print(Text.assemble(("  ✓ ", "green"), line))
    screen.print(
        Text(f"    {sums.votes:,} votes and {sums.duplicates:,} duplicates in {sums.bundles:,} bundles.")
    )


def _figures(*figures: int | None, judged: bool = True) -> list[Text]:
    shown = [Text("-" if figure is None else f"{figure:,}") for figure in figures]
    agree = Text("✓", "green") if len(set(figures)) == 1 else Text("✗", "red")
    return [*shown, agree if judged else Text()]


def _tally_faults(where: str, promised: Sequence[int], choices: Sequence[str], tally: Tally) -> list[str]:
    return [
        f"{where} holds {counted:,} votes for {choice}, promised were {due:,}"
        for choice, due, counted in zip(choices, promised, tally.counts, strict=True)
        if due != counted
    ] + (
        [f"{where}'s total is {tally.votes:,}, promised were {sum(promised):,}"]
        if tally.votes != sum(promised)
        else []
    )
