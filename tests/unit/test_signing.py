"""Signers: keys that are good enough, bodies hashed once and in linear time, fields that nobody can add to."""

import hashlib
import re
from base64 import b64decode

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from dkim import hash_headers
from dkim.canonicalization import Relaxed
from hypothesis import given
from hypothesis import strategies as st

from relay.cli.dkim import signatures
from relay.errors import ConfigurationError
from relay.render.signing import (
    OVERSIGNED,
    SIGNED_IF_PRESENT,
    Signer,
    Signers,
    body_hash,
    canonical_field,
    dns_record,
    load_signer,
    relaxed_body,
    signed_names,
)
from tests.support.mail_dkim import dns_records, verify_all
from tests.support.signing import ed25519_key, ed25519_signer, pem_of, rsa_key, rsa_signer

FIELDS = (b"From: Ada <ada@example.com>\r\n", b"Subject: Hello\r\n", b"To: bob@example.net\r\n")
BODY = b"Hello \t Bob\t\r\n\r\n\r\n"

body_pieces = st.lists(st.sampled_from([b" ", b"\t", b"a", b"bc", b"\r\n", b"\r\n\r\n", b" \t \t", b".", b"\xe4\xbd\xa0"]))


def signed(signer: Signer, fields=FIELDS, body: bytes = BODY, unsigned=frozenset()) -> bytes:
    canonical = [canonical_field(field) for field in fields]
    names = signed_names((name for name, _ in canonical), unsigned)
    return signer.sign(canonical, names, body_hash(body), 1_700_000_000) + b"".join(fields) + b"\r\n" + body


def lookup_of(*signers: Signer):
    records = {name: value.encode() for name, value in dns_records(signers).items()}
    return records.get


# The body --------------------------------------------------------------------------------------------------------------


@given(body_pieces)
def test_the_body_canonicalises_as_dkimpy_does(pieces):
    body = b"".join(pieces)
    whole = body if not body or body.endswith(b"\r\n") else body + b"\r\n"
    assert b"".join(relaxed_body(body)) == Relaxed.canonicalize_body(whole)


@given(st.integers(65_520, 65_540), body_pieces, st.integers(0, 40_000), body_pieces)
def test_pieces_make_no_difference(length, first, blank_lines, second):
    body = b"a" * length + b"".join(first) + b"\r\n" * blank_lines + b"".join(second) + b"\r\n"
    assert b"".join(relaxed_body(body)) == Relaxed.canonicalize_body(body)


@pytest.mark.parametrize(
    ("body", "canonical"),
    [
        (b" " * 1_000_000, b""),
        (b" \t" * 500_000 + b"x\r\n", b" x\r\n"),
        ((b" " * 900 + b"x\r\n") * 1000, b" x\r\n" * 1000),
        (b"\r\n" * 500_000, b""),
    ],
)
def test_a_megabyte_of_blanks_is_no_attack(body, canonical):
    assert body_hash(body) == hashlib.sha256(canonical).digest()


# The field -------------------------------------------------------------------------------------------------------------

# Octets as a header section has them: CR and LF only together and before a blank. VT and FF at an edge are refused (copy.py).
values = st.lists(
    st.sampled_from([b" ", b"\t", b"\r\n ", b"\r\n\t", b"a", b"B:", b"\x0b", b"\x0c", b"\xe4\xbd", b"\x85", b"\x1f"])
)


@given(st.sampled_from([b"Subject", b"SUBJECT \t", b"x-"]), values)
def test_a_field_canonicalises_as_dkimpy_does(name, pieces):
    value = b" a" + b"".join(pieces) + b"z \r\n"
    assert canonical_field(name + b":" + value) == Relaxed.canonicalize_headers([(name, value)])[0]


OWN = (b"cfbl-feedback-id", b"list-unsubscribe")


