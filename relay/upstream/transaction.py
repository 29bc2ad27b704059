"""One mail transaction, pipelined where the upstream offers it (RFC 2920).

Every status is read, and nothing is sent past the final dot.  Until the last
write, the one that carries the dot, the upstream cannot have the message and
a failure is transient.  From that write on, only the upstream's own reply
says what happened; without it the outcome is indeterminate.

A connection is fit for the next transaction exactly when its wire has no
fault afterwards.  A cancelled transaction cuts it.
"""

import asyncio
import re
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from relay.mail import replies
from relay.mail.envelope import Recipient
from relay.mail.mailbox import Mailbox
from relay.mail.reply import Reply
from relay.upstream.outcome import Outcome, OutcomeState, UpstreamReply, outcome_of, unanswered
from relay.upstream.profile import Capabilities, Profile
from relay.upstream.wire import SERVICE_CLOSING, Wire, WireLostError

SLICE = 64 * 1024  # octets handed to the transport at a time
MAX_BATCH_OCTETS = 64 * 1024  # RFC 2920 section 3.1: a batch must fit the buffers of both sides, or both may wait for ever
MAX_BATCH_COMMANDS = 100
LEAST_RATE = 16 * 1024  # octets a second; an upstream that takes less is not taking the message
LATE_PATIENCE = 240.0  # seconds for a reply to the dot that nobody waits for any more (RFC 5321 section 4.5.3.2.6)
START_INPUT = 354
_FORBIDDEN = re.compile(rb"[\x00-\x1f\x7f]")  # in a command: CR and LF would start another one
_PARAMETER = re.compile(r"[!-~]*")


