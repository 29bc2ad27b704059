"""Read a finished header section as a receiver would, before it leaves.

Nothing here comes from the signing path but the public key: the fields are
split and canonicalised anew from the final octets, straight from RFC 6376, so
that a fault of ours or of a library shows here and not in a recipient's spam
folder.
"""

import hashlib
import re
from base64 import b64decode
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from relay.render.signing import PublicKey, Signer

_FIELD_END = re.compile(rb"\r\n(?![ \t])")
_BLANKS = re.compile(rb"[ \t]+")


class SignatureError(ValueError):
    """A receiver would not accept this signature; the text says which step failed."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a finished header section: name in lower case, value as it stands."""

    name: bytes
    value: bytes

    @property
    def unfolded(self) -> bytes:
        return _BLANKS.sub(b" ", self.value.replace(b"\r\n", b"")).strip(b" ")


def split_fields(header: bytes) -> tuple[Field, ...]:
    """The fields of a header section that ends with CRLF, without the empty line."""
    fields = []
    for raw in _FIELD_END.split(header)[:-1]:
        name, _, value = raw.partition(b":")
        fields.append(Field(name.rstrip(b" \t").lower(), value))
    return tuple(fields)


def verify(fields: Sequence[Field], place: int, signer: Signer, body_hash: bytes) -> Counter[bytes]:
    """Verify the DKIM-Signature at `place` and return how often it names each field.

    Raises SignatureError.
    """
    tags = _tags(fields[place].unfolded)
    _expect(tags, signer)
    if _base64(tags, "bh") != body_hash:
        raise SignatureError("the body hash is another body's")
    names = [name.strip().lower().encode() for name in tags["h"].split(":")]
    if b"from" not in names:
        raise SignatureError("From is not signed")
    if not _is_signed(signer.public_key, _base64(tags, "b"), _header_hash(fields, place, names)):
        raise SignatureError("the signature does not fit the header section")
    return Counter(names)


def _expect(tags: dict[str, str], signer: Signer) -> None:
    expected = {"v": "1", "a": signer.algorithm, "c": "relaxed/relaxed", "d": signer.domain, "s": signer.selector}
    for tag, value in expected.items():
        if tags.get(tag) != value:
            raise SignatureError(f"the tag {tag}= is not {value}")
    if unknown := tags.keys() - expected.keys() - {"t", "h", "bh", "b"}:
        raise SignatureError(f"the tag {min(unknown)}= is not one that we set")


def _tags(value: bytes) -> dict[str, str]:
    tags: dict[str, str] = {}
    for part in value.decode("ascii", "replace").split(";"):
        tag, equals, content = part.partition("=")
        if not equals or tag.strip() in tags:
            raise SignatureError("the signature is not a list of tags")
        tags[tag.strip()] = content.strip()
    return tags


def _base64(tags: dict[str, str], tag: str) -> bytes:
    try:
        return b64decode(tags[tag].replace(" ", ""), validate=True)
    except (KeyError, ValueError):
        raise SignatureError(f"the tag {tag}= is not base64") from None


def _header_hash(fields: Sequence[Field], place: int, names: Sequence[bytes]) -> bytes:
    """RFC 6376 section 3.7: each name takes the lowest field not taken yet, then the signature itself without its b= value."""
    hasher = hashlib.sha256()
    below: dict[bytes, list[Field]] = {}
    for number, field in enumerate(fields):
        if number != place:
            below.setdefault(field.name, []).append(field)
    for name in names:
        if left := below.get(name):
            hasher.update(name + b":" + left.pop().unfolded + b"\r\n")
    itself = re.sub(rb"(;\s*b\s*=)[^;]*", rb"\1", fields[place].unfolded)
    hasher.update(b"dkim-signature:" + itself.strip(b" "))
    return hasher.digest()


def _is_signed(public: PublicKey, signature: bytes, digest: bytes) -> bool:
    try:
        if isinstance(public, RSAPublicKey):
            public.verify(signature, digest, PKCS1v15(), Prehashed(hashes.SHA256()))
        else:
            public.verify(signature, digest)
    except InvalidSignature:
        return False
    return True
