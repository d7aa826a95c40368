"""No process outlives its holder, however that ends."""

import asyncio
import os
import resource
import signal
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest

from emulators.errors import NotReady, ProcessDied, ProcessUnstartable
from emulators.processes import PORTS_A_PART, ROOT, Process, free_port, port_is_free, until_ready
from tests.deadlines import WAIT_SECONDS_MAX
from tests.environment import plain_environment
from tests.local_cloud.helpers import alive, eventually

#: A process with a child of its own, as gunicorn has; both say their ids, and neither heeds SIGTERM.
FAMILY = textwrap.dedent("""
    import os, signal, sys, time
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = os.fork()
    os.write(1, b"%d\\n" % os.getpid())  # in one write: two processes share this log
    time.sleep(600)
""")

HOLDER = textwrap.dedent("""
    import os, sys, time
    from pathlib import Path
    from emulators.processes import Process
    held = [
        Process(f"p{n}", [sys.executable, "-c", sys.argv[2]], log=Path(sys.argv[1]) / f"{n}.log", environment=os.environ)
        for n in range(2)
    ]
    time.sleep(600)
""")


def start(tmp_path: Path, *command: str) -> Process:
    return Process("The process", command, log=tmp_path / "it.log", environment=plain_environment())


def hold(tmp_path: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", HOLDER, str(tmp_path), FAMILY]
    with (tmp_path / "holder.log").open("wb") as log:
        return subprocess.Popen(command, cwd=ROOT, stderr=log)


def said_pids(logs: Sequence[Path]) -> list[int]:
    return [int(line) for log in logs if log.exists() for line in log.read_text().split()]


def family(logs: Sequence[Path]) -> list[psutil.Process]:
    return [psutil.Process(pid) for pid in said_pids(logs)]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
async def test_the_end_of_the_holder_ends_the_processes_and_their_children(
    tmp_path: Path, how: signal.Signals
) -> None:
    logs = [tmp_path / "0.log", tmp_path / "1.log"]
    holder = hold(tmp_path)
    try:
        await eventually(
            lambda: len(said_pids(logs)) == 4 or holder.poll() is not None,
            "two processes and their children run",
        )
        assert holder.poll() is None, (tmp_path / "holder.log").read_text()
        held = family(logs)
        assert all(map(alive, held))
    finally:
        holder.send_signal(how)
        holder.wait(WAIT_SECONDS_MAX)
    await eventually(lambda: not any(map(alive, held)), "all of them are gone")


async def test_a_process_that_ignores_sigterm_is_killed_with_its_child(tmp_path: Path) -> None:
    process = start(tmp_path, sys.executable, "-c", FAMILY)
    await eventually(lambda: len(said_pids([process.log])) == 2, "the process and its child run")
    held = family([process.log])
    assert process.pid in {each.pid for each in held}
    assert await process.stop(grace_seconds=0.1) == -signal.SIGKILL
    await eventually(lambda: not any(map(alive, held)), "both are gone")


async def test_children_of_a_killed_process_end_with_it(tmp_path: Path) -> None:
    process = start(tmp_path, sys.executable, "-c", FAMILY)
    await eventually(lambda: len(said_pids([process.log])) == 2, "the process and its child run")
    held = family([process.log])
    os.kill(process.pid, signal.SIGKILL)
    assert await process.wait() == -signal.SIGKILL
    await eventually(lambda: not any(map(alive, held)), "the child is gone")


async def test_a_killed_guard_takes_its_process_along(tmp_path: Path) -> None:
    process = start(tmp_path, "sleep", "600")
    held = psutil.Process(process.pid)
    os.kill(process._guard.pid, signal.SIGKILL)
    assert await process.wait() == -signal.SIGKILL
    await eventually(lambda: not alive(held), "the process is gone")


async def test_exit_codes_output_and_environment_come_through(tmp_path: Path) -> None:
    process = Process(
        "It",
        ["sh", "-c", "echo $WORD; echo bad >&2; exit 7"],
        log=tmp_path / "it.log",
        environment={"WORD": "good"},
    )
    assert await process.wait() == 7
    assert process.log.read_text() == "good\nbad\n"
    process.signal(signal.SIGTERM)  # to what has ended: nothing happens


async def test_a_process_heeds_sigterm_as_python_does_by_default(tmp_path: Path) -> None:
    process = start(tmp_path, sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)")
    await eventually(lambda: "up" in process.log.read_text(), "the process is up")
    assert await process.stop() == -signal.SIGTERM


async def test_a_missing_program_is_named(tmp_path: Path) -> None:
    with pytest.raises(ProcessUnstartable, match="no-such-program: No such file"):
        start(tmp_path, "no-such-program")


async def test_a_process_that_dies_before_it_is_ready_is_reported_with_its_log(tmp_path: Path) -> None:
    async def never() -> bool:
        return False

    process = start(tmp_path, "sh", "-c", "echo the reason >&2; exit 3")
    with pytest.raises(ProcessDied, match=r"exit code 3[\s\S]*the reason"):
        await until_ready(process, never, seconds_max=WAIT_SECONDS_MAX)


async def test_a_process_that_never_gets_ready_is_reported_with_its_log(tmp_path: Path) -> None:
    async def never() -> bool:
        return False

    process = start(tmp_path, "sh", "-c", "echo still busy; exec sleep 600")
    await eventually(lambda: "busy" in process.log.read_text(), "the process is up")
    with pytest.raises(NotReady, match=r"within 0.1 s[\s\S]*still busy"):
        await until_ready(process, never, seconds_max=0.1)
    await process.kill()


async def test_free_ports_are_free_and_below_those_of_clients() -> None:
    ports = {free_port() for _ in range(20)}
    assert all(20_000 <= port < 32_000 for port in ports)
    port = ports.pop()
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", port)
    assert not port_is_free(port)
    server.close()
    await server.wait_closed()


def test_a_port_is_given_out_again_only_when_every_other_one_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emulators.processes._given_out", set())
    first = [free_port() for _ in range(PORTS_A_PART // 2)]
    assert len(set(first)) == len(first)
    # More than there are: a long session of tests asks for that many.
    assert all(port_is_free(free_port()) for _ in range(PORTS_A_PART * 2))


def test_when_no_port_is_free_the_range_is_named() -> None:
    with pytest.raises(ProcessUnstartable, match=r"no port from \d{5} to \d{5} is free"):
        free_port(frozenset(range(20_000, 40_000)))


async def test_a_holder_with_a_thousand_descriptors_can_start_more(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4_096)), hard))
    held = [os.open(os.devnull, os.O_RDONLY) for _ in range(1_100)]
    try:
        assert await start(tmp_path, "true").wait() == 0
    finally:
        for descriptor in held:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
