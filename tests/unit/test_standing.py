"""Packs whose review ends, and facts that rules need: said before, 451 after, extended only by name."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from relay.errors import ConfigurationError
from relay.judging import reply_to
from relay.policy.cases.case import Action, Phase
from relay.policy.deciding.decide import decide
from relay.policy.rules.organisation import Texts
from relay.policy.sets.model import Unsubscribe
from relay.policy.sets.parse import parse_policies
from relay.policy.telling.difference import difference
from relay.policy.telling.show import show
from relay.policy.telling.standing import ends_at, expired, expiring, wants
from tests.support.policies import a_case, a_policy, newsletter, noon, shipped_files

LAST = date(2026, 11, 20)
PACK = '[pack]\nversion = "1"\nexpires_on = 2026-11-20\n'
USES = {"streams/newsletter.toml": ('packs = ["base"]', 'packs = ["base", "law"]')}
EXTEND = '\n[[extend]]\npack = "law"\nuntil = {}\nreason = "under review"\nby = "Wang Min"\n'
NEEDS = '[[rule]]\nid = "facts"\ncheck = "organisation-facts"\ncite = "Act 7"\n{}\n'


def under(pack: str = PACK, organisation: str = "", changes: dict[str, tuple[str, str]] | None = None):
    return a_policy(changes=USES | (changes or {}), added={"organisation.toml": organisation}, law=pack)


def ruled(policy, today: date):
    return decide(policy, policy.stream("newsletter"), a_case(), Phase.DATA, noon(today))


def english(sentences):
    return [sentence.en.partition(": ")[0].partition(", in")[0] for _, sentence in sentences]


@pytest.mark.parametrize(
    ("today", "soon", "over"),
    [
        (LAST - timedelta(days=31), [], []),
        (LAST - timedelta(days=30), ["The pack law expires on 2026-11-20"], []),
        (LAST, ["The pack law expires on 2026-11-20"], []),
        (LAST + timedelta(days=1), [], ["The pack law expired on 2026-11-20"]),
    ],
)
def test_thirty_days_before_it_expires_a_pack_is_named(today, soon, over):
    policy = under()
    assert (english(expiring(policy, today)), english(expired(policy, today))) == (soon, over)
    said = " ".join(sentence.en for sentence in show(policy, today)[0].sentences)
    assert all(text in said for text in soon + over)
    assert ("The pack law expired" in said, "The pack law expires on 2026-11-20, in" in said) == (bool(over), bool(soon))


def test_a_pack_that_no_stream_uses_expires_unheard():
    policy = a_policy(law=PACK)
    assert not [*expiring(policy, LAST), *expired(policy, LAST + timedelta(days=1))]
    assert ends_at(policy) == {}


def test_a_pack_expires_as_its_last_day_ends_where_the_organisation_is():
    assert ends_at(under()) == {"law": datetime(2026, 11, 20, 16, tzinfo=UTC).timestamp()}


def test_a_pack_may_stand_until_the_last_day_of_the_calendar():
    """People write it for "never"; the next day of it is none."""
    for policy in (under(PACK.replace("2026-11-20", "9999-12-31")), under(organisation=EXTEND.format("9999-12-31"))):
        assert datetime.fromtimestamp(ends_at(policy)["law"], UTC).year > 8000


@pytest.mark.parametrize(
    ("until", "today", "action"),
    [
        (None, LAST, Action.PERMIT),
        (None, LAST + timedelta(days=1), Action.DEFER),
        (date(2026, 12, 1), date(2026, 12, 1), Action.PERMIT),
        (date(2026, 12, 1), date(2026, 12, 2), Action.DEFER),
        (date(2026, 11, 1), LAST, Action.PERMIT),  # an extension never shortens
    ],
)
def test_only_a_name_extends_a_pack(until, today, action):
    policy = under(organisation=EXTEND.format(until) if until else "")
    ruling = ruled(policy, today)
    assert ruling.action is action
    assert not ruling.leading or str(reply_to(ruling)).startswith("451 4.3.5 [law/expired] ")


def test_an_extension_is_a_relaxation_with_a_name():
    policy = under(organisation=EXTEND.format("2026-12-01"))
    sentence = show(policy, LAST)[1].sentences[0]
    assert sentence.en == "The pack law counts as reviewed until 2026-12-01 (Wang Min: under review)."
    [extended] = difference(under(), policy)
    [withdrawn] = difference(policy, under())
    assert (extended.laxer, withdrawn.laxer) == (True, False)


@pytest.mark.parametrize(
    ("table", "fault"),
    [
        (EXTEND.format("2026-12-01") * 2, r'extend\.2\.pack: "law" is extended twice'),
        (EXTEND.format("2026-12-01").replace("law", "base"), r'extend\.1\.pack: "base" does not expire'),
        (EXTEND.format("2026-12-01").replace("law", "lore"), r"extend\.1\.pack: there is no packs/lore\.toml"),
        (EXTEND.format("2026-12-01").replace("by =", "# by ="), r"extend\.1\.by: is missing"),
    ],
)
def test_an_extension_names_one_pack_that_expires(table, fault):
    with pytest.raises(ConfigurationError, match=fault):
        under(organisation=table)


# What a pack needs ---------------------------------------------------------------------------------------------------


def needing(parameters: str, **organisation: Any):
    """The set with a rule that needs something, and keys of organisation.toml changed."""
    policy = under('[pack]\nversion = "1"\n' + NEEDS.format(parameters))
    facts = policy.organisation.model_copy(
        update={key: value if isinstance(value, str) else Texts(**value) for key, value in organisation.items()}
    )
    streams = tuple(replace(stream, facts=facts) for stream in policy.streams)
    return replace(policy, organisation=facts, streams=streams)


@pytest.mark.parametrize(
    ("parameters", "facts", "missing"),
    [
        ('facts = ["legal_name", "refusal_mailbox"]', {}, []),
        ('facts = ["legal_name"]', {"legal_name": {"zh": " ", "en": ""}}, ["legal_name"]),
        ('facts = ["legal_name"]', {"legal_name": {"zh": "", "en": "Acme"}}, []),
        ('facts = ["legal_name.zh"]', {"legal_name": {"zh": "", "en": "Acme"}}, ["legal_name.zh"]),
        ('facts = ["postal_address.en"]', {"postal_address": {"zh": "x", "en": ""}}, ["postal_address.en"]),
        ('facts = ["privacy_url", "contact"]', {"privacy_url": ""}, ["privacy_url", "contact"]),
        ('facts = ["contact"]', {"contact": "+86 21 0000 0000"}, []),
        ('network_log = "400d"', {}, []),
        ('network_log = "401d"\nrecords = "4y"', {}, ["retention.network_log", "retention.records"]),
    ],
)
def test_a_missing_fact_is_named_and_keeps_mail_back(parameters, facts, missing):
    policy = needing(parameters, **facts)
    assert [(want.file, want.key, want.rule, want.cite) for want in wants(policy)] == [
        ("organisation.toml", key, "law/facts", "Act 7") for key in missing
    ]
    ruling = ruled(policy, LAST)
    assert ruling.action is (Action.DEFER if missing else Action.PERMIT)
    said = " ".join(sentence.zh for sentence in show(policy, LAST)[0].sentences)
    assert all(f"organisation.toml：{key}：law/facts 需要此项 [Act 7]" in said for key in missing)
    if missing:
        assert str(reply_to(ruling)).startswith("451 4.3.5 [law/facts] ")
        assert ruling.leading.detail == ", ".join(missing)


def test_a_fact_that_no_stream_needs_is_not_asked_for():
    pack = '[pack]\nversion = "1"\n[applies]\npurpose = ["service"]\n' + NEEDS.format('facts = ["contact"]')
    assert wants(under(pack)) == ()


def test_a_rule_that_needs_nothing_is_refused():
    with pytest.raises(ConfigurationError, match="write facts, network_log or records"):
        needing("")


@pytest.mark.parametrize(
    ("personalised", "url", "found"),
    [("true", "", ["preferences_url"]), ("true", "https://www.example.com/settings", []), ("false", "", [])],
)
def test_where_a_program_chooses_readers_are_told_where_to_switch_it_off(personalised, url, found):
    policy = newsletter('[[rule]]\nid = "p"\ncheck = "personalisation"\n', personalised=personalised)
    facts = policy.organisation.model_copy(update={"preferences_url": url})
    policy = replace(policy, organisation=facts, streams=tuple(replace(stream, facts=facts) for stream in policy.streams))
    assert [(want.file, want.key) for want in wants(policy)] == [("organisation.toml", key) for key in found]
    assert [objection.detail for objection in ruled(policy, LAST).objections] == found
    said = " ".join(sentence.en for sentence in show(policy, LAST)[0].sentences)
    assert ("a program chooses what each recipient is shown" in said) == (personalised == "true")


# What a stream must offer --------------------------------------------------------------------------------------------

OFFERS = '[pack]\nversion = "1"\n[[rule]]\nid = "offers"\ncheck = "stream-offers"\noffers = {}\n'


@pytest.mark.parametrize(
    ("offers", "key"),
    [
        ('["signature"]', "[signing] required"),
        ('["one-click"]', "[unsubscribe] one_click"),
        ('["mailto"]', "[unsubscribe] mailto"),
        ('["unsubscribe"]', "[unsubscribe] one_click or mailto"),
    ],
)
def test_what_a_stream_does_not_offer_keeps_its_mail_back(offers, key):
    pack = OFFERS.format(offers)
    bare = {"streams/newsletter.toml": ('packs = ["base"]', 'packs = ["base", "law"]')}
    policy = a_policy(changes=bare, law=pack)
    stream = policy.stream("newsletter")
    nothing = replace(stream, signing_required=False, unsubscribe=Unsubscribe())
    everything = replace(stream, signing_required=True, unsubscribe=Unsubscribe(one_click=True, mailto=True))
    for offering, action in ((nothing, Action.DEFER), (everything, Action.PERMIT)):
        changed = replace(policy, streams=(offering,))
        ruling = decide(changed, offering, a_case(None), Phase.RCPT, noon(LAST))
        assert ruling.action is action
        assert [want.key for want in wants(changed)] == ([key] if action else [])
        if action:
            assert str(reply_to(ruling)).startswith("451 4.3.5 [law/offers] ")


# What a duty writes --------------------------------------------------------------------------------------------------

DUTY = '[pack]\nversion = "1"\n{}\n[[duty]]\nid = "footer"\ndo = "footer"\nshow = ["identity", "contact"]\ncite = "Act 7"\n'
ABROAD = '[applies]\nany = [{ recipient = "KR" }]'


def test_what_a_duty_cannot_write_keeps_mail_back():
    lacking = under(DUTY.format(""))
    ruling = ruled(lacking, LAST)
    assert str(reply_to(ruling)).startswith("451 4.3.5 [law/footer] ")
    assert (ruling.leading.detail, ruling.leading.cite) == ("contact", "Act 7")
    assert [(want.file, want.key, want.rule) for want in wants(lacking)] == [("organisation.toml", "contact", "law/footer")]
    told = under(DUTY.format(""), changes={"organisation.toml": ('contact = ""', 'contact = "400 000 0000"')})
    assert ruled(told, LAST).action is Action.PERMIT
    assert wants(told) == ()


@pytest.mark.parametrize("pack", [DUTY.format(ABROAD), DUTY.format("") + 'if_impossible = "warn"\n'])
def test_a_duty_that_is_not_owed_keeps_nobody_back(pack):
    assert ruled(under(pack), LAST).action is Action.PERMIT


def test_of_what_a_rule_of_the_pack_asks_the_rule_speaks():
    policy = under(DUTY.format(NEEDS.format('facts = ["contact"]')))
    ruling = ruled(policy, LAST)
    assert [one.rule for one in ruling.objections] == ["law/facts"]
    assert [want.rule for want in wants(policy)] == ["law/facts"]


OVERRIDE = '[[override]]\nrule = "law/facts"\naction = "warn"\nreason = "r"\nby = "b"\nuntil = {}\n'
EXEMPT = '\n[[exempt]]\nrecipients = ["{}"]\nrules = ["{}"]\nreason = "r"\nby = "b"\nuntil = 2099-01-01\n'
FACTS = DUTY.format(NEEDS.format('facts = ["contact"]'))


@pytest.mark.parametrize(
    ("pack", "added"),
    [
        (FACTS, {"streams/newsletter.toml": OVERRIDE.format("2099-01-01")}),
        (FACTS, {"organisation.toml": EXEMPT.format("ada@mail.example.org", "law/facts")}),
        (FACTS, {"organisation.toml": EXEMPT.format("ada@mail.example.org", "*/fac?s")}),
        (DUTY.format(NEEDS.format('facts = ["contact"]\naction = "warn"')), {}),
        (DUTY.format(NEEDS.format('facts = ["contact"]\naction = "hold"')), {}),
        (DUTY.format(NEEDS.format('facts = ["contact"]\nrecipient_domains = ["elsewhere.example"]')), {}),
        (FACTS.replace("[[rule]]", f"{ABROAD}\n[[rule]]") + 'recipient_countries = ["US"]\n', {}),
    ],
    ids=["override", "exemption", "exemption by pattern", "only warns", "holds", "other domains", "other countries"],
)
def test_a_rule_that_may_not_stop_the_copy_does_not_speak_for_the_duty(pack, added):
    """The copy could not be made: that would be 550 for good, and nothing is wrong with the mail."""
    policy = a_policy(changes=USES, added=added, law=pack)
    case = a_case(jurisdictions=frozenset({"US"}))
    leading = decide(policy, policy.stream("newsletter"), case, Phase.DATA, noon(LAST)).leading
    assert leading is not None
    assert (leading.rule, leading.reply_code, leading.code, leading.detail) == ("law/footer", 451, "3.5", "contact")
    assert ("law/footer", "contact") in [(want.rule, want.key) for want in wants(policy)]


def test_in_shadow_mode_the_rule_speaks_and_the_copy_leaves_without_the_duty():
    policy = under(FACTS)
    shadow = replace(policy.stream("newsletter"), mode="shadow")
    ruling = decide(policy, shadow, a_case(), Phase.DATA, noon(LAST))
    assert [(one.rule, one.action, one.observed) for one in ruling.objections] == [("law/facts", Action.WARN, "shadow")]


def test_in_shadow_mode_a_duty_that_cannot_be_done_keeps_nobody_back_where_no_rule_speaks_for_it():
    policy = under(DUTY.format(""))
    shadow = replace(policy.stream("newsletter"), mode="shadow")
    ruling = decide(policy, shadow, a_case(), Phase.DATA, noon(LAST))
    (said,) = ruling.objections
    assert (ruling.action, said.rule, said.detail) == (Action.WARN, "law/footer", "contact")
    assert (said.observed, said.asked_for) == ("shadow", Action.DEFER)


def test_a_link_that_the_stream_does_not_have_cannot_be_shown():
    pack = DUTY.format("").replace('"contact"', '"unsubscribe"')
    changes = {"streams/newsletter.toml": ('packs = ["base"]', 'packs = ["base", "law"]')}
    policy = a_policy(changes=changes, law=pack)
    bare = replace(policy.stream("newsletter"), unsubscribe=Unsubscribe(mailto=True))
    without = replace(policy, streams=(bare,))
    assert [(want.file, want.key) for want in wants(without)] == [("streams/newsletter.toml", "[unsubscribe] one_click")]
    leading = decide(without, bare, a_case(), Phase.DATA, noon(LAST)).leading
    assert leading is not None
    assert leading.detail == "one-click"
    assert wants(policy) == ()


# The shipped packs ---------------------------------------------------------------------------------------------------

PACKS = sorted(
    name.removeprefix("packs/").removesuffix(".toml")
    for name in shipped_files()
    if name.startswith("packs/") and "base" not in name
)


@pytest.mark.parametrize("pack", PACKS)
def test_every_shipped_pack_stops_its_mail_after_its_last_day(pack):
    files = {name: octets for name, octets in shipped_files().items() if name.startswith("packs/")}
    file = a_policy().packs[pack]
    purpose = file.applies.purpose[0] if file.applies.purpose else "marketing"
    files["organisation.toml"] = b'country = "ZZ"\ntime_zone = "Asia/Shanghai"\nstreams = ["one"]\n'
    files["streams/one.toml"] = f'purpose = "{purpose}"\nmatch = {{}}\npacks = ["base", "{pack}"]\n'.encode()
    policy = parse_policies(files)
    bound = next((one.recipient for one in file.applies.any if one.recipient), "ZZ")
    last = file.pack.expires_on
    assert last is not None
    for today, is_over in ((last, False), (last + timedelta(days=1), True)):
        case = a_case(None, stream="one", jurisdictions=frozenset({bound}))
        ruling = decide(policy, policy.stream("one"), case, Phase.RCPT, noon(today))
        said = {one.rule: one for one in ruling.objections}
        assert (f"{pack}/expired" in said) is is_over
        if is_over:
            objection = said[f"{pack}/expired"]
            assert (objection.action, objection.reply_code, objection.code) == (Action.DEFER, 451, "3.5")
