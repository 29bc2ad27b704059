"""Law 3 on the real line: whatever is taken arrives octet for octet, and its signature verifies elsewhere.

What must arrive is worked out here from the octets that went in, with no help from the product.
"""

import re
from collections import defaultdict

import dkim
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.corpus import corpus
from tests.support.line import LineHouse, author_domains
from tests.support.mail_dkim import verify_all
from tests.support.service import ACCOUNTS, NEWS, OFFICE, Relay, dkim_record
from tests.support.upstream import RecordingUpstream

RECIPIENTS = ["ada@example.org", "bob@example.net"]
LINE_END = re.compile(rb"\r\r\n|\r\n|\r|\n")
FIELD = re.compile(rb"[^\r]*\r\n(?:[ \t][^\r]*\r\n)*")
REMOVED = re.compile(rb"(?:bcc|resent-bcc|return-path|x-relay-.*)\Z", re.IGNORECASE)
REMOVED_FROM_NEWSLETTERS = re.compile(rb"(?:list-unsubscribe|list-unsubscribe-post|x-internal-.*)\Z", re.IGNORECASE)
ONCE = {
    b"date", b"from", b"sender", b"reply-to", b"to", b"cc", b"bcc", b"message-id", b"in-reply-to", b"references", b"subject",
    b"content-type", b"content-transfer-encoding",
}  # fmt: skip
WELL_FORMED_FIELD = re.compile(
    rb"[!-9;-~]+:(?![ \t]*[\v\f])[^\0\r]*(?<![\v\f \t])[ \t]*\r\n(?:[ \t]+[^\0\r \t\v\f](?:[^\0\r]*[^\0\r\v\f])?\r\n)*"
)
ADDRESS = rb"[a-z0-9._+-]+@[a-z0-9-]+(?:\.[a-z0-9-]+)+"
WELL_FORMED_FROM = re.compile(rb'(?:"[^"\\<>]*"|[A-Za-z0-9 =?_.&+/-]*)[ \t]*<' + ADDRESS + rb">|" + ADDRESS, re.IGNORECASE)

REFUSED = {
    "8bit-field-name": "base/header-structure",
    "blank-folded-line": "base/header-structure",
    "empty": "base/header-structure",
    "empty-header": "base/header-structure",
    "leading-blank": "base/header-structure",
    "mbox-line": "base/header-structure",
    "missing-empty-line": "base/header-structure",
    "no-from": "base/one-from",
    "no-header": "base/header-structure",
    "nul": "base/header-structure",
    "space-before-colon": "base/header-structure",
    "two-authors": "base/one-from",
    "two-from": "base/one-from",
}
"""What a stream of correspondence refuses of the shipped corpus, with the rule that says so."""


def normalised(data: bytes) -> bytes:
    data = LINE_END.sub(b"\r\n", data)
    return data if data.endswith(b"\r\n") or not data else data + b"\r\n"


def split(data: bytes) -> tuple[list[bytes], bytes]:
    """The raw fields and the body of a message whose lines end in CRLF."""
    header, _, body = data.partition(b"\r\n\r\n")
    return FIELD.findall(header.removesuffix(b"\r\n") + b"\r\n"), body


def name_of(field: bytes) -> bytes:
    return field.partition(b":")[0].lower()


def expected(data: bytes, login: str) -> tuple[list[bytes], bytes]:
    """The client's own fields as they must leave, and the body."""
    fields, body = split(normalised(data))
    kept = [field for field in fields if not REMOVED.match(name_of(field))]
    if login == NEWS:
        kept = [field for field in kept if not REMOVED_FROM_NEWSLETTERS.match(name_of(field))]
    empty = [field for field in kept if name_of(field) in (b"date", b"message-id") and not field.partition(b":")[2].strip()]
    return [field for field in kept if field not in empty], body


def is_well_formed(data: bytes) -> bool:
    """Whether nobody could object to the header: such mail must never be refused."""
    fields, _ = split(normalised(data))
    names = [name_of(field) for field in fields]
    senders = [
        field.partition(b":")[2].replace(b"\r\n", b"").strip() for field in fields if name_of(field) in (b"from", b"sender")
    ]
    return (
        b"\0" not in data
        and not LINE_END.match(data)
        and all(map(WELL_FORMED_FIELD.fullmatch, fields))
        and all(names.count(name) <= 1 for name in ONCE)
        and b"from" in names
        and all(map(WELL_FORMED_FROM.fullmatch, senders))
        and names.count(b"received") <= 50
        and b"list-unsubscribe-post" not in names  # RFC 8058: it must stand beside List-Unsubscribe
    )


