"""The key rings: addresses, records, tokens, held mail, in one file that only the relay reads.

A ring is a list of generations; the first is current, all are accepted.
Address keys are never removed: the plain addresses behind old digests are
gone, so a removed generation would silently forget refusals.  The store keeps
the fingerprints of every generation that it was written with and refuses to
answer under a ring that lacks one; so nobody claims held mail that he could
not open either.

A running process follows the file (`KeyFile`): a new generation is taken up
together with a store that knows it (`relay.service.keeping`).
"""

import hashlib
import os
import secrets
import tomllib
from base64 import b64decode, b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from relay.errors import ConfigurationError
from relay.files import write_private

RINGS = ("addresses", "records", "tokens", "held")
SECRET_OCTETS = 64  # AES-SIV-256 takes 64; AES-GCM and HMAC use the first 32
_NONCE_OCTETS = 12
_DIGEST_OCTETS = 16
_BLOCK_OCTETS = 64  # of SHA-256
_INNER, _OUTER = (bytes(octet ^ pad for octet in range(256)) for pad in (0x36, 0x5C))  # RFC 2104 section 2


@dataclass(frozen=True, slots=True)
class Key:
    """One generation. `number` is 1..255 and unique in its ring; it is the key id inside tokens and sealed values."""

    number: int
    secret: bytes = field(repr=False)
    created: date

    def fingerprint(self, ring: str) -> str:
        """What the store remembers of this generation; says nothing about the secret."""
        digest = hashlib.sha256(b"relay-fingerprint-1" + ring.encode() + self.secret).hexdigest()
        return f"{ring}:{self.number}:{digest[:16]}"


@dataclass(frozen=True, slots=True)
class Ring:
    """The generations of one purpose, the current one first."""

    name: str
    keys: tuple[Key, ...]

    def digest(self, text: str | bytes) -> bytes:
        """The 16-octet keyed digest under the current generation, for writing."""
        return _digest(self.keys[0], text)

    def digests(self, text: str | bytes) -> tuple[bytes, ...]:
        """The digests under every generation, the current one first, for looking up."""
        return tuple([_digest(key, text) for key in self.keys])

    def lasting_digest(self, text: str | bytes) -> bytes:
        """The digest under the oldest generation: it stays the same when the ring gets a new one."""
        return _digest(self.keys[-1], text)

    def digest_each(self, texts: Iterable[bytes]) -> list[bytes]:
        """`digest` of many: one after the other without anything between takes half as long."""
        inner, outer = _keyed(self.keys[0].secret)
        return [_digest_with(inner, outer, text) for text in texts]

    def seal(self, plain: bytes, associated: bytes) -> bytes:
        """Encrypt with the current generation: key number, nonce, AES-256-GCM ciphertext."""
        return self.seal_each([plain], associated)[0]

    def seal_each(self, plains: Sequence[bytes], associated: bytes) -> list[bytes]:
        """`seal` many."""
        key = self.keys[0]
        number, encrypt = bytes([key.number]), _cipher(key.secret).encrypt
        random = os.urandom(_NONCE_OCTETS * len(plains))
        nonces = [random[at : at + _NONCE_OCTETS] for at in range(0, len(random), _NONCE_OCTETS)]
        return [number + nonce + encrypt(nonce, plain, associated) for nonce, plain in zip(nonces, plains, strict=True)]

    def open(self, sealed: bytes, associated: bytes) -> bytes:
        """Decrypt what `seal` made under any generation.

        Raises ValueError when no generation fits or the value was altered.
        """
        for key in self.keys:
            if sealed[:1] == bytes([key.number]):
                nonce, ciphertext = sealed[1 : 1 + _NONCE_OCTETS], sealed[1 + _NONCE_OCTETS :]
                try:
                    return _cipher(key.secret).decrypt(nonce, ciphertext, associated)
                except (InvalidTag, ValueError):  # altered, or too short to be one of ours
                    break
        raise ValueError(f"no key of the ring {self.name} opens this value")

    @property
    def fingerprints(self) -> frozenset[str]:
        return frozenset(key.fingerprint(self.name) for key in self.keys)


@dataclass(slots=True)
class Keys:
    """All rings of one relay.

    Every part of a process has the same object, so that all use a new
    generation from the same moment on.  Never wait between making a digest and
    asking the store with it: both belong to one state of the rings.
    """

    addresses: Ring
    records: Ring
    tokens: Ring
    held: Ring

    @property
    def fingerprints(self) -> frozenset[str]:
        """Of the rings that a store depends on: addresses (look-ups), tokens (refusals by link), held (mail that waits in it)."""
        return self.addresses.fingerprints | self.tokens.fingerprints | self.held.fingerprints

    def take_up(self, fresh: "Keys") -> None:
        """Use these rings from now on, in every part that has this object."""
        for name in RINGS:
            setattr(self, name, getattr(fresh, name))


def new_keys(today: date) -> Keys:
    """Fresh rings of one generation each."""
    return Keys(*(Ring(name, (Key(1, secrets.token_bytes(SECRET_OCTETS), today),)) for name in RINGS))


def rotated(keys: Keys, ring: str, today: date) -> Keys:
    """The same keys with a new current generation in `ring`; the old ones stay accepted."""
    old: Ring = getattr(keys, ring)
    number = max(key.number for key in old.keys) + 1
    if number > 255:
        raise ConfigurationError(f"the ring {ring} has used all 255 key numbers")
    fresh = Ring(ring, (Key(number, secrets.token_bytes(SECRET_OCTETS), today), *old.keys))
    return Keys(*(fresh if name == ring else getattr(keys, name) for name in RINGS))


