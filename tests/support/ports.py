"""Free ports of 127.0.0.1 that stay free until their server starts.

The system hands out others to clients, and no other process that asks here gets one of ours: each process takes a block,
whose first port it keeps.
"""

import secrets
import socket
from functools import cache
from itertools import cycle

_LOWEST, _SIZE, _BLOCKS = 15_000, 100, 150  # below what Linux gives to outgoing connections (32768 and more)


def free_port() -> int:
    """A port that nobody listens on, not the one before nor any of the last ninety."""
    return next(port for port in _block() if _is_free(port))


def free_address() -> str:
    """The same as "127.0.0.1:port"."""
    return f"127.0.0.1:{free_port()}"


@cache
def _block():
    for _ in range(10 * _BLOCKS):
        first = _LOWEST + _SIZE * secrets.randbelow(_BLOCKS)
        guard = socket.socket()
        try:
            guard.bind(("127.0.0.1", first))
        except OSError:
            guard.close()
        else:
            _guards.append(guard)
            return cycle(range(first + 1, first + _SIZE))
    raise RuntimeError(f"every block of ports from {_LOWEST} on is taken")


_guards: list[socket.socket] = []  # open as long as this process


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
