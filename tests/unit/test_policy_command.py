"""`relay policy` and `relay schema`: what people see, what is recorded, what a wrong set changes (nothing)."""

import json
import os
import shutil
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from click.testing import CliRunner

from relay.cli import policy as command
from relay.cli.output import understand_language
from relay.errors import ConfigurationError
from relay.keys import load_keys
from relay.policy.sets.parse import parse_policies
from relay.records.append import Records
from relay.records.kinds import Kind
from relay.records.search import Query, search
from relay.service.policies import PolicyArchive, read_folder
from tests.support.policies import SHIPPED
from tests.support.small import SMALL_CONFIG


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A configuration with the shipped policies beside it, without their thousand cases."""
    (tmp_path / "config.toml").write_text(SMALL_CONFIG)
    shutil.copytree(SHIPPED, tmp_path / "policies", ignore=shutil.ignore_patterns("tests"))
    monkeypatch.setenv("RELAY_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setenv("RELAY_LANG", "en")
    return tmp_path


@pytest.fixture
def whole_desk(desk):
    """With them."""
    shutil.copytree(SHIPPED / "tests", desk / "policies" / "tests")
    return desk


understand_language(command.policy)  # as the root does for every verb


def run(*arguments: str):
    return CliRunner().invoke(command.policy, arguments)


def apply(desk, *more: str):
    return run("apply", str(desk / "policies"), "--reason", "why", "--by", "Wang Min", *more)


def edit(desk, old: str, new: str) -> None:
    path = desk / "policies" / "streams" / "newsletter.toml"
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")


def policy_records(desk):
    """What the records say of switches, oldest first."""
    records = Records.open(desk / "data" / "records.db", load_keys(desk / "data" / "keys.toml"), 0, lambda: 0.0)
    try:
        return [entry.record.facts for entry in search(records.reader, Query(kinds=frozenset({Kind.POLICY})))]
    finally:
        records.close()


def in_force(desk) -> str:
    name = PolicyArchive(desk / "data").in_force()
    assert name is not None
    return name


def test_apply_puts_the_folder_in_force_and_records_it(whole_desk):
    result = apply(whole_desk)
    assert result.exit_code == 0, result.output
    assert in_force(whole_desk) == parse_policies(read_folder(SHIPPED)).hash
    assert [(s.by, s.reason) for s in PolicyArchive(whole_desk / "data").history()] == [("Wang Min", "why")]
    assert policy_records(whole_desk) == [
        {"policy": in_force(whole_desk), "previous": "", "reason": "why", "by": "Wang Min", "laxer": 0, "shadow": []}
    ]
    assert "newsletter: new stream (marketing)" in result.output
    assert "Still to fill in: organisation.toml: legal_name: 示例公司" in result.output


PACK = (
    '[pack]\nversion = "1"\nexpires_on = {}\n'
    '[[rule]]\nid = "facts"\ncheck = "organisation-facts"\nfacts = ["contact"]\ncite = "Act 7"\n'
)


@pytest.mark.parametrize(
    ("days", "said"), [(-1, "The pack law expired on "), (29, "The pack law expires on ")], ids=["expired", "soon"]
)
def test_apply_says_which_pack_needs_somebody(desk, days, said):
    day = datetime.now(ZoneInfo("Asia/Shanghai")).date() + timedelta(days=days)
    (desk / "policies/packs/law.toml").write_text(PACK.format(day))
    edit(desk, 'packs = ["base"]', 'packs = ["base", "law"]')
    result = apply(desk)
    assert result.exit_code == 0, result.output
    assert f"{said}{day}" in result.output
    assert "policies/organisation.toml: contact: law/facts needs it [Act 7]; mail it applies to waits (451)" in result.output


def test_apply_marks_every_line_that_became_laxer(desk):
    apply(desk)
    edit(desk, 'mode = "enforce"', 'mode = "shadow"')
    edit(desk, "identity = []", 'identity = ["5/hour"]')
    result = apply(desk)
    lines = result.output.split("\n")
    assert any(line.startswith("  [laxer] newsletter: mode enforce -> shadow") for line in lines)
    assert any(line.startswith("          newsletter: limit identity per hour: - -> 5/hour") for line in lines)
    assert "Changes: 2, laxer: 1" in result.output
    assert [(facts["laxer"], facts["shadow"]) for facts in policy_records(desk)] == [(0, []), (1, ["newsletter"])]


def test_applying_the_same_set_again_changes_nothing(desk):
    apply(desk)
    result = apply(desk)
    assert "nothing changed" in result.output
    assert len(PolicyArchive(desk / "data").history()) == 1


def test_a_wrong_set_changes_nothing(desk):
    apply(desk)
    before = PolicyArchive(desk / "data").history()
    edit(desk, 'mode = "enforce"', 'mode = "quiet"')
    result = apply(desk)
    assert isinstance(result.exception, ConfigurationError)
    lines = (desk / "policies/streams/newsletter.toml").read_text("utf-8").splitlines()
    place = next(number for number, line in enumerate(lines, 1) if line.startswith("mode = "))
    assert f"streams/newsletter.toml: line {place}: mode: expected 'enforce' or 'shadow'" in str(result.exception)
    assert PolicyArchive(desk / "data").history() == before


def test_a_set_that_names_an_unknown_upstream_changes_nothing(desk):
    edit(desk, "upstream = []", 'upstream = ["ses"]')
    result = apply(desk)
    assert 'no [[upstream]] named "ses"' in str(result.exception)
    assert PolicyArchive(desk / "data").in_force() is None


def test_a_pack_by_upstream_asks_for_the_country_that_nobody_named(desk):
    (desk / "policies/packs/host.toml").write_text('[pack]\nversion = "1"\n[applies]\nany = [{ upstream = "CN" }]\n')
    edit(desk, 'packs = ["base"]', 'packs = ["base", "host"]')
    result = apply(desk)
    assert result.exit_code == 0
    asked = 'config.toml [[upstream]] "only": say where it is, such as country = "CN"'
    assert asked in result.output
    edit(desk, 'packs = ["base", "host"]', 'packs = ["base"]')
    assert asked not in apply(desk).output


def test_no_record_no_switch(desk):
    apply(desk)
    (desk / "data" / "keys.toml").unlink()
    edit(desk, 'mode = "enforce"', 'mode = "shadow"')
    assert isinstance(apply(desk).exception, ConfigurationError)
    assert PolicyArchive(desk / "data").load(in_force(desk)).stream("newsletter").mode == "enforce"


def test_a_reason_is_needed(desk):
    assert run("apply", str(desk / "policies")).exit_code == 2
    assert run("apply", str(desk / "policies"), "--reason", "  ").exit_code == 2


WRONG_CASE = '[[case]]\nname = "an ordinary mail"\nexpect = "reject"\n'


def test_a_set_whose_cases_do_not_hold_stays_out(whole_desk):
    apply(whole_desk)
    before = in_force(whole_desk)
    (whole_desk / "policies" / "tests" / "mine.toml").write_text(WRONG_CASE)
    edit(whole_desk, 'mode = "enforce"', 'mode = "shadow"')
    fault = str(apply(whole_desk).exception)
    assert fault.startswith("tests/mine.toml: line 2: an ordinary mail: expected reject, found permit / ")
    assert in_force(whole_desk) == before


def test_the_cases_of_a_set_are_kept_with_it(whole_desk):
    """What a set was held against is evidence; the same set is not held against it again."""
    told = json.loads(apply(whole_desk, "--json").output)
    assert told["cases"] > 80
    kept = read_folder(whole_desk / "data" / "policies" / "sets" / told["hash"])
    assert kept["tests/base.toml"] == (SHIPPED / "tests" / "base.toml").read_bytes()
    assert json.loads(apply(whole_desk, "--json").output)["cases"] == 0


def test_cases_are_judged_without_putting_anything_in_force(whole_desk):
    fine = run("test")
    assert (fine.exit_code, PolicyArchive(whole_desk / "data").in_force()) == (0, None)
    assert "✓ tests/base.toml: " in fine.output
    (whole_desk / "policies" / "tests" / "mine.toml").write_text(WRONG_CASE)
    wrong = run("test", str(whole_desk / "policies"))
    assert wrong.exit_code == 1
    assert "✗ tests/mine.toml: 1 case, 0 hold" in wrong.output
    assert "tests/mine.toml:2  an ordinary mail\n  ✗ expected reject, found permit\n" in wrong.output
    told = json.loads(run("test", "--json").output)
    assert [(one["file"], one["line"], one["case"]) for one in told["failed"]] == [("tests/mine.toml", 2, "an ordinary mail")]
    assert told["failed"][0]["differences"] == [{"en": "expected reject, found permit", "zh": "应为 reject，实为 permit"}]


def test_rules_that_no_case_stops_are_named(whole_desk):
    (whole_desk / "policies" / "tests" / "base.toml").write_text('[[case]]\nname = "a"\nexpect = "permit"\n')
    assert "Rules that no case makes object:\n  base/suppression\n" in run("test").output


def test_another_folder_than_the_configured_one_is_remarked(desk):
    (desk / "policies").rename(desk / "drafts")
    result = run("apply", str(desk / "drafts"), "--reason", "why")
    assert result.exit_code == 0
    assert "at its start and on SIGHUP the relay applies" in result.output


def test_apply_for_machines(desk):
    told = json.loads(apply(desk, "--json").output)
    assert told["before"] is None
    assert told["hash"] == in_force(desk)
    assert [change["laxer"] for change in told["changes"]] == [False, False, False]


def test_an_earlier_set_that_was_altered_does_not_stop_a_new_one(desk):
    apply(desk)
    shutil.rmtree(desk / "data" / "policies" / "sets" / in_force(desk))
    edit(desk, 'mode = "enforce"', 'mode = "shadow"')
    assert apply(desk).exit_code == 0
    assert PolicyArchive(desk / "data").load(in_force(desk)).stream("newsletter").mode == "shadow"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can own nothing here")
def test_root_applies_nothing_in_the_services_folder(desk):
    """The service could not open keys and records that root made."""
    (desk / "data").mkdir()
    os.chown(desk / "data", 12345, 12345)
    result = apply(desk)
    assert isinstance(result.exception, ConfigurationError)
    assert "sudo -u" in str(result.exception)
    assert list((desk / "data").iterdir()) == []


# show ----------------------------------------------------------------------------------------------------------------


def test_show_says_the_set_in_force_in_the_language_asked_for(desk):
    apply(desk)
    english, chinese = run("show", "--lang", "en"), run("show", "--lang", "zh")
    assert [english.exit_code, chinese.exit_code] == [0, 0]
    assert "by Wang Min: why" in english.output
    for head in ("Enforced", "Only observed or relaxed", "Not checked by this system; people answer for it"):
        assert f"\n{head}\n" in english.output
    for head in ("强制执行", "仅观察或已放宽", "本系统不检查，由人负责"):
        assert f"\n{head}\n" in chinese.output


def test_show_remembers_the_past(desk):
    apply(desk)
    first = in_force(desk)
    PolicyArchive(desk / "data").put_in_force(
        first, 1_700_000_000.0, "old", "old"
    )  # 2023-11-15 in Shanghai; the clock of that host was wrong
    told = json.loads(run("show", "--at", "2023-11-15", "--json").output)
    assert (told["switch"]["hash"], told["switch"]["by"]) == (first, "old")
    assert run("show", "--at", "2023-11-14").exit_code == 1
    assert run("show", "--at", "yesterday").exit_code == 2


def test_show_at_the_end_of_the_calendar_says_the_set_in_force(desk):
    apply(desk)
    for at in ("9999-12-31", "9999-12-31T23:59:59-12:00"):
        result = run("show", "--at", at)
        assert result.exit_code == 0, result.output


def test_show_without_a_set_says_so(desk):
    result = run("show")
    assert result.exit_code == 1
    assert "no policy set was in force then" in result.output


@pytest.mark.parametrize("kind", ["organisation", "stream", "pack"])
def test_schema_is_json(kind):
    result = CliRunner().invoke(command.schema, [kind])
    assert json.loads(result.output)["title"] == f"compliance-relay {kind}"


def test_two_sets_are_compared(desk):
    """Folders, kept sets by the beginning of their hash, and the one in force."""
    apply(desk)
    before = in_force(desk)
    assert run("diff", "in-force", str(desk / "policies")).output == "Changes: 0, laxer: 0.\n"
    edit(desk, 'mode = "enforce"', 'mode = "shadow"')
    laxer = run("diff", before[:6], str(desk / "policies"))
    assert laxer.exit_code == 1
    assert "[laxer] newsletter: " in laxer.output
    stricter = json.loads(run("diff", str(desk / "policies"), before, "--json").output)
    assert [one["laxer"] for one in stricter] == [False]


def test_a_set_that_nobody_kept_is_no_set(desk):
    unknown = run("diff", "0000", str(desk / "policies"))
    assert unknown.exit_code == 2
    assert "0000 is no folder, and no hash of one policy set" in unknown.output
