"""show(): three heads, and every rule of the set under the right one."""

from dataclasses import replace
from datetime import date

import pytest

from relay.policy.telling.show import show
from tests.support.policies import a_policy, newsletter
from tests.unit.test_difference import EXEMPT, FACTS, NEWS, OVERRIDE, pacing

DAY = date(2026, 11, 21)


def said(policy, day=DAY) -> tuple[list[str], list[str], list[str]]:
    enforced, relaxed, unchecked = ([sentence.en for sentence in section.sentences] for section in show(policy, day))
    return enforced, relaxed, unchecked


def naming(sentences: list[str], text: str) -> list[str]:
    return [sentence for sentence in sentences if text in sentence]


@pytest.mark.parametrize("policy", [a_policy(), newsletter(OVERRIDE.format("warn")), newsletter(mode='"shadow"')])
def test_every_rule_that_a_stream_asks_is_under_some_head(policy):
    enforced, relaxed, _ = said(policy)
    shadowed = {stream.name for stream in policy.streams if stream.mode == "shadow"}
    for stream in policy.streams:
        for rule in stream.rules:
            if not rule.never and (stream.name not in shadowed or rule.protected):
                assert naming(enforced + relaxed, rule.name), rule.name


def test_a_plain_set_relaxes_nothing():
    assert said(a_policy())[1] == []


def test_an_override_moves_its_rule_from_one_head_to_the_other():
    enforced, relaxed, _ = said(newsletter(OVERRIDE.format("warn")))
    assert not naming(naming(enforced, "base/attachment-types"), "newsletter")
    assert naming(relaxed, "base/attachment-types") == [
        "newsletter: base/attachment-types turned down to warn, until 2027-01-31 (b: r)."
    ]


def test_an_override_that_ended_relaxes_nothing():
    enforced, relaxed, _ = said(newsletter(OVERRIDE.format("warn")), date(2027, 2, 1))
    assert naming(naming(enforced, "base/attachment-types"), "newsletter")
    assert naming(relaxed, "ended on 2027-01-31")


def test_shadow_is_relaxed_but_refusals_stay_enforced():
    enforced, relaxed, _ = said(newsletter(mode='"shadow"'))
    assert naming(relaxed, "newsletter: in shadow mode")
    assert naming(enforced, "Every stream: refused: This recipient has unsubscribed")
    assert not naming(naming(enforced, "base/mass-disclosure)"), "newsletter")


def test_an_exemption_names_who_why_and_until_when():
    assert said(a_policy(added={FACTS: EXEMPT}))[1] == [
        "qa@example.org: exempt from base/attachment-types, until 2027-01-31 (b: r)."
    ]


LAW = (
    '[pack]\nversion = "7"\nsources = ["Advertising Law", "SAMR Order 37"]\nreviewed_on = 2026-11-01\nexpires_on = 2027-11-01\n'
    'penalty = { zh = "罚款三万元以下", en = "a fine of up to 30,000 yuan" }\n'
)


def test_a_pack_says_what_it_rests_on_and_what_a_breach_costs():
    policy = a_policy(changes={NEWS: ('packs = ["base"]', 'packs = ["base", "law"]')}, law=LAW)
    (english,) = naming(said(policy)[0], "The pack law")
    assert english.startswith("The pack law: version 7; rests on Advertising Law, SAMR Order 37; reviewed on 2026-11-01;")
    assert english.endswith("; expires on 2027-11-01; penalty: a fine of up to 30,000 yuan.")
    (chinese,) = [sentence.zh for sentence in show(policy, DAY)[0].sentences if "规则包 law" in sentence.zh]
    assert chinese.startswith("规则包 law：版本 7；依据 Advertising Law、SAMR Order 37；2026-11-01 复核；")
    assert chinese.endswith("；有效期至 2027-11-01；违反的后果：罚款三万元以下。")
    assert not naming(said(a_policy(law=LAW))[0], "The pack law")  # no stream uses it


