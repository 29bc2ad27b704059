"""Packs only add: the strictest of all decides, whatever their order, and what relaxes ends with its day."""

import json
import re
from dataclasses import replace
from datetime import date, timedelta
from itertools import chain

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.errors import ConfigurationError
from relay.policy.cases.case import Action, Phase
from relay.policy.deciding.decide import decide
from relay.policy.rehearsing.rehearsal import read_rehearsals
from relay.policy.rules.rule import GUARDED
from relay.policy.sets.parse import parse_policies
from relay.policy.suppressions.suppression import Reason
from tests.support.policies import a_case, a_policy, noon, shipped_files

SHIPPED = shipped_files()
LAWS = sorted(name[6:-5] for name in SHIPPED if name.startswith("packs/") and name != "packs/base.toml")
CASES = [one.case for one in read_rehearsals(SHIPPED)]
WHENS = [
    "recipient.domain == 'example.org'",
    "sender.identity != ''",
    "message.size > 400",
    "size(message.subject) > 4",
    "message.addressees > 1",
    "size(message.attachments) > 0",
]


@st.composite
def a_pack(draw) -> str:
    rules = draw(st.lists(st.tuples(st.sampled_from(WHENS), st.sampled_from(["warn", "hold", "defer", "reject"])), max_size=3))
    applies = draw(st.sampled_from(["", '[applies]\nany = [{ recipient = "CN" }]\n', '[applies]\npurpose = ["service"]\n']))
    expires = draw(st.sampled_from(["", "", "", "expires_on = 2020-01-01\n"]))
    tables = (
        f'[[rule]]\nid = "r{number}"\nwhen = """{when}"""\naction = "{action}"\ntext = "No"\ntext_zh = "不"\n'
        for number, (when, action) in enumerate(rules)
    )
    return f'[pack]\nversion = "1"\n{expires}{applies}{"".join(tables)}'


def judged(packs: dict[str, str], names: list[str], purpose: str, case, today: date):
    """The ruling of a stream with these packs; `names` are of `packs` or of those that are shipped."""
    listed = ["base", *names]
    stream = f'purpose = "{purpose}"\nmatch = {{ identities = ["news@example.com"] }}\npacks = {listed}\n'
    files = {name: SHIPPED[name] for name in (f"packs/{pack}.toml" for pack in listed) if name in SHIPPED}
    files |= {f"packs/{name}.toml": text.encode() for name, text in packs.items()}
    files["streams/one.toml"] = stream.encode()
    files["organisation.toml"] = b'country = "ZZ"\ntime_zone = "UTC"\nstreams = ["one"]\n'
    policy = parse_policies(files)
    return decide(policy, policy.stream("one"), case, Phase.DATA, noon(today))


@settings(max_examples=80)
@given(
    made=st.lists(a_pack(), max_size=3),
    laws=st.lists(st.sampled_from(LAWS), unique=True, max_size=4) if LAWS else st.just([]),
    case=st.sampled_from([case for case in CASES if case.message]),
    purpose=st.sampled_from(["marketing", "service", "notice"]),
    data=st.data(),
)
def test_the_strictest_pack_wins(made, laws, case, purpose, data):
    packs = {f"made{number}": text for number, text in enumerate(made)}
    names, today = [*packs, *laws], date(2026, 6, 1)
    alone = {name: judged(packs, [name], purpose, case, today) for name in names}
    bare = judged(packs, [], purpose, case, today)
    together = judged(packs, data.draw(st.permutations(names)), purpose, case, today)
    assert together.action == max(bare.action, *(one.action for one in alone.values()), Action.PERMIT)
    assert set(together.objections) == set(chain(bare.objections, *(one.objections for one in alone.values())))
    assert together.objections == () or together.objections[0].action == together.action


DAYS = st.integers(-3, 3)
FIRST = date(2026, 6, 30)
RELAXED = f"""
[[rule]]
id = "size"
check = "size"
above_mb = 0.00001
[[override]]
rule = "base/mass-disclosure"
action = "warn"
reason = "r"
by = "b"
until = {FIRST}
"""
EXEMPT = f"""
[[exempt]]
recipients = ["ada@mail.example.org"]
rules = ["*/size", "base/mass*"]
reason = "r"
by = "b"
until = {FIRST}
"""
CROWD = b"From: boss@another.example\r\nTo: a@example.org, b@example.org\r\nSubject: Spring\r\n\r\nHello\r\n"


