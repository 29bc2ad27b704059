"""What a client may read of an upstream's reply."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.mail import replies
from relay.upstream.outcome import MAX_TEXT, OutcomeState, UpstreamReply, outcome_of, unanswered
from relay.upstream.profile import ReplyClass, load_profiles

PROFILES = load_profiles()


def outcome(code, *text, profile="generic", before_dot=False):
    return outcome_of(PROFILES[profile], UpstreamReply(code, text), before_dot=before_dot)


def test_an_acceptance_is_delivered():
    accepted = outcome(250, "2.0.0 queued as 42")
    assert accepted.state is OutcomeState.DELIVERED
    assert str(accepted.reply) == "250 2.0.0 The upstream server said: queued as 42"
    assert accepted.upstream_text == "250 2.0.0 queued as 42"


def test_every_address_is_masked():
    reply = UpstreamReply(550, ("5.1.1 <ada@example.org>: gone; ask eve@example.net", "5.1.1 or login=root@localhost"))
    assert reply.shown == "<***>: gone; ask *** or ***"


@pytest.mark.parametrize(
    "spelling",
    [
        "eve@example.net",
        "EVE@EXAMPLE.NET",
        "eve+x@a.b.c",
        "'eve@example.net'",
        "o'eve@example.net",
        "=eve@例子.中国",
        "<eve@[192.0.2.1]>",
        '"eve the \\"great\\""@example.net',
        "https://help.example/why?who=eve%40example.net",
        "eve=example.net@bounces.example.net",
        "eve＠example.net",
        "eve@",
    ],
)
def test_no_spelling_of_an_address_passes(spelling):
    assert "eve" not in UpstreamReply(550, (f"rejected {spelling}, sorry",)).shown.casefold()


def test_what_is_no_address_stays():
    text = '"quoted" words: see https://help.example/why?code=42 [DT:SPM] <id>, (smtp)'
    assert UpstreamReply(550, (text,)).shown == text


def test_masking_takes_no_time_for_the_worst_of_replies():
    lines = tuple('\\"' * 1000 for _ in range(100))
    assert len(UpstreamReply(550, lines).shown) == MAX_TEXT


@given(st.integers(200, 599), st.lists(st.text(max_size=300), min_size=1, max_size=5))
def test_what_a_client_reads_is_short_printable_ascii_and_a_reply_that_fits_its_place(code, text):
    shown = outcome(code, *text)
    assert all(" " <= c <= "~" for c in "".join(shown.reply.text) + shown.upstream_text)
    assert len(shown.upstream_text) <= MAX_TEXT + 20
    assert shown.reply.code in (250, 450, 451, 452, 550, 551, 552, 553, 554)
    expected = {OutcomeState.DELIVERED: 2, OutcomeState.TRANSIENT: 4, OutcomeState.PERMANENT: 5}
    assert shown.reply.code // 100 == expected[shown.state]


def test_a_throttle_dressed_as_550_is_passed_on_as_transient():
    throttled = outcome(550, "RP:TRC 163 smtp", profile="netease")
    assert throttled.state is OutcomeState.TRANSIENT
    assert throttled.reply_class is ReplyClass.THROTTLE
    assert str(throttled.reply) == "451 4.7.1 The upstream server said: RP:TRC 163 smtp"
    assert throttled.upstream_text.startswith("550 ")


def test_a_421_never_reaches_a_client_as_421():
    assert outcome(421, "4.3.2 closing").reply.code == 451


def test_an_enhanced_code_of_another_class_is_not_believed():
    assert UpstreamReply(550, ("2.0.0 no",)).enhanced == ""
    assert UpstreamReply(550, ("5.1.1 no",)).enhanced == "5.1.1"
    assert UpstreamReply(550, ("5.1.1.1 no",)).enhanced == ""


def test_silence_is_transient_before_the_dot_and_unknown_after_it():
    assert unanswered(replies.UPSTREAM_TIMED_OUT, before_dot=True).state is OutcomeState.TRANSIENT
    assert unanswered(replies.UPSTREAM_TIMED_OUT, before_dot=False).state is OutcomeState.INDETERMINATE
