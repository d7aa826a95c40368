"""The suite on a busy machine, in several orders: `python -m tests.under_load`, followed by pytest's own options.

Busy loops run beside the tests: first in the order of the files, then shuffled by three seeds, which are printed.
"""

import os
import secrets
import subprocess
import sys
import tempfile
from pathlib import Path

from emulators.processes import ROOT, Process

LOOPS = 4
RUNS = 3
BUSY = "while True: pass"


def main(options: list[str]) -> int:
    orders = [["-p", "no:randomly"], *([f"--randomly-seed={secrets.randbelow(2**32)}"] for _ in range(RUNS))]
    with tempfile.TemporaryDirectory() as folder:
        loops = [
            Process(
                f"Busy loop {number}",
                [sys.executable, "-c", BUSY],
                log=Path(folder) / "busy.log",
                environment=os.environ,
            )
            for number in range(LOOPS)
        ]
        try:
            for order in orders:
                print(f"Beside {LOOPS} busy loops: pytest {' '.join([*order, *options])}", flush=True)  # noqa: T201
                done = subprocess.run(
                    [sys.executable, "-m", "pytest", *order, *options], cwd=ROOT, check=False
                )
                if done.returncode:
                    return done.returncode
        finally:
            for loop in loops:
                loop.let_go()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