@settings(max_examples=40)
@given(late=DAYS, exempt=st.booleans(), suppressed=st.sampled_from([None, *Reason]))
def test_what_relaxes_ends_with_its_day_and_never_reaches_who_refused_or_who_owns(late, exempt, suppressed):
    policy = parse_policies(_with_exemption(EXEMPT if exempt else ""))
    ruling = decide(
        policy,
        policy.stream("newsletter"),
        a_case(CROWD, suppressed=suppressed),
        Phase.DATA,
        noon(FIRST + timedelta(days=late)),
    )
    found = {one.rule: one.action for one in ruling.objections}
    is_over = late > 0
    assert found["base/mass-disclosure"] is (Action.REJECT if is_over else Action.WARN)
    assert found["newsletter/size"] is (Action.WARN if exempt and not is_over else Action.REJECT)
    assert found["base/ownership"] is Action.REJECT
    assert found.get("base/suppression") is (Action.REJECT if suppressed else None)


def _with_exemption(text: str) -> dict[str, bytes]:
    files = dict(SHIPPED)
    files["organisation.toml"] += text.encode()
    files["streams/newsletter.toml"] += RELAXED.encode()
    return files


GUARDS = {
    "base/suppression": "refusals",
    "base/ownership": "ownership",
    "base/one-from": "structure",
    "base/header-structure": "structure",
    "gmail-yahoo-bulk/signed": "signature",
}
EVERY_PACK = a_policy(changes={"streams/newsletter.toml": ('packs = ["base"]', f"packs = {json.dumps(['base', *LAWS])}")})


def test_the_shipped_rules_that_nobody_may_relax_are_these():
    rules = EVERY_PACK.stream("newsletter").rules
    assert {rule.name: rule.guards for rule in rules if rule.guards} == GUARDS
    assert {rule.name for rule in rules if "signature" in rule.table.needs} == {"gmail-yahoo-bulk/signed"}


@pytest.mark.parametrize("rule", sorted(GUARDS))
def test_nothing_relaxes_refusals_ownership_structure_and_signature(rule):
    """Whoever tries is told where, why, and what to do."""
    pack, _, name = rule.partition("/")
    protects, protects_zh = GUARDED[GUARDS[rule]]
    used = {"streams/newsletter.toml": ('packs = ["base"]', f"packs = {json.dumps(['base', *({pack} - {'base'})])}")}
    override = f'[[override]]\nrule = "{rule}"\naction = "warn"\nreason = "r"\nby = "b"\nuntil = 2099-01-01\n'
    with pytest.raises(ConfigurationError) as refused:
        a_policy(changes=used, added={"streams/newsletter.toml": override})
    said = str(refused.value)
    assert re.search(
        rf'streams/newsletter\.toml: line \d+: override\.1\.rule: "{rule}" can never .+ {protects}; delete this \[\[over', said
    )
    assert f"{rule} 保护{protects_zh}，不可放宽；请删除此 [[override]]" in said
    for pattern in (rule, f"{pack}/*", f"*/{name}", "*"):
        with pytest.raises(ConfigurationError) as refused:
            parse_policies(_with_exemption(EXEMPT.replace('"*/size", "base/mass*"', f'"{pattern}"')))
        said = str(refused.value)
        assert f'exempt.1.rules: "{pattern}" includes "{rule}", from which nobody is exempt: it protects {protects};' in said
        assert f"{pattern} 包含 {rule}：该规则保护{protects_zh}，不可豁免" in said


@pytest.mark.parametrize("offers", [["signature"], ["mailto", "signature"]])
def test_a_rule_of_ones_own_on_the_signature_is_not_relaxed_either(offers):
    """The property is the check's with its parameters, not that of a name."""
    pack = f'[pack]\nversion = "1"\n[[rule]]\nid = "seal"\ncheck = "stream-offers"\noffers = {json.dumps(offers)}\n'
    unsigned = {"streams/newsletter.toml": ('packs = ["base"]', 'packs = ["base", "law"]')}
    policy = a_policy(changes=unsigned, law=pack)
    shadow = replace(policy.stream("newsletter"), mode="shadow", signing_required=False)
    ruling = decide(policy, shadow, a_case(), Phase.DATA, noon(FIRST))
    assert [(one.rule, one.action) for one in ruling.objections] == [("law/seal", Action.DEFER)]
    override = '[[override]]\nrule = "law/seal"\naction = "warn"\nreason = "r"\nby = "b"\nuntil = 2099-01-01\n'
    with pytest.raises(ConfigurationError, match=r'"law/seal" can never be turned down: it protects the signature'):
        a_policy(changes=unsigned, added={"streams/newsletter.toml": override}, law=pack)


def test_what_providers_want_beside_the_signature_can_be_relaxed():
    override = '[[override]]\nrule = "gmail-yahoo-bulk/one-click"\naction = "warn"\nreason = "r"\nby = "b"\nuntil = 2099-01-01\n'
    used = {"streams/newsletter.toml": ('packs = ["base"]', 'packs = ["base", "gmail-yahoo-bulk"]')}
    policy = a_policy(changes=used, added={"streams/newsletter.toml": override})
    assert "gmail-yahoo-bulk/one-click" in policy.stream("newsletter").overrides
