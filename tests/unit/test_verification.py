"""The reading back: RFC 6376 from the octets up, and what must not pass."""

import re
from base64 import b64decode

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from relay.render.signing import Signer, body_hash, canonical_field
from relay.render.verification import SignatureError, split_fields, verify
from tests.support.signing import rsa_signer

HEADER = b"Subject: Hello\r\n\tBob\r\nFrom: Ada <ada@example.com>\r\nfrom : x\r\n"
NAMES = (b"from", b"from", b"from", b"subject", b"subject")


def signed(signer: Signer, header: bytes = HEADER) -> bytes:
    canonical = [
        canonical_field(raw) for raw in (b"Subject: Hello\r\n\tBob\r\n", b"From: Ada <ada@example.com>\r\n", b"from : x\r\n")
    ]
    return signer.sign(canonical, NAMES, body_hash(b"Hi\r\n"), 1_700_000_000) + header


def test_fields_are_split_at_line_ends_that_fold_nothing():
    assert [(field.name, field.unfolded) for field in split_fields(HEADER)] == [
        (b"subject", b"Hello Bob"), (b"from", b"Ada <ada@example.com>"), (b"from", b"x"),
    ]  # fmt: skip


@pytest.mark.parametrize("octets", [b" x\r\n", b"\tx: y\r\n", b"Subject: Hello", b"Subject: Hello\r\nFrom: x\r\n y"])
def test_octets_that_would_flow_into_their_neighbours_are_no_fields(octets):
    with pytest.raises(SignatureError, match="begin and end with a field"):
        split_fields(octets)


@given(st.lists(st.sampled_from([b" ", b"\t", b"\r\n ", b"a", b":", b"\x0b", b"\xff"])).map(b"".join))
def test_unfolding_is_what_the_standard_says(value):
    (found,) = split_fields(b"Subject:" + value + b"\r\n")
    assert found.unfolded == re.sub(rb"[ \t]+", b" ", value.replace(b"\r\n", b"")).strip(b" ")


def test_a_good_signature_tells_what_it_names():
    covered = verify(split_fields(signed(rsa_signer())), 0, rsa_signer(), body_hash(b"Hi\r\n"))
    assert covered == {b"from": 3, b"subject": 2}


@pytest.mark.parametrize(
    "change",
    [
        lambda header: header.replace(b"Ada", b"Eve"),
        lambda header: header.replace(b"from : x\r\n", b""),
        lambda header: header.replace(b"from : x", b"from : x\r\nFrom: y"),
        lambda header: header.replace(b"Subject", b"Subject: more\r\nSubject"),
        lambda header: header.replace(b"Hello\r\n\tBob", b"HelloBob"),
    ],
)
def test_another_header_section_is_noticed(change):
    with pytest.raises(SignatureError, match="does not fit"):
        verify(split_fields(change(signed(rsa_signer()))), 0, rsa_signer(), body_hash(b"Hi\r\n"))


def test_white_space_alone_is_no_change():
    header = signed(rsa_signer()).replace(b"Hello\r\n\tBob", b"Hello  \t Bob ").replace(b"from : x", b"FROM:  x")
    assert verify(split_fields(header), 0, rsa_signer(), body_hash(b"Hi\r\n"))


def test_another_body_is_noticed():
    with pytest.raises(SignatureError, match="body hash"):
        verify(split_fields(signed(rsa_signer())), 0, rsa_signer(), body_hash(b"Ho\r\n"))


def test_another_key_is_noticed():
    other = Signer("example.com", "s1", Ed25519PrivateKey.generate())
    with pytest.raises(SignatureError, match="tag a="):
        verify(split_fields(signed(rsa_signer())), 0, other, body_hash(b"Hi\r\n"))


def test_the_body_of_rfc_8463_hashes_as_published():
    body = b"Hi.\r\n\r\nWe lost the game.  Are you hungry yet?\r\n\r\nJoe.\r\n"
    assert body_hash(body) == b64decode("2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=")
