"""What a check objects to has a place, which `relay lint` shows: a field, a text, or the characters of one."""

import pytest

from relay.policy.cases.case import MOST_SPOTS, Spot
from relay.policy.checks import CHECKS
from relay.policy.rules.rule import Finding
from tests.support.policies import a_case, a_setting

HEAD = "From: {}\r\nTo: ada@mail.example.org\r\nSubject: {}\r\n"
HTML = "MIME-Version: 1.0\r\nContent-Type: text/html; charset=utf-8\r\n\r\n"
LONG = "<p>A text of more than twenty letters.</p>"


def spots(name: str, fields: str = "", html: str = LONG, author: str = "news@example.com", subject: str = "News", **parameters):
    check = CHECKS[name]
    case = a_case((HEAD.format(author, subject) + fields + HTML + html).encode())
    table = check.parameters.model_validate({"id": "x", "check": name, **parameters})
    found = check.ask(case, a_setting(), table)
    assert isinstance(found, Finding)
    return found.spots


@pytest.mark.parametrize(
    ("name", "message", "where"),
    [
        ("deceptive-sender", {"author": '"Re: hello" <news@example.com>'}, "From"),
        ("reply-address", {"fields": "Reply-To: noreply@example.com\r\n"}, "Reply-To"),
        ("reply-address", {"author": "noreply@example.com"}, "From"),
        ("fake-reply", {"subject": "Re: hello"}, "subject"),
        ("subject-visible", {"subject": ""}, "subject"),
        ("subject-label", {"labels": ["CN"]}, "subject"),
        ("forged-route", {"fields": "Received: by mx.example.net; Sun, 1 Mar 2026 12:00:00 +0000\r\n"}, "Received"),
        ("forged-route", {"fields": "Return-Path: <eve@example.net>\r\n"}, "Return-Path"),
        ("image-only", {"html": '<img src="https://www.example.com/a.png">'}, "html part 1"),
        ("tracking-pixel", {"html": LONG + '<img src="https://t.example.com/a.png" width=1 height=1>'}, "html part 1"),
    ],
)
def test_the_field_or_the_text(name, message, where):
    assert spots(name, **message) == (Spot(where),)


def test_each_link_by_its_text():
    page = (
        LONG
        + '<a href="http://a.example.com/">One</a> and <a href="http://b.example.com/">Another</a><a href="http://c.example.com/"></a>'
    )
    shown = "A text of more than twenty letters.\nOne and Another"
    first, second = shown.index("One"), shown.index("Another")
    assert spots("links", html=page, faults=["http"]) == (
        Spot("html part 1", first, first + 3),
        Spot("html part 1", second, second + 7),
        Spot("html part 1"),
    )


def test_each_field_of_a_template_as_far_as_anybody_reads():
    found = spots("placeholders", html=LONG + "<p>Dear {{name}} of {{town}}</p>")
    assert [(spot.end - spot.start) for spot in found] == [8, 8]
    many = "".join(f"<p>{{{{field{number}}}}}</p>" for number in range(MOST_SPOTS + 10))
    assert len(spots("placeholders", html=LONG + many)) == MOST_SPOTS