@given(st.lists(st.sampled_from([*OVERSIGNED, *SIGNED_IF_PRESENT, b"x-mailer"]), max_size=20), st.data())
def test_what_is_hashed_is_what_dkimpy_selects(present, data):
    fields = [(name, b"%d\r\n" % number) for number, name in enumerate(present)]
    names = signed_names(present)
    own = [field for field in fields if field[0].startswith(OWN)] if data.draw(st.booleans()) else []
    signer, whole = ed25519_signer(), hashlib.sha256()
    begun = signer.begin([field for field in fields if field not in own], names, 1_700_000_000)
    named = [field for name in names for field in reversed(own) if field[0] == name]
    field = begun.finish(list(dict.fromkeys(named)), b"x" * 32)
    unsigned, _, value = field.partition(b"\r\n b=")
    hash_headers(whole, Relaxed, fields, list(names), (b"DKIM-Signature", unsigned.partition(b":")[2] + b"\r\n b="), {})
    ed25519_key().public_key().verify(b64decode(value), whole.digest())


@pytest.mark.parametrize("signer", [rsa_signer(), ed25519_signer()], ids=["rsa", "ed25519"])
def test_dkimpy_verifies_what_we_sign(signer):
    (found,) = signatures(signed(signer), lookup_of(signer))
    assert found == {
        "domain": "example.com", "selector": signer.selector, "algorithm": signer.algorithm, "valid": True, "fault": "",
    }  # fmt: skip


@pytest.mark.parametrize("signer", [rsa_signer(), ed25519_signer()], ids=["rsa", "ed25519"])
def test_dkimpy_notices_another_body(signer):
    (found,) = signatures(signed(signer) + b"PS\r\n", lookup_of(signer))
    assert not found["valid"]


@pytest.mark.parametrize("signer", [rsa_signer(), ed25519_signer()], ids=["rsa", "ed25519"])
def test_dkimpy_notices_another_subject(signer):
    (found,) = signatures(signed(signer).replace(b"Subject: Hello", b"Subject: Hullo"), lookup_of(signer))
    assert not found["valid"]


@given(
    st.lists(st.sampled_from([*OVERSIGNED, *SIGNED_IF_PRESENT]), max_size=60),
    st.integers(1, 60).map(lambda length: ".".join(["a" * length] * 4) + ".example"),
    st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?", fullmatch=True),
)
def test_folding_never_breaks_a_name_or_a_tag(names, domain, selector):
    fields = (*FIELDS, *(name + b": x\r\n" for name in names))
    field = signed(Signer(domain, selector, ed25519_key()), fields).partition(b"\r\nFrom:")[0]
    lines = field.split(b"\r\n")
    assert all(len(line) <= 78 for line in lines if domain.encode() not in line)
    assert all(line[:1] == b" " and line[1:2] not in b" \t" for line in lines[1:])
    tags = dict(re.findall(r"(\w+)=(.*?)(?:; ?|$)", field.decode().replace("\r\n", "").removeprefix("DKIM-Signature: ")))
    assert (tags["d"], tags["s"]) == (domain, selector)
    listed = [name.strip().encode() for name in tags["h"].split(":")]
    assert set(listed) <= set(OVERSIGNED + SIGNED_IF_PRESENT)
    assert listed.count(b"from") == names.count(b"from") + 2
    assert listed.count(b"message-id") == names.count(b"message-id")


def test_a_long_domain_still_verifies():
    signer = rsa_signer(".".join(["label" * 10] * 4) + ".example")
    assert signatures(signed(signer), lookup_of(signer))[0]["valid"]
    ((verified,),) = verify_all([signed(signer)], dns_records([signer]))
    assert verified.result == "pass"


def test_the_same_arguments_give_the_same_octets():
    assert signed(rsa_signer()) == signed(rsa_signer())
    assert b"t=1700000000;" in signed(rsa_signer())


def test_neither_length_nor_expiry_is_ever_set():
    field = signed(rsa_signer()).partition(b"\r\nFrom:")[0]
    assert not re.search(rb"[;\s][lx]=", field)


