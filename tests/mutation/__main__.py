"""`make mutate`: how many mistakes in the queue and in votes the tests find. What was tried is not tried again.

python -m tests.mutation                        every mutant, on the fast half; hours
python -m tests.mutation --sample 40 --seed 7   some of them, in minutes
python -m tests.mutation --whole                what survived the fast half, on the tests with emulators
python -m tests.mutation --report               what is known so far
"""

import argparse
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from emulators.processes import ROOT
from tests.deadlines import COMMAND_SECONDS_MAX
from tests.mutation.mutants import Mutant, Record, all_mutants, sample
from tests.mutation.trial import Copy, Tests, cpu_seconds_of, read_libraries

RECORDS = ROOT / ".mutation"


#: A test of the fast half takes a few seconds; a mutant that waits for ever is found by this.
FAST_TEST_SECONDS_MAX = 90


class Half(msgspec.Struct, frozen=True):
    """Tests that mutants are tried on."""

    name: str
    options: tuple[str, ...]
    paths: tuple[str, ...]


#: Of the simulation's thousand seeds, some: what it finds, it mostly finds soon. What says nothing about the queue and
#: votes is left out.
FAST = Half(
    "fast",
    (
        *("-m", "fast", "-k", "not planted and not replays"),
        *("--seeds=20", "--hypothesis-profile=quick", f"--timeout={FAST_TEST_SECONDS_MAX}"),
        *(
            f"--ignore=tests/pure/test_{name}.py"
            for name in ("architecture", "benchmarks", "direct", "mutation", "scaling", "suite")
        ),
    ),
    ("tests/pure", "tests/simulation", "tests/contracts"),
)
WHOLE = Half(
    "whole",
    (f"--timeout={COMMAND_SECONDS_MAX}", "-m", "not fast", "--ignore=tests/emulated/test_benchmarks.py"),
    ("tests/contracts", "tests/emulated", "tests/faults", "tests/cli"),
)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutation",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--sample", type=int, help="try so many mutants only")
    parser.add_argument("--seed", type=int, default=1, help="that this seed chooses")
    parser.add_argument("--only", default="", help="mutants whose name has this in it")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="mutants at once")
    parser.add_argument("--seconds", type=float, help="the processor time of the tests, if it is known")
    parser.add_argument("--whole", action="store_true", help="try what survived the fast half")
    parser.add_argument("--again", action="store_true", help="try once more what survived")
    parser.add_argument("--report", action="store_true", help="say what is known, and try nothing")
    given = parser.parse_args()
    mutants = [mutant for mutant in all_mutants(ROOT) if given.only in mutant.name]
    if given.sample:
        mutants = sample(mutants, given.sample, given.seed)
    half = WHOLE if given.whole else FAST
    if given.whole:
        survived = Record(RECORDS, FAST.name, ROOT).survived()
        mutants = [mutant for mutant in mutants if survived.get(mutant.name)]
    record = Record(RECORDS, half.name, ROOT)
    if not given.report:
        known = record.survived()
        left = [
            mutant
            for mutant in mutants
            if known.get(mutant.name, True) and (given.again or mutant.name not in known)
        ]
        try_all(left, record, half, given.processes, given.seconds)
    return report(mutants, record)


def try_all(
    mutants: Sequence[Mutant], record: Record, half: Half, processes: int, cpu_seconds: float | None
) -> None:
    """Tries mutants, several at once."""
    if not mutants:
        return
    by_name = {mutant.name: mutant for mutant in mutants}
    # Forked, before anything has threads: each process has read the libraries already.
    read_libraries(ROOT, [*half.options, *half.paths])
    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()
    with tempfile.TemporaryDirectory() as folder:
        if cpu_seconds is None:
            cpu_seconds = cpu_seconds_of(
                Tests(half.options, half.paths), Copy(ROOT, Path(folder) / "unchanged")
            )
        print(f"Without a mutant, the tests take {cpu_seconds:.0f} s of processor time.", flush=True)  # noqa: T201
        bounded = Tests(half.options, half.paths, cpu_seconds=cpu_seconds)
        workers = [
            context.Process(
                target=work, args=(mutants[number::processes], bounded, Path(folder) / str(number), results)
            )
            for number in range(processes)
        ]
        for worker in workers:
            worker.start()
        for count in range(1, len(mutants) + 1):
            name, survived, output = results.get()
            if not name:
                raise SystemExit(output)
            mutant = by_name[name]
            record.add(mutant, survived=survived, output=output)
            verdict = "SURVIVED" if survived else "killed"
            print(f"{count}/{len(mutants)} {verdict} {name}: {mutant.change()}", flush=True)  # noqa: T201
        for worker in workers:
            worker.join()


def work(mutants: Sequence[Mutant], tests: Tests, folder: Path, results: Any) -> None:
    """One process's part of the mutants; a name that is empty says why there are no more."""
    try:
        copy = Copy(ROOT, folder)
        for mutant in mutants:
            copy.become(mutant)
            passed, output = tests.pass_with(mutant, copy)
            copy.recover(mutant)
            results.put((mutant.name, passed, output[-2_000:]))
    except BaseException as error:
        results.put(("", False, f"{type(error).__name__}: {error}"))
        raise


def report(mutants: Sequence[Mutant], record: Record) -> int:
    """Says how many were killed, and which were not."""
    survived = record.survived()
    tried = [mutant for mutant in mutants if mutant.name in survived]
    alive = [mutant for mutant in tried if survived[mutant.name]]
    for mutant in alive:
        print(f"survived: {mutant.name}: {mutant.change()}")  # noqa: T201
    killed = len(tried) - len(alive)
    share = f" ({killed / len(tried):.1%})" if tried else ""
    print(f"{killed:,} of {len(tried):,} tried mutants were killed{share}; {len(mutants):,} there are.")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
