"""Logins: the accounts that the relay holds, and what is remembered of the clients' own.

A client's password is never kept here.  Two caches remember a keyed MAC of
(upstream, identity, login, password) under a key that dies with the process:
one that a pair was accepted, so that a tool that logs in for every mail does
not log in upstream each time, one that it was refused, so that a wrong
password is not tried upstream again and again.
"""

import hmac
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from relay import telemetry
from relay.accounts import Account
from relay.config import Config
from relay.errors import ConfigurationError
from relay.mail.envelope import Credentials

ACCEPTED_FOR = 5 * 60.0  # seconds
REFUSED_FOR = 10 * 60.0
MAX_REMEMBERED = 10_000  # pairs in each cache; the oldest go first
_MAX_PASSWORD = 1024
_Version = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class _Remembered:
    at: float
    identity: str
    text: str


class _Cache:
    """MACs with their age, bounded; not for ever and not without end."""

    def __init__(self, lifetime: float, clock: Callable[[], float]) -> None:
        self._lifetime, self._clock = lifetime, clock
        self._entries: dict[bytes, _Remembered] = {}

    def add(self, mac: bytes, identity: str, text: str = "") -> None:
        self._entries.pop(mac, None)
        self._entries[mac] = _Remembered(self._clock(), identity, text)
        while len(self._entries) > MAX_REMEMBERED:
            del self._entries[next(iter(self._entries))]

    def find(self, mac: bytes) -> str | None:
        """The text beside a MAC that is young enough, or None."""
        entry = self._entries.get(mac)
        if entry is None or self._clock() - entry.at < self._lifetime:
            return entry.text if entry else None
        del self._entries[mac]
        return None

    def discard(self, mac: bytes) -> None:
        self._entries.pop(mac, None)

    def discard_identity(self, identity: str) -> None:
        for mac in [mac for mac, entry in self._entries.items() if entry.identity == identity]:
            del self._entries[mac]


class Remembered:
    """Which logins an upstream accepted or refused lately; `key` is random and never leaves the process."""

    def __init__(self, key: bytes, clock: Callable[[], float]) -> None:
        self._key = key
        self._accepted = _Cache(ACCEPTED_FOR, clock)
        self._refused = _Cache(REFUSED_FOR, clock)

    def mac(self, upstream: str, identity: str, credentials: Credentials) -> bytes:
        """What stands for a login here and in the keys of the pool."""
        parts = [part.encode("utf-8", "surrogatepass") for part in (upstream, identity, credentials.login, credentials.password)]
        octets = b"".join(len(part).to_bytes(4) + part for part in parts)
        return hmac.digest(self._key, octets, "sha256")

    def accepted(self, mac: bytes, identity: str) -> None:
        self._refused.discard(mac)
        self._accepted.add(mac, identity)

    def refused(self, mac: bytes, identity: str, text: str) -> None:
        """Remember a refusal; it also ends every earlier acceptance of that identity."""
        self._accepted.discard_identity(identity)
        self._refused.add(mac, identity, text)

    def was_accepted(self, mac: bytes) -> bool:
        """The caller must also see a living connection that this login opened."""
        return self._accepted.find(mac) is not None

    def refusal(self, mac: bytes) -> str | None:
        """What the upstream said when it refused this very login, None when it did not lately."""
        return self._refused.find(mac)


class Accounts:
    """The [[account]]s with their passwords; a file that changed is read again by `reread`."""

    def __init__(self, config: Config) -> None:
        """Raises ConfigurationError for a password file that cannot be used."""
        self._config = config
        self._seen = {account.password_file: self._version(account) for account in config.account}
        self._held = {(account.upstream, account.identity): self._read(account) for account in config.account}

    def reread(self) -> list[Account]:
        """Read what changed; the accounts with another password now. Where a file cannot be used, the one before stays."""
        versions = {account.password_file: self._version(account) for account in self._config.account}
        changed = []
        for account in self._config.account:
            if versions[account.password_file] == self._seen.get(account.password_file):
                continue
            try:
                credentials = self._read(account)
            except ConfigurationError as fault:
                telemetry.event("account unreadable", level=logging.WARNING, upstream=account.upstream, text=str(fault))
                continue
            if credentials != self._held[account.upstream, account.identity]:
                self._held[account.upstream, account.identity] = credentials
                telemetry.event("account password changed", upstream=account.upstream)
                changed.append(account)
        self._seen = versions
        return changed

    def _read(self, account: Account) -> Credentials:
        return Credentials(account.login or account.identity, read_password(self._config, account))

    def _version(self, account: Account) -> _Version | None:
        """What tells that a file was written or put there anew; None while there is none."""
        try:
            found = self._config.secret(account.password_file).stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino

    def find(self, upstream: str, *names: str | None) -> Credentials | None:
        """The account of the first of these identities that has one at the upstream."""
        found = (self._held.get((upstream, name)) for name in names if name)
        return next((credentials for credentials in found if credentials), None)


def read_password(config: Config, account: Account) -> str:
    """Read a password file: one line, for the relay's eyes only.

    Raises ConfigurationError.
    """
    path = config.secret(account.password_file)
    where = f'[[account]] identity = "{account.identity}", password_file {path}'
    text = read_secret(path, where)
    if not text or len(text) > _MAX_PASSWORD or not text.isprintable():
        raise ConfigurationError(f"{where}: expected the password (授权码) in one line and nothing else")
    return text


def read_secret(path: Path, where: str) -> str:
    """A file that holds a secret and that not everybody may read, without its line end.

    Raises ConfigurationError that begins with `where`.
    """
    try:
        _only_for_us(path, where)
        return path.read_bytes().decode("utf-8-sig").rstrip("\r\n")
    except OSError as error:
        raise ConfigurationError(f"{where}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{where}: not UTF-8 / 文件不是 UTF-8 编码") from None


def _only_for_us(path: Path, where: str) -> None:
    if os.name == "posix" and path.stat().st_mode & 0o007:
        raise ConfigurationError(f"{where}: everybody may read this file; run: chmod 600 {path}")
