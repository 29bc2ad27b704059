"""When each reply of `replies.py` is sent and what the client should do: the source of docs/replies.md."""

# ruff: noqa: E501 - these are tables, and one row is one line

from collections.abc import Iterable
from dataclasses import dataclass

from relay.mail import replies
from relay.mail.reply import Reply

_ID = "01JD6Z4M0Q8V7KX3T5N2C9R1BF"
_PAGE = f"http://127.0.0.1:8027/r/{_ID}"

_AGAIN = "Send it again later."
_FIX_CLIENT = "Correct the client."
_NOTHING = "Go on."


@dataclass(frozen=True, slots=True)
class Documented:
    """One reply: its name in `replies.py`, an example, when it is sent, what the client should do."""

    name: str
    example: Reply
    when: str
    client: str


def _rows(*rows: tuple[str, str, str]) -> tuple[Documented, ...]:
    return tuple(Documented(name, getattr(replies, name), when, client) for name, when, client in rows)


_CONNECTION = (
    Documented("greeting", replies.greeting("relay.example.com"), "A client has connected.", "Say EHLO."),
    *_rows(
        ("NOT_TRUSTED", "The listener has `auth = \"none\"` and the client is in none of `trusted_networks`.", "Use a listener with AUTH, or ask the operator."),
        ("TOO_MANY_CONNECTIONS", "`[smtp] max_connections` is reached, counted over all workers.", "Connect again later."),
        ("TOO_MANY_CONNECTIONS_FROM_ADDRESS", "The client's address, or its IPv6 network (/64), has `max_connections_per_address` connections, counted over all workers.", "Use fewer connections at a time."),
        ("SHUTTING_DOWN", "The relay is told to stop and the connection is idle.", "Connect again; nothing was lost."),
        ("TIMED_OUT", "The client was silent for `command_timeout`, or slower than `data_timeout` with its message.", "Connect again."),
        ("TOO_MANY_COMMANDS", "The connection gave `max_commands` commands since it began or its last mail was accepted.", "Connect again."),
        ("TOO_MANY_ERRORS", "`max_errors` commands of the connection failed since it began or its last mail was accepted.", _FIX_CLIENT),
        ("CONNECTION_FAULT", "A fault inside the relay outside a mail transaction.", "Connect again; the operator finds it in the log."),
        ("BYE", "QUIT.", "Close the connection."),
    ),
)  # fmt: skip

_COMMANDS = (
    Documented("ehlo", replies.ehlo("relay.example.com", "PIPELINING", "SIZE 33538048", "8BITMIME", "ENHANCEDSTATUSCODES", "AUTH PLAIN LOGIN"), "EHLO; only what works on this connection now is listed.", _NOTHING),
    Documented("helo", replies.helo("relay.example.com"), "HELO, from a client without extensions.", _NOTHING),
    *_rows(
        ("OK", "RSET and NOOP.", _NOTHING),
        ("HELP", "HELP.", _NOTHING),
        ("CANNOT_VERIFY", "VRFY; the relay tells nobody which mailboxes exist (RFC 5321 section 7.3).", "Send mail to find out."),
        ("UNKNOWN_COMMAND", "The first word is no command.", _FIX_CLIENT),
        ("COMMAND_TOO_LONG", "A command line is longer than RFC 5321 and the extensions allow.", _FIX_CLIENT),
        ("COMMAND_MALFORMED", "A command has non-ASCII octets where none may be, a control character, or does not end in CR LF.", _FIX_CLIENT),
        ("NOT_IMPLEMENTED", "EXPN, BDAT and their like, and STARTTLS where it is not offered.", _FIX_CLIENT),
        ("NO_ARGUMENT", "DATA, RSET, QUIT or STARTTLS with an argument.", _FIX_CLIENT),
        ("EHLO_SYNTAX", "EHLO or HELO without the name of a host.", _FIX_CLIENT),
        ("EHLO_FIRST", "A mail command before EHLO.", _FIX_CLIENT),
    ),
)  # fmt: skip

_TLS = _rows(
    ("START_TLS", "STARTTLS.", "Start the handshake, then say EHLO again."),
    ("TLS_ACTIVE", "STARTTLS under TLS.", _FIX_CLIENT),
    ("TLS_REQUIRED", "MAIL before STARTTLS on a listener with `tls = \"starttls\"` and `auth = \"required\"`.", "Switch on TLS and a password in the mail client."),
    ("TLS_UNAVAILABLE", "The certificate cannot be read just now.", _AGAIN),
)  # fmt: skip

