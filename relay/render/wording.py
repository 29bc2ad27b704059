"""What a footer says, as lines of text and as HTML, in the languages that its readers and their law want."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from html import escape

from relay.policy.rules.duty import FooterPart
from relay.render.letterhead import Language, Languages, Letterhead

LINK = "\0"
"""Stands for the recipient's own unsubscribe link until it is known; no mail has this character."""

_NO_REASONS: Mapping[Language, str] = {}

_WORDS: dict[str, dict[Language, str]] = {
    "advertisement": {
        "zh": "本邮件为广告。", "ko": "이 메일은 광고입니다.", "ja": "このメールは広告です。",
        "en": "This message is an advertisement.", "fr": "Ce message est une publicité.",
        "de": "Diese Nachricht ist Werbung.", "pt": "Esta mensagem é publicidade.", "es": "Este mensaje es publicidad.",
    },
    "reason": {
        "zh": "您收到此邮件，是因为您的地址在{name}的“{title}”收件名单中。",
        "ko": "{name}의 “{title}” 수신 목록에 귀하의 주소가 있어 이 메일을 보내 드립니다.",
        "ja": "{name}の「{title}」の配信先にお客様のアドレスが登録されているため、このメールをお送りしています。",
        "en": 'You receive this mail because {name} has your address on the list "{title}".',
        "fr": "Vous recevez ce message car votre adresse figure sur la liste « {title} » de {name}.",
        "de": 'Sie erhalten diese Nachricht, weil Ihre Adresse auf der Liste "{title}" von {name} steht.',
        "pt": 'Você recebe esta mensagem porque seu endereço está na lista "{title}" de {name}.',
        "es": "Recibe este mensaje porque su dirección figura en la lista «{title}» de {name}.",
    },
    "unsubscribe": {
        "zh": "退订（免费，立即生效）", "ko": "수신거부(무료, 즉시 처리)", "ja": "配信停止（無料、ただちに有効）",
        "en": "Unsubscribe (free, takes effect at once)", "fr": "Se désinscrire (gratuit, effet immédiat)",
        "de": "Abbestellen (kostenlos, sofort wirksam)", "pt": "Cancelar a inscrição (grátis, efeito imediato)",
        "es": "Darse de baja (gratis, con efecto inmediato)",
    },
    "unsubscribe link": {
        "zh": "点击此处退订", "ko": "여기를 눌러 수신거부", "ja": "配信を停止する", "en": "click here to unsubscribe",
        "fr": "cliquez ici pour vous désinscrire", "de": "hier abbestellen", "pt": "clique aqui para cancelar",
        "es": "pulse aquí para darse de baja",
    },
    "preferences": {
        "zh": "关闭个性化推荐", "ko": "맞춤형 추천 끄기", "ja": "個人に合わせたおすすめの停止",
        "en": "Switch off personalised offers", "fr": "Désactiver les offres personnalisées",
        "de": "Persönliche Angebote abschalten", "pt": "Desativar ofertas personalizadas",
        "es": "Desactivar las ofertas personalizadas",
    },
    "refusal-mailbox": {
        "zh": "拒收邮件请写信至", "ko": "수신거부 메일을 보내실 주소", "ja": "受信拒否のご連絡先",
        "en": "To refuse further mail, write to", "fr": "Pour refuser d'autres messages, écrivez à",
        "de": "Um weitere Nachrichten abzulehnen, schreiben Sie an", "pt": "Para recusar novas mensagens, escreva para",
        "es": "Para rechazar más mensajes, escriba a",
    },
    "identity": {
        "zh": "发件单位", "ko": "전송자 명칭", "ja": "送信者", "en": "Sent by", "fr": "Expéditeur", "de": "Absender",
        "pt": "Remetente", "es": "Remitente",
    },
    "address": {
        "zh": "通信地址", "ko": "주소", "ja": "住所", "en": "Postal address", "fr": "Adresse postale", "de": "Postanschrift",
        "pt": "Endereço postal", "es": "Dirección postal",
    },
    "contact": {
        "zh": "联系方式", "ko": "연락처", "ja": "お問い合わせ先", "en": "Contact", "fr": "Contact", "de": "Kontakt",
        "pt": "Contato", "es": "Contacto",
    },
    "privacy": {
        "zh": "隐私政策", "ko": "개인정보 처리방침", "ja": "プライバシーポリシー", "en": "Privacy notice",
        "fr": "Politique de confidentialité", "de": "Datenschutzerklärung", "pt": "Política de privacidade",
        "es": "Política de privacidad",
    },
    "nobody": {
        "zh": "本单位", "ko": "발신자", "ja": "送信者", "en": "the sender", "fr": "l'expéditeur", "de": "dem Absender",
        "pt": "o remetente", "es": "el remitente",
    },
}  # fmt: skip
"""Western texts keep to ISO-8859-1, as many a mail does."""

_WIDE_COLON = frozenset({("zh",), ("ja",)})

