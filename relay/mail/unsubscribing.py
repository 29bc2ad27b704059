"""Words that say where a reader stops the mail, in the languages of the packs."""

import re

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

_WORDS = re.compile("|".join(sorted(map(re.escape, WORDS), key=len, reverse=True)))
_ADDRESSES = re.compile("unsub|optout|opt-out|opt_out|tuiding|preferences|subscription")
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
    return bool(_WORDS.search(text.casefold()))


def leads_out(shown: str, href: str) -> bool:
    """Whether a link says that it stops the mail, in its text or in its address."""
    return says_unsubscribe(shown[:_LONGEST]) or bool(_ADDRESSES.search(href[:_LONGEST].casefold()))


def may_lead_out(shown: str, href: str) -> bool:
    """The same, or a link whose meaning stands beside it: "here"."""
    return shown.casefold() in _HERE or leads_out(shown, href)


def lines_of_words(text: str) -> str:
    """The last lines with one of the words, cut: "to unsubscribe, click here" has its link beside the word."""
    folded = text.casefold()
    if len(folded) != len(text):  # a few letters get longer: places would be wrong
        return ""
    places = [match.span() for match in _WORDS.finditer(folded)][-_MOST_PLACES:]
    return "\n".join(
        _end_of_line(text[max(0, start - _AROUND) : start]) + _line(text[start : end + _AROUND]) for start, end in places
    )


def _end_of_line(text: str) -> str:
    return text.rpartition("\n")[2]


def _line(text: str) -> str:
    return text.partition("\n")[0]
