"""RFC 8058: a promise of one click that does not hold stays here."""

from collections import Counter

import pytest

from relay.errors import RenderingImpossible
from relay.render.oneclick import check_one_click, promises_one_click, unsubscribe_fields
from relay.render.verification import split_fields

POST = "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"
COVERED = Counter({b"list-unsubscribe": 2, b"list-unsubscribe-post": 2})


def fields(*lines: str):
    return split_fields("".join(lines).encode())


@pytest.mark.parametrize(
    "value",
    [
        "<https://example.com/u/1>",
        "<HTTPS://example.com/u/1>",
        "<https://example.com/u/1>, <mailto:u@example.com?subject=x,y>",
        "<mailto:u@example.com>,\r\n <https://example.com/u/1,2>",
        "<http://127.0.0.1:8026/u/1>",
        "<http://[::1]:8026/u/1>",
        "<http://localhost/u/1>",
    ],
)
def test_a_promise_that_holds_may_leave(value):
    check_one_click(fields(f"List-Unsubscribe: {value}\r\n", POST), COVERED)


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        pytest.param([POST], "exactly once", id="post-alone"),
        pytest.param(["List-Unsubscribe: <https://example.com/1>\r\n", POST, POST], "exactly once", id="two-posts"),
        pytest.param(["List-Unsubscribe: <https://example.com/1>\r\n"] * 2 + [POST], "exactly once", id="two-lists"),
        pytest.param(
            ["List-Unsubscribe: <https://example.com/1>\r\n", POST.replace("One-Click", "One-Click, x")],
            "nothing else",
            id="more",
        ),
        pytest.param(
            ["List-Unsubscribe: <https://example.com/1>\r\n", POST.replace("One-Click", "one-click")], "nothing else", id="case"
        ),
        pytest.param(["List-Unsubscribe: <mailto:u@example.com>\r\n", POST], "one https URI", id="mailto-alone"),
        pytest.param(["List-Unsubscribe: <http://example.com/1>\r\n", POST], "one https URI", id="http"),
        pytest.param(["List-Unsubscribe: <http://localhost.example.com/1>\r\n", POST], "one https URI", id="not-this-machine"),
        pytest.param(["List-Unsubscribe: <https://a.example>, <https://b.example>\r\n", POST], "one https URI", id="two-https"),
        pytest.param(
            ["List-Unsubscribe: <https://a.example>, <http://b.example>\r\n", POST], "one https URI", id="https-and-http"
        ),
        pytest.param(["List-Unsubscribe: https://example.com/1\r\n", POST], "one https URI", id="no-brackets"),
        pytest.param(["List-Unsubscribe: <https://example.com/\r\n 1>\r\n", POST], "one https URI", id="folded-inside"),
        pytest.param(["List-Unsubscribe: <https://a.example> <mailto:u@a.example>\r\n", POST], "one https URI", id="no-comma"),
        pytest.param(["List-Unsubscribe: click <https://a.example>\r\n", POST], "one https URI", id="words"),
        pytest.param(["List-Unsubscribe:\r\n", POST], "one https URI", id="empty"),
    ],
)
def test_a_promise_that_does_not_hold_stays_here(lines, says):
    with pytest.raises(RenderingImpossible, match=says) as fault:
        check_one_click(fields(*lines), COVERED)
    assert fault.value.rule == "base/one-click"


@pytest.mark.parametrize("missing", [b"list-unsubscribe", b"list-unsubscribe-post"])
def test_both_fields_must_be_signed(missing):
    with pytest.raises(RenderingImpossible, match="not covered"):
        check_one_click(fields("List-Unsubscribe: <https://example.com/1>\r\n", POST), COVERED - Counter({missing: 2}))


def test_only_the_post_field_promises():
    assert promises_one_click(fields("Subject: s\r\n", POST))
    assert not promises_one_click(fields("List-Unsubscribe: <https://example.com/1>\r\n"))


def test_one_uri_stands_on_each_line():
    assert unsubscribe_fields("https://example.com/u/1", "mailto:u@example.com").split(b"\r\n") == [
        b"List-Unsubscribe: <https://example.com/u/1>,",
        b" <mailto:u@example.com>",
        b"List-Unsubscribe-Post: List-Unsubscribe=One-Click",
        b"",
    ]


def test_the_longest_base_url_still_fits_a_line():
    url = "https://" + "a" * 92 + "/u/" + "x" * 75
    assert max(map(len, unsubscribe_fields(url, "mailto:u@example.com").split(b"\r\n"))) <= 200


@pytest.mark.parametrize(
    ("url", "mailto", "says"),
    [
        ("https://example.com/" + "x" * 170, None, "longer than 200 octets"),
        ("https://example.com/a b", None, "characters"),
        ("https://example.com/\r\nBcc: x", None, "characters"),
        (None, "mailto:u>@example.com", "characters"),
        ("https://example.com/\u4f60", None, "characters"),
        (None, None, "no URI"),
    ],
)
def test_a_uri_that_does_not_fit_is_refused(url, mailto, says):
    with pytest.raises(RenderingImpossible, match=says):
        unsubscribe_fields(url, mailto)
