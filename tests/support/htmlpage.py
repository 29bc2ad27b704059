"""A page as a browser builds it (Lexbor, HTML's own parsing algorithm): where the footer came to stand."""

from dataclasses import dataclass

from selectolax.lexbor import LexborHTMLParser, LexborNode

_MARK = "border-top:1px solid #8a8a8a"
_SHOWS_NOTHING = {"script", "style", "title", "template", "noscript", "head", "select", "svg", "textarea", "iframe"}


@dataclass(frozen=True)
class Footer:
    text: str
    links: list[str]
    hidden_by: list[str]
    around: list[str]


class Page:
    """One page; `footer` is the one block that the relay wrote."""

    def __init__(self, footer: Footer) -> None:
        self.footer = footer

    @classmethod
    def of(cls, html: str) -> "Page":
        found = [node for node in LexborHTMLParser(html).css("div") if _MARK in (node.attributes.get("style") or "")]
        (box,) = found
        links = [link.attributes.get("href") or "" for link in box.css("a")]
        around = [node.tag or "" for node in _above(box) if node.is_element_node]
        return cls(Footer(box.text(), links, [node.tag or "" for node in _above(box) if _hides(node)], around))


def _above(node: LexborNode) -> list[LexborNode]:
    above = []
    while node.parent is not None:
        node = node.parent
        above.append(node)
    return above


def _hides(node: LexborNode) -> bool:
    style = (node.attributes.get("style") or "").replace(" ", "")
    return node.tag in _SHOWS_NOTHING or "display:none" in style
