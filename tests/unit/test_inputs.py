"""What a rule looked at, as `relay explain` says it: no more and no less than the check reads."""

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from relay.policy.cases.case import Case, Phase
from relay.policy.cases.transfers import Transferred
from relay.policy.checks import CHECKS
from relay.policy.deciding.decide import decide
from relay.policy.suppressions.suppression import Purpose, Reason
from relay.policy.telling.inputs import FACTS, facts_of, inputs_of
from tests.support.policies import PLAIN, a_case, a_policy, a_setting, newsletter, noon
from tests.unit.test_decide import EXEMPT, PROGRAM, TODAY, with_pack

PARAMETERS: dict[str, dict[str, Any]] = {
    "size": {"above_mb": 10},
    "domains": {"deny": ["blocked.example"]},
    "attachment-types": {"extensions": ["exe"]},
    "archives": {"faults": ["locked"]},
    "subject-words": {"words": ["lottery"]},
    "consent": {"basis": ["explicit"], "interest_in": ["FR"]},
    "subject-label": {"labels": ["CN"]},
    "organisation-facts": {"facts": ["contact"]},
    "transfer": {"from_countries": ["CN"], "bases": ["exempt"]},
    "transfer-count": {
        "from_countries": ["CN"],
        "bases": ["exempt"],
        "below": {"exempt": 3},
        "below_sensitive": {"exempt": 1},
    },
    "transfer-consent": {"from_countries": ["CN"]},
    "stream-offers": {"offers": ["signature"]},
    "personal-data": {"types": ["cn-id"]},
    "links": {"faults": ["http"]},
    "absolute-terms": {"tiers": ["block"]},
    "regulated-terms": {"kinds": ["goods"]},
    "prohibited-content": {"categories": ["gambling"]},
    "unsourced-figures": {"kinds": ["figures"]},
}
READ_AS = {
    "size": "message.size", "addressees": "message.addressees", "addressee_list": "message.addressee",
    "subject": "message.subject",
    "content": "message.content",
    "attachments": "message.attachments", "archives": "message.archives",
    "structure": "message.parts_complete", "defects": "message.defects",
    "authors": "message.from", "all": "message.from_fields", "sender": "message.sender", "first": "message.sender",
    "suppressions": "recipient.suppressions", "mailbox": "recipient.domain", "key": "recipient.address",
    "identity": "sender.owns", "author_name": "message.from_name", "reply_to": "message.reply_to", "refers": "message.refers",
    "upstream_countries": "upstream.countries",
    "received_by": "message.received_by", "return_path": "message.return_path", "recipients": "message.recipients",
    "consents": "recipient.consents", "transferred": "recipient.transferred", "jurisdictions": "recipient.countries",
    "domain_mail": "recipient.domain_mail",
    "recipient": "recipient.domain", "submission": "sender.owns",
}  # fmt: skip
"""Which fact it is that a check reads by this attribute of a case or its message."""
AS_WELL = {
    "sender.identity", "stream.offers", "stream.name", "stream.purpose", "stream.bound_by", "stream.sensitive",
    "stream.personalised", "stream.adult",
}  # fmt: skip
"""Named for people: what the facts beside them are of."""


class Watched:
    """A message or a case that remembers what was read of it."""

    def __init__(self, watched, read):
        self._watched, self._read = watched, read

    def __getattr__(self, name):
        value = getattr(self._watched, name)
        if name in ("message", "submission", "recipient"):
            return Watched(value, self._read)
        self._read.add(READ_AS[name])
        return value


@pytest.mark.parametrize("check", CHECKS.values(), ids=lambda check: check.name)
def test_a_check_names_what_it_reads(check):
    assert set(check.reads) <= FACTS.keys()
    read: set[str] = set()
    raw = PLAIN.replace(b"Subject", b"Sender: robot@example.com\r\nSubject", 1)
    parameters = check.parameters(id="mine", **PARAMETERS.get(check.name, {}))
    case = a_case(raw, upstream_countries=frozenset({"SG"}), transferred=Transferred(2026))
    check.ask(Watched(case, read), replace(a_setting(), adult=True), parameters)
    assert read - AS_WELL == {name for name in check.reads if not name.startswith("organisation.")} - AS_WELL


def given(policy, case: Case, phase=Phase.DATA, today=TODAY, stream="newsletter"):
    """Rule to its input, and the ruling's word on it."""
    used = policy.stream(stream)
    asked = decide(policy, used, case, phase, noon(today)).asked
    return {one.rule: (one, before) for one, before in zip(asked, inputs_of(asked, used, case), strict=True)}