_AUTH = (
    Documented("challenge", replies.challenge("VXNlcm5hbWU6"), "AUTH goes on.", "Answer in BASE64."),
    *_rows(
        ("AUTHENTICATED", "The upstream server or users.toml took the password.", _NOTHING),
        ("AUTH_REQUIRED", "MAIL without AUTH on a listener with `auth = \"required\"`.", "Set login and password in the mail client."),
        ("AUTH_NEEDS_TLS", "AUTH in the clear from another machine.", "Switch on TLS in the mail client."),
        ("AUTH_FAILED", "Login or password is wrong, or a wrong pair is tried again.", "Correct the password; the upstream server is not asked about the same wrong one for 10 minutes."),
    ),
    Documented("authentication_refused", replies.authentication_refused("535 Error: authentication failed"), "The upstream server refused login and password (`[auth] mode = \"upstream\"`).", "Correct the password. Some providers want an authorisation code (授权码)."),
    *_rows(
        ("AUTH_UNAVAILABLE", "The upstream server cannot be asked, so nobody is let in.", _AGAIN),
        ("AUTH_LATER", "Too many different wrong passwords for this login, from this address, or for this upstream server.", "Wait 15 minutes."),
        ("AUTH_MECHANISM", "AUTH with a mechanism other than PLAIN and LOGIN.", _FIX_CLIENT),
        ("AUTH_SYNTAX", "An answer that is not BASE64, or has not the parts that the mechanism needs.", _FIX_CLIENT),
        ("AUTH_CANCELLED", "The client sent `*`.", _NOTHING),
        ("AUTH_TOO_LONG", "An answer over 12,288 octets (RFC 4954 section 4).", _FIX_CLIENT),
        ("AUTH_ACTIVE", "AUTH after AUTH.", _FIX_CLIENT),
        ("AUTH_NOT_OFFERED", "AUTH on a listener with `auth = \"none\"`.", "Switch AUTH off in the client."),
        ("AUTH_OUT_OF_PLACE", "AUTH between MAIL and the end of the message.", _FIX_CLIENT),
    ),
)  # fmt: skip

_ENVELOPE = (
    *_rows(
        ("SENDER_OK", "MAIL is accepted.", _NOTHING),
        ("RECIPIENT_OK", "RCPT is accepted; a repeated recipient too, and gets one copy. In a stream with `refusals = \"report\"` the refused are named in a report later.", _NOTHING),
        ("MAIL_SYNTAX", "MAIL is not `MAIL FROM:<...>` with parameters.", _FIX_CLIENT),
        ("RCPT_SYNTAX", "RCPT is not `RCPT TO:<...>` with parameters.", _FIX_CLIENT),
        ("BAD_SENDER", "The reverse-path is no mailbox: encoded-words, comments, spaces, no domain.", "Correct the sender address."),
        ("BAD_RECIPIENT", "The recipient is no mailbox: encoded-words, comments, source routes, spaces, no domain.", "Correct the recipient's address."),
        ("BAD_PARAMETER", "SIZE, BODY, SMTPUTF8, RET, ENVID, NOTIFY or ORCPT has a value that its RFC does not allow, or comes twice.", _FIX_CLIENT),
        ("UNKNOWN_PARAMETER", "A parameter that EHLO did not offer.", _FIX_CLIENT),
        ("NESTED_MAIL", "MAIL after MAIL.", _FIX_CLIENT),
        ("MAIL_FIRST", "RCPT or DATA before MAIL.", _FIX_CLIENT),
        ("RCPT_FIRST", "DATA before RCPT.", _FIX_CLIENT),
        ("NO_RECIPIENTS", "DATA after every RCPT was refused.", "Read the replies to RCPT."),
        ("SENDER_NOT_OWNED", "The reverse-path is not one that this login may use (RFC 6409 section 6.1).", "Use the login's own address, or have the operator add this one."),
        ("SENDER_NOT_LOGIN", "The provider refuses a reverse-path that is not the login.", "Use the login as sender address."),
        ("NULL_REVERSE_PATH", "MAIL FROM:<>, and the provider does not take that.", "Give the login as reverse-path."),
        ("NEEDS_SMTPUTF8", "A non-ASCII mailbox from a client that did not declare SMTPUTF8 (RFC 6531 section 3.2).", "Declare SMTPUTF8, or use an ASCII address."),
        ("UPSTREAM_LACKS_SMTPUTF8", "A non-ASCII local part, and the upstream server does not offer SMTPUTF8.", "Use an ASCII address."),
        ("TOO_MANY_RECIPIENTS", "`max_recipients` is reached.", "Send the message, then send it again to the others; good clients do so by themselves."),
        ("ONE_RECIPIENT_ONLY", "A second recipient of a message with null reverse-path.", _FIX_CLIENT),
        ("NO_STREAM", "No stream of organisation.toml matches login, listener and sender domain.", "Ask the admin: a stream's `match` must name this sender."),
    ),
    Documented("explained", replies.explained(replies.NO_STREAM, _PAGE), "Each refusal of this section whose name is in brackets comes with its page.", "Open the page: it says in Chinese and English what, why and what to do."),
)  # fmt: skip

