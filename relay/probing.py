"""A canary: one small mail through the real rendering and the real transaction, to see what a provider makes of it.

It is no submission: no client handed it in, no stream's limits count it.  It
is on record before it leaves, and whoever must not be written to gets none.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from email.header import Header
from email.utils import format_datetime

from relay.config import Config
from relay.consignment import Consignment, Renderer
from relay.ids import ENTROPY_OCTETS, new_id
from relay.keys import Keys
from relay.mail.envelope import Client, Identity, IdentityKind, Recipient, Submission
from relay.mail.mailbox import Mailbox
from relay.mail.message import Message
from relay.policy.sets.policy_set import PolicySet, Stream
from relay.render.copy import Copy
from relay.render.signing import Signers
from relay.routing import Route, Routing
from relay.stores.ledger import FirstTry
from relay.upstream.delivery import Upstreams
from relay.upstream.outcome import Outcome

MARK = "X-Probe-Id"
_PATIENCE, _PAST_DOT, _LAST_WORDS = 30.0, 60.0, 2.0
_SUBJECT = "邮件中继探测 probe of the mail relay"
_TEXT = """\
这是邮件中继的探测邮件，用来查看服务商是否改动邮件，收到后可以删除。
This is a canary of the mail relay: it shows what the provider changes in a mail. You may delete it.

.a line that begins with a dot
From a line that mailboxes like to change
blanks at the end  \t
\ttabs\tin\tbetween
"""


@dataclass(frozen=True, slots=True)
class Sent:
    """The copy as it left, and what the upstream said to it."""

    copy: Copy
    outcome: Outcome


class Prober:
    """Makes canaries and sends them."""

    def __init__(
        self,
        config: Config,
        policy: PolicySet,
        *,
        keys: Keys,
        upstreams: Upstreams,
        signers: Signers,
        clock: Callable[[], float],
        entropy: Callable[[int], bytes],
    ) -> None:
        self._config, self._policy, self._clock, self._entropy = config, policy, clock, entropy
        self._upstreams = upstreams
        routing = Routing(config, upstreams)
        self._renderer = Renderer(config, keys=keys, upstreams=upstreams, routing=routing, signers=signers)

    def canary(self, route: Route, stream: Stream, sender: Mailbox, recipient: Mailbox) -> Consignment:
        """A mail of this stream to one person; its id is in the field MARK."""
        now = self._clock()
        submission_id, hostname = new_id(now, self._entropy(ENTROPY_OCTETS)), self._config.hostname
        identity = Identity(route.identity, IdentityKind.USER, frozenset({sender.key}))
        client = Client("probe", "127.0.0.1", hostname, None, "ESMTP")
        submission = Submission(
            submission_id, now, client, identity, sender, stream.name, self._policy.hash, (Recipient(recipient),), "8BITMIME"
        )
        date = format_datetime(datetime.fromtimestamp(now, self._policy.zone))
        first = FirstTry(submission_id, now, date, f"<{submission_id}@{hostname}>")
        message = Message.parse(_octets(submission_id, sender, recipient))
        return Consignment(submission, message, self._policy, stream, b"", first, (route,))

    async def send(self, canary: Consignment) -> Sent:
        """Send it. Raises UpstreamUnavailable and RenderingImpossible."""
        (route,), recipients = canary.routes, canary.submission.recipients
        copy = self._renderer.copy(canary, route, recipients)
        deadline = asyncio.get_running_loop().time() + _PATIENCE
        async with self._upstreams.lease(route.upstream, route.identity, route.credentials, deadline) as connection:
            if copy.needs_8bit and not connection.capabilities.eightbitmime:
                copy = self._renderer.copy(canary, route, recipients, encoded=True)
            path = canary.submission.reverse_path
            (outcome,) = await connection.transact(path, copy, deadline=deadline, past_dot=_PAST_DOT)
        return Sent(copy, outcome)

    async def aclose(self) -> None:
        """Say goodbye to the upstream."""
        await self._upstreams.drain(asyncio.get_running_loop().time() + _LAST_WORDS)


def _octets(submission_id: str, sender: Mailbox, recipient: Mailbox) -> bytes:
    """What a program would hand in: Date, Message-ID and List-Unsubscribe are the relay's to add."""
    fields = (
        ("From", f"<{sender.wire}>"),
        ("To", f"<{recipient.wire}>"),
        ("Subject", Header(f"{_SUBJECT} {submission_id}", "utf-8").encode(linesep="\r\n")),
        ("Reply-To", f"<{sender.wire}>"),
        ("List-Id", f"<probe.{sender.domain}>"),
        ("Feedback-ID", f"probe:{sender.domain}"),
        ("Auto-Submitted", "auto-generated"),
        (MARK, submission_id),
        ("MIME-Version", "1.0"),
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Transfer-Encoding", "8bit"),
    )
    header = "".join(f"{name}: {value}\r\n" for name, value in fields)
    return f"{header}\r\n{_TEXT}".replace("\r\n", "\n").replace("\n", "\r\n").encode()
