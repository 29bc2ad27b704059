"""The unsubscribe token: who refuses what, readable by the relay alone, stored nowhere.

    base64url( version 1 | key number 1 | AES-SIV( address generation 1 | recipient digest 16
               | stream number 4 | scope 1 | submission id 16 ) )

56 octets, 75 characters.  A token has no end of its own: it is good while its
key is in the ring, because a recipient may open an old mail after a year.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from struct import Struct

from relay.render.sealed import Seal, TokenKey, id_octets, id_of

ORGANISATION, STREAM, CANARY = 0, 1, 2
_SEAL = Seal(Struct(">B16s4sB16s"), b"relay-unsubscribe-1")


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
    scope = CANARY if token.is_canary else ORGANISATION if token.whole_organisation else STREAM
    submission = id_octets(token.submission_id)
    return _SEAL.make(key, token.address_generation, token.recipient_digest, token.stream_number, scope, submission)


def read_token(text: str, ring: Iterable[TokenKey]) -> UnsubscribeToken:
    """Open a token with the key of the ring that it names.

    Raises TokenError.
    """
    generation, digest, number, scope, submission = _SEAL.read(text, ring)
    return UnsubscribeToken(digest, generation, number, scope == ORGANISATION, id_of(submission), is_canary=scope == CANARY)
