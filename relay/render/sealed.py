"""What links carry: a few octets sealed by the relay, readable by it alone, in one spelling.

    base64url( version 1 | key number 1 | AES-SIV( ... ) )

AES-SIV (RFC 5297) needs no nonce and proves that a token is ours, so a link
can neither be forged nor tell the address to whoever sees it in a log.  Each
kind of token has a context of its own: none passes for another.
"""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from struct import Struct
from typing import Any, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from relay.ids import is_id, new_id

VERSION = 1
_TAG_OCTETS = 16
_CROCKFORD_TO_BASE_32 = str.maketrans("ABCDEFGHJKMNPQRSTVWXYZ", "ABCDEFGHIJKLMNOPQRSTUV")


class TokenError(ValueError):
    """The text is not a token of ours: forged, cut, of an unknown key, or another spelling of the same octets."""


class UnknownKey(TokenError):
    """The text may be a token of ours, under a key that is not in the ring."""


class TokenKey(Protocol):
    """One generation of the token ring (`relay.keys.Key`): 64 secret octets and their number."""

    @property
    def number(self) -> int: ...

    @property
    def secret(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Seal:
    """One kind of token: what is in it, and the context that is sealed with it."""

    plain: Struct
    context: bytes

    @property
    def characters(self) -> int:
        """How long such a token is."""
        return -(-(2 + _TAG_OCTETS + self.plain.size) * 4 // 3)

    def make(self, key: TokenKey, *values: Any) -> str:
        """Seal under `key`; the same values always give the same text."""
        sealed = _cipher(key.secret).encrypt(self.plain.pack(*values), [self.context])
        return urlsafe_b64encode(bytes([VERSION, key.number]) + sealed).rstrip(b"=").decode()

    def read(self, text: str, ring: Iterable[TokenKey]) -> tuple[Any, ...]:
        """Open a token with the key of the ring that it names. Raises TokenError."""
        octets = self._decode(text)
        key = next((key for key in ring if key.number == octets[1]), None)
        if octets[0] != VERSION:
            raise TokenError("the token's version is not known")
        if key is None:
            raise UnknownKey("the token's key is not known")
        try:
            plain = _cipher(key.secret).decrypt(octets[2:], [self.context])
        except InvalidTag:
            raise TokenError("the token was not made here") from None
        return self.plain.unpack(plain)

    def _decode(self, text: str) -> bytes:
        """Read base64url strictly: a second spelling of the same octets is not the token we sent."""
        if len(text) != self.characters or not text.isascii():
            raise TokenError(f"a token has {self.characters} characters")
        try:
            octets = urlsafe_b64decode(text + "=" * (-len(text) % 4))
        except binascii.Error:
            octets = b""
        if len(octets) != 2 + _TAG_OCTETS + self.plain.size or urlsafe_b64encode(octets).rstrip(b"=").decode() != text:
            raise TokenError("the token is not base64url")
        return octets


@lru_cache(maxsize=1024)  # one submission may have a thousand recipients
def id_octets(some_id: str) -> bytes:
    """The sixteen octets of an id. Raises ValueError when it is none."""
    if not is_id(some_id):
        raise ValueError(f'"{some_id}" is not a submission id')
    return int(some_id.translate(_CROCKFORD_TO_BASE_32), 32).to_bytes(16, "big")


def id_of(octets: bytes) -> str:
    """The id that has these octets."""
    at = (int.from_bytes(octets[:6], "big") + 0.5) / 1000  # the middle of the millisecond, so that no rounding leaves it
    return new_id(at, octets[6:])


@lru_cache(maxsize=256)
def _cipher(secret: bytes) -> AESSIV:
    """Every mail has a token, and setting up a key takes longer than using it."""
    return AESSIV(secret)
