"""decide(): which objection wins, what relaxes one, and what nothing relaxes."""

from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.errors import RuleFailed
from relay.judging import judge, judge_in_steps, reply_to
from relay.mail.envelope import Recipient
from relay.mail.mailbox import Mailbox
from relay.policy.cases.case import Action, Phase
from relay.policy.deciding.decide import Answers, decide
from relay.policy.suppressions.suppression import Reason, stream_scope
from tests.support.policies import PLAIN, a_case, a_policy, an_identity, newsletter, noon

TODAY = date(2026, 11, 21)
NOW = noon(TODAY)
NEWS = "streams/newsletter.toml"
MANY = PLAIN.replace(b"To: ada@mail.example.org", b"To: ada@mail.example.org, bob@mail.example.org")
PROGRAM = (
    b"From: news@example.com\r\nTo: ada@mail.example.org\r\nSubject: s\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: application/octet-stream\r\n"
    b'Content-Disposition: attachment; filename="setup.exe"\r\n\r\nMZ\r\n'
)


def a_rule(name: str, action: str, check: str = 'check = "size"\nabove_mb = 0.00001') -> str:
    return f'[[rule]]\nid = "{name}"\n{check}\naction = "{action}"\n'


def ruled(policy, case, phase=Phase.DATA, today=TODAY, stream="newsletter"):
    return decide(policy, policy.stream(stream), case, phase, noon(today))


def test_nobody_objects_to_a_plain_mail():
    assert ruled(newsletter(), a_case()).action is Action.PERMIT


def test_the_gravest_objection_leads_and_all_are_kept():
    policy = newsletter(a_rule("small", "warn") + a_rule("later", "defer"))
    ruling = ruled(policy, a_case(suppressed=Reason.UNSUBSCRIBE))
    assert ruling.action is Action.REJECT
    assert [o.rule for o in ruling.objections] == ["base/suppression", "newsletter/later", "newsletter/small"]
    assert ruling.leading is ruling.objections[0]


def test_within_a_rank_the_first_rule_leads():
    ruling = ruled(newsletter(a_rule("one", "defer") + a_rule("two", "defer")), a_case())
    assert [o.rule for o in ruling.objections] == ["newsletter/one", "newsletter/two"]
    assert (ruling.action, ruling.objections[0].reply_code) == (Action.DEFER, 451)


def test_what_is_held_for_a_person_waits_with_the_client_where_it_cannot_be_held():
    ruling = ruled(newsletter(a_rule("look", "hold")), a_case())
    assert (ruling.action, ruling.leading.rule, ruling.leading.asked_for) == (Action.HOLD, "newsletter/look", Action.HOLD)
    assert (ruling.leading.reply_code, ruling.leading.retry_after) == (451, 0)


@pytest.mark.parametrize(("mode", "action"), [('"enforce"', Action.HOLD), ('"shadow"', Action.WARN)])
def test_shadow_only_observes_what_would_be_held(mode, action):
    ruling = ruled(newsletter(a_rule("look", "hold"), mode=mode), a_case())
    assert (ruling.action, ruling.objections[0].asked_for) == (action, Action.HOLD)


def test_who_is_exempt_from_a_rule_is_not_held_by_it():
    policy = a_policy(added={NEWS: a_rule("look", "hold"), "organisation.toml": EXEMPT.replace("*/att", 'newsletter/*", "*/att')})
    found = [ruled(policy, a_case(to=to)).action for to in ("qa@mail.example.org", "ada@mail.example.org")]
    assert found == [Action.WARN, Action.HOLD]


def test_a_warning_permits():
    ruling = ruled(newsletter(a_rule("one", "warn")), a_case())
    assert (ruling.action, ruling.leading) == (Action.WARN, None)


@given(st.permutations(["reject", "defer", "warn", "hold", "defer"]))
@settings(max_examples=60)
def test_the_gravest_wins_in_every_order(actions):
    policy = newsletter("".join(a_rule(f"r{i}", action) for i, action in enumerate(actions)))
    ruling = ruled(policy, a_case())
    ranks = [o.action for o in ruling.objections]
    assert ranks == sorted(ranks, reverse=True) == [Action.REJECT, Action.DEFER, Action.DEFER, Action.HOLD, Action.WARN]


