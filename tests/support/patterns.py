"""Patterns that could work without bound on a hostile text, told from how they are written.

A repeat is harmless when it never gives back what it took (possessive), or
when it is short and repeats no other repeat.  `match` at one place is then
linear; `search` is, as what was passed is not tried again.
"""

import pkgutil
import re
from importlib import import_module
from types import ModuleType
from typing import Any

codes: Any = import_module("re._constants")  # whether they are declared depends on what else is installed
parser: Any = import_module("re._parser")

LONGEST = 300
"""Repeats that give back: at most so many steps for one place."""

_REPEATS = {codes.MAX_REPEAT, codes.MIN_REPEAT}


def patterns_of(package: ModuleType) -> list[tuple[str, re.Pattern]]:
    """The compiled patterns of every module of a package, by name."""
    modules = [import_module(f"{package.__name__}.{one.name}") for one in pkgutil.iter_modules(package.__path__)]
    return [one for module in modules for one in patterns_in(module)]


def patterns_in(module: ModuleType) -> list[tuple[str, re.Pattern]]:
    """Those of one module: by themselves, in a table, or in what a tuple lists as `pattern`."""
    named = [(f"{module.__name__}.{name}", value) for name, value in vars(module).items()]
    listed = [(name, getattr(one, "pattern", None)) for name, value in named if isinstance(value, tuple) for one in value]
    tabled = [(name, one) for name, value in named if isinstance(value, dict) and name[-1] != "_" for one in value.values()]
    return [(name, value) for name, value in (*named, *listed, *tabled) if isinstance(value, re.Pattern)]


def work_without_bound(pattern: re.Pattern) -> list[str]:
    """Its repeats that could give back more than `LONGEST` characters, or that stand in each other."""
    faults: list[str] = []
    _look(parser.parse(pattern.pattern, pattern.flags & ~re.DEBUG), 1, faults)
    return faults


def _look(tokens, steps: int, faults: list[str]) -> None:
    for code, argument in tokens:
        if code in _REPEATS:
            _, most, inner = argument
            if most != 1:
                if steps * most > LONGEST:
                    faults.append(f"{code} up to {most} within {steps}")
                _look(inner, steps * min(most, LONGEST + 1), faults)
            else:
                _look(inner, steps, faults)
        else:
            for inner in _inside(code, argument):
                _look(inner, steps, faults)


def _inside(code, argument) -> list:
    """The parts of a token; what a possessive repeat or an atomic group holds gives nothing back."""
    if code is codes.SUBPATTERN:
        return [argument[-1]]
    if code is codes.BRANCH:
        return argument[1]
    if code in (codes.ASSERT, codes.ASSERT_NOT):
        return [argument[1]]
    return []
