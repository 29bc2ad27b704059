"""Who a client is once it is believed, and what that identity owns. `relay explain` asks here too."""

from contextlib import suppress

from relay.config import Config, Listen
from relay.mail.envelope import Credentials, Identity, IdentityKind
from relay.mail.mailbox import Mailbox, MailboxError


def identity_of_listener(config: Config, listen: Listen) -> Identity:
    """The identity of everybody on a listener without AUTH: it owns the domains that the relay signs for."""
    owned = frozenset(f"@{dkim.domain}" for dkim in config.dkim)
    return Identity(f"listener:{listen.name}", IdentityKind.TRUSTED, owned)


def identity_of_login(config: Config, name: str, upstream: str, credentials: Credentials) -> Identity:
    """The identity of a login that the upstream took: it owns itself when it is an address, and what [auth.senders] adds."""
    senders = config.auth.senders
    owned = {*senders.get(name, ()), *senders.get(credentials.login.casefold(), ())}
    with suppress(MailboxError):
        owned.add(Mailbox.parse(credentials.login).key)
    return Identity(name, IdentityKind.PASSTHROUGH, frozenset(owned), upstream, credentials)
