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

from emulators.processes import ROOT
from tests.mutation.mutants import Mutant, Record, all_mutants, sample
from tests.mutation.trial import TEST_SECONDS_MAX, Copy, Tests, cpu_seconds_of, read_libraries

RECORDS = ROOT / ".mutation"
#: Quick and telling first. The simulation has a tenth of its seeds: what it finds in a thousand, it mostly finds in these.
FAST = [
    "-m", "fast", "--seeds=100", f"--timeout={TEST_SECONDS_MAX}",
    *(f"--ignore=tests/pure/test_{name}.py" for name in ("scaling", "benchmarks", "suite", "direct", "mutation")),
    "--deselect=tests/simulation/test_simulation.py::test_a_planted_bug_is_found_within_a_thousand_seeds",
    "--deselect=tests/simulation/test_simulation.py::test_a_seed_replays_exactly_in_another_process_with_other_hashes",
    "tests/pure", "tests/simulation", "tests/contracts",
]  # fmt: skip
WHOLE = ["tests/contracts", "tests/emulated/test_way_of_a_vote.py", "tests/emulated/test_voting.py",
         "tests/emulated/test_results_and_polls.py", "tests/faults", "tests/cli"]  # fmt: skip


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
    parser.add_argument("--whole", action="store_true", help="try what survived the fast half")
    parser.add_argument("--report", action="store_true", help="say what is known, and try nothing")
    given = parser.parse_args()
    mutants = [mutant for mutant in all_mutants(ROOT) if given.only in mutant.name]
    if given.sample:
        mutants = sample(mutants, given.sample, given.seed)
    fast, whole = Record(RECORDS, "fast", ROOT), Record(RECORDS, "whole", ROOT)
    if given.whole:
        mutants = [mutant for mutant in mutants if fast.survived().get(mutant.name)]
    record = whole if given.whole else fast
    if not given.report:
        try_all(mutants, record, WHOLE if given.whole else FAST, 1 if given.whole else given.processes)
    return report(mutants, record)


def try_all(mutants: Sequence[Mutant], record: Record, options: Sequence[str], processes: int) -> None:
    """Tries what was not tried yet, several at once."""
    known = record.survived()
    left = [mutant for mutant in mutants if mutant.name not in known]
    if not left:
        return
    # Forked, before anything has threads: each process has read the libraries already.
    read_libraries(ROOT, options)
    by_name = {mutant.name: mutant for mutant in left}
    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()
    with tempfile.TemporaryDirectory() as folder:
        workers = [
            context.Process(
                target=work, args=(left[number::processes], options, Path(folder) / str(number), results)
            )
            for number in range(processes)
        ]
        for worker in workers:
            worker.start()
        for count in range(1, len(left) + 1):
            name, survived, output = results.get()
            if not name:
                raise SystemExit(output)
            mutant = by_name[name]
            record.add(mutant, survived=survived, output=output)
            verdict = "SURVIVED" if survived else "killed"
            print(f"{count}/{len(left)} {verdict} {mutant.name}: {mutant.change()}", flush=True)  # noqa: T201
        for worker in workers:
            worker.join()


def work(mutants: Sequence[Mutant], options: Sequence[str], folder: Path, results: Any) -> None:
    """One process's part of the mutants; a name that is empty says why there are no more."""
    try:
        copy = Copy(ROOT, folder)
        tests = Tests(options, cpu_seconds=cpu_seconds_of(Tests(options), copy))
        for mutant in mutants:
            copy.become(mutant)
            passed, output = tests.run(copy)
            copy.recover(mutant)
            results.put((mutant.name, passed, output[-2_000:]))
    except BaseException as error:
        results.put(("", False, str(error)))
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
