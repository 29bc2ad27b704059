"""Read the records, in any process and without a writer."""

import sqlite3
import threading
from collections.abc import Sequence
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from relay.errors import RecordsUnavailable
from relay.keys import Keys
from relay.records import chain
from relay.records.chain import ASSOCIATED
from relay.records.kinds import Person


class Reader:
    """One read connection; any thread may use it, one at a time. It sees what every process has committed."""

    def __init__(self, path: Path, keys: Keys) -> None:
        """Raises RecordsUnavailable when there are no records or they cannot be read."""
        self.path = path
        self.keys = keys
        self._turn = threading.Lock()
        try:
            with ExitStack() as stack:
                self._connection = stack.enter_context(closing(chain.connect(path, read_only=True)))
                self.chain = chain.chain_of(self._connection)
                if not self.chain:
                    raise RecordsUnavailable(f"{path} holds no records; restore the backup")
                stack.pop_all()
        except sqlite3.Error as fault:
            raise RecordsUnavailable(f"{path}: the records cannot be opened: {fault}") from fault

    def read(self, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one query in the calling thread.

        Raises RecordsUnavailable.
        """
        try:
            with self._turn:
                return self._connection.execute(statement, parameters).fetchall()
        except sqlite3.Error as fault:
            raise RecordsUnavailable(f"{self.path}: the records cannot be read: {fault}") from fault

    def check_end(self) -> None:
        """Make sure that the last record follows the one before, so that nothing is chained to a broken end.

        Raises RecordsUnavailable.
        """
        rows = self.read("SELECT seq, body, hash FROM records ORDER BY seq DESC LIMIT 2")
        if not rows:
            return
        seq, body, found = rows[0]
        previous = rows[1][2] if len(rows) == 2 else chain.first_link(self.chain)
        if not isinstance(body, str) or chain.following(previous, body) != found:
            raise RecordsUnavailable(f"record {seq} does not follow the one before: run `relay records verify`")

    def reveal(self, person: Person) -> str:
        """The person's mailbox, "" when it was never known or the keys do not open it."""
        with suppress(ValueError):
            return self.keys.records.open(person.sealed, ASSOCIATED).decode() if person.sealed else ""
        return ""

    def digests(self, mailbox_key: str) -> tuple[bytes, ...]:
        """Everything a mailbox may be indexed by: all generations of both rings, since a refusal by link knows no address."""
        return (*self.keys.records.digests(mailbox_key), *self.keys.addresses.digests(mailbox_key))

    def close(self) -> None:
        with self._turn:
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