def dump_keys(keys: Keys) -> str:
    """The key file's text."""
    lines = [
        "# Key rings of this relay. Whoever reads this file can forge unsubscribe links and read sealed addresses.",
        "# Keep it with the store's backup: one is useless without the other. Never remove a generation of [addresses].",
        "# 本文件为密钥，请与数据库一起备份，切勿外传；[addresses] 中的旧密钥不可删除。",
    ]
    for name in RINGS:
        for key in getattr(keys, name).keys:
            lines += ["", f"[[{name}]]", f"number = {key.number}", f"created = {key.created.isoformat()}"]
            lines += [f'secret = "{b64encode(key.secret).decode()}"']
    return "\n".join(lines) + "\n"


def parse_keys(text: str, source: str) -> Keys:
    """Read a key file's text.

    Raises ConfigurationError naming `source` and the place.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{source}: not a key file: {error}; restore it from the backup") from None
    return Keys(*(_ring(name, document.get(name), source) for name in RINGS))


def load_keys(path: Path) -> Keys:
    """Read the key file; refuses one that others may read.

    Raises ConfigurationError.
    """
    try:
        if os.name == "posix" and path.stat().st_mode & 0o007:
            raise ConfigurationError(f"{path}: everybody may read this key file; run: chmod 600 {path}")
        return parse_keys(path.read_text("utf-8"), str(path))
    except FileNotFoundError:
        raise ConfigurationError(f"{path}: the key file is missing; restore it from the backup") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: the key file cannot be read: {error}") from None


def save_keys(path: Path, keys: Keys) -> None:
    """Write the key file with mode 0600, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_private(path, dump_keys(keys).encode())


class KeyFile:
    """The key file as a running process sees it: read again when it is another one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read: tuple[int, ...] | None = None
        self._is_good = False

    def read_again(self) -> Keys | None:
        """The keys when the file may have changed since it was last read; None when it has not.

        A file that could not be used is read every time.
        Raises ConfigurationError.
        """
        looks = self._look()
        if self._is_good and looks == self._read:
            return None
        self._is_good = False
        keys = load_keys(self._path)
        self._read, self._is_good = looks, True  # as it was before it was read: what comes meanwhile is read next time
        return keys

    def _look(self) -> tuple[int, ...]:
        try:
            found = self._path.stat()
        except OSError:
            return ()
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _digest(key: Key, text: str | bytes) -> bytes:
    """HMAC-SHA-256, cut short. Each message asks again and again for the same few: of its recipients, and of its limits."""
    return _remembered(key.secret, text) if len(text) <= _REMEMBERED_LENGTH else _digest_of(key.secret, text)


def _digest_of(secret: bytes, text: str | bytes) -> bytes:
    inner, outer = _keyed(secret)
    return _digest_with(inner, outer, text.encode() if isinstance(text, str) else text)


_REMEMBERED_LENGTH = 600  # an address with what is said of it; texts that clients choose freely may be far longer
_remembered = lru_cache(maxsize=4096)(_digest_of)


def _digest_with(inner: "hashlib._Hash", outer: "hashlib._Hash", text: bytes) -> bytes:
    inner, outer = inner.copy(), outer.copy()
    inner.update(text)
    outer.update(inner.digest())
    return outer.digest()[:_DIGEST_OCTETS]


@lru_cache(maxsize=256)
def _cipher(secret: bytes) -> AESGCM:
    """AES-256-GCM that has read its key, which takes as long as to seal an address."""
    return AESGCM(secret[:32])


@lru_cache(maxsize=256)
def _keyed(secret: bytes) -> "tuple[hashlib._Hash, hashlib._Hash]":
    """The two hashes of an HMAC (RFC 2104) that have read the key: copies of them cost a third of the library's HMAC."""
    key = secret[:32].ljust(_BLOCK_OCTETS, b"\0")
    return hashlib.sha256(key.translate(_INNER)), hashlib.sha256(key.translate(_OUTER))


def _ring(name: str, entries: object, source: str) -> Ring:
    if not isinstance(entries, list) or not entries:
        raise ConfigurationError(f"{source}: [[{name}]] is missing; restore the file from the backup")
    keys = tuple(_key(name, index, entry, source) for index, entry in enumerate(entries, 1))
    _unique((key.number for key in keys), name, source)
    return Ring(name, keys)


def _key(name: str, index: int, entry: object, source: str) -> Key:
    where = f"{source}: [[{name}]] number {index}"
    if not isinstance(entry, dict):
        raise ConfigurationError(f"{where} is not a table")
    number, created, secret = entry.get("number"), entry.get("created"), entry.get("secret")
    if not isinstance(number, int) or not 1 <= number <= 255 or type(created) is not date or not isinstance(secret, str):
        raise ConfigurationError(f"{where} needs number (1 to 255), created (a date) and secret (base64)")
    try:
        octets = b64decode(secret, validate=True)
    except ValueError:
        octets = b""
    if len(octets) != SECRET_OCTETS:
        raise ConfigurationError(f"{where}: secret is not {SECRET_OCTETS} octets in base64; restore the file from the backup")
    return Key(number, octets, created)


def _unique(numbers: Iterable[int], name: str, source: str) -> None:
    seen = list(numbers)
    if len(seen) != len(set(seen)):
        raise ConfigurationError(f"{source}: [[{name}]] has a key number twice; every generation keeps its own")
