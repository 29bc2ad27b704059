"""Profiles: what a reply means, and what a wrong profile is told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.errors import ConfigurationError
from relay.stores.adaptations import Scope
from relay.upstream.profile import ReplyClass, classify, load_profiles, parse_profile
from relay.upstream.reaction import NOTHING, Reaction

PROFILES = load_profiles()

# Code, text, class, permanent; the texts are those that the provider's help pages show.
NETEASE = [
    (451, "MI:SFQ 163 smtp9,DNGowKB 1234", ReplyClass.THROTTLE, False),
    (450, "MI:DMC 163 smtp", ReplyClass.THROTTLE, False),
    (450, "MI:CEL", ReplyClass.THROTTLE, False),
    (450, "MI:CCL", ReplyClass.THROTTLE, False),
    (450, "RP:DRC", ReplyClass.THROTTLE, False),
    (450, "RP:CCL", ReplyClass.THROTTLE, False),
    (451, "RP:QRC", ReplyClass.THROTTLE, False),
    (421, "HL:ICC", ReplyClass.THROTTLE, False),
    (421, "HL:IFC", ReplyClass.THROTTLE, False),
    (450, "DT:RBL", ReplyClass.THROTTLE, False),
    (451, "DT:SPM ,please try again", ReplyClass.THROTTLE, False),
    (550, "RP:TRC", ReplyClass.THROTTLE, False),  # a throttle dressed as 550
    (554, "RP:TRC", ReplyClass.THROTTLE, False),
    (554, "MI:STC", ReplyClass.THROTTLE, False),
    (554, "HL:ITC", ReplyClass.THROTTLE, False),
    (550, "RP:RCL", ReplyClass.THROTTLE, False),
    (550, "DT:SPM 163 smtp11", ReplyClass.CONTENT, True),
    (554, "DT:SPM", ReplyClass.CONTENT, True),
    (552, "Illegal Attachment", ReplyClass.CONTENT, True),
    (553, "Mail from must equal authorized user", ReplyClass.SENDER_POLICY, True),
    (554, "DT:SUM", ReplyClass.SENDER_POLICY, True),
    (550, "MI:IMF", ReplyClass.SENDER_POLICY, True),
    (550, "MI:SPF", ReplyClass.SENDER_POLICY, True),
    (550, "MI:DMA", ReplyClass.SENDER_POLICY, True),
    (554, "HL:IPB", ReplyClass.REPUTATION, True),
    (554, "HL:IHU", ReplyClass.REPUTATION, False),
    (421, "HL:REP", ReplyClass.REPUTATION, False),
    (450, "WM:BLI", ReplyClass.REPUTATION, False),
    (550, "User in blacklist", ReplyClass.REPUTATION, True),
    (535, "Error: authentication failed", ReplyClass.AUTHENTICATION, True),
    (460, "ERR.LOGIN.PASSERR", ReplyClass.AUTHENTICATION, True),
    (451, "Requested mail action not taken: too much fail authentication", ReplyClass.AUTHENTICATION, False),
    (554, "IP is rejected, auth limit", ReplyClass.AUTHENTICATION, False),
    (553, "authentication is required", ReplyClass.AUTHENTICATION, False),
    (550, "User not found: ada@163.com", ReplyClass.RECIPIENT_GONE, True),
    (550, "User suspended: ada@163.com", ReplyClass.RECIPIENT_GONE, True),
]
GENERIC = [
    (550, "", "Connection frequency limited", ReplyClass.THROTTLE, False),
    (550, "", "Mailbox unavailable or access denied", ReplyClass.THROTTLE, False),
    (454, "", "Throttling failure: Daily message quota exceeded", ReplyClass.THROTTLE, False),
    (552, "5.5.3", "too many recipients", ReplyClass.THROTTLE, False),
    (421, "4.7.28", "unusual rate of mail", ReplyClass.THROTTLE, False),
    (550, "", "Mailbox not found", ReplyClass.RECIPIENT_GONE, True),
    (550, "5.1.1", "whatever", ReplyClass.RECIPIENT_GONE, True),
    (550, "5.2.1", "disabled", ReplyClass.RECIPIENT_GONE, True),
    (550, "5.2.2", "too many messages in this mailbox", ReplyClass.PERMANENT, True),
    (452, "4.2.2", "too many messages in this mailbox", ReplyClass.TRANSIENT, False),
    (550, "", "Mail content denied", ReplyClass.CONTENT, True),
    (550, "5.7.26", "unauthenticated mail", ReplyClass.SENDER_POLICY, True),
    (501, "", "mail from address must be same as authorization user", ReplyClass.SENDER_POLICY, True),
    (440, "", "mail from account doesn't conform with authentication", ReplyClass.SENDER_POLICY, False),
    (530, "5.7.0", "Must issue a STARTTLS command first", ReplyClass.AUTHENTICATION, False),
    (421, "4.3.2", "closing", ReplyClass.OUTAGE, False),
    (451, "", "try later", ReplyClass.TRANSIENT, False),
    (550, "", "no", ReplyClass.PERMANENT, True),
]


@pytest.mark.parametrize(("code", "text", "reply_class", "permanent"), NETEASE)
def test_netease_is_read_by_its_text_codes(code, text, reply_class, permanent):
    meaning = classify(PROFILES["netease"], code, "", text)
    assert (meaning.reply_class, meaning.permanent) == (reply_class, permanent)


@pytest.mark.parametrize("profile", sorted(PROFILES))
@pytest.mark.parametrize(("code", "enhanced", "text", "reply_class", "permanent"), GENERIC)
def test_the_generic_entries_count_for_every_provider(profile, code, enhanced, text, reply_class, permanent):
    meaning = classify(PROFILES[profile], code, enhanced, f"{enhanced} {text}".strip())
    assert (meaning.reply_class, meaning.permanent) == (reply_class, permanent)


def test_a_text_code_counts_as_a_word_only():
    assert classify(PROFILES["netease"], 550, "", "XMI:SFQ9").reply_class is ReplyClass.PERMANENT
    assert classify(PROFILES["netease"], 550, "", "said (mi:sfq), sorry").reply_class is ReplyClass.THROTTLE


@given(st.sampled_from(sorted(PROFILES)), st.integers(200, 399), st.text(max_size=50))
def test_no_text_turns_an_acceptance_into_a_refusal(profile, code, text):
    assert classify(PROFILES[profile], code, "", f"{text} MI:SFQ").reply_class is ReplyClass.ACCEPTED


@given(st.sampled_from(sorted(PROFILES)), st.integers(400, 599), st.text(max_size=50))
def test_no_text_turns_a_refusal_into_an_acceptance(profile, code, text):
    assert classify(PROFILES[profile], code, "", text).reply_class is not ReplyClass.ACCEPTED


def test_netease_says_what_the_rooms_below_the_upstream_must_know():
    netease, generic = PROFILES["netease"], PROFILES["generic"]
    assert netease.from_must_match_login
    assert not netease.null_reverse_path
    assert (netease.long_lines, netease.eight_bit) == ("encode", "encode")
    assert (generic.long_lines, generic.eight_bit) == ("pass", "pass")
    assert generic.null_reverse_path
    assert not generic.from_must_match_login


def test_where_the_servers_of_a_provider_stand():
    countries = {name: profile.country for name, profile in PROFILES.items()}
    abroad = {"ses", "generic", "google", "microsoft", "yahoo", "sendgrid", "mailgun", "postmark"}
    assert countries == dict.fromkeys(["netease", "tencent", "qq", "alimail", "directmail"], "CN") | dict.fromkeys(abroad, "")
    assert {name: profile.time_zone for name, profile in PROFILES.items() if profile.country == "CN"} == dict.fromkeys(
        ["netease", "tencent", "qq", "alimail", "directmail"], "Asia/Shanghai"
    )


WHOLE = """
title = "Example"
max_recipients = 10
max_connections = 1
max_connections_per_identity = 1
max_messages_per_connection = 1
idle = "5s"
max_message_size = "1MiB"
long_lines = "pass"
eight_bit = "pass"
unsigned_fields = ["message-id"]
null_reverse_path = true
from_must_match_login = false
own_list_unsubscribe = false
"""


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("colour = 1", "colour: there is no such key"),
        ('country = "cn"', "country: String should match pattern"),
        ('[[reply]]\nclass = "throttle"', "reply.1: an entry needs text, enhanced or code"),
        ('[[reply]]\nclass = "accepted"\ncode = [550]', "reply.1: class = "),
        ('[[reply]]\nclass = "slow"\ncode = [450]', "reply.1.class: Input should be"),
        ('[[reply]]\nclass = "throttle"\ncode = [250]', "reply.1.code.1: Input should be greater than or equal to 400"),
        ('[[reply]]\nclass = "throttle"\nenhanced = ["4.7"]', "reply.1.enhanced.1: String should match pattern"),
        ('[[reply]]\nclass = "throttle"\ntext = ["x"]', "reply.1.text.1: String should have at least 3 characters"),
        ('[[reply]]\nclass = "throttle"\ncode = [450]\nback_off = "soon"', "reply.1.back_off: expected a duration"),
        ('[[reply]]\nclass = "throttle"\ncode = [450]\nback_off = "1m"\nuntil = "tomorrow"', "write one of them"),
        ('[[reply]]\nclass = "throttle"\ncode = [450]\nscope = "everything"', "reply.1.scope: Input should be"),
        ('[[reply]]\nclass = "throttle"\ncode = [450]\nrate = "double"', "reply.1.rate: Input should be"),
        ('[[reply]]\nclass = "throttle"\ncode = [450]\nconfirmations = 2', "confirmations is for class ="),
        ('time_zone = "Asia/Nowhere"', 'time_zone: "Asia/Nowhere" is not a time zone'),
    ],
)
def test_a_wrong_profile_is_told_where_it_is_wrong(wrong, said):
    with pytest.raises(ConfigurationError, match=r"providers/example\.toml: ") as caught:
        parse_profile(f"{WHOLE}\n{wrong}\n".encode(), "example")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("entry", "reaction"),
    [
        ("", Reaction(back_off=900.0, halve=True)),
        ('scope = "domain"', Reaction(Scope.DOMAIN, back_off=900.0, halve=True)),
        ('back_off = "1h"', Reaction(back_off=3600.0)),
        ('until = "tomorrow"\nscope = "upstream"', Reaction(Scope.UPSTREAM, tomorrow=True)),
        ("split = true", Reaction(split=True)),
        ('back_off = "0s"', NOTHING),
    ],
)
def test_an_entry_does_what_its_class_does_unless_it_says_what(entry, reaction):
    profile = parse_profile(f'{WHOLE}\n[[reply]]\nclass = "throttle"\ncode = [450]\n{entry}\n'.encode(), "example")
    assert classify(profile, 450, "", "slow down").reaction == reaction


def test_every_fault_of_a_profile_is_named_at_once():
    with pytest.raises(ConfigurationError) as caught:
        parse_profile(WHOLE.replace('"5s"', '"soon"').replace("= 10", "= 0").encode(), "example")
    assert "idle: expected a duration" in str(caught.value)
    assert "max_recipients: " in str(caught.value)
