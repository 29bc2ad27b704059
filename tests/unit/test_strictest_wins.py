"""Packs only add: the strictest of all decides, whatever their order, and what relaxes ends with its day."""

from datetime import date, timedelta
from itertools import chain

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.errors import ConfigurationError
from relay.policy.case import Action, Phase
from relay.policy.decide import decide
from relay.policy.parse import parse_policies
from relay.policy.rehearsal import read_rehearsals
from relay.policy.suppression import Reason
from tests.support.policies import a_case, newsletter, noon, shipped_files

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
    files = {name: octets for name, octets in SHIPPED.items() if name.startswith("packs/")}
    files |= {f"packs/{name}.toml": text.encode() for name, text in packs.items()}
    files["streams/one.toml"] = stream.encode()
    files["organisation.toml"] = b'country = "ZZ"\ntime_zone = "UTC"\nstreams = ["one"]\n'
    policy = parse_policies(files)
    return decide(policy, policy.stream("one"), case, Phase.DATA, noon(today))


@settings(max_examples=80, deadline=None)
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


@settings(max_examples=40, deadline=None)
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


@pytest.mark.parametrize(
    "rule", ["base/suppression", "base/ownership", "base/one-from", "base/header-structure", "base/signature"]
)
def test_nothing_relaxes_refusals_ownership_structure_and_signature(rule):
    override = f'[[override]]\nrule = "{rule}"\naction = "warn"\nreason = "r"\nby = "b"\nuntil = 2099-01-01\n'
    with pytest.raises(ConfigurationError, match=rule):
        newsletter(override)
    exempt = EXEMPT.replace('"*/size", "base/mass*"', f'"{rule}"')
    with pytest.raises(ConfigurationError, match=rule):
        parse_policies(_with_exemption(exempt))
