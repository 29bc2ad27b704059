"""Watch the mailboxes of [[account]]s with `imap`: read what is new, let it take effect, mark it as read.

One task per mailbox, in the supervisor's process, so that no mail waits for
it.  New is what has a higher number (UID) than the last that was handled,
whether somebody has read it meanwhile or not.  Mails that mean nothing to the
relay are left as they are: they are for people.
"""

import asyncio
import logging
import ssl
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

from relay import telemetry
from relay.accounts import Account
from relay.config import Config
from relay.doors.mailbox.effects import UNREADABLE, Effects
from relay.doors.mailbox.imap import CommandRefused, LoginRefused, MailboxUnavailable, Session, connected
from relay.doors.refusals import Refusals
from relay.errors import ConfigurationError, RecordsUnavailable, RelayError, StoreUnavailable
from relay.hosts import split_host_port
from relay.keys import Keys
from relay.policy.sets.policy_set import PolicySet
from relay.records.append import Records
from relay.records.collected import Handled, last_number, mailbox_digest, still_to_mark
from relay.records.journal import replay
from relay.stores.contracts import Store
from relay.tasks import spawn
from relay.upstream.credentials import read_password
from relay.upstream.profile import load_profiles

_log = logging.getLogger("relay.doors")
IDLE_SECONDS = 300.0  # then it looks by itself: a server that offers IDLE need not keep what it promises
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 300.0
LOGIN_PAUSE = 300.0  # providers lock accounts on which somebody keeps guessing
BATCH = 20
TRIES = 3  # for a mail that the server does not hand out, or that breaks its reading
BREAKS = 10  # for one at which the connection ends: some servers hang up instead of saying no


class Watch:
    """One mailbox. `name` is what metrics and logs call it: addresses have no place there."""

    def __init__(
        self,
        name: str,
        account: Account,
        config: Config,
        effects: Effects,
        *,
        keys: Keys,
        records: Records,
        store: Callable[[], Store],
        clock: Callable[[], float],
    ) -> None:
        self.name = name
        self._account = account
        self._config = config
        self._effects = effects
        self._records = records
        self._store = store
        self._clock = clock
        self._mailbox = mailbox_digest(keys, account.identity)
        self._pause = FIRST_PAUSE
        self._failed: Counter[int] = Counter()  # how often a mail stood in its own way
        self._suspect = 0  # the mail at which the server failed last
        self._on_trial = 0  # the same, after this connection has brought a mail behind it
        self._silent = 0  # how many of those behind a suspect were asked for in vain

    async def run(self) -> None:
        """Watch until cancelled, whatever happens to the connection."""
        while True:
            telemetry.collector_up.labels(self.name).set(0)
            try:
                await self._watch()
            except LoginRefused as fault:
                self._pause = max(self._pause, LOGIN_PAUSE)
                _log.error("mailbox %s: %s", self.name, fault)
            except (MailboxUnavailable, RecordsUnavailable, ConfigurationError) as fault:
                _log.warning("mailbox %s cannot be read now: %s", self.name, fault)
            except Exception:  # noqa: BLE001 - refusals wait in that mailbox; this task must not end
                _log.exception("mailbox %s: reading failed; trying again", self.name)
            telemetry.collector_up.labels(self.name).set(0)
            await asyncio.sleep(self._pause)
            self._pause = min(2 * self._pause, max(LONGEST_PAUSE, LOGIN_PAUSE))

    async def _watch(self) -> None:
        """Read over one connection until it breaks. Raises MailboxUnavailable and RecordsUnavailable."""
        password = read_password(self._config, self._account)
        host, port = split_host_port(self._account.imap)
        async with connected(host, port, tls_context(self._config, self._account)) as session:
            await session.log_in(self._account.login or self._account.identity, password)
            await session.select()
            while True:
                await self._look(session)
                telemetry.collector_up.labels(self.name).set(1)
                self._pause = FIRST_PAUSE
                if session.can_idle:
                    await session.wait(IDLE_SECONDS)
                else:
                    await asyncio.sleep(self._config.collector.poll)

    async def _look(self, session: Session) -> None:
        """Handle everything that is new."""
        self._on_trial = 0
        await self._mark(session)  # what a crash left unmarked
        last = last_number(self._records.reader, self._mailbox, session.validity)
        if last is None:
            begin = datetime.fromtimestamp(self._clock() - self._config.collector.look_back, UTC)
            numbers = await session.numbers(f"SINCE {begin.day}-{MONTHS[begin.month - 1]}-{begin.year}")
        else:
            numbers = [number for number in await session.numbers(f"UID {last + 1}:*") if number > last]
        if numbers and await _lacks_keys(self._store()):  # a token made with them would be taken for a forged one
            raise MailboxUnavailable("mails wait for the key file of the node where the newest keys were made")
        if numbers and numbers[0] == self._suspect and await self._hands_out_one_of(session, numbers[1:]):
            self._on_trial = self._suspect
        for start in range(0, len(numbers), BATCH):
            await self._read(session, numbers[start : start + BATCH])

    async def _hands_out_one_of(self, session: Session, behind: list[int]) -> bool:
        """Whether the server hands out mails at all. If the one asked for does not come, next time it is another."""
        if not behind:
            return False
        number = behind[self._silent % len(behind)]
        self._silent += 1
        with suppress(CommandRefused):
            if await session.fetch(number) is not None:
                self._silent -= 1
                return True
        return False

    async def _read(self, session: Session, numbers: list[int]) -> None:
        counts: Counter[str] = Counter()
        read = 0
        try:
            for number in numbers:
                if kind := await self._take(session, number):
                    counts[kind] += 1
                read = number
        finally:  # what came before a fault is not read again
            if read:
                await self._records.handle(Handled(self._mailbox, session.validity, read))
            for kind, count in counts.items():
                telemetry.collected_total.labels(kind).inc(count)
        with suppress(StoreUnavailable):  # the journal has them; they are carried over when the store is back
            await replay(self._records, self._store(), self._clock)
        await self._mark(session)

    async def _take(self, session: Session, number: int) -> str:
        """Let a mail take effect and say what it was, "" when it is gone.

        One that fails again and again is passed over: no mail keeps those behind it from being read.  When the server
        fails, that counts only after the same connection has brought a mail behind it; else the mail could be a
        refusal, and the fault the server's.
        """
        try:
            octets = await session.fetch(number)
            place = Handled(self._mailbox, session.validity, number, to_mark=True)
            kind = "" if octets is None else await self._effects.handle(octets, place)
        except Exception as fault:
            if isinstance(fault, MailboxUnavailable) and number != self._on_trial:
                self._suspect = number
                _log.warning("mailbox %s: the server does not hand out mail %d: it waits", self.name, number)
                raise
            self._failed[number] += (tries := _tries(fault)) > 0
            if not tries or self._failed[number] < tries:
                raise
            trace = None if isinstance(fault, MailboxUnavailable) else fault
            _log.error("mailbox %s: mail %d cannot be read and is passed over: look at it", self.name, number, exc_info=trace)
            kind = UNREADABLE
        self._failed.pop(number, None)
        return kind

    async def _mark(self, session: Session) -> None:
        """Mark as read what was handled; a mailbox that does not allow it stays as it is."""
        numbers = still_to_mark(self._records.reader, self._mailbox, session.validity)
        if not numbers:
            return
        try:
            await session.mark_read(numbers)
        except CommandRefused as fault:
            _log.warning("mailbox %s: mails cannot be marked as read: %s", self.name, fault)
        await self._records.marked(Handled(self._mailbox, session.validity, numbers[-1]))


