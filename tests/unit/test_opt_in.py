"""The mail that asks, its token, and how often a mailbox may be asked."""

from datetime import UTC, datetime
from email import message_from_bytes, policy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.ids import new_id
from relay.keys import new_keys
from relay.mail.mailbox import Mailbox
from relay.policy.consents.consent import ConsentEvent, Details
from relay.policy.opting_in.opt_in import AGAIN_SECONDS, HOLDS_SECONDS, SignUp, why_not
from relay.policy.rules.organisation import OrganisationFacts, Texts
from relay.render.confirmation import Asking, confirmation_mail
from relay.render.request_token import RequestToken, make_request_token, read_request_token
from relay.render.sealed import TokenError
from relay.render.token import UnsubscribeToken, make_token, read_token
from tests.support.opt_in import token_in
from tests.support.records import KEYS

RING = KEYS.tokens.keys
KEY = RING[0]
ID = "01JD6Z4M0Q8V7KX3T5N2C9R1BF"
DAY = 86400.0
NOW = 400 * DAY


@given(
    st.binary(min_size=16, max_size=16), st.integers(1, 255), st.binary(min_size=10, max_size=10), st.integers(0, 2**40),
    st.integers(0, 2**40),
)  # fmt: skip
def test_a_token_says_what_was_put_into_it(digest, generation, entropy, at, until):
    token = RequestToken(digest, generation, new_id(at / 1000, entropy), until)
    text = make_request_token(token, KEY)
    assert len(text) == 79
    assert read_request_token(text, RING) == token


