"""The check recipient-domain: what it says of each answer of DNS, and what the client is told."""

from dataclasses import replace

import pytest

from relay.errors import ConfigurationError
from relay.judging import reply_to
from relay.mail.mailbox import Mailbox
from relay.mail.reply_table import ALL
from relay.policy.cases.case import Action, Phase
from relay.policy.cases.domain_mail import DomainMail
from relay.policy.deciding.asking import asks_dns, rules_asked
from relay.policy.deciding.decide import decide
from relay.policy.telling.finding_words import finding_zh
from tests.support.policies import PLAIN, a_case, a_policy, newsletter
from tests.unit.test_decide import NOW

REFUSES, WAITS = "base/recipient-domain", "base/recipient-domain-unanswered"
NOWHERE: frozenset[str] = frozenset()


def ruled(mail, phase=Phase.RCPT, policy=None):
    policy = policy or newsletter()
    case = a_case(None if phase is Phase.RCPT else PLAIN, domain_mail=mail)
    return decide(policy, policy.stream("newsletter"), case, phase, NOW)


@pytest.mark.parametrize(
    ("mail", "phase", "rule", "said"),
    [
        (DomainMail.NONE, Phase.RCPT, REFUSES, "550 5.1.2"),
        (DomainMail.NONE, Phase.DATA, REFUSES, "550 5.1.2"),
        (DomainMail.NULL_MX, Phase.RCPT, REFUSES, "556 5.1.10"),
        (DomainMail.NULL_MX, Phase.DATA, REFUSES, "554 5.1.10"),
        (DomainMail.UNKNOWN, Phase.RCPT, WAITS, "451 4.4.3"),
        (DomainMail.UNKNOWN, Phase.DATA, WAITS, "451 4.4.3"),
    ],
)
def test_what_the_client_is_told(mail, phase, rule, said):
    ruling = ruled(mail, phase)
    (objection,) = ruling.objections
    reply = reply_to(ruling)
    assert (objection.rule, str(reply).split(" [")[0]) == (rule, said)
    assert not finding_zh(objection.detail).isascii()
    assert any((row.example.rule, row.example.code, row.example.status) == (rule, reply.code, reply.status) for row in ALL)


@pytest.mark.parametrize("mail", [DomainMail.TAKES, None])
def test_who_takes_mail_and_who_was_not_asked_about_may_have_it(mail):
    ruling = ruled(mail)
    told = {one.rule: (one.asked, one.why) for one in ruling.asked if one.rule in (REFUSES, WAITS)}
    assert ruling.action is Action.PERMIT
    assert set(told.values()) == {(False, "DNS was not asked") if mail is None else (True, "asked")}


def test_who_would_rather_pass_turns_the_second_rule_down():
    lenient = newsletter(f'[[override]]\nrule = "{WAITS}"\naction = "warn"\nreason = "r"\nby = "Wang Min"\nuntil = 2099-01-01\n')
    assert ruled(DomainMail.UNKNOWN, policy=lenient).action is Action.WARN
    assert ruled(DomainMail.NONE, policy=lenient).action is Action.REJECT


def test_a_rule_of_ones_own_says_it_with_its_own_weight():
    own = newsletter('[[rule]]\nid = "mine"\ncheck = "recipient-domain"\nfaults = ["null-mx", "unknown"]\naction = "warn"\n')
    found = {one.rule: one.action for one in ruled(DomainMail.NULL_MX, policy=own).objections}
    assert found == {REFUSES: Action.REJECT, "newsletter/mine": Action.WARN}


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ('faults = ["unknown"]\n', 'faults: "unknown" passes by itself'),
        ('faults = ["none", "unknown"]\naction = "reject"\n', "请为它单独写一条规则"),
        ("faults = []\n", "faults"),
        ('faults = ["servfail"]\n', "faults"),
    ],
)
def test_what_is_no_rule(keys, expected):
    with pytest.raises(ConfigurationError, match=expected):
        newsletter(f'[[rule]]\nid = "mine"\ncheck = "recipient-domain"\n{keys}')


def asking(rule: str):
    """A stream in which only this rule asks DNS."""
    policy = newsletter(f'[[rule]]\nid = "mine"\ncheck = "recipient-domain"\n{rule}')
    return only("newsletter/mine", policy.stream("newsletter"))


def only(name, stream):
    """The stream with this rule alone."""
    return replace(stream, rules=tuple(rule for rule in stream.rules if rule.name == name))


def test_dns_is_asked_about_nobody_whom_no_rule_asks_about():
    narrow = asking('recipient_domains = ["example.org", "*.example.org"]\n')
    assert [asks_dns(narrow, domain, NOWHERE) for domain in ("example.org", "a.example.org", "example.net")] == [
        True,
        True,
        False,
    ]
    assert not asks_dns(asking('purposes = ["service"]\n'), "example.org", NOWHERE)


def test_every_shipped_stream_asks_about_names_and_never_about_an_address_literal():
    for stream in a_policy().streams:
        assert [rule.name for rule in stream.asking_dns] == [REFUSES, WAITS]
        assert asks_dns(stream, "example.org", NOWHERE)
        for literal in ("ada@[192.0.2.1]", "ada@[IPv6:2001:db8::1]"):
            assert not asks_dns(stream, Mailbox.parse(literal, literals=True).domain, NOWHERE)


def test_a_pack_asks_about_those_whom_it_may_bind():
    """Where the consent ledger has somebody is known when they are judged; then the rule is asked of whom it binds."""
    pack = '[pack]\nversion = "1"\ntitle = { zh = "包", en = "Pack" }\n[applies]\nany = [{ recipient = "KR" }]\n'
    rule = '[[rule]]\nid = "there"\ncheck = "recipient-domain"\n'
    policy = a_policy(
        changes={"streams/newsletter.toml": ('packs = ["base"]', 'packs = ["base", "seoul"]')}, seoul=f"{pack}{rule}"
    )
    stream = only("seoul/there", policy.stream("newsletter"))
    assert [asks_dns(stream, domain, NOWHERE) for domain in ("mail.example.kr", "example.cn")] == [True, True]
    places = [("mail.example.kr", ""), ("example.cn", ""), ("example.cn", "KR")]
    asked = [
        rules_asked(policy, stream, domain, NOWHERE, mail=DomainMail.TAKES, recorded=frozenset(code.split()))
        for domain, code in places
    ]
    assert [[rule.name for rule in some] for some in asked] == [["seoul/there"], [], ["seoul/there"]]
