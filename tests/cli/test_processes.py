"""The command line as processes of its own: what it leaves behind, and how it ends."""

import asyncio
import contextlib
import json
import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from emulators import state
from emulators.google import GoogleEmulators
from emulators.stack import LocalCloud
from tests.cli.conftest import TERMINAL, no_cloud
from tests.deadlines import COMMAND_SECONDS_MAX, WAIT_SECONDS_MAX
from tests.environment import plain_environment
from tests.local_cloud.helpers import alive, eventually


class Turnout:
    """`turnout …` as a process, with a state folder of its own."""

    def __init__(self, process: asyncio.subprocess.Process, state_folder: Path) -> None:
        self.process = process
        self.state_folder = state_folder
        self.parts: list[psutil.Process] = []

    async def up(self) -> state.State:
        """Waits until its local cloud is up."""
        await eventually(
            lambda: state.running_cloud(self.state_folder) is not None or self.process.returncode is not None,
            "the local cloud is up",
        )
        running = state.running_cloud(self.state_folder)
        assert running is not None, await self.output()
        self.parts = [psutil.Process(pid) for pid in running.pids.values()]
        return running

    async def output(self) -> str:
        """What it said, all of it: waits for its end."""
        said, _ = await asyncio.wait_for(self.process.communicate(), COMMAND_SECONDS_MAX)
        return said.decode()

    async def line(self) -> str:
        """The next line that it says."""
        assert self.process.stdout is not None
        said = await asyncio.wait_for(self.process.stdout.readline(), WAIT_SECONDS_MAX)
        return said.decode().rstrip("\n")

    async def leaves_nothing(self) -> None:
        """Fails if a process of its local cloud outlives it."""
        assert self.parts
        await eventually(lambda: not any(map(alive, self.parts)), "all parts are gone")
        assert state.running_cloud(self.state_folder) is None


@contextlib.asynccontextmanager
async def turnout(state_folder: Path, *words: str, **environment: str) -> AsyncIterator[Turnout]:
    unset = no_cloud(state_folder)
    given = {name: value for name, value in unset.items() if value is not None}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "from cli import app; app()",
        *words,
        env={**plain_environment(), **given, **TERMINAL, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield Turnout(process, state_folder)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.fixture(autouse=True)
def emulators_can_be_had(google_emulators: GoogleEmulators) -> None:
    """Skips, or fails in CI, where there are no emulators: the suite's own have shown it."""


async def test_a_demo_proves_itself_ends_with_0_and_leaves_no_process(tmp_path: Path) -> None:
    async with turnout(tmp_path, "demo", "--once", "--votes", "2000", "--seed", "7") as demo:
        await demo.up()
        said = await demo.output()
        assert demo.process.returncode == 0, said
        await demo.leaves_nothing()
    assert "Each of the 2,000 votes that got a 2xx is in both tallies, exactly once." in said
    assert "The books balance" in said
    for step in ("poll opened", "voted over HTTP", "drained by a job", "persisted to Datastore", "audited"):
        assert said.count(f"✓ {step}") == 1
    # Without a terminal: plain lines, no more of them than there is to say, none wider than 80 columns.
    assert "\x1b" not in said
    assert "\r" not in said
    assert len(said.splitlines()) < 50
    assert max(map(len, said.splitlines())) <= 80


async def test_up_serves_other_terminals_ends_at_ctrl_c_and_leaves_no_process(tmp_path: Path) -> None:
    async with turnout(tmp_path, "up") as up:
        running = await up.up()
        async with turnout(tmp_path, "polls", "list", "--json") as second_terminal:
            assert json.loads(await second_terminal.output()) == []
        async with turnout(tmp_path, "up") as second_cloud:
            refusal = await second_cloud.output()
            assert second_cloud.process.returncode == 1
            assert f"A local cloud is running already at {running.base_url}" in refusal
        up.process.send_signal(signal.SIGINT)
        said = await up.output()
        assert up.process.returncode == 0, said
        await up.leaves_nothing()
    assert "Traceback" not in said
    assert "polls create finals Ada Grace Radia" in said
    assert "Cloud Tasks" in said
    assert running.environment["CLOUD_TASKS_EMULATOR_URL"] in said
    assert "Stopping the local cloud" in said


async def test_up_ends_with_the_log_of_a_part_that_dies(tmp_path: Path) -> None:
    async with turnout(tmp_path, "up") as up:
        running = await up.up()
        victim = next(name for name in running.pids if "results" in name)
        os.kill(running.pids[victim], signal.SIGKILL)
        said = await up.output()
        assert up.process.returncode == 1, said
        await up.leaves_nothing()
    assert f"✗ {victim} ended by signal 9. The end of its log" in said
    assert "Traceback" not in said


async def test_a_demo_that_is_ended_early_ends_with_130_and_leaves_no_process(tmp_path: Path) -> None:
    async with turnout(tmp_path, "demo", "--once", "--votes", "1000000") as demo:
        await demo.up()
        demo.process.send_signal(signal.SIGTERM)
        said = await demo.output()
        assert demo.process.returncode == 130, said
        await demo.leaves_nothing()
    assert "Traceback" not in said


async def test_watched_results_are_a_line_per_change_until_a_signal(
    local_cloud: LocalCloud, tmp_path: Path
) -> None:
    poll = f"watched-{secrets.token_hex(4)}"
    told = local_cloud.variables
    for words in (("polls", "create", poll, "Ada", "Grace"), ("vote", poll, "Ada")):
        async with turnout(tmp_path, *words, **told) as command:
            await command.output()
    async with turnout(tmp_path, "results", poll, "--watch", **told) as watching:
        assert await watching.line() == "0 votes: Ada 0 · Grace 0"
        async with turnout(tmp_path, "drain", "--idle-seconds", "3", **told) as draining:
            await draining.output()
        assert await watching.line() == "1 vote: Ada 1 · Grace 0"
        watching.process.send_signal(signal.SIGINT)
        assert await watching.output() == ""
        assert watching.process.returncode == 0
