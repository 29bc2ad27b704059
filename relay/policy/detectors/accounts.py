"""Bank cards, accounts and company codes: issuer ranges, lengths and check digits.

Sources: ISO/IEC 7812 (Luhn), ISO 13616 (IBAN), GB 32100-2015 (unified social
credit code), by python-stdnum.
"""

import re
from collections.abc import Iterator

from relay.policy.detectors.digits import Candidate
from relay.policy.detectors.hit import Hit, Kind, Scan
from relay.policy.detectors.lists import registers

BANK_CARD = Kind(
    "bank-card",
    "Bank card number",
    "银行卡号",
    (
        "卡号",
        "银行卡",
        "信用卡",
        "储蓄卡",
        "借记卡",
        "账号",
        "帐号",
        "card",
        "visa",
        "mastercard",
        "unionpay",
        "amex",
        "account no",
        "account number",
    ),
)
IBAN = Kind("iban", "International bank account number", "国际银行账号（IBAN）", ("iban",))
CN_COMPANY = Kind("cn-company", "Unified social credit code of a company", "统一社会信用代码", ("信用代码", "税号", "uscc"))

KINDS = (BANK_CARD, IBAN, CN_COMPANY)

_COMPANY_LENGTH = 18
_COMPANY_CODE = re.compile(r"(?:1[1239]|5[1239]|9[123]|Y1|N[1239])[0-9]{6}[0-9A-HJ-NPQRTUWXY]{10}")
_CARD_GROUPS = frozenset({(4, 4, 4, 4), (4, 4, 4, 4, 1), (4, 4, 4, 4, 2), (4, 4, 4, 4, 3), (4, 6, 5), (6, 10), (6, 13)})
_IBAN_START = re.compile(r"[A-Z]{2}[0-9]{2}")
OUTLINE = b"AA00"
_IBAN_LENGTHS = {
    country: int(length)
    for country, length in re.findall(
        "([A-Z]{2})([0-9]{2})",
        "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 ES24"
        "FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32"
        "LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24"
        "RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30",
    )
}
"""Letters and digits of an account, by country."""


def in_candidate(found: Candidate) -> Iterator[Hit]:
    """The card or company code that this number may be."""
    if (issuer := _issuer(found.digits)) and registers().is_luhn(found.digits):
        sure = found.groups in _CARD_GROUPS or issuer == "unionpay" or found.scan.says(BANK_CARD, found.start, found.end)
        yield Hit(BANK_CARD.name, found.start, found.end, found.digits, sure)
    if len(found.groups) == 1 and (hit := _company(found)):
        yield hit


def in_text(scan: Scan) -> Iterator[Hit]:
    """The accounts that begin with letters."""
    text, place = scan.text, 0
    while match := _IBAN_START.search(text, place):
        place = match.end()
        if (before := text[match.start() - 1 : match.start()]) and before.isascii() and before.isalnum():
            continue
        if hit := _iban(text, match.start()):
            yield hit
            place = hit.end


def _issuer(digits: str) -> str:
    """The network that issues cards of this range and length, "" when none does."""
    length, four = len(digits), int(digits[:4])
    if digits.startswith("62") and 16 <= length <= 19:
        return "unionpay"
    if digits.startswith("4") and length in (13, 16, 19):
        return "visa"
    if length == 16 and (5100 <= four <= 5599 or 2221 <= four <= 2720):
        return "mastercard"
    if length == 15 and digits[:2] in ("34", "37"):
        return "amex"
    return "jcb" if length == 16 and 3528 <= four <= 3589 else ""


def _company(found: Candidate) -> Hit | None:
    """A code that begins with these digits, or one letter before them; the digits of a longer word are none."""
    start = found.start - 1 if found.before(1) in ("Y", "N") else found.start
    text = found.scan.text
    code, around = text[start : start + _COMPANY_LENGTH], text[max(0, start - 1) : start]
    around += text[start + _COMPANY_LENGTH : start + _COMPANY_LENGTH + 1]
    if (
        any(c.isascii() and c.isalnum() for c in around)
        or not _COMPANY_CODE.fullmatch(code)
        or not registers().is_cn_company(code)
    ):
        return None
    return Hit(CN_COMPANY.name, start, start + _COMPANY_LENGTH, code)


def _iban(text: str, start: int) -> Hit | None:
    """As many letters and digits as its country has, with single blanks between groups, and no more of the word."""
    length = _IBAN_LENGTHS.get(text[start : start + 2], 0)
    value, end = "", start
    while len(value) < length:
        character = text[end : end + 1]
        if not (character.isascii() and character.isalnum()) and not (character == " " and text[end - 1] != " "):
            return None
        value += character.strip()
        end += 1
    after = text[end : end + 1]
    if not length or (after.isascii() and after.isalnum()) or not _fits_97(value) or not registers().is_iban(value):
        return None
    return Hit(IBAN.name, start, end, value)


def _fits_97(value: str) -> bool:
    """The check digits (ISO 7064), before the library looks at the structure: a hundred times as fast."""
    return int("".join(str(int(c, 36)) for c in value[4:] + value[:4])) % 97 == 1
