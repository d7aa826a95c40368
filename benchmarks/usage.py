"""What a process and those that it started used; read from `/proc`, so on Linux alone."""

import os
from pathlib import Path

TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
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


def _is_below(number: int, top: int, parents: dict[int, int]) -> bool:
    while number and number != top:
        number = parents.get(number, 0)
    return number == top
