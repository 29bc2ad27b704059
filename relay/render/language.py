"""In which languages we speak to a recipient: those of the country, and where that is not known, the subject's.

Of several countries, as of a Chinese with a mailbox in Germany, those of each: nobody here can tell which of them a
reader reads, nor whose law a court would take.
"""

import re
from functools import lru_cache

from relay.policy.words.labels import is_chinese
from relay.render.letterhead import Languages

ENGLISH: Languages = ("en",)

_SPOKEN: tuple[tuple[Languages, tuple[str, ...]], ...] = (
    (("ko", "en"), ("KR",)),  # Network Act Art 50(4): Korean and English
    (("zh", "en"), ("HK",)),  # Cap 593A s 7: Chinese and English
    (("zh",), ("CN", "TW", "MO")),
    (("ja",), ("JP",)),
    (("fr",), ("FR", "MC", "RE", "GP", "MQ", "GF", "YT")),
    (("de",), ("DE", "AT", "LI")),
    (("pt",), ("PT", "BR", "AO", "MZ")),
    (
        ("es",),
        ("ES", "MX", "AR", "CO", "CL", "PE", "EC", "GT", "CU", "BO", "DO", "HN", "PY", "SV", "NI", "CR", "PA", "UY", "VE"),
    ),
)
"""Countries where nearly everybody reads them; those of several languages, and all others, get English."""

_OF_COUNTRY = {country: languages for languages, countries in _SPOKEN for country in countries}
_BY_LAW = frozenset({"KR", "HK"})
"""Where a law wants all of the languages, so that English alone is not enough."""

_ORDER: Languages = ("zh", "ko", "ja", "fr", "de", "pt", "es", "en")
_KANA = re.compile("[\u3040-\u30ff\uff66-\uff9f]")
_HANGUL = re.compile("[\u1100-\u11ff\u3130-\u318f\uac00-\ud7af]")


def languages_of(countries: frozenset[str], subject: str) -> Languages:
    """The languages of all these countries; without any, that of the subject's script."""
    return _spoken_in(countries) if countries else _of_script(subject)


def languages_by_law(countries: frozenset[str]) -> Languages:
    """Those of them that a law wants said, be it in a text that cannot have them."""
    return _spoken_in(countries & _BY_LAW)


@lru_cache(maxsize=1024)
def _spoken_in(countries: frozenset[str]) -> Languages:
    spoken = {language for country in countries for language in _OF_COUNTRY.get(country, ENGLISH)}
    return tuple(language for language in _ORDER if language in spoken)


def _of_script(subject: str) -> Languages:
    if is_chinese(subject):
        return ("zh",)
    if _KANA.search(subject):
        return ("ja",)
    return ("ko", "en") if _HANGUL.search(subject) else ENGLISH
