"""Every reply the relay can send, named once, with its enhanced status code.

Nobody else writes reply texts: the doors and the line use these names, and
docs/replies.md is made from `ALL`.  Codes follow RFC 5321 section 4.2,
enhanced codes RFC 3463 and the IANA registry that grew from RFC 5248.
Greeting, EHLO, HELO, 334 and 354 carry no enhanced code (RFC 2034 section 4).
4yz always means that the same message may be sent again later, 5yz that the
same message will be refused again.
"""

from relay.mail.reply import Reply, reply

# The connection.
SHUTTING_DOWN = reply(421, "3.2", "The relay is shutting down, connect again")
TOO_MANY_CONNECTIONS = reply(421, "7.0", "Too many connections, try again later")
TOO_MANY_CONNECTIONS_FROM_ADDRESS = reply(421, "7.0", "Too many connections from your address, try again later")
TIMED_OUT = reply(421, "4.2", "Nothing received for too long, closing the connection")
TOO_MANY_COMMANDS = reply(421, "7.0", "Too many commands on one connection, connect again")
TOO_MANY_ERRORS = reply(421, "7.0", "Too many errors, closing the connection")
CONNECTION_FAULT = reply(421, "3.0", "Internal fault, connect again")
NOT_TRUSTED = reply(554, "7.1", "This address takes mail from named networks only, and yours is not among them")
BYE = reply(221, "0.0", "Bye")

# Commands.
OK = reply(250, "0.0", "OK")
HELP = reply(
    214,
    "0.0",
    "This is a mail submission server, see RFC 6409",
    "Commands: EHLO HELO STARTTLS AUTH MAIL RCPT DATA RSET NOOP QUIT",
)
CANNOT_VERIFY = reply(252, "5.0", "Mailboxes are not verified here, but mail is taken and tried")
UNKNOWN_COMMAND = reply(500, "5.1", "Command not recognised")
COMMAND_TOO_LONG = reply(500, "5.2", "Command line too long")
COMMAND_MALFORMED = reply(500, "5.2", "A command is one line of ASCII that ends in CR LF")
NOT_IMPLEMENTED = reply(502, "5.1", "Command not implemented")
NO_ARGUMENT = reply(501, "5.4", "This command takes no argument")
EHLO_SYNTAX = reply(501, "5.4", "Say EHLO and the name of your host")
EHLO_FIRST = reply(503, "5.1", "Say EHLO first")

# TLS (RFC 3207).
START_TLS = reply(220, "0.0", "Ready to start TLS")
TLS_ACTIVE = reply(503, "5.1", "TLS is active already")
TLS_UNAVAILABLE = reply(454, "7.0", "TLS is not available now, try again later")
TLS_REQUIRED = reply(530, "7.0", "Start TLS first")

# AUTH (RFC 4954 section 6).
AUTHENTICATED = reply(235, "7.0", "Authentication succeeded")
AUTH_REQUIRED = reply(530, "7.0", "Authentication required")
AUTH_NEEDS_TLS = reply(538, "7.11", "Passwords are taken under TLS only")
AUTH_FAILED = reply(535, "7.8", "Login or password is wrong; some providers want an authorisation code instead of the password")
AUTH_UNAVAILABLE = reply(454, "7.0", "The password cannot be checked now, try again later")
AUTH_LATER = reply(454, "7.0", "Too many wrong passwords, try again later")
AUTH_MECHANISM = reply(504, "5.4", "Only AUTH PLAIN and AUTH LOGIN are known here")
AUTH_SYNTAX = reply(501, "5.2", "This is not a BASE64 answer that AUTH can use")
AUTH_CANCELLED = reply(501, "7.0", "Authentication cancelled")
AUTH_TOO_LONG = reply(500, "5.6", "Authentication line too long")
AUTH_ACTIVE = reply(503, "5.1", "You are authenticated already")
AUTH_NOT_OFFERED = reply(503, "5.1", "AUTH is not offered on this address")
AUTH_OUT_OF_PLACE = reply(503, "5.1", "AUTH is not allowed inside a mail transaction")

