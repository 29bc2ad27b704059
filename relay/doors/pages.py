"""The pages that recipients and senders see, in Chinese and English, whole without JavaScript.

Both languages stand on one page, the reader's first, because a link is often
opened by somebody else's browser.
"""

import re
from importlib.resources import files
from typing import Any

import jinja2

HEADERS = {
    # Nothing is loaded from anywhere and the page cannot be framed; a form posts only to where it came from.
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "Referrer-Policy": "no-referrer",  # the URL is a secret between the recipient and us
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex, nofollow",
    "Cache-Control": "no-store",
    "Server": "relay",
}

_environment = jinja2.Environment(
    loader=jinja2.FunctionLoader(lambda name: (files("relay.doors") / "templates" / name).read_text("utf-8")),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def languages(accept_language: str) -> tuple[str, str]:
    """The order of the two languages for a reader, from the Accept-Language field (RFC 9110 section 12.5.4)."""
    weights = {"zh": 0.0, "en": 0.0}
    for part in accept_language[:500].split(","):
        tag, _, quality = part.strip().partition(";")
        weight = re.fullmatch(r"\s*q=([01](?:\.\d{0,3})?)", quality)
        language = tag[:2].lower()
        if language in weights:
            weights[language] = max(weights[language], float(weight[1]) if weight else 1.0)
    return ("en", "zh") if weights["en"] > weights["zh"] else ("zh", "en")


def page(template: str, accept_language: str, **facts: Any) -> str:
    """Render a template with its facts; every fact is escaped."""
    return _environment.get_template(template).render(languages=languages(accept_language), **facts)