@given(
    st.lists(st.sampled_from(["reject", "defer", "hold", "warn"]), max_size=4),
    st.sampled_from(["reject", "defer", "warn"]),
    st.sampled_from(["enforce", "shadow"]),
    st.sampled_from([None, Reason.UNSUBSCRIBE]),
)
@settings(max_examples=40)
def test_adding_a_rule_never_makes_a_ruling_laxer(actions, added, mode, suppressed):
    rules = "".join(a_rule(f"r{i}", action) for i, action in enumerate(actions))
    case = a_case(suppressed=suppressed)
    before = ruled(newsletter(rules, mode=f'"{mode}"'), case)
    after = ruled(newsletter(rules + a_rule("added", added), mode=f'"{mode}"'), case)
    assert after.action >= before.action
    assert set(before.objections) <= set(after.objections)


# Phases, purposes, correspondence ------------------------------------------------------------------------------------


def test_at_rcpt_only_rules_without_a_message_are_asked():
    policy = newsletter(a_rule("big", "reject") + a_rule("where", "reject", 'check = "domains"\ndeny = ["*.example.org"]'))
    ruling = ruled(policy, a_case(None), Phase.RCPT)
    assert [o.rule for o in ruling.objections] == ["newsletter/where"]
    assert {asked.rule: asked.why for asked in ruling.asked}["newsletter/big"] == "phase"


def test_at_data_the_rules_of_rcpt_are_asked_again():
    assert ruled(newsletter(), a_case(suppressed=Reason.COMPLAINT)).leading.rule == "base/suppression"


@pytest.mark.parametrize(
    ("stream", "reason", "code"),
    [
        ("newsletter", Reason.UNSUBSCRIBE, "7.1"),
        ("newsletter", Reason.HARD_BOUNCE, "1.1"),
        ("receipts", Reason.UNSUBSCRIBE, None),
        ("receipts", Reason.HARD_BOUNCE, "1.1"),
        ("receipts", Reason.MANUAL_ALL, "7.1"),
        ("correspondence", Reason.COMPLAINT, None),
        ("correspondence", Reason.LEGAL, "7.1"),
    ],
)
def test_the_purpose_decides_which_refusals_bind(stream, reason, code):
    ruling = ruled(a_policy(), a_case(None, stream=stream, suppressed=reason), Phase.RCPT, stream=stream)
    assert [o.code for o in ruling.objections] == ([code] if code else [])


def test_a_refusal_of_one_stream_binds_that_stream():
    other = ruled(newsletter(), a_case(suppressed=Reason.UNSUBSCRIBE, scope=stream_scope("offers")))
    own = ruled(newsletter(), a_case(suppressed=Reason.UNSUBSCRIBE, scope=stream_scope("newsletter")))
    assert (other.action, own.action) == (Action.PERMIT, Action.REJECT)


def test_correspondence_is_never_inspected():
    policy = a_policy()
    case = a_case(PROGRAM.replace(b"To: ", b"Cc: bob@mail.example.org\r\nTo: "), stream="correspondence")
    ruling = ruled(policy, case, stream="correspondence")
    assert ruling.action is Action.PERMIT
    never = {asked.rule for asked in ruling.asked if asked.why == "correspondence is never inspected"}
    content = {"base/attachment-types", "base/archives", "base/locked-archives", "base/macros"}
    assert never == {"base/mass-disclosure", "base/mass-disclosure-service"} | content


def test_correspondence_still_belongs_to_its_sender():
    case = a_case(stream="correspondence", identity=an_identity("lei@example.com", "lei@example.com"))
    assert ruled(a_policy(), case, stream="correspondence").leading.rule == "base/ownership"


def test_a_rule_for_some_domains_leaves_the_others_alone():
    policy = newsletter(a_rule("qq", "reject") + 'recipient_domains = ["qq.com", "*.qq.com"]\n')
    said = {to: ruled(policy, a_case(to=to)).action for to in ("a@qq.com", "a@vip.qq.com", "a@notqq.com", "a@163.com")}
    assert said == {
        "a@qq.com": Action.REJECT, "a@vip.qq.com": Action.REJECT, "a@notqq.com": Action.PERMIT, "a@163.com": Action.PERMIT,
    }  # fmt: skip


# What relaxes a rule -------------------------------------------------------------------------------------------------


def test_shadow_turns_objections_into_warnings_that_remember():
    ruling = ruled(newsletter(mode='"shadow"'), a_case(MANY))
    (objection,) = ruling.objections
    assert (objection.action, objection.observed, objection.asked_for) == (Action.WARN, "shadow", Action.REJECT)


