"""Mail of the relay's own through the real line: the supervisor asks a worker, and the worker hands it in like a client."""

import base64
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from relay.mail.envelope import Client, Recipient
from relay.mail.mailbox import Mailbox
from relay.mail.reply import Reply
from relay.pipeline import Line
from relay.policy.opting_in.confirming import LISTENER, identity_of, serving_stream

Letter = Mapping[str, Any]
"""What goes over the channel: sender, recipient, octets in base64."""


def letter(sender: Mailbox, recipient: Mailbox, octets: bytes) -> Letter:
    """A mail as the channel takes it."""
    return {"sender": sender.wire, "recipient": recipient.wire, "octets": base64.b64encode(octets).decode()}


async def hand_in(line: Line, posted: Letter) -> tuple[int, str]:
    """Take the mail through the line; its reply. Never raises for what the line says."""
    sender, recipient = Mailbox.parse(posted["sender"]), Recipient(Mailbox.parse(posted["recipient"]))
    if serving_stream(line.policy, sender) is None:
        return 550, "no stream of purpose service or notice takes this sender's mail"
    client = Client(LISTENER, "127.0.0.1", line.config.hostname, None, "ESMTP")
    smtputf8 = sender.needs_smtputf8 or recipient.mailbox.needs_smtputf8
    submission = await line.begin(client, identity_of(sender), sender, smtputf8=smtputf8)
    if isinstance(submission, Reply):
        return _told(submission)
    admitted = await line.admit(submission, recipient)
    if not admitted.is_positive:
        return _told(admitted)
    submission = replace(submission, recipients=(recipient,))
    reply = await line.submit(submission, base64.b64decode(posted["octets"]))
    await line.concluded(submission)
    return _told(reply)


def _told(reply: Reply) -> tuple[int, str]:
    """Without the second line, which is a web address."""
    return reply.code, f"{reply.status} {reply.rule}".strip()
