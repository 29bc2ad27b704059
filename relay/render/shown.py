"""Which parts of a message are the text that readers are shown, in each of its forms."""

from collections.abc import Iterator

from relay.errors import DutyImpossible
from relay.mail.parts.mime import Part, Structure

_SHOWN = frozenset({"text/plain", "text/html"})
_AMP = "text/x-amp-html"


def shown_texts(structure: Structure) -> list[Part]:
    """The texts in their order. Raises DutyImpossible for a form that the relay cannot write."""
    return list(_texts(structure.parts, 0))


def _texts(parts: tuple[Part, ...], number: int) -> Iterator[Part]:
    part = parts[number]
    if part.in_attached_message or part.header(b"content-disposition").strip().lower().startswith("attachment"):
        return
    if part.is_leaf:
        if part.media_type == _AMP:
            raise DutyImpossible("the message has a part in AMP, which cannot have a footer")
        if part.media_type in _SHOWN:
            yield part
        return
    children = list(_children(parts, number))
    if part.media_type == "multipart/alternative":
        for child in children:
            yield from _texts(parts, child)
    elif part.media_type == "multipart/related":
        yield from _texts(parts, _root(parts, part, children))
    else:
        yield from next(filter(None, (list(_texts(parts, child)) for child in children)), [])


def _children(parts: tuple[Part, ...], number: int) -> Iterator[int]:
    depth = parts[number].depth
    for place in range(number + 1, len(parts)):
        if parts[place].depth <= depth:
            return
        if parts[place].depth == depth + 1:
            yield place


def _root(parts: tuple[Part, ...], part: Part, children: list[int]) -> int:
    """RFC 2387 section 3.2: the part that `start` names, else the first."""
    start = next((value.strip() for name, value in part.parameters if name == "start"), "")
    named = (child for child in children if start and parts[child].header(b"content-id").strip() == start)
    return next(named, children[0])