OVERRIDE = (
    '[[override]]\nrule = "base/attachment-types"\naction = "{}"\nreason = "migration"\nby = "Wang Min"\nuntil = 2026-11-21\n'
)


@pytest.mark.parametrize(
    ("action", "today", "expected", "observed"),
    [
        ("warn", date(2026, 11, 21), Action.WARN, "override"),
        ("defer", date(2026, 11, 21), Action.DEFER, "override"),
        ("hold", date(2026, 11, 21), Action.HOLD, "override"),
        ("warn", date(2026, 11, 22), Action.REJECT, ""),
    ],
)
def test_an_override_turns_a_rule_down_until_its_day(action, today, expected, observed):
    ruling = ruled(newsletter(OVERRIDE.format(action)), a_case(PROGRAM), today=today)
    assert (ruling.action, ruling.objections[0].observed) == (expected, observed)
    assert ruling.objections[0].asked_for is Action.REJECT
    if expected is Action.DEFER:
        assert ruling.objections[0].reply_code == 451


EXEMPT = """[[exempt]]
recipients = ["QA@mail.example.org"]
rules = ["*/attachment-types"]
reason = "test"
by = "Wang Min"
until = 2026-11-21
"""


@pytest.mark.parametrize(
    ("to", "today", "expected"),
    [
        ("qa@mail.example.org", date(2026, 11, 21), Action.WARN),
        ("qa@mail.example.org", date(2026, 11, 22), Action.REJECT),
        ("ada@mail.example.org", date(2026, 11, 21), Action.REJECT),
    ],
)
def test_an_exemption_holds_for_its_mailbox_until_its_day(to, today, expected):
    policy = a_policy(added={"organisation.toml": EXEMPT})
    ruling = ruled(policy, a_case(PROGRAM, to=to), today=today)
    assert ruling.action is expected
    why = next(asked.why for asked in ruling.asked if asked.rule == "base/attachment-types")
    assert why == ("exempt until 2026-11-21 (Wang Min: test)" if expected is Action.WARN else "asked")


BROKEN = [
    pytest.param(a_case(suppressed=Reason.UNSUBSCRIBE), "base/suppression", id="refused"),
    pytest.param(a_case(PLAIN.replace(b"From: news@", b"From: boss@other.")), "base/ownership", id="not-owned"),
    pytest.param(a_case(PLAIN.replace(b"From: ", b"From: a@example.com, ")), "base/one-from", id="two-authors"),
    pytest.param(a_case(PLAIN.replace(b"Subject", b"Subject: x\r\nSubject")), "base/header-structure", id="two-subjects"),
]


@pytest.mark.parametrize(("case", "rule"), BROKEN)
@pytest.mark.parametrize("mode", ["enforce", "shadow"])
def test_shadow_never_releases_a_protected_check(case, rule, mode):
    ruling = ruled(newsletter(mode=f'"{mode}"'), case)
    assert ruling.action is Action.REJECT
    assert rule in {o.rule for o in ruling.objections if not o.observed}


def test_structure_is_answered_554():
    ruling = ruled(newsletter(), a_case(PLAIN.replace(b"Subject", b"Subject: x\r\nSubject")))
    assert (ruling.leading.reply_code, ruling.leading.code) == (554, "6.0")


# Rules that raise ----------------------------------------------------------------------------------------------------

FRAGILE = '[[rule]]\nid = "fragile"\nwhen = "1 / (message.addressees - 3) == 9"\ntext = "x"\ntext_zh = "x"\n'
THREE = PLAIN.replace(b"To: ada@mail.example.org", b"To: a@mail.example.org, b@mail.example.org, c@mail.example.org")


def test_a_rule_that_raises_decides_nothing_and_is_named():
    with pytest.raises(RuleFailed) as caught:
        ruled(newsletter(FRAGILE), a_case(THREE))
    assert (caught.value.rule, type(caught.value.__cause__)) == ("newsletter/fragile", ZeroDivisionError)
    assert str(caught.value) == "the rule newsletter/fragile could not be evaluated"


def test_in_shadow_a_rule_that_raises_is_recorded_and_passes():
    ruling = ruled(newsletter(FRAGILE, mode='"shadow"'), a_case(THREE))
    failed = next(o for o in ruling.objections if o.rule == "newsletter/fragile")
    assert (failed.action, failed.observed, failed.detail) == (Action.WARN, "shadow", "error")


