"""Whether a recipient's domain takes mail, as far as DNS tells."""

from enum import StrEnum


class DomainMail(StrEnum):
    """What DNS says of a domain. Without MX its own address takes the mail (RFC 5321 section 5.1)."""

    TAKES = "takes"
    NONE = "none"  # there is no such domain, or nothing there to connect to
    NULL_MX = "null-mx"  # RFC 7505: its owner says that it takes none
    UNKNOWN = "unknown"  # it was asked, and nobody answered in time
