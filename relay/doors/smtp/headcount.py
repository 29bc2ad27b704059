"""How many connections there are over all SMTP processes of this node, in memory that they share.

Each process writes a row of its own and reads all of them, so nobody locks and
nobody waits.  What a process that died left in its row is wiped by the one
that follows it.  A connection is counted in before the sum is compared, so no
bound is passed; of two at the very same moment the last place may go to neither.

Clients are counted by a keyed hash of their address.  Two that share a place
are counted as one, which matters only where both have many connections, and
nobody outside can choose it.
"""

import mmap
import os
import sys
import tempfile
from hashlib import blake2b

_PLACES = 65536
_WIDTH = _PLACES + 2  # cells of a row: a count for each place, and two more
_SESSIONS, _ARRIVING = _PLACES, _PLACES + 1
_CELL = 4  # octets
KEY_OCTETS = 16  # in front of the first row


def shared_memory(processes: int, key: bytes) -> int:
    """A file descriptor of memory with a row for each process, which they inherit. `key` is random, of KEY_OCTETS."""
    octets = KEY_OCTETS + processes * _WIDTH * _CELL
    if sys.platform == "linux":
        descriptor = os.memfd_create("relay connections")
        os.truncate(descriptor, octets)
    else:
        with tempfile.TemporaryFile(buffering=0) as file:
            file.write(bytes(octets))  # all of it now: memory without a disk behind it would end the process later
            descriptor = os.dup(file.fileno())
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.write(descriptor, key)
    return descriptor


class Headcount:
    """The rows of all processes, of which one is ours. It starts empty."""

    def __init__(self, memory: mmap.mmap, row: int = 0) -> None:
        self._key = memory[:KEY_OCTETS]
        self._cells = memoryview(memory)[KEY_OCTETS:].cast("I")
        self._rows = range(0, len(self._cells), _WIDTH)
        self._ours = self._rows[row]
        self._cells[self._ours : self._ours + _WIDTH] = memoryview(bytes(_WIDTH * _CELL)).cast("I")

    @classmethod
    def alone(cls) -> "Headcount":
        """For a process that shares its listeners with no other."""
        return cls(mmap.mmap(-1, KEY_OCTETS + _WIDTH * _CELL))

    @classmethod
    def inherited(cls, descriptor: int, row: int) -> "Headcount":
        """Our row of `shared_memory`."""
        return cls(mmap.mmap(descriptor, 0), row)

    @property
    def processes(self) -> int:
        """How many processes there are."""
        return len(self._rows)

    def place(self, client: str) -> int:
        """Where connections of this client are counted."""
        return int.from_bytes(blake2b(client.encode(), digest_size=2, key=self._key).digest(), "big")

    def enter(self, place: int) -> None:
        self._cells[self._ours + place] += 1
        self._cells[self._ours + _SESSIONS] += 1

    def leave(self, place: int) -> None:
        self._cells[self._ours + place] -= 1
        self._cells[self._ours + _SESSIONS] -= 1

    def arrive(self) -> None:
        self._cells[self._ours + _ARRIVING] += 1

    def arrived(self) -> None:
        self._cells[self._ours + _ARRIVING] -= 1

    def at(self, place: int) -> int:
        """Sessions from this place, in all processes."""
        return self._sum(place)

    @property
    def sessions(self) -> int:
        """Sessions of all processes."""
        return self._sum(_SESSIONS)

    @property
    def arriving(self) -> int:
        """Connections of all processes that are on their way to a session."""
        return self._sum(_ARRIVING)

    def _sum(self, cell: int) -> int:
        return sum(self._cells[row + cell] for row in self._rows)