def test_in_shadow_a_protected_rule_that_raises_still_raises():
    policy = newsletter(mode='"shadow"')
    case = replace(a_case(), suppressions=(object(),))  # type: ignore[arg-type]  # a store that answered nonsense
    with pytest.raises(RuleFailed, match="base/suppression"):
        ruled(policy, case)


# Packs ---------------------------------------------------------------------------------------------------------------

PACK = """[pack]
version = "1"
expires_on = 2026-11-20
{applies}
[[rule]]
id = "no-offers"
check = "subject-words"
words = ["spring"]
"""


def with_pack(applies: str = "", mode: str = "enforce"):
    changes = {"streams/newsletter.toml": ('packs = ["base"]', 'packs = ["base", "law"]')}
    policy = a_policy(changes=changes, law=PACK.format(applies=applies))
    assert mode in ("enforce", "shadow")
    streams = tuple(replace(stream, mode=mode) if stream.name == "newsletter" else stream for stream in policy.streams)
    return replace(policy, streams=streams)


@pytest.mark.parametrize("mode", ["enforce", "shadow"])
def test_an_expired_pack_defers_everything_it_applies_to(mode):
    ruling = ruled(with_pack(mode=mode), a_case(PLAIN.replace(b"Spring", b"News")))
    assert (ruling.action, ruling.leading.rule, str(reply_to(ruling))) == (
        Action.DEFER,
        "law/expired",
        "451 4.3.5 [law/expired] A rule pack of this relay has expired and must be reviewed, try again in 3600 s",
    )
    assert ruling.leading.reply_code == 451


def test_a_pack_on_its_last_day_has_not_expired():
    assert ruled(with_pack(), a_case(), today=date(2026, 11, 20)).leading.rule == "law/no-offers"


@pytest.mark.parametrize(
    ("applies", "jurisdictions", "asked"),
    [
        ('[applies]\nany = [{ recipient = "KR" }]', {"KR", "US"}, True),
        ('[applies]\nany = [{ recipient = "KR" }]', {"US"}, False),
        ('[applies]\nany = [{ organisation = "CN" }, { recipient = "KR" }]', {"US"}, True),
        ('[applies]\nany = [{ organisation = "US" }]', {"US"}, False),
        ('[applies]\npurpose = "service"', {"US"}, False),
    ],
)
def test_a_pack_says_itself_when_it_applies(applies, jurisdictions, asked):
    day = date(2026, 11, 20)
    ruling = ruled(with_pack(applies), a_case(jurisdictions=frozenset(jurisdictions)), today=day)
    assert {one.rule: one.asked for one in ruling.asked}["law/no-offers"] is asked
    assert ruled(with_pack(applies), a_case(jurisdictions=frozenset(jurisdictions))).action is (
        Action.REJECT if asked else Action.PERMIT
    )


@pytest.mark.parametrize(
    ("applies", "countries", "asked"),
    [
        ('[applies]\nany = [{ upstream = "CN" }]', {"CN"}, True),
        ('[applies]\nany = [{ upstream = "CN" }]', {"US", "CN"}, True),  # it may fail over
        ('[applies]\nany = [{ upstream = "CN" }]', {"US"}, False),
        ('[applies]\nany = [{ upstream = "CN" }]', set(), False),
        ('[applies]\nany = [{ upstream = "CN" }, { recipient = "KR" }]', set(), True),
        ('[applies]\nany = [{ upstream = "CN" }, { recipient = "JP" }]', set(), False),
        ('[applies]\nany = [{ upstream = "KR" }]', {"CN"}, False),  # the recipient is in KR, the upstream server is not
        ('[applies]\nany = [{ recipient = "CN" }]', {"CN"}, False),
        ('[applies]\nany = [{ organisation = "CN" }, { upstream = "US" }]', set(), True),
        ('[applies]\npurpose = "service"\nany = [{ upstream = "CN" }]', {"CN"}, False),
    ],
)
def test_a_pack_by_upstream_binds_what_may_leave_there(applies, countries, asked):
    policy, case = with_pack(applies), a_case(jurisdictions=frozenset({"KR"}), upstream_countries=frozenset(countries))
    ruling = ruled(policy, case, today=date(2026, 11, 20))
    assert {one.rule: one.asked for one in ruling.asked}["law/no-offers"] is asked
    assert ruling.action is (Action.REJECT if asked else Action.PERMIT)
    expired = ruled(policy, a_case(PLAIN.replace(b"Spring", b"News"), upstream_countries=case.upstream_countries))
    assert expired.action is (Action.DEFER if asked and "KR" not in applies else Action.PERMIT)


