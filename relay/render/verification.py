"""Read a finished header section as a receiver would, before it leaves.

Nothing here comes from the signing path but the public key: the fields are
split and canonicalised anew from the final octets, straight from RFC 6376, so
that a fault of ours or of a library shows here and not in a recipient's spam
folder.
"""

import hashlib
from base64 import b64decode
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import cast

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from relay.render.signing import RSA, Signer

_PADDING, _SHA256_DIGEST = PKCS1v15(), Prehashed(hashes.SHA256())


class SignatureError(ValueError):
    """A receiver would not accept this signature; the text says which step failed."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a finished header section: name in lower case, value in one line without needless blanks inside."""

    name: bytes
    value: bytes

    @property
    def unfolded(self) -> bytes:
        """The value without blanks around it, as a signature covers it."""
        return self.value.strip(b" ")


def split_fields(header: bytes) -> tuple[Field, ...]:
    """The fields of a header section, or of whole fields of one, that ends with CRLF, without the empty line.

    Raises SignatureError when the octets do not begin and end with a field, so that what stands beside them would flow in.
    """
    text = header.replace(b"\r\n ", b" ").replace(b"\r\n\t", b" ").replace(b"\t", b" ")
    while b"  " in text:  # each pass halves every run
        text = text.replace(b"  ", b" ")
    *lines, rest = text.split(b"\r\n")
    if rest or text.startswith(b" "):
        raise SignatureError("the header section does not begin and end with a field")
    parted = [line.partition(b":") for line in lines]
    return tuple([Field(name.rstrip(b" ").lower(), value) for name, _, value in parted])


def verify(fields: Sequence[Field], place: int, signer: Signer, body_hash: bytes) -> Counter[bytes]:
    """Verify the DKIM-Signature at `place` and return how often it names each field.

    Raises SignatureError.
    """
    unsigned, value = _parted(fields[place].unfolded)
    names = _names(unsigned, signer.algorithm, signer.domain, signer.selector, body_hash)
    signature = _base64(value.decode("ascii", "replace"), "b")
    if not _is_signed(signer, signature, _header_hash(fields, place, names, unsigned)):
        raise SignatureError("the signature does not fit the header section")
    return _counted(names)


@lru_cache(maxsize=256)
def _counted(names: tuple[bytes, ...]) -> Counter[bytes]:
    """Mails of one program name the same fields again and again."""
    return Counter(names)


def _parted(signature: bytes) -> tuple[bytes, bytes]:
    """What a DKIM-Signature says up to the value of b=, its last tag, and that value."""
    head, semicolon, last = signature.rpartition(b";")
    tag, equals, value = last.partition(b"=")
    if tag.strip(b" ") != b"b":
        raise SignatureError("the tag b= is not the last one")
    return head + semicolon + tag + equals, value


@lru_cache(maxsize=256)  # the signatures of all copies of a message say the same up to b=
def _names(unsigned: bytes, algorithm: str, domain: str, selector: str, body_hash: bytes) -> tuple[bytes, ...]:
    """The names in h= of a signature that says what it should. Raises SignatureError."""
    tags = _tags(unsigned)
    expected = {"v": "1", "a": algorithm, "c": "relaxed/relaxed", "d": domain, "s": selector}
    for tag, value in expected.items():
        if tags.get(tag) != value:
            raise SignatureError(f"the tag {tag}= is not {value}")
    if unknown := tags.keys() - expected.keys() - {"t", "h", "bh", "b"}:
        raise SignatureError(f"the tag {min(unknown)}= is not one that we set")
    if _base64(tags.get("bh", ""), "bh") != body_hash:
        raise SignatureError("the body hash is another body's")
    names = tags.get("h", "").lower().encode().replace(b" ", b"").split(b":")
    if b"from" not in names:
        raise SignatureError("From is not signed")
    return tuple(names)


def _tags(value: bytes) -> dict[str, str]:
    tags: dict[str, str] = {}
    for part in value.decode("ascii", "replace").split(";"):
        tag, equals, content = part.partition("=")
        if not equals or tag.strip() in tags:
            raise SignatureError("the signature is not a list of tags")
        tags[tag.strip()] = content.strip()
    return tags


def _base64(text: str, tag: str) -> bytes:
    try:
        return b64decode(text.replace(" ", ""), validate=True)
    except ValueError:
        raise SignatureError(f"the tag {tag}= is not base64") from None


def _header_hash(fields: Sequence[Field], place: int, names: Sequence[bytes], unsigned: bytes) -> bytes:
    """RFC 6376 section 3.7: each name takes the lowest field not taken yet, then the signature itself without its b= value."""
    below: dict[bytes, list[Field]] = {}
    for number, one in enumerate(fields):
        if number != place:
            below.setdefault(one.name, []).append(one)
    signed: list[bytes] = []
    for name in names:
        if left := below.get(name):
            signed += (name, b":", left.pop().unfolded, b"\r\n")
    return hashlib.sha256(b"".join([*signed, b"dkim-signature:", unsigned])).digest()


def _is_signed(signer: Signer, signature: bytes, digest: bytes) -> bool:
    public = signer.public_key
    try:
        if signer.algorithm == RSA:
            cast(RSAPublicKey, public).verify(signature, digest, _PADDING, _SHA256_DIGEST)
        else:
            cast(Ed25519PublicKey, public).verify(signature, digest)
    except InvalidSignature:
        return False
    return True
