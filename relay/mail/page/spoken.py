"""What attributes say to a reader beside the text of a page: titles, and what stands in the fields of a form.

As Chromium shows them. What it shows of some values alone (a number, a date) counts as shown.
"""

from collections.abc import Iterator, Mapping

SPEAKING = "[title],input[value],input[alt],[placeholder],[label]"

_SILENT = frozenset({"checkbox", "color", "file", "radio", "range"})
"""Fields that show neither value nor placeholder."""


def spoken_by(tag: str | None, attributes: Mapping[str, str | None]) -> Iterator[str]:
    """The texts that an element has in attributes, those that no reader sees left out."""
    names = _speaking((attributes.get("type") or "").lower()) if tag == "input" else _OTHERS.get(tag or "", _TITLE)
    return (text for name in names if (text := attributes.get(name)))


_TITLE = ("title",)
_LABELLED = ("title", "label")
_OTHERS = {"option": _LABELLED, "optgroup": _LABELLED, "textarea": ("title", "placeholder")}


def _speaking(kind: str) -> tuple[str, ...]:
    """The attributes that an <input> of this type shows; a type that nobody knows, blanks around one too, is a line of text."""
    if kind == "hidden":
        return ()
    if kind in _SILENT:
        return _TITLE
    if kind == "image":
        return ("title", "value", "alt")
    return ("title", "placeholder") if kind == "password" else ("title", "value", "placeholder")
