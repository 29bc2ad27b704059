"""`relay check` of sign-up forms: who sends the mail, whether it can leave, and what the rules have against its words."""

import shutil

import pytest

from relay.cli import check_forms
from relay.cli.findings import Findings
from tests.support.opt_in import FORM, SENDER, a_config
from tests.support.policies import SHIPPED, lasting
from tests.support.small import SMALL_CONFIG


@pytest.fixture
def found(tmp_path, monkeypatch):
    """What `relay check` finds; `changes` are (file, old, new) in the policies."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(SHIPPED, tmp_path / "policies")
    for path in (tmp_path / "policies" / "packs").iterdir():
        path.write_text(lasting(path.read_text("utf-8")), "utf-8")

    def look(form=FORM, config=SMALL_CONFIG, changes=()):
        for name, old, new in changes:
            path = tmp_path / "policies" / name
            text = path.read_text("utf-8")
            assert old in text
            path.write_text(text.replace(old, new), "utf-8")
        findings = Findings()
        check_forms.look(a_config(form, config), findings)
        return findings

    return look


def english(both):
    return [en for _, en in both]


def test_forms_that_can_ask_are_named_and_a_purpose_without_a_stream_is(found):
    findings = found()
    assert english(findings.fine) == [f"sign-up form {name}, confirmed by mail of {SENDER}" for name in ("newsletter", "inside")]
    assert findings.faults == []
    assert english(findings.to_do) == [
        "config.toml [[form]] inside: there is no marketing stream offers that its consents are to"
    ]


def test_without_forms_nothing_is_said(found):
    findings = found("")
    assert (findings.fine, findings.faults, findings.to_do) == ([], [], [])


def test_a_sender_whom_no_stream_that_serves_takes(found):
    (fault,) = english(found(FORM.replace(SENDER, "news@example.com")).faults)
    assert "no stream of purpose service or notice takes mail of news@example.com" in fault


@pytest.mark.parametrize(("identity", "can_leave"), [(SENDER, True), ("@example.com", True), ("shop@example.com", False)])
def test_a_sender_without_an_account(found, identity, can_leave):
    config = SMALL_CONFIG.replace('auth = "none"', 'auth = "account"')
    account = f'[[account]]\nidentity = "{identity}"\nupstream = "only"\npassword_file = "x"\n'
    faults = english(found(FORM + account, config).faults)
    told = f"config.toml: there is no [[account]] of {SENDER}, confirmation mails cannot leave: add one"
    assert faults == ([] if can_leave else [told])


PACKS = ("streams/receipts.toml", 'packs = ["base"]', 'packs = ["base", "service", "us-can-spam", "ca-casl"]')


def test_the_mail_itself_is_no_advertisement_to_any_pack_for_mail_that_serves(found):
    assert found(changes=[PACKS]).faults == []


def test_words_that_a_rule_keeps_back_are_found_before_anybody_signs_up(found):
    loud = FORM.replace("I agree to a monthly newsletter", "Buy now! 50% discount, limited offer, free shipping")
    (fault,) = english(found(loud, changes=[PACKS]).faults)
    assert fault.startswith("config.toml [[form]] newsletter: the rule service/promotional-content keeps its confirmation mail")
