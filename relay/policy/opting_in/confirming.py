"""Which mail a confirmation mail is: that of its sender, if the stream that takes it serves."""

from relay.mail.envelope import Identity, IdentityKind
from relay.mail.mailbox import Mailbox
from relay.policy.sets.policy_set import PolicySet, Stream
from relay.policy.suppressions.suppression import Purpose

LISTENER = "sign-up"
"""What a confirmation mail came by, in records and in `match.listeners` of a stream."""
_SERVING = frozenset({Purpose.SERVICE, Purpose.NOTICE})


def identity_of(sender: Mailbox) -> Identity:
    """The identity that hands confirmation mails in: it owns the one address that they are from."""
    return Identity(sender.key, IdentityKind.USER, frozenset({sender.key}))


def serving_stream(policy: PolicySet, sender: Mailbox) -> Stream | None:
    """The stream that takes confirmation mails; None where none does, or one whose mail is for something else."""
    stream = policy.stream_for(identity_of(sender), LISTENER, sender)
    return stream if stream is not None and stream.purpose in _SERVING else None
