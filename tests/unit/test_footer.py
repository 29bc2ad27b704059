"""Footers: seen in every form of the text, every other octet kept, HTML that parses, signatures that verify."""

import dkim
import pytest

from relay.errors import RenderingImpossible
from relay.mail.incoming.text import octets_of, text_of_part
from relay.mail.message import Message, MessageError
from relay.mail.parts.mime import Part
from relay.render.copy import Copy, render_copy
from relay.render.shown import shown_texts
from relay.render.signing import Signer
from tests.support.corpus import corpus
from tests.support.duties import CHINA, a_letterhead, duty, treatment
from tests.support.htmlpage import Page
from tests.support.mail_dkim import dns_records, verify_all
from tests.support.shapes import shapes
from tests.support.signing import URL, octets, prepared, recipient, rsa_signer

SHAPES = list(shapes(280))
RECORDS = dns_records([rsa_signer()])
EVERYTHING = ["advertisement", "reason", "unsubscribe", "refusal-mailbox", "identity", "address", "privacy"]


def footed(message: Message, *, countries=CHINA, signers=None, link=URL, letterhead=None, **keys) -> Copy:
    done = treatment(duty("footer", **keys), countries=countries)
    options = {"signers": signers} if signers else {}
    facts = letterhead or a_letterhead()
    ready = prepared(message, treatment=done, letterhead=facts, sets_unsubscribe=True, **options)
    return render_copy(ready, [recipient()], link)


def verifies(copy: Copy, signer: Signer | None = None) -> bool:
    records = dns_records([signer]) if signer else RECORDS
    return dkim.verify(octets(copy), dnsfunc=lambda name, timeout=5: records[name.decode().rstrip(".")].encode())


def inserted(before: bytes, after: bytes) -> bytes:
    """What was put into `before`, which is otherwise whole. Blanks that base64 takes belong to it."""
    front = next((i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), min(len(before), len(after)))
    back = len(before) - front
    assert after[len(after) - back :] == before[front:], "something else was changed"
    return after[front : len(after) - back]


def frame(message: Message, texts: list[Part]) -> list[bytes]:
    """The body without what stands in these parts, nor the white space at their edges."""
    edges = [0, *(place for part in texts for place in (part.start, part.end)), len(message.body)]
    return [message.body[start:end].strip() for start, end in zip(edges[::2], edges[1::2], strict=True)]


@pytest.mark.parametrize(("name", "data"), SHAPES, ids=[f"{number}-{name[:60]}" for number, (name, _) in enumerate(SHAPES)])
def test_every_other_octet_is_kept_and_readers_see_the_footer(name, data):
    message = Message.parse(data)
    copy = footed(message)
    read = Message.parse(octets(copy))
    texts, written = shown_texts(message.structure), shown_texts(read.structure)
    assert texts
    assert [part.media_type for part in read.structure.parts] == [part.media_type for part in message.structure.parts]
    assert frame(read, written) == frame(message, texts)
    for before, after in zip(texts, written, strict=True):
        assert after.fields == before.fields or before.depth == 0
        assert (after.encoding, after.parameters) == (before.encoding, before.parameters)
        footer = inserted(octets_of(message, before), octets_of(read, after))
        assert URL.encode() in footer
        assert "�" not in text_of_part(read, after)
        if after.media_type == "text/html":
            check_html(text_of_part(read, after))
        else:
            shown = text_of_part(read, after)
            assert "云杉科技有限公司" in shown or "Spruce Technology Ltd." in shown
            assert "refuse@example.com" in shown
    assert all(len(line) <= 998 for line in read.body.split(b"\r\n")) or any(len(line) > 998 for line in data.split(b"\r\n"))
    assert verifies(copy)


def check_html(html: str) -> None:
    """The footer parses to text that is shown, the link to a link in it, and nothing of it stands in something else."""
    page = Page.of(html)
    footer = page.footer
    assert [link for link in footer.links if link == URL] == [URL]
    assert "云杉科技有限公司" in footer.text
    assert "点击此处退订" in footer.text
    assert not footer.hidden_by, footer.hidden_by


def test_an_independent_verifier_accepts_the_copies():
    copies = [octets(footed(Message.parse(data))) for _, data in SHAPES]
    found = verify_all(copies, RECORDS)
    assert [one[0].result for one in found] == ["pass"] * len(SHAPES)


def test_awkward_messages_are_footed_whole_or_not_at_all():
    done = 0
    for name, data in corpus():
        try:
            message = Message.parse(data)
        except MessageError:
            continue
        if message.authors is None or message.defects:
            continue
        signer = rsa_signer(message.authors[0].domain)
        try:
            copy = footed(message, signers=(signer,))
        except RenderingImpossible:
            continue
        read = Message.parse(octets(copy))
        texts, written = shown_texts(message.structure), shown_texts(read.structure)
        assert frame(read, written) == frame(message, texts), name
        for before, after in zip(texts, written, strict=True):
            if before.end - before.start < 200_000:
                assert URL.encode() in inserted(octets_of(message, before), octets_of(read, after)), name
        assert verifies(copy, signer), name
        done += 1
    assert done >= 10
