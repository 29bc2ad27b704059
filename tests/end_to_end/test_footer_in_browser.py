"""The footer as a reader sees it in Chromium: visible, legible, clickable, on a desk and on a phone, whatever the styles."""

import pytest
from selenium.webdriver.common.by import By

from relay.mail.incoming.text import text_of_part
from relay.mail.message import Message
from relay.render.copy import render_copy
from relay.render.shown import shown_texts
from tests.support.browser import chromium
from tests.support.duties import CHINA, NOWHERE, a_letterhead, duty, treatment
from tests.support.signing import URL, a_message, octets, prepared, recipient

VIEWPORT = '<meta name="viewport" content="width=device-width, initial-scale=1">'
STYLES = (
    "a{display:none;color:#fff;font-size:1px}"
    "div{color:#fff;background:#fff;font-size:1px;line-height:0;max-height:0;overflow:hidden}"
    "@media(max-width:600px){div{display:none}a{visibility:hidden}}"
)
MOVED = (
    "div{position:absolute!important;left:-9999px!important;margin:-500px!important;width:1px!important;transform:scale(0)!important}"
    "a{position:fixed!important;top:-200px!important;clip-path:inset(100%)!important;text-indent:-999px!important;max-width:1px!important}"
    "div,a{float:right!important;filter:opacity(0)!important;max-height:1px!important;overflow:hidden!important}"
)
FADED = (
    "div,a{zoom:0.01!important;letter-spacing:-2em!important;content-visibility:hidden!important}"
    "div{scale:0.01!important;translate:-9999px!important;-webkit-text-fill-color:transparent!important}"
    "a{rotate:90deg!important;mask:linear-gradient(transparent,transparent)!important;-webkit-text-fill-color:#fff!important}"
)
PAGES = {
    "faded": f"<html><head>{VIEWPORT}<style>{FADED}</style></head><body><p>Spring offers</p></body></html>",
    "moved away": f"<html><head>{VIEWPORT}<style>{MOVED}</style></head><body><p>Spring offers</p></body></html>",
    "plain": f"<html><head>{VIEWPORT}</head><body><p>Spring offers</p></body></html>",
    "hostile styles": f"<html><head>{VIEWPORT}<style>{STYLES}</style></head><body><p>Spring offers</p></body></html>",
    "dark": f"<html><head>{VIEWPORT}</head><body style='background:#000;color:#eee;font-size:2px'><p>Spring</p></body></html>",
    "open table": f"<html><head>{VIEWPORT}</head><body><table width=100% bgcolor=#223344><tr><td>Spring<p>open",
    "floating": f"<html><head>{VIEWPORT}</head><body><div style='float:left;width:50%;height:900px'>left</div></body></html>",
    "no body": f"{VIEWPORT}<p>Spring offers<br>" * 30,
    "right to left": f"<html dir=rtl><head>{VIEWPORT}</head><body><p>Spring</p></body></html>",
}
SEEN = """
const link = [...document.links].find(one => one.href === arguments[0]);
link.scrollIntoView({block: "center"});
const box = link.getBoundingClientRect(), style = getComputedStyle(link);
const hit = document.elementFromPoint(box.left + box.width / 2, box.top + box.height / 2);
const behind = getComputedStyle(link.parentElement);
return {hit: hit === link, size: parseFloat(style.fontSize), colour: style.color, background: behind.backgroundColor,
        text: behind.color, textSize: parseFloat(behind.fontSize), left: box.left, right: box.right, width: innerWidth,
        height: box.height, opacity: style.opacity, fill: style.webkitTextFillColor, textFill: behind.webkitTextFillColor,
        mask: style.maskImage, said: link.parentElement.innerText, decoration: style.textDecorationLine};
"""


@pytest.fixture(scope="module", params=["desk", "phone"])
def browser(request, tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("profile"), phone=request.param == "phone") as running:
        yield running


def html_of(page: str, countries: frozenset[str]) -> str:
    message = a_message("Content-Type: text/html; charset=utf-8", body=page.encode())
    done = treatment(duty("footer"), countries=countries)
    ready = prepared(message, treatment=done, letterhead=a_letterhead(), sets_unsubscribe=True)
    read = Message.parse(octets(render_copy(ready, [recipient()], URL)))
    (part,) = shown_texts(read.structure)
    return text_of_part(read, part)


def luminance(colour: str) -> float:
    red, green, blue = (float(number) / 255 for number in colour[colour.index("(") + 1 : -1].split(",")[:3])
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in (red, green, blue)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """WCAG 2.2: 4.5 is the least for text."""
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize(("countries", "words"), [(CHINA, "退订"), (NOWHERE, "Unsubscribe")], ids=["zh", "en"])
@pytest.mark.parametrize("page", PAGES.values(), ids=list(PAGES))
def test_the_link_is_seen_and_can_be_clicked(browser, tmp_path, page, countries, words):
    file = tmp_path / "mail.html"
    file.write_text(html_of(page, countries), "utf-8")
    browser.get(file.as_uri())
    seen = browser.execute_script(SEEN, URL)
    assert seen["hit"], seen
    assert words in seen["said"]
    assert "refuse@example.com" in seen["said"]
    assert min(seen["size"], seen["textSize"]) >= 14
    assert contrast(seen["colour"], seen["background"]) >= 4.5
    assert contrast(seen["text"], seen["background"]) >= 7
    assert (seen["fill"], seen["textFill"], seen["mask"]) == (seen["colour"], seen["text"], "none")
    assert 0 <= seen["left"] < seen["right"] <= seen["width"]
    assert seen["right"] - seen["left"] > 3 * seen["size"]  # narrower too where a machine has no letters for its words
    assert seen["height"] >= seen["size"]
    assert (seen["opacity"], seen["decoration"]) == ("1", "underline")
    link = browser.find_element(By.CSS_SELECTOR, f'a[href="{URL}"]')
    assert link.is_displayed()
    assert link.is_enabled()