_REFUSALS = (
    Documented("refused", replies.refused("base/suppression", "This recipient has unsubscribed from this mail", _PAGE), "A rule refuses, at RCPT or after the message; the name of the rule is in brackets. All rules answer 550 5.7.1 but those that follow.", "Open the page: it says in Chinese and English what, why and what to do."),
    Documented("refused", replies.refused("base/suppression", "This recipient has unsubscribed or must not be written to", _PAGE, detail="1.1"), "The recipient is on the suppression list because an earlier mail came back: there is no such mailbox.", "Take the address off the list."),
    Documented("refused", replies.refused("base/recipient-domain", "Recipient domain cannot receive mail", _PAGE, detail="1.2"), "`[dns] servers` names resolvers, and DNS says that there is no such domain, or that it has neither MX nor address.", "Correct the address."),
    Documented("refused", replies.refused("base/recipient-domain", "Recipient domain cannot receive mail", _PAGE, code=556, detail=replies.NULL_MX), "At RCPT: the owner of the domain has published that it takes no mail (null MX, RFC 7505).", "Take the address off the list."),
    Documented("refused", replies.refused("base/recipient-domain", "Recipient domain cannot receive mail", _PAGE, code=554, detail=replies.NULL_MX), "The same after the message.", "Take the address off the list."),
    *(
        Documented("refused", replies.refused(rule, text, _PAGE), when, client)
        for rule, text, when, client in (
            ("base/header-structure", "the message does not start with a header field", "The header is not what RFC 5322 section 3.6 wants, or different readers would read it differently; or the message has a NUL.", _FIX_CLIENT),
            ("base/one-from", "From must name exactly one mailbox", "From is missing, has several mailboxes, or cannot be read.", _FIX_CLIENT),
            ("base/line-ends", "the message has a CR or LF that is not part of CR LF", "`[smtp] line_ends = \"reject\"` and a lone CR or LF.", _FIX_CLIENT),
            ("base/line-length", "a line is longer than 1048576 octets", "A line over `max_line_length`, found while the message comes in or after it, or a header line over 998 octets to a provider that would break it.", _FIX_CLIENT),
            ("base/encoding", "A signed or encrypted message would need another encoding for the upstream server", "Octets over 127 or lines over 998 octets where the upstream server takes neither and nothing may be changed.", "Send quoted-printable or BASE64."),
            ("base/smtputf8", "The upstream server cannot send a message with a UTF-8 header", "Declared SMTPUTF8, a UTF-8 header, and the upstream server lacks SMTPUTF8 (RFC 6531 section 3.2); or a non-ASCII mailbox that was accepted before the upstream server could be asked.", "Send with encoded-words in the header and to ASCII addresses."),
            ("base/login-only", "The upstream server takes mail only with its own login in From", "From is not the login, and the provider takes no other.", "Write the login into From."),
            ("base/one-click", "the message brings its own List-Unsubscribe, and this stream does not take that", "The copy cannot carry a one-click unsubscription as RFC 8058 wants it.", "Leave List-Unsubscribe to the relay."),
            ("base/loop", "More than 50 Received fields: this message goes in a circle", "More than `max_received` Received fields.", "Look for two servers that forward to each other."),
            ("base/size", "the message is larger than 33538048 octets", "SIZE at MAIL, or the message itself, is over `max_message_size` or what the upstream server takes, less 16 KB for the fields that the relay adds. A rule on size in a policy file answers the same with its own name.", "Send a link instead of the file."),
            ("base/signature", "There is no DKIM key for the domain in From", "The stream wants a signature and no `[[dkim]]` fits From.", "Ask the operator for a key for this domain."),
        )
    ),
)  # fmt: skip

