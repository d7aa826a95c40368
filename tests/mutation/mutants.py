"""Every mutant of the core, and a record of what became of each, which a later run goes on with."""

import hashlib
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import MutationSpec, TestOutcome, WorkerOutcome, WorkItem, WorkResult

from tests.mutation.operators import CHOSEN, operator

MUTATED = ("turnout/queue", "turnout/votes")
STARRED = frozenset({"parameters", "argument", "dictorsetmaker"})


class Mutant:
    """One mistake at one place."""

    def __init__(self, root: Path, path: str, operator_name: str, occurrence: int, line: int) -> None:
        #: Of the file, within the checkout.
        self.path = path
        self.name = f"{path}:{line} {operator_name.partition('/')[2]} {occurrence}"
        self._root = root
        self._operator_name = operator_name
        self._occurrence = occurrence

    def code(self) -> str:
        """The file with the mistake."""
        return str(
            mutate_code((self._root / self.path).read_text(), operator(self._operator_name), self._occurrence)
        )

    def change(self) -> str:
        """The lines that differ: before → after."""
        before = (self._root / self.path).read_text().splitlines()
        after = self.code().splitlines()
        if len(before) != len(after):
            return "a line is gone"
        return " ".join(
            f"{old.strip()} → {new.strip()}" for old, new in zip(before, after, strict=True) if old != new
        )

    def item(self) -> WorkItem:
        """What cosmic-ray's records have of it."""
        spec = MutationSpec(
            module_path=Path(self.path),
            operator_name=self._operator_name,
            occurrence=self._occurrence,
            start_pos=(0, 0),
            end_pos=(0, 1),
        )
        return WorkItem.single(job_id=self.name, mutation=spec)


def all_mutants(root: Path) -> Iterator[Mutant]:
    """Every mutant, in the order of files and lines."""
    for folder in MUTATED:
        for path in sorted((root / folder).rglob("*.py")):
            yield from _mutants_of(root, path)


def _mutants_of(root: Path, path: Path) -> Iterator[Mutant]:
    tree = get_ast(path.read_text())
    for name in CHOSEN:
        made = operator(name)
        found = [(start[0], node) for node in ast_nodes(tree) for start, _ in made.mutation_positions(node)]
        for occurrence, (line, node) in enumerate(found):
            if not _is_no_operation(node):
                yield Mutant(root, path.relative_to(root).as_posix(), name, occurrence, line)


def _is_no_operation(node: Any) -> bool:
    """Whether stars are no product or power: they say what is passed by name, or take a mapping apart."""
    return node.type == "operator" and str(node.parent.type) in STARRED


def sample(mutants: Sequence[Mutant], size: int, seed: int) -> list[Mutant]:
    """So many of them, chosen by a seed; all of them if there are no more."""
    return random.Random(seed).sample(mutants, min(size, len(mutants)))


class Record:
    """What became of each mutant, in a database of cosmic-ray's; `cr-report` and `cr-html` read it too."""

    def __init__(self, folder: Path, half: str, root: Path) -> None:
        #: Another code is another record.
        digest = hashlib.sha256()
        for path in sorted(path for name in MUTATED for path in (root / name).rglob("*.py")):
            digest.update(path.read_bytes())
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"{half}-{digest.hexdigest()[:12]}.sqlite"

    def survived(self) -> dict[str, bool]:
        """Whether each mutant that was tried survived."""
        with use_db(str(self.path), WorkDB.Mode.create) as database:
            return {name: not result.is_killed for name, result in database.results}

    def add(self, mutant: Mutant, *, survived: bool, output: str) -> None:
        """Notes what became of a mutant."""
        outcome = TestOutcome.SURVIVED if survived else TestOutcome.KILLED
        with use_db(str(self.path), WorkDB.Mode.create) as database:
            if mutant.name not in {item.job_id for item in database.work_items}:
                database.add_work_item(mutant.item())
            database.set_result(
                mutant.name,
                WorkResult(
                    worker_outcome=WorkerOutcome.NORMAL,
                    test_outcome=outcome,
                    output=output,
                    diff=mutant.change(),
                ),
            )
