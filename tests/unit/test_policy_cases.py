"""The shipped packs do what policies/tests says, every rule and every duty, and nothing of theirs can be changed unnoticed."""

import tomllib

import pytest

from relay.policy.rehearsing.rehearsal import read_rehearsals
from relay.policy.sets.faults import Faults
from relay.policy.sets.parse import read_draft
from relay.render.rehearsing import failures
from tests.support.mutants import is_noticed, mutants, mutants_of_duty, mutants_of_scope, with_duty, with_pack, with_rule
from tests.support.policies import shipped_files

FILES = shipped_files()
CASES = sorted(name for name in FILES if name.startswith("tests/"))
PACKS = sorted(name for name in FILES if name.startswith("packs/"))
RULES = [
    (pack, number, table) for pack in PACKS for number, table in enumerate(tomllib.loads(FILES[pack].decode()).get("rule", ()))
]
DUTIES = [
    (pack, number, table) for pack in PACKS for number, table in enumerate(tomllib.loads(FILES[pack].decode()).get("duty", ()))
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


def of_pack(pack: str, *first: str):
    """The cases of one pack, those whose names begin so before the others."""
    own = [one for one in REHEARSALS if one.file == pack.replace("packs/", "tests/")]
    return sorted(own, key=lambda one: not one.table.name.startswith(first))


@pytest.mark.parametrize("duty", DUTIES, ids=rule_name)
def test_no_duty_changes_unnoticed(duty):
    pack, number, table = duty
    own = [one for one in of_pack(pack) if one.table.copied]
    unnoticed = []
    for change, mutant in mutants_of_duty(table):
        stage = with_duty(DRAFT, pack, number, mutant)
        if stage is not None and not is_noticed(stage, own):
            unnoticed.append(change)
    assert not unnoticed, f"{rule_name(duty)} can be changed and every case still holds: {unnoticed}"


@pytest.mark.parametrize("pack", PACKS)
def test_neither_scope_nor_last_day_changes_unnoticed(pack):
    own = of_pack(pack, "applies", "expires")
    unnoticed = []
    for change, mutant in mutants_of_scope(tomllib.loads(FILES[pack].decode())):
        stage = with_pack(DRAFT, pack, mutant)
        if stage is not None and not is_noticed(stage, own):
            unnoticed.append(change)
    assert not unnoticed, f"{pack} can be changed and every case still holds: {unnoticed}"
