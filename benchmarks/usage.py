"""What a process and those that it started used; read from `/proc`, so on Linux alone."""

import os
from pathlib import Path

TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
#: As the drain's own log counts them.
BYTES_A_MB = 1024 * 1024
PROC = Path("/proc")


def cpu_seconds(pid: int) -> float:
    """The CPU seconds of a process and of all below it that still run; 0 where there is no `/proc`."""
    parents: dict[int, int] = {}
    used: dict[int, float] = {}
    for stat in PROC.glob("[0-9]*/stat"):
        try:
            # The name in parentheses may hold anything: the fields are counted from its end.
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it ended meanwhile
        number = int(stat.parent.name)
        parents[number] = int(fields[1])
        used[number] = (int(fields[11]) + int(fields[12])) / TICKS_A_SECOND
    return sum(seconds for number, seconds in used.items() if _is_below(number, pid, parents))


def resident_mb(pid: int) -> float:
    """The memory of one process that is in RAM, in MB; 0 where there is no `/proc`, or the process has ended."""
    try:
        pages = int((PROC / str(pid) / "statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0.0
    return pages * PAGE_BYTES / BYTES_A_MB


def _is_below(number: int, top: int, parents: dict[int, int]) -> bool:
    while number and number != top:
        number = parents.get(number, 0)
    return number == top
