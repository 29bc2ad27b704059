"""users.toml: the people and scripts that log in to the relay itself (`[auth] mode = "users"`).

    [[user]]
    name = "news@example.com"
    password_hash = "$argon2id$..."
    owns = ["news@example.com", "@brand.example"]

The file is read again when it changes; one that is wrong changes nothing and an
event says why.  An unknown name costs as much time as a wrong password.
"""

import os
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import argon2
import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from relay import telemetry
from relay.errors import ConfigurationError
from relay.files import write_private
from relay.logins import fold_login, parse_owned
from relay.toml import describe, parse_toml

# OWASP's least for argon2id: 19 MiB for each guess in hand, so that guesses do not take the memory that mail needs.
_HASHER = argon2.PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
_LOOK_EVERY = 1.0  # seconds
_HEAD = (
    "# Who may send through this relay, written by `relay users`, which keeps no comments. The passwords are argon2id hashes.\n"
)


@dataclass(frozen=True, slots=True)
class User:
    """One [[user]]; `name` is folded, `owns` are mailbox keys and "@domain" entries."""

    name: str
    password_hash: str = field(repr=False)
    owns: frozenset[str]


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    name: str = Field(min_length=1, max_length=255)
    password_hash: str
    owns: frozenset[str] = frozenset()

    @field_validator("name")
    @classmethod
    def _fold(cls, name: str) -> str:
        if not name.isprintable():
            raise ValueError("a name has printable characters only")
        return fold_login(name)

    @field_validator("password_hash")
    @classmethod
    def _argon2id(cls, text: str) -> str:
        try:
            parameters = argon2.extract_parameters(text)
        except argon2.exceptions.InvalidHashError:
            parameters = None
        if parameters is None or parameters.type is not argon2.Type.ID:
            raise ValueError("not an argon2id hash; `relay users passwd NAME` makes one")
        return text

    @field_validator("owns")
    @classmethod
    def _owned(cls, owns: frozenset[str]) -> frozenset[str]:
        return frozenset(map(parse_owned, owns))


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    user: tuple[_Entry, ...] = ()


def parse_users(octets: bytes, source: str) -> dict[str, User]:
    """Read users.toml from its octets, by name.

    Raises ConfigurationError that lists every fault with its place.
    """
    document: dict[str, Any] = parse_toml(octets, source)
    try:
        entries = _File(**document).user
    except ValidationError as error:
        raise ConfigurationError(describe(error, source)) from None
    users: dict[str, User] = {}
    for number, entry in enumerate(entries, 1):
        if entry.name in users:
            raise ConfigurationError(f'{source}: user.{number}.name: "{entry.name}" is there already')
        users[entry.name] = User(entry.name, entry.password_hash, entry.owns)
    return users


def load_users(path: Path) -> dict[str, User]:
    """Read users.toml; refuses one that everybody may read.

    Raises ConfigurationError.
    """
    try:
        if os.name == "posix" and path.stat().st_mode & 0o007:
            raise ConfigurationError(f"{path}: everybody may read this file; run: chmod 600 {path}")
        octets = path.read_bytes()
    except FileNotFoundError:
        raise ConfigurationError(f"{path}: there is no such file; `relay users add NAME` makes it") from None
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from None
    return parse_users(octets, str(path))


def dump_users(users: Iterable[User]) -> str:
    """The text of users.toml."""
    lines = [_HEAD]
    for user in users:
        # A JSON string is a TOML string too.
        quoted = ", ".join(orjson.dumps(_spelled(owned)).decode() for owned in sorted(user.owns))
        lines += [
            "[[user]]",
            f"name = {orjson.dumps(user.name).decode()}",
            f'password_hash = "{user.password_hash}"',
            f"owns = [{quoted}]",
            "",
        ]
    return "\n".join(lines)


def _spelled(owned: str) -> str:
    """How a mailbox key or "@domain" is written so that it reads as itself: a local part with a blank needs its quotes."""
    try:
        if parse_owned(owned) == owned:
            return owned
    except ValueError:
        pass
    local_part, _, domain = owned.rpartition("@")
    escaped = local_part.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"@{domain}'


def save_users(path: Path, users: Iterable[User]) -> None:
    """Write users.toml with mode 0600, whole or not at all.

    Raises ConfigurationError where it could not be read again.
    """
    octets = dump_users(users).encode()
    parse_users(octets, str(path))
    write_private(path, octets)


def hash_password(password: str) -> str:
    """An argon2id hash with its own salt."""
    return _HASHER.hash(password)


def is_right(password_hash: str, password: str) -> bool:
    """Whether the password belongs to the hash; takes tens of milliseconds on purpose."""
    try:
        return _HASHER.verify(password_hash, password)
    except argon2.exceptions.VerificationError:
        return False


class Users:
    """The users file of a running relay. `check` blocks: call it in a thread."""

    def __init__(self, path: Path, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._path, self._monotonic = path, monotonic
        self._stamp = self._look()
        self._users = load_users(path)
        self._looked_at = monotonic()
        self._nobody = hash_password(secrets.token_hex())

    def check(self, login: str, password: str) -> User | None:
        """The user whose name and password these are."""
        user = self.find(login)
        right = is_right(user.password_hash if user else self._nobody, password)
        return user if user and right else None

    def find(self, login: str) -> User | None:
        """The user of that name, from a file that is at most a second old."""
        now = self._monotonic()
        if now - self._looked_at >= _LOOK_EVERY:
            self._looked_at = now
            self._reload_if_changed()
        return self._users.get(fold_login(login))

    def _reload_if_changed(self) -> None:
        stamp = self._look()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._users = load_users(self._path)
        except ConfigurationError:
            telemetry.event("users_kept", reason="users.toml cannot be used; `relay users check` says why")
        else:
            telemetry.event("users_reloaded", users=len(self._users))

    def _look(self) -> tuple[int, ...]:
        try:
            stat = self._path.stat()
        except OSError:
            return ()
        return stat.st_mtime_ns, stat.st_size, stat.st_ino, stat.st_mode
