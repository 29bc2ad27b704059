"""In what elements of a page something came to stand, as a browser builds it.

A dialog, a popover or a video that is never closed takes in whatever follows,
and shows none of it.
"""

from collections.abc import Iterator

from selectolax.lexbor import LexborHTMLParser, LexborNode

from relay.mail.page.nesting import is_readable


def elements_around(html: str, href: str) -> tuple[str, ...] | None:
    """What is open, inside body, around the <div> that has the first link to `href`; the innermost is the first.

    A table that put the block out before itself is open too, and so is formatting that is opened again inside the block.
    None where no such link is in the body.
    """
    if not is_readable(html):
        return None
    found = LexborHTMLParser(html).css_first(f'body a[href="{href}"]')
    around = list(_above(found)) if found is not None else []
    block = next((place for place, node in enumerate(around) if node.tag == "div"), None)
    if found is None or block is None:
        return None
    behind, before = around[block].next, found.prev
    names = ["table"] if behind is not None and behind.tag == "table" else []
    names += ["a"] if before is not None and before.tag == "a" else []  # a link ends where another begins
    return (*names, *[node.tag or "" for node in around[:block] + around[block + 1 :]])


def _above(node: LexborNode) -> Iterator[LexborNode]:
    above = node.parent
    while above is not None and above.tag != "body":
        yield above
        above = above.parent
