"""What the SMTP door asks of the rooms behind it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from relay.config import Config, Listen, Smtp
from relay.doors.smtp.certificates import Certificates
from relay.doors.smtp.registry import Registry
from relay.mail.envelope import Client, Identity, Recipient, Submission
from relay.mail.mailbox import Mailbox
from relay.mail.message import MessageError
from relay.mail.reply import Reply

SIZE_RESERVE = 16 * 1024
"""Octets of the advertised SIZE that stay free for the fields we add."""


class Line(Protocol):
    """What happens to a mail; `relay.pipeline.Line` is the one of the product."""

    async def begin(
        self,
        client: Client,
        identity: Identity,
        reverse_path: Mailbox | None,
        *,
        body: str,
        smtputf8: bool,
        ret: str | None,
        envid: str | None,
    ) -> Submission | Reply:
        """MAIL: the submission without recipients, or why it cannot begin."""
        ...

    def has_room(self, submission: Submission, size: int) -> bool:
        """MAIL and DATA: whether a message of this announced size can be held, should it have to be."""
        ...

    async def admit(self, submission: Submission, recipient: Recipient) -> Reply:
        """RCPT: a positive reply takes the recipient in."""
        ...

    async def submit(self, submission: Submission, data: bytes, began: float) -> Reply:
        """End of data; `submission` has its recipients now. The final reply.

        `began` is when the client was told to send it, by the monotonic clock.
        """
        ...

    async def refuse(self, submission: Submission, fault: MessageError) -> Reply:
        """The message is over a bound and was not kept; the final reply. At MAIL, where only its size is announced, too."""
        ...

    async def concluded(self, submission: Submission) -> None:
        """The final reply was written, and the client has sent something since: it knows the outcome."""
        ...


class Authenticator(Protocol):
    """Who a login and a password prove the client to be; `relay.doors.auth` has the one of the product."""

    async def authenticate(self, client: Client, listen: Listen, login: str, password: str) -> Identity | Reply: ...


@dataclass(slots=True)
class Door:
    """What all sessions of a process share. `config` may be replaced while sessions run."""

    config: Config
    line: Line
    authenticator: Authenticator
    registry: Registry
    certificates: Certificates | None = None
    upstream_size: Callable[[], int | None] = lambda: None
    """The smallest SIZE that an upstream is known to offer."""

    @property
    def size(self) -> int:
        """The octets of the largest message that is taken, with room left for what we add."""
        return largest_message(self.config.smtp, self.upstream_size())


def largest_message(smtp: Smtp, upstream_size: int | None) -> int:
    """The octets of the largest message that a client may send."""
    return max(min(smtp.max_message_size, upstream_size or smtp.max_message_size) - SIZE_RESERVE, 1)
