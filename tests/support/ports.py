"""Free ports of 127.0.0.1 that stay free until their server starts: the system hands out others to clients."""

import secrets
import socket

_LOWEST, _NUMBER = 15_000, 15_000  # below what Linux gives to outgoing connections (32768 and more)


def free_port() -> int:
    """A port that nobody listens on."""
    while True:
        port = _LOWEST + secrets.randbelow(_NUMBER)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def free_address() -> str:
    """The same as "127.0.0.1:port"."""
    return f"127.0.0.1:{free_port()}"
