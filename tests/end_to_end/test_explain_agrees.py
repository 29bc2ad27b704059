"""`relay explain`, `relay send --dry-run` and the live line agree, recipient by recipient: on the corpus, and on mail at random.

Compared are what was recorded and delivered with what was foretold: every objection with its weight, whether a copy
leaves, and its own octets.  Ids, times, signatures and unsubscribe tokens differ by nature; a reply that was only
foretold has no page to name.
"""

import re
from dataclasses import replace
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relay.explain import explain, foretell
from relay.mail.envelope import Credentials, Identity, IdentityKind, Recipient
from relay.mail.mailbox import Mailbox
from relay.mail.message import MessageError
from relay.policy.rehearsing.compose import Attached, compose
from relay.policy.suppressions.suppression import ORGANISATION, Reason, Suppression
from relay.records.reading import Reader
from tests.support.corpus import corpus
from tests.support.fixtures import an_upstream
from tests.support.journey import records
from tests.support.line import CLIENT, LineHouse, author_domains
from tests.support.service import NEWS, OFFICE, SHOP, message

NUMBERS = count()
GONE, UNSUBSCRIBED, ELSEWHERE, EXEMPT = "gone@example.org", "left@example.org", "zoe@blocked.example", "qa@example.org"
RECIPIENTS = ["ada@example.org", GONE, "bob@example.net", UNSUBSCRIBED, ELSEWHERE, EXEMPT]
RULES = """
[[rule]]
id = "elsewhere"
check = "domains"
deny = ["blocked.example"]

[[rule]]
id = "crowd"
when = "message.recipients > 4"
action = "warn"
text = "Many recipients"
text_zh = "收件人很多"

[[rule]]
id = "words"
check = "subject-words"
words = ["test", "re", "促销"]
recipient_domains = ["example.net", "example.org"]
action = "defer"

[[rule]]
id = "big"
when = "message.size > 20000 && size(message.attachments) > 0"
text = "Large attachments"
text_zh = "附件过大"

[[override]]
rule = "base/attachment-types"
action = "warn"
reason = "a test"
by = "Wang Min"
until = 2099-01-01
"""
AT_RCPT = RULES[: RULES.index('[[rule]]\nid = "crowd"')]
EXEMPTION = """
[[exempt]]
recipients = ["qa@example.org"]
rules = ["*/words", "base/mass-disclosure*"]
reason = "test mailbox"
by = "Wang Min"
until = 2099-01-01
"""
ALL = {
    "streams/newsletter.toml": [(r"\Z", lambda _: RULES)],
    "streams/receipts.toml": [(r"\Z", lambda _: RULES)],
    "streams/correspondence.toml": [(r"\Z", lambda _: AT_RCPT)],
    "organisation.toml": [(r"\Z", lambda _: EXEMPTION)],
}

upstream = an_upstream(scope="module")


@pytest.fixture(scope="module")
def house(upstream, tmp_path_factory):
    domains = author_domains(data for _, data in corpus())
    with LineHouse(tmp_path_factory.mktemp("line"), upstream, domains=domains, policy=ALL) as house:
        for address, reason in ((GONE, Reason.HARD_BOUNCE), (UNSUBSCRIBED, Reason.UNSUBSCRIBE)):
            house.run(
                house.line.store.suppress(
                    Suppression(house.line.keys.addresses.digest(address), ORGANISATION, reason, "test", 1.0)
                )
            )
        yield house


def foretold(house, login, data, recipients=RECIPIENTS):
    """What explain says of every recipient, or the reply to a message that cannot be read."""

    async def ask():
        submission = await house.begin(login, recipients, admitted_only=False)
        stream = house.line.take_sender(submission.identity, CLIENT.listener, submission.reverse_path)
        return await explain(house.line, submission, house.line.reader.parse(data), stream)

    try:
        return {one.ruling.recipient.mailbox.wire: one for one in house.run(ask())}
    except MessageError as fault:
        return fault


def dry_run(house, login, recipients, data):
    """What `relay send --dry-run` says of each recipient: the verdict, the reply, whether it would be held."""

    async def ask():
        submission = await house.begin(login, recipients, admitted_only=False)
        stream = house.line.take_sender(submission.identity, CLIENT.listener, submission.reverse_path)
        return await foretell(house.line, submission, house.line.reader.parse(data), stream)

    return {one.ruling.recipient.mailbox.wire: said_of(one) for one in house.run(ask())}


def said_of(one):
    """All that both tell of a recipient but the copy."""
    return objections(one.ruling), one.verdict, one.reply, one.impossible, one.is_held


