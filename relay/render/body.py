"""The body of the copies of one message: the same octets for all, or with a copy's own link in some places.

What stands before the first link is hashed once.  Each copy hashes the link's
lines and what follows them; that is brought into canonical form once.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from relay.lazy import lazy
from relay.render.signing import relaxed_body
from relay.render.splice import Slot

_PIECE = 65536
_MARK = b"x\r\n"  # a line that is not empty, so that those before it stay


@dataclass(frozen=True)
class Body:
    """Octets and slots in turn; octets before a slot end in CRLF."""

    pieces: tuple[bytes | Slot, ...] = field(repr=False)

    @property
    def is_shared(self) -> bool:
        """Whether it is the same for all copies."""
        return not any(isinstance(piece, Slot) for piece in self.pieces)

    @property
    def has_8bit(self) -> bool:
        """Whether it needs 8BITMIME."""
        return any(not (piece if isinstance(piece, bytes) else piece.filled("")).isascii() for piece in self.pieces)

    @property
    def size_after_link(self) -> int:
        """Octets that each copy hashes anew, its own lines left out; 0 where all copies have one hash."""
        return 0 if self.is_shared else sum(len(piece) for piece in self._canonical[1:] if isinstance(piece, bytes))

    def octets(self, link: str | None) -> bytes:
        """The body of the copy with this link."""
        return b"".join([piece if isinstance(piece, bytes) else piece.filled(link or "") for piece in self.pieces])

    def digest(self, link: str | None) -> bytes:
        """SHA-256 under relaxed canonicalisation."""
        hasher = self.begun()
        for piece in self.rest(link):
            hasher.update(piece)
        digest: bytes = hasher.digest()
        return digest

    def begun(self) -> Any:
        """The hash of what all copies begin with, as far as it is kept."""
        return hashlib.sha256() if self.is_shared else self._begun.copy()

    def rest(self, link: str | None) -> Iterator[bytes]:
        """What is hashed after that, in canonical form and in pieces of about 64 KB."""
        if self.is_shared:
            yield from relaxed_body(self.octets(None))
            return
        for piece in self._canonical[1:]:
            if isinstance(piece, bytes):
                yield from (piece[start : start + _PIECE] for start in range(0, len(piece), _PIECE))
            else:
                yield from relaxed_body(piece.filled(link or ""))

    @lazy
    def _begun(self) -> Any:
        return hashlib.sha256(self._canonical[0])

    @lazy
    def _canonical(self) -> tuple[Any, ...]:
        """The pieces, octets in canonical form."""
        last = len(self.pieces) - 1
        return tuple(
            [piece if isinstance(piece, Slot) else _canonical(piece, number == last) for number, piece in enumerate(self.pieces)]
        )


def _canonical(octets: bytes, is_last: bool) -> bytes:
    """Empty lines count, but those at the end of the body (RFC 6376 section 3.4.4)."""
    if is_last:
        return b"".join(relaxed_body(octets))
    return b"".join(relaxed_body(octets + _MARK)).removesuffix(_MARK)