def check_octets(data: bytes, copy: bytes, login: str) -> None:
    own, body = expected(data, login)
    fields, arrived = split(copy)
    assert arrived == body
    ours, rest = fields[:2], fields[2:]
    assert [name_of(field) for field in ours] == [b"received", b"dkim-signature"]
    assert b"by relay.example.com with " in ours[0]
    assert rest[: len(own)] == own
    names = {name_of(field) for field in own}
    supplied = [name for name in (b"date", b"message-id") if name not in names]
    if login == NEWS:
        supplied += [b"list-unsubscribe", b"list-unsubscribe-post"]
    assert [name_of(field) for field in rest[len(own) :]] == supplied


def signature_domain(copy: bytes) -> str:
    return re.search(rb"\bd=([^;\s]+)", split(copy)[0][1])[1].decode()


def check_signature(copy: bytes) -> None:
    assert dkim.DKIM(copy).verify(dnsfunc=lambda name, **_: dkim_record())


def check_with_mail_dkim(copies: list[bytes]) -> None:
    records = {f"s1._domainkey.{domain}": dkim_record().decode() for domain in set(map(signature_domain, copies))}
    failed = [
        (copy, found[:1]) for copy, found in zip(copies, verify_all(copies, records), strict=True) if found[0].result != "pass"
    ]
    assert not failed, failed[:3]


@pytest.fixture(scope="module")
def upstream():
    with RecordingUpstream() as upstream:
        yield upstream
    assert not upstream.violations


@pytest.fixture(scope="module")
def house(upstream, tmp_path_factory):
    with LineHouse(tmp_path_factory.mktemp("line"), upstream, domains=author_domains(data for _, data in corpus())) as house:
        yield house


def send(house, upstream, login, data) -> tuple[str, list]:
    """The reply's first line and what was delivered."""
    before = len(upstream.deliveries)
    reply = house.send(login, RECIPIENTS, data)
    return reply.lines()[0], upstream.deliveries[before:]


def rule_of(line: str) -> str:
    """The rule that a reply names; anything but a decided 5yz fails."""
    found = re.match(r"5\d\d[ -]5\.\d\.\d+ \[([a-z/-]+)\] ", line)
    assert found, line
    return found[1]


@pytest.mark.parametrize("login", [OFFICE, NEWS])
def test_the_corpus_arrives_octet_for_octet_and_verifies(house, upstream, login):
    refused, copies = defaultdict(list), []
    for name, data in corpus():
        line, deliveries = send(house, upstream, login, data)
        if not line.startswith("250"):
            refused[rule_of(line)].append(name)
            assert not deliveries
            assert login == NEWS or not is_well_formed(data), f"{name} is refused: {line}"
            continue
        copies_for = [RECIPIENTS] if login == OFFICE else [[recipient] for recipient in RECIPIENTS]
        assert sorted(delivery.recipients for delivery in deliveries) == copies_for
        for delivery in deliveries:
            check_octets(data, delivery.data, login)
            check_signature(delivery.data)
            copies.append(delivery.data)
    check_with_mail_dkim(copies)
    assert set(refused) <= {
        "base/header-structure",
        "base/ownership",
        "base/one-from",
        "base/mass-disclosure",
        "base/attachment-types",
        "base/archives",
        "base/locked-archives",
        "base/macros",
    }, dict(refused)
    for name, rule in REFUSED.items():
        assert name in refused[rule], (name, dict(refused))


# Messages that nobody has written yet ----------------------------------------------------------------------------------

ATOMS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20).map(str.encode)
OCTETS = st.binary(max_size=40).map(lambda octets: octets.translate(None, b"\0\r\n"))
FOLDS = st.sampled_from([b" ", b"\r\n ", b"\r\n\t", b"\r\n  \t", b"  ", b"\n "])
VALUES = st.lists(ATOMS | OCTETS | st.text(max_size=10).map(lambda text: text.encode().translate(None, b"\0\r\n")), max_size=6)
NAMES = st.sampled_from(
    b"""Subject subject Reply-To Message-ID Date References X-Mailer X-Odd!~Name Received Comments List-Unsubscribe
    List-Unsubscribe-Post List-Id Return-Path Bcc BCC Resent-Bcc X-Relay-Stream X-Internal-Host Resent-To DKIM-Signature
    Content-Type Content-Transfer-Encoding MIME-Version ARC-Seal""".split()
)
AUTHORS = st.sampled_from(
    [
        b"news@example.com",
        b"News <news@example.com>",
        b'"News, the" <news@example.com>',
        b"=?gbk?B?1cXI/Q==?=\r\n <NEWS@example.com>",
        "新闻 <news@example.com>".encode(),
        "张三".encode("gbk") + b" <news@example.com>",
        b"<news@example.com> (comment)",
        b"news@example.com <news@example.com>",
        b"  news@example.com  ",
    ]
)


