"""From the rows of a list to entries of the store, as several processes do it at once for `relay suppress import`.

`python -m relay.cli.digesting` is one of them.  It hears its keys and then parts of the list through its standard
input, never through its command line or environment, and answers each in turn; it ends with its input, so nothing is
left of it however the command ends.
"""

import gc
import os
import pickle
import re
import signal
import sys
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import tzinfo
from typing import IO, Any

from relay.keys import Ring
from relay.mail.mailbox import Mailbox, MailboxError
from relay.policy.suppressions.suppression import Digest, Reason
from relay.records.chain import ASSOCIATED
from relay.stores.formats import LeftOut, Listed, Part
from relay.stores.suppressions import EntryRow
from relay.stores.tables import Fault

BUCKETS = 64
"""Of digests by their first bits: bucket after bucket, rows are in the order of the store."""

LENGTH_OCTETS = 4
"""Before each message from process to process."""

_SHIFT = 2
_MAX_NOTE = 200
_SCOPE = re.compile(r"organisation|stream:[a-z0-9][a-z0-9-]{0,62}")
_SELDOM = 100_000  # objects
_POLITE = 10  # mail goes first where there are not processors enough


@dataclass(frozen=True, slots=True)
class Defaults:
    """What an import takes where the list does not say."""

    at: float
    scope: str
    reason: Reason | None
    zone: tzinfo  # of times that name none
    format: str = "auto"


@dataclass(slots=True)
class Digested:
    """What became of the rows of a part."""

    buckets: list[bytes] = field(default_factory=list)  # `unpacked` they are rows in the order of the list
    reasons: Counter[str] = field(default_factory=Counter)  # of those rows
    formats: set[str] = field(default_factory=set)
    left_out: int = 0
    faults: list[Fault] = field(default_factory=list)
    unexplained: int | None = None  # the line of a row for which nobody gives a reason; nothing below it was read


_Entry = tuple[Listed, str, str, str, bytes]
"""What a row says, its scope, its reason, the name of its format, its mailbox key, b"" where only the digest is known."""


@dataclass(slots=True)
class Digester:
    """Turns mailboxes into digests, and seals them beside. `now` is when the import began: nothing is of later."""

    addresses: Ring
    records: Ring
    defaults: Defaults
    now: float
    _scopes: set[str] = field(default_factory=set)  # that are good
    _origins: dict[str, str] = field(default_factory=dict)  # one text for all rows: it is packed once
    _fingerprints: frozenset[str] = frozenset()
    _word: str = ""  # the reason where the list does not say why

    def __post_init__(self) -> None:
        self._word = self.defaults.reason.value if self.defaults.reason else ""
        self._fingerprints = self.addresses.fingerprints

    def digest(self, part: Part) -> Digested:
        """Read a part. Each step is done for all rows before the next one: that takes half of the time."""
        done = Digested()
        entries = self._entries(part, done)
        keys = [key for *_, key in entries]
        digests = self.addresses.digest_each(keys)
        sealed = self.records.seal_each(keys, ASSOCIATED)
        buckets: list[list[EntryRow]] = [[] for _ in range(BUCKETS)]
        for row in map(self._row, entries, digests, sealed):
            buckets[row[0][0] >> _SHIFT].append(row)
        done.buckets = [packed(rows) for rows in buckets]
        return done

    def _entries(self, part: Part, done: Digested) -> list[_Entry]:
        entries: list[_Entry] = []
        for name, item in part.read(self.defaults.zone):
            if isinstance(item, LeftOut):
                done.left_out += 1
                continue
            entry = item if isinstance(item, Fault) else self._entry(name, item)
            if isinstance(entry, Fault):
                done.faults.append(entry)
            elif entry is None:
                done.unexplained = item.line
                break
            else:
                entries.append(entry)
                done.formats.add(name)
        done.reasons = Counter(reason for _, _, reason, _, _ in entries)
        return entries

    def _entry(self, name: str, item: Listed) -> _Entry | Fault | None:
        """None when nobody says why there should be one."""
        reason = self._word if item.reason is None else item.reason.value
        if not reason:
            return None
        scope = item.scope or self.defaults.scope
        if scope not in self._scopes:
            if not _SCOPE.fullmatch(scope):
                expected = "范围应为 organisation 或 stream:NAME", "expected the scope organisation or stream:NAME"
                return Fault(item.line, scope, *expected)
            self._scopes.add(scope)
        if not item.address:
            if self._is_ours(item):
                return item, scope, reason, name, b""
            why = "没有地址，且摘要不是用本机密钥生成的", "no address, and a digest that our keys did not make"
            return Fault(item.line, item.digest.hex(), *why)
        try:
            return item, scope, reason, name, Mailbox.parse(item.address).key.encode()
        except MailboxError as error:
            return Fault(item.line, item.address[:_MAX_NOTE], f"不是有效的邮箱地址（{error}）", str(error))

    def _row(self, entry: _Entry, digest: Digest, sealed: bytes) -> EntryRow:
        item, scope, reason, name, key = entry
        if item.digest and self._is_ours(item):
            digest = item.digest
        at = min(self.defaults.at if item.at is None else item.at, self.now)
        origin = self._origins.setdefault(name, f"import:{name}")
        # As a bytearray: SQLite takes it twice as fast as bytes.
        row = bytearray(digest), scope, reason, origin, at, bytearray(sealed if key else b""), item.note[:_MAX_NOTE]
        if item.again_at is None and item.expires_at is None:
            return row
        again_at = None if item.again_at is None or item.again_at <= at else min(item.again_at, self.now)
        return *row, item.expires_at if reason == Reason.HARD_BOUNCE else None, again_at

    def _is_ours(self, item: Listed) -> bool:
        """Whether its digest, out of our own export, stands for itself because our keys made it."""
        return bool(item.digest and item.keys) and item.keys <= self._fingerprints


def packed(message: object) -> bytes:
    """A message between processes of one command, or what it keeps for itself."""
    return pickle.dumps(message, pickle.HIGHEST_PROTOCOL)


def unpacked(octets: bytes) -> Any:
    """What was `packed`, by nobody but us."""
    return pickle.loads(octets)  # noqa: S301 - from our own processes, through pipes and files without a name


def framed(message: object) -> bytes:
    """A message with its length before it."""
    octets = packed(message)
    return len(octets).to_bytes(LENGTH_OCTETS, "little") + octets


def serve(asked: IO[bytes], answered: IO[bytes]) -> None:
    """Answer every part until there are no more."""
    digester: Digester | None = None
    while length := asked.read(LENGTH_OCTETS):
        message = unpacked(asked.read(int.from_bytes(length, "little")))
        if digester is None:
            digester = message
            continue
        answered.write(framed(digester.digest(message)))
        answered.flush()


def _be_quick() -> None:
    """Give way to mail, and seek no rubbish: what a part leaves behind has no circles."""
    if hasattr(os, "nice"):
        os.nice(_POLITE)
    gc.freeze()
    gc.set_threshold(_SELDOM)


if __name__ == "__main__":  # what is sent and answered is of the module relay.cli.digesting, which unpacking imports
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who pressed Ctrl-C meant the command; it lets go of us
    _be_quick()
    with suppress(BrokenPipeError, EOFError):  # the command has ended
        serve(sys.stdin.buffer, sys.stdout.buffer)
