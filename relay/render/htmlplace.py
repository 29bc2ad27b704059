"""Where in an HTML text a footer is seen: before the end of its body, and in nothing that hides it."""

import re

_BODY_END = re.compile(rb"</body[\s/>]", re.IGNORECASE)
_TAG = re.compile(rb"<[A-Za-z/!?]")
_UNSEEN = (
    b"script", b"style", b"title", b"textarea", b"template", b"noscript", b"noembed", b"noframes", b"select", b"svg", b"math",
    b"iframe", b"object", b"xmp", b"plaintext", b"button", b"audio", b"video", b"canvas",
)  # fmt: skip
"""Elements in which a reader is shown nothing, or no text with links."""
_TRIES = 5


def place_in_html(html: bytes) -> int:
    """Before the last </body> that is one, else at the end, where readers add to the body too.

    Raises ValueError where nothing that is added would be seen.
    """
    lower = html.lower()
    if b"<frameset" in lower:
        raise ValueError("the HTML is a set of frames, which shows no footer")
    ends = [match.start() for match in _BODY_END.finditer(html)][-_TRIES:]
    for place in (*reversed(ends), len(html)):
        if not _is_inside(lower, place):
            return place
    raise ValueError("the HTML ends inside a tag, a comment or an element that shows no text")


def _is_inside(lower: bytes, place: int) -> bool:
    if lower.rfind(b"<!--", 0, place) > lower.rfind(b"-->", 0, place):
        return True
    opened, closed = lower.rfind(b"<", 0, place), lower.rfind(b">", 0, place)
    if opened > closed and _TAG.match(lower, opened):
        return True
    return any(lower.rfind(b"<" + name, 0, place) > lower.rfind(b"</" + name, 0, place) for name in _UNSEEN)
