"""Logins, and what they own: the one form in which each is compared, whoever wrote it down."""

from relay.mail.mailbox import Mailbox, MailboxError, a_label


def parse_owned(text: str) -> str:
    """Fold what an identity owns: a mailbox to its key, "@domain" to its A-label.

    Raises ValueError.
    """
    return f"@{a_label(text[1:])}" if text.startswith("@") else Mailbox.parse(text).key


def fold_login(login: str) -> str:
    """The form in which logins are compared: the mailbox key where the login is an address, else case-folded."""
    try:
        return Mailbox.parse(login).key
    except MailboxError:
        return login.casefold()
