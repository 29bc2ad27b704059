"""Which ways a mail may take upstream, and which senders the providers there let through.

A provider may take mail of the login itself only, and none with a null
reverse-path.  What is certain at MAIL is said at MAIL.  Whose account sends a
mail with null reverse-path is known when its From is.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from relay.config import Config
from relay.logins import fold_login
from relay.mail import replies
from relay.mail.envelope import Credentials, Identity, IdentityKind
from relay.mail.mailbox import Mailbox
from relay.mail.message import Message
from relay.mail.reply import Reply
from relay.policy.cases.jurisdiction import UNKNOWN
from relay.policy.sets.policy_set import Stream
from relay.upstream.delivery import Upstreams


@dataclass(frozen=True, slots=True)
class Route:
    """One way to an upstream: the connection's identity and its credentials (None: the upstream asks for none)."""

    upstream: str
    identity: str
    credentials: Credentials | None


class Routing:
    """One per worker."""

    def __init__(self, config: Config, upstreams: Upstreams) -> None:
        self._config = config
        self._upstreams = upstreams

    def refusal(self, identity: Identity, stream: Stream, reverse_path: Mailbox | None) -> Reply | None:
        """Why no way can take mail with this reverse-path, whatever it is; None when one may."""
        if reverse_path is None:
            return self._refusal_of_null(identity, stream)
        routes = self._routes(identity, stream, reverse_path)
        if not routes:
            return replies.NO_ACCOUNT
        taking = [route.upstream for route in routes if self._takes(route, reverse_path)]
        if not taking:
            return replies.SENDER_NOT_LOGIN
        return self._refusal_of_utf8(reverse_path, taking)

    def refusal_of_recipient(self, identity: Identity, stream: Stream, recipient: Mailbox) -> Reply | None:
        """Why no way can take mail for this recipient; None when one may."""
        return self._refusal_of_utf8(recipient, self._upstream_names(identity, stream))

    def routes(
        self, identity: Identity, stream: Stream, reverse_path: Mailbox | None, message: Message | None
    ) -> tuple[Route, ...]:
        """The ways this mail may take, in order; empty when no account fits.

        With a null reverse-path the account is that of the one author, who is not known while there is no message.
        """
        author = message.authors[0] if message and message.authors else None
        routes = self._routes(identity, stream, reverse_path or author)
        return tuple([route for route in routes if self._takes(route, reverse_path)])

    def countries(self, routes: Sequence[Route]) -> frozenset[str]:
        """The countries of the upstreams that mail may leave by on these ways; `UNKNOWN` is among them where one is not known."""
        return frozenset([self._upstreams.country(route.upstream) or UNKNOWN for route in routes])

    def proved_by(self, identity: Identity) -> str:
        """The upstream whose login a passthrough identity has."""
        return identity.upstream or self._config.upstream[0].name

    def has_way(self, identity: Identity) -> bool:
        """Whether there may be a way: the upstream that proved a passthrough identity may be gone since its mail was held."""
        return identity.kind is not IdentityKind.PASSTHROUGH or self._upstreams.knows(self.proved_by(identity))

    def lets_write(self, route: Route, message: Message) -> bool:
        """Whether the provider lets this account send a message with this From (NetEase 554 DT:SUM, Tencent 501)."""
        return all(self._may_be(route, author) for author in message.authors or ())

    def _routes(self, identity: Identity, stream: Stream, sender: Mailbox | None) -> tuple[Route, ...]:
        """A passthrough identity never leaves the upstream that proved it; others go by an account that the relay holds."""
        names = self._upstream_names(identity, stream)
        if identity.kind is IdentityKind.PASSTHROUGH:
            return tuple(Route(name, identity.name, identity.credentials) for name in names)
        routes = []
        for name in names:
            if self._config.upstream_named(name).auth == "none":
                routes.append(Route(name, identity.name, None))
            elif account := self._upstreams.account_for(name, identity.name, sender.key if sender else None):
                routes.append(Route(name, account.login, account))
        return tuple(routes)

    def _upstream_names(self, identity: Identity, stream: Stream) -> tuple[str, ...]:
        if identity.kind is IdentityKind.PASSTHROUGH:
            return (self.proved_by(identity),)
        return stream.upstream or (self._config.upstream[0].name,)

    def _takes(self, route: Route, reverse_path: Mailbox | None) -> bool:
        if reverse_path is None:
            return self._upstreams.profile(route.upstream).null_reverse_path
        return self._may_be(route, reverse_path)

    def _may_be(self, route: Route, mailbox: Mailbox) -> bool:
        if not self._upstreams.profile(route.upstream).from_must_match_login or route.credentials is None:
            return True
        return fold_login(route.credentials.login) == mailbox.key

    def _refusal_of_null(self, identity: Identity, stream: Stream) -> Reply | None:
        names = self._upstream_names(identity, stream)
        taking = [self._config.upstream_named(name) for name in names if self._upstreams.profile(name).null_reverse_path]
        if not taking:
            return replies.NULL_REVERSE_PATH
        served = {account.upstream for account in self._config.account} | {up.name for up in taking if up.auth == "none"}
        can_log_in = identity.kind is IdentityKind.PASSTHROUGH or any(upstream.name in served for upstream in taking)
        return None if can_log_in else replies.NO_ACCOUNT

    def _refusal_of_utf8(self, mailbox: Mailbox, upstreams: Sequence[str]) -> Reply | None:
        """RFC 6531: whether every way is known to lack SMTPUTF8 for a mailbox that needs it."""
        if not mailbox.needs_smtputf8:
            return None
        known = [self._upstreams.capabilities(name) for name in upstreams]
        is_lacking = all(capabilities.seen and not capabilities.smtputf8 for capabilities in known)
        return replies.UPSTREAM_LACKS_SMTPUTF8 if is_lacking else None