_WAITING = (
    Documented("deferred", replies.deferred("base/hours", "Not at this hour", _PAGE, seconds=3600), "A rule asks to wait.", "Send it again after the time that is named."),
    Documented("deferred", replies.deferred("base/recipient-domain-unanswered", "DNS does not say now whether the recipient's domain takes mail", _PAGE, detail=replies.DIRECTORY), "`[dns] servers` names resolvers, and none answered about the recipient's domain within `[dns] timeout`.", "Send it again later; mail programs try again by themselves. If it is always the same domain, look for a misspelling."),
    Documented("refused", replies.refused("base/organisation-facts", "The relay does not know enough about its organisation to send this", _PAGE, detail=replies.MISCONFIGURED), "The same, where the rule says `reject` instead of `defer`.", "Ask the admin to write it down, then send again."),
    Documented("refused", replies.refused("base/stream-offers", "The stream is not set up as this rule wants it", _PAGE, detail=replies.MISCONFIGURED), "A rule of a pack wants a signature or ways to unsubscribe, the stream offers none, and the rule says `reject` instead of `defer`.", "Ask the admin to switch them on in the stream's file."),
    Documented("refused", replies.refused("base/personalisation", "The recipient has no way to switch off content chosen by a program", _PAGE, detail=replies.MISCONFIGURED), "The stream says `personalised`, organisation.toml has no `preferences_url`, and the rule says `reject` instead of `defer`.", "Ask the admin to write it down, then send again."),
    Documented("deferred", replies.deferred("cn-marketing/expired", "A rule pack of this relay has expired and must be reviewed", _PAGE, seconds=3600, detail=replies.MISCONFIGURED), "The last day of a rule pack is over and nobody extended it.", "Ask the admin to review the pack and to write a new `expires_on`, or an `[[extend]]` into organisation.toml."),
    Documented("deferred", replies.deferred("cn-marketing/organisation", "The relay does not know enough about its organisation to send this", _PAGE, detail=replies.MISCONFIGURED), "A rule needs a fact that organisation.toml does not give.", "Ask the admin to write it down; `relay check` names it."),
    Documented("deferred", replies.deferred("paused", "The stream newsletter is paused: complaints 0.41% (5 of 1210 recipients in 7 days), over 0.3%", _PAGE), "Too many complaints or hard bounces, or an administrator paused the stream. The rest of a text that is not ASCII is on the page.", "Find out why, then `relay streams resume NAME --reason TEXT`; mail programs try again by themselves."),
    Documented("upstream_resting", replies.upstream_resting("netease", "2026-11-23 00:00 +0800", 54000, _PAGE), "The upstream server asked to slow down, refused the password, or said that the day's quota is used up, and the mail is not held: it is not asked again before the time that is named. `relay upstream status` says what it replied.", "Send it again after the time that is named."),
    Documented("upstream_paused", replies.upstream_paused("netease", _PAGE), "The upstream server holds us in bad standing, or an administrator paused it; marketing waits, other mail leaves.", "Find out why, then `relay upstream resume NAME --reason TEXT`; mail programs try again by themselves."),
    Documented("over_limit", replies.over_limit("identity 60/minute", 12, _PAGE), "A limit of the stream or upstream is reached, and the mail is not held: `[limits] over = \"defer\"`.", "Send it again after the seconds that are named."),
    *_rows(
        ("NO_MEMORY", "`max_in_flight` octets are being received or sent.", _AGAIN),
        ("NO_SPACE", "Less than `[records] min_free` is left on the disk.", f"{_AGAIN} The operator must make room."),
        ("HOLD_FULL", "With this message more than `[hold] max_bytes` would be held, or Redis has used its share of maxmemory: at MAIL and DATA by what is known a second ago, or after the message. Only for mail that might have to be held; what was not delivered was not held either.", _AGAIN),
        ("LANE_WAITS", "Mail of the same sender to the same domain is held, this one may not overtake it, and it could not be held with it.", _AGAIN),
        ("STORE_UNAVAILABLE", "The store does not answer, is empty, is another one, or was written with other keys.", f"{_AGAIN} /readyz says which."),
        ("RECORDS_UNAVAILABLE", "The records cannot be written: no record, no mail.", f"{_AGAIN} /readyz says why."),
        ("POLICY_UNUSABLE", "A rule could not be evaluated: doubt never permits. Or another policy set came into force since MAIL, and by it no stream or another one takes the mail; or two did while it was on its way.", f"{_AGAIN} The log names a rule that failed, and `relay explain FILE` says why."),
        ("INTERNAL", "A fault inside the relay.", f"{_AGAIN} The operator finds it in the log by the submission id."),
        ("RESEND_IN_PROGRESS", "The same message came again while the first try is still running.", f"{_AGAIN} Nobody gets it twice."),
        ("UPSTREAM_UNREACHABLE", "No address of the upstream server answers, or its certificate is not right.", _AGAIN),
        ("UPSTREAM_CONNECTION_LOST", "The upstream server closed the connection; past the end of the message it is not known whether it took it.", f"{_AGAIN} Only what is not known to be delivered is sent."),
        ("UPSTREAM_TIMED_OUT", "`[delivery] patience` or `past_dot` ran out.", f"{_AGAIN} Only what is not known to be delivered is sent."),
        ("UPSTREAM_ACCOUNT", "The upstream server refused the password that the relay holds.", f"{_AGAIN} The operator must correct it."),
        ("NO_ACCOUNT", "No `[[account]]` for this sender, and it has no session of its own at the upstream server: at MAIL, or after the message when the reverse-path is null and From names nobody who has one.", f"{_AGAIN} The operator must add one."),
    ),
)  # fmt: skip

