"""The unsubscribe token: who refuses what, readable by the relay alone, stored nowhere.

    base64url( version 1 | key number 1 | AES-SIV( address generation 1 | recipient digest 16
               | stream number 4 | scope 1 | submission id 16 ) )

56 octets, 75 characters.  AES-SIV (RFC 5297) needs no nonce and proves that
the token is ours, so a link can neither be forged nor tell the address to
whoever sees it in a log.  A token has no end of its own: it is good while its
key is in the ring, because a recipient may open an old mail after a year.
"""

import binascii
import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from struct import Struct
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from relay.ids import is_id, new_id

VERSION = 1
ORGANISATION, STREAM, CANARY = 0, 1, 2
_PLAIN = Struct(">B16s4sB16s")
_ASSOCIATED = [b"relay-unsubscribe-1"]
_TAG_OCTETS = 16
_CHARACTERS = 75
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
class UnsubscribeToken:
    """What a token says.

    `recipient_digest` was made under `address_generation`, the number of a key
    of the address ring.  `submission_id` says which mail it came with, and when.
    """

    recipient_digest: bytes
    address_generation: int
    stream_number: bytes
    whole_organisation: bool
    submission_id: str
    is_canary: bool = False
    """Made by `relay check --public`: it stands for nobody, and posting it changes nothing."""


@lru_cache(maxsize=1024)
def stream_number(name: str) -> bytes:
    """The four octets that stand for a stream; look them up among the names of the set's streams."""
    return hashlib.sha256(name.encode()).digest()[:4]


def make_token(token: UnsubscribeToken, key: TokenKey) -> str:
    """Seal under `key`, the current generation of the token ring. The same token always gives the same text.

    Raises ValueError when `submission_id` is not an id.
    """
    plain = _PLAIN.pack(
        token.address_generation,
        token.recipient_digest,
        token.stream_number,
        CANARY if token.is_canary else ORGANISATION if token.whole_organisation else STREAM,
        _id_octets(token.submission_id),
    )
    sealed = _cipher(key.secret).encrypt(plain, _ASSOCIATED)
    return urlsafe_b64encode(bytes([VERSION, key.number]) + sealed).rstrip(b"=").decode()


def read_token(text: str, ring: Iterable[TokenKey]) -> UnsubscribeToken:
    """Open a token with the key of the ring that it names.

    Raises TokenError.
    """
    octets = _decode(text)
    key = next((key for key in ring if key.number == octets[1]), None)
    if octets[0] != VERSION:
        raise TokenError("the token's version is not known")
    if key is None:
        raise UnknownKey("the token's key is not known")
    try:
        plain = _cipher(key.secret).decrypt(octets[2:], _ASSOCIATED)
    except InvalidTag:
        raise TokenError("the token was not made here") from None
    generation, digest, number, scope, submission = _PLAIN.unpack(plain)
    at = (int.from_bytes(submission[:6], "big") + 0.5) / 1000  # the middle of the millisecond, so that no rounding leaves it
    return UnsubscribeToken(
        digest, generation, number, scope == ORGANISATION, new_id(at, submission[6:]), is_canary=scope == CANARY
    )


@lru_cache(maxsize=256)
def _cipher(secret: bytes) -> AESSIV:
    """Every mail has a token, and setting up a key takes longer than using it."""
    return AESSIV(secret)


@lru_cache(maxsize=1024)  # one submission may have a thousand recipients
def _id_octets(submission_id: str) -> bytes:
    if not is_id(submission_id):
        raise ValueError(f'"{submission_id}" is not a submission id')
    return int(submission_id.translate(_CROCKFORD_TO_BASE_32), 32).to_bytes(16, "big")


def _decode(text: str) -> bytes:
    """Read base64url strictly: a second spelling of the same octets is not the token we sent."""
    if len(text) != _CHARACTERS or not text.isascii():
        raise TokenError("a token has 75 characters")
    try:
        octets = urlsafe_b64decode(text + "=")
    except binascii.Error:
        octets = b""
    if len(octets) != 2 + _TAG_OCTETS + _PLAIN.size or urlsafe_b64encode(octets).rstrip(b"=").decode() != text:
        raise TokenError("the token is not base64url")
    return octets
