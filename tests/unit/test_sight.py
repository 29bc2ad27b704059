"""What was read of a part is kept for the next mail with the same part, and for no other; what is kept is bounded."""

from dataclasses import replace

import pytest

from benchmarks.content import EVERY
from benchmarks.newsletter import LANGUAGES, newsletter_mail
from relay.mail.message import Message
from relay.mail.page.visible import read_page
from relay.mail.words import sight
from relay.mail.words.sight import LONGEST_KEPT, MOST_KEPT, Source, Text, sight_of
from relay.policy.cases.case import Phase
from relay.policy.deciding.decide import decide
from tests.support.policies import a_case, newsletter
from tests.unit.test_content_checks import details, letter
from tests.unit.test_decide import NOW

PAGE = """<p>手机 13812345678 最佳 <a href='http://t.cn/x'>退订</a><i style='display:none'>x</i>
<img src=//t.example/p width=1 height=1><amp-img src=//t.example/q>"""


@pytest.fixture(autouse=True)
def forgotten():
    """Each test begins and ends with nothing kept."""
    for kept in (sight._kept, sight._kept_text):
        kept.cache_clear()
    yield
    for kept in (sight._kept, sight._kept_text):
        kept.cache_clear()


@pytest.fixture
def pages(monkeypatch) -> list[str]:
    """The pages that are read."""
    read: list[str] = []

    def reading(html, *said):
        read.append(html)
        return read_page(html, *said)

    monkeypatch.setattr(sight, "read_page", reading)
    return read


def source(**said) -> Source:
    return Source(PAGE.encode(), "8bit", "utf-8", "html", "html part 1")._replace(**said)


def values(one: sight.Sight) -> tuple[object, ...]:
    return (one.octets, one.texts, one.links, one.images, one.pixels, one.hidden, one.is_complete)


def test_a_body_that_comes_again_is_read_once_and_judged_as_before(pages):
    policy = newsletter(packs=EVERY)
    stream, case = policy.stream("newsletter"), a_case(jurisdictions=frozenset({"CN"}))
    for language in LANGUAGES:
        found = []
        for mail in range(3):
            message = Message.parse(newsletter_mail(language, 7, mail=mail).replace(b"</body>", f"{PAGE}</body>".encode()))
            ruling = decide(policy, stream, replace(case, message=message), Phase.DATA, NOW)
            found.append(ruling.objections)
        assert found[0] == found[1] == found[2]
        assert len(found[0]) > 3
    assert len(pages) == len(LANGUAGES)


@pytest.mark.parametrize(
    "other",
    [
        {"octets": PAGE.replace("138", "139").encode()},
        {"encoding": "quoted-printable", "octets": PAGE.replace("width=1", "width=3D9").encode()},
        {"encoding": "base64"},
        {"charset": "gb18030"},
        {"kind": "text"},
        {"kind": "amp"},
        {"where": "html part 2"},
    ],
)
def test_a_part_that_differs_in_anything_is_read_by_itself(other):
    first = values(sight_of(source(), LONGEST_KEPT))
    second = values(sight_of(source(**other), LONGEST_KEPT))
    assert second == values(sight._read(source(**other)))
    assert second != first
    assert values(sight_of(source(), LONGEST_KEPT)) == first


def test_what_a_rule_makes_of_a_part_is_not_what_it_says_of_a_recipient():
    rule = 'check = "links"\nfaults = ["personal-data"]'
    mail = letter(("text/html; charset=utf-8", '<a href="https://example.com/?u=ada@mail.example.org">x</a>'))
    assert details(rule, mail) == []
    others = mail.replace(b"To: ada", b"To: eve")
    assert details(rule, others) == ["personal-data: an e-mail address to example.com"]
    assert details(rule, mail) == []


def test_other_addresses_in_links_leave_the_text_as_it_was():
    first, second = (Message.parse(newsletter_mail("en", 7, reader=reader)).content for reader in (1, 2))
    assert {link.href for link in first.links}.isdisjoint(link.href for link in second.links)
    assert first.texts[1] is second.texts[1]


def test_what_is_kept_does_not_grow():
    for number in range(5 * MOST_KEPT):
        sight_of(source(octets=f"{PAGE}{number}".encode()), LONGEST_KEPT)
    assert sight._kept.cache_info().currsize == sight._kept_text.cache_info().currsize == MOST_KEPT


def test_a_long_part_is_not_kept(pages):
    long = source(octets=b"<p>x" * (LONGEST_KEPT // 4 + 1))
    assert values(sight_of(long, 10 * LONGEST_KEPT)) == values(sight_of(long, 10 * LONGEST_KEPT))
    assert len(pages) == 2
    assert sight._kept.cache_info().currsize == 0


def test_a_part_longer_than_the_rest_is_said_to_be_unread(pages):
    found = sight_of(source(), 10)
    assert (found.octets, found.texts, found.is_complete) == (len(PAGE.encode()), (), False)
    assert pages == []


def test_of_many_works_on_one_text_only_the_last_are_kept():
    text = Text("subject", "Spring")
    works = [lambda text, number=number: (text.shown, number) for number in range(500)]
    assert [text.once(work) for work in works] == [("Spring", number) for number in range(500)]
    assert len(text._known) <= sight._MOST_WORKS
    assert text.once(works[-1]) is text.once(works[-1])