def test_a_duty_is_said_with_what_asks_for_it():
    cited = a_policy(changes={"packs/base.toml": ('do = "remove-fields"', 'do = "remove-fields"\ncite = "house rule 3"')})
    assert naming(
        said(cited)[0], "newsletter: the fields x-internal-*, x-relay-* are removed (base/internal-fields) [house rule 3]."
    )


def test_the_one_way_out_of_a_duty_may_be_written_down():
    """Sets that were kept say so."""
    written = a_policy(changes={"packs/base.toml": ('do = "remove-fields"', 'do = "remove-fields"\nif_impossible = "reject"')})
    assert written.stream("newsletter").duties == a_policy().stream("newsletter").duties


def test_an_expired_pack_is_said():
    pack = '[pack]\nversion = "1"\nexpires_on = 2026-11-20\n'
    changes = {"streams/newsletter.toml": ('packs = ["base"]', 'packs = ["base", "law"]')}
    assert naming(said(a_policy(changes=changes, law=pack))[0], "The pack law expired on 2026-11-20")
    assert " law," in naming(said(a_policy(law=pack))[2], "What these packs ask, as no stream uses them")[0]


def test_where_a_pack_applies_is_said_in_both_languages():
    law = """[pack]
version = "1"
[applies]
any = [{ recipient = "KR" }, { upstream = "CN" }]
[[rule]]
id = "big"
check = "size"
above_mb = 5
[[duty]]
id = "all"
do = "remove-fields"
fields = ["X-Mailer"]
"""
    changes = {NEWS: ('packs = ["base"]', 'packs = ["base", "law", "host"]')}
    host = law.replace('{ recipient = "KR" }, ', "")
    sections = show(a_policy(changes=changes, law=law, host=host), DAY)
    assert any(sentence.en.startswith("Where an upstream server stands: ") for sentence in sections[2].sentences)
    assert not naming(said(a_policy())[2], "Where an upstream server stands")
    sentences = sections[0].sentences
    of_packs = {sentence.en: sentence.zh for sentence in sentences if "(law/" in sentence.en or "(host/" in sentence.en}
    server, server_zh = "for mail that may leave by an upstream server in CN", "可能经 CN 的上游服务器发出的邮件"
    assert of_packs == {
        f"newsletter: refused for recipients in KR or {server}: The message is too large (law/big).": (
            f"newsletter：拒收（KR 的收件人，或{server_zh}）：邮件过大（law/big）。"
        ),
        f"newsletter: refused {server}: The message is too large (host/big).": (
            f"newsletter：拒收（{server_zh}）：邮件过大（host/big）。"
        ),
        f"newsletter: the fields x-mailer are removed for recipients in KR or {server} (law/all).": (
            f"newsletter：移除邮件头 x-mailer（KR 的收件人，或{server_zh}）（law/all）。"
        ),
        f"newsletter: the fields x-mailer are removed {server} (host/all).": (
            f"newsletter：移除邮件头 x-mailer（{server_zh}）（host/all）。"
        ),
    }


def test_what_nobody_checks_is_said():
    unchecked = said(newsletter(one_click="false", required="false"))[2]
    assert naming(unchecked, "Whether recipients agreed")
    assert naming(unchecked, "newsletter: how recipients unsubscribe")
    assert naming(unchecked, "newsletter: whether mail is signed by us")


def test_limits_are_said():
    enforced = said(newsletter(identity='["5/hour"]', recipient_domain='{ "qq.com" = ["20/minute"], "*" = ["60/minute"] }'))[0]
    assert naming(enforced, "newsletter: at most 5/hour for one identity.")
    assert naming(enforced, "newsletter: at most 20/minute for qq.com.")
    assert naming(enforced, "newsletter: at most 60/minute for each other recipient domain.")


def test_a_domain_without_the_limit_of_the_others_is_named():
    enforced = said(newsletter(recipient_domain='{ "qq.com" = [], "*" = ["60/minute"] }'))[0]
    assert naming(enforced, "newsletter: no limit for qq.com.")
    assert not naming(said(newsletter(recipient_domain='{ "qq.com" = [] }'))[0], "no limit for")