# Style sheets of the mail cannot hide or move what says !important in its own place.
_PINNED = (
    "visibility:visible!important;opacity:1!important;position:static!important;float:none!important;transform:none!important;"
    "clip-path:none!important;filter:none!important;width:auto!important;height:auto!important;max-width:none!important;"
    "max-height:none!important;overflow:visible!important;text-indent:0!important;letter-spacing:normal!important;zoom:1!important;"
    "scale:none!important;rotate:none!important;translate:none!important;mask:none!important;content-visibility:visible!important;"
    "-webkit-text-fill-color:currentcolor!important;"
)
_BOX = (
    f"display:block!important;{_PINNED}clear:both;margin:24px 0 0!important;padding:12px 8px!important;"
    "border-top:1px solid #8a8a8a;background:#ffffff!important;color:#333333!important;"
    "font:14px/1.6 Arial,'Microsoft YaHei',sans-serif!important;text-align:left;word-break:break-word"
)
_ANCHOR = (
    f"display:inline-block!important;{_PINNED}margin:0!important;color:#0b4fb3!important;font-size:14px!important;"
    "text-decoration:underline!important"
)


@dataclass(frozen=True, slots=True)
class Line:
    """One line: words, then what they lead to, as text or as a link ("" when there is none)."""

    words: str
    link: str = ""
    anchor: str = ""
    facts: tuple[str, ...] = ()  # a text that has one of these says it already


def footer_lines(
    parts: Collection[FooterPart], letterhead: Letterhead, languages: Languages, reasons: Mapping[Language, str] = _NO_REASONS
) -> Iterator[Line]:
    """The lines for these parts. What organisation.toml says in another language only is said in that."""
    name, address = (_said(texts, languages) for texts in (letterhead.legal_name, letterhead.postal_address))
    mailbox, privacy, settings = letterhead.refusal_mailbox, letterhead.privacy_url, letterhead.preferences_url
    notice, why = _joined("advertisement", languages), _reason(letterhead, languages, reasons)
    lines = {
        "advertisement": Line(notice, facts=(notice,)),
        "reason": Line(why, facts=(why,)),
        "unsubscribe": Line(_label("unsubscribe", languages), LINK, _joined("unsubscribe link", languages)),
        "preferences": Line(_label("preferences", languages), settings, settings, (settings,)),
        "refusal-mailbox": Line(_label("refusal-mailbox", languages), f"mailto:{mailbox}", mailbox, (mailbox,)),
        "identity": Line(_label("identity", languages) + name, facts=_all(letterhead.legal_name)),
        "address": Line(_label("address", languages) + address, facts=_all(letterhead.postal_address)),
        "contact": Line(_label("contact", languages) + letterhead.contact, facts=(letterhead.contact,)),
        "privacy": Line(_label("privacy", languages), privacy, privacy, (privacy,)),
    }
    silent = () if settings else ("preferences",)  # where no program chooses, there is nothing to switch off
    return (lines[part] for part in _ORDER if part in parts and part not in silent)


_ORDER: tuple[FooterPart, ...] = (
    "advertisement", "reason", "unsubscribe", "preferences", "refusal-mailbox", "identity", "address", "contact", "privacy",
)  # fmt: skip


def _joined(word: str, languages: Languages) -> str:
    return " / ".join([_WORDS[word][language] for language in languages])


def _label(word: str, languages: Languages) -> str:
    return _joined(word, languages) + ("：" if languages in _WIDE_COLON else ": ")


def _reason(letterhead: Letterhead, languages: Languages, reasons: Mapping[Language, str]) -> str:
    """Why readers get it, in the words of a pack where it has some: in English for those whose language it has not."""
    said = []
    for language in languages:
        name, title = (_said(texts, (language,)) for texts in (letterhead.legal_name, letterhead.title))
        ours = _WORDS["reason"][language].format(name=name or _WORDS["nobody"][language], title=title)
        said.append((reasons.get(language) or reasons["en"]) if reasons else ours)
    return " / ".join(dict.fromkeys(said))


def _all(texts: dict[Language, str]) -> tuple[str, ...]:
    return tuple(filter(None, texts.values()))


def _said(texts: dict[Language, str], languages: Languages) -> str:
    found = (texts["zh"] or texts["en"] if language == "zh" else texts["en"] or texts["zh"] for language in languages)
    return " / ".join(dict.fromkeys(found))


def as_text(lines: Iterable[Line]) -> str:
    """Lines of text under a rule. A link stands alone in its line, so that no reader takes what follows for a part of it."""
    written = ["", "-" * 40]
    for line in lines:
        if line.link == LINK:
            written += [line.words.rstrip(), LINK]
        else:
            written.append(line.words + (line.anchor or line.link))
    return "\n".join(written) + "\n"


def as_html(lines: Iterable[Line], languages: Languages) -> str:
    """A block of its own."""
    said, tag = "<br>\n".join(map(_inline, lines)), "zh-CN" if languages[0] == "zh" else languages[0]
    return f'<div lang="{tag}" dir="ltr" style="{_BOX}">\n{said}\n</div>\n'


def _inline(line: Line) -> str:
    words = escape(line.words)
    if not line.link:
        return words
    href = LINK if line.link == LINK else escape(line.link)
    return f'{words}<a href="{href}" style="{_ANCHOR}">{escape(line.anchor)}</a>'