def objections(ruling) -> list[dict]:
    """A ruling's objections as records keep them."""
    names = ("rule", "observed", "text", "text_zh", "fix", "fix_zh", "cite", "detail", "retry_after")
    return [
        {name: getattr(one, name) for name in names} | {"action": one.action.word, "asked_for": one.asked_for.word}
        for one in ruling.objections
    ]


def recorded(written) -> dict[str, tuple[str, list[dict]]]:
    """Per recipient the action and the objections of the records `received` and `refused`."""
    return {
        record["people"][ruling["person"]]: (ruling["action"], ruling["objections"])
        for record in written
        if record["kind"] in ("received", "refused")
        for ruling in record["rulings"]
    }


def bare(copy: bytes) -> tuple[list[bytes], bytes]:
    """Fields and body; of what differs by nature only the name."""
    header, _, body = copy.partition(b"\r\n\r\n")
    fields = re.findall(rb"[^\r]*\r\n(?:[ \t][^\r]*\r\n)*", header + b"\r\n")
    supplied = re.compile(rb"Received: |DKIM-Signature: v=1|Date: |Message-ID: <[0-9A-Z]{26}@relay|List-Unsubscribe: <http")
    return [field.partition(b":")[0] if supplied.match(field) else field for field in fields], body


def without_page(said: str) -> list[str]:
    """A recorded reply without its last line, which names the page on it."""
    *lines, page = said.split(" / ")
    assert re.fullmatch(r"\d{3} [45]\.\d\.\d+ http://\S+/r/[0-9A-Z]{26}", page), said
    lines[-1] = lines[-1][:3] + " " + lines[-1][4:]
    return lines


EVERYWHERE = {("base/suppression", "reject"), ("base/header-structure", "reject"), ("base/ownership", "reject")}
SEEN = {
    NEWS: {
        ("newsletter/elsewhere", "reject"),
        ("newsletter/crowd", "warn"),
        ("newsletter/words", "defer"),
        ("newsletter/words", "warn"),
    },
    OFFICE: {("correspondence/elsewhere", "reject")},
    SHOP: {("receipts/elsewhere", "reject"), ("receipts/words", "defer"), ("receipts/words", "warn")},
}
"""The test must not pass by rules that nobody breaks."""


def check_replies(written, expected) -> None:
    """What the client was told, or would have been told, of each recipient."""
    for record in written:
        if record["kind"] == "refused":
            address = record["people"][record["recipient"]]
            assert without_page(record["reply"]) == expected[address].reply.lines()
        for outcome in record.get("outcomes", ()):
            one = expected[record["people"][outcome["person"]]]
            assert (outcome["state"] == "delivered") == (one.copy is not None)
            if one.reply is not None:
                assert without_page(outcome["reply"]) == one.reply.lines()


def how_many(house) -> int:
    with Reader(house.relay.data / "records.db", house.line.keys) as reader:
        return reader.read("SELECT count(*) FROM records")[0][0]


@pytest.mark.parametrize("login", [NEWS, OFFICE, SHOP])
def test_explain_and_the_line_agree_on_the_corpus(house, upstream, login):
    sent = []
    for name, data in corpus():
        expected = foretold(house, login, data)
        tried = None if isinstance(expected, MessageError) else dry_run(house, login, RECIPIENTS, data)
        before, known = len(upstream.accepted), how_many(house)
        reply = house.send(login, RECIPIENTS, data)
        deliveries = [d for d in upstream.accepted[before:] if d.reverse_path]  # a report has none
        sent.append((name, expected, tried, reply, deliveries, slice(known, how_many(house))))
    everything, seen = records(house.relay), set()
    for name, expected, tried, reply, deliveries, part in sent:
        written = everything[part]
        if isinstance(expected, MessageError):
            assert f"[{expected.rule}] {expected.text}" in reply.lines()[0], name
            assert not deliveries
            continue
        assert tried == {address: said_of(one) for address, one in expected.items()}, name
        foretold_objections = {address: (one.ruling.action.word, objections(one.ruling)) for address, one in expected.items()}
        assert recorded(written) == foretold_objections, name
        assert sorted(r for d in deliveries for r in d.recipients) == sorted(a for a, one in expected.items() if one.copy), name
        for delivery in deliveries:
            for address in delivery.recipients:
                copy = expected[address].copy
                assert bare(delivery.data) == bare(copy.header + copy.body), name
        check_replies(written, expected)
        seen |= {(objection["rule"], objection["action"]) for _, found in recorded(written).values() for objection in found}
    assert seen >= EVERYWHERE | SEEN[login], seen


