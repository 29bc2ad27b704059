"""The SMTP door: sessions of mail clients, from the greeting to the reply after the dot.

aiosmtpd's protocol class carries the connection; what it says and how it reads
is ours, because a submission proxy must refuse what a lax server takes.  What
is decided about a mail is decided behind `contracts.Line`.

    listening.py   sockets, PROXY headers, TLS handshakes -> a session
    wire.py        one connection: command lines in, replies out, timers, budgets
    session.py     the commands
    arguments.py   MAIL and RCPT arguments                 pure
    intake.py      octets from the client: lines and message data
    exchange.py    the AUTH dialogue
    registry.py    all sessions of this process: bounds and drain
    headcount.py   the connections of all processes
    certificates.py, proxy.py
"""
