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
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from relay.render.signing import PublicKey, Signer

_FIELD_END = re.compile(rb"\r\n(?![ \t])")
_SIGNATURE_VALUE = re.compile(rb"(;\s*b\s*=)[^;]*")
_PADDING, _SHA256_DIGEST = PKCS1v15(), Prehashed(hashes.SHA256())


class SignatureError(ValueError):
    """A receiver would not accept this signature; the text says which step failed."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a finished header section: name in lower case, value as it stands and in one line without needless blanks."""

    name: bytes
    value: bytes
    unfolded: bytes = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        line = self.value.replace(b"\r\n", b"").replace(b"\t", b" ")
        while b"  " in line:  # each pass halves every run
            line = line.replace(b"  ", b" ")
        object.__setattr__(self, "unfolded", line.strip(b" "))


def split_fields(header: bytes) -> tuple[Field, ...]:
    """The fields of a header section, or of whole fields of one, that ends with CRLF, without the empty line.

    Raises SignatureError when the octets do not begin and end with a field, so that what stands beside them would flow in.
    """
    *fields, rest = _FIELD_END.split(header)
    if rest or header.startswith((b" ", b"\t")):
        raise SignatureError("the header section does not begin and end with a field")
    parted = [raw.partition(b":") for raw in fields]
    return tuple([Field(name.rstrip(b" \t").lower(), value) for name, _, value in parted])


def verify(fields: Sequence[Field], place: int, signer: Signer, body_hash: bytes) -> Counter[bytes]:
    """Verify the DKIM-Signature at `place` and return how often it names each field.

    Raises SignatureError.
    """
    tags = _tags(fields[place].unfolded)
    _expect(tags, signer)
    if _base64(tags, "bh") != body_hash:
        raise SignatureError("the body hash is another body's")
    names = tags["h"].lower().encode().replace(b" ", b"").split(b":")
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
    below: dict[bytes, list[Field]] = {}
    for number, one in enumerate(fields):
        if number != place:
            below.setdefault(one.name, []).append(one)
    signed = [name + b":" + below[name].pop().unfolded + b"\r\n" for name in names if below.get(name)]
    itself = _SIGNATURE_VALUE.sub(rb"\1", fields[place].unfolded)
    return hashlib.sha256(b"".join([*signed, b"dkim-signature:", itself.strip(b" ")])).digest()


def _is_signed(public: PublicKey, signature: bytes, digest: bytes) -> bool:
    try:
        if isinstance(public, RSAPublicKey):
            public.verify(signature, digest, _PADDING, _SHA256_DIGEST)
        else:
            public.verify(signature, digest)
    except InvalidSignature:
        return False
    return True
