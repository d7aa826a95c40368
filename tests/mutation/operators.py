"""The mistakes that are made: those of cosmic-ray that a person makes, and a call that is left out."""

from collections.abc import Iterator, Sequence
from typing import Any

import cosmic_ray.plugins
from cosmic_ray.operators.operator import Example, Operator
from parso.python.tree import Keyword, Name

#: Of the replacements of one operator by another, those that are an easy slip: the neighbour and the opposite.
CHOSEN = (
    *(
        f"core/ReplaceComparisonOperator_{slip}"
        for slip in (
            "Eq_NotEq",
            "NotEq_Eq",
            "Lt_LtE",
            "Lt_GtE",
            "LtE_Lt",
            "LtE_Gt",
            "Gt_GtE",
            "Gt_LtE",
            "GtE_Gt",
            "GtE_Lt",
            "Is_IsNot",
            "IsNot_Is",
        )
    ),
    *(
        f"core/ReplaceBinaryOperator_{slip}"
        for slip in ("Add_Sub", "Sub_Add", "Mul_Div", "Div_Mul", "FloorDiv_Mul", "Mod_Mul", "Pow_Mul")
    ),
    "core/ReplaceUnaryOperator_Delete_USub",
    "core/ReplaceUnaryOperator_Delete_Not",
    "core/AddNot",
    "core/ReplaceTrueWithFalse",
    "core/ReplaceFalseWithTrue",
    "core/ReplaceAndWithOr",
    "core/ReplaceOrWithAnd",
    "core/ReplaceBreakWithContinue",
    "core/ReplaceContinueWithBreak",
    "core/NumberReplacer",
    "core/RemoveDecorator",
    "core/ZeroIterationForLoop",
    "turnout/LeaveOutCall",
    "turnout/CatchAnother",
)
#: A line of the log more or less is no mistake that a test has to find.
LOG = "log"
#: Nothing here iterates by hand, so this exception never comes.
UNRAISED = "StopAsyncIteration"


class LeaveOutCall(Operator):  # type: ignore[misc]  # cosmic-ray has no types
    """Leaves out a statement that is nothing but a call, awaited or not."""

    def mutation_positions(self, node: Any) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
        """Where there is such a statement."""
        if node.type == "simple_stmt" and _is_call(node.children[0]):
            yield node.children[0].start_pos, node.children[0].end_pos

    def mutate(self, node: Any, index: int) -> Any:  # there is one way to do it
        """Puts `pass` in its place."""
        call = node.children[0]
        nothing = Keyword("pass", call.start_pos, prefix=call.get_first_leaf().prefix)
        nothing.parent = node
        node.children[0] = nothing
        return node

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """What becomes of a call, and of an awaited one."""
        return Example("f(1)\n", "pass\n"), Example("await a.f()\n", "pass\n")


class CatchAnother(Operator):  # type: ignore[misc]  # cosmic-ray has no types
    """Catches an exception that nobody raises instead of one that is; cosmic-ray's own knows no names with dots."""

    def mutation_positions(self, node: Any) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
        """Each exception that is named in an except clause."""
        if node.type == "except_clause":
            for _, _, name in _caught(node):
                yield name.start_pos, name.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        """Names the other one instead."""
        parent, place, name = list(_caught(node))[index]
        another = Name(UNRAISED, name.start_pos, prefix=name.get_first_leaf().prefix)
        another.parent = parent
        parent.children[place] = another
        return node

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """One exception, and the second of two."""
        return (
            Example("try: f()\nexcept a.B as fault: g()\n", f"try: f()\nexcept {UNRAISED} as fault: g()\n"),
            Example(
                "try: f()\nexcept (A, b.C): g()\n", f"try: f()\nexcept (A, {UNRAISED}): g()\n", occurrence=1
            ),
        )


def _caught(clause: Any) -> Iterator[tuple[Any, int, Any]]:
    """Each exception of a clause: what it stands in, at which place, and itself."""
    named = clause.children[1]
    if named.type != "atom":
        yield clause, 1, named
        return
    within, first = (named.children[1], 0) if named.children[1].type == "testlist_comp" else (named, 1)
    for place in range(first, len(within.children) - first, 2):
        yield within, place, within.children[place]


OPERATORS = {each.__name__: each for each in (LeaveOutCall, CatchAnother)}


class Provider:
    """Names our own operators to cosmic-ray, as its plugins do."""

    def __iter__(self) -> Iterator[str]:
        return iter(OPERATORS)

    def __getitem__(self, name: str) -> type[Operator]:
        return OPERATORS[name]


cosmic_ray.plugins.OPERATOR_PROVIDERS["turnout"] = Provider()


def operator(name: str) -> Any:
    """An operator by its name."""
    return cosmic_ray.plugins.get_operator(name)()


def _is_call(node: Any) -> bool:
    if node.type != "atom_expr" or node.children[0].get_code().strip() == LOG:
        return False
    last = node.children[-1]
    return bool(last.type == "trailer" and last.children[0].value == "(")
