"""List-Unsubscribe and List-Unsubscribe-Post (RFC 2369, RFC 8058): written here, and checked before they leave.

A wrong pair is worse than none: receivers show a button that does nothing.
So whatever copy promises one click, its own or the client's promise, must
keep all of RFC 8058 or stay here.
"""

import re
from collections import Counter
from collections.abc import Sequence

from relay.errors import RenderingImpossible
from relay.render.verification import Field

RULE = "base/one-click"
LIST_UNSUBSCRIBE, LIST_UNSUBSCRIBE_POST = b"list-unsubscribe", b"list-unsubscribe-post"
MAX_LINE = 200
_ONE_CLICK = b"List-Unsubscribe=One-Click"
_URI = re.compile(rb"[!-;=?-~]+")
_BRACKETED = re.compile(rb"<([!-;=?-~]+)>")
_ONE_SECURE = re.compile(rb"<https://[!-;=?-~]+>")
_LOCAL = re.compile(rb"http://(127\.0\.0\.1|\[::1\]|localhost)[:/]", re.IGNORECASE)


def unsubscribe_fields(url: str | None, mailto: str | None) -> bytes:
    """The fields for a copy, one URI a line; Post only beside an https URI.

    Raises RenderingImpossible when a URI does not fit its line.
    """
    uris = [uri.encode() for uri in (url, mailto) if uri]
    if not uris:
        raise RenderingImpossible(RULE, "the stream sets List-Unsubscribe but there is no URI: set [unsubscribe] base_url")
    if not all(map(_URI.fullmatch, uris)):
        raise RenderingImpossible(RULE, "a List-Unsubscribe URI has characters that no URI has")
    field = b"List-Unsubscribe: <" + b">,\r\n <".join(uris) + b">\r\n"
    if len(field) > MAX_LINE and max(map(len, field.split(b"\r\n"))) > MAX_LINE:
        raise RenderingImpossible(
            RULE, f"a List-Unsubscribe line is longer than {MAX_LINE} octets: shorten [unsubscribe] base_url"
        )
    return field + b"List-Unsubscribe-Post: " + _ONE_CLICK + b"\r\n" if url else field


def promises_one_click(fields: Sequence[Field]) -> bool:
    """Whether the header section has List-Unsubscribe-Post, so that RFC 8058 binds it."""
    return LIST_UNSUBSCRIBE_POST in [field.name for field in fields]


def check_one_click(fields: Sequence[Field], covered: Counter[bytes]) -> None:
    """Hold a copy that promises one click against RFC 8058 sections 3 and 4.

    `covered` is what the verified signature names.  Raises RenderingImpossible.
    """
    offers = [field.unfolded for field in fields if field.name == LIST_UNSUBSCRIBE]
    promises = [field.unfolded for field in fields if field.name == LIST_UNSUBSCRIBE_POST]
    if len(offers) != 1 or len(promises) != 1:
        raise RenderingImpossible(RULE, "List-Unsubscribe and List-Unsubscribe-Post must both stand exactly once")
    if promises != [_ONE_CLICK]:
        raise RenderingImpossible(RULE, "List-Unsubscribe-Post must say List-Unsubscribe=One-Click and nothing else")
    if not _has_one_https_uri(offers[0]):
        raise RenderingImpossible(RULE, "List-Unsubscribe must hold exactly one https URI, in angle brackets without blanks")
    if not (covered[LIST_UNSUBSCRIBE] and covered[LIST_UNSUBSCRIBE_POST]):
        raise RenderingImpossible(RULE, "List-Unsubscribe and List-Unsubscribe-Post are not covered by a valid DKIM signature")


def _has_one_https_uri(value: bytes) -> bool:
    """RFC 2369 section 2: URIs in angle brackets with commas between; mailto may stand beside the one https URI."""
    if _ONE_SECURE.fullmatch(value):
        return True
    uris = _BRACKETED.findall(value)
    between = _BRACKETED.sub(b"", value).replace(b" ", b"")
    web = [uri for uri in uris if uri.lower().startswith((b"http:", b"https:"))]
    secure = [uri for uri in web if uri.lower().startswith(b"https://") or _LOCAL.match(uri)]
    return between == b"," * (len(uris) - 1) and len(web) == len(secure) == 1
