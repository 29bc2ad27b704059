"""The AUTH dialogue: PLAIN (RFC 4616) and LOGIN, with or without an initial response (RFC 4954 section 4)."""

from base64 import b64decode, b64encode
from collections.abc import Awaitable, Callable

from relay.doors.smtp.arguments import Unacceptable
from relay.mail import replies

Ask = Callable[[str], Awaitable[bytes]]
"""Sends a challenge in BASE64 and returns the client's line without its line end."""


async def login_and_password(argument: str, ask: Ask) -> tuple[str, str]:
    """Hold the dialogue that `AUTH argument` begins.

    Raises Unacceptable when it does not end in a login and a password.
    """
    mechanism, _, initial = argument.partition(" ")
    dialogue = _MECHANISMS.get(mechanism.upper())  # RFC 5321 section 2.4: not case-sensitive
    if dialogue is None:
        raise Unacceptable(replies.AUTH_MECHANISM)
    first = None
    if initial:
        first = b"" if initial == "=" else _decode(initial.encode("utf-8", "surrogateescape"))
    login, password = await dialogue(first, ask)
    if not login or not password or "\0" in login + password:
        raise Unacceptable(replies.AUTH_SYNTAX)
    return login, password


async def _plain(first: bytes | None, ask: Ask) -> tuple[str, str]:
    message = _decode(await ask("")) if first is None else first
    parts = _text(message).split("\0")
    if len(parts) != 3:
        raise Unacceptable(replies.AUTH_SYNTAX)
    authorisation, login, password = parts
    if authorisation not in ("", login):  # nobody may act for another
        raise Unacceptable(replies.AUTH_FAILED)
    return login, password


async def _login(first: bytes | None, ask: Ask) -> tuple[str, str]:
    login = _decode(await ask(_USERNAME)) if first is None else first
    password = _decode(await ask(_PASSWORD))
    return _text(login), _text(password)


def _decode(line: bytes) -> bytes:
    if line == b"*":
        raise Unacceptable(replies.AUTH_CANCELLED)
    try:
        return b64decode(line, validate=True)
    except ValueError:
        raise Unacceptable(replies.AUTH_SYNTAX) from None


def _text(octets: bytes) -> str:
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        raise Unacceptable(replies.AUTH_SYNTAX) from None


_USERNAME = b64encode(b"Username:").decode()
_PASSWORD = b64encode(b"Password:").decode()
_MECHANISMS: dict[str, Callable[[bytes | None, Ask], Awaitable[tuple[str, str]]]] = {"PLAIN": _plain, "LOGIN": _login}