@st.composite
def fields(draw) -> bytes:
    pieces = draw(VALUES)
    value = b"".join(draw(FOLDS) + piece for piece in pieces)
    return draw(NAMES) + b":" + value + draw(st.sampled_from([b"\r\n", b"\r\n", b"\n", b" \r\n", b"\r\r\n"]))


LINE_ENDS = [b"\r\n", b"\n", b"\r", b"\r\r\n", b"\r\n.\r\n", b"\n.\n", b"\r.\r", b"\r\n..\r\n", b"\n.\r\n"]
PIECES = [
    b".",
    b"--b\r\n",
    b"--b--\r\n",
    b" \t",
    b"=\r\n",
    b"From ",
    b"\x80\xff",
    "你好".encode(),
    "你好".encode("gb18030"),
    b"x" * 1200,
]
BODIES = st.lists(st.binary(max_size=60) | st.sampled_from(LINE_ENDS) | st.sampled_from(PIECES), max_size=15).map(
    lambda pieces: b"".join(pieces).replace(b"\0", b"")
)


@st.composite
def messages(draw) -> bytes:
    header = draw(st.lists(fields(), max_size=8))
    if draw(st.integers(0, 9)):  # mostly without what is refused: two of a kind
        header = list({name_of(field) if name_of(field) in ONCE else n: field for n, field in enumerate(header)}.values())
    header.insert(draw(st.integers(0, len(header))), b"From:" + draw(AUTHORS) + b"\r\n")
    return b"".join(header) + draw(st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\n", b""])) + draw(BODIES)


@pytest.mark.parametrize("login", [OFFICE, NEWS])
def test_any_message_arrives_octet_for_octet_and_verifies(house, upstream, login):
    copies = []

    @settings(max_examples=200, suppress_health_check=list(HealthCheck))
    @given(messages())
    def arrives(data):
        line, deliveries = send(house, upstream, login, data)
        if not line.startswith("250"):
            rule_of(line)
            assert not deliveries
            assert not is_well_formed(data), line
            return
        assert len(deliveries) == (1 if login == OFFICE else 2)
        for delivery in deliveries:
            check_octets(data, delivery.data, login)
            check_signature(delivery.data)
            copies.append(delivery.data)

    arrives()
    assert len(copies) > 50
    check_with_mail_dkim(copies)


# The same through sockets and processes ------------------------------------------------------------------------------


def ended(data: bytes) -> bytes:
    """SMTP carries whole lines: what a client adds to a message whose last line has no CRLF."""
    return data if not data or data.endswith(b"\r\n") else data + b"\r\n"


def stuffed(data: bytes) -> bytes:
    """Whole lines as a client sends them after DATA (RFC 5321 section 4.5.2)."""
    return (b"\r\n" + data).replace(b"\r\n.", b"\r\n..")[2:] + b".\r\n"


def send_by_socket(relay, login, data) -> str:
    """Send over a connection of its own, octet for octet; the last reply's first line."""
    with relay.connect(login) as client:
        for command in (f"MAIL FROM:<{login}> BODY=8BITMIME", *(f"RCPT TO:<{recipient}>" for recipient in RECIPIENTS)):
            code, text = client.docmd(command)
            assert code == 250, text
        assert client.docmd("DATA")[0] == 354
        client.sock.sendall(stuffed(data))
        code, text = client.getreply()
        return f"{code} {text.decode()}".partition("\n")[0]


def test_the_corpus_arrives_through_a_running_relay(tmp_path):
    sample = [(name, ended(data)) for number, (name, data) in enumerate(corpus()) if number < 40 or number % 8 == 0]
    domains = sorted(author_domains(data for _, data in sample) - {"example.com"})
    owned = ", ".join(f'"@{domain}"' for domain in [*domains, "example.com"])
    auth = "[auth.senders]\n" + "".join(f'"{login}" = [{owned}]\n' for login in (OFFICE, NEWS))
    extra = "".join(f'[[dkim]]\ndomain = "{domain}"\nselector = "s1"\nkey_file = "dkim.pem"\n' for domain in domains)
    with RecordingUpstream(accounts=ACCOUNTS) as upstream, Relay(tmp_path, upstream, auth=auth, extra=extra) as relay:
        copies = []
        for name, data in sample:
            for login in (OFFICE, NEWS):
                before = len(upstream.accepted)
                line = send_by_socket(relay, login, data)
                deliveries = upstream.accepted[before:]
                if line.startswith("250"):
                    assert len(deliveries) == (1 if login == OFFICE else 2), name
                    for delivery in deliveries:
                        check_octets(data, delivery.data, login)
                        check_signature(delivery.data)
                        copies.append(delivery.data)
                else:
                    rule_of(line)
                    assert not deliveries
                    assert login == NEWS or not is_well_formed(data), (name, line)
        check_with_mail_dkim(copies)
        assert len(copies) > 60
        assert not upstream.violations
