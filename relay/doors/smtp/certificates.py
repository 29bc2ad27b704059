"""The server certificate, read again when its files change.

Each handshake asks `context()`; the files are looked at once a second at most.
A pair that cannot be used (half replaced, expired key format, unreadable)
changes nothing: the one before stays and an event says why.
"""

import ssl
from collections.abc import Callable
from pathlib import Path

from relay import telemetry
from relay.errors import ConfigurationError

_LOOK_EVERY = 1.0  # seconds

_Stamp = tuple[tuple[int, int, int], ...]


class Certificates:
    """One certificate chain with its private key. The first pair must be good: raises ConfigurationError."""

    def __init__(self, certificate_file: Path, private_key_file: Path, monotonic: Callable[[], float]) -> None:
        self._files = (certificate_file, private_key_file)
        self._monotonic = monotonic
        self._looked_at = monotonic()
        try:
            self._stamp = self._look()
            self._context = self._load()
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"[tls] {certificate_file}, {private_key_file}: {_reason(error)}") from None

    def context(self) -> ssl.SSLContext:
        """What the next handshake uses."""
        now = self._monotonic()
        if now - self._looked_at >= _LOOK_EVERY:
            self._looked_at = now
            self._reload_if_changed()
        return self._context

    def _reload_if_changed(self) -> None:
        try:
            stamp = self._look()
            if stamp == self._stamp:
                return
            self._stamp = stamp
            self._context = self._load()
        except (OSError, ValueError) as error:
            telemetry.event("certificate_kept", reason=_reason(error))
        else:
            telemetry.event("certificate_reloaded")

    def _look(self) -> _Stamp:
        stats = [path.stat() for path in self._files]
        return tuple((stat.st_mtime_ns, stat.st_size, stat.st_ino) for stat in stats)

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
        # Without a password OpenSSL would ask for one on the terminal.
        context.load_cert_chain(*self._files, password=_no_password)
        return context


def _no_password() -> str:
    raise ValueError("the private key is encrypted; store it without a password, readable by the relay only")


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return f"not a certificate chain in PEM with its private key ({error.reason or 'unreadable'})"
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)
