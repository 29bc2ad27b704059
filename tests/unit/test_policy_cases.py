"""The shipped packs do what policies/tests says, for every rule, and no parameter of theirs can be changed unnoticed."""

import tomllib

import pytest

from relay.policy.faults import Faults
from relay.policy.parse import read_draft
from relay.policy.rehearsal import failures, read_rehearsals
from tests.support.mutants import is_noticed, mutants, with_rule
from tests.support.policies import shipped_files

FILES = shipped_files()
CASES = sorted(name for name in FILES if name.startswith("tests/"))
PACKS = sorted(name for name in FILES if name.startswith("packs/"))
RULES = [
    (pack, number, table) for pack in PACKS for number, table in enumerate(tomllib.loads(FILES[pack].decode()).get("rule", ()))
]
REHEARSALS = read_rehearsals(FILES)
DRAFT = read_draft(FILES, Faults(FILES))


def rule_name(rule) -> str:
    pack, _, table = rule
    return f"{pack.removeprefix('packs/').removesuffix('.toml')}/{table['id']}"


@pytest.mark.parametrize("file", CASES)
def test_the_cases_hold(file):
    own = [one for one in REHEARSALS if one.file == file]
    assert own
    assert [line for failed in failures(own) for line in failed.lines()] == []


@pytest.mark.parametrize("rule", RULES, ids=rule_name)
def test_every_rule_stops_one_case_and_lets_one_through(rule):
    name = rule_name(rule)
    assert any(name in one.table.objects for one in REHEARSALS), f"no case that {name} objects to"
    assert any(name in one.table.passes for one in REHEARSALS), f"no case that {name} lets through"


@pytest.mark.parametrize("rule", RULES, ids=rule_name)
def test_no_parameter_changes_unnoticed(rule):
    pack, number, table = rule
    name = rule_name(rule)
    own = sorted(
        (one for one in REHEARSALS if name in (*one.table.objects, *one.table.passes, *one.table.unasked)),
        key=lambda one: name not in one.table.objects,
    )
    unnoticed = []
    for change, mutant in mutants(table):
        stage = with_rule(DRAFT, pack, number, mutant)
        if stage is not None and not is_noticed(stage, own):
            unnoticed.append(change)
    assert not unnoticed, f"{name} can be changed and every case still holds: {unnoticed}"