# MAIL and RCPT.
SENDER_OK = reply(250, "1.0", "OK")
RECIPIENT_OK = reply(250, "1.5", "OK")
MAIL_SYNTAX = reply(501, "5.4", "Write MAIL FROM:<address>")
RCPT_SYNTAX = reply(501, "5.4", "Write RCPT TO:<address>")
BAD_SENDER = reply(501, "1.7", "The reverse-path is not one mailbox that RFC 5321 allows")
BAD_RECIPIENT = reply(501, "1.3", "The recipient is not one mailbox that RFC 5321 allows")
BAD_PARAMETER = reply(501, "5.4", "The value of a parameter is not allowed")
UNKNOWN_PARAMETER = reply(555, "5.4", "A parameter is not known here")
NESTED_MAIL = reply(503, "5.1", "A mail transaction is open already")
MAIL_FIRST = reply(503, "5.1", "Say MAIL first")
SENDER_NOT_OWNED = reply(553, "7.1", "[base/ownership] The reverse-path does not belong to the identity that is logged in")
SENDER_NOT_LOGIN = reply(
    553, "7.1", "[base/login-only] The upstream server takes mail from its own login only: use that as reverse-path"
)
NULL_REVERSE_PATH = reply(553, "7.1", "[base/null-reverse-path] The upstream server takes no mail with a null reverse-path")
NEEDS_SMTPUTF8 = reply(553, "6.7", "This mailbox has non-ASCII characters: declare SMTPUTF8, or use another address")
UPSTREAM_LACKS_SMTPUTF8 = reply(
    553, "6.7", "[base/smtputf8] The upstream server cannot send to or from mailboxes with non-ASCII local parts"
)
TOO_MANY_RECIPIENTS = reply(452, "5.3", "Too many recipients, send the message to the others afterwards")
ONE_RECIPIENT_ONLY = reply(550, "7.1", "A message with a null reverse-path goes to one recipient only")
NO_STREAM = reply(550, "7.1", "[stream] No mail stream of the policy takes this message")

# DATA.
START_DATA = reply(354, "", "Send the message, end with a line that is a single dot")
RCPT_FIRST = reply(503, "5.1", "Say RCPT first")
NO_RECIPIENTS = reply(554, "5.1", "No valid recipients")

# What becomes of mail that was held: not said to the client, which had its 250, but in the report to the sender.
DROPPED = reply(554, "7.1", "[dropped] An administrator of the relay decided not to send this message")

# What stands in the way for now.
INTERNAL = reply(451, "3.0", "Internal fault, nothing was lost, try again later")
POLICY_UNUSABLE = reply(451, "3.5", "The policy cannot be applied now, try again later")
STORE_UNAVAILABLE = reply(451, "3.5", "The relay cannot look up refusals now, try again later")
RECORDS_UNAVAILABLE = reply(451, "3.5", "The relay cannot write its records now, try again later")
NO_MEMORY = reply(452, "3.1", "Too much mail is in hand, try again later")
NO_SPACE = reply(452, "3.1", "Not enough storage, try again later")
HOLD_FULL = reply(452, "3.1", "Too much mail is held, try again later")
LANE_WAITS = reply(451, "4.5", "Earlier mail of this sender to the same domain still waits, try again later")
UPSTREAM_UNREACHABLE = reply(451, "4.1", "The upstream server does not answer, try again later")
UPSTREAM_CONNECTION_LOST = reply(451, "4.2", "The connection to the upstream server was lost, try again later")
UPSTREAM_TIMED_OUT = reply(451, "4.7", "The upstream server took too long, try again later")
UPSTREAM_ACCOUNT = reply(451, "7.0", "The upstream server does not take this account's login, try again later")
NO_ACCOUNT = reply(
    451, "7.0", "[account] The relay has no account for this sender at the upstream server, the operator can add one"
)
RESEND_IN_PROGRESS = reply(451, "5.0", "The same message is still being sent, try again later")

MISCONFIGURED = "3.5"
"""RFC 3463 section 3.4, "system incorrectly configured": a pack that expired, a fact that is missing; no fault of the mail."""
DIRECTORY = "4.3"
"""RFC 3463 section 3.5, "directory server failure": DNS does not answer, the mail is not at fault either."""
NULL_MX = "1.10"
"""RFC 7505, "recipient address has null MX": the domain says itself that it takes no mail."""
UPSTREAM_PAUSED = "upstream-paused"
"""Names the pause of marketing at an upstream."""

# The code of each rule that is not 550 5.7.1; packs name rules, this says how they are answered.
RULE_CODES: dict[str, tuple[int, str]] = {
    "base/header-structure": (554, "6.0"),  # RFC 5322 section 3.6
    "base/one-from": (554, "6.0"),
    "base/line-ends": (554, "6.11"),  # Invalid line ends
    "base/line-length": (554, "6.0"),
    "base/encoding": (554, "6.3"),  # Conversion required but not supported
    "base/smtputf8": (554, "6.9"),  # RFC 6531 section 3.2: conversion failed
    "base/loop": (554, "4.6"),  # Routing loop detected
    "base/size": (552, "3.4"),
    "base/signature": (550, "7.20"),  # No passing DKIM signature found
}