WHEN = "message.size > 20 && size(message.attachments) > 1 && recipient.domain == 'qq.com'"


def test_each_rule_shows_its_facts_and_parameters():
    rules = (
        '[[rule]]\nid = "big"\ncheck = "size"\nabove_mb = 1.5\n'
        f'[[rule]]\nid = "cel"\nwhen = "{WHEN}"\ntext = "No"\ntext_zh = "不"\n'
        '[[rule]]\nid = "qq"\ncheck = "domains"\nallow = ["mail.example.org"]\nrecipient_domains = ["qq.com"]\n'
    )
    found = given(newsletter(rules), a_case(PROGRAM, suppressed=Reason.COMPLAINT))
    size = found["newsletter/big"][1]
    assert (size.facts, size.parameters) == ({"message.size": len(PROGRAM)}, {"above_mb": 1.5})
    suppressed = found["base/suppression"][1].facts
    assert [(entry["reason"], entry["scope"], entry["at"]) for entry in suppressed["recipient.suppressions"]] == [
        ("complaint", "organisation", 1.0)
    ]
    assert "complaint" in suppressed["stream.bound_by"]
    assert (suppressed["stream.name"], suppressed["stream.purpose"]) == ("newsletter", "marketing")
    cel = found["newsletter/cel"][1]
    assert cel.parameters == {"when": WHEN}
    assert (cel.facts["message.size"], cel.facts["recipient.domain"]) == (len(PROGRAM), "mail.example.org")
    assert cel.facts["message.parts_complete"] is True
    assert not {"message.subject", "sender.identity"} & cel.facts.keys()
    asked, before = found["newsletter/qq"]
    assert (asked.asked, before.facts, before.parameters) == (False, {}, {"recipient_domains": ["qq.com"]})


def test_at_rcpt_there_is_no_message_to_look_at():
    case = a_case(None, suppressed=Reason.LEGAL)
    assert {name.partition(".")[0] for name in facts_of(FACTS, case, a_setting("x", Purpose.NOTICE))} == {
        "organisation", "recipient", "sender", "stream", "upstream",
    }  # fmt: skip
    found = given(newsletter(), case, Phase.RCPT)
    assert found["base/suppression"][1].facts["recipient.suppressions"]
    assert found["base/attachment-types"][1].facts == {}


WHERE = '[[rule]]\nid = "where"\ncheck = "domains"\ndeny = ["*.example.org"]\n'
OVERRIDE = '[[override]]\nrule = "base/attachment-types"\naction = "warn"\nreason = "a trial"\nby = "Wang"\nuntil = 2026-11-22\n'
ABROAD = '[applies]\nany = [{ upstream = "KR" }, { recipient = "JP" }]'
QQ = '[[rule]]\nid = "qq"\ncheck = "size"\nabove_mb = 1\nrecipient_domains = ["qq.com"]\n'


@pytest.mark.parametrize(
    ("policy", "case", "phase", "stream", "rule", "why_zh"),
    [
        (newsletter(), a_case(), Phase.DATA, "newsletter", "base/mass-disclosure-service", "用途不符"),
        (newsletter(), a_case(None), Phase.RCPT, "newsletter", "base/attachment-types", "尚无邮件内容"),
        (newsletter(QQ), a_case(), Phase.DATA, "newsletter", "newsletter/qq", "不适用于该收件域名"),
        (newsletter(WHERE, mode='"shadow"'), a_case(), Phase.DATA, "newsletter", "newsletter/where", "仅观察"),
        (newsletter(OVERRIDE), a_case(PROGRAM), Phase.DATA, "newsletter", "base/attachment-types",
         "已放宽，至 2026-11-22（Wang：a trial）"),
        (a_policy(added={"organisation.toml": EXEMPT}), a_case(PROGRAM, to="qa@mail.example.org"), Phase.DATA, "newsletter",
         "base/attachment-types", "已豁免，至 2026-11-21（Wang Min：test）"),
        (a_policy(), a_case(stream="correspondence"), Phase.DATA, "correspondence", "base/attachment-types", "从不检查个人通信"),
        (with_pack(ABROAD), a_case(), Phase.DATA, "newsletter", "law/no-offers",
         "不适用：仅限 JP 的收件人，或 KR 的上游服务器"),
    ],
)  # fmt: skip
def test_why_is_said_in_chinese(policy, case, phase, stream, rule, why_zh):
    assert given(policy, case, phase, date(2026, 11, 21), stream)[rule][0].why_zh == why_zh