class Carried(Protocol):
    """The part of a rendered copy that a transaction needs; `header + body` is the message, all lines end in CRLF."""

    @property
    def recipients(self) -> tuple[Recipient, ...]: ...
    @property
    def header(self) -> bytes: ...
    @property
    def body(self) -> bytes: ...
    @property
    def size(self) -> int: ...
    @property
    def needs_8bit(self) -> bool: ...
    @property
    def needs_smtputf8(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Mail:
    """A copy with its reverse-path (None when null) and the DSN parameters of RFC 3461 as the client gave them."""

    reverse_path: Mailbox | None
    copy: Carried
    ret: str | None = None
    envid: str | None = None
    needs_smtputf8: bool = field(init=False)
    """Whether envelope or header cannot be said without SMTPUTF8 (RFC 6531 section 3.2)."""

    def __post_init__(self) -> None:
        needs = self.copy.needs_smtputf8 or bool(self.reverse_path and self.reverse_path.needs_smtputf8)
        needs = needs or any(recipient.mailbox.needs_smtputf8 for recipient in self.copy.recipients)
        object.__setattr__(self, "needs_smtputf8", needs)


@dataclass(frozen=True, slots=True)
class Result:
    """One outcome per recipient, in order.

    `stale` says that the connection was closed under us before 354, so that
    the same mail may be offered on another one.  `late` waits on for a reply
    to the dot that did not come in time, and returns the outcomes anew; until
    it does the connection is good for nothing else.
    """

    outcomes: list[Outcome]
    stale: bool = False
    late: Callable[[], Coroutine[Any, Any, list[Outcome]]] | None = None


async def transact(
    wire: Wire, profile: Profile, offered: Capabilities, mail: Mail, *, deadline: float, past_dot: float
) -> Result:
    """Offer the mail; `deadline` (of the loop's clock) is for everything up to 354.

    The message itself gets `past_dot` seconds for each step forward, and as
    many again for the reply to the dot, counted from the deadline or later.
    Never raises for what an upstream does.
    """
    if mail.needs_smtputf8 and not offered.smtputf8:
        refused = Outcome(OutcomeState.PERMANENT, replies.UPSTREAM_LACKS_SMTPUTF8, None, before_dot=True)
        return Result([refused] * len(mail.copy.recipients))
    try:
        return await _Transaction(wire, profile, offered, mail).run(deadline, past_dot)
    except BaseException:
        wire.abort("cancelled")
        raise


class _Transaction:
    """The replies so far."""

    def __init__(self, wire: Wire, profile: Profile, offered: Capabilities, mail: Mail) -> None:
        self._wire, self._profile, self._offered, self._mail = wire, profile, offered, mail
        self._replies: list[UpstreamReply] = []  # to MAIL, each RCPT, DATA
        self._has_waited_enough = False
        self._dot_written = False

    async def run(self, deadline: float, past_dot: float) -> Result:
        self._wire.alarm.set(deadline, self._time_is_up)
        await self._wire.settled()
        await self._envelope()
        is_wanted = self._accepted
        goes_ahead = self._goes_ahead
        if goes_ahead and not is_wanted:
            await self._lone_dot()
        self._wire.alarm.silence()
        if self._wire.fault or not goes_ahead or not is_wanted:
            return self._refused()
        return await self._content(deadline, past_dot)

    def _time_is_up(self) -> None:
        """Ending the connection answers everything that is waited for."""
        self._wire.abort("timeout")

    @property
    def _why(self) -> Reply:
        """What a recipient without a definite reply is told."""
        is_late = self._has_waited_enough or self._wire.fault == "timeout"
        return replies.UPSTREAM_TIMED_OUT if is_late else replies.UPSTREAM_CONNECTION_LOST

    async def _envelope(self) -> None:
        """Send MAIL, RCPT and DATA and read every status; stops early only where nothing is in flight."""
        commands = envelope_commands(self._mail, self._offered)
        for batch in _batches(commands, pipelining=self._offered.pipelining):
            if self._is_pointless(batch):
                return
            for answer in self._wire.ask(*batch):
                reply = await answer
                if reply is None or not self._fits(reply):
                    return
                self._replies.append(reply)

    def _fits(self, reply: UpstreamReply) -> bool:
        """Whether the reply can belong to the command: otherwise both sides speak of different things."""
        is_data = len(self._replies) == len(self._mail.copy.recipients) + 1
        if reply.code >= 400 or (reply.code == START_INPUT if is_data else reply.is_positive):
            return True
        self._wire.abort("malformed")
        return False

    def _is_pointless(self, batch: list[bytes]) -> bool:
        if self._replies and not self._replies[0].is_positive:
            return True
        return batch == [b"DATA\r\n"] and not self._accepted

    async def _lone_dot(self) -> None:
        """354 although nobody was accepted: end the empty message, whose reply means nothing (RFC 2920 section 3.1)."""
        (answer,) = self._wire.ask(b".\r\n")
        await answer

    async def _content(self, deadline: float, past_dot: float) -> Result:
        copy, loop = self._mail.copy, asyncio.get_running_loop()
        answer = self._wire.expect()
        self._wire.alarm.set(loop.time() + longest(copy, past_dot), self._time_is_up)
        try:
            await self._write_content(answer, past_dot)
        except TimeoutError:
            self._time_is_up()
        except WireLostError:
            pass
        if not self._dot_written:
            self._wire.abort("unfinished")
            return Result(self._after_content(answer.result()))
        if not answer.done():
            await self._wait_for(answer, max(loop.time(), deadline) + past_dot)
        self._wire.alarm.silence()
        if answer.done():
            return Result(self._after_content(answer.result()))
        self._has_waited_enough = True
        return Result(self._after_content(None), late=lambda: self._hear(answer))

    async def _wait_for(self, answer: asyncio.Future[UpstreamReply | None], until: float) -> None:
        """Wait for the reply, or until then; the reply may still come later."""
        woken = asyncio.get_running_loop().create_future()

        def wake(_: object = None) -> None:
            if not woken.done():
                woken.set_result(None)

        answer.add_done_callback(wake)
        self._wire.alarm.set(until, wake)
        await woken

    async def _hear(self, answer: asyncio.Future[UpstreamReply | None]) -> list[Outcome]:
        """Wait on for the reply to the dot; when it never comes nothing has changed."""
        try:
            await asyncio.wait([answer], timeout=LATE_PATIENCE)
        finally:
            if not answer.done():
                self._wire.abort("timeout")
        return self._after_content(answer.result())

    async def _write_content(self, answer: asyncio.Future[UpstreamReply | None], patience: float) -> None:
        """Write the message in slices; stops when the upstream answers before its end (421 or 552, usually)."""
        header, body = stuffed(self._mail.copy.header), stuffed(self._mail.copy.body)
        end = b".\r\n" if (body or header).endswith(b"\r\n") else b"\r\n.\r\n"
        if len(header) + len(body) <= SLICE:
            self._dot_written = True
            self._wire.write(b"".join((header, body, end)))
            return
        for octets in (header, body):
            for piece in _slices(octets):
                self._wire.write(piece)
                async with asyncio.timeout(patience):
                    await self._wire.drain()
                if answer.done():
                    return
        self._dot_written = True
        self._wire.write(end)

    def _after_content(self, reply: UpstreamReply | None) -> list[Outcome]:
        if reply is not None and reply.code < 400 and not (reply.is_positive and self._dot_written):
            self._wire.abort("malformed")
            reply = None
        alone = len(self._mail.copy.recipients) == 1
        return [
            self._definite(rcpt, before_dot=True, own=True)
            if not rcpt.is_positive
            else self._definite(reply, before_dot=not self._dot_written, own=alone and self._dot_written)
            for rcpt in self._replies[1:-1]
        ]

    def _refused(self) -> Result:
        """The outcomes of a transaction that did not get to its content."""
        mail_refused = bool(self._replies) and not self._replies[0].is_positive
        if not self._wire.fault and not mail_refused and not self._goes_ahead:
            self._wire.reset()
        general = self._general_refusal()
        refusals = [self._own_refusal(number) for number in range(1, len(self._mail.copy.recipients) + 1)]
        outcomes = [self._definite(own or general, before_dot=True, own=own is not None) for own in refusals]
        closed = self._wire.fault in ("lost", "closing")
        settled = mail_refused and self._replies[0].code != SERVICE_CLOSING
        return Result(outcomes, stale=closed and not settled and not self._goes_ahead)

    def _own_refusal(self, number: int) -> UpstreamReply | None:
        """The definite reply to this recipient's RCPT when it was a refusal of its own."""
        if not self._replies or not self._replies[0].is_positive or number >= len(self._replies):
            return None
        reply = self._replies[number]
        return reply if reply.code >= 400 and reply.code != SERVICE_CLOSING else None

    def _general_refusal(self) -> UpstreamReply | None:
        """The reply that refused everybody: to MAIL, to DATA, or a 421 anywhere."""
        refusals = [reply for reply in self._replies if reply.code >= 400]
        closing = [reply for reply in refusals if reply.code == SERVICE_CLOSING]
        if self._replies and self._replies[0].code >= 400:
            return self._replies[0]
        if closing:
            return closing[0]
        return self._data_reply if self._data_reply in refusals else None

    def _definite(self, reply: UpstreamReply | None, *, before_dot: bool, own: bool = False) -> Outcome:
        if reply is None:
            return unanswered(self._why, before_dot=before_dot)
        return outcome_of(self._profile, reply, before_dot=before_dot, own=own)

    @property
    def _data_reply(self) -> UpstreamReply | None:
        return self._replies[-1] if len(self._replies) == len(self._mail.copy.recipients) + 2 else None

    @property
    def _goes_ahead(self) -> bool:
        return self._data_reply is not None and self._data_reply.code == START_INPUT

    @property
    def _accepted(self) -> bool:
        """Whether MAIL and at least one RCPT were answered 2yz."""
        rcpts = self._replies[1 : 1 + len(self._mail.copy.recipients)]
        return bool(self._replies) and self._replies[0].is_positive and any(reply.is_positive for reply in rcpts)


def longest(copy: Carried, past_dot: float) -> float:
    """Seconds that handing over the message itself may take."""
    return past_dot + copy.size / LEAST_RATE


def envelope_commands(mail: Mail, offered: Capabilities) -> list[bytes]:
    """MAIL, one RCPT per recipient, and DATA; parameters only where the upstream offers their extension."""
    return [_mail_command(mail, offered), *(_rcpt_command(r, offered) for r in mail.copy.recipients), b"DATA\r\n"]


def stuffed(octets: bytes) -> bytes:
    """Double the dot that starts a line (RFC 5321 section 4.5.2); `octets` begin at the start of a line.

    Octets without such a dot are returned as they are, not copied; others are copied once.
    """
    doubled = octets.replace(b"\r\n.", b"\r\n..")
    return b"." + doubled if octets[:1] == b"." else doubled


def _mail_command(mail: Mail, offered: Capabilities) -> bytes:
    parameters = [f"SIZE={mail.copy.size}"] if offered.size_offered else []
    parameters += ["BODY=8BITMIME"] if mail.copy.needs_8bit and offered.eightbitmime else []
    parameters += ["SMTPUTF8"] if mail.needs_smtputf8 else []
    if offered.dsn:
        parameters += [f"RET={mail.ret}"] if mail.ret else []
        parameters += [f"ENVID={mail.envid}"] if mail.envid else []
    return _command("MAIL FROM:", mail.reverse_path.wire if mail.reverse_path else "", parameters)


def _rcpt_command(recipient: Recipient, offered: Capabilities) -> bytes:
    parameters = []
    if offered.dsn:
        parameters += [f"NOTIFY={','.join(sorted(recipient.notify))}"] if recipient.notify else []
        parameters += [f"ORCPT={recipient.orcpt}"] if recipient.orcpt else []
    return _command("RCPT TO:", recipient.mailbox.wire, parameters)


def _command(verb: str, path: str, parameters: list[str]) -> bytes:
    command = " ".join((f"{verb}<{path}>", *parameters)).encode()
    if _FORBIDDEN.search(command) or (parameters and not all(map(_PARAMETER.fullmatch, parameters))):
        raise ValueError(f"{verb} with control characters or blanks must not reach an upstream")
    return command + b"\r\n"


def _batches(commands: list[bytes], *, pipelining: bool) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    octets = 0
    for command in commands:
        full = octets + len(command) > MAX_BATCH_OCTETS or len(batch) >= MAX_BATCH_COMMANDS
        if batch and (full or not pipelining):
            yield batch
            batch, octets = [], 0
        batch.append(command)
        octets += len(command)
    yield batch


def _slices(octets: bytes) -> Iterator[memoryview]:
    view = memoryview(octets)
    for start in range(0, len(view), SLICE):
        yield view[start : start + SLICE]
