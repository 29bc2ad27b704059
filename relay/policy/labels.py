"""Labels with which laws want the subject of advertising to begin: what they are, and whether a subject has one.

    CN   【广告】, or [AD] where the subject is not Chinese   Order 38 of 2006, Art 13(3)
    SG   <ADV> and a space                                  Spam Control Act, Second Schedule
    KR   (광고) in exactly this form                          Network Act, Art 50(4)

Several may stand one behind the other; each is looked for behind those of the
other laws.  The Chinese one has many spellings that readers accept; those of
Singapore and Korea have one.
"""

import re
import unicodedata
from collections.abc import Iterable

from relay.mail.decoding import one_form
from relay.policy.duty import Label

LABELS: tuple[Label, ...] = ("CN", "SG", "KR")

_READ = 200  # characters from the start of a subject: labels stand at its front
# On text in the form NFKC: an advertiser's own word "AD" needs a bracket or a colon to be a label ("AD 2026" has none).
_CHINESE = re.compile(r"[\[【「〔(<《]\s*(?:广\s?告|廣\s?告|AD)\s*[\]】」〕)>》]|(?:广告|廣告)(?:\s|[:|｜—–\-·])|AD\s*[:|]")
_EXACT = {"SG": re.compile(r"<ADV>(?: |$)"), "KR": re.compile(r"\(광고\)")}
_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_NOT_CHINESE = re.compile(r"[\u3040-\u30ff\uff66-\uff9f\u1100-\u11ff\u3130-\u318f\uac00-\ud7af]")  # kana, hangul


def labels_of(subject: str) -> tuple[Label, ...]:
    """The labels at the front of a decoded subject, in order, without those of a law that has spoken already."""
    return _peel(subject)[0]


def without_labels(subject: str) -> str:
    """The decoded subject behind its labels."""
    return _peel(subject)[1]


def written(labels: Iterable[Label], subject: str) -> str:
    """The labels as they stand in front of `subject`, a blank after each that needs one."""
    chinese = "【广告】" if is_chinese(without_labels(subject)) else "[AD] "
    texts = {"CN": chinese, "SG": "<ADV> ", "KR": "(광고) "}
    return "".join(texts[label] for label in labels)


def is_chinese(text: str) -> bool:
    """Whether it has Chinese characters and none of those that only Japanese or Korean has."""
    return bool(_HAN.search(text)) and not _NOT_CHINESE.search(text)


def _peel(subject: str) -> tuple[tuple[Label, ...], str]:
    found: list[Label] = []
    rest = subject
    while True:
        for label in LABELS:
            length = 0 if label in found else _length(label, rest)
            if length:
                found.append(label)
                rest = rest[length:].lstrip()
                break
        else:
            return tuple(found), rest


def _length(label: Label, subject: str) -> int:
    """How many characters of the subject a label at its front takes, 0 without one."""
    if label != "CN":
        match = _EXACT[label].match(subject)
        return match.end() if match else 0
    return _chinese_length(subject[:_READ])


def _chinese_length(subject: str) -> int:
    match = _CHINESE.match(_plain(subject))
    if match is None:
        return 0
    return next(end for end in range(1, len(subject) + 1) if len(_plain(subject[:end])) >= match.end())


def _plain(text: str) -> str:
    """Without marks that nobody sees, in one form, without blanks in front."""
    seen = "".join(character for character in text if unicodedata.category(character) != "Cf")
    return one_form(seen).lstrip()
