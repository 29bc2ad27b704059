"""Submission ids: ULIDs, 26 characters, sortable by time, with 80 random bits that nobody guesses."""

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32
_CHARACTERS = frozenset(_ALPHABET)
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]
_SHIFTS = range(120, -1, -10)
ENTROPY_OCTETS = 10


def new_id(at: float, entropy: bytes) -> str:
    """Build the id of something that happened at `at` (epoch seconds) from ten random octets."""
    number = (int(at * 1000) & (1 << 48) - 1) << 80 | int.from_bytes(entropy[:ENTROPY_OCTETS], "big")
    return "".join([_PAIRS[number >> shift & 1023] for shift in _SHIFTS])


def time_of(some_id: str) -> float:
    """When it happened, epoch seconds to the millisecond; the text must be an id."""
    milliseconds = 0
    for character in some_id[:10]:
        milliseconds = milliseconds << 5 | _ALPHABET.index(character)
    return milliseconds / 1000


def is_id(text: str) -> bool:
    """Whether the text has the form of an id."""
    return len(text) == 26 and text[0] <= "7" and _CHARACTERS.issuperset(text)
