"""Guards one process against being orphaned: when its holder ends, the process and all that it started are killed.

The holder keeps the other end of this program's standard input. However the holder ends, even by SIGKILL, the kernel
closes that end, and the guard sees the end of file. This works on Linux and macOS alike. `emulators.processes` starts
this file with Python's `-I -S`, so it uses the standard library alone.

Standard input: one byte a signal, to be sent on. Standard output: `pid N`, and `exit CODE` once the process has ended
(`-N`: by signal N), or `error WHY`. Standard error: the log, which the process gets as both of its outputs.
"""

import contextlib
import os
import select
import signal
import sys

ORDERS_BYTES = 64
#: What Python or the guard ignore would stay ignored in the process.
RESTORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGXFSZ)


def main(command: list[str]) -> int:
    """Runs the command to its end, or to the holder's end."""
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    ended = _woken_by_children()
    try:
        child = _spawn(command)
    except OSError as error:
        _say(f"error {command[0]}: {error.strerror or error}")
        return 1
    _say(f"pid {child}")
    code = os.waitstatus_to_exitcode(_hold(child, ended))
    _send(child, signal.SIGKILL)  # what the process left behind in its group
    _say(f"exit {code}")
    return 0


def _woken_by_children() -> int:
    """A descriptor that becomes readable when a child has ended."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(writer)
    return reader


def _spawn(command: list[str]) -> int:
    return os.posix_spawnp(
        command[0],
        command,
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, 2, 1),
        ],
        setpgroup=0,
        setsigdef=RESTORED,
    )


def _hold(child: int, ended: int) -> int:
    """Sends the holder's signals on until the child has ended; answers its wait status."""
    while True:
        ready, _, _ = select.select([0, ended], [], [])
        if 0 in ready:
            orders = os.read(0, ORDERS_BYTES)
            if not orders:
                _send(child, signal.SIGKILL)
                return os.waitpid(child, 0)[1]
            for order in orders:
                _send(child, order)
        if ended in ready:
            os.read(ended, ORDERS_BYTES)
            pid, status = os.waitpid(child, os.WNOHANG)
            if pid:
                return status


def _send(child: int, order: int) -> None:
    """SIGKILL goes to the whole group, as nobody else would tell the rest; other signals to the process alone."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if order == signal.SIGKILL:
            os.killpg(child, order)
        else:
            os.kill(child, order)


def _say(line: str) -> None:
    with contextlib.suppress(BrokenPipeError):
        os.write(1, f"{line}\n".encode())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