@pytest.mark.parametrize("day", [date(2026, 11, 20), date(2026, 11, 21)], ids=["in force", "expired"])
def test_a_pack_that_does_not_bind_says_whom_it_does(day):
    policy = with_pack('[applies]\nany = [{ upstream = "CN" }, { upstream = "KR" }, { recipient = "JP" }]')
    said = {one.rule: one.why for one in ruled(policy, a_case(), today=day).asked if one.rule.startswith("law/")}
    assert set(said.values()) == {"does not apply: only recipients in JP or upstream servers in CN, KR"}
    assert ("law/expired" in said) is (day.day == 21)


def test_one_answer_for_a_whole_message_binds_nobody_whom_the_pack_leaves_out():
    policy = with_pack('[applies]\nany = [{ upstream = "CN" }, { recipient = "KR" }]')
    answers, day, said = Answers(), date(2026, 11, 20), []
    for countries, upstreams in ((set(), set()), ({"KR"}, set()), ({"US"}, set()), ({"US"}, {"CN"}), ({"US"}, {"US"})):
        case = a_case(jurisdictions=frozenset(countries), upstream_countries=frozenset(upstreams))
        said.append(decide(policy, policy.stream("newsletter"), case, Phase.DATA, noon(day), answers).action.word)
    assert said == ["permit", "reject", "permit", "reject", "permit"]


LABEL = '[[duty]]\nid = "label"\ndo = "label"\nlabel = "{}"\n'
UPSTREAM_CN = '[applies]\nany = [{ upstream = "CN" }]'
UPSTREAM_OR_KOREAN = '[applies]\nany = [{ upstream = "CN" }, { recipient = "KR" }]'


@pytest.mark.parametrize(
    ("applies", "recipient", "countries", "done"),
    [
        ("", {"FR"}, set(), True),
        (UPSTREAM_CN, {"FR"}, {"US", "CN"}, True),
        (UPSTREAM_CN, {"CN"}, {"US"}, False),
        (UPSTREAM_OR_KOREAN, {"KR"}, {"US"}, True),
        (UPSTREAM_OR_KOREAN, {"FR"}, {"US"}, False),
        ('[applies]\nany = [{ organisation = "US" }]', {"US"}, {"US"}, False),
        ('[applies]\nany = [{ organisation = "CN" }]', {"FR"}, {"US"}, True),
    ],
)
def test_a_duty_is_done_where_its_pack_binds_the_recipient(applies, recipient, countries, done):
    law = PACK.format(applies=applies) + '[[duty]]\nid = "plain"\ndo = "remove-fields"\nfields = ["X-Mailer"]\n'
    changes = {"streams/newsletter.toml": ('packs = ["base"]', 'packs = ["base", "law"]')}
    stream = a_policy(changes=changes, law=law).stream("newsletter")
    names = [duty.name for duty in stream.duties_for(frozenset(recipient), frozenset(countries))]
    assert ("law/plain" in names) is done


def test_the_duties_of_the_recipients_own_law_come_first():
    pack = PACK.format(applies='[applies]\nany = [{ organisation = "CN" }, { recipient = "CN" }]') + LABEL.format("CN")
    korean = PACK.format(applies='[applies]\nany = [{ recipient = "KR" }]') + LABEL.format("KR")
    changes = {"streams/newsletter.toml": ('packs = ["base"]', 'packs = ["base", "law", "seoul"]')}
    stream = a_policy(changes=changes, law=pack, seoul=korean).stream("newsletter")
    names = [duty.name for duty in stream.duties_for(frozenset({"KR"}), frozenset())]
    assert names == ["seoul/label", "base/internal-fields", "law/label"]


def test_correspondence_is_neither_split_nor_labelled():
    law = PACK.format(applies='[applies]\nany = [{ recipient = "KR" }]') + LABEL.format("KR")
    law += '[[duty]]\nid = "plain"\ndo = "remove-fields"\nfields = ["X-Mailer"]\n'
    changes = {"streams/correspondence.toml": ('packs = ["base"]', 'packs = ["base", "law"]')}
    stream = a_policy(changes=changes, law=law).stream("correspondence")
    for country in ("KR", "FR"):
        assert [duty.name for duty in stream.duties_for(frozenset({country}), frozenset())] == ["law/plain"]