def greeting(hostname: str) -> Reply:
    """The first line of a connection (RFC 5321 section 4.3.1)."""
    return reply(220, "", f"{hostname} ESMTP")


def helo(hostname: str) -> Reply:
    return reply(250, "", hostname)


def ehlo(hostname: str, *extensions: str) -> Reply:
    """The extensions that this connection may use now (RFC 5321 section 4.1.1.1)."""
    return reply(250, "", hostname, *extensions)


def challenge(base64_text: str) -> Reply:
    """What the client answers next during AUTH; an empty challenge is a single space."""
    return reply(334, "", base64_text)


def authentication_refused(upstream_text: str) -> Reply:
    """The upstream refused the login; `upstream_text` is printable ASCII, addresses masked."""
    return reply(535, "7.8", f"The upstream server said: {upstream_text}")


def refused(rule: str, text: str, help_url: str = "", *, code: int = 0, detail: str = "") -> Reply:
    """A rule refused: "[rule] text" and the page that explains it in Chinese and English.

    Without `code` and `detail` they are those of `RULE_CODES`, else 550 5.7.1.
    """
    known = RULE_CODES.get(rule, (550, "7.1"))
    return explained(reply(code or known[0], detail or known[1], f"[{rule}] {text}"), help_url)


def deferred(rule: str, text: str, help_url: str = "", *, seconds: int = 0, code: int = 451, detail: str = "7.1") -> Reply:
    """A rule defers; `seconds` until the same message has a chance."""
    wait = f", try again in {seconds} s" if seconds else ", try again later"
    return explained(reply(code, detail, f"[{rule}] {text}{wait}"), help_url)


def over_limit(limit: str, seconds: int, help_url: str = "") -> Reply:
    """The limit named "identity 60/minute" is reached."""
    return deferred("limit", f"{limit} reached", help_url, seconds=seconds, code=450)


def upstream_resting(upstream: str, until: str, seconds: int, help_url: str = "") -> Reply:
    """The upstream's own replies ask to wait; `until` is the time as people write it, ASCII."""
    text = f"By what it replied, the upstream server {upstream} takes none of this mail before {until}"
    return deferred("upstream", text, help_url, seconds=seconds)


def upstream_paused(upstream: str, help_url: str = "") -> Reply:
    """Marketing by this upstream waits for a person."""
    return deferred(UPSTREAM_PAUSED, f"Marketing by the upstream server {upstream} is paused", help_url)


def expired(hours: int, last: str) -> Reply:
    """Held mail that is given up (RFC 3463: X.4.7, delivery time expired); `last` is what was said of it last."""
    return reply(
        451, "4.7", f"[expired] The message could not be delivered within {hours} hours" + (f"; last: {last}" if last else "")
    )


def upstream_said(code: int, detail: str, text: str) -> Reply:
    """Pass the upstream's reply on; `text` is printable ASCII, addresses masked."""
    return reply(code, detail, f"The upstream server said: {text}")


def delivered(submission_id: str, count: int, held: int = 0, left_out: int = 0) -> Reply:
    """The promise: every recipient is delivered, durably held, or named in a report that was delivered or is held itself."""
    return reply(250, "0.0", f"{submission_id}, {count} delivered, {held} held, {left_out} left out")


def unfinished(submission_id: str, count: int, held: int, waiting: int, why: str) -> Reply:
    """Some recipients wait for another try; `why` is the first reason, printable ASCII."""
    text = f"{submission_id}, {count} delivered, {held} held, {waiting} not yet: {why}"
    return reply(451, "4.0", text, "Send the same message again later")


def refused_for_several_reasons(first: Reply) -> Reply:
    """Every recipient is refused for good, not all alike; `first` is what the first of them alone would be told."""
    return reply(554, "7.1", *first.text)


def report_waiting(submission_id: str, count: int, held: int, refused_count: int) -> Reply:
    """The report on the refused recipients could not be delivered yet, nor be held; a retry sends only the report."""
    text = f"{submission_id}, {count} delivered, {held} held, {refused_count} refused; the report is not delivered yet"
    return reply(451, "4.0", text, "Send the same message again later, nobody gets it twice")


def report_refused(submission_id: str, count: int, held: int, refused_count: int) -> Reply:
    """The report on the refused recipients was itself refused for good."""
    text = f"{submission_id}, {count} delivered, {held} held, {refused_count} refused; the report could not be delivered"
    return reply(554, "7.1", text)


def explained(refusal: Reply, help_url: str) -> Reply:
    """The reply and, under it, the page that explains it in Chinese and English."""
    return reply(refusal.code, refusal.detail, *refusal.text, help_url) if help_url else refusal
