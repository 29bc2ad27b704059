"""Labels with which laws want the subject of advertising to begin: what they are, and whether a subject has one.

    US   SEXUALLY-EXPLICIT: and a space                     16 CFR 316.4(a)(1)
    CN   【广告】, or [AD] where the subject is not Chinese   Order 38 of 2006, Art 13(3)
    SG   <ADV> and a space                                  Spam Control Act, Second Schedule
    KR   (광고) in exactly this form                          Network Act, Art 50(4)

Several may stand one behind the other; each is looked for behind those of the
other laws.  The American one stands before all: it is the first nineteen characters
of the subject, while the others stand before its title (Singapore), at its
beginning (Korea) or in front (China).  The Chinese one has many spellings that
readers accept; the others have one.  What a person wrote in another spelling is no
label, but is known, so that the label does not stand beside it.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from relay.mail.words.folding import as_seen
from relay.policy.rules.duty import Label

LABELS: tuple[Label, ...] = ("US", "CN", "SG", "KR")
EXPLICIT = "SEXUALLY-EXPLICIT: "

_READ = 200  # characters from the start of a subject: labels stand at its front
# On text in the form NFKC: an advertiser's own word "AD" needs a bracket or a colon to be a label ("AD 2026" has none).
_CHINESE = re.compile(r"[\[【「〔(<《]\s*(?:广\s?告|廣\s?告|AD)\s*[\]】」〕)>》]|(?:广告|廣告)(?:\s|[:|｜—–\-·])|AD\s*[:|]")
_EXACT = {
    "US": re.compile(r"SEXUALLY-EXPLICIT:(?: |$)"),
    "SG": re.compile(r"<ADV>(?: |$)"),
    "KR": re.compile(r"\(광고\)"),
}
_ALIKE = {
    "US": re.compile(r"SEXUALLY[-–— _]?EXPLICIT\s*:|[\[【「〔(<《]\s*SEXUALLY[-–— _]?EXPLICIT\s*[\]】」〕)>》]:?", re.IGNORECASE),
} | {
    label: re.compile(rf"[\[【「〔(<《]\s*{word}\s*[\]】」〕)>》]", re.IGNORECASE)
    for label, word in (("CN", r"(?:AD|广\s?告|廣\s?告)"), ("SG", "ADV"), ("KR", r"광\s*고"))
}
"""What somebody meant as the label, on text in the form NFKC."""
_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_NOT_CHINESE = re.compile(r"[\u3040-\u30ff\uff66-\uff9f\u1100-\u11ff\u3130-\u318f\uac00-\ud7af]")  # kana, hangul


class Mark(NamedTuple):
    """A label at the front of a subject; not `is_valid` where it is spelled as its law does not have it."""

    label: Label
    is_valid: bool = True


def labels_of(subject: str) -> tuple[Label, ...]:
    """The labels at the front of a decoded subject, in order, without those of a law that has spoken already."""
    return tuple(label for label, is_valid in marks_of(subject) if is_valid)


def marks_of(subject: str) -> tuple[Mark, ...]:
    """The labels at the front of a decoded subject in order, with those that are misspelled."""
    return _peel(subject)[0]


def without_labels(subject: str) -> str:
    """The decoded subject behind its labels, misspelled ones too."""
    return _peel(subject)[1]


def written(labels: Iterable[Label], subject: str) -> str:
    """The labels as they stand in front of `subject`, a blank after each that needs one."""
    chinese = "【广告】" if is_chinese(without_labels(subject)) else "[AD] "
    texts = {"US": EXPLICIT, "CN": chinese, "SG": "<ADV> ", "KR": "(광고) "}
    return "".join(texts[label] for label in labels)


def in_order(labels: Iterable[Label]) -> tuple[Label, ...]:
    """Each once, the American one before all, the others as they come."""
    return tuple(sorted(dict.fromkeys(labels), key=lambda label: label != "US"))


def plain(text: str) -> str:
    """Without marks that nobody sees, in the form NFKC, without blanks in front."""
    return as_seen(text).lstrip()


def is_chinese(text: str) -> bool:
    """Whether it has Chinese characters and none of those that only Japanese or Korean has."""
    return bool(_HAN.search(text)) and not _NOT_CHINESE.search(text)


@lru_cache(maxsize=8)  # several rules ask of one mail
def _peel(subject: str) -> tuple[tuple[Mark, ...], str]:
    found: list[Mark] = []
    rest = subject
    while True:
        for mark in _MARKS:
            length = 0 if mark.is_valid and mark in found else _length(mark, rest)
            if length:
                found.append(mark)
                rest = rest[length:].lstrip()
                break
        else:
            return tuple(found), rest


_MARKS = tuple(Mark(label, is_valid) for is_valid in (True, False) for label in LABELS)


def _length(mark: Mark, subject: str) -> int:
    """How many characters of the subject a label at its front takes, 0 without one."""
    if mark.is_valid and mark.label != "CN":
        match = _EXACT[mark.label].match(subject)
        return match.end() if match else 0
    return _plain_length(_CHINESE if mark.is_valid else _ALIKE[mark.label], subject[:_READ])


def _plain_length(pattern: re.Pattern[str], subject: str) -> int:
    match = pattern.match(plain(subject))
    if match is None:
        return 0
    return next(end for end in range(1, len(subject) + 1) if len(plain(subject[:end])) >= match.end())