def test_an_answer_for_one_domain_is_not_anothers():
    policy = newsletter('[[rule]]\nid = "qq"\nwhen = "recipient.domain == \'qq.com\'"\ntext = "x"\ntext_zh = "x"\n')
    answers, said = Answers(), {}
    for to in ("a@qq.com", "a@163.com", "b@qq.com", "b@163.com"):
        said[to] = decide(policy, policy.stream("newsletter"), a_case(to=to), Phase.DATA, NOW, answers).action.word
    assert said == {"a@qq.com": "reject", "a@163.com": "permit", "b@qq.com": "reject", "b@163.com": "permit"}


# What is asked once --------------------------------------------------------------------------------------------------


def test_answers_change_no_ruling_and_ask_once_what_is_the_same_for_all():
    policy = newsletter(FRAGILE + a_rule("where", "reject", 'check = "domains"\ndeny = ["qq.com"]'))
    stream = policy.stream("newsletter")
    answers = Answers()
    for to in ("a@qq.com", "b@163.com"):
        case = a_case(MANY, to=to)
        assert decide(policy, stream, case, Phase.DATA, NOW, answers) == decide(policy, stream, case, Phase.DATA, NOW)
    broken = a_case(THREE, to="c@163.com")  # the expression is not asked again, or it would raise
    objections = decide(policy, stream, broken, Phase.DATA, NOW, answers).objections
    assert [o.rule for o in objections] == ["base/mass-disclosure"]


BOX = '[[rule]]\nid = "box"\nwhen = "recipient.address.startsWith(\'a\')"\ntext = "x"\ntext_zh = "x"\n'
ABOUT = {
    "message": 'check = "size"\nabove_mb = 0.00001',
    "domain": 'check = "domains"\ndeny = ["qq.com"]',
    "some domains": 'check = "size"\nabove_mb = 0.00001\nrecipient_domains = ["qq.com"]',
}
recipients = st.tuples(
    st.sampled_from(["ada", "bob", "qa"]), st.sampled_from(["qq.com", "mail.example.org"]), st.sampled_from([None, *Reason])
)


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.sampled_from(["warn", "hold", "defer", "reject"]), st.sampled_from(sorted(ABOUT))), max_size=3),
    st.sampled_from(['"enforce"', '"shadow"']),
    st.booleans(),
    st.sampled_from([PLAIN, PROGRAM, MANY]),
    st.lists(recipients, min_size=1, max_size=8),
)
def test_all_recipients_of_a_message_are_ruled_on_as_each_alone(rules, mode, exempt, message, found):
    text = BOX + "".join(a_rule(f"r{number}", action, ABOUT[about]) for number, (action, about) in enumerate(rules))
    added = {"streams/newsletter.toml": text} | (
        {"organisation.toml": EXEMPT.replace("*/att", 'newsletter/*", "*/att')} if exempt else {}
    )
    policy = a_policy(added=added, changes={"streams/newsletter.toml": ('mode = "enforce"', f"mode = {mode}")})
    stream = policy.stream("newsletter")
    cases = [
        a_case(message, to=f"{local}@{domain}", suppressed=why, jurisdictions=frozenset({"CN"} if domain == "qq.com" else ()))
        for local, domain, why in found
    ]
    together, alone = judge(policy, stream, cases, NOW), [ruled(policy, case) for case in cases]
    assert together == alone
    assert [ruling.asked for ruling in together] == [ruling.asked for ruling in alone]


def test_a_thousand_recipients_are_ruled_on_in_steps_that_remember_what_was_found():
    policy = newsletter(BOX)
    stream = policy.stream("newsletter")
    cases = [replace(a_case(), recipient=Recipient(Mailbox.parse(f"b{number}@mail.example.org"))) for number in range(1201)]
    steps = list(judge_in_steps(policy, stream, cases, NOW))
    assert [len(step) for step in steps] == [500, 500, 201]
    assert [ruling.recipient for step in steps for ruling in step] == [case.recipient for case in cases]
    assert steps[2][-1] == ruled(policy, cases[-1])
    assert steps[2][-1].asked is steps[0][1].asked