def test_both_languages_say_the_same_number_of_things():
    for section in show(newsletter(OVERRIDE.format("defer"), mode='"shadow"'), DAY):
        for sentence in (section.head, *section.sentences):
            assert any("\u4e00" <= character <= "\u9fff" for character in sentence.zh), sentence
            assert sentence.en


def test_a_rule_that_only_warns_is_only_observed():
    enforced, relaxed, _ = said(newsletter('[[rule]]\nid = "mine"\ncheck = "size"\nabove_mb = 5\naction = "warn"\n'))
    assert not naming(enforced, "newsletter/mine")
    assert naming(relaxed, "newsletter: only recorded: The message is too large (newsletter/mine)")


# Pace


def test_hours_are_said_with_whose_clock_counts():
    assert naming(said(pacing('hours = ["Mon-Fri 09:00-21:00", "Sat 10:00-20:00"]'))[0], "leaves only") == [
        (
            "newsletter: leaves only Mon-Fri 09:00-21:00, Sat 10:00-20:00, by the recipient's clock"
            " (Asia/Shanghai where nobody names the country; of several zones in all)."
        )
    ]
    assert naming(said(pacing('hours = "09:00-21:00"\nhours_zone = "organisation"'))[0], "leaves only") == [
        "newsletter: leaves only 09:00-21:00, by the clock in Asia/Shanghai."
    ]


def test_a_country_too_wide_for_the_hours_is_named_with_the_zone_that_counts():
    assert not naming(said(pacing('hours = "09:00-21:00"'))[0], "at once")
    assert naming(said(pacing('hours = "09:00-18:00"'))[0], "at once") == [
        "newsletter: these hours never come in all zones of a country at once; one zone counts: RU (Europe/Moscow)."
    ]


def test_hours_that_are_only_observed_are_not_enforced():
    policy = pacing('hours = "09:00-21:00"')
    shadow = replace(policy, streams=tuple(replace(stream, mode="shadow") for stream in policy.streams))
    assert naming(said(policy)[0], "leaves only")
    assert not naming(said(shadow)[0], "leaves only")


def test_a_warm_up_is_said_with_its_end():
    assert naming(said(pacing('warm_up = "200/day x1.5"'))[0], "warms up") == [
        (
            "newsletter: warms up: 200 recipients on its first day of sending, 1.5 times as many on each that follows,"
            " until the usual limit on a day (1000000 where there is none)."
        )
    ]


def test_what_becomes_of_mail_over_a_limit_is_said_of_each_stream():
    enforced = said(newsletter(over='"defer"'))[0]
    assert naming(enforced, "over a limit") == [
        "newsletter: what is over a limit waits with the client, which is told when to come back.",
        "receipts: what is over a limit is held by the relay and leaves when it may.",
        "correspondence: what is over a limit is held by the relay and leaves when it may.",
    ]


@pytest.mark.parametrize("reserve", ["10%", "25%"])
def test_what_marketing_leaves_to_others_is_said(reserve):
    policy = a_policy(changes={FACTS: ('reserve = "10%"', f'reserve = "{reserve}"')})
    assert naming(said(policy)[0], "Marketing leaves") == [
        f"Marketing leaves {reserve} of each limit of an upstream server, and its last free connection, to other mail."
    ]


HOLD = '[[rule]]\nid = "look"\ncheck = "size"\nabove_mb = 5\naction = "hold"\n'


def test_a_rule_that_holds_says_that_a_person_must_act():
    enforced = said(newsletter(HOLD))[0]
    assert len(naming(enforced, "newsletter: held until a person releases it: ")) == 1
    assert not naming(enforced, "may be late")


def test_service_mail_that_a_rule_holds_may_be_late():
    policy = a_policy(added={"streams/receipts.toml": "\n" + HOLD})
    assert naming(said(policy)[0], "may be late") == [
        "receipts: service mail may be late: it waits for a person where receipts/look objects."
    ]
