"""The mistakes that `make mutate` makes are mistakes: each operator does what its examples say."""

from pathlib import Path

import pytest
from cosmic_ray.mutating import mutate_code

from tests.mutation.mutants import MUTATED, all_mutants
from tests.mutation.operators import OPERATORS, operator


@pytest.mark.parametrize("name", sorted(OPERATORS))
def test_our_own_operators_do_what_their_examples_say(name: str) -> None:
    for example in OPERATORS[name].examples():
        made = operator(f"turnout/{name}")
        assert mutate_code(example.pre_mutation_code, made, example.occurrence) == example.post_mutation_code


def test_stars_are_only_taken_for_products_where_they_are_some(tmp_path: Path) -> None:
    code = "def f(a, *, b):\n    return {**a, 1: b * 2, 2: b**2}, f(*a, **b)\n"
    for folder in MUTATED:
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / MUTATED[0] / "one.py").write_text(code)

    changes = [each.change() for each in all_mutants(tmp_path) if "BinaryOperator" in each.name]

    assert len(changes) == 2
    assert all("{**a, " in change.partition(" → ")[2] for change in changes)