@given(st.integers(0, 78), st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=+/ 令"))
def test_any_other_spelling_is_no_token(place, character):
    text = make_request_token(RequestToken(bytes(16), 1, ID, 1), KEY)
    other = text[:place] + character + text[place + 1 :]
    if other != text:
        with pytest.raises(TokenError):
            read_request_token(other, RING)


def test_neither_token_passes_for_the_other_nor_for_another_relay_s():
    request = make_request_token(RequestToken(bytes(16), 1, ID, 1), KEY)
    unsubscribe = make_token(UnsubscribeToken(bytes(16), 1, bytes(4), True, ID), KEY)
    with pytest.raises(TokenError):
        read_token(request, RING)
    with pytest.raises(TokenError):
        read_request_token(unsubscribe, RING)
    with pytest.raises(TokenError):
        read_request_token(request, new_keys(KEY.created).tokens.keys)


# The mail -----------------------------------------------------------------------------------------------------------------

FORM = SignUp(name="news", purpose="marketing:news", words=Texts(zh="我同意", en="I agree"), page="https://example.com/join")
FACTS = OrganisationFacts(country="CN", legal_name=Texts(zh="示例公司", en="Example Ltd."), refusal_mailbox="no@example.com")


def an_asking(recipient="ada@example.org", form=FORM, facts=FACTS):
    at = datetime(2026, 11, 22, 9, tzinfo=UTC)
    link = f"https://www.example.com/mail/u/confirm/{make_request_token(RequestToken(bytes(16), 1, ID, 1), KEY)}"
    sender = Mailbox.parse("hello@example.com")
    return Asking(form, facts, sender, Mailbox.parse(recipient), link, at, at, f"<{ID}.confirm@relay.example.com>")


_SUBJECTS = [("zh", "请确认您的登记 · 示例公司"), ("en", "Please confirm your sign-up · Example Ltd.")]


@pytest.mark.parametrize(("language", "subject"), _SUBJECTS)
def test_the_mail_is_plain_whole_and_the_same_each_time(language, subject):
    octets = confirmation_mail(an_asking(), language)
    assert octets == confirmation_mail(an_asking(), language)
    assert octets.isascii()
    assert max(map(len, octets.split(b"\r\n"))) < 998
    mail = message_from_bytes(octets, policy=policy.default)
    assert (mail["Subject"], mail["Auto-Submitted"], mail.get_content_type()) == (subject, "auto-generated", "text/plain")
    text = mail.get_content()
    for words in (
        "我同意",
        "I agree",
        "示例公司",
        "Example Ltd.",
        "no@example.com",
        "https://example.com/join",
        "2026-11-22 09:00",
    ):
        assert words in text
    assert token_in(text) in an_asking().link
    assert "<" not in text


def test_the_mail_says_no_more_than_the_organisation_does():
    octets = confirmation_mail(an_asking(form=FORM.model_copy(update={"page": ""}), facts=OrganisationFacts(country="CN")), "en")
    mail = message_from_bytes(octets, policy=policy.default)
    assert mail["Subject"] == "Please confirm your sign-up"
    assert "To get no such mail again" not in mail.get_content()
    assert "signed this address up with us on 2026-11-22" in mail.get_content()


@pytest.mark.parametrize("recipient", ['"a b"@example.org', "用户@例子.example", '"x\\"y"@example.org'])
def test_odd_addresses_stay_in_their_field(recipient):
    octets = confirmation_mail(an_asking(recipient), "en")
    head = octets.partition(b"\r\n\r\n")[0]
    assert head.count(b"\r\nTo: ") == 1
    assert f"To: <{Mailbox.parse(recipient).wire}>".encode() in head
    assert octets.replace(Mailbox.parse(recipient).wire.encode(), b"").isascii()
    assert octets.isascii() is not Mailbox.parse(recipient).needs_smtputf8


def test_a_name_with_an_at_sign_is_written_in_ascii_as_any_other():
    """Else the mail would leave by upstreams with SMTPUTF8 only."""
    facts = OrganisationFacts(country="CN", legal_name=Texts(zh="示例@公司", en="Example"))
    octets = confirmation_mail(an_asking(facts=facts), "zh")
    assert octets.isascii()
    assert message_from_bytes(octets, policy=policy.default)["Subject"] == "请确认您的登记 · 示例@公司"


# How often ----------------------------------------------------------------------------------------------------------------


def an_event(at, kind="requested", purpose="marketing:news"):
    return ConsentEvent(str(at), b"", b"", kind, at, at, "form", "form", purpose, "explicit", Details().dump())


def test_what_somebody_else_asked_for_counts_and_what_is_long_ago_does_not():
    assert why_not([], "marketing:news", NOW) is None
    assert why_not([an_event(NOW - AGAIN_SECONDS + 1)], "marketing:news", NOW) == "asked"
    assert why_not([an_event(NOW - AGAIN_SECONDS)], "marketing:news", NOW) is None
    old = [an_event(NOW - HOLDS_SECONDS - one) for one in range(5)]
    assert why_not(old, "marketing:news", NOW) is None
    assert why_not([*old, an_event(NOW - DAY * 300)], "marketing:news", NOW) == "too_many"
    assert why_not([*old, an_event(NOW - DAY * 300), an_event(NOW - DAY * 6, "confirmed")], "marketing:news", NOW) is None
    assert why_not([*old, an_event(NOW - DAY * 366)], "marketing:news", NOW) is None


_PURPOSES = st.sampled_from(["marketing:a", "marketing:b", "marketing:c", "marketing"])


@given(st.lists(st.tuples(st.floats(0, 3 * DAY), _PURPOSES), max_size=60))
def test_nobody_gets_more_than_the_bounds_whatever_is_typed_into_forms(steps):
    now = NOW
    sent: list[ConsentEvent] = []
    for seconds, purpose in steps:
        now += seconds
        if why_not(sent, purpose, now) is None:
            sent.append(an_event(now, purpose=purpose))
        recent = [one for one in sent if one.at > now - HOLDS_SECONDS]
        assert len(recent) <= 4
        assert max([sum(one.purpose == other.purpose for one in recent) for other in recent], default=0) <= 2
        assert sum(one.at > now - 365 * DAY for one in sent) <= 6
