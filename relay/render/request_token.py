"""The token in a confirmation mail: who was asked to confirm what, and until when; readable by the relay alone.

    version 1 | key number 1 | AES-SIV( address generation 1 | recipient digest 16 | id of the request 16
                                        | end, epoch seconds 8 )

59 octets, 79 characters.  The ledger has the request under that id; without
it the token opens nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from struct import Struct

from relay.render.sealed import Seal, TokenKey, id_octets, id_of

_SEAL = Seal(Struct(">B16s16sQ"), b"relay-confirm-1")
CHARACTERS = _SEAL.characters


@dataclass(frozen=True, slots=True)
class RequestToken:
    """What a token says. `recipient_digest` was made under `address_generation`, the number of a key of the address ring."""

    recipient_digest: bytes
    address_generation: int
    request: str
    until: int


def make_request_token(token: RequestToken, key: TokenKey) -> str:
    """Seal under `key`, the current generation of the token ring. Raises ValueError when `request` is not an id."""
    return _SEAL.make(key, token.address_generation, token.recipient_digest, id_octets(token.request), token.until)


def read_request_token(text: str, ring: Iterable[TokenKey]) -> RequestToken:
    """Open a token with the key of the ring that it names, also one that has ended. Raises TokenError."""
    generation, digest, request, until = _SEAL.read(text, ring)
    return RequestToken(digest, generation, id_of(request), until)