_FINAL = (
    *_rows(("START_DATA", "DATA.", "Send the message.")),
    Documented("delivered", replies.delivered(_ID, 3, 2, 1), "Every recipient is delivered; held durably, and the relay sends it later; or left out and named in a report that was delivered or is held itself.", "Nothing; the id finds the mail in the records."),
    Documented("unfinished", replies.unfinished(_ID, 2, 0, 1, "The upstream server does not answer, try again later"), "Some recipients are not delivered yet and cannot be held, for different reasons; one reason for all is told as it is.", "Send the same bytes again: only what is missing is sent."),
    Documented("expired", replies.expired(24, "The upstream server does not answer, try again later"), "Never as a reply: a report names it. The relay held the mail and could not deliver it in the time of its stream's purpose, 24 hours for marketing, else 120.", "Send it again if it still matters."),
    Documented("DROPPED", replies.DROPPED, "Never as a reply: a report names it, with the reason that was given. An administrator dropped the held message with `relay held drop`.", "Ask why before you send it again."),
    Documented("refused_for_several_reasons", replies.refused_for_several_reasons(replies.refused("base/suppression", "This recipient has unsubscribed from this mail", _PAGE)), "All recipients are refused for good, for different reasons or by different replies of the upstream server; the text is that of the first one.", "As the text says; the page under it, if there is one, and the records name every recipient's own reason."),
    Documented("report_waiting", replies.report_waiting(_ID, 2, 0, 1), "Some are delivered or held, the others refused for good, and the report on them is not delivered yet and cannot be held.", "Send the same bytes again: only the report is sent."),
    Documented("report_refused", replies.report_refused(_ID, 2, 0, 1), "As before, and the report was refused for good.", "Do not send again. The records name the refused."),
    Documented("upstream_said", replies.upstream_said(550, "1.1", "User unknown"), "All recipients share one reply of the upstream server. A throttle that it words as 550 is answered with 451, and a code that RFC 5321 has no place for after a message with 451 or 554.", "As the upstream server says."),
)  # fmt: skip

SECTIONS: tuple[tuple[str, tuple[Documented, ...]], ...] = (
    ("The connection", _CONNECTION),
    ("Commands", _COMMANDS),
    ("TLS", _TLS),
    ("AUTH", _AUTH),
    ("MAIL and RCPT", _ENVELOPE),
    ("Refused for good", _REFUSALS),
    ("Not now", _WAITING),
    ("The message", _FINAL),
)

ALL: tuple[Documented, ...] = tuple(row for _, rows in SECTIONS for row in rows)


def reference() -> str:
    """docs/replies.md."""
    head = (
        "# Replies\n\n"
        "Every reply that the relay can send. Made from `relay/mail/reply_table.py`; a test keeps the two equal.\n\n"
        "4yz: the same message may be sent again later, and nothing that is known to be delivered is sent twice. 5yz: the same\n"
        "message will be refused again. Names in `[brackets]` are rules; the URL under them opens a page in Chinese and English.\n"
        f"`{_ID}` is an example of a submission id: it is in the log, in the records, and finds the mail with `relay explain`.\n"
    )
    return head + "".join(f"\n## {title}\n\n{_table(rows)}" for title, rows in SECTIONS)


def _table(rows: Iterable[Documented]) -> str:
    lines = ["| reply | when | what the client should do |", "|---|---|---|"]
    for row in rows:
        example = "<br>".join(f"`{line.strip()}`" for line in row.example.lines())
        lines.append(f"| {example} | {row.when} | {row.client} |")
    return "\n".join(lines) + "\n"
