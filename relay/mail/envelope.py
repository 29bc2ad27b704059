"""The envelope of one submission: who hands it in, from whom, to whom (RFC 5321, RFC 3461).

The door fills these values from its session; from there on nobody sees the
mutable session of the SMTP library.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from relay.mail.mailbox import Mailbox


class IdentityKind(StrEnum):
    """How the client proved who it is."""

    USER = "user"  # users.toml
    PASSTHROUGH = "passthrough"  # the client's own account, tried at the upstream
    TRUSTED = "trusted"  # a trusted network; the identity is "listener:NAME"


@dataclass(frozen=True, slots=True)
class Credentials:
    """A login and its password; the password never shows in a repr."""

    login: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Identity:
    """What AUTH proved, or the trusted listener.

    `name` is folded (the mailbox key when the login is an address).  `owns`
    lists mailbox keys and "@domain" entries that this identity may use as
    reverse-path, From and Sender.  `credentials` and `upstream` are set for
    passthrough only: its mail never leaves another way.  `proved_at` is when
    AUTH proved it, epoch seconds: a session may last longer than a password.
    """

    name: str
    kind: IdentityKind
    owns: frozenset[str]
    upstream: str | None = None
    credentials: Credentials | None = None
    proved_at: float = field(default=0.0, compare=False)

    def may_use(self, mailbox: Mailbox) -> bool:
        """Whether this identity owns the mailbox (RFC 6409 section 6.1)."""
        return mailbox.key in self.owns or f"@{mailbox.domain}" in self.owns


@dataclass(frozen=True, slots=True)
class Client:
    """The connection a submission came by; `address` is the announced one under PROXY."""

    listener: str
    address: str
    helo: str
    tls: str | None  # "TLSv1.3 TLS_AES_256_GCM_SHA384", None in the clear
    protocol: str  # the "with" word of the Received field: SMTP, ESMTP, ESMTPS, ESMTPSA, UTF8SMTPSA (RFC 3848, 6531)


@dataclass(frozen=True, slots=True)
class Recipient:
    """One accepted forward-path with its DSN parameters (RFC 3461 section 4)."""

    mailbox: Mailbox
    notify: frozenset[str] | None = None  # NEVER | SUCCESS, FAILURE, DELAY; None when not given
    orcpt: str | None = None  # as given, "rfc822;..." in xtext

    @property
    def key(self) -> str:
        return self.mailbox.key

    @property
    def wants_failure_report(self) -> bool:
        """RFC 3461 section 4.1: without NOTIFY a failure is reported."""
        return self.notify is None or "FAILURE" in self.notify


@dataclass(frozen=True, slots=True)
class Submission:
    """One mail transaction up to RCPT, before or with its recipients.

    `id` is a 26-character ULID from the door.  `at` is seconds since the
    epoch.  `reverse_path` is None when null.  `stream` is the name of the
    stream that took it, by the set whose hash is `policy`; what comes later is
    judged by the set that is in force then.
    """

    id: str
    at: float
    client: Client
    identity: Identity
    reverse_path: Mailbox | None
    stream: str
    policy: str
    recipients: tuple[Recipient, ...] = ()
    body: str = "7BIT"  # 7BIT | 8BITMIME (RFC 6152)
    smtputf8: bool = False
    ret: str | None = None  # FULL | HDRS (RFC 3461 section 4.3)
    envid: str | None = None  # xtext as given (RFC 3461 section 4.4)

    def to(self, recipients: tuple[Recipient, ...]) -> "Submission":
        """The same for these recipients. `dataclasses.replace` takes five times as long, and every message needs it."""
        return Submission(
            self.id, self.at, self.client, self.identity, self.reverse_path, self.stream, self.policy, recipients,
            self.body, self.smtputf8, self.ret, self.envid,
        )  # fmt: skip
