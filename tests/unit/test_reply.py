"""A reply is printable ASCII of bounded length, and its enhanced code agrees with its code."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.mail.reply import MAX_LINE, MAX_LINES, Reply, ascii_text, parse_reply, reply


def test_every_line_carries_code_and_enhanced_code():
    assert reply(550, "7.1", "no", "http://relay.lan/r/1").wire() == b"550-5.7.1 no\r\n550 5.7.1 http://relay.lan/r/1\r\n"


def test_a_reply_without_an_enhanced_code_has_the_text_alone():
    assert reply(354, "", "go on").lines() == ["354 go on"]


def test_a_reply_without_text_is_still_a_line():
    assert Reply(250, "0.0", ()).lines() == ["250 2.0.0 "]


@pytest.mark.parametrize(
    ("code", "positive", "transient"),
    [(250, True, False), (354, True, False), (451, False, True), (554, False, False)],
)
def test_the_code_says_whether_to_try_again(code, positive, transient):
    value = reply(code, "0.0")
    assert (value.is_positive, value.is_transient) == (positive, transient)


@given(st.integers(200, 599), st.sampled_from(["", "7.1", "6.11"]), st.lists(st.text(), max_size=15))
def test_whatever_the_text_the_wire_is_one_reply(code, detail, texts):
    wire = Reply(code, detail, tuple(texts)).wire()
    lines = wire.decode("ascii").split("\r\n")
    assert lines.pop() == ""
    assert 1 <= len(lines) <= MAX_LINES
    assert all(len(line) <= MAX_LINE and re.fullmatch(r"[2-5]\d\d[ -][ -~]*", line) for line in lines)
    assert [line[3] for line in lines] == ["-"] * (len(lines) - 1) + [" "]


@given(
    st.integers(200, 599),
    st.sampled_from(["", "7.1", "6.11"]),
    st.lists(st.from_regex(r"[a-z][ -~]{0,40}", fullmatch=True), min_size=1, max_size=5),
)
def test_a_reply_is_read_back_from_its_wire_form(code, detail, texts):
    value = Reply(code, detail, tuple(texts))
    assert parse_reply(value.wire().decode("ascii")) == value


@pytest.mark.parametrize("text", ["", "hello", "99 too short", "650 unknown class"])
def test_what_is_not_a_reply_is_not_read(text):
    with pytest.raises(ValueError, match="not an SMTP reply"):
        parse_reply(text)


def test_text_from_elsewhere_cannot_end_the_line():
    assert ascii_text("用户\r\n250 ok") == "????250 ok"


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("[base/suppression] gone", "base/suppression"),
        ("[limit] over", "limit"),
        ("The upstream server said: [base/x] no", ""),
        ("[]", ""),
        ("OK", ""),
    ],
)
def test_a_reply_knows_the_rule_that_it_names(text, rule):
    assert reply(550, "7.1", text).rule == rule
    assert Reply(250, "", ()).rule == ""
