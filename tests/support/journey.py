"""One relay in front of one upstream, a client that speaks when it is told to, and what was written down.

Tests of the line share a relay per kind of store (`tests/end_to_end/conftest.py`); each takes recipients and a subject
of its own, so that nothing of one test concerns another.
"""

import asyncio
import json
import re
import socket
import sqlite3
import struct
import time
from base64 import b64encode
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

from relay.config import load_config
from relay.gathering import submission_key
from relay.keys import load_keys
from relay.mail.mailbox import Mailbox
from relay.mail.message import Message
from relay.records.reading import Reader
from relay.records.search import Query, search
from relay.stores.opening import open_store
from tests.support.service import NEWS, PASSWORD, Relay, message
from tests.support.upstream import Delivery, RecordingUpstream

_numbers = count(1)


class Journey:
    """A message of its own, from Message-ID to what the upstream got of it."""

    def __init__(self, upstream: RecordingUpstream, *people: str, sender: str = NEWS, message_id: bool = True, extra: str = ""):
        self.upstream = upstream
        self.sender = sender
        number = next(_numbers)
        self.subject = f"Journey {number}."
        self.recipients = [f"{name}.{number}@example.org" for name in people]
        own = f"Message-ID: <{number}.journey@example.com>\r\n" if message_id else ""
        self.data = message("readers@example.org", sender, self.subject, extra=own + extra)

    @property
    def arrived(self) -> list[str]:
        """Everybody whom the upstream took the message for, as often as it did; reports are not counted."""
        return sorted(r.split(".")[0] for d in self.deliveries if d.accepted for r in d.recipients)

    @property
    def deliveries(self) -> list[Delivery]:
        return [d for d in self.upstream.deliveries if self._subject_of(d) == self.subject]

    @property
    def reports(self) -> list[Delivery]:
        """The accepted reports that return this message's header section."""
        ours = f"Subject: {self.subject}\r\n".encode()
        return [d for d in self.upstream.accepted if b"multipart/report" in d.data and ours in d.data]

    @staticmethod
    def _subject_of(delivery: Delivery) -> str:
        found = re.search(rb"^Subject: ([^\r]*)\r\n", delivery.data.partition(b"\r\n\r\n")[0] + b"\r\n", re.MULTILINE)
        return found[1].decode() if found else ""