WORDS = st.sampled_from(["News", "Re: test", "促销", "【广告】 offers", "A test of 促销"])
FILES = st.lists(st.sampled_from(["a.pdf", "setup.exe", "说明.DOCX", "b.vbs", "big.bin"]), max_size=3)
PEOPLE = st.lists(
    st.sampled_from([*RECIPIENTS, "lei@mail.example.cn", "kim@mail.example.kr"]), min_size=1, max_size=6, unique=True
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(login=st.sampled_from([NEWS, OFFICE, SHOP]), people=PEOPLE, shown=PEOPLE, subject=WORDS, files=FILES, html=st.booleans())
def test_all_three_agree_on_mail_at_random(house, upstream, login, people, shown, subject, files, html):
    attached = [Attached(name, "application/octet-stream", b"x" * (30_000 if name == "big.bin" else 3)) for name in files]
    fields = [("From", f"Example <{login}>"), ("To", ", ".join(shown)), ("Subject", subject)]
    fields += [("Date", "Mon, 01 Jun 2026 10:00:00 +0800"), ("Message-ID", f"<{next(NUMBERS)}@example.com>")]
    data = compose(fields, "Hello", "<p>Hello</p>" if html else "", attached)
    expected = foretold(house, login, data, people)
    assert dry_run(house, login, people, data) == {address: said_of(one) for address, one in expected.items()}
    before, known = len(upstream.accepted), how_many(house)
    house.send(login, people, data)
    delivered = [address for one in upstream.accepted[before:] if one.reverse_path for address in one.recipients]
    assert sorted(delivered) == sorted(address for address, one in expected.items() if one.copy)
    written = records(house.relay)[known:]
    assert recorded(written) == {address: (one.ruling.action.word, objections(one.ruling)) for address, one in expected.items()}
    check_replies(written, expected)


HOLDS = """
[[rule]]
id = "look"
check = "domains"
deny = ["blocked.example"]
action = "hold"
"""


@pytest.mark.parametrize("on_transient", ["hold", "defer"])
def test_both_say_what_a_rule_holds(upstream, tmp_path, on_transient):
    """Whatever else may be held: a rule that holds says so itself."""
    policy = {"streams/correspondence.toml": [(r"\Z", lambda _: HOLDS)]}
    with LineHouse(tmp_path, upstream, policy=policy, holds=True, delivery=f'on_transient = "{on_transient}"') as house:
        data = message("readers@example.org", OFFICE)
        expected = foretold(house, OFFICE, data)
        assert house.send(OFFICE, RECIPIENTS, data).code == 250
        (finished,) = records(house.relay, kind="finished")
        written = {finished["people"][one["person"]]: one for one in finished["outcomes"]}
        assert {address: one.is_held for address, one in expected.items()} == {
            address: outcome["state"] == "held" for address, outcome in written.items()
        }
        assert expected[ELSEWHERE].is_held
        assert without_page(written[ELSEWHERE]["reply"]) == expected[ELSEWHERE].reply.lines()


def test_both_say_that_a_rule_defers_what_nobody_could_send_later(upstream, tmp_path):
    """A client's own account without an [[account]]: hold means defer."""
    policy = {"streams/correspondence.toml": [(r"\Z", lambda _: HOLDS)]}
    with LineHouse(tmp_path, upstream, policy=policy, holds=True) as house:

        async def both():
            identity = Identity(OFFICE, IdentityKind.PASSTHROUGH, frozenset({OFFICE}), "up", Credentials(OFFICE, "x"))
            begun = await house.line.begin(CLIENT, identity, Mailbox.parse(OFFICE))
            submission = replace(begun, recipients=(Recipient(Mailbox.parse(ELSEWHERE)),))
            data = message("readers@example.org", OFFICE)
            stream = house.line.policy.stream(submission.stream)
            (foretold,) = await explain(house.line, submission, house.line.reader.parse(data), stream)
            return foretold, await house.line.submit(submission, data)

        foretold, reply = house.run(both())
        assert not foretold.is_held
        assert (reply.code, reply.rule) == (451, "correspondence/look")
        assert foretold.reply.text == reply.text[:-1]


def test_a_sender_without_an_account_is_refused_at_mail(upstream, tmp_path):
    """test_explain_command.py has what the command says of it."""
    with LineHouse(tmp_path, upstream, auth="account") as house:
        reply = house.send(NEWS, RECIPIENTS, message())
    assert (reply.code, reply.rule) == (451, "account")


@pytest.mark.parametrize(
    ("sender", "answer"),
    [("boss@elsewhere.example", "553-5.7.1 [base/ownership]"), ("nobody@example.com", "550-5.7.1 [stream]")],
)
def test_senders_are_refused_at_mail(house, sender, answer):
    """As above: test_explain_command.py asks the command about the same two."""
    identity = Identity("nobody@example.com", IdentityKind.USER, house.owns)
    told = house.run(house.line.begin(CLIENT, identity, Mailbox.parse(sender)))
    assert str(told).startswith(answer)
