"""The mailbox that a canary is awaited in, by the collector's own IMAP client."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from relay.config import Account, Config
from relay.doors.mailbox.collector import MONTHS, tls_context
from relay.doors.mailbox.imap import Session, connected
from relay.hosts import split_host_port
from relay.upstream.credentials import read_password

_POLL_SECONDS = 2.0
_DAY = 86400.0


class Mailroom:
    """An open inbox, and which mails were there before the canary left."""

    def __init__(self, session: Session) -> None:
        self._session = session
        day = datetime.fromtimestamp(time.time() - _DAY, UTC)  # wherever the server is
        self._recent = f"SINCE {day.day}-{MONTHS[day.month - 1]}-{day.year}"
        self._known: set[int] = set()

    async def look(self) -> list[int]:
        """The mails that were not there at the last look. Raises MailboxUnavailable."""
        found = [number for number in await self._session.numbers(self._recent) if number not in self._known]
        self._known |= set(found)
        return found

    async def wait_for(self, canary: str, seconds: float) -> bytes | None:
        """The canary's octets as the mailbox has them; None when it did not come in time. Raises MailboxUnavailable."""
        until = asyncio.get_running_loop().time() + seconds
        while True:
            for number in await self.look():
                octets = await self._session.fetch(number)
                if octets and canary.encode() in octets:  # in whichever field it survived
                    return octets
            left = until - asyncio.get_running_loop().time()
            if left <= 0:
                return None
            if self._session.can_idle:
                await self._session.wait(left)
            else:
                await asyncio.sleep(min(left, _POLL_SECONDS))


@asynccontextmanager
async def reading_for(config: Config, account: Account | None) -> AsyncIterator[Mailroom | None]:
    """Open the account's inbox before the canary leaves; None without an account.

    Raises MailboxUnavailable and ConfigurationError.
    """
    if account is None:
        yield None
        return
    password = read_password(config, account)
    host, port = split_host_port(account.imap)
    async with connected(host, port, tls_context(config, account)) as session:
        await session.log_in(account.login or account.identity, password)
        await session.select()
        mailroom = Mailroom(session)
        await mailroom.look()
        yield mailroom
        await session.log_out()
