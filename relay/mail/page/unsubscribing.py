"""Words that say where a reader stops the mail, in the languages of the packs."""

from collections.abc import Iterator, Sequence

WORDS = (
    "退订", "退訂", "取消订阅", "取消訂閱", "拒收", "不再接收", "不再订阅",
    "unsubscribe", "opt out", "opt-out", "optout", "stop receiving", "no longer wish to receive", "email preferences",
    "manage preferences", "manage subscription", "manage your subscription",
    "配信停止", "配信解除", "購読解除", "購読停止", "登録解除", "メルマガ解除",
    "수신거부", "수신 거부", "구독취소", "구독 취소", "구독해지",
    "abmelden", "abbestellen", "désabonner", "désinscrire", "désinscription", "désabonnement", "darse de baja", "dar de baja",
    "cancelar suscripción", "cancelar la suscripción", "cancelar inscrição", "descadastrar", "cancelar assinatura",
    "disiscriviti", "annulla iscrizione", "cancellati", "uitschrijven", "afmelden",
)  # fmt: skip
"""Case-folded; one of them stands in the text of the link, or close to it."""

_ADDRESSES = ("unsub", "optout", "opt-out", "opt_out", "tuiding", "preferences", "subscription")
_HERE = frozenset(
    {
        "here",
        "click here",
        "this link",
        "link",
        "这里",
        "此处",
        "点击这里",
        "点击此处",
        "点此",
        "こちら",
        "hier",
        "ici",
        "aquí",
        "여기",
    }
)
_LONGEST = 500  # characters of a link's text or address


_MOST_PLACES = 10
_AROUND = 120


def says_unsubscribe(text: str) -> bool:
    """Whether a text has one of the words."""
    return bool(_those_in(text.casefold(), WORDS))


def leads_out(shown: str, href: str) -> bool:
    """Whether a link says that it stops the mail, in its text or in its address."""
    return bool(_those_in(shown[:_LONGEST].casefold(), WORDS) or _those_in(href[:_LONGEST].casefold(), _ADDRESSES))


def leads_nowhere(href: str) -> bool:
    """Whether a link is one within the page, a script, or a mail to nobody."""
    address = href[:_LONGEST].strip().lower()
    return address.startswith(("#", "javascript:")) or (address.startswith("mailto:") and "@" not in address.replace("%40", "@"))


def may_lead_out(links: Sequence[tuple[str, str]]) -> Iterator[int]:
    """Which of these, given by text and address, do so, or have their meaning beside them: "here"."""
    texts = [shown[:_LONGEST].casefold() for shown, _ in links]
    addresses = [href[:_LONGEST].casefold() for _, href in links]
    words, ways = _those_in("\n".join(texts), WORDS), _those_in("\n".join(addresses), _ADDRESSES)  # hardly more than one
    for number, (text, address) in enumerate(zip(texts, addresses, strict=True)):
        if text in _HERE or any(map(text.__contains__, words)) or any(map(address.__contains__, ways)):
            yield number


def lines_of_words(text: str) -> str:
    """The last lines with one of the words, cut: "to unsubscribe, click here" has its link beside the word."""
    folded = text.casefold()
    if len(folded) != len(text):  # a few letters get longer: places would be wrong
        return ""
    places = places_of_words(folded)[-_MOST_PLACES:]
    return "\n".join(
        _end_of_line(text[max(0, start - _AROUND) : start]) + _line(text[start : end + _AROUND]) for start, end in places
    )


def _those_in(folded: str, words: Sequence[str]) -> list[str]:
    return [*filter(folded.__contains__, words)]  # each is a search in C; a pattern of all of them takes ten times as long


def places_of_words(folded: str) -> list[tuple[int, int]]:
    """Where the words stand, in order; of those that overlap the first, and of those that begin together the longest."""
    found = sorted((start, -len(word)) for word in WORDS for start in _starts(folded, word))
    places: list[tuple[int, int]] = []
    for start, length in found:
        if not places or start >= places[-1][1]:
            places.append((start, start - length))
    return places


def _starts(text: str, word: str) -> Iterator[int]:
    place = text.find(word)
    while place >= 0:
        yield place
        place = text.find(word, place + len(word))


def _end_of_line(text: str) -> str:
    return text.rpartition("\n")[2]


def _line(text: str) -> str:
    return text.partition("\n")[0]
