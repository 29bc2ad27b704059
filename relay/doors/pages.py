"""The pages that recipients and senders see, in Chinese or English, whole without JavaScript.

A page is in the reader's language, with a link to the other one: a mail is
often opened in somebody else's browser.
"""

import re
from base64 import b64encode
from hashlib import sha256
from typing import Any

from relay.data_files import data_file
from relay.templates import templates_of

LANGUAGES = ("zh", "en")
_STYLE = data_file("relay.doors", "templates", "style.css")

HEADERS = {
    # Nothing is loaded from anywhere, no style but ours counts, and the page cannot be framed; a form posts only to where it
    # came from.
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{b64encode(sha256(_STYLE.encode()).digest()).decode()}';"
        " form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "Referrer-Policy": "no-referrer",  # the URL is a secret between the recipient and us
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex, nofollow",
    "Cache-Control": "no-store",
    "Server": "relay",
}

_templates = templates_of("relay.doors")
_templates.globals["style"] = _STYLE


def language(wanted: str, accept_language: str) -> str:
    """The reader's: what the link asked for, else by the Accept-Language field (RFC 9110 section 12.5.4).

    Who reads neither gets English; who says nothing, Chinese.
    """
    if wanted in LANGUAGES:
        return wanted
    weights = {"zh": 0.0, "en": 0.0, "": 0.0}
    for part in accept_language[:500].split(","):
        tag, _, quality = part.strip().partition(";")
        weight = re.fullmatch(r"\s*q=([01](?:\.\d{0,3})?)", quality)
        primary = tag.lower().partition("-")[0]
        key = primary if primary in LANGUAGES else ""
        if primary.isalpha():
            weights[key] = max(weights[key], float(weight[1]) if weight else 1.0)
    if weights["zh"] or weights["en"]:
        return "en" if weights["en"] > weights["zh"] else "zh"
    return "en" if weights[""] else "zh"


def page(template: str, language: str, **facts: Any) -> str:
    """Render a template with its facts; every fact is escaped."""
    return _templates.get_template(template).render(language=language, **facts)