def test_what_people_see_is_named_once_more_than_it_occurs():
    names = signed_names([b"from", b"subject", b"to", b"to", b"message-id", b"received", b"sender", b"x-mailer"])
    assert {name: names.count(name) for name in set(names)} == {
        **dict.fromkeys(OVERSIGNED, 1), b"from": 2, b"subject": 2, b"to": 3, b"message-id": 1,
    }  # fmt: skip


def test_fields_that_the_upstream_rewrites_are_left_out():
    names = signed_names([b"from", b"message-id", b"date"], frozenset({b"message-id", b"date"}))
    assert b"message-id" not in names
    assert b"date" not in names


def test_from_is_signed_whatever_the_profile_says():
    assert signed_names([b"from"], frozenset({b"from"})).count(b"from") == 2


# The keys --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", [lambda pem: pem, lambda pem: pem.replace(b"\n", b"\r\n"), lambda pem: b"\xef\xbb\xbf" + pem])
@pytest.mark.parametrize("key", [rsa_key(), ed25519_key()], ids=["rsa", "ed25519"])
def test_pem_loads_with_any_line_ends(key, change):
    signer = load_signer(change(pem_of(key)), "example.com", "s1")
    assert signer.public_key == key.public_key()


def test_pkcs1_loads():
    pem = rsa_key().private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    assert load_signer(pem, "example.com", "s1").algorithm == "rsa-sha256"


@pytest.mark.parametrize(
    ("pem", "says"),
    [
        pytest.param(
            rsa_key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")),
            "openssl pkey -in",
            id="encrypted",
        ),
        pytest.param(pem_of(rsa_key(1024)), "1024 bits is too weak, 2048 is the least", id="small"),
        pytest.param(pem_of(ec.generate_private_key(ec.SECP256R1())), "RSA and Ed25519 keys only", id="other-kind"),
        pytest.param(
            rsa_key().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), "no private key", id="public"
        ),
        pytest.param(b"hello", "relay dkim keygen --domain example.com", id="garbage"),
        pytest.param(b"", "no private key in PEM form", id="empty"),
    ],
)
def test_a_key_that_will_not_do_says_why(pem, says):
    with pytest.raises(ConfigurationError, match=says):
        load_signer(pem, "example.com", "s1")


def test_a_key_never_shows_in_a_repr():
    assert "key" not in repr(rsa_signer()).lower()


# The domains -----------------------------------------------------------------------------------------------------------


def test_rsa_signs_before_ed25519():
    assert Signers([ed25519_signer(), rsa_signer()]).for_domain("example.com") == (rsa_signer(), ed25519_signer())


def test_ed25519_alone_is_refused_by_name():
    with pytest.raises(ConfigurationError, match=r"example\.org: an Ed25519 key alone"):
        Signers([rsa_signer("example.com"), ed25519_signer("example.org")])


@pytest.mark.parametrize(
    ("author", "signs"),
    [
        ("example.com", "example.com"),
        ("news.example.com", "news.example.com"),
        ("deep.news.example.com", "news.example.com"),
        ("other.example.com", "example.com"),
        ("notexample.com", None),
        ("com", None),
        ("example.org", None),
    ],
)
def test_the_nearest_aligned_domain_signs(author, signs):
    signers = Signers([rsa_signer("example.com"), rsa_signer("news.example.com")])
    assert [signer.domain for signer in signers.for_domain(author)] == ([signs] if signs else [])


def test_a_dns_record_stands_in_strings_of_255():
    name, chunks = dns_record(rsa_signer())
    assert name == "s1._domainkey.example.com"
    assert max(map(len, chunks)) == 255
    assert "".join(chunks).startswith("v=DKIM1; k=rsa; p=MII")


def test_an_ed25519_record_has_the_bare_key():
    _, (value,) = dns_record(ed25519_signer())
    assert value.startswith("v=DKIM1; k=ed25519; p=")
    assert len(value.rpartition("p=")[2]) == 44
