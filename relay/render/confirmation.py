"""The mail that asks somebody to confirm a sign-up (double opt-in).

It goes to whoever's address was typed into a form, perhaps by a stranger.  So
it advertises nothing, says that leaving it alone is the end of it, and holds
one link, which only shows a page.  Both languages are in it, the form's first.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from relay.mail.mailbox import Mailbox
from relay.policy.opting_in.opt_in import Language, SignUp
from relay.policy.rehearsing.compose import compose
from relay.policy.rules.organisation import OrganisationFacts, Texts

_SUBJECTS: dict[Language, str] = {"zh": "请确认您的登记", "en": "Please confirm your sign-up"}
_RULE = "\n" + "-" * 40 + "\n\n"


@dataclass(frozen=True, slots=True)
class Asking:
    """What the mail says; the times are in the organisation's zone."""

    form: SignUp
    organisation: OrganisationFacts
    sender: Mailbox
    recipient: Mailbox
    link: str
    asked: datetime
    until: datetime
    message_id: str


def confirmation_mail(asking: Asking, language: Language) -> bytes:
    """The message in octets; the same arguments give the same octets.

    It is ASCII, but for a sender or recipient whose local part is not: such a mailbox has no other form (RFC 6532), and the
    mail leaves by upstreams with SMTPUTF8 only.
    """
    other: Language = "en" if language == "zh" else "zh"
    name = _in(asking.organisation.legal_name, language)
    fields = [
        ("From", f"<{asking.sender.wire}>"),
        ("To", f"<{asking.recipient.wire}>"),
        ("Subject", f"{_SUBJECTS[language]}{f' · {name}' if name else ''}"),
        ("Message-ID", asking.message_id),
        ("Auto-Submitted", "auto-generated"),
    ]
    return compose(fields, _RULE.join("\n".join(_LINES[one](asking)) + "\n" for one in (language, other)), "")


def _in(texts: Texts, language: Language) -> str:
    return texts.en or texts.zh if language == "en" else texts.zh or texts.en


def _zh(asking: Asking) -> Iterator[str]:
    name = _in(asking.organisation.legal_name, "zh") or "我们"
    place = f"在 {asking.form.page} " if asking.form.page else ""
    yield f"有人于 {_moment(asking.asked)} {place}用这个邮箱向{name}登记。登记的内容是："
    yield ""
    yield asking.form.said("zh")
    yield ""
    yield f"如果是您本人，并且您同意，请在 {_moment(asking.until)} 之前打开这个链接，在页面上点击按钮："
    yield ""
    yield asking.link
    yield ""
    yield "如果不是您，什么都不用做：不确认就没有同意，登记到期作废。"
    yield from _sender(asking.organisation, "zh", "不想再收到此类确认邮件，请写信至：", "隐私政策：")


def _en(asking: Asking) -> Iterator[str]:
    name = _in(asking.organisation.legal_name, "en") or "us"
    place = f" at {asking.form.page}" if asking.form.page else ""
    yield f"Somebody signed this address up with {name}{place} on {_moment(asking.asked)}. The sign-up says:"
    yield ""
    yield asking.form.said("en")
    yield ""
    yield f"If that was you and you agree, open this link before {_moment(asking.until)} and press the button on its page:"
    yield ""
    yield asking.link
    yield ""
    yield "If it was not you, do nothing: without your confirmation there is no consent, and the sign-up lapses."
    yield from _sender(asking.organisation, "en", "To get no such mail again, write to: ", "Privacy notice: ")


def _sender(organisation: OrganisationFacts, language: Language, refuse: str, privacy: str) -> Iterator[str]:
    yield ""
    if organisation.refusal_mailbox:
        yield f"{refuse}{organisation.refusal_mailbox}"
    if organisation.privacy_url:
        yield f"{privacy}{organisation.privacy_url}"
    for texts in (organisation.legal_name, organisation.postal_address):
        if said := _in(texts, language):
            yield said


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M %z}"


_LINES = {"zh": _zh, "en": _en}