async def _lacks_keys(store: Store) -> bool:
    """Whether the store was written with keys that this node does not have yet."""
    try:
        await store.check()
    except StoreUnavailable as fault:
        return fault.reason == "keys"
    return False


def _tries(fault: Exception) -> int:
    """How often a mail is tried on which this came; 0 when the fault is this node's, and no mail's."""
    if isinstance(fault, MailboxUnavailable) and not isinstance(fault, CommandRefused):
        return BREAKS
    ours = isinstance(fault, RelayError | OSError | MemoryError)
    return 0 if ours and not isinstance(fault, CommandRefused | TimeoutError) else TRIES


class Collector:
    """All watches of this node."""

    def __init__(
        self,
        config: Config,
        *,
        keys: Keys,
        records: Records,
        refusals: Refusals,
        store: Callable[[], Store],
        policy: Callable[[], PolicySet],
        clock: Callable[[], float],
        entropy: Callable[[int], bytes],
    ) -> None:
        profiles = load_profiles()
        self.watches = []
        for name, account in mailboxes(config).items():
            profile = profiles[config.upstream_named(account.upstream).provider]
            effects = Effects(
                name, profile, config.hostname,
                keys=keys, records=records, refusals=refusals, policy=policy, clock=clock, entropy=entropy,
            )  # fmt: skip
            self.watches.append(Watch(name, account, config, effects, keys=keys, records=records, store=store, clock=clock))
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to watch."""
        self._tasks = [spawn(watch.run(), f"mailbox {watch.name}") for watch in self.watches]

    async def aclose(self) -> None:
        """Stop watching; what was begun is either on record or will be read again."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def mailboxes(config: Config) -> dict[str, Account]:
    """The accounts with a mailbox to watch, by the names that metrics call them: the upstream's, numbered where needed."""
    named: dict[str, Account] = {}
    for account in config.account:
        if account.imap:
            place = 1 + sum(one.upstream == account.upstream for one in named.values())
            named[account.upstream if place == 1 else f"{account.upstream}-{place}"] = account
    return named


def tls_context(config: Config, account: Account) -> ssl.SSLContext | None:
    """How to verify the account's IMAP server, None where it is spoken to in the clear. Raises ConfigurationError."""
    if account.imap_tls == "none":
        return None
    file = account.imap_ca_file
    try:
        return ssl.create_default_context(cafile=str(config.path(file)) if file else None)
    except OSError as error:
        raise ConfigurationError(f"imap_ca_file {file}: {error.strerror or error}") from None


MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
