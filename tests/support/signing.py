"""Throw-away DKIM keys, and the values that every rendering test needs."""

from functools import cache

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from relay.mail.envelope import Client, Recipient
from relay.mail.mailbox import Mailbox
from relay.mail.message import Message
from relay.render.copy import Copy, Prepared, Trace, prepare
from relay.render.signing import Signer

SUBMISSION_ID = "01JCZ5W3YV8Q2M4N6P8R0T2V4X"
URL = "https://unsubscribe.example.com/u/" + "x" * 75


@cache
def rsa_key(bits: int = 2048) -> RSAPrivateKey:
    return generate_private_key(65537, bits)


@cache
def ed25519_key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


def pem_of(key: PrivateKeyTypes) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def rsa_signer(domain: str = "example.com", selector: str = "s1") -> Signer:
    return Signer(domain, selector, rsa_key())


def ed25519_signer(domain: str = "example.com", selector: str = "e1") -> Signer:
    return Signer(domain, selector, ed25519_key())


def a_client(**changes: str | None) -> Client:
    facts = {"listener": "submission", "address": "192.0.2.7", "helo": "pc.example.com", "tls": None, "protocol": "ESMTPSA"}
    return Client(**{**facts, **changes})  # type: ignore[arg-type]


def a_trace(**changes: str | None) -> Trace:
    return Trace(
        submission_id=SUBMISSION_ID,
        at=1_700_000_000.9,
        date="Wed, 15 Nov 2023 06:13:20 +0800",
        message_id=f"<{SUBMISSION_ID}@relay.example.com>",
        hostname="relay.example.com",
        client=a_client(**changes),
    )


def a_message(*lines: str, body: bytes = b"Hello\r\n") -> Message:
    """A message from ada@example.com with these further header lines."""
    header = "\r\n".join(["From: Ada <ada@example.com>", *lines]) + "\r\n\r\n"
    return Message.parse(header.encode() + body)


def recipient(address: str = "bob@example.net") -> Recipient:
    return Recipient(Mailbox.parse(address))


def prepared(message: Message, **options: object) -> Prepared:
    """`prepare` with an RSA signer; `options` are its keywords."""
    return prepare(message, a_trace(), **{"signers": (rsa_signer(),), "signing_required": True, **options})  # type: ignore[arg-type]


def octets(copy: Copy) -> bytes:
    return copy.header + copy.body