class Client:
    """An SMTP client whose every step is a call. What a test leaves open, its fixture closes."""

    still_open: ClassVar[list["Client"]] = []

    def __init__(self, relay: Relay, login: str | None = NEWS, listener: str = ""):
        self.relay = relay
        self.port = int(relay.listen[listener].rpartition(":")[2]) if listener else relay.port
        self.socket = socket.create_connection(("127.0.0.1", self.port), 60)
        self.file = self.socket.makefile("rb")
        self.still_open.append(self)
        assert self.reply()[0] == 220
        assert self.say("EHLO client.example")[0] == 250
        if login:
            plain = b64encode(f"\0{login}\0{PASSWORD}".encode()).decode()
            assert self.say(f"AUTH PLAIN {plain}")[0] == 235

    def say(self, line: str) -> tuple[int, str]:
        self.socket.sendall(f"{line}\r\n".encode())
        return self.reply()

    def reply(self) -> tuple[int, str]:
        texts = []
        while True:
            line = self.file.readline().decode().rstrip("\r\n")
            assert len(line) > 3, "the relay closed the connection"
            texts.append(line[4:])
            if line[3] == " ":
                return int(line[:3]), "\n".join(texts)

    def hand_over(self, journey: Journey, recipients=None, *, mail: str = "", rcpt: str = "") -> None:
        """Everything up to the dot, whose reply is not read."""
        self.begin(journey, recipients, mail=mail, rcpt=rcpt)
        self.finish(journey)

    def begin(self, journey: Journey, recipients=None, *, mail: str = "", rcpt: str = "") -> None:
        """Everything up to the 354."""
        assert self.say(f"MAIL FROM:<{journey.sender}> {mail}".rstrip())[0] == 250
        self.address(journey, recipients, rcpt=rcpt)

    def address(self, journey: Journey, recipients=None, *, rcpt: str = "") -> None:
        """From the recipients to the 354."""
        for recipient in recipients or journey.recipients:
            assert self.say(f"RCPT TO:<{recipient}> {rcpt}".rstrip())[0] == 250
        assert self.say("DATA")[0] == 354

    def finish(self, journey: Journey) -> None:
        """The message and the dot, whose reply is not read."""
        self.socket.sendall(journey.data.replace(b"\r\n.", b"\r\n..") + b".\r\n")

    def send(self, journey: Journey, recipients=None, *, mail: str = "", rcpt: str = "") -> tuple[int, str]:
        self.hand_over(journey, recipients, mail=mail, rcpt=rcpt)
        return self.reply()

    def attempt(self, journey: Journey) -> tuple[int, str]:
        """Send; the reply to the dot, or to the MAIL that was refused."""
        code, text = self.say(f"MAIL FROM:<{journey.sender}>")
        if code != 250:
            return code, text
        self.address(journey)
        self.finish(journey)
        return self.reply()

    def vanish(self) -> None:
        """Reset the connection, as a client does whose machine was switched off."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        self.file.close()
        self.socket.close()
        self.still_open.remove(self)

    def quit(self) -> None:
        assert self.say("QUIT")[0] == 221
        self.close()

    @property
    def worker(self) -> int:
        """The process that holds the other end of this connection."""
        own = f":{self.socket.getsockname()[1]:04X}"
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[2].endswith(own) and fields[1].endswith(f":{self.port:04X}"):
                return _holder(fields[9], self.relay.worker_pids())
        raise AssertionError("no worker has taken the connection")


def _holder(inode: str, pids: list[int]) -> int:
    for pid in pids:
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            try:
                if descriptor.readlink() == Path(f"socket:[{inode}]"):
                    return pid
            except FileNotFoundError:
                continue
    raise AssertionError(f"socket {inode} belongs to no worker")


def on_each_worker(relay: Relay, login: str | None = NEWS) -> list[Client]:
    """One logged-in client per worker."""
    found: dict[int, Client] = {}
    wanted = len(relay.worker_pids())
    for _ in range(200):
        client = Client(relay, login)
        if found.setdefault(client.worker, client) is not client:
            client.quit()
        if len(found) == wanted:
            return list(found.values())
    raise AssertionError(f"only {len(found)} of {wanted} workers were reached")


def resend_until_taken(relay: Relay, journey: Journey, recipients=None) -> tuple[int, str]:
    """Send the same bytes as a client does whose queue is retried, until the reply is final."""
    answers: list[tuple[int, str]] = []

    def once() -> bool:
        client = Client(relay, journey.sender)
        answers.append(client.send(journey, recipients))
        client.quit()
        return not 400 <= answers[-1][0] < 500

    relay.wait(once, 120)  # what was leaving at a kill is claimed for as long as its mail might have taken
    return answers[-1]


def records(relay: Relay, about: str = "", kind: str = "") -> list[dict[str, Any]]:
    """What was written down, oldest first: facts with `kind`, `id` and the addresses of `people`."""
    with Reader(relay.data / "records.db", load_keys(relay.data / "keys.toml")) as reader:
        return [
            {**entry.record.facts, "kind": entry.record.kind.value, "id": entry.record.id,
             "people": [reader.reveal(person) for person in entry.record.people]}
            for entry in search(reader, Query(mailbox=about))
            if kind in ("", entry.record.kind.value)
        ]  # fmt: skip


def open_rows(relay: Relay) -> list[str]:
    """The states of the ledger's rows (SQLite store only)."""
    with closing(sqlite3.connect(f"file:{relay.data / 'relay.db'}?mode=ro", uri=True)) as db:
        return [state for (state,) in db.execute("SELECT state FROM ledger")]


def ledger_states(relay: Relay, journey: Journey) -> list[str]:
    """The states of the journey's rows, whatever the store; the sender must be the login."""

    async def ask() -> list[str]:
        keys = load_keys(relay.data / "keys.toml")
        digest = Message.parse(journey.data, max_fields=100, max_header_size=65536, max_line=998).received_digest
        key = submission_key(keys, journey.sender, Mailbox.parse(journey.sender), digest)
        store = await open_store(load_config(str(relay.config)), keys, time.time)
        try:
            return [row.state.value for row in await store.rows(key)]
        finally:
            await store.aclose()

    return asyncio.run(ask())


def readiness(relay: Relay) -> tuple[int, str]:
    return relay.get("operators", "/readyz")


def metric(relay: Relay, name: str) -> float:
    """The sum of a metric's series, or one of them: `name{label="value"}`."""
    _, text = relay.get("operators", "/metrics")
    lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return sum(float(value) for series, _, value in lines if series == name or series.startswith(f"{name}{{"))


def facts_of(relay: Relay, submission_id: str) -> dict[str, Any]:
    """The facts of the record `finished` of that submission."""
    [found] = [record for record in records(relay, kind="finished") if record["id"] == submission_id]
    return found


def submission_id(reply: str) -> str:
    found = re.search(r"\b[0-9A-HJKMNP-TV-Z]{26}\b", reply)
    assert found, json.dumps(reply)
    return found[0]
