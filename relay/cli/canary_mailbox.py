"""The mailbox that a canary is awaited in, by the collector's own IMAP client."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from relay.accounts import Account
from relay.config import Config
from relay.doors.mailbox.collector import MONTHS, tls_context
from relay.doors.mailbox.folders import Folder
from relay.doors.mailbox.imap import CommandRefused, Session, connected
from relay.hosts import split_host_port
from relay.upstream.credentials import read_password

_POLL_SECONDS = 2.0
_JUNK_SECONDS = 10.0  # between two looks into the junk folders
_FOLDERS = 5  # junk folders that are looked into
_DAY = 86400.0
_INBOX = Folder("INBOX", "INBOX", is_junk=False)


@dataclass(frozen=True, slots=True)
class Arrival:
    """The canary's octets as the mailbox has them, and the junk folder that it is in, "" for the inbox."""

    octets: bytes
    junk: str = ""


class Mailroom:
    """An inbox with its junk folders, and which mails were there before the canary left."""

    def __init__(self, session: Session) -> None:
        self._session = session
        day = datetime.fromtimestamp(time.time() - _DAY, UTC)  # wherever the server is
        self._recent = f"SINCE {day.day}-{MONTHS[day.month - 1]}-{day.year}"
        self._known: set[tuple[str, int]] = set()
        self._junk: list[Folder] = []

    async def open(self) -> None:
        """Look at everything that is there already. Raises MailboxUnavailable."""
        with suppress(CommandRefused):  # a server that lists nothing has an inbox all the same
            self._junk = [folder for folder in await self._session.folders() if folder.is_junk and folder.opens][:_FOLDERS]
        for folder in tuple(self._junk):
            try:
                await self._look(folder)
            except CommandRefused:  # its look is of no help, and the inbox's still is
                self._junk.remove(folder)
        await self._look(_INBOX)

    @property
    def junk(self) -> tuple[str, ...]:
        """The junk folders that are looked into, as people know them."""
        return tuple(folder.shown for folder in self._junk)

    async def _look(self, folder: Folder) -> list[int]:
        """The mails that were not in this folder at the last look; it stays selected. Raises MailboxUnavailable."""
        await self._session.select(folder.name)
        numbers = await self._session.numbers(self._recent)
        found = [number for number in numbers if (folder.name, number) not in self._known]
        self._known |= {(folder.name, number) for number in found}
        return found

    async def _look_again(self, folder: Folder) -> list[int]:
        """As `_look`; a junk folder that went away meanwhile has nothing new. Raises MailboxUnavailable."""
        if not folder.is_junk:
            return await self._look(folder)
        with suppress(CommandRefused):
            return await self._look(folder)
        return []

    async def wait_for(self, canary: str, seconds: float) -> Arrival | None:
        """The canary; None when it did not come in time. Raises MailboxUnavailable."""
        until = asyncio.get_running_loop().time() + seconds
        while True:
            for folder in (*self._junk, _INBOX):
                for number in await self._look_again(folder):
                    octets = await self._session.fetch(number)
                    if octets and canary.encode() in octets:  # in whichever field it survived
                        return Arrival(octets, folder.shown if folder.is_junk else "")
            left = until - asyncio.get_running_loop().time()
            if left <= 0:
                return None
            if self._session.can_idle:  # which tells of the inbox alone
                await self._session.wait(min(left, _JUNK_SECONDS) if self._junk else left)
            else:
                await asyncio.sleep(min(left, _POLL_SECONDS))


@asynccontextmanager
async def reading_for(config: Config, account: Account | None) -> AsyncIterator[Mailroom | None]:
    """Open the account's mailbox before the canary leaves; None without an account.

    Raises MailboxUnavailable and ConfigurationError.
    """
    if account is None:
        yield None
        return
    password = read_password(config, account)
    host, port = split_host_port(account.imap)
    async with connected(host, port, tls_context(config, account)) as session:
        await session.log_in(account.login or account.identity, password)
        mailroom = Mailroom(session)
        await mailroom.open()
        yield mailroom
        await session.log_out()
